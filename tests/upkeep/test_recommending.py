"""What upkeep sees of a verified domain and notes as a recommendation, against a real name server."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.base.clock import DAY, MINUTE
from mailstead.net.dns import DnsResolver
from mailstead.proto.dkim_keys import generate_rsa, public_record
from mailstead.runtime import Runtime
from mailstead.ses import dkim_keys, identities, mail_from, recommendations, verification
from mailstead.ses.identities import DkimSetup
from mailstead.store import wipe
from mailstead.upkeep import published
from mailstead.upkeep.verification import Ours, Verification
from peers.database import Ground
from peers.lame_dns import LameDns
from peers.nsd import Nsd

A, R = "111111111111", "us-east-1"
DOMAIN, PROVIDER = "deep.example.com", "mail.test"
SELECTOR = "a" * 32
RSA = generate_rsa(1024)
DKIM = f'{SELECTOR}._domainkey.deep TXT "{public_record(RSA)}"\n'
MAIL_FROM = 'bounces.deep MX 10 mx.mail.test.\nbounces.deep TXT "v=spf1 a:mx.mail.test ~all"\n'
DMARC = '_dmarc TXT "v=DMARC1; p=none"\n'


class Watched:
    """The duty with a clock that stands."""

    def __init__(self, ground: Ground, dns: str) -> None:
        self.ground = ground
        resolver = DnsResolver(dns, ground.clock, timeout=2)
        runtime = Runtime(ground.db, None, ground.clock, resolver, None, ground.vault, "w")  # type: ignore[arg-type]
        self.duty = Verification(runtime, Ours(PROVIDER, "mx.mail.test"))

    def add(self, name: str = DOMAIN) -> str:
        async def body(tx):  # type: ignore[no-untyped-def]
            key = dkim_keys.seal(self.ground.vault, A, R, name, selector=SELECTOR, private=RSA)
            made = await identities.create(tx, A, R, name, dkim=DkimSetup((SELECTOR,), key, "EXTERNAL", "RSA_1024_BIT"))
            await verification.watch(tx, A, R, name)
            return made

        return self.ground.run(body).token

    def pass_time(self, milliseconds: int = DAY) -> None:
        self.ground.clock.advance(milliseconds)

        async def body() -> None:
            for timer in await self.duty._claim(100):
                await self.duty._do(timer)

        self.ground.loop.run_until_complete(body())

    def noted(self, **wanted: str) -> dict[str, tuple[str, str]]:
        """By type: status and impact."""
        rows = self.ground.read(lambda tx: recommendations.list_page(tx, A, R, wanted=wanted))
        assert {row.resource for row in rows} <= {f"identity/{DOMAIN}"}
        return {row.type: (row.status, row.impact) for row in rows}


@pytest.fixture
def watched(ground: Ground, dns: Nsd) -> Watched:
    return Watched(ground, dns.address)


def test_nothing_of_what_is_not_verified(watched: Watched, dns: Nsd) -> None:
    watched.add()
    dns.set("example.com", DMARC)
    watched.pass_time(0)
    assert watched.noted() == {}


def test_found_put_right_and_found_again(watched: Watched, dns: Nsd) -> None:
    token = f'_amazonses.deep TXT "{watched.add()}"\n'
    dns.set("example.com", token)
    watched.pass_time(0)
    first = watched.ground.clock.now()
    everything = {"DKIM": ("OPEN", "HIGH"), "SPF": ("OPEN", "LOW"), "DMARC": ("OPEN", "HIGH")}
    assert watched.noted() == everything
    watched.pass_time(MINUTE)
    rows = watched.ground.read(lambda tx: recommendations.list_page(tx, A, R, wanted={}))
    assert {(row.created, row.changed) for row in rows} == {(first, first)}

    dns.set("example.com", token + DKIM + DMARC + MAIL_FROM)

    async def choose(tx):  # type: ignore[no-untyped-def]
        identity = await identities.get(tx, A, R, DOMAIN)
        await mail_from.put(tx, identity, f"bounces.{DOMAIN}", on_failure="USE_DEFAULT_VALUE", verified=False)
        await verification.watch(tx, A, R, DOMAIN)

    watched.ground.run(choose)
    watched.pass_time(MINUTE)
    fixed = watched.ground.clock.now()
    assert {kind: status for kind, (status, _) in watched.noted().items()} == dict.fromkeys(everything, "FIXED")
    rows = watched.ground.read(lambda tx: recommendations.list_page(tx, A, R, wanted={}))
    assert {(row.created, row.changed) for row in rows} == {(first, fixed)}

    dns.set("example.com", token + DKIM)
    watched.pass_time()
    assert watched.noted(status="OPEN") == {"DMARC": ("OPEN", "HIGH"), "SPF": ("OPEN", "HIGH")}
    (row,) = watched.ground.read(lambda tx: recommendations.list_page(tx, A, R, wanted={"type": "DMARC"}))
    assert (row.created, row.changed) == (first, watched.ground.clock.now())


def test_what_dns_cannot_tell_is_not_noted(ground: Ground, dns: Nsd) -> None:
    with LameDns(dns, failing=[f"_dmarc.{DOMAIN}"]) as lame:
        watched = Watched(ground, lame.address)
        dns.set("example.com", f'_amazonses.deep TXT "{watched.add()}"\n')
        watched.pass_time(0)
    assert set(watched.noted()) == {"DKIM", "SPF"}


def test_they_go_with_their_identity(watched: Watched, dns: Nsd) -> None:
    dns.set("example.com", f'_amazonses.deep TXT "{watched.add()}"\n')
    watched.pass_time(0)
    assert watched.noted()
    watched.ground.run(lambda tx: identities.delete(tx, A, R, DOMAIN))
    assert watched.noted() == {}
    dns.set("example.com", f'_amazonses.deep TXT "{watched.add()}"\n')
    watched.pass_time(0)
    assert watched.noted()
    watched.ground.run(lambda tx: wipe.wipe(tx, A))
    assert watched.noted() == {}


def test_an_address_has_none(watched: Watched) -> None:
    async def body(tx):  # type: ignore[no-untyped-def]
        await identities.create(tx, A, R, "a@example.com", verified=True)
        await verification.watch(tx, A, R, "a@example.com")

    watched.ground.run(body)
    watched.pass_time(0)
    assert watched.noted() == {}


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ('_dmarc.deep TXT "v=DMARC1; p=reject"', True),
        ('_dmarc.deep TXT "v=DMARC1"', True),
        ('_dmarc TXT "v=DMARC1;p=none"', True),
        ('_dmarc TXT "v=DMARC10; p=none"', False),
        ('_dmarc TXT "hello"', False),
        ('_dmarc.other TXT "v=DMARC1; p=none"', False),
    ],
)
def test_where_a_dmarc_record_may_be(ground: Ground, dns: Nsd, records: str, found: bool) -> None:
    dns.set("example.com", records)
    resolver = DnsResolver(dns.address, ground.clock, timeout=2)

    async def body() -> bool:
        return (await published.dmarc(resolver.query, DOMAIN)).found

    assert ground.loop.run_until_complete(asyncio.wait_for(body(), 10)) is found
