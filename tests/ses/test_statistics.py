"""Statistics: the same figures before, while and after events are rolled up."""

from __future__ import annotations

import asyncio

from mailstead.base.clock import DAY, MINUTE
from mailstead.ses import events, statistics
from mailstead.ses.statistics import DataPoint

A, B, R = "111111111111", "222222222222", "us-east-1"
Q = 15 * MINUTE


def put(ground, kind, n=1, *, account=A, region=R):
    async def body(tx):
        await events.emit(
            tx, account=account, region=region, message="m", kind=kind, at=tx.now(), detail={}, recipients=n
        )

    ground.run(body)


def points(ground, account=A, region=R):
    return ground.read(lambda tx: statistics.send_statistics(tx, account, region, tx.now()))


def test_counted_before_and_after_the_roll_up(ground):
    start = ground.clock.now() // Q * Q
    put(ground, events.SEND, 3)
    put(ground, events.BOUNCE)
    put(ground, events.DELIVERY, 2)
    ground.clock.advance(Q)
    put(ground, events.SEND, 1)
    put(ground, events.COMPLAINT)
    put(ground, events.REJECT)
    put(ground, events.SEND, 5, account=B)
    put(ground, events.SEND, 7, region="eu-west-1")
    expected = [DataPoint(start, 3, 1, 0, 0), DataPoint(start + Q, 1, 0, 1, 1)]
    assert points(ground) == expected
    for _ in range(3):
        assert not ground.run(statistics.roll)
        assert points(ground) == expected
    ground.clock.advance(2 * MINUTE)
    for _ in range(3):
        assert not ground.run(statistics.roll)
        assert points(ground) == expected
    assert points(ground, account=B) == [DataPoint(start + Q, 5, 0, 0, 0)]
    assert points(ground, region="eu-west-1") == [DataPoint(start + Q, 7, 0, 0, 0)]
    put(ground, events.SEND, 2)
    assert sum(point.delivery_attempts for point in points(ground)) == 6


def test_events_may_go_once_they_are_rolled_up(ground):
    put(ground, events.SEND, 4)
    ground.clock.advance(2 * MINUTE)
    ground.run(statistics.roll)
    ground.run(lambda tx: tx.run("DELETE FROM events"))
    assert [point.delivery_attempts for point in points(ground)] == [4]


def test_in_batches(ground, monkeypatch):
    monkeypatch.setattr(statistics, "BATCH", 3)
    for _ in range(10):
        put(ground, events.SEND)
        ground.clock.advance(10)
    ground.clock.advance(2 * MINUTE)
    steps = 0
    while ground.run(statistics.roll):
        steps += 1
        assert sum(point.delivery_attempts for point in points(ground)) == 10
    assert steps == 3
    assert ground.read(lambda tx: tx.value("SELECT CAST(sum(n) AS BIGINT) FROM statistics")) == 10


def test_two_that_roll_at_once_count_once(ground):
    put(ground, events.SEND, 4)
    ground.clock.advance(2 * MINUTE)

    async def both():
        await asyncio.gather(*(ground.db.run(statistics.roll) for _ in range(5)))

    ground.loop.run_until_complete(both())
    assert [point.delivery_attempts for point in points(ground)] == [4]


def test_simulator_mail_and_old_windows_are_left_out(ground):
    put(ground, events.SEND, 0)
    assert points(ground) == []
    put(ground, events.SEND, 1)
    ground.clock.advance(13 * DAY)
    ground.run(statistics.roll)
    assert len(points(ground)) == 1
    ground.clock.advance(DAY + Q)
    assert points(ground) == []
    assert ground.run(statistics.forget_old) == 1
