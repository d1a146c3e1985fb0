"""Insights: the story of a message for each of its recipients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstead.base.clock import MINUTE
from mailstead.base.errors import NotFound
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import events, insights, suppression
from mailstead.ses.insights import Insights
from peers.database import Ground
from peers.yard import ACCOUNT, REGION, Yard


@pytest.fixture
def yard(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.setattr("mailstead.outbound.drain.LINGER", 0.02)
    made = Yard(ground, tmp_path)
    yield made
    made.close()


def read(yard: Yard, message: str, account: str = ACCOUNT, region: str = REGION) -> Insights:
    return yard.ground.read(lambda tx: insights.of_message(tx, account, region, message))


def test_each_recipient_has_a_story_of_its_own(yard: Yard) -> None:
    yard.script.replies |= {
        "gone@example.net": Reply(550, "user unknown", "5.1.1"),
        "slow@example.net": Reply(450, "later", "4.3.0"),
    }
    yard.run(lambda tx: suppression.put(tx, ACCOUNT, REGION, "off@example.net", "COMPLAINT"))
    to = ("Anna <anna@gmail.com>", "gone@example.net", "slow@EXAMPLE.net", "off@example.net")
    message = yard.submit(*to)
    accepted = yard.clock.now()
    yard.clock.advance(MINUTE)
    yard.script.replies["slow@EXAMPLE.net"] = yard.script.replies["slow@example.net"]
    yard.deliver()
    found = read(yard, message)
    stories = {story.recipient: [told.type for told in story.told] for story in found.stories}
    assert stories == {
        to[0]: ["SEND", "DELIVERY"],
        to[1]: ["SEND", "BOUNCE"],
        to[2]: ["SEND", "DELIVERY_DELAY"],
        to[3]: ["SEND", "COMPLAINT"],
    }
    assert [story.isp == "Gmail" for story in found.stories] == [True, False, False, False]
    assert [told.at for told in found.stories[0].told] == [accepted, accepted + MINUTE]
    bounce = found.stories[1].told[1]
    assert (bounce.detail["bounceType"], bounce.diagnostic) == ("Permanent", "smtp; 550 5.1.1 user unknown")
    assert (found.subject, found.mail["source"]) == ("hello", "sender@example.com")


def test_a_message_without_a_subject(yard: Yard) -> None:
    assert read(yard, yard.submit("r@example.net", raw=b"From: a@example.com\r\n\r\nx")).subject == ""


def test_not_somebody_elses_and_no_notice(yard: Yard) -> None:
    message = yard.submit("r@example.net")
    notice = yard.put("r@example.net", origin="notice", sender="")
    for name, account, region in (
        (message, "999999999999", REGION),
        (message, ACCOUNT, "eu-west-1"),
        (notice, ACCOUNT, REGION),
        ("nothing", ACCOUNT, REGION),
    ):
        with pytest.raises(NotFound) as caught:
            read(yard, name, account, region)
        assert caught.value.message == f"Message {name} does not exist."


def test_every_type_of_event_has_a_word() -> None:
    assert set(insights.TYPE) == set(events.MEMBER)
