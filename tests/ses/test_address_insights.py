"""Address insights: what is said of addresses, with a real DNS server behind it."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.net.dns import DnsResolver
from mailstead.ses import address_insights, identities, suppression
from mailstead.ses.address_insights import HIGH, LOW, MEDIUM, NO_ADDRESS, Insights, Known
from peers.database import Ground
from peers.lame_dns import LameDns
from peers.nsd import Nsd

A, B, R = "111111111111", "222222222222", "us-east-1"
NOTHING = Known()


@pytest.fixture
def resolver(ground: Ground, dns: Nsd) -> DnsResolver:
    dns.set("good.example", "@ MX 10 mx\nmx A 127.0.0.2")
    dns.set("mailinator.com", "@ MX 10 mx\nmx A 127.0.0.2")
    return DnsResolver(dns.address, ground.clock, timeout=2)


def look(ground: Ground, resolver: DnsResolver, address: str, own: Known = NOTHING) -> Insights:
    return ground.loop.run_until_complete(asyncio.wait_for(address_insights.look(resolver, address, own), 10))


@pytest.mark.parametrize(
    ("records", "verdict"),
    [
        ("@ MX 10 mx\nmx A 127.0.0.2", HIGH),
        ("@ MX 0 .", LOW),
        ("@ A 127.0.0.2", MEDIUM),
        ("@ AAAA ::2", MEDIUM),
        ('@ TXT "nothing else"', LOW),
    ],
)
def test_does_the_domain_take_mail(ground: Ground, dns: Nsd, resolver: DnsResolver, records: str, verdict: str) -> None:
    dns.set("asked.example", records)
    assert look(ground, resolver, "anna@asked.example").dns == verdict


def test_no_such_domain(ground: Ground, resolver: DnsResolver) -> None:
    found = look(ground, resolver, "anna@nowhere.example")
    assert (found.syntax, found.dns, found.mailbox, found.valid) == (HIGH, LOW, LOW, LOW)


def test_dns_that_cannot_tell(ground: Ground, dns: Nsd) -> None:
    with LameDns(dns, failing=["broken.example"]) as lame:
        resolver = DnsResolver(lame.address, ground.clock, timeout=2)
        found = look(ground, resolver, "anna@broken.example")
    assert (found.dns, found.mailbox, found.valid) == (MEDIUM, MEDIUM, MEDIUM)


@pytest.mark.parametrize(
    "address", ["", "anna", "@good.example", "a b@good.example", "a@-x.example", "x" * 65 + "@good.example", "a@" * 999]
)
def test_what_is_no_address(ground: Ground, resolver: DnsResolver, address: str) -> None:
    found = look(ground, resolver, address)
    assert (found, found.valid) == (NO_ADDRESS, LOW)
    assert resolver.asked == 0


@pytest.mark.parametrize(
    ("address", "role", "disposable", "random"),
    [
        ("anna.schmidt@good.example", LOW, LOW, LOW),
        ("john1980@good.example", LOW, LOW, LOW),
        ("Postmaster@good.example", HIGH, LOW, LOW),
        ("no-reply+x@good.example", HIGH, LOW, LOW),
        ("anna@mailinator.com", LOW, HIGH, LOW),
        ("anna@deep.below.mailinator.com", LOW, HIGH, LOW),
        ("anna@notmailinator.com", LOW, LOW, LOW),
        ("xkcdqwrtz@good.example", LOW, LOW, HIGH),
        ("ctvrtnik@good.example", LOW, LOW, MEDIUM),
        ("a8f3k2l9@good.example", LOW, LOW, HIGH),
        ("a1b2c@good.example", LOW, LOW, MEDIUM),
    ],
)
def test_what_the_name_tells(
    ground: Ground, resolver: DnsResolver, address: str, role: str, disposable: str, random: str
) -> None:
    found = look(ground, resolver, address)
    assert (found.role, found.disposable, found.random) == (role, disposable, random)


@pytest.mark.parametrize(
    ("address", "own", "mailbox", "valid"),
    [
        ("anna@good.example", NOTHING, MEDIUM, MEDIUM),
        ("anna@good.example", Known(proved=True), HIGH, HIGH),
        ("anna@good.example", Known(bounced=True), LOW, LOW),
        ("anna@good.example", Known(bounced=True, proved=True), LOW, LOW),
        ("anna@nowhere.example", Known(proved=True), LOW, LOW),
        ("anna@mailinator.com", Known(proved=True), HIGH, LOW),
        ("a8f3k2l9@good.example", NOTHING, MEDIUM, LOW),
        ("info@good.example", NOTHING, MEDIUM, MEDIUM),
    ],
)
def test_all_in_all(ground: Ground, resolver: DnsResolver, address: str, own: Known, mailbox: str, valid: str) -> None:
    found = look(ground, resolver, address, own)
    assert (found.mailbox, found.valid) == (mailbox, valid)


def test_what_an_account_knows(ground: Ground) -> None:
    def known(address: str, account: str = A) -> Known:
        return ground.read(lambda tx: address_insights.known(tx, account, R, address))

    async def fill(tx) -> None:  # type: ignore[no-untyped-def]
        await suppression.put(tx, A, R, "gone@x.org", "BOUNCE")
        await suppression.put(tx, A, R, "angry@x.org", "COMPLAINT")
        await identities.create(tx, A, R, "boss@x.org", verified=True)
        await identities.create(tx, A, R, "new@x.org")

    ground.run(fill)
    assert known("gone@X.org") == Known(bounced=True)
    assert known("boss@x.ORG") == Known(proved=True)
    for address in ("angry@x.org", "new@x.org", "x.org", "a@" + "x" * 5000, ""):
        assert known(address) == NOTHING
    assert known("gone@x.org", B) == known("boss@x.org", B) == NOTHING
