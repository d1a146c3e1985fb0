"""Metrics: the same figures before, while and after events are rolled up; what counts and for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstead.base.clock import DAY, MINUTE
from mailstead.base.errors import Invalid
from mailstead.outbound.composition import Options
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import configuration_sets, events, identities, metrics, suppression, tenant_resources, tenants
from mailstead.ses.isps import isp_of
from mailstead.ses.metrics import Query
from mailstead.store import wipe
from peers.database import Ground
from peers.yard import ACCOUNT, RAW, REGION, SENDER, Yard

TO = "r@gmail.com"
GONE = Reply(550, "user unknown", "5.1.1")
FULL_OF_QUOTES = Reply(552, '{"bounceType":"Permanent"}', "5.3.4")


@pytest.fixture
def yard(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.setattr("mailstead.outbound.drain.LINGER", 0.02)
    made = Yard(ground, tmp_path)
    yield made
    made.close()


def figures(yard: Yard, metric: str, *, account: str = ACCOUNT, region: str = REGION, **dimensions: str) -> list[int]:
    """By day, from the first one that the yard has seen."""
    query = Query(metric, 0, yard.clock.now() + DAY, tuple(dimensions.items()))
    (by_day,) = yard.ground.read(lambda tx: metrics.read(tx, account, region, [query]))
    assert all(day % DAY == 0 for day in by_day)
    assert list(by_day) == sorted(by_day)
    return list(by_day.values())


def tell(yard: Yard, message: str, kind: str, n: int = 1) -> None:
    """An event that nothing here makes yet."""

    async def body(tx):  # type: ignore[no-untyped-def]
        at = yard.clock.now()
        given = {"account": ACCOUNT, "region": REGION, "message": message, "kind": kind, "at": at, "detail": {}}
        await events.emit(tx, recipients=n, **given)  # type: ignore[arg-type]

    yard.run(body)


def roll(yard: Yard) -> None:
    """Let upkeep count all that there is."""
    yard.clock.advance(2 * MINUTE)
    while yard.run(metrics.roll):
        pass


def test_the_same_before_while_and_after(yard: Yard) -> None:
    yard.script.replies |= {"gone@gmail.com": GONE, "big@gmail.com": FULL_OF_QUOTES}
    yard.submit(TO)
    yard.submit("gone@gmail.com")
    yard.submit("big@gmail.com")
    yard.deliver()
    complained = yard.submit(TO)
    tell(yard, complained, events.COMPLAINT)
    expected = {"SEND": [4], "DELIVERY": [1], "PERMANENT_BOUNCE": [1], "TRANSIENT_BOUNCE": [1], "COMPLAINT": [1]}
    for _ in range(3):
        assert {metric: figures(yard, metric) for metric in expected} == expected
        roll(yard)
    assert yard.rows("SELECT sum(n) FROM metrics WHERE metric = 'SEND'") == [(4,)]
    yard.submit(TO)
    assert figures(yard, "SEND") == [5]
    yard.clock.advance(DAY)
    yard.submit(TO)
    assert figures(yard, "SEND") == [5, 1]
    roll(yard)
    assert figures(yard, "SEND") == [5, 1]
    assert figures(yard, "OPEN") == []


def test_history_outlives_its_messages_for_a_while(yard: Yard) -> None:
    yard.submit(TO)
    roll(yard)
    yard.run(lambda tx: tx.run("DELETE FROM events"))
    yard.run(lambda tx: tx.run("DELETE FROM messages"))
    assert figures(yard, "SEND") == [1]
    yard.clock.advance(89 * DAY)
    assert yard.run(metrics.forget_old) == 0
    yard.clock.advance(2 * DAY)
    assert yard.run(metrics.forget_old) == 1
    assert figures(yard, "SEND") == []


def test_two_that_roll_at_once_count_once(yard: Yard) -> None:
    yard.submit(TO)
    yard.clock.advance(2 * MINUTE)

    async def both() -> None:
        await asyncio.gather(*(yard.runtime.db.run(metrics.roll) for _ in range(2)))

    yard.wait(both())
    assert figures(yard, "SEND") == [1]


def test_in_batches(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.rolling.advance, "__kwdefaults__", {"batch": 2})
    for _ in range(5):
        yard.clock.advance(1)
        yard.submit(TO)
    yard.clock.advance(2 * MINUTE)
    seen = []
    more = True
    while more:
        more = yard.run(metrics.roll)
        seen.append(figures(yard, "SEND"))
    assert seen == [[5]] * len(seen)
    assert len(seen) > 2


def test_what_does_not_count(yard: Yard) -> None:
    yard.run(lambda tx: suppression.put(tx, ACCOUNT, REGION, "off@gmail.com", "BOUNCE"))
    yard.submit(TO, "other@gmail.com")
    yard.submit("bounce@simulator.amazonses.com")
    yard.submit("off@gmail.com")  # sent, and not a bounce
    yard.deliver()
    for _ in range(2):
        assert [figures(yard, metric) for metric in ("SEND", "DELIVERY", "PERMANENT_BOUNCE")] == [[1], [], []]
        roll(yard)


def test_opens_and_clicks_count_once_for_a_message(yard: Yard) -> None:
    first, second = yard.submit(TO), yard.submit(TO)
    for message, kind in ((first, events.OPEN), (first, events.OPEN), (second, events.OPEN), (first, events.CLICK)):
        tell(yard, message, kind)
    assert (figures(yard, "OPEN"), figures(yard, "CLICK")) == ([2], [1])
    roll(yard)
    tell(yard, first, events.OPEN)
    tell(yard, first, events.CLICK)
    assert (figures(yard, "OPEN"), figures(yard, "CLICK")) == ([2], [1])
    roll(yard)
    assert (figures(yard, "OPEN"), figures(yard, "CLICK")) == ([2], [1])


def test_by_dimension(yard: Yard) -> None:
    yard.run(lambda tx: configuration_sets.create(tx, ACCOUNT, REGION, "night"))
    yard.run(lambda tx: identities.create(tx, ACCOUNT, REGION, "other.example", verified=True))
    yard.run(lambda tx: tenants.create(tx, ACCOUNT, REGION, "shop"))
    yard.run(lambda tx: tenant_resources.associate(tx, ACCOUNT, REGION, "shop", "identity/example.com"))
    yard.submit(TO)
    yard.submit("R@GoogleMail.com", options=Options(configuration_set="night"))
    yard.submit('"a@b"@nowhere.example', options=Options(tenant="shop"))
    yard.submit("r@yahoo.co.uk", raw=RAW.replace(b"example.com", b"other.example"), source="s@other.example")
    for _ in range(2):
        assert figures(yard, "SEND") == [4]
        assert figures(yard, "SEND", ISP="Gmail") == [2]
        assert figures(yard, "SEND", ISP="Yahoo") == [1]
        assert figures(yard, "SEND", ISP=isp_of("x@nowhere.example")) == [1]
        assert figures(yard, "SEND", EMAIL_IDENTITY="example.com") == [3]
        assert figures(yard, "SEND", EMAIL_IDENTITY="other.example", ISP="Gmail") == []
        assert figures(yard, "SEND", EMAIL_IDENTITY="example.com", ISP="Gmail", CONFIGURATION_SET="night") == [1]
        assert figures(yard, "SEND", EMAIL_IDENTITY="*", ISP="Gmail") == [2]
        assert figures(yard, "SEND", TENANT_NAME="shop") == [1]
        assert figures(yard, "SEND", TENANT_NAME="' OR 1=1 --") == []
        assert figures(yard, "SEND", account="999999999999") == []
        assert figures(yard, "SEND", region="eu-west-1") == []
        roll(yard)
    yard.run(lambda tx: wipe.wipe(tx, ACCOUNT))
    assert figures(yard, "SEND") == []


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [(0, 0, []), (0, 1, [0]), (0, DAY, [0]), (DAY - 1, DAY + 1, [0, 1]), (DAY, 3 * DAY, [1, 2]), (-1, 1, [-1, 0])],
)
def test_days(start: int, end: int, days: list[int]) -> None:
    assert list(Query("SEND", start, end).days) == days


def test_an_end_before_the_start() -> None:
    with pytest.raises(Invalid):
        Query("SEND", DAY, DAY - 1)


def test_only_the_days_that_are_asked_for(yard: Yard) -> None:
    yard.clock.advance(DAY - yard.clock.now() % DAY)
    first = yard.clock.now()
    for n in range(3):
        for _ in range(n + 1):
            yard.submit(TO, source=SENDER)
        yard.clock.advance(DAY)
    asked = [Query("SEND", first + DAY, first + 2 * DAY), Query("SEND", first, first + 5 * DAY)]
    for _ in range(2):
        answers = yard.ground.read(lambda tx: metrics.read(tx, ACCOUNT, REGION, asked))
        assert answers == [{first + DAY: 2}, {first: 1, first + DAY: 2, first + 2 * DAY: 3}]
        roll(yard)
