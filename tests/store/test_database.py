"""Both databases keep the same promises: all or nothing, the same values, the same errors."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.base.errors import Unreachable
from mailstead.store.port import Duplicate, Transaction
from peers.database import Ground


async def _put(tx: Transaction, key: str, value: str = "v") -> int:
    return await tx.run("INSERT INTO settings (key, value) VALUES ($1, $2)", key, value)


async def _keys(tx: Transaction) -> list[str]:
    return [key for (key,) in await tx.rows("SELECT key FROM settings ORDER BY key")]


def test_what_run_wrote_is_read(ground: Ground) -> None:
    assert ground.run(lambda tx: _put(tx, "a")) == 1
    assert ground.read(_keys) == ["a"]
    assert ground.loop.run_until_complete(ground.db.scan(_keys)) == ["a"]


def test_a_failing_body_leaves_nothing(ground: Ground) -> None:
    async def body(tx: Transaction) -> None:
        await _put(tx, "a")
        raise LookupError("changed my mind")

    with pytest.raises(LookupError, match="changed my mind"):
        ground.run(body)
    assert ground.read(_keys) == []


def test_of_many_at_once_only_the_failing_ones_are_missing(ground: Ground) -> None:
    async def one(n: int) -> None:
        async def body(tx: Transaction) -> None:
            await _put(tx, f"{n:03d}")
            if n % 3 == 0:
                raise LookupError(str(n))

        await ground.db.run(body)

    async def all_of_them() -> list[BaseException | None]:
        return await asyncio.gather(*(one(n) for n in range(60)), return_exceptions=True)

    ends = ground.loop.run_until_complete(all_of_them())
    assert [n for n, end in enumerate(ends) if isinstance(end, LookupError) and str(end) == str(n)] == list(
        range(0, 60, 3)
    )
    assert ground.read(_keys) == [f"{n:03d}" for n in range(60) if n % 3]


def test_a_second_row_of_a_key_is_a_duplicate(ground: Ground) -> None:
    ground.run(lambda tx: _put(tx, "a"))
    with pytest.raises(Duplicate):
        ground.run(lambda tx: _put(tx, "a"))

    async def null(tx: Transaction) -> None:
        await tx.run("INSERT INTO settings (key, value) VALUES ($1, $2)", "b", None)

    with pytest.raises(Exception, match=r"(?i)not.null") as caught:
        ground.run(null)
    assert not isinstance(caught.value, Duplicate | Unreachable)


def test_a_body_cannot_go_on_after_a_failed_statement(ground: Ground) -> None:
    async def body(tx: Transaction) -> None:
        await _put(tx, "a")
        try:
            await _put(tx, "a")
        except Duplicate:
            return

    with pytest.raises(RuntimeError, match="went on"):
        ground.run(body)
    assert ground.read(_keys) == []


def test_how_many_rows(ground: Ground) -> None:
    async def body(tx: Transaction) -> list[int]:
        await tx.many("INSERT INTO settings (key, value) VALUES ($1, $2)", [("a", "1"), ("b", "2"), ("c", "2")])
        return [
            await tx.run("INSERT INTO settings (key, value) VALUES ('a', '9') ON CONFLICT DO NOTHING"),
            await tx.run("UPDATE settings SET value = $1 WHERE value = $2", "3", "2"),
            await tx.run("DELETE FROM settings WHERE key = $1", "nobody"),
            await tx.run("DELETE FROM settings WHERE key <> $1 RETURNING key", "a"),
        ]

    assert ground.run(body) == [0, 2, 0, 2]
    assert ground.read(_keys) == ["a"]


def test_values_are_the_same_on_both(ground: Ground) -> None:
    content = bytes(range(256)) * 300

    async def body(tx: Transaction) -> list[object]:
        await tx.run("INSERT INTO blobs (key, content) VALUES ($1, $2)", "k", content)
        await tx.run(
            "INSERT INTO account_regions (account, region, max_24h, max_rate, created) VALUES ($2, $1, $3, $4, $5)",
            "us-east-1",
            "1",
            -1,
            2.5,
            1 << 52,
        )
        return [
            await tx.value("SELECT content FROM blobs WHERE key = $1", "k"),
            await tx.row("SELECT account, region, max_24h, max_rate, message_bytes, created FROM account_regions"),
            await tx.value("SELECT sum(created) FROM account_regions"),
            await tx.value("SELECT max_rate > 2 FROM account_regions"),
            await tx.value("SELECT count(*) FROM account_regions"),
            await tx.value("SELECT COALESCE($1, max_24h) FROM account_regions", None),
            await tx.value("SELECT COALESCE($2, max_24h) + $1 FROM account_regions", 5, 2),
            await tx.value("SELECT count(*) FROM account_regions WHERE $1 = '' OR account = $1", ""),
            await tx.value("SELECT account FROM account_regions WHERE account = $1", "nobody"),
            await tx.row("SELECT account FROM account_regions WHERE account = $1", "nobody"),
        ]

    values = ground.run(body)
    assert values == [content, ("1", "us-east-1", -1, 2.5, None, 1 << 52), 1 << 52, 1, 1, -1, 7, 1, None, None]
    assert [type(value) for value in values[2:7]] == [int] * 5


def test_a_transaction_has_the_handed_time(ground: Ground) -> None:
    async def body(tx: Transaction) -> int:
        return tx.now()

    assert ground.run(body) == ground.clock.now()
    ground.clock.advance(3_600_000)
    assert ground.run(body) == ground.clock.now() == ground.read(body)


def test_faults_that_were_asked_for(ground: Ground) -> None:
    ground.db.fail_next(2)  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(Unreachable):
            ground.run(lambda tx: _put(tx, "a"))
    ground.run(lambda tx: _put(tx, "b"))
    assert ground.read(_keys) == ["b"]


def test_a_cancelled_wait_disturbs_nobody(ground: Ground) -> None:
    async def scene() -> None:
        tasks = [asyncio.create_task(ground.db.run(lambda tx, n=n: _put(tx, f"{n:02d}"))) for n in range(20)]  # type: ignore[misc]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert ends[1::2] == [1] * 10
        assert set(map(type, ends[::2])) <= {asyncio.CancelledError, int}

    ground.loop.run_until_complete(scene())
    assert set(ground.read(_keys)) >= {f"{n:02d}" for n in range(1, 20, 2)}
    ground.run(lambda tx: _put(tx, "after"))
