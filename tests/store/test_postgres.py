"""PostgreSQL: conflicts are tried again, a server that goes away is Unreachable and bounded, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from mailstead.base.clock import SystemClock
from mailstead.base.errors import Unreachable
from mailstead.store.migrate import migrate
from mailstead.store.port import Transaction
from mailstead.store.postgres import PostgresDatabase
from peers.ground import free_port
from peers.postgres import Postgres

pytestmark = pytest.mark.postgres


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    url = postgres.fresh_database()
    yield url
    postgres.drop_database(url)


def _scene(url: str, scene: Callable[[PostgresDatabase], Coroutine[Any, Any, None]], *, prepared: bool = True) -> None:
    async def whole() -> None:
        db = await PostgresDatabase.open(url, SystemClock(), connections=4, prepared=prepared)
        try:
            await migrate(db)
            async with asyncio.timeout(30):
                await scene(db)
        finally:
            await db.close()

    asyncio.run(whole())


async def _put(tx: Transaction, key: str, value: str = "v") -> None:
    await tx.run("INSERT INTO settings (key, value) VALUES ($1, $2)", key, value)


async def _count(tx: Transaction) -> int:
    return int(await tx.value("SELECT count(*) FROM settings"))


async def _cut_off(tx: Transaction) -> None:
    """Ends every other connection to this database, and then, if asked twice, our own."""
    await tx.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


def test_a_deadlock_is_tried_again(url: str) -> None:
    async def scene(db: PostgresDatabase) -> None:
        await db.run(lambda tx: _put(tx, "a"))
        await db.run(lambda tx: _put(tx, "b"))
        both = asyncio.Barrier(2)
        runs = 0

        async def cross(tx: Transaction, first: str, second: str) -> None:
            nonlocal runs
            runs += 1
            await tx.run("UPDATE settings SET value = value || 'x' WHERE key = $1", first)
            if runs <= 2:
                await both.wait()
            await tx.run("UPDATE settings SET value = value || 'x' WHERE key = $1", second)

        await asyncio.gather(db.run(lambda tx: cross(tx, "a", "b")), db.run(lambda tx: cross(tx, "b", "a")))
        assert runs == 3
        assert await db.read(lambda tx: tx.rows("SELECT value FROM settings")) == [("vxx",), ("vxx",)]

    _scene(url, scene)


def test_a_connection_lost_before_commit_is_replaced(url: str) -> None:
    async def scene(db: PostgresDatabase) -> None:
        runs = 0

        async def body(tx: Transaction) -> None:
            nonlocal runs
            runs += 1
            await _put(tx, "a")
            if runs == 1:
                await db.run(_cut_off)
            await _put(tx, "b")

        await db.run(body)
        assert runs == 2
        assert await db.read(_count) == 2

    _scene(url, scene)


def test_reading_survives_connections_that_died_in_the_pool(url: str) -> None:
    async def scene(db: PostgresDatabase) -> None:
        await asyncio.gather(*(db.read(lambda tx: tx.value("SELECT pg_sleep(0.05)")) for _ in range(4)))
        await db.run(_cut_off)
        for _ in range(4):
            assert await db.read(_count) == 0
            assert await db.scan(_count) == 0

    _scene(url, scene)


def test_a_cancelled_transaction_is_undone(url: str) -> None:
    async def scene(db: PostgresDatabase) -> None:
        inside = asyncio.Event()

        async def body(tx: Transaction) -> None:
            await _put(tx, "a")
            inside.set()
            await tx.value("SELECT pg_sleep(20)")

        task = asyncio.create_task(db.run(body))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await db.run(lambda tx: _put(tx, "a"))
        assert await db.read(_count) == 1

    _scene(url, scene)


def test_without_prepared_statements(url: str) -> None:
    async def scene(db: PostgresDatabase) -> None:
        await db.run(lambda tx: _put(tx, "a"))
        assert await db.read(_count) == await db.scan(_count) == 1
        assert await db.run(lambda tx: tx.value("SELECT count(*) FROM pg_prepared_statements")) == 0

    _scene(url, scene, prepared=False)


def test_the_time_is_the_servers_and_moves_with_the_tests(url: str) -> None:
    async def scene(db: PostgresDatabase) -> None:
        async def both(tx: Transaction) -> tuple[int, int]:
            here = tx.now()
            return here, await tx.value("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")

        here, there = await db.run(both)
        assert abs(here - there) < 500
        db._clock.advance(86_400_000)  # type: ignore[attr-defined]
        here, there = await db.run(both)
        assert abs(here - there - 86_400_000) < 500

    _scene(url, scene)


def test_no_server_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        with pytest.raises(Unreachable, match="cannot be used now"):
            await PostgresDatabase.open(f"postgresql://nobody@127.0.0.1:{free_port()}/x", SystemClock())

    asyncio.run(scene())


@pytest.mark.slow
def test_a_server_that_goes_away_and_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONNECT_SECONDS", "WAIT_SECONDS", "COMMAND_SECONDS"):
        monkeypatch.setattr(f"mailstead.store.postgres.{name}", 1.0)

    async def scene(url: str, server: Postgres) -> None:
        db = await PostgresDatabase.open(url, SystemClock(), connections=2)
        await migrate(db)
        await db.run(lambda tx: _put(tx, "a"))
        async with asyncio.timeout(20):
            server._process.send_signal(19)  # SIGSTOP: nobody new is let in; the backends that are there go on
            with pytest.raises(Unreachable):
                await db.scan(_count)
            server._process.send_signal(18)
            with pytest.raises(Unreachable):
                await db.run(lambda tx: tx.value("SELECT pg_sleep(10)"))  # a statement has its time, too
            assert await db.read(_count) == 1
            server._process.send_signal(2)
            await asyncio.to_thread(server._process.wait, 10)
            for way in (db.run, db.read, db.scan):
                with pytest.raises(Unreachable):
                    await way(_count)
            await db.close()

    with Postgres() as server:
        asyncio.run(scene(server.fresh_database(), server))
