"""queue, trace and events: the operator sees what waits and why, and moves it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailstead.cli.frame import in_transaction
from mailstead.config import load
from mailstead.ses import events
from mailstead.store import spool
from mailstead.store.port import Transaction

Run = Callable[..., Any]


def states(run: Run, *filters: str) -> list[tuple[str, str]]:
    rows = run("queue", "list", "--json", *(filters or ("--account", "000000000000"))).json
    return sorted((row["recipient"], row["state"]) for row in rows)


def put_off(data: Path, reply: str, minutes: int) -> None:
    """What the scheduler does when a destination answers 4xx."""

    async def body(tx: Transaction) -> None:
        now = tx.now()
        for one in await spool.pull(tx, "a.example", now, 10):
            last = spool.Try("deferred", reply, "mx.a.example [192.0.2.1]:25", "TLSv1.3", now + minutes * 60_000)
            await spool.put_off(tx, one, last, now)
        await tx.run("UPDATE lanes SET worker = 'scheduler' WHERE lane = 'a.example'")
        await spool.let_go(tx, "a.example", "scheduler", now)

    in_transaction(load(data=data), body)


def test_an_empty_queue_is_said_in_words(run: Run) -> None:
    run("account", "create", "123456789012")
    assert run("queue", "list").out == "no messages are waiting\n"
    assert run("queue", "list", "--json").json == []
    assert run("queue", "show", "a.example").out == "no messages are waiting for a.example\n"
    assert run("queue", "retry", "--all").out == "no messages are waiting that could be tried now\n"


def test_destinations_with_how_much_and_why(run: Run, data: Path, waiting: list[str]) -> None:
    put_off(data, "450 4.2.1 try later", 30)
    rows = {row["destination"]: row for row in run("queue", "list", "--json").json}
    assert {name: row["waiting"] for name, row in rows.items()} == {"a.example": 2, "b.example": 2}
    assert rows["a.example"]["reason"] == "450 4.2.1 try later"
    assert rows["b.example"]["reason"] == ""
    line = next(line for line in run("queue", "list").out.splitlines() if line.startswith("a.example"))
    assert "450 4.2.1 try later" in line
    assert "29m" in line or "30m" in line


def test_show_a_destination_or_a_message(run: Run, waiting: list[str]) -> None:
    assert [row["recipient"] for row in run("queue", "show", "A.example", "--json").json] == [
        "x@a.example",
        "y@a.example",
    ]
    assert len(run("queue", "show", waiting[1], "--json").json) == 2


def test_hold_and_release(run: Run, waiting: list[str]) -> None:
    assert run("queue", "hold", "--to", "a.example").out == "held: 2 deliveries\n"
    assert states(run, "--state", "held") == [("x@a.example", "held"), ("y@a.example", "held")]
    assert run("queue", "retry", "--to", "a.example").out == "no messages are waiting that could be tried now\n"
    assert run("queue", "release", "--recipient", "x@a.example").out == "released: 1 delivery\n"
    assert states(run, "--to", "a.example") == [("x@a.example", "queued"), ("y@a.example", "held")]


def test_retry_makes_deferred_mail_due(run: Run, data: Path, waiting: list[str]) -> None:
    put_off(data, "450 4.2.1 try later", 30)
    assert run("queue", "retry", waiting[0]).out == "tried now: 1 delivery\n"
    rows = {row["recipient"]: row["next_try"] for row in run("queue", "show", "a.example", "--json").json}
    assert rows["x@a.example"] < rows["y@a.example"]

    async def due(tx: Transaction) -> list[Any]:
        return await spool.pull(tx, "a.example", tx.now(), 10)

    assert [one.recipient for one in in_transaction(load(data=data), due)] == ["x@a.example"]


def test_delete_ends_deliveries_and_their_bodies(run: Run, data: Path, waiting: list[str]) -> None:
    assert run("queue", "delete", "--to", "b.example", "--json").json == {"deleted": 2}
    assert states(run) == [("x@a.example", "queued"), ("y@a.example", "queued")]

    async def bodies(tx: Transaction) -> list[str]:
        return [row[0] for row in await tx.rows("SELECT key FROM blobs ORDER BY key")]

    assert in_transaction(load(data=data), bodies) == ["0", "1"]
    trace = run("trace", waiting[2], "--json").json
    assert (trace["deliveries"][0]["state"], trace["deliveries"][0]["reply"]) == ("deleted", "deleted by the operator")


@pytest.mark.parametrize("verb", ["retry", "hold", "release", "delete"])
def test_nothing_is_done_to_everything_by_accident(run: Run, waiting: list[str], verb: str) -> None:
    done = run("queue", verb)
    assert (done.status, "--all" in done.err) == (1, True)
    assert run("queue", verb, "0100-no-such-message").status == 1


def test_trace_tells_the_whole_life(run: Run, data: Path, waiting: list[str]) -> None:
    put_off(data, "450 4.2.1 try later", 30)

    async def sent(tx: Transaction) -> None:
        about = {"account": "000000000000", "region": "us-east-1", "message": waiting[0]}
        await events.emit(tx, **about, kind=events.SEND, at=tx.now(), detail=events.send())

    in_transaction(load(data=data), sent)
    told = run("trace", waiting[0]).out
    for part in (
        "from root 192.0.2.9 SendEmail",
        "<ann@example.com> to <x@a.example>",
        "From Ann <ann@example.com>; To everybody@example.org",
        "d=example.com s=",
        "aligned (From example.com, d=example.com)",
        "x@a.example: deferred, next try ",
        "mx.a.example [192.0.2.1]:25 (TLSv1.3) 450 4.2.1 try later; next ",
        " Send",
    ):
        assert part in told
    trace = run("trace", f"<{waiting[0]}@email.mail.test>", "--json").json
    assert trace["envelope"]["recipients"] == ["x@a.example"]
    assert trace["header"]["to"] == ["everybody@example.org"]
    assert trace["dmarc_aligned"] is True
    assert [event["kind"] for event in trace["events"]] == ["Send"]


def test_trace_of_what_is_not_there(run: Run) -> None:
    run("account", "create", "123456789012")
    assert run("trace", "x").err == "mailstead: there is no message x\n"


def test_replies_cannot_steer_the_terminal(run: Run, data: Path, waiting: list[str]) -> None:
    put_off(data, "450 \x1b]0;owned\x07\x1b[31m", 30)
    for words in (("queue", "list"), ("queue", "show", "a.example"), ("trace", waiting[0])):
        assert "\x1b" not in run(*words).out


def test_events(run: Run, data: Path, waiting: list[str]) -> None:
    assert run("events", "list").out == "no events\n"

    async def body(tx: Transaction) -> None:
        about = {"account": "000000000000", "region": "us-east-1", "at": tx.now()}
        failed = events.Failed("x@a.example", "failed", "5.1.1", "smtp; 550 5.1.1 user unknown")
        bounce = events.bounce(
            feedback_id="f", bounce_type="Permanent", sub_type="General", recipients=[failed], at=tx.now()
        )
        await events.emit(tx, **about, message=waiting[0], kind=events.SEND, detail=events.send())
        await events.emit(tx, **about, message=waiting[0], kind=events.BOUNCE, detail=bounce)
        await events.emit(tx, **about, message=waiting[1], kind=events.SEND, detail=events.send())

    in_transaction(load(data=data), body)
    kinds = [row["kind"] for row in run("events", "list", "--message", waiting[0], "--json").json]
    assert sorted(kinds) == ["Bounce", "Send"]
    assert len(run("events", "list", "--kind", "send", "--json").json) == 2
    assert len(run("events", "list", "--limit", "1", "--json").json) == 1
    assert run("events", "list", "--account", "123456789012").out == "no events\n"
    line = run("events", "list", "--kind", "Bounce").out.splitlines()[1]
    assert "Permanent/General x@a.example smtp; 550 5.1.1 user unknown" in line
    assert "known: Send" in run("events", "list", "--kind", "lost").err
