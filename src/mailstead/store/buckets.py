"""Buckets: objects that operators put into folders, ``BUCKET/KEY`` below one root (``storage.buckets``)."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mailstead.base.errors import Unreachable
from mailstead.base.objects import MAX_KEY, is_bucket, missing

T = TypeVar("T")


class FolderBuckets:
    """``Buckets`` (see ``store/port.py``) in folders."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = Path(root)

    async def look(self, bucket: str, key: str) -> tuple[int, str]:
        """See ``Buckets.look``."""
        return await _apart(lambda: self._open(bucket, key, _described))

    async def read(self, bucket: str, key: str, tag: str, start: int, size: int) -> bytes:
        """See ``Buckets.read``."""

        def piece(handle: int) -> bytes:
            if _described(handle)[1] != tag:
                raise missing(bucket, key)
            return os.pread(handle, size, start)

        return await _apart(lambda: self._open(bucket, key, piece))

    def _open(self, bucket: str, key: str, use: Callable[[int], T]) -> T:
        path = self._path(bucket, key)
        try:
            # Without waiting: what is a pipe would keep us for ever.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            raise missing(bucket, key) from None
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise missing(bucket, key)
            return use(handle)
        finally:
            os.close(handle)

    def _path(self, bucket: str, key: str) -> Path:
        """Where an object lies: inside its bucket's folder, whatever its key says and wherever links lead.

        Raises:
            NotFound: nowhere.
        """
        parts = key.split("/")
        odd = any(part in ("", ".", "..") or "\0" in part for part in parts)
        if odd or not is_bucket(bucket) or len(key.encode("utf-8", "replace")) > MAX_KEY:
            raise missing(bucket, key)
        folder = (self._root / bucket).resolve()
        try:
            path = folder.joinpath(*parts).resolve()
        except (OSError, RuntimeError, UnicodeError):  # a name that is too long; a circle of links
            raise missing(bucket, key) from None
        if not path.is_relative_to(folder):
            raise missing(bucket, key)
        return path


def _described(handle: int) -> tuple[int, str]:
    found = os.fstat(handle)
    return found.st_size, f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


async def _apart(work: Callable[[], T]) -> T:
    """Do ``work`` in a thread: a disk may take its time."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise Unreachable(f"The buckets cannot be used now: {error.strerror or error}") from error
