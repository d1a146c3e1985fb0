"""Retention: what gets too old ends, whatever state it is in; what is over is forgotten; twice is harmless."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mailstead.base.clock import DAY, HOUR
from mailstead.base.errors import Unreachable
from mailstead.store import arrivals, captures, queue
from mailstead.store.arrivals import Arrival
from mailstead.store.files import FileBlobs
from mailstead.store.port import Transaction
from mailstead.store.queue import Selection
from mailstead.upkeep import retention
from peers.yard import ACCOUNT, RAW, REGION, RETRY_FOR, Yard


def expire(yard: Yard) -> int:
    return yard.wait(retention.expire(yard.runtime, yard.deliverer))


def test_mail_in_a_failing_lane_ends_in_time(yard: Yard) -> None:
    name = yard.put("a@one.example", "b@one.example", "c@two.example")
    due = yard.clock.now() + 20 * HOUR
    yard.run(
        lambda tx: tx.run("UPDATE lanes SET failures = 9, reason = '421 4.4.2 Connection timed out', due = $1", due)
    )
    yard.clock.advance(RETRY_FOR - 1)
    assert expire(yard) == 0
    yard.clock.advance(1)
    assert expire(yard) == 3
    assert {state for _, state in yard.states(name)} == {"expired"}
    assert yard.open(name) == 0
    assert [event.kind for event in yard.events(name)] == ["Bounce", "Bounce"]
    assert all(view.reply.endswith("in 840 minutes.<421 4.4.2 Connection timed out>") for view in yard.deliveries(name))
    assert expire(yard) == 0


def test_held_mail_ends_too_even_in_a_busy_lane(yard: Yard) -> None:
    name = yard.put("a@one.example")
    yard.run(lambda tx: queue.hold(tx, Selection(message=name), yard.clock.now()))
    yard.run(lambda tx: tx.run("UPDATE lanes SET worker = 'another'"))
    yard.clock.advance(RETRY_FOR)
    assert expire(yard) == 1
    assert yard.states(name) == [("a@one.example", "expired")]
    assert len(yard.notices()) == 1


def test_what_is_being_sent_is_left_to_whoever_sends_it(yard: Yard) -> None:
    yard.put("a@one.example")
    yard.run(lambda tx: tx.run("UPDATE lanes SET worker = 'another'"))
    yard.clock.advance(RETRY_FOR)
    assert expire(yard) == 0


def test_a_message_whose_content_is_lost_keeps_nobody_from_their_end(yard: Yard) -> None:
    lost, other = yard.put("a@one.example", age=5), yard.put("b@one.example")
    yard.run(lambda tx: tx.run("DELETE FROM blobs WHERE key = $1", lost))
    yard.clock.advance(RETRY_FOR)
    assert expire(yard) == 2
    assert yard.states(lost) + yard.states(other) == [("a@one.example", "expired"), ("b@one.example", "expired")]


def test_a_database_that_is_away_ends_nothing_and_the_next_time_does(yard: Yard) -> None:
    name = yard.put("a@one.example", age=RETRY_FOR)
    yard.ground.db.fail_next(1)  # type: ignore[attr-defined]
    with pytest.raises(Unreachable):
        expire(yard)
    assert expire(yard) == 1
    assert yard.states(name) == [("a@one.example", "expired")]


def test_two_who_look_at_once_tell_it_once(yard: Yard) -> None:
    name = yard.put("a@one.example", age=RETRY_FOR)

    async def both() -> None:
        await asyncio.gather(*[retention.expire(yard.runtime, yard.deliverer) for _ in range(2)])

    yard.wait(both())
    assert [event.kind for event in yard.events(name)] == ["Bounce"]
    assert len(yard.notices()) == 1


def test_events_are_counted_once(yard: Yard) -> None:
    yard.submit("a@one.example", "b@one.example", "success@simulator.amazonses.com")
    yard.clock.advance(HOUR)
    for _ in range(2):
        yard.wait(retention.roll_up(yard.runtime))
    rows = yard.rows("SELECT account, region, kind, n FROM statistics")
    assert rows == [(ACCOUNT, REGION, "Send", 2)]


def test_what_is_over_for_long_is_forgotten_with_all_that_tells_of_it(yard: Yard) -> None:
    old = yard.submit("a@one.example")
    capture = captures.Capture(old, ACCOUNT, REGION, "[]", f"db:captured-{old}", yard.clock.now())

    async def keep(tx: object) -> None:
        await captures.keep(tx, capture)  # type: ignore[arg-type]
        await yard.blobs.put_in(tx, capture.blob, b"signed")  # type: ignore[arg-type]

    yard.run(keep)
    yard.deliver()
    waiting = yard.put("b@two.example", content=RAW)
    yard.clock.advance(2 * DAY)
    yard.wait(retention.forget(yard.runtime, DAY))
    assert yard.rows("SELECT id FROM messages") == [(waiting,)]
    for table in ("events", "captures", "attempts"):
        assert yard.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert yard.rows("SELECT key FROM blobs") == [(waiting,)]


def test_mail_of_strangers_does_not_stay_for_ever(yard: Yard) -> None:
    """Anybody may write to postmaster: what was dealt with goes, what waits stays."""

    async def arrive(tx: Transaction, name: str) -> None:
        blob = f"db:{name}"
        row = Arrival(name, ACCOUNT, REGION, "s@x.example", "[]", "", 4, blob, "{}", created=yard.clock.now())
        await arrivals.put(tx, row)
        await yard.blobs.put_in(tx, blob, b"spam")

    for name in ("old", "waiting", "new"):
        yard.clock.advance(2 * DAY if name == "new" else 0)
        yard.run(lambda tx, name=name: arrive(tx, name))
        if name != "waiting":
            yard.run(lambda tx, name=name: arrivals.settle(tx, name, "kept"))
    for _ in range(2):
        yard.wait(retention.forget(yard.runtime, DAY))
    assert yard.rows("SELECT id FROM arrivals ORDER BY id") == [("new",), ("waiting",)]
    assert yard.rows("SELECT key FROM blobs ORDER BY key") == [("new",), ("waiting",)]


def test_bodies_that_a_crash_left_are_swept_and_needed_ones_stay(yard: Yard, tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "bodies", yard.runtime.db)
    runtime = replace(yard.runtime, blobs=blobs)
    name = yard.put("a@one.example")
    for ref in ("file:orphan", "file:needed", "file:young"):
        yard.wait(blobs.put(ref, b"x" * 200_000))
    yard.run(lambda tx: tx.run("UPDATE messages SET blob = 'file:needed' WHERE id = $1", name))
    for path in (tmp_path / "bodies").glob("??/??/*"):
        if path.name != "young":
            os.utime(path, (1, 1))
    assert yard.wait(retention.sweep(runtime)) == 1
    assert {path.name for path in (tmp_path / "bodies").glob("??/??/*")} == {"needed", "young"}
    assert yard.wait(retention.sweep(runtime)) == 0


def test_a_step_that_fails_is_told_and_done_again(caplog: pytest.LogCaptureFixture) -> None:
    problems: list[Exception] = [Unreachable("away"), RuntimeError("a bug")]
    done = asyncio.Event()

    async def step() -> None:
        if problems:
            raise problems.pop(0)
        done.set()

    async def scenario() -> None:
        running = asyncio.create_task(retention.every(0.001, "step", step))
        await asyncio.wait_for(done.wait(), 5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
    assert [(record.levelno, record.exc_info is not None) for record in caplog.records] == [
        (logging.WARNING, False),
        (logging.ERROR, True),
    ]
