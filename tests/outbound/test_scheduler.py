"""Scheduler: lanes are drained side by side; what is wrong with one lane or one message stays there."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.base.clock import HOUR, MINUTE
from mailstead.outbound import delivery, drain
from mailstead.outbound import scheduler as scheduling
from mailstead.outbound.budget import Budget
from mailstead.proto.smtp.reply import Reply
from mailstead.store import queue
from mailstead.store.queue import Selection
from mailstead.store.spool import NEVER
from peers.yard import OK, RAW, RETRY_FOR, Yard

AWAY = "421 4.4.1 Failed to establish connection to one.example"


def states(yard: Yard, *names: str) -> list[str]:
    return [state for name in names for _, state in yard.states(name)]


# -- the usual way


def test_mail_is_delivered_and_nothing_is_left(yard: Yard) -> None:
    names = [yard.submit("a@one.example", "b@two.example"), yard.submit("c@one.example")]
    yard.deliver()
    assert states(yard, *names) == ["delivered"] * 3
    assert sorted(yard.script.tried) == ["a@one.example", "b@two.example", "c@one.example"]
    assert yard.rows("SELECT lane FROM lanes") == []
    assert yard.rows("SELECT key FROM blobs") == []
    assert {yard.open(name) for name in names} == {0}


def test_what_the_agent_is_given(yard: Yard) -> None:
    name = yard.submit("a@one.example", raw=RAW + b"\xff\r\n")
    yard.clock.advance(1000)
    yard.deliver()
    (parcel,) = yard.script.parcels
    assert (parcel.message, parcel.recipients, parcel.eight_bit) == (name, ("a@one.example",), True)
    assert parcel.sender == f"{name}@mailstead.test"
    content = b"".join(parcel.pieces("192.0.2.99"))
    header, _, body = content.partition(b"\r\n\r\n")
    assert header.endswith(b":AmazonSES\r\nX-SES-Outgoing: 2025.06.15-192.0.2.99")
    assert body == b"body\r\n\xff\r\n"


def test_siblings_travel_together(yard: Yard) -> None:
    to = [f"r{n}@one.example" for n in range(50)]
    name = yard.submit(*to)
    yard.deliver()
    assert [parcel.recipients for parcel in yard.script.parcels] == [tuple(to)]
    assert states(yard, name) == ["delivered"] * 50


def test_siblings_travel_together_behind_many_others(yard: Yard) -> None:
    async def scenario() -> list[str]:
        for n in range(drain.WINDOW + 5):
            await yard.putting(f"x{n}@one.example")
        names = [await yard.putting(*[f"r{n}-{m}@one.example" for n in range(50)]) for m in range(5)]
        await yard.until_quiet()
        return names

    names = yard.play(scenario)
    for name in names:
        assert [len(parcel.recipients) for parcel in yard.script.parcels if parcel.message == name] == [50]
    assert len(yard.script.tried) == drain.WINDOW + 5 + 250


def test_the_oldest_goes_first(yard: Yard) -> None:
    for n in range(100):
        yard.put(f"r{n}@one.example", age=(100 - n) * MINUTE)
    yard.deliver()
    order = [int(recipient[1:].partition("@")[0]) for recipient in yard.script.tried]
    # Those that go together overtake each other, nobody else.
    assert all(abs(place - n) <= drain.WINDOW for place, n in enumerate(order))


def test_the_window_bounds_one_lane(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "LINGER", 60.0)

    async def scenario() -> None:
        first = await yard.putting("first@one.example")  # somebody answers there
        await yard.until_asked("delivered", "SELECT state FROM deliveries WHERE message = $1", first)
        yard.script.open.clear()
        for n in range(100):
            await yard.putting(f"r{n}@one.example")
        await yard.until(lambda: yard.script.under_way > drain.WINDOW - drain.REFILL)
        yard.script.open.set()
        await yard.until_asked(0, "SELECT count(*) FROM deliveries WHERE due IS NOT NULL")

    yard.play(scenario)
    assert yard.script.most <= drain.WINDOW
    assert len(yard.script.tried) == len(set(yard.script.tried)) == 101


def test_a_lane_that_hangs_leaves_the_others_alone(yard: Yard) -> None:
    yard.script.closed_lanes.add("stuck.example")
    stuck = [yard.put(f"r{n}@stuck.example") for n in range(60)]
    name = yard.put("r@one.example")

    async def scenario() -> None:
        await yard.until_asked("delivered", "SELECT state FROM deliveries WHERE message = $1", name)

    yard.play(scenario, grace=0.2)
    assert states(yard, name) == ["delivered"]
    assert states(yard, *stuck) == ["queued"] * 60
    assert yard.script.cut_off > 0


def test_mail_that_falls_due_in_a_busy_lane_is_not_kept_waiting(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "LOOK", 0.02)
    hung = yard.put("hung@one.example")

    async def scenario() -> None:
        yard.script.open.clear()
        await yard.until(lambda: yard.script.under_way == 1)
        yard.script.open = asyncio.Event()  # the first one waits for ever, who comes later does not
        yard.script.open.set()
        # As another process would: no signal.
        late = await yard.putting("late@one.example")
        yard.clock.advance(MINUTE)
        await yard.until_asked("delivered", "SELECT state FROM deliveries WHERE message = $1", late)

    yard.play(scenario, grace=0.2)
    assert states(yard, hung) == ["queued"]


def test_new_mail_wakes_a_lane_that_lingers(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "LINGER", 60.0)

    async def scenario() -> None:
        first = await yard.putting("a@one.example")
        await yard.until_asked("delivered", "SELECT state FROM deliveries WHERE message = $1", first)
        assert await yard.asked("SELECT worker FROM lanes WHERE lane = 'one.example'") == "yard"
        second = await yard.putting("b@one.example")
        await yard.until_asked("delivered", "SELECT state FROM deliveries WHERE message = $1", second)
        assert await yard.asked("SELECT worker FROM lanes WHERE lane = 'one.example'") == "yard"

    yard.play(scenario)
    assert yard.lane("one.example") is None


# -- a lane that cannot be reached


def test_a_dead_host_moves_one_row(yard: Yard) -> None:
    names = [yard.put(f"r{n}@one.example", age=n) for n in range(drain.WINDOW * 3)]
    yard.script.away.add("one.example")

    async def scenario() -> None:
        await yard.until_asked(1, "SELECT failures FROM lanes WHERE lane = 'one.example' AND worker IS NULL")

    yard.play(scenario)
    now = yard.clock.now()
    due, worker, failures, reason = yard.lane("one.example") or (0, "", 0, "")
    assert now < int(str(due)) <= now + 2 * MINUTE
    assert (worker, failures, reason) == (None, 1, AWAY)
    ((touched,),) = yard.rows("SELECT count(*) FROM deliveries WHERE attempts > 0")
    assert 1 <= int(str(touched)) <= drain.WINDOW
    assert len(yard.script.parcels) == touched

    # The next time one message asks for all of them.
    yard.script.parcels.clear()
    yard.clock.advance(2 * MINUTE)
    yard.scheduler = yard.new_scheduler()

    async def again() -> None:
        await yard.until_asked(2, "SELECT failures FROM lanes WHERE lane = 'one.example' AND worker IS NULL")

    yard.play(again)
    assert len(yard.script.parcels) == 1

    # And when somebody answers, all of them go.
    yard.script.away.clear()
    yard.clock.advance(HOUR)
    yard.scheduler = yard.new_scheduler()
    yard.deliver()
    assert set(states(yard, *names)) == {"delivered"}
    assert yard.lane("one.example") is None


def test_a_dead_host_is_the_one_line_in_the_queue(yard: Yard) -> None:
    yard.put("a@one.example")
    yard.put("b@one.example")
    yard.script.away.add("one.example")

    async def scenario() -> None:
        await yard.until_asked(1, "SELECT failures FROM lanes WHERE worker IS NULL")

    yard.play(scenario)
    (view,) = yard.ground.read(queue.lanes)
    assert (view.lane, view.waiting, view.failures, view.busy, view.reason) == ("one.example", 2, 1, False, AWAY)


@pytest.mark.parametrize("transient", [True, False])
def test_a_route_that_refuses(yard: Yard, *, transient: bool) -> None:
    name = yard.put("a@one.example", sender="")
    reply = Reply(451, "no", "4.3.5") if transient else Reply(550, "Domain one.example does not exist", "5.1.2")
    yard.router.refusals["one.example"] = reply

    async def scenario() -> None:
        state = "deferred" if transient else "bounced"
        await yard.until_asked(state, "SELECT state FROM deliveries WHERE message = $1", name)

    yard.play(scenario)
    assert yard.script.parcels == []
    lane = yard.lane("one.example")
    assert lane is None if not transient else (lane is not None and lane[2:] == (1, "451 4.3.5 no"))


def test_dns_that_cannot_tell(yard: Yard) -> None:
    name = yard.put("a@one.example")
    yard.router.unknown.add("one.example")

    async def scenario() -> None:
        await yard.until_asked(1, "SELECT failures FROM lanes WHERE worker IS NULL")

    yard.play(scenario)
    (view,) = yard.deliveries(name)
    assert (view.state, view.reply) == ("deferred", "421 4.4.0 Unable to lookup DNS for one.example")
    (event,) = yard.events(name)
    assert event.detail["delayType"] == "TransientCommunicationFailure"


def test_a_reply_of_4xx_puts_off_one_message_not_the_lane(yard: Yard) -> None:
    yard.script.replies["a@one.example"] = Reply(450, "greylisted")
    first, second = yard.put("a@one.example", age=5), yard.put("b@one.example")
    yard.deliver()
    assert states(yard, first, second) == ["deferred", "delivered"]
    ((due, worker, failures, reason),) = [yard.lane("one.example") or ()]
    (view,) = yard.deliveries(first)
    assert (due, worker, failures, reason) == (view.due, None, 0, "")


# -- what nobody expected


def test_an_agent_that_fails_puts_off_its_parcel_and_no_more(yard: Yard) -> None:
    yard.script.raises["one.example"] = RuntimeError("a bug")
    bad, good = yard.put("a@one.example"), yard.put("b@two.example")
    yard.deliver()
    assert states(yard, bad, good) == ["deferred", "delivered"]
    (view,) = yard.deliveries(bad)
    assert view.reply.startswith("451 4.3.0")
    assert yard.lane("one.example") == (view.due, None, 0, "")
    # It comes again, and then it is well.
    yard.script.raises.clear()
    yard.clock.advance(2 * MINUTE)
    yard.deliver()
    assert states(yard, bad) == ["delivered"]


def test_a_message_without_its_content_blocks_nobody_and_ends(yard: Yard) -> None:
    lost = yard.put("a@one.example", "b@one.example", age=5)
    good = yard.put("c@one.example")
    yard.run(lambda tx: tx.run("DELETE FROM blobs WHERE key = $1", lost))
    yard.deliver()
    assert states(yard, lost, good) == ["deferred", "deferred", "delivered"]
    yard.clock.advance(RETRY_FOR)
    yard.deliver()
    assert states(yard, lost) == ["expired", "expired"]
    assert [parcel.recipients for parcel in yard.script.parcels if not parcel.sender] == [("sender@example.com",)]


def test_blobs_that_are_away_put_off(yard: Yard) -> None:
    name = yard.put("a@one.example", content=RAW + b"x" * 10_000)
    (path,) = [path for path in yard.folder.rglob("*") if path.is_file()]
    hidden = path.rename(path.with_name("hidden"))
    path.mkdir()  # reading a folder is an error of the disk
    yard.deliver()
    assert states(yard, name) == ["deferred"]
    path.rmdir()
    hidden.rename(path)
    yard.clock.advance(2 * MINUTE)
    yard.deliver()
    assert states(yard, name) == ["delivered"]


def test_a_database_that_goes_away_for_a_moment_sends_nothing_twice(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "AWAY", 0.02)
    names = [yard.put(f"r{n}@one.example") for n in range(20)]

    async def scenario() -> None:
        yard.script.open.clear()
        await yard.until(lambda: yard.script.under_way)
        yard.ground.db.fail_next(10)  # type: ignore[attr-defined]
        yard.script.open.set()
        await yard.until_asked(0, "SELECT count(*) FROM deliveries WHERE due IS NOT NULL")

    yard.play(scenario)
    assert states(yard, *names) == ["delivered"] * 20
    assert len(yard.script.tried) == 20


# -- too old


def test_what_is_too_old_is_not_tried_again(yard: Yard) -> None:
    old, young = yard.put("a@one.example", age=RETRY_FOR, sender=""), yard.put("b@one.example")
    yard.deliver()
    assert yard.script.tried == ["b@one.example"]
    assert states(yard, old, young) == ["expired", "delivered"]
    (view,) = yard.deliveries(old)
    assert view.reply == "550 4.4.7 Message expired: unable to deliver in 840 minutes."


def test_a_mailbox_that_stayed_full_says_so_when_it_ends(yard: Yard) -> None:
    name = yard.put("a@one.example", sender="")
    yard.script.replies["a@one.example"] = Reply(452, "mailbox full", "4.2.2")
    yard.deliver()
    yard.clock.advance(RETRY_FOR)
    yard.deliver()
    assert states(yard, name) == ["expired"]
    bounces = [event.detail["bounceSubType"] for event in yard.events(name) if event.kind == "Bounce"]
    assert bounces == ["MailboxFull"]


def test_what_waited_behind_a_dead_host_says_so_when_it_ends(yard: Yard) -> None:
    name = yard.put("a@one.example", age=RETRY_FOR)
    yard.run(lambda tx: tx.run("UPDATE lanes SET reason = '421 4.4.2 Connection timed out'"))
    yard.deliver()
    (view,) = yard.deliveries(name)
    assert view.reply.endswith("840 minutes.<421 4.4.2 Connection timed out>")


# -- leases


def test_stop_lets_what_is_under_way_end(yard: Yard) -> None:
    names = [yard.put("a@one.example"), yard.put("b@two.example")]

    async def scenario() -> None:
        yard.script.open.clear()
        await yard.until(lambda: yard.script.under_way == 2)

    yard.play(scenario)
    assert states(yard, *names) == ["delivered"] * 2
    assert yard.rows("SELECT lane FROM lanes") == []


def test_stop_cuts_off_what_does_not_end(yard: Yard) -> None:
    yard.script.closed_lanes.add("one.example")
    name = yard.put("a@one.example")

    async def scenario() -> None:
        await yard.until(lambda: yard.script.under_way == 1)

    yard.play(scenario, grace=0.1)
    assert yard.script.under_way == 0
    assert yard.script.cut_off == 1
    assert states(yard, name) == ["queued"]


def test_mail_that_is_due_stays_when_we_stop(yard: Yard) -> None:
    names = [yard.put(f"r{n}@one.example") for n in range(100)]

    async def scenario() -> None:
        yard.script.open.clear()
        await yard.until(lambda: yard.script.under_way)

    yard.play(scenario)
    assert states(yard, *names).count("queued") >= 100 - drain.WINDOW
    assert yard.lane("one.example") == (yard.clock.now(), None, 0, "")
    yard.scheduler = yard.new_scheduler()
    yard.deliver()
    assert len(yard.script.tried) == len(set(yard.script.tried)) == 100


def test_a_lane_leased_to_us_that_nobody_drains_is_let_go(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "ABANDONED", 0.02)
    name = yard.put("a@one.example")
    yard.run(lambda tx: tx.run("UPDATE lanes SET worker = 'yard'"))
    yard.deliver()
    assert states(yard, name) == ["delivered"]


def test_a_lane_of_another_process_is_left_alone(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "ABANDONED", 0.02)
    yard.put("a@one.example")
    yard.run(lambda tx: tx.run("UPDATE lanes SET worker = 'another'"))
    good = yard.put("b@two.example")

    async def scenario() -> None:
        await yard.until_asked("delivered", "SELECT state FROM deliveries WHERE message = $1", good)

    yard.play(scenario)
    assert yard.script.tried == ["b@two.example"]
    assert (yard.lane("one.example") or ())[1] == "another"


def test_a_lease_that_was_taken_from_us_is_not_given_back(yard: Yard) -> None:
    name = yard.put("a@one.example")

    async def scenario() -> None:
        yard.script.open.clear()
        await yard.until(lambda: yard.script.under_way == 1)
        await yard.runtime.db.run(lambda tx: tx.run("UPDATE lanes SET worker = 'another'"))
        yard.script.open.set()
        await yard.until_asked("delivered", "SELECT state FROM deliveries WHERE message = $1", name)

    yard.play(scenario)
    assert (yard.lane("one.example") or ())[1] == "another"


# -- the operator beside it


def test_held_mail_is_left_alone_until_it_is_released(yard: Yard) -> None:
    name = yard.put("a@one.example")
    yard.run(lambda tx: queue.hold(tx, Selection(message=name), yard.clock.now()))
    good = yard.put("b@one.example")
    yard.deliver()
    assert states(yard, name, good) == ["held", "delivered"]
    # New mail is not held up by what is held there.
    assert states(yard, yard.put("c@one.example")) == ["queued"]
    yard.deliver()
    assert yard.script.tried == ["b@one.example", "c@one.example"]
    yard.run(lambda tx: queue.release(tx, Selection(message=name), yard.clock.now()))
    yard.deliver()
    assert states(yard, name) == ["delivered"]


def test_new_mail_does_not_sleep_with_what_is_held_in_a_failing_lane(yard: Yard) -> None:
    held = yard.put("a@one.example")
    yard.script.away.add("one.example")

    async def scenario() -> None:
        await yard.until_asked(1, "SELECT failures FROM lanes WHERE worker IS NULL")

    yard.play(scenario)
    yard.run(lambda tx: queue.hold(tx, Selection(message=held), yard.clock.now()))
    yard.clock.advance(HOUR)
    yard.scheduler = yard.new_scheduler()

    async def looked() -> None:
        await yard.until_asked(NEVER, "SELECT due FROM lanes WHERE worker IS NULL")

    yard.play(looked)
    yard.script.away.clear()
    name = yard.put("b@one.example")
    yard.scheduler = yard.new_scheduler()
    yard.deliver()
    assert states(yard, held, name) == ["held", "delivered"]


def test_what_is_deleted_while_it_is_sent_stays_deleted(yard: Yard) -> None:
    name = yard.put("a@one.example")

    async def scenario() -> None:
        yard.script.open.clear()
        await yard.until(lambda: yard.script.under_way == 1)
        now = yard.clock.now()
        await yard.runtime.db.run(lambda tx: queue.delete(tx, Selection(message=name), now))
        yard.script.open.set()
        await yard.until_quiet()

    yard.play(scenario)
    assert states(yard, name) == ["deleted"]
    assert yard.open(name) == 0
    assert yard.lane("one.example") is None


# -- bytes in memory


def test_the_budget_bounds_bytes_and_lets_a_huge_one_through_alone() -> None:
    async def scenario() -> None:
        budget = Budget(100)
        await budget.take(60)
        await budget.take(40)
        order: list[str] = []

        async def want(name: str, size: int) -> None:
            await budget.take(size)
            order.append(name)

        waiting = [asyncio.create_task(want("huge", 1000)), asyncio.create_task(want("small", 1))]
        await settle()
        assert order == []
        budget.give(60)
        await settle()
        assert order == []  # who asks first is served first
        budget.give(40)
        await settle()
        assert order == ["huge"]
        budget.give(1000)
        await asyncio.gather(*waiting)
        assert order == ["huge", "small"]

    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_who_stops_waiting_for_room_takes_none() -> None:
    async def scenario() -> None:
        budget = Budget(100)
        await budget.take(100)
        waiting = [asyncio.create_task(budget.take(50)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        budget.give(100)
        whole = asyncio.create_task(budget.take(100))
        for _ in range(5):
            await asyncio.sleep(0)
        assert whole.done()

    asyncio.run(scenario())


def test_large_messages_wait_for_room(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    large = RAW + b"x" * 100_000
    yard.deliverer._budget = Budget(250_000)
    names = [yard.put(f"r{n}@lane{n % 4}.example", content=large) for n in range(8)]
    huge = yard.put("r@huge.example", content=RAW + b"x" * 400_000)
    yard.deliver()
    assert states(yard, *names, huge) == ["delivered"] * 9
    assert yard.script.most_bytes <= 410_000
    assert yard.files() == []
    assert OK.positive
