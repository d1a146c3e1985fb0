"""Opening: the outside world of an installation, for the server and for commands beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mailstead.base.clock import Clock, SystemClock
from mailstead.base.errors import MailsteadError
from mailstead.base.ids import sortable
from mailstead.config import Settings
from mailstead.net.dns import DnsResolver
from mailstead.runtime import Runtime
from mailstead.ses import credentials
from mailstead.store.files import FileBlobs
from mailstead.store.migrate import migrate
from mailstead.store.port import Database
from mailstead.store.signal import LocalSignal
from mailstead.store.sqlite import SqliteDatabase
from mailstead.store.vault import Vault


class StartError(MailsteadError):
    """It cannot start; the text says why, in one line."""


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
                vault=await _vault(settings, db),
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


async def _vault(settings: Settings, db: Database) -> Vault:
    if settings.secrets.master_key:
        return Vault.from_text(settings.secrets.master_key)
    place = settings.data / "master.key"
    if not place.exists() and await db.read(credentials.any_key):
        raise StartError(f"{place} is missing, and the database holds secrets sealed with it: put it back")
    return Vault.load_or_create(place)
