"""The local agent and what follows: mail to ourselves is an arrival once, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailstead.inbound.agent import LocalAgent
from mailstead.inbound.processing import Processing
from mailstead.outbound.agents import Parcel, Route
from mailstead.store import arrivals
from mailstead.store.arrivals import Arrival
from mailstead.store.port import Transaction
from peers.doors import ACCOUNT, HOST, OTHER, PROVIDER, Doors

ROUTE = Route("local", "hosted.test")
PARCEL = Parcel(
    message="0100000000000001-00000000-0000-4000-8000-000000000000-000000",
    account=ACCOUNT,
    sender=f"0100000000000001-00000000-0000-4000-8000-000000000000-000000@{PROVIDER}",
    recipients=("postmaster@hosted.test", "nobody@hosted.test", "abuse@hosted.test"),
    signatures=b"DKIM-Signature: v=1\r\n",
    head=b"From: sender@example.com\r\n",
    body=b"\r\nbody\r\n",
    date="2026.03.27",
)


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    with Doors(tmp_path) as started:
        yield started


@pytest.fixture
def agent(doors: Doors) -> LocalAgent:
    return LocalAgent(doors.runtime, doors.reception, doors.places, HOST)


def stored(doors: Doors) -> list[Arrival]:
    return doors.run(arrivals.list_all)


def test_each_recipient_has_its_own_reply_and_the_accepted_are_stored(doors: Doors, agent: LocalAgent) -> None:
    attempt = doors.await_(agent.attempt(ROUTE, PARCEL))
    assert {recipient: reply.code for recipient, reply in attempt.replies.items()} == {
        "postmaster@hosted.test": 250,
        "nobody@hosted.test": 550,
        "abuse@hosted.test": 250,
    }
    assert attempt.replies["nobody@hosted.test"].enhanced == "5.1.1"
    assert attempt.reached
    (arrival,) = stored(doors)
    assert (arrival.account, arrival.sender) == (OTHER, PARCEL.sender)
    assert json.loads(arrival.recipients_json) == ["postmaster@hosted.test", "abuse@hosted.test"]
    content = doors.await_(doors.runtime.blobs.get(arrival.blob))
    assert content.startswith(f"Return-Path: <{PARCEL.sender}>\r\nReceived: from {HOST} ([127.0.0.1])".encode())
    assert content.endswith(
        b"DKIM-Signature: v=1\r\nFrom: sender@example.com\r\nX-SES-Outgoing: 2026.03.27-127.0.0.1\r\n\r\nbody\r\n"
    )


def test_the_same_parcel_again_is_the_same_arrival(doors: Doors, agent: LocalAgent) -> None:
    first = doors.await_(agent.attempt(ROUTE, PARCEL))
    second = doors.await_(agent.attempt(ROUTE, PARCEL))
    assert first.replies == second.replies
    assert len(stored(doors)) == 1


def test_a_recipient_that_comes_later_is_not_lost(doors: Doors, agent: LocalAgent) -> None:
    doors.await_(agent.attempt(ROUTE, replace(PARCEL, recipients=("postmaster@hosted.test",))))
    doors.await_(agent.attempt(ROUTE, replace(PARCEL, recipients=("abuse@hosted.test",))))
    assert sorted(json.loads(row.recipients_json)[0] for row in stored(doors)) == [
        "abuse@hosted.test",
        "postmaster@hosted.test",
    ]


def test_a_loop_is_refused_for_good(doors: Doors, agent: LocalAgent) -> None:
    looping = replace(PARCEL, head=b"Received: a; b\r\n" * 100 + PARCEL.head)
    reply = doors.await_(agent.attempt(ROUTE, looping)).replies["abuse@hosted.test"]
    assert (reply.code, reply.enhanced) == (554, "5.4.6")


def test_what_cannot_be_stored_now_is_temporary(doors: Doors, agent: LocalAgent) -> None:
    doors.runtime.blobs.fail_next(1)  # type: ignore[attr-defined]
    replies = doors.await_(agent.attempt(ROUTE, PARCEL)).replies
    assert {reply.code for reply in replies.values()} == {451}
    assert stored(doors) == []


async def _until_settled(doors: Doors, processing: Processing) -> None:
    """Run the duty until nothing is due."""
    running = asyncio.create_task(processing.run())
    async with asyncio.timeout(10):
        while await doors.runtime.db.read(_due):
            await asyncio.sleep(0.01)
    await processing.stop(1)
    await running


async def _due(tx: Transaction) -> int:
    return int(await tx.value("SELECT count(*) FROM arrivals WHERE due IS NOT NULL"))


def test_the_duty_keeps_mail_for_roles_and_notes_reports_on_their_message(doors: Doors, agent: LocalAgent) -> None:
    doors.run(
        lambda tx: tx.run(
            "INSERT INTO messages (id, account, region, origin, sender, return_path, identity, size, blob, open,"
            " mail_json, created) VALUES ($1, $2, 'us-east-1', 'submission', 's', 'r', 'i', 1, 'db:x', 0, '{}', 1)",
            PARCEL.message,
            ACCOUNT,
        )
    )
    report = replace(PARCEL, sender="", recipients=(PARCEL.sender,), message="dsn")
    doors.await_(agent.attempt(ROUTE, report))
    doors.await_(agent.attempt(ROUTE, PARCEL))
    doors.await_(_until_settled(doors, Processing(doors.runtime)))
    assert {(row.message, row.state, row.due) for row in stored(doors)} == {
        (PARCEL.message, "done", None),
        ("", "kept", None),
    }
    (noted,) = doors.run(lambda tx: arrivals.of_message(tx, PARCEL.message))
    assert doors.await_(doors.runtime.blobs.get(noted.blob)).endswith(PARCEL.body)


def test_settling_twice_is_harmless(doors: Doors, agent: LocalAgent) -> None:
    doors.await_(agent.attempt(ROUTE, PARCEL))
    (arrival,) = stored(doors)
    assert doors.run(lambda tx: arrivals.settle(tx, arrival.id, "kept"))
    assert not doors.run(lambda tx: arrivals.settle(tx, arrival.id, "done"))
    assert stored(doors)[0].state == "kept"


def test_a_step_that_fails_comes_again_later(doors: Doors, agent: LocalAgent) -> None:
    doors.await_(agent.attempt(ROUTE, PARCEL))
    processing = Processing(doors.runtime)
    (claimed,) = doors.await_(processing._claim(5))
    assert doors.await_(processing._claim(5)) == []  # leased
    doors.await_(processing._failed(claimed, RuntimeError("secret")))
    (waiting,) = stored(doors)
    assert waiting.attempts == 1
    assert waiting.due is not None
    assert waiting.due > doors.clock.now()
    assert waiting.reason == "internal failure, see the log"
    assert doors.await_(processing._claim(5)) == []
    doors.clock.advance(24 * 3600 * 1000)
    assert [row.id for row in doors.await_(processing._claim(5))] == [claimed.id]
