"""Spool: messages, deliveries and lanes; whoever comes second changes nothing, and no lane sleeps with mail in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mailstead.base.clock import HOUR, MINUTE
from mailstead.store import captures, spool, work
from mailstead.store.port import Duplicate, Transaction
from mailstead.store.spool import NEVER, Message, Recipient, Try, Waiting
from peers.database import Ground

LATER = Try("deferred", "450 later", "mx [192.0.2.1]:25", "TLSv1.3", 0)


def message(ground: Ground, name: str) -> Message:
    now = ground.clock.now()
    account, region = "111122223333", "us-east-1"
    return Message(name, account, region, "submission", "s@x.example", "v@p", "", "", 0, 9, "db:b", "{}", now)


async def put(tx: Transaction, ground: Ground, name: str, *to: str, expires: int = 14 * HOUR) -> None:
    end = ground.clock.now() + expires
    recipients = [Recipient(address, address.rpartition("@")[2], end) for address in to]
    await spool.put(tx, message(ground, name), recipients)


def store(ground: Ground, name: str, *to: str, expires: int = 14 * HOUR) -> None:
    ground.run(lambda tx: put(tx, ground, name, *to, expires=expires))


def pulled(ground: Ground, lane: str, limit: int = 100) -> list[Waiting]:
    now = ground.clock.now()
    return ground.read(lambda tx: spool.pull(tx, lane, now, limit))


def lane(ground: Ground, name: str = "a.example") -> tuple[object, ...] | None:
    return ground.read(lambda tx: tx.row("SELECT due, worker, failures, reason FROM lanes WHERE lane = $1", name))


def lease(ground: Ground, worker: str = "w") -> list[str]:
    now = ground.clock.now()
    found = ground.run(lambda tx: work.claim_lanes(tx, worker=worker, now=now, healthy=10, failing=10))
    return sorted(name for name, _ in found)


def let_go(ground: Ground, worker: str = "w") -> None:
    now = ground.clock.now()
    ground.run(lambda tx: spool.let_go(tx, "a.example", worker, now))


def names(rows: Sequence[Waiting]) -> list[tuple[str, int]]:
    return [(row.message, row.n) for row in rows]


# -- what is due


def test_the_longest_waiting_first_siblings_side_by_side(ground: Ground) -> None:
    store(ground, "m2", "x@a.example", "y@b.example", "z@a.example")
    ground.clock.advance(1)
    store(ground, "m1", "x@a.example", "y@a.example")
    store(ground, "m0", "x@a.example")
    ground.clock.advance(-1)
    assert names(pulled(ground, "a.example")) == [("m2", 0), ("m2", 2)]
    ground.clock.advance(1)
    assert names(pulled(ground, "a.example")) == [("m2", 0), ("m2", 2), ("m0", 0), ("m1", 0), ("m1", 1)]
    assert names(pulled(ground, "a.example", 3)) == [("m2", 0), ("m2", 2), ("m0", 0)]


def test_a_message_stands_once(ground: Ground) -> None:
    store(ground, "m", "x@a.example")
    with pytest.raises(Duplicate):
        store(ground, "m", "x@a.example")


# -- the end of a delivery


def test_a_delivery_ends_once(ground: Ground) -> None:
    store(ground, "m", "x@a.example", "y@a.example")
    now = ground.clock.now()
    ended = [(0, Try("delivered", "250 ok")), (1, Try("bounced", "550 no"))]
    assert ground.run(lambda tx: spool.finish(tx, "m", ended[:1], now)) == [0]
    assert ground.run(lambda tx: spool.finish(tx, "m", ended, now)) == [1]
    assert ground.run(lambda tx: spool.finish(tx, "m", ended, now)) == []
    assert ground.run(lambda tx: spool.finish(tx, "other", ended, now)) == []


def test_the_last_one_names_the_blob(ground: Ground) -> None:
    store(ground, "m", "x@a.example", "y@a.example", "z@a.example")
    assert ground.run(lambda tx: spool.count_down(tx, "m", 2, 5)) is None
    assert ground.run(lambda tx: spool.count_down(tx, "m", 1, 6)) == "db:b"
    assert ground.read(lambda tx: tx.row("SELECT open, done FROM messages")) == (0, 6)
    assert ground.run(lambda tx: spool.count_down(tx, "unknown", 1, 6)) is None


def test_a_try_is_noted_once(ground: Ground) -> None:
    store(ground, "m", "x@a.example")
    (waiting,) = pulled(ground, "a.example")
    now = ground.clock.now()
    last = Try("deferred", "450 later", "mx", "", now + MINUTE)
    assert ground.run(lambda tx: spool.put_off(tx, waiting, last, now))
    assert not ground.run(lambda tx: spool.put_off(tx, waiting, last, now + 1))
    assert ground.read(lambda tx: tx.rows("SELECT attempts, due FROM deliveries")) == [(1, now + MINUTE)]
    assert ground.read(lambda tx: tx.rows("SELECT n, attempt, at FROM attempts")) == [(0, 1, now)]


@pytest.mark.parametrize("state", ["held", "delivered"])
def test_what_is_held_or_over_is_not_put_off(ground: Ground, state: str) -> None:
    store(ground, "m", "x@a.example")
    (waiting,) = pulled(ground, "a.example")
    due = NEVER if state == "held" else None
    ground.run(lambda tx: tx.run("UPDATE deliveries SET state = $1, due = $2", state, due))
    assert not ground.run(lambda tx: spool.put_off(tx, waiting, LATER, 1))
    assert ground.read(lambda tx: tx.rows("SELECT state, due FROM deliveries")) == [(state, due)]
    assert ground.read(lambda tx: tx.rows("SELECT * FROM attempts")) == []


def test_a_fault_of_our_own_is_no_try(ground: Ground) -> None:
    store(ground, "m", "x@a.example", "y@a.example", "z@a.example")
    now = ground.clock.now()
    ground.run(lambda tx: tx.run("UPDATE deliveries SET state = 'held', due = $1 WHERE n = 1", NEVER))
    ground.run(lambda tx: spool.finish(tx, "m", [(2, Try("delivered", "250"))], now))
    for n in range(3):
        waiting = Waiting("m", n, "x@a.example", 0, now, now)
        ground.run(lambda tx, waiting=waiting: spool.postpone(tx, waiting, now + MINUTE, "451 fault", now))
    rows = ground.read(lambda tx: tx.rows("SELECT state, due, attempts, reply FROM deliveries ORDER BY n"))
    assert rows == [("deferred", now + MINUTE, 0, "451 fault"), ("held", NEVER, 0, ""), ("delivered", None, 1, "250")]
    assert ground.read(lambda tx: tx.rows("SELECT * FROM attempts")) == []


# -- lanes


def test_new_mail_makes_its_lanes_due_and_a_failing_one_keeps_its_time(ground: Ground) -> None:
    store(ground, "m1", "x@a.example", "y@b.example")
    now = ground.clock.now()
    assert lane(ground) == (now, None, 0, "")
    assert lease(ground) == ["a.example", "b.example"]
    ground.run(lambda tx: spool.unreachable(tx, "a.example", worker="w", due=now + HOUR, reason="away", now=now))
    assert lane(ground) == (now + HOUR, None, 1, "away")
    store(ground, "m2", "x@a.example", "y@b.example")
    assert lane(ground) == (now + HOUR, None, 1, "away")
    ground.run(lambda tx: spool.make_due_now(tx, "a.example", now))
    assert lane(ground) == (now, None, 1, "away")
    ground.run(lambda tx: spool.reached(tx, "a.example"))
    assert lane(ground) == (now, None, 0, "")


def test_mail_that_waits_for_later_is_no_reason_to_keep_new_mail_waiting(ground: Ground) -> None:
    store(ground, "m1", "x@a.example")
    lease(ground)
    now = ground.clock.now()
    (waiting,) = pulled(ground, "a.example")
    ground.run(lambda tx: spool.put_off(tx, waiting, Try("deferred", "450", next_due=now + HOUR), now))
    let_go(ground)
    assert lane(ground) == (now + HOUR, None, 0, "")
    store(ground, "m2", "x@a.example")
    assert lane(ground) == (now, None, 0, "")


def test_a_lane_is_let_go_to_its_next_delivery_or_for_good(ground: Ground) -> None:
    store(ground, "m1", "x@a.example")
    now = ground.clock.now()
    lease(ground)
    let_go(ground)
    assert lane(ground) == (now, None, 0, "")
    lease(ground)
    ground.run(lambda tx: spool.finish(tx, "m1", [(0, Try("delivered", "250"))], now))
    let_go(ground)
    assert lane(ground) is None
    let_go(ground)  # twice is harmless


@pytest.mark.parametrize("how", ["let go", "unreachable"])
def test_a_lease_of_another_is_not_ours_to_give_back(ground: Ground, how: str) -> None:
    store(ground, "m1", "x@a.example")
    lease(ground, "another")
    now = ground.clock.now()
    if how == "let go":
        let_go(ground, "us")
    else:
        ground.run(lambda tx: spool.unreachable(tx, "a.example", worker="us", due=now + 9, reason="x", now=now))
    assert lane(ground) == (now, "another", 0, "")


def test_a_lane_with_held_mail_only_forgets_its_failures(ground: Ground) -> None:
    store(ground, "m1", "x@a.example")
    now = ground.clock.now()
    ground.run(lambda tx: tx.run("UPDATE lanes SET failures = 3"))
    ground.run(lambda tx: tx.run("UPDATE deliveries SET state = 'held', due = $1", NEVER))
    assert lease(ground) == ["a.example"]
    let_go(ground)
    assert lane(ground) == (NEVER, None, 0, "")
    store(ground, "m2", "x@a.example")
    assert lane(ground) == (now, None, 0, "")


def test_failures_stay_where_mail_waits(ground: Ground) -> None:
    store(ground, "m1", "x@a.example")
    ground.run(lambda tx: tx.run("UPDATE lanes SET failures = 3"))
    lease(ground)
    let_go(ground)
    assert (lane(ground) or ())[2] == 3


def test_is_anything_due(ground: Ground) -> None:
    now = ground.clock.now()

    def due(at: int = now) -> bool:
        return ground.read(lambda tx: spool.anything_due(tx, at))

    assert not due()
    store(ground, "m1", "x@a.example")
    assert due()
    assert not due(now - 1)
    ground.run(lambda tx: tx.run("UPDATE lanes SET failures = 2"))
    assert due()
    assert lease(ground) == ["a.example"]
    assert not due()
    assert ground.read(lambda tx: spool.leased(tx, "w")) == ["a.example"]
    assert ground.read(lambda tx: spool.leased(tx, "v")) == []


def test_why_a_delivery_waits(ground: Ground) -> None:
    store(ground, "m", "x@a.example", "y@a.example", "z@b.example")
    ground.run(lambda tx: tx.run("UPDATE lanes SET reason = 'away'"))
    ground.run(lambda tx: tx.run("UPDATE deliveries SET reply = '450 own' WHERE n = 1"))
    assert ground.read(lambda tx: spool.last_words(tx, "m", "a.example")) == {0: "away", 1: "450 own"}
    ground.run(lambda tx: tx.run("DELETE FROM lanes"))
    assert ground.read(lambda tx: spool.last_words(tx, "m", "a.example")) == {0: "", 1: "450 own"}


# -- too old


def overdue(ground: Ground, limit: int = 100) -> list[tuple[str, str]]:
    now = ground.clock.now()
    rows = ground.read(lambda tx: spool.overdue(tx, now, limit))
    return [(name, waiting.message) for name, waiting in rows]


def test_what_is_too_old_in_lanes_that_nobody_holds(ground: Ground) -> None:
    store(ground, "young", "x@a.example")
    store(ground, "old", "x@a.example", expires=0)
    store(ground, "busy", "x@b.example", expires=0)
    ground.run(lambda tx: tx.run("UPDATE lanes SET worker = 'w' WHERE lane = 'b.example'"))
    assert overdue(ground) == [("a.example", "old")]


def test_held_mail_gets_too_old_wherever_it_is_and_mail_without_a_lane_too(ground: Ground) -> None:
    store(ground, "held", "x@b.example", expires=0)
    ground.run(lambda tx: tx.run("UPDATE deliveries SET state = 'held', due = $1", NEVER))
    ground.run(lambda tx: tx.run("UPDATE lanes SET worker = 'w'"))
    store(ground, "lost", "x@c.example", expires=0)
    ground.run(lambda tx: tx.run("DELETE FROM lanes WHERE lane = 'c.example'"))
    assert sorted(overdue(ground)) == [("b.example", "held"), ("c.example", "lost")]
    assert len(overdue(ground, 1)) == 1


# -- two processes


async def _race(ground: Ground, *, acceptance_first: bool) -> None:
    """An acceptance and the end of a lease at the same time, each holding its transaction open for a while."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    now = ground.clock.now()

    async def accept(tx: Transaction) -> None:
        await put(tx, ground, "new", "x@a.example")
        if acceptance_first:
            begun.set()
            await go_on.wait()

    async def give_back(tx: Transaction) -> None:
        await spool.let_go(tx, "a.example", "w", now)
        if not acceptance_first:
            begun.set()
            await go_on.wait()

    first, second = (accept, give_back) if acceptance_first else (give_back, accept)
    one = asyncio.create_task(ground.db.run(first))
    await begun.wait()
    two = asyncio.create_task(ground.db.run(second))
    done, _ = await asyncio.wait([two], timeout=0.2)
    assert not done  # it waits for the other's commit
    go_on.set()
    await asyncio.gather(one, two)


