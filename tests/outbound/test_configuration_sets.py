"""Configuration sets at work: which one rules a message, and what it changes on the way."""

from __future__ import annotations

import msgspec
import pytest

from mailstead.base.clock import HOUR, MINUTE
from mailstead.base.errors import NotFound
from mailstead.outbound.composition import Options
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import configuration_sets, dedicated_ips, events, identities
from mailstead.ses.configuration_sets import Delivery
from mailstead.store import spool
from peers.yard import ACCOUNT, REGION, RETRY_FOR, Yard

LATER = Reply(450, "try later", "4.2.1")
HEADER = b"X-SES-CONFIGURATION-SET: by-header\r\nFrom: a@example.com\r\nTo: r@example.net\r\n\r\nx\r\n"


def make(yard: Yard, *names: str, delivery: Delivery = configuration_sets.DEFAULTS.delivery) -> None:
    options = configuration_sets.Options(delivery=delivery)
    for name in names:
        yard.run(lambda tx, name=name: configuration_sets.create(tx, ACCOUNT, REGION, name, options))


def row(yard: Yard, message: str) -> spool.Message:
    found = yard.ground.read(lambda tx: spool.read(tx, message))
    assert found is not None
    return found


def tags(yard: Yard, message: str) -> dict[str, list[str]]:
    (sent,) = [event for event in yard.events(message) if event.kind == events.SEND]
    document = events.document(sent, msgspec.json.decode(row(yard, message).mail_json))
    found: dict[str, list[str]] = document["mail"]["tags"]
    return found


def test_the_api_then_the_header_then_the_identity_then_none(yard: Yard) -> None:
    make(yard, "by-api", "by-header", "by-domain", "by-address")
    none = yard.submit("r@example.net")
    assert (row(yard, none).configuration_set, "ses:configuration-set" in tags(yard, none)) == ("", False)
    yard.run(lambda tx: identities.set_configuration_set(tx, ACCOUNT, REGION, "example.com", "by-domain"))
    yard.run(
        lambda tx: identities.create(
            tx, ACCOUNT, REGION, "a@example.com", verified=True, configuration_set="by-address"
        )
    )
    from_a = HEADER.partition(b"\r\n")[2]
    for expected, given in [
        ("by-domain", {}),
        ("by-address", {"raw": from_a}),
        ("by-header", {"raw": HEADER}),
        ("by-api", {"raw": HEADER, "options": Options(configuration_set="by-api")}),
    ]:
        message = yard.submit("r@example.net", **given)
        assert row(yard, message).configuration_set == expected
        assert tags(yard, message)["ses:configuration-set"] == [expected]


def test_it_stays_with_the_message(yard: Yard) -> None:
    make(yard, "mine", delivery=Delivery("REQUIRE", "", 300))
    message = yard.submit("r@example.net", options=Options(configuration_set="mine"))
    yard.run(lambda tx: configuration_sets.delete(tx, ACCOUNT, REGION, "mine"))
    found = row(yard, message)
    assert (found.configuration_set, found.require_tls, found.max_delivery) == ("mine", 1, 300)
    yard.deliver()
    assert yard.states(message) == [("r@example.net", "delivered")]


def test_a_pool_that_is_gone_refuses_its_mail(yard: Yard) -> None:
    yard.run(lambda tx: dedicated_ips.create_pool(tx, ACCOUNT, REGION, "news"))
    make(yard, "mine", delivery=Delivery(sending_pool="news"))
    yard.submit("r@example.net", options=Options(configuration_set="mine"))
    yard.run(lambda tx: dedicated_ips.delete_pool(tx, ACCOUNT, REGION, "news"))
    with pytest.raises(NotFound, match="SendingPool <news> doesn't exist") as caught:
        yard.submit("r@example.net", options=Options(configuration_set="mine"))
    assert caught.value.kind == "sending-pool"


def test_tls_is_required_for_its_mail_alone(yard: Yard) -> None:
    make(yard, "strict", delivery=Delivery("REQUIRE"))
    make(yard, "loose")
    for name in ("strict", "loose", None):
        yard.submit("r@example.net", options=Options(configuration_set=name))
        yard.deliver()
    assert [route.tls for route in yard.script.routes] == ["require", "opportunistic", "opportunistic"]


def test_its_own_time_ends_a_delivery(yard: Yard) -> None:
    make(yard, "hasty", delivery=Delivery(max_delivery=600))
    yard.script.replies["r@example.net"] = LATER
    message = yard.submit("r@example.net", options=Options(configuration_set="hasty"))
    slow = yard.submit("r@example.net")
    yard.deliver()
    (delay,) = [event for event in yard.events(message) if event.kind == events.DELIVERY_DELAY]
    assert delay.detail["expirationTime"] == events.iso(row(yard, message).created + 10 * MINUTE)
    yard.clock.advance(10 * MINUTE)
    yard.deliver()
    assert yard.states(message) == [("r@example.net", "expired")]
    assert yard.states(slow) == [("r@example.net", "deferred")]
    (bounce,) = [event for event in yard.events(message) if event.kind == events.BOUNCE]
    assert (bounce.detail["bounceType"], bounce.detail["bounceSubType"]) == ("Transient", "CustomTimeoutExceeded")
    (failed,) = bounce.detail["bouncedRecipients"]
    assert failed["diagnosticCode"] == (
        "smtp; 550 4.4.7 Message expired: unable to deliver in 10 minutes.<450 4.2.1 try later>"
    )
    yard.clock.advance(14 * HOUR)
    yard.deliver()
    (bounce,) = [event for event in yard.events(slow) if event.kind == events.BOUNCE]
    assert bounce.detail["bounceSubType"] == "General"


@pytest.mark.parametrize("seconds", [None, 50_400])
def test_a_time_that_shortens_nothing(yard: Yard, seconds: int | None) -> None:
    make(yard, "mine", delivery=Delivery(max_delivery=seconds))
    message = yard.submit("r@example.net", options=Options(configuration_set="mine"))
    (delivery,) = yard.deliveries(message)
    assert row(yard, message).max_delivery is None
    assert delivery.expires == row(yard, message).created + RETRY_FOR
