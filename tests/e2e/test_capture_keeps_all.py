"""Capture mode: nothing leaves, though DNS and a destination are there; what would have left can be looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from peers.ground import wait_for
from peers.town import BOXES, SENDER, Town, id_of, speak

pytestmark = pytest.mark.slow
MESSAGE = b"From: shop@sender.test\r\nTo: ann@one.test\r\nBcc: x@y.test\r\nSubject: captured\r\n\r\n.dot\r\nx\r\n"


@pytest.fixture(scope="module")
def captive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town(tmp_path_factory.mktemp("captive"), {"delivery.mode": "capture"}) as running:
        yield running


def raw_of(town: Town, message: str) -> bytes:
    words = [sys.executable, "-m", "mailstead", "trace", "--raw", message, "--data", str(town.server.data)]
    return subprocess.run(words, capture_output=True, check=True, env=town.server.env(), timeout=30).stdout


def test_nothing_leaves_and_all_can_be_seen(captive: Town) -> None:
    already = len(captive.mx.log.read_text())
    with captive.smtp() as client:
        message = id_of(speak(client, SENDER, ["ann@one.test", "nobody@one.test", "x@nowhere.invalid"], MESSAGE))
    trace = captive.ended(message)
    assert {one["state"] for one in trace["deliveries"]} == {"delivered"}
    assert {one["destination"] for one in trace["deliveries"]} == {"capture:"}
    kinds = [event["kind"] for event in captive.events(message)]
    assert kinds[0] == "Send"
    assert set(kinds) == {"Send", "Delivery"}
    content = raw_of(captive, message)
    assert captive.signers(content) == ["sender.test", "provider.test"]
    assert content.endswith(b"\r\n\r\n.dot\r\nx\r\n")
    assert b"Bcc" not in content
    assert b"\r\nX-SES-Outgoing: " in content
    assert not [stored for box in BOXES for stored in captive.mx.messages(box)]
    assert "connect from" not in captive.mx.log.read_text()[already:]


def test_the_simulator_works_in_every_mode(captive: Town, town: Town) -> None:
    for place in (captive, town):
        with place.smtp() as client:
            good = id_of(speak(client, SENDER, ["success+label@simulator.amazonses.com"], MESSAGE))
            bad = id_of(speak(client, SENDER, ["bounce@simulator.amazonses.com"], MESSAGE))
        place.ended(good)
        assert [event["kind"] for event in place.events(good)] == ["Send", "Delivery"]
        place.ended(bad)
        sent, bounced = place.events(bad)
        assert (sent["kind"], bounced["kind"]) == ("Send", "Bounce")
        detail = bounced["detail"]
        assert (detail["bounceType"], detail["bounceSubType"]) == ("Permanent", "General")
        assert detail["bouncedRecipients"] == [
            {
                "emailAddress": "bounce@simulator.amazonses.com",
                "action": "failed",
                "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1 user unknown",
            }
        ]


def test_a_hosted_domain_gets_its_mail_in_capture_mode(captive: Town) -> None:
    """Mail for ourselves goes its real way (here: the provider's postmaster)."""
    message = id_of(captive.submit(MESSAGE, to="postmaster@provider.test"))
    trace = wait_for(lambda: captive.trace(message), "a trace")
    assert trace["deliveries"][0]["destination"] == "local:provider.test"
    assert json.dumps(trace)
