"""Block lists, asked through our resolver at a real DNS server."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.base.clock import SystemClock
from mailstead.base.errors import Unreachable
from mailstead.net.dns import DnsResolver
from mailstead.ses import blocklists
from mailstead.ses.blocklists import MAX_REASON, Listing
from peers.ground import free_port
from peers.nsd import Nsd

BAD, GOOD, SIX = "192.0.2.99", "192.0.2.98", "2001:db8::1"


def look(resolver: str, ip: str, *zones: str) -> list[Listing]:
    async def ask() -> list[Listing]:
        return await blocklists.look(DnsResolver(resolver, SystemClock()), ip, zones)

    return asyncio.run(ask())


def test_what_is_listed_and_why(dns: Nsd) -> None:
    dns.set("one.test", '99.2.0.192 A 127.0.0.2\n99.2.0.192 TXT "sent spam," " see http://one.test"')
    dns.set("two.test", "99.2.0.192 A 127.0.0.4")
    dns.set("six.test", ".".join("1000000000000000000000008bd01002") + " A 127.0.0.2")
    zones = ("one.test", "two.test", "six.test", "three.test")
    assert look(dns.address, BAD, *zones) == [
        Listing("one.test", "sent spam, see http://one.test"),
        Listing("two.test", ""),
    ]
    assert look(dns.address, GOOD, *zones) == []
    assert look(dns.address, SIX, *zones) == [Listing("six.test", "")]


def test_what_a_stranger_writes_is_bounded(dns: Nsd) -> None:
    long = " ".join([f'"{"x" * 200}"'] * 8)
    dns.set(
        "one.test", f'99.2.0.192 A 127.0.0.2\n99.2.0.192 TXT {long}\n98.2.0.192 A 127.0.0.2\n98.2.0.192 TXT "a\\010b"'
    )
    assert look(dns.address, BAD, "one.test") == [Listing("one.test", "x" * MAX_REASON)]
    assert look(dns.address, GOOD, "one.test") == [Listing("one.test", "")]


def test_no_answer_is_no_good_name(dns: Nsd) -> None:
    dns.set("closed.test", "99.2.0.192 A 127.255.255.254")
    with pytest.raises(Unreachable, match=r"list closed\.test does not answer the resolver"):
        look(dns.address, BAD, "closed.test")
    with pytest.raises(Unreachable, match=r"list one\.test cannot be asked now"):
        look(f"127.0.0.1:{free_port('127.0.0.1')}", BAD, "one.test")
