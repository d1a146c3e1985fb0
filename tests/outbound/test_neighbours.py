"""Neighbours in the queue: what one lane holds on to is not what the others need."""

from __future__ import annotations

import pytest

from mailstead.base.clock import MINUTE
from mailstead.outbound import delivery
from peers.yard import RAW, Yard

LARGE = RAW + b"x" * 70 + b"\r\n" + b"y" * 8000 + b"\r\n"


def test_what_was_taken_is_not_sent_again_although_it_cannot_be_told(yard: Yard) -> None:
    name = yard.submit("a@one.example")
    yard.run(lambda tx: tx.run("ALTER TABLE events RENAME TO elsewhere"))
    for _ in range(3):
        yard.deliver()
        yard.clock.advance(2 * MINUTE)
    yard.run(lambda tx: tx.run("ALTER TABLE elsewhere RENAME TO events"))
    assert yard.states(name) == [("a@one.example", "delivered")]
    assert yard.script.tried == ["a@one.example"]
    assert yard.open(name) == 0


def test_what_was_refused_and_cannot_be_told_is_tried_again(yard: Yard) -> None:
    """A bounce that nobody hears of would be a loss."""
    yard.submit("a@one.example")
    yard.script.away.add("one.example")
    yard.run(lambda tx: tx.run("ALTER TABLE events RENAME TO elsewhere"))
    yard.deliver()
    yard.run(lambda tx: tx.run("ALTER TABLE elsewhere RENAME TO events"))
    yard.script.away.clear()
    yard.clock.advance(2 * MINUTE)
    yard.deliver()
    assert yard.script.tried == ["a@one.example"] * 2


def test_large_mail_for_the_silent_leaves_room_for_those_who_answer(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PROBING_IN_MEMORY", 20_000)
    monkeypatch.setattr(delivery, "IN_MEMORY", 20_000)
    yard.scheduler = yard.new_scheduler()
    yard.script.closed_lanes = {f"silent{n}.example" for n in range(6)}

    async def scenario() -> None:
        await yard.putting("a@one.example")
        await yard.until(lambda: yard.script.tried == ["a@one.example"])
        for n in range(6):
            await yard.putting(f"b@silent{n}.example", content=LARGE)
        await yard.until(lambda: len(yard.script.tried) >= 3)
        await yard.putting("c@one.example", content=LARGE)
        await yard.until(lambda: "c@one.example" in yard.script.tried)

    yard.play(scenario, grace=0.1)
    assert len([one for one in yard.script.tried if "silent" in one]) < 6
