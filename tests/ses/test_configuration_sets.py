"""Configuration sets below the API: limits that clients check themselves, and what happens at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.base.errors import Invalid, LimitExceeded, NotFound
from mailstead.ses import configuration_sets, event_destinations, tags
from mailstead.ses.configuration_sets import Delivery, Options
from mailstead.ses.event_destinations import EventDestination, Topic

A, R = "111111111111", "us-east-1"
TOPIC = Topic(f"arn:aws:sns:{R}:{A}:t")


def make(ground, name, options=configuration_sets.DEFAULTS):
    ground.run(lambda tx: configuration_sets.create(tx, A, R, name, options))


@pytest.mark.parametrize("seconds", [0, 299, 50_401])
def test_seconds_out_of_range(ground, seconds):
    with pytest.raises(Invalid, match="between 300 and 50400"):
        make(ground, "mine", Options(delivery=Delivery(max_delivery=seconds)))
    make(ground, "mine")
    with pytest.raises(Invalid, match="between 300 and 50400"):
        ground.run(lambda tx: configuration_sets.set_delivery(tx, A, R, "mine", Delivery(max_delivery=seconds)))


def test_types_that_are_none(ground):
    make(ground, "mine")
    wrong = EventDestination("d", True, ("SEND", "SPAM"), TOPIC)
    with pytest.raises(Invalid, match="SPAM"):
        ground.run(lambda tx: event_destinations.create(tx, A, R, "mine", wrong))


def at_once(ground, *bodies):
    async def scene():
        return await asyncio.gather(*(ground.db.run(body) for body in bodies), return_exceptions=True)

    return ground.loop.run_until_complete(scene())


def test_ten_destinations_although_many_come_at_once(ground):
    make(ground, "mine")

    def add(n):
        one = EventDestination(f"d{n}", True, ("SEND",), TOPIC)
        return lambda tx: event_destinations.create(tx, A, R, "mine", one)

    done = at_once(ground, *(add(n) for n in range(14)))
    assert sum(isinstance(one, LimitExceeded) for one in done) == 4
    assert len(ground.read(lambda tx: event_destinations.list_all(tx, A, R, "mine"))) == 10


def test_nothing_is_left_of_a_set_that_is_deleted_at_the_same_moment(ground):
    for n in range(6):
        make(ground, "mine")
        one = EventDestination("d", True, ("SEND",), TOPIC)

        async def tag(tx):
            resource = await tags.by_arn(tx, A, R, configuration_sets.arn_of(R, A, "mine"), hold=True)
            await tags.put(tx, A, R, resource, {"a": "b"})

        bodies = [
            lambda tx, one=one: event_destinations.create(tx, A, R, "mine", one),
            tag,
            lambda tx: configuration_sets.delete(tx, A, R, "mine"),
        ]
        done = at_once(ground, *(bodies if n % 2 else bodies[::-1]))
        assert all(one is None or isinstance(one, NotFound) for one in done)
        for table in ("configuration_sets", "event_destinations", "resource_tags"):
            assert ground.read(lambda tx, table=table: tx.value(f"SELECT count(*) FROM {table}")) == 0
