"""Queue: what an operator sees of it and does to it."""

from __future__ import annotations

import pytest

from mailstead.base.clock import HOUR
from mailstead.store import queue, spool
from mailstead.store.queue import Selection
from mailstead.store.spool import NEVER, Message, Recipient
from peers.database import Ground

A, B = "111122223333", "444455556666"


def store(ground: Ground, name: str, *to: str, account: str = A) -> None:
    now = ground.clock.now()
    row = Message(name, account, "us-east-1", "submission", "s@x.example", "v@p", "", "", 0, 9, f"db:{name}", "{}", now)
    recipients = [Recipient(address, address.rpartition("@")[2].lower(), now + 14 * HOUR) for address in to]
    ground.run(lambda tx: spool.put(tx, row, recipients))


@pytest.fixture
def filled(ground: Ground) -> Ground:
    store(ground, "m1", "x@a.example", "y@b.example")
    store(ground, "m2", "X@A.example", account=B)
    return ground


def states(ground: Ground) -> dict[str, str]:
    rows = ground.read(lambda tx: tx.rows("SELECT message, n, state FROM deliveries ORDER BY message, n"))
    return {f"{message}/{n}": state for message, n, state in rows}


def lanes(ground: Ground) -> dict[str, queue.LaneView]:
    return {view.lane: view for view in ground.read(queue.lanes)}


def test_lanes_the_fullest_first_with_why_they_wait(filled: Ground) -> None:
    now = filled.clock.now()
    filled.run(lambda tx: tx.run("UPDATE deliveries SET state = 'deferred', reply = '450 no' WHERE message = 'm2'"))
    assert list(lanes(filled)) == ["a.example", "b.example"]
    assert lanes(filled)["a.example"] == queue.LaneView("a.example", 2, 0, now, now, 0, False, "450 no")
    filled.run(lambda tx: tx.run("UPDATE lanes SET reason = 'away', failures = 2, worker = 'w'"))
    assert lanes(filled)["a.example"] == queue.LaneView("a.example", 2, 0, now, now, 2, True, "away")
    assert [view.lane for view in filled.read(lambda tx: queue.lanes(tx, limit=1))] == ["a.example"]


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(), {"m1/0", "m1/1", "m2/0"}),
        (Selection(lane="a.example"), {"m1/0", "m2/0"}),
        (Selection(message="m1"), {"m1/0", "m1/1"}),
        (Selection(recipient="x@a.example"), {"m1/0"}),
        (Selection(account=B), {"m2/0"}),
        (Selection(domain="a.example"), {"m1/0", "m2/0"}),
        (Selection(domain="example"), set()),
        (Selection(domain="%"), set()),
        (Selection(domain="_.example"), set()),
        (Selection(state="held"), set()),
        (Selection(message="m1", lane="b.example"), {"m1/1"}),
        (Selection(message="m1' OR '1'='1"), set()),
    ],
)
def test_selections(filled: Ground, selection: Selection, found: set[str]) -> None:
    views = filled.read(lambda tx: queue.deliveries(tx, selection))
    assert {f"{view.message}/{view.n}" for view in views} == found
    assert filled.read(lambda tx: queue.count(tx, selection)) == len(found)


def test_retry_brings_forward_what_waits_for_later_and_its_lane(filled: Ground) -> None:
    now = filled.clock.now()
    filled.run(lambda tx: tx.run("UPDATE deliveries SET due = $1 WHERE lane = 'a.example'", now + HOUR))
    filled.run(lambda tx: tx.run("UPDATE lanes SET due = $1, failures = 3 WHERE lane = 'a.example'", now + HOUR))
    assert filled.run(lambda tx: queue.retry(tx, Selection(message="m1"), now)) == 1
    assert lanes(filled)["a.example"].due == now
    assert filled.run(lambda tx: queue.retry(tx, Selection(), now)) == 1  # m2
    assert filled.run(lambda tx: queue.retry(tx, Selection(), now)) == 0


def test_hold_and_release(filled: Ground) -> None:
    now = filled.clock.now()
    assert filled.run(lambda tx: queue.hold(tx, Selection(lane="a.example"), now)) == 2
    assert filled.run(lambda tx: queue.hold(tx, Selection(lane="a.example"), now)) == 0
    assert states(filled) == {"m1/0": "held", "m1/1": "queued", "m2/0": "held"}
    assert filled.read(lambda tx: spool.pull(tx, "a.example", now, 9)) == []
    assert (lanes(filled)["a.example"].waiting, lanes(filled)["a.example"].held) == (2, 2)
    assert filled.run(lambda tx: queue.retry(tx, Selection(), now)) == 0  # held stays held
    filled.run(lambda tx: tx.run("DELETE FROM lanes WHERE lane = 'a.example'"))
    assert filled.run(lambda tx: queue.release(tx, Selection(message="m1"), now + 5)) == 1
    assert states(filled) == {"m1/0": "queued", "m1/1": "queued", "m2/0": "held"}
    assert lanes(filled)["a.example"].due == now + 5
    assert [row.due for row in filled.read(lambda tx: spool.pull(tx, "a.example", now + 5, 9))] == [now + 5]


def test_wake_lanes(filled: Ground) -> None:
    now = filled.clock.now()
    filled.run(lambda tx: tx.run("UPDATE lanes SET due = $1, failures = 3", now + HOUR))
    filled.run(lambda tx: tx.run("UPDATE deliveries SET state = 'held', due = $1 WHERE lane = 'b.example'", NEVER))
    assert filled.run(lambda tx: queue.wake_lanes(tx, Selection(), now)) == 1
    assert lanes(filled)["a.example"].due == now
    assert lanes(filled)["b.example"].due == now + HOUR


def test_delete_ends_deliveries_and_names_blobs_that_nobody_needs(filled: Ground) -> None:
    now = filled.clock.now()
    assert filled.run(lambda tx: queue.delete(tx, Selection(lane="a.example"), now)) == (2, ["db:m2"])
    assert states(filled) == {"m1/0": "deleted", "m1/1": "queued", "m2/0": "deleted"}
    assert filled.run(lambda tx: queue.delete(tx, Selection(), now)) == (1, ["db:m1"])
    assert filled.run(lambda tx: queue.delete(tx, Selection(), now)) == (0, [])
    assert filled.read(lambda tx: tx.rows("SELECT open FROM messages")) == [(0,), (0,)]


def test_actions_come_in_batches(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "BATCH", 2)
    store(ground, "m", *[f"r{n}@a.example" for n in range(5)])
    now = ground.clock.now()
    assert [ground.run(lambda tx: queue.hold(tx, Selection(), now)) for _ in range(4)] == [2, 2, 1, 0]
    assert [ground.run(lambda tx: queue.release(tx, Selection(), now)) for _ in range(4)] == [2, 2, 1, 0]


def test_all_of_a_message_final_ones_too(filled: Ground) -> None:
    now = filled.clock.now()
    filled.run(lambda tx: queue.delete(tx, Selection(recipient="x@a.example"), now))
    views = filled.read(lambda tx: queue.of_message(tx, "m1"))
    assert [(view.recipient, view.state, view.due) for view in views] == [
        ("x@a.example", "deleted", None),
        ("y@b.example", "queued", now),
    ]
    assert filled.read(lambda tx: queue.attempts_of(tx, "m1")) == []
