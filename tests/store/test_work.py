"""A row has one worker at a time, and none when that worker is gone."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.store import work
from mailstead.store.port import Row, Transaction
from peers.database import Ground

NOW = 1_000_000


async def _timers(tx: Transaction, count: int, due: int = NOW) -> None:
    rows = [(f"t{n:03d}", "verify", due + n) for n in range(count)]
    await work.insert_many(tx, "timers", ("id", "kind", "due"), rows)


def _claim(ground: Ground, worker: str, limit: int = 100, now: int = NOW + 1000, where: str = "") -> list[Row]:
    return sorted(ground.run(lambda tx: work.claim(tx, "timers", worker=worker, now=now, limit=limit, where=where)))


def test_claiming_twice_gives_nothing_the_second_time(ground: Ground) -> None:
    ground.run(lambda tx: _timers(tx, 3))
    assert _claim(ground, "w") == [("t000", 0), ("t001", 0), ("t002", 0)]
    assert _claim(ground, "w") == _claim(ground, "v") == []


def test_the_longest_waiting_come_first_and_nothing_early(ground: Ground) -> None:
    ground.run(lambda tx: _timers(tx, 9))
    assert [row[0] for row in _claim(ground, "w", limit=4)] == ["t000", "t001", "t002", "t003"]
    assert [row[0] for row in _claim(ground, "w", now=NOW + 5)] == ["t004", "t005"]
    assert [row[0] for row in _claim(ground, "w", where="id > 't007'")] == ["t008"]
    assert _claim(ground, "w", limit=0) == []


def test_again_and_done(ground: Ground) -> None:
    ground.run(lambda tx: _timers(tx, 2))
    _claim(ground, "w")
    ground.run(lambda tx: work.again(tx, "timers", "t000", NOW + 5000, "450 busy"))
    ground.run(lambda tx: work.done(tx, "timers", "t001"))
    assert _claim(ground, "w", now=NOW + 4999) == []
    assert _claim(ground, "w", now=NOW + 5000) == [("t000", 1)]


def test_healthy_lanes_before_failing_ones(ground: Ground) -> None:
    lanes = [(f"bad{n}", NOW + n, 3) for n in range(50)] + [(f"good{n}", NOW + 100 + n, 0) for n in range(5)]

    async def claim(tx: Transaction) -> list[tuple[str, int]]:
        return await work.claim_lanes(tx, worker="w", now=NOW + 200, healthy=3, failing=2)

    ground.run(lambda tx: work.insert_many(tx, "lanes", ("lane", "due", "failures"), lanes))
    assert sorted(ground.run(claim)) == [("bad0", 3), ("bad1", 3), ("good0", 0), ("good1", 0), ("good2", 0)]
    assert sorted(ground.run(claim)) == [("bad2", 3), ("bad3", 3), ("good3", 0), ("good4", 0)]
    ground.run(lambda tx: work.again(tx, "lanes", "bad0", NOW + 150, "no route"))
    ground.run(lambda tx: work.done(tx, "lanes", "good0"))


def test_an_unknown_table_is_refused(ground: Ground) -> None:
    with pytest.raises(KeyError):
        ground.run(lambda tx: work.claim(tx, "accounts", worker="w", now=NOW, limit=1))
    with pytest.raises(AssertionError):
        ground.run(lambda tx: work.insert_many(tx, "settings; --", ("key",), [("a",)]))


def test_inserting_may_leave_alone_what_is_there(ground: Ground) -> None:
    ground.run(lambda tx: _timers(tx, 2))
    rows = [("t001", "warm", 7), ("t002", "warm", 7)]
    ground.run(lambda tx: work.insert_many(tx, "timers", ("id", "kind", "due"), rows, ignore=True))

    async def kinds(tx: Transaction) -> list[Row]:
        return await tx.rows("SELECT id, kind FROM timers ORDER BY id")

    assert ground.read(kinds) == [("t000", "verify"), ("t001", "verify"), ("t002", "warm")]


def test_the_rows_of_a_dead_worker_come_free(ground: Ground) -> None:
    ground.run(lambda tx: _timers(tx, 6))
    for worker in ("dead", "alive"):
        ground.run(lambda tx, worker=worker: work.register(tx, worker, "host", 1))  # type: ignore[misc]
        _claim(ground, worker, limit=2)
    _claim(ground, "unheard of", limit=2)
    ground.clock.advance(60_000)
    assert ground.run(lambda tx: work.beat(tx, "alive"))
    before = ground.clock.now() - 30_000
    assert ground.run(lambda tx: work.release_dead(tx, before)) == 4
    assert not ground.run(lambda tx: work.beat(tx, "dead"))
    assert [row[0] for row in _claim(ground, "alive")] == ["t000", "t001", "t004", "t005"]


def test_leases_end_with_their_process(ground: Ground) -> None:
    ground.run(lambda tx: _timers(tx, 3))
    for worker in ("a", "b", "c"):
        ground.run(lambda tx, worker=worker: work.register(tx, worker, "host", 1))  # type: ignore[misc]
        _claim(ground, worker, limit=1)
    assert ground.run(lambda tx: work.forget(tx, "a")) == 1
    assert ground.run(lambda tx: work.release_all_but(tx, "c")) == 1
    assert [row[0] for row in _claim(ground, "c")] == ["t000", "t001"]


def test_many_claim_at_once_and_never_the_same(ground: Ground) -> None:
    ground.run(lambda tx: _timers(tx, 200))

    async def take(worker: str) -> list[str]:
        mine: list[str] = []
        while rows := await ground.db.run(
            lambda tx: work.claim(tx, "timers", worker=worker, now=NOW + 1000, limit=7, columns="id")
        ):
            mine += [row[0] for row in rows]
        return mine

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*(take(f"w{n}") for n in range(8)))

    taken = [row for mine in ground.loop.run_until_complete(all_of_them()) for row in mine]
    assert len(taken) == 200
    assert len(set(taken)) == 200


# The plan of PostgreSQL depends on statistics.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_claiming_reads_an_index_and_not_the_queue(ground: Ground) -> None:
    async def plan(tx: Transaction) -> str:
        sql = "EXPLAIN QUERY PLAN SELECT lane FROM lanes WHERE due <= $1 AND worker IS NULL AND "
        plans = [await tx.rows(sql + more + " ORDER BY due LIMIT 5", NOW) for more in ("failures = 0", "failures > 0")]
        return " / ".join(row[3] for rows in plans for row in rows)

    assert ground.read(plan) == (
        "SEARCH lanes USING INDEX lanes_healthy (due<?) / SEARCH lanes USING INDEX lanes_failing (due<?)"
    )
