"""Killed in the middle of its work, again and again: nothing that was answered is lost, and little comes twice.

Judged by the clients' logs and the sink's alone.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from peers.ground import wait_for
from peers.load import Answered, Load
from peers.postgres import Postgres
from peers.server import Server
from peers.sink import Sink

pytestmark = pytest.mark.slow

Say = Callable[[str], None]
SHORT, LONG = 400, 2000
BIG = "It does not fit into a row of the database.\r\n" * 4000
NEAR = 3.0
"""Seconds before the kill within which the first copy of a double must have arrived: it was under way."""
MOST_DOUBLE = 8 * 40
"""Lanes, and what each may have under way."""


@dataclass
class Campaign:
    """What the rounds came to."""

    asked: int
    answered: int = 0
    lost: str = ""
    """Of the first round that lost something: what, and what the server and its queue say."""
    doubles: int = 0
    most_doubles: int = 0
    """In one round."""


def _arrived(sink: Sink, answered: list[Answered]) -> bool:
    arrivals = sink.arrivals()
    return all((one.test_id, one.recipient) in arrivals for one in answered)


def _doubles(sink: Sink, killed: float) -> int:
    """How many came twice; each must have been under way at the kill."""
    first: dict[tuple[str, str], float] = {}
    count = 0
    for row in sink.records():
        for recipient in row.recipients:
            key = (row.test_id, recipient)
            if key not in first:
                first[key] = row.at
                continue
            count += 1
            assert killed - NEAR < first[key] < killed + 0.5, (
                f"{key} came twice although it was not under way: first {killed - first[key]:.2f} s before the kill"
            )
            assert row.at > killed, f"{key} came twice without a kill between"
    return count


def _round(server: Server, sink: Sink, boxes: list[str], seed: int, count: int, *, big: bool) -> tuple[int, str, int]:
    """How many were answered, what is lost of them, how many came twice."""
    dice = random.Random(seed)
    sink.clear()
    load = Load(server, count, boxes, tag=f"s{seed}", **({"body": BIG} if big else {})).start()
    share = dice.random() * 0.9
    wait_for(lambda: load.attempted >= count * share, f"{share:.0%} of the load", timeout=90)
    time.sleep(dice.random() * 0.05)
    killed = time.time()
    server.kill()
    server.start()
    load.join()
    assert not load.refused, load.refused[:3]
    try:
        wait_for(lambda: _arrived(sink, load.answered), "every answered message to arrive", timeout=60)
    except TimeoutError:
        arrivals = sink.arrivals()
        lost = [one for one in load.answered if (one.test_id, one.recipient) not in arrivals]
        queue = server.cli("queue", "list").stdout
        told = (
            f"seed {seed}: {len(lost)} of {len(load.answered)} lost, such as {lost[:3]} (kill at {killed})\n"
            f"{queue}\n{server.tail(30)}"
        )
        return len(load.answered), told, 0
    return len(load.answered), "", _doubles(sink, killed)


def _campaign(server: Server, sink: Sink, boxes: list[str], seeds: range, count: int, say: Say) -> Campaign:
    base = int(os.environ.get("MAILSTEAD_SEED") or random.SystemRandom().randrange(1 << 30))
    told = Campaign(count * len(seeds))
    for n in seeds:
        big = n % 5 == 2  # those are files, made safe before their rows
        answered, told.lost, twice = _round(server, sink, boxes, base + n, count // 5 if big else count, big=big)
        told.answered += answered
        if told.lost:
            return told
        told.doubles, told.most_doubles = told.doubles + twice, max(told.most_doubles, twice)
        say(f"seed {base + n}: {answered} {'large ' * big}answered, all arrived, {twice} twice")
    say(f"{len(seeds)} kills: {told.answered} answered, 0 lost, {told.doubles} twice")
    return told


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_killed_under_load(serve: Callable[..., Server], sink: Sink, boxes: list[str], seeds: range, say: Say) -> None:
    told = _campaign(serve(), sink, boxes, seeds, LONG if len(seeds) > 5 else SHORT, say)
    assert not told.lost, told.lost
    assert told.most_doubles <= MOST_DOUBLE
    assert told.answered > told.asked * 0.5, "the load hardly ran"


@pytest.mark.faults
@pytest.mark.postgres
@pytest.mark.timeout(3600)
def test_killed_under_load_on_postgres(
    serve: Callable[..., Server], sink: Sink, boxes: list[str], seeds: range, postgres: Postgres, say: Say
) -> None:
    url = postgres.fresh_database()
    told = _campaign(serve({"storage.database": url}), sink, boxes, range(max(1, len(seeds) // 5)), SHORT, say)
    assert not told.lost, told.lost
    assert told.most_doubles <= MOST_DOUBLE
    assert told.answered > told.asked * 0.5, "the load hardly ran"
