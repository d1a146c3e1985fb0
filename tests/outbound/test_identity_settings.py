"""What an identity is set to has its effect: no signature where it wants none, no notice where others are told."""

from __future__ import annotations

import pytest

from mailstead.outbound.composition import Options
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import configuration_sets, dkim_changes, dkim_keys, event_destinations, identities, notifications
from mailstead.ses.event_destinations import EventDestination, Topic
from mailstead.ses.identities import DkimSetup
from mailstead.store.port import Transaction
from peers.yard import ACCOUNT, REGION, SENDER, Yard

TO = "r@example.net"
TOPIC = "arn:aws:sns:us-east-1:111122223333:feedback"


def signing_domain(yard: Yard) -> str:
    name = yard.submit(TO)
    ((found,),) = yard.rows(f"SELECT signing_domain FROM messages WHERE id = '{name}'")
    return str(found)


def test_an_address_may_want_no_signature(yard: Yard) -> None:
    async def sign(tx: Transaction) -> None:
        key = dkim_keys.generate(yard.ground.vault, ACCOUNT, REGION, "example.com", selector="t" * 32, bits=1024)
        found = await identities.get(tx, ACCOUNT, REGION, "example.com")
        setup = DkimSetup(("t" * 32,), key, "AWS_SES", "RSA_1024_BIT")
        await dkim_changes.switch(tx, found, setup, verified=True)
        await identities.create(tx, ACCOUNT, REGION, SENDER, verified=True)

    yard.run(sign)
    assert signing_domain(yard) == "example.com"

    async def off(tx: Transaction) -> None:
        await dkim_changes.set_enabled(tx, await identities.get(tx, ACCOUNT, REGION, SENDER), enabled=False)

    yard.run(off)
    assert signing_domain(yard) == ""


def forward(yard: Yard, *, enabled: bool) -> None:
    yard.run(lambda tx: identities.set_forwarding(tx, ACCOUNT, REGION, "example.com", enabled=enabled))


def written(yard: Yard) -> int:
    """Notices, those that went out already too."""
    return len(yard.rows("SELECT id FROM messages WHERE origin = 'notice'"))


def notices_of_a_bounce(yard: Yard, options: Options | None = None) -> int:
    before = written(yard)
    yard.script.replies[TO] = Reply(550, "no", "5.7.1")
    yard.submit(TO, options=options) if options else yard.submit(TO)
    yard.deliver()
    return written(yard) - before


def test_forwarding_switched_off_needs_another_way_to_hear(yard: Yard) -> None:
    forward(yard, enabled=False)
    assert notices_of_a_bounce(yard) == 1  # nobody else is told
    yard.run(lambda tx: notifications.set_topic(tx, ACCOUNT, REGION, "example.com", kind="Bounce", topic=TOPIC))
    assert notices_of_a_bounce(yard) == 0
    forward(yard, enabled=True)
    assert notices_of_a_bounce(yard) == 1


@pytest.mark.parametrize(
    ("types", "enabled", "expected"), [(("BOUNCE",), True, 0), (("BOUNCE",), False, 1), (("SEND",), True, 1)]
)
def test_an_event_destination_is_another_way(yard: Yard, types: tuple[str, ...], enabled: bool, expected: int) -> None:
    forward(yard, enabled=False)

    async def make(tx: Transaction) -> None:
        await configuration_sets.create(tx, ACCOUNT, REGION, "told", configuration_sets.Options())
        one = EventDestination("one", enabled, types, Topic(TOPIC))
        await event_destinations.create(tx, ACCOUNT, REGION, "told", one)

    yard.run(make)
    assert notices_of_a_bounce(yard, Options(configuration_set="told")) == expected
