"""App: the one place that knows every part; it builds them, starts them, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mailstead import first_start, logs
from mailstead.base.clock import Clock, SystemClock
from mailstead.base.errors import MailsteadError, Unreachable
from mailstead.base.ids import sortable
from mailstead.config import Settings, running
from mailstead.net.dns import DnsResolver
from mailstead.runtime import Runtime
from mailstead.store import work
from mailstead.store.files import FileBlobs
from mailstead.store.migrate import migrate
from mailstead.store.port import Database
from mailstead.store.signal import LocalSignal
from mailstead.store.sqlite import SqliteDatabase
from mailstead.store.vault import Vault

log = logging.getLogger(__name__)

SWITCH = 0.0002
"""Seconds after which a thread may ask for the interpreter lock: the writer thread must not wait for long."""


class StartError(MailsteadError):
    """The server cannot start; the text says why, in one line."""


# -- the outside world -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """The installation's store, its tables brought up to date, with everything that work needs to reach.

    Raises:
        Unreachable, Conflict: the database cannot be used.
        Invalid: the master key is none.
    """
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    db = await _database(settings, clock)
    try:
        await migrate(db)
        blobs = _blobs(settings, db)
        try:
            yield Runtime(
                db=db,
                blobs=blobs,
                clock=clock,
                dns=DnsResolver(None if settings.dns.resolver == "system" else settings.dns.resolver, clock),
                signal=LocalSignal(),
                vault=_vault(settings),
                worker=sortable(clock.wall()),
            )
        finally:
            await blobs.close()
    finally:
        await db.close()


async def _database(settings: Settings, clock: Clock) -> Database:
    kind, _, place = settings.storage.database.partition(":")
    if kind == "sqlite":
        return SqliteDatabase(place, clock)
    from mailstead.store.postgres import PostgresDatabase  # noqa: PLC0415 — asyncpg is an extra

    return await PostgresDatabase.open(settings.storage.database, clock)


def _blobs(settings: Settings, db: Database) -> FileBlobs:
    kind, _, place = settings.storage.blobs.partition(":")
    if kind != "file":
        raise StartError("storage.blobs: only file:PATH is built so far; s3:// comes with the nodes")
    return FileBlobs(place, db)


def _vault(settings: Settings) -> Vault:
    if settings.secrets.master_key:
        return Vault.from_text(settings.secrets.master_key)
    return Vault.load_or_create(settings.data / "master.key")


# -- serve -------------------------------------------------------------------------------------------------------------


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT; the exit status."""
    import uvloop  # noqa: PLC0415 — commands do without it

    logs.set_up(settings.log.level, settings.log.format)
    sys.setswitchinterval(SWITCH)
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _only_one(settings):
            uvloop.run(_serve(settings))
    except MailsteadError as error:
        sys.stderr.write(f"mailstead: {error.message}\n")
        return 1
    return 0


@contextlib.contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """SQLite is one process: a second server on the same data is refused, however the first one ended."""
    handle = os.open(settings.data / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(f"another server runs on {settings.data} already") from None
        yield
    finally:
        os.close(handle)


@dataclass(slots=True)
class House:
    """The running parts."""

    runtime: Runtime
    settings: Settings
    endpoints: dict[str, str | list[str]] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    closing: list[Callable[[float], Coroutine[Any, Any, None]]] = field(default_factory=list)
    """What ends the parts, in the order it is to be done; each is handed the grace in seconds."""

    @property
    def hostname(self) -> str:
        """Our name in greetings and reports."""
        return self.settings.server.hostname or socket.gethostname()

    def plays(self, role: str) -> bool:
        """Does this process play the role?"""
        return role in self.settings.roles

    async def register(self) -> None:
        """Say that this process works here."""
        worker, host, pid = self.runtime.worker, socket.gethostname(), os.getpid()
        await self.runtime.db.run(lambda tx: work.register(tx, worker, host, pid))

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a part as a task; health looks at it."""
        self.tasks[name] = asyncio.create_task(work, name=name)


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_runtime(settings) as runtime:
        house = House(runtime, settings)
        await _take_over(house)
        await first_start.prepare(runtime, settings)
        from mailstead import parts  # noqa: PLC0415 — after the checks: it loads every part

        try:
            await parts.start(house)
            _announce(house)
            await _until(house, stopping)
        finally:
            await _stop(house)


async def _take_over(house: House) -> None:
    """Leases of processes that are gone come free: on SQLite all others are."""
    runtime = house.runtime
    await house.register()
    if runtime.db.kind == "sqlite":
        await runtime.db.run(lambda tx: work.release_all_but(tx, runtime.worker))


def _announce(house: House) -> None:
    """``DIR/endpoints.json``, then the one line on stdout that says ready."""
    place = house.settings.data / "endpoints.json"
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(house.endpoints), indent=2) + b"\n")
    draft.replace(place)
    running.write(house.settings)
    words = [f"{name}={','.join(at) if isinstance(at, list) else at}" for name, at in house.endpoints.items()]
    sys.stdout.write(" ".join(["ready", *words]) + "\n")
    sys.stdout.flush()


async def _until(house: House, stopping: asyncio.Event) -> None:
    """Until we are told to stop; a part that ends by itself is a bug that ends the process."""
    told = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([told, *house.tasks.values()], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    for task in done - {told}:
        error = task.exception() if not task.cancelled() else None
        log.error("%s ended by itself", task.get_name(), exc_info=error)
        raise StartError(f"{task.get_name()} ended by itself, see the log")


async def _stop(house: House) -> None:
    grace = house.settings.shutdown_grace / 1000
    running.remove(house.settings)
    with contextlib.suppress(OSError):
        (house.settings.data / "endpoints.json").unlink()
    try:
        async with asyncio.timeout(grace + 5):
            for close in house.closing:
                await close(grace)
    except TimeoutError:
        log.warning("some parts did not stop within %g s", grace)
    for task in house.tasks.values():
        task.cancel()
    await asyncio.gather(*house.tasks.values(), return_exceptions=True)
    with contextlib.suppress(Unreachable):
        await house.runtime.db.run(lambda tx: work.forget(tx, house.runtime.worker))
