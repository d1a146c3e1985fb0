"""Mail finds its way by real DNS: a second MX, an address alone, null MX, hosts and domains that are not there."""

from __future__ import annotations

import pytest

from peers.town import SENDER, Town, id_of

pytestmark = pytest.mark.slow
MESSAGE = b"From: shop@sender.test\r\nTo: x@one.test\r\nSubject: x\r\n\r\nx\r\n"


def test_the_second_host_when_the_first_is_dead(town: Town) -> None:
    message = id_of(town.submit(MESSAGE, to="dan@back.test"))
    town.arrived("dan@back.test", message)
    (delivery,) = town.ended(message)["deliveries"]
    assert delivery["host"] == f"mx.two.test [127.0.0.3]:{town.mx.port}"
    assert delivery["attempts"] == 1


def test_an_address_is_enough(town: Town) -> None:
    """RFC 5321 §5.1: without MX the domain itself is the host."""
    message = id_of(town.submit(MESSAGE, to="eve@aonly.test"))
    town.arrived("eve@aonly.test", message)
    assert town.ended(message)["deliveries"][0]["host"] == f"aonly.test [127.0.0.3]:{town.mx.port}"


def test_an_address_literal(town: Town) -> None:
    message = id_of(town.submit(MESSAGE, to="ann@[127.0.0.2]"))
    (delivery,) = town.ended(message)["deliveries"]
    assert delivery["host"] == f"[127.0.0.2]:{town.mx.port}"
    assert (delivery["state"], delivery["reply"][:9]) == ("bounced", "554 5.7.1")  # this Postfix is not so addressed
    report = list(town.notice(SENDER, message).parsed.iter_parts())[1]
    assert report.get_payload()[1]["Remote-MTA"] == "dns; [127.0.0.2]"


@pytest.mark.parametrize(
    ("domain", "status", "reason"),
    [
        ("nomail.test", "5.1.10", "550 5.1.10 Domain does not accept mail (null MX)"),
        ("nowhere.invalid", "5.1.2", "550 5.1.2 Domain nowhere.invalid does not exist"),
        ("lost.test", "5.4.4", "550 5.4.4 No mail server of lost.test has an address"),
    ],
)
def test_no_way_is_a_bounce_that_says_why(town: Town, domain: str, status: str, reason: str) -> None:
    message = id_of(town.submit(MESSAGE, to=f"x@{domain}"))
    (delivery,) = town.ended(message)["deliveries"]
    assert (delivery["state"], delivery["reply"]) == ("bounced", reason)
    (bounce,) = (event["detail"] for event in town.events(message) if event["kind"] == "Bounce")
    assert bounce["bounceType"] == "Permanent"
    assert bounce["bouncedRecipients"] == [
        {"emailAddress": f"x@{domain}", "action": "failed", "status": status, "diagnosticCode": f"smtp; {reason}"}
    ]
    assert "remoteMtaIp" not in bounce
    report = list(town.notice(SENDER, message).parsed.iter_parts())[1]
    (failed,) = report.get_payload()[1:]
    assert (failed["Status"], failed["Action"]) == (status, "failed")
    assert failed["Remote-MTA"] is None


def test_our_own_return_path_is_no_way_out(town: Town) -> None:
    """Mail for the provider's domain is ours to take; it never goes round through the network."""
    message = id_of(town.submit(MESSAGE, to="postmaster@provider.test"))
    trace = town.trace(message)
    assert trace["deliveries"][0]["destination"] == "local:provider.test"
