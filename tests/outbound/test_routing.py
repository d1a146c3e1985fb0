"""Routing with a real DNS server: lanes, hosts and the reasons why there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import pytest

from mailstead.base.clock import ManualClock
from mailstead.net.dns import DnsResolver
from mailstead.outbound.agents import Route
from mailstead.outbound.routing import Router, RoutingSettings
from mailstead.proto.dns import Answer
from peers.nsd import Nsd

ZONE = """
@ MX 20 backup
@ MX 10 mx1
@ MX 10 mx2
mx1 A 192.0.2.1
mx1 A 192.0.2.2
mx1 AAAA 2001:db8::1
mx2 A 192.0.2.3
backup A 192.0.2.4
only-a A 192.0.2.5
null MX 0 .
text TXT "nothing else"
bare MX 10 text
half MX 10 text
half MX 20 mx2
loop MX 10 mx1
loop MX 20 us
loop MX 30 backup
ours MX 10 us
us A 127.0.0.9
private A 10.1.2.3
private AAAA ::ffff:10.1.2.3
mixed A 10.1.2.3
mixed A 1.1.1.1
alias MX 10 other
other CNAME mx1
dotted MX 10 .
dotted MX 20 mx2
local MX 10 localhost.
"""
DIRECT = RoutingSettings("direct", port=2599, provider="ses.example.net", allow_private_hosts=True)


@dataclass(frozen=True)
class Hop:
    host: str
    port: int
    implicit_tls: bool = False
    username: str = ""
    password: str = ""


@pytest.fixture(scope="module")
def nsd() -> Iterator[Nsd]:
    with Nsd({"example.org": ZONE}) as server:
        yield server


def route(
    nsd: Nsd,
    lane: str,
    settings: RoutingSettings = DIRECT,
    own: Collection[tuple[str, int]] = (("127.0.0.9", 2599),),
) -> Route:
    clock = ManualClock()
    return asyncio.run(Router(settings, DnsResolver(nsd.address, clock), own, clock).route(lane))


@pytest.mark.parametrize(
    ("mode", "recipient", "lane"),
    [
        ("direct", "a@Example.ORG", "example.org"),
        ("direct", "a@bücher.example", "xn--bcher-kva.example"),
        ("direct", "a@[192.0.2.1]", "[192.0.2.1]"),
        ("direct", "a@[IPv6:2001:db8::1]", "[ipv6:2001:db8::1]"),
        ("direct", '"a@b"@example.org', "example.org"),
        ("direct", "bounce+x@simulator.amazonses.com", "simulator:"),
        ("capture", "success@Simulator.Amazonses.com", "simulator:"),
        ("capture", "a@example.org", "capture:"),
        ("relay", "a@example.org", "relay:"),
        ("capture", "a@Hosted.example", "local:hosted.example"),
        ("relay", "a@hosted.example", "local:hosted.example"),
        ("direct", "0100-x@ses.example.net", "local:ses.example.net"),
        ("direct", "0100-x@us-west-2.ses.example.net", "local:us-west-2.ses.example.net"),
        ("direct", "a@notses.example.net", "notses.example.net"),
        ("direct", "a@sub.hosted.example", "sub.hosted.example"),
    ],
)
def test_lanes(mode: str, recipient: str, lane: str) -> None:
    settings = replace(DIRECT, mode=mode, hosted=frozenset({"hosted.example"}))
    clock = ManualClock()
    assert Router(settings, DnsResolver("127.0.0.1:1", clock), (), clock).lane_for(recipient) == lane


@pytest.mark.parametrize("recipient", ["nobody", "", "a@", "a@\ud800", "a@xn--\u00fc..x", "@", "a@" + "ü" * 300])
def test_an_impossible_recipient_has_a_lane_and_a_final_refusal(nsd: Nsd, recipient: str) -> None:
    clock = ManualClock()
    router = Router(DIRECT, DnsResolver(nsd.address, clock), (), clock)
    refusal = asyncio.run(router.route(router.lane_for(recipient))).refusal
    assert refusal is not None
    assert (refusal.code, refusal.enhanced) == (550, "5.1.2")


def test_mail_servers_in_order_of_preference(nsd: Nsd) -> None:
    found = route(nsd, "example.org")
    assert found.refusal is None
    assert found.site == "mx1.example.org,mx2.example.org"
    assert {host.name for host in found.hosts[:2]} == {"mx1.example.org", "mx2.example.org"}
    assert found.hosts[2].name == "backup.example.org"
    assert {host.port for host in found.hosts} == {2599}
    assert found.tls == "opportunistic"


def test_the_same_preference_shares_the_work(nsd: Nsd) -> None:
    assert {route(nsd, "example.org").hosts[0].name for _ in range(20)} == {"mx1.example.org", "mx2.example.org"}


def test_both_families_take_turns(nsd: Nsd) -> None:
    host = next(host for host in route(nsd, "example.org").hosts if host.name == "mx1.example.org")
    assert host.addresses[0] == "2001:db8::1"
    assert set(host.addresses[1:]) == {"192.0.2.1", "192.0.2.2"}
    four = route(nsd, "alias.example.org", replace(DIRECT, ipv6=False)).hosts[0]
    assert set(four.addresses) == {"192.0.2.1", "192.0.2.2"}


def test_an_address_record_stands_in_for_a_mail_server(nsd: Nsd) -> None:
    found = route(nsd, "only-a.example.org")
    assert [(host.name, host.addresses) for host in found.hosts] == [("only-a.example.org", ("192.0.2.5",))]


def test_address_literals(nsd: Nsd) -> None:
    assert route(nsd, "[192.0.2.77]").hosts[0].addresses == ("192.0.2.77",)
    assert route(nsd, "[ipv6:2001:db8::7]").hosts[0].addresses == ("2001:db8::7",)
    assert str(route(nsd, "[nonsense]").refusal).startswith("550 5.1.2")


@pytest.mark.parametrize(
    ("lane", "refusal"),
    [
        ("nobody.example.org", "550 5.1.2 Domain nobody.example.org does not exist"),
        ("null.example.org", "550 5.1.10 Domain does not accept mail (null MX)"),
        ("text.example.org", "550 5.4.4 No mail server of text.example.org has an address"),
        ("bare.example.org", "550 5.4.4 No mail server of bare.example.org has an address"),
        ("ours.example.org", "554 5.4.6 Mail for ours.example.org loops back to this server"),
        ("[127.0.0.9]", "554 5.4.6 Mail for [127.0.0.9] loops back to this server"),
    ],
)
def test_definite_refusals(nsd: Nsd, lane: str, refusal: str) -> None:
    assert str(route(nsd, lane).refusal) == refusal


def test_a_server_without_an_address_is_passed_over(nsd: Nsd) -> None:
    assert [host.name for host in route(nsd, "half.example.org").hosts] == ["mx2.example.org"]
    assert [host.name for host in route(nsd, "dotted.example.org").hosts] == ["mx2.example.org"]


def test_where_we_are_a_backup_only_better_servers_are_tried(nsd: Nsd) -> None:
    assert [host.name for host in route(nsd, "loop.example.org").hosts] == ["mx1.example.org"]


def test_we_know_ourselves_by_name_too(nsd: Nsd) -> None:
    named = replace(DIRECT, hostname="US.example.org")
    assert route(nsd, "ours.example.org", named, own=()).refusal is not None


def test_a_wildcard_listener_is_every_address_of_this_machine(nsd: Nsd) -> None:
    own = [("0.0.0.0", 2599)]
    assert str(route(nsd, "ours.example.org", own=own).refusal).startswith("554 5.4.6")
    assert route(nsd, "only-a.example.org", own=own).refusal is None
    assert route(nsd, "ours.example.org", own=[("0.0.0.0", 25)]).refusal is None


def test_private_addresses_are_refused_unless_allowed(nsd: Nsd) -> None:
    strict = replace(DIRECT, allow_private_hosts=False)
    text = "550 5.4.4 private.example.org resolves only to private addresses"
    assert str(route(nsd, "private.example.org", strict).refusal) == text
    assert route(nsd, "mixed.example.org", strict).hosts[0].addresses == ("1.1.1.1",)
    assert route(nsd, "private.example.org").refusal is None
    for lane in ("[127.0.0.1]", "[ipv6:::1]", "[169.254.169.254]", "[ipv6:::ffff:127.0.0.1]", "local.example.org"):
        assert str(route(nsd, lane, strict).refusal).startswith("550 5.4.4")


@pytest.mark.parametrize(
    ("inside", "public"),
    [("64:ff9b::7f00:1", False), ("2002:a00:1::", False), ("::127.0.0.1", False), ("64:ff9b::101:101", True)],
)
def test_a_private_address_inside_another_one_is_private(inside: str, public: bool) -> None:
    clock = ManualClock()
    router = Router(replace(DIRECT, allow_private_hosts=False), DnsResolver("127.0.0.1:1", clock), (), clock)
    assert (asyncio.run(router.route(f"[ipv6:{inside}]")).refusal is None) is public


def test_dns_that_cannot_tell_is_temporary() -> None:
    clock = ManualClock()
    router = Router(DIRECT, DnsResolver("127.0.0.1:1", clock, timeout=0.2), (), clock)
    assert str(asyncio.run(router.route("example.com")).refusal) == "421 4.4.0 Unable to lookup DNS for example.com"


class Addressless:
    """Answers for MX, and fails for one host."""

    def __init__(self, good: Answer) -> None:
        self.good = good
        self.dns = DnsResolver("127.0.0.1:1", ManualClock())

    async def query(self, name: str, kind: str) -> Answer:
        if kind == "MX":
            return Answer(("10 a.example", "20 b.example"), ttl=60)
        if name == "a.example":
            self.dns.fail_next(1)
            return await self.dns.query(name, kind)
        return self.good


def test_one_unknown_server_makes_it_temporary_unless_another_has_an_address() -> None:
    clock = ManualClock()
    lost = Router(DIRECT, Addressless(Answer((), ttl=60)), (), clock)
    assert str(asyncio.run(lost.route("x.example")).refusal).startswith("421 4.4.0")
    found = Router(DIRECT, Addressless(Answer(("192.0.2.8",), ttl=60)), (), clock)
    assert [host.name for host in asyncio.run(found.route("x.example")).hosts] == ["b.example"]


class Moving:
    """A host that has another address every time."""

    def __init__(self, ttl: int) -> None:
        self.ttl = ttl
        self.asked = 0

    async def query(self, name: str, kind: str) -> Answer:
        if kind == "A":
            self.asked += 1
            return Answer((f"192.0.2.{self.asked}",), ttl=self.ttl)
        return Answer((), ttl=86400)


@pytest.mark.parametrize(("ttl", "kept"), [(60, 60), (86400, 300)])
def test_routes_are_kept_as_long_as_dns_allows(ttl: int, kept: int) -> None:
    clock = ManualClock()
    router = Router(DIRECT, Moving(ttl), (), clock)

    async def scene() -> None:
        first = await router.route("example.org")
        clock.advance(kept * 1000 - 1)
        assert await router.route("example.org") is first
        clock.advance(1)
        assert (await router.route("example.org")).hosts[0].addresses == ("192.0.2.2",)
        clock.advance(-3_600_000)  # the machine's clock is set back
        assert (await router.route("example.org")).hosts[0].addresses == ("192.0.2.3",)

    asyncio.run(scene())


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.outbound.routing.MAX_ROUTES", 2)
    clock = ManualClock()
    resolver = Moving(60)
    router = Router(DIRECT, resolver, (), clock)

    async def scene() -> None:
        for domain in ("a.example", "b.example", "c.example", "b.example", "a.example"):
            await router.route(domain)

    asyncio.run(scene())
    assert resolver.asked == 4


def test_capture_mode_lets_nothing_out(nsd: Nsd) -> None:
    capture = replace(DIRECT, mode="capture", smarthost=Hop("192.0.2.1", 25))
    for lane in ("example.org", "relay:", "capture:"):
        assert route(nsd, lane, capture).agent == "capture"
    assert route(nsd, "capture:").agent == "capture"
    assert route(nsd, "simulator:", capture).agent == "simulator"
    assert route(nsd, "local:hosted.example", capture) == Route("local", "local:hosted.example")


def test_relay(nsd: Nsd) -> None:
    relay = replace(DIRECT, mode="relay", smarthost=Hop("mx1.example.org", 587, username="u", password="p"))
    found = route(nsd, "example.org", relay)
    assert found == route(nsd, "relay:", relay)
    assert (found.agent, found.tls, found.username, found.password) == ("smtp", "require", "u", "p")
    assert (found.hosts[0].name, found.hosts[0].port) == ("mx1.example.org", 587)
    assert "2001:db8::1" in found.hosts[0].addresses


@pytest.mark.parametrize(
    ("hop", "tls"),
    [
        (Hop("localhost", 1025), "opportunistic"),
        (Hop("127.0.0.1", 1025, username="u", password="p"), "opportunistic"),
        (Hop("::1", 465, implicit_tls=True, username="u", password="p"), "implicit"),
    ],
)
def test_relay_to_our_own_ground(nsd: Nsd, hop: Hop, tls: str) -> None:
    found = route(nsd, "relay:", replace(DIRECT, mode="relay", smarthost=hop, allow_private_hosts=False))
    assert (found.refusal, found.tls) == (None, tls)


@pytest.mark.parametrize("hop", [None, Hop("nobody.example.org", 25), Hop("127.0.0.9", 2599)])
def test_an_operators_mistake_bounces_nothing(nsd: Nsd, hop: Hop | None) -> None:
    refusal = route(nsd, "relay:", replace(DIRECT, mode="relay", smarthost=hop)).refusal
    assert refusal is not None
    assert refusal.transient
