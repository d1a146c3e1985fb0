"""What a line tells of an event."""

from __future__ import annotations

from mailstead.cli.events import summary
from mailstead.ses import events
from mailstead.ses.events import Event


def test_a_subscription_names_its_list_and_how_it_was_changed() -> None:
    detail = events.subscription(contact_list="readers", at=0, source="UnsubscribeHeader", new={}, old={})
    assert summary(Event("e", "1", "us-east-1", "m", events.SUBSCRIPTION, 0, 1, detail)) == "readers/UnsubscribeHeader"
