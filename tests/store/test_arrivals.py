"""Arrivals on both databases: made once, claimed once, settled once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mailstead.store import arrivals, work
from mailstead.store.arrivals import Arrival
from mailstead.store.port import Transaction
from peers.database import Ground

ARRIVAL = Arrival("a1", "111122223333", "us-east-1", "s@example.org", '["r@example.net"]', "m1", 7, "db:a1", "{}")


def put(ground: Ground, *rows: Arrival) -> list[bool]:
    async def body(tx: Transaction) -> list[bool]:
        return [await arrivals.put(tx, replace(row, created=ground.clock.now())) for row in rows]

    return ground.run(body)


def claim(ground: Ground, worker: str, limit: int = 10) -> list[Arrival]:
    now = ground.clock.now()
    return ground.run(lambda tx: arrivals.claim(tx, worker=worker, now=now, limit=limit))


def test_the_same_id_is_the_same_arrival(ground: Ground) -> None:
    assert put(ground, ARRIVAL, replace(ARRIVAL, sender="other@example.org")) == [True, False]
    stored = ground.read(lambda tx: arrivals.read(tx, "a1"))
    assert stored == replace(ARRIVAL, created=ground.clock.now(), due=ground.clock.now())
    assert ground.read(lambda tx: arrivals.read(tx, "a2")) is None


def test_an_arrival_is_claimed_by_one(ground: Ground) -> None:
    put(ground, *(replace(ARRIVAL, id=f"a{n}") for n in range(6)))
    assert ground.read(lambda tx: arrivals.anything_due(tx, ground.clock.now()))

    async def both() -> list[list[Arrival]]:
        now = ground.clock.now()

        def one(worker: str) -> asyncio.Future[list[Arrival]]:
            body = ground.db.run(lambda tx: arrivals.claim(tx, worker=worker, now=now, limit=4))
            return asyncio.ensure_future(body)

        return await asyncio.gather(one("x"), one("y"))

    first, second = ground.loop.run_until_complete(both())
    ids = [row.id for row in first + second + claim(ground, "z")]
    assert sorted(ids) == [f"a{n}" for n in range(6)]
    assert not ground.read(lambda tx: arrivals.anything_due(tx, ground.clock.now()))


def test_put_off_and_settled(ground: Ground) -> None:
    put(ground, ARRIVAL)
    assert [row.id for row in claim(ground, "x")] == ["a1"]
    due = ground.clock.now() + 1000
    ground.run(lambda tx: work.again(tx, arrivals.TABLE, "a1", due, "disk full"))
    assert claim(ground, "x") == []
    ground.clock.advance(1000)
    (row,) = claim(ground, "x")
    assert (row.attempts, row.reason) == (1, "disk full")
    assert ground.run(lambda tx: arrivals.settle(tx, "a1", "done"))
    assert not ground.run(lambda tx: arrivals.settle(tx, "a1", "kept"))
    ground.clock.advance(10_000_000)
    assert claim(ground, "x") == []


def test_lists(ground: Ground) -> None:
    put(ground, ARRIVAL)
    ground.clock.advance(1)
    put(ground, replace(ARRIVAL, id="a2", account="444455556666", message=""))
    ground.run(lambda tx: arrivals.settle(tx, "a2", "kept"))
    assert [row.id for row in ground.read(arrivals.list_all)] == ["a2", "a1"]
    assert [row.id for row in ground.read(lambda tx: arrivals.list_all(tx, account="444455556666"))] == ["a2"]
    assert [row.id for row in ground.read(lambda tx: arrivals.list_all(tx, state="queued"))] == ["a1"]
    assert [row.id for row in ground.read(lambda tx: arrivals.of_message(tx, "m1"))] == ["a1"]
    assert ground.read(lambda tx: arrivals.sender_of(tx, "m1")) is None
