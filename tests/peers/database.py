"""A migrated database on each engine, with a clock that stands, and a vault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from mailstead.base.clock import ManualClock
from mailstead.store.migrate import migrate
from mailstead.store.port import Database, Transaction
from mailstead.store.sqlite import SqliteDatabase
from mailstead.store.vault import Vault

T = TypeVar("T")


@dataclass(frozen=True)
class Ground:
    """Runs bodies against a real database, from a test that is not asynchronous."""

    db: Database
    clock: ManualClock
    vault: Vault
    loop: asyncio.AbstractEventLoop

    def run(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        return self.loop.run_until_complete(self.db.run(body))

    def read(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        return self.loop.run_until_complete(self.db.read(body))


async def _open(url: str, clock: ManualClock) -> Database:
    if url.startswith("sqlite:"):
        db: Database = SqliteDatabase(url.removeprefix("sqlite:"), clock)
    else:
        postgres = pytest.importorskip("mailstead.store.postgres")
        db = await postgres.PostgresDatabase.open(url, clock)
    await migrate(db)
    return db


@pytest.fixture
def ground(database_url: str) -> Iterator[Ground]:
    clock = ManualClock()
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        db = loop.run_until_complete(_open(database_url, clock))
        yield Ground(db, clock, Vault(bytes(32)), loop)
        loop.run_until_complete(db.close())
