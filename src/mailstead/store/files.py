"""Bodies of messages: small ones in the database with their rows, large ones as files that are safe before it.

A file is written under ``tmp/``, synced, renamed to ``ab/cd/KEY`` and its folder synced: it is whole or not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mailstead.base.errors import Invalid, NotFound, Unreachable
from mailstead.store.port import Database, Transaction

T = TypeVar("T")

SMALL = 128 * 1024
"""Up to so many bytes a body lives in the database."""
LEFTOVER_SECONDS = 3600
DAY_SECONDS = 86_400
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_DB, _FILE = "db:", "file:"


async def put_small(tx: Transaction, key: str, content: bytes) -> None:
    """Store a small body with the caller's rows."""
    await tx.run("INSERT INTO blobs (key, content) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING", key, content)


async def get_small(tx: Transaction, key: str) -> bytes | None:
    """A small body, or None."""
    content: bytes | None = await tx.value("SELECT content FROM blobs WHERE key = $1", key)
    return content


async def delete_small(tx: Transaction, key: str) -> None:
    """Forget a small body with the caller's rows."""
    await tx.run("DELETE FROM blobs WHERE key = $1", key)


class FileBlobs:
    """A BlobStore (see there) in a folder and the database. The folder is made (mode 0700) when it is not there.

    Raises:
        Unreachable: the folder cannot be made.
    """

    def __init__(self, directory: str | os.PathLike[str], db: Database, *, small: int = SMALL) -> None:
        self._root = Path(directory)
        self._drafts = self._root / "tmp"
        self._db = db
        self._small = small
        self._failing = 0
        self._made: set[Path] = set()
        self._threads = ThreadPoolExecutor(2, "mailstead-blobs")
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._drafts.mkdir(mode=0o700, exist_ok=True)
            _sync(self._root)
            _sync(self._root.parent)
        except OSError as error:
            raise _away(error) from error

    def plan(self, key: str, content: bytes) -> str:
        """See ``BlobStore.plan``."""
        return (_DB if len(content) <= self._small else _FILE) + _checked(key)

    async def put(self, ref: str, content: bytes) -> None:
        """See ``BlobStore.put``: ``file:`` references."""
        if (key := _in(_FILE, ref)) is not None:
            self._fault()
            await self._apart(lambda: self._write(key, content))

    async def put_in(self, tx: Transaction, ref: str, content: bytes) -> None:
        """See ``BlobStore.put_in``: ``db:`` references."""
        if (key := _in(_DB, ref)) is not None:
            self._fault()
            await put_small(tx, key, content)

    async def get(self, ref: str) -> bytes:
        """See ``BlobStore.get``."""
        key = _in(_DB, ref)
        if key is None:
            path = self._path(_checked(ref.removeprefix(_FILE)))
            try:
                return await self._apart(path.read_bytes)
            except FileNotFoundError:
                raise NotFound(f"There is no blob {ref}", kind="blob") from None
        small = key  # for the type of what the body sees
        content = await self._db.read(lambda tx: get_small(tx, small))
        if content is None:
            raise NotFound(f"There is no blob {ref}", kind="blob")
        return content

    async def delete_in(self, tx: Transaction, ref: str) -> None:
        """See ``BlobStore.delete_in``: ``db:`` references."""
        if (key := _in(_DB, ref)) is not None:
            await delete_small(tx, key)

    async def delete(self, ref: str) -> None:
        """See ``BlobStore.delete``: ``file:`` references."""
        if (key := _in(_FILE, ref)) is not None:
            path = self._path(key)
            await self._apart(lambda: path.unlink(missing_ok=True))

    async def check(self) -> None:
        """See ``BlobStore.check``."""
        probe = self._drafts / f"check.{os.urandom(4).hex()}"

        def touch() -> None:
            try:
                probe.touch(mode=0o600)
                probe.unlink()
            except OSError as error:
                raise _away(error) from error

        await self._apart(touch)

    async def sweep(self) -> int:
        """Remove the drafts that a crash left more than an hour ago; how many."""
        return await self._apart(self._sweep)

    async def stored_before(self, days: float = 1.0) -> list[str]:
        """References of the files that are older: some may be of a crash between file and row, and nobody's."""
        return await self._apart(lambda: self._stored_before(self._now() - days * DAY_SECONDS))

    async def close(self) -> None:
        """Let running writes end."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    def fail_next(self, count: int) -> None:
        """Make the next ``count`` bodies Unreachable when they are stored (``/_mailstead/fault``)."""
        self._failing = count

    def _fault(self) -> None:
        if self._failing:
            self._failing -= 1
            raise Unreachable("The blob store cannot be used now: a fault was asked for")

    async def _apart(self, work: Callable[[], T]) -> T:
        """Do ``work`` in a thread: a disk may take its time."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _away(error) from error

    def _path(self, key: str) -> Path:
        # Keys begin with the time: their hash spreads them over the folders.
        spread = hashlib.blake2s(key.encode(), digest_size=2).hexdigest()
        return self._root / spread[:2] / spread[2:] / key

    def _write(self, key: str, content: bytes) -> None:
        path = self._path(key)
        self._make(path.parent)
        draft = self._drafts / f"{key}.{os.urandom(4).hex()}"
        try:
            _write_synced(draft, content)
            draft.rename(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise _away(error) from error
        _sync(path.parent)

    def _make(self, folder: Path) -> None:
        if folder in self._made:
            return
        for one in (folder.parent, folder):
            one.mkdir(mode=0o700, exist_ok=True)
            _sync(one.parent)  # also if it was there: whoever made it may have died before syncing
        self._made.add(folder)

    def _now(self) -> float:
        """The file system's own clock tells the ages: it may be another machine's."""
        probe = self._drafts / f"now.{os.urandom(4).hex()}"
        probe.touch(mode=0o600)
        now = probe.stat().st_mtime
        probe.unlink()
        return now

    def _stored_before(self, limit: float) -> list[str]:
        found = []
        for path in self._root.glob("??/??/*"):
            with contextlib.suppress(FileNotFoundError):  # its message has just ended
                if path.stat().st_mtime < limit:
                    found.append(_FILE + path.name)
        return found

    def _sweep(self) -> int:
        limit = self._now() - LEFTOVER_SECONDS
        swept = 0
        for draft in self._drafts.iterdir():
            with contextlib.suppress(FileNotFoundError):  # its writer has just renamed it
                if draft.stat().st_mtime < limit:
                    draft.unlink()
                    swept += 1
        return swept


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise Invalid("A blob's key is 1 to 128 letters, digits, dots, underscores and hyphens")
    return key


def _in(sort: str, ref: str) -> str | None:
    """The key of a reference of this sort; None if it is of another."""
    return _checked(ref[len(sort) :]) if ref.startswith(sort) else None


def _write_synced(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _away(error: OSError) -> Unreachable:
    return Unreachable(f"The blob store cannot be used now: {error.strerror or error}")