# SQLite has one writer: nothing happens at the same time.
@pytest.mark.parametrize("database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
@pytest.mark.parametrize("acceptance_first", [True, False])
def test_no_lane_sleeps_when_mail_comes_while_it_is_let_go(ground: Ground, *, acceptance_first: bool) -> None:
    store(ground, "old", "x@a.example")
    lease(ground)
    now = ground.clock.now()
    ground.run(lambda tx: spool.finish(tx, "old", [(0, Try("delivered", "250"))], now))
    ground.loop.run_until_complete(asyncio.wait_for(_race(ground, acceptance_first=acceptance_first), 10))
    assert lane(ground) == (now, None, 0, "")
    assert names(pulled(ground, "a.example")) == [("new", 0)]


# -- captures


def test_a_capture_stands_once_with_its_latest_recipients(ground: Ground) -> None:
    for recipients in ('["a"]', '["a","b"]'):
        one = captures.Capture("m", "111122223333", "us-east-1", recipients, "db:captured-m", 5)
        ground.run(lambda tx, one=one: captures.keep(tx, one))
    found = ground.read(lambda tx: captures.find(tx, "m"))
    assert found is not None
    assert found.recipients_json == '["a","b"]'
    assert ground.run(lambda tx: captures.forget(tx, message="other")) == []
    assert ground.run(captures.forget) == ["db:captured-m"]
    assert ground.read(lambda tx: captures.find(tx, "m")) is None


def test_what_was_handed_in_is_kept_byte_for_byte_and_listed_oldest_first(ground: Ground) -> None:
    for name in ("m2", "m1"):
        store(ground, name, "x@a.example")
        ground.run(lambda tx, name=name: captures.keep_submitted(tx, name, b"\xff\0" + name.encode()))
        ground.run(lambda tx, name=name: captures.keep_submitted(tx, name, b"again"))
    rows = ground.read(captures.submitted)
    assert [(row[0], bytes(row[3])) for row in rows] == [("m1", b"\xff\0m1"), ("m2", b"\xff\0m2")]
    assert [row[0] for row in ground.read(lambda tx: captures.submitted(tx, message="m2"))] == ["m2"]
    ground.run(lambda tx: captures.forget(tx, message="m1"))
    assert [row[0] for row in ground.read(captures.submitted)] == ["m2"]
