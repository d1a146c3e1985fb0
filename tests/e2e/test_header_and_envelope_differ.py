"""Header and envelope differ: only the envelope says who gets a message, and where its bounces go."""

from __future__ import annotations

import pytest

from peers.town import Town, id_of

pytestmark = pytest.mark.slow
MESSAGE = (
    b"From: The Editors <editors@sender.test>\r\nTo: ann@one.test\r\nCc: bob@one.test\r\nBcc: dan@back.test\r\n"
    b"Subject: not for those named\r\n\r\nHello\r\n"
)


def test_only_the_envelopes_recipients_get_it(town: Town) -> None:
    message = id_of(town.submit(MESSAGE, "bounces@sender.test", "carol@two.test"))
    arrived = town.arrived("carol@two.test", message)
    assert arrived.reverse_path == f"{message}@provider.test"
    assert arrived.parsed["From"] == "The Editors <editors@sender.test>"
    assert arrived.parsed["To"] == "ann@one.test"
    assert arrived.parsed["Cc"] == "bob@one.test"
    assert arrived.parsed["Bcc"] is None
    for box in ("ann@one.test", "bob@one.test", "dan@back.test"):
        assert town.find(box, message) is None

    trace = town.ended(message)
    assert trace["envelope"] == {
        "sender": "bounces@sender.test",
        "return_path": f"{message}@provider.test",
        "recipients": ["carol@two.test"],
    }
    assert trace["header"] == {
        "from": ["The Editors <editors@sender.test>"],
        "to": ["ann@one.test"],
        "cc": ["bob@one.test"],
        "subject": "not for those named",
    }
    told = town.server.cli("trace", message).stdout
    assert "<bounces@sender.test> to <carol@two.test>" in told
    assert "The Editors <editors@sender.test>" in told
    sent, delivered = town.events(message)
    assert (sent["kind"], delivered["kind"]) == ("Send", "Delivery")
    assert delivered["detail"]["recipients"] == ["carol@two.test"]


def test_the_api_goes_by_source_and_destinations(town: Town) -> None:
    sent = town.server.ses().send_raw_email(
        Source="bounces@sender.test", Destinations=["carol@two.test"], RawMessage={"Data": MESSAGE}
    )
    arrived = town.arrived("carol@two.test", sent["MessageId"])
    assert arrived.parsed["To"] == "ann@one.test"
    trace = town.ended(sent["MessageId"])
    assert trace["envelope"]["sender"] == "bounces@sender.test"
    assert trace["envelope"]["recipients"] == ["carol@two.test"]
    assert trace["header"]["to"] == ["ann@one.test"]
    assert town.find("ann@one.test", sent["MessageId"]) is None
