"""Routing: where a recipient's mail goes: which lane it waits in, and which hosts take what waits there."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby, zip_longest
from random import SystemRandom
from typing import Protocol

from mailstead.base.address import ascii_domain
from mailstead.base.clock import SECOND, Clock
from mailstead.base.errors import Invalid
from mailstead.outbound.agents import Host, Route
from mailstead.outbound.simulator import DOMAIN as SIMULATOR_DOMAIN
from mailstead.proto.dns import Answer, DnsError, Resolver
from mailstead.proto.smtp.reply import Reply

SIMULATOR = "simulator:"
CAPTURE = "capture:"
RELAY = "relay:"
LOCAL = "local:"

MAX_HOSTS = 10
MAX_ADDRESSES = 8  # of one host
MAX_ROUTES = 10_000
MAX_KEPT = 300  # seconds

_dice = SystemRandom()
_CARRIERS = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))


class NextHop(Protocol):
    """A smarthost, as the configuration gives it."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def implicit_tls(self) -> bool: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    """What an operator decides about the way mail goes."""

    mode: str
    """``capture``, ``direct`` or ``relay``."""
    provider: str = ""
    """Our own domain; mail to it and to what is below it (return paths) stays here. Empty: there is none."""
    hosted: frozenset[str] = frozenset()
    """Domains whose mail is received here, lower case and A-labels."""
    smarthost: NextHop | None = None
    port: int = 25
    """Of remote mail servers."""
    hostname: str = ""
    """Our own name: a mail server of that name is us (RFC 5321 §5.1)."""
    allow_private_hosts: bool = False
    ipv6: bool = True


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A mail server and what DNS says of it."""

    preference: int
    name: str
    addresses: tuple[str, ...]
    ttl: int
    unknown: bool = False
    """Could DNS not tell?"""


class Router:
    """Names lanes and finds routes.

    ``own_addresses`` are (IP address, port) of our own listeners: mail never goes there by SMTP, that is a loop. The
    collection may grow while listeners start. ``hosted`` may be replaced when more domains are received here.
    """

    def __init__(
        self,
        settings: RoutingSettings,
        resolver: Resolver,
        own_addresses: Collection[tuple[str, int]],
        clock: Clock,
    ) -> None:
        self.hosted: Collection[str] = settings.hosted
        self.own_addresses = own_addresses
        self._settings = settings
        self._resolver = resolver
        self._clock = clock
        self._below_provider = f".{settings.provider}" if settings.provider else "\0"
        self._kept: OrderedDict[str, tuple[int, Route]] = OrderedDict()

    def lane_for(self, recipient: str) -> str:
        """What a recipient's mail waits in: ``simulator:``, ``local:DOMAIN``, ``capture:``, ``relay:``, or the domain.

        No look-up, and no error: an impossible domain is told by ``route``.
        """
        domain = recipient.rpartition("@")[2]
        try:
            domain = domain.lower() if domain.isascii() else ascii_domain(domain)
        except Invalid:
            domain = domain.lower()
        if domain == SIMULATOR_DOMAIN:
            return SIMULATOR
        if self._is_local(domain):
            return LOCAL + domain
        if self._settings.mode == "direct":
            return domain
        return CAPTURE if self._settings.mode == "capture" else RELAY

    def _is_local(self, domain: str) -> bool:
        return (
            domain in self.hosted or domain == self._settings.provider or domain.endswith(self._below_provider)
        ) and bool(domain)

    async def route(self, lane: str) -> Route:
        """Where a lane's mail goes now. What cannot be told now is a refusal of 4xx.

        In ``capture`` mode nothing leaves, whatever mode the lane was named in.
        """
        if lane == SIMULATOR:
            return Route("simulator", SIMULATOR)
        if lane.startswith(LOCAL):
            return Route("local", lane)
        if lane == CAPTURE or self._settings.mode == "capture":
            return Route("capture", CAPTURE)
        if lane == RELAY or self._settings.mode == "relay":
            lane = RELAY
        now = self._clock.now()
        kept = self._kept.get(lane)
        if kept is not None and now < kept[0] <= now + MAX_KEPT * SECOND:
            return kept[1]
        route, ttl = await (self._relay() if lane == RELAY else self._direct(lane))
        self._keep(lane, route, now + min(ttl, MAX_KEPT) * SECOND)
        return route

    def forget(self) -> None:
        """Find every route anew."""
        self._kept.clear()

    def _keep(self, lane: str, route: Route, until: int) -> None:
        self._kept[lane] = (until, route)
        self._kept.move_to_end(lane)
        if len(self._kept) > MAX_ROUTES:
            self._kept.popitem(last=False)

    # -- by smarthost

    async def _relay(self) -> tuple[Route, int]:
        hop = self._settings.smarthost
        if hop is None:
            return _refused(RELAY, Reply(451, "delivery.smarthost is not set", "4.3.5"))
        exchange = await self._exchange(0, ascii_domain(hop.host).removesuffix("."))
        if exchange.unknown:
            return _refused(RELAY, Reply(421, f"Unable to lookup DNS for {hop.host}", "4.4.0"))
        if not exchange.addresses:  # the operator's typing error must not bounce everything
            return _refused(RELAY, Reply(451, f"the smarthost {hop.host} has no address", "4.4.4"))
        addresses = tuple(one for one in exchange.addresses if not self._is_own(one, hop.port))
        if not addresses:
            return _refused(RELAY, Reply(451, f"the smarthost {hop.host}:{hop.port} is this server", "4.4.6"))
        site = f"{RELAY}{hop.host}:{hop.port}"
        tls = "implicit" if hop.implicit_tls else "opportunistic"
        if hop.username and not hop.implicit_tls and not all(map(_loopback, addresses)):
            tls = "require"  # a password does not travel in the clear
        hosts = (Host(exchange.name, hop.port, addresses),)
        return Route("smtp", site, hosts, username=hop.username, password=hop.password, tls=tls), exchange.ttl

    # -- by MX

    async def _direct(self, domain: str) -> tuple[Route, int]:
        if domain.startswith("["):
            return self._literal(domain)
        try:
            found = await self._resolver.query(domain, "MX")
            if not found.exists:
                return _refused(domain, Reply(550, f"Domain {domain} does not exist", "5.1.2"), found.ttl)
            exchanges, ttl = await self._exchanges(domain, found)
        except DnsError:
            return _refused(domain, Reply(421, f"Unable to lookup DNS for {domain}", "4.4.0"))
        if exchanges is None:
            return _refused(domain, Reply(550, "Domain does not accept mail (null MX)", "5.1.10"), ttl)
        return self._choose(domain, exchanges, ttl)

    def _literal(self, domain: str) -> tuple[Route, int]:
        """``[192.0.2.1]``, ``[IPv6:2001:db8::1]`` (RFC 5321 §4.1.3)."""
        inner = domain[1:].removesuffix("]")
        try:
            address = ipaddress.ip_address(inner[5:] if inner.startswith("ipv6:") else inner)
        except ValueError:
            return _refused(domain, Reply(550, f"{domain} is not an address literal", "5.1.2"), MAX_KEPT)
        return self._choose(domain, [_Exchange(0, str(address), (str(address),), MAX_KEPT)], MAX_KEPT)

    async def _exchanges(self, domain: str, found: Answer) -> tuple[list[_Exchange] | None, int]:
        """The domain's mail servers with their addresses; None if it says that it has none (RFC 7505)."""
        ranked = [_ranked(record) for record in found.records]
        if not ranked:
            ranked = [(0, domain)]  # RFC 5321 §5.1: the implicit MX
        elif [name for _, name in ranked] == ["."]:
            return None, found.ttl
        ranked = [(preference, name) for preference, name in ranked if name and name != "."]
        _dice.shuffle(ranked)  # RFC 5321 §5.1: those of the same preference share the work
        ranked.sort(key=lambda one: one[0])
        exchanges = await asyncio.gather(*(self._exchange(*one) for one in ranked[:MAX_HOSTS]))
        return exchanges, min([found.ttl, *(exchange.ttl for exchange in exchanges)])

    async def _exchange(self, preference: int, name: str) -> _Exchange:
        fixed = _fixed(name)
        if fixed:
            return _Exchange(preference, name, fixed, MAX_KEPT)
        kinds = ("AAAA", "A") if self._settings.ipv6 else ("A",)
        answers = [await self._addresses(name, kind) for kind in kinds]
        records = [answer.records for answer in answers if answer is not None]
        # By turns: if one family does not work here, the second try is the other one.
        addresses = [address for pair in zip_longest(*records) for address in pair if address is not None]
        ttl = min((answer.ttl for answer in answers if answer is not None), default=0)
        return _Exchange(preference, name, tuple(addresses[:MAX_ADDRESSES]), ttl, None in answers and not addresses)

    async def _addresses(self, name: str, kind: str) -> Answer | None:
        try:
            return await self._resolver.query(name, kind)
        except DnsError:
            return None

    def _choose(self, domain: str, exchanges: list[_Exchange], ttl: int) -> tuple[Route, int]:
        usable = [exchange for exchange in exchanges if exchange.addresses]
        if not usable:
            if any(exchange.unknown for exchange in exchanges):
                return _refused(domain, Reply(421, f"Unable to lookup DNS for {domain}", "4.4.0"))
            return _refused(domain, Reply(550, f"No mail server of {domain} has an address", "5.4.4"), ttl)
        best_of_ours = min((one.preference for one in exchanges if self._is_us(one)), default=1 << 16)
        # RFC 5321 §5.1: where we are a mail server of the domain, only the more preferred ones may be tried.
        better = [one for one in usable if one.preference < best_of_ours]
        if not better:
            return _refused(domain, Reply(554, f"Mail for {domain} loops back to this server", "5.4.6"), ttl)
        hosts = [host for host in map(self._public, better) if host.addresses]
        if not hosts:
            return _refused(domain, Reply(550, f"{domain} resolves only to private addresses", "5.4.4"), ttl)
        return Route("smtp", _site(better), tuple(hosts)), ttl

    def _is_us(self, exchange: _Exchange) -> bool:
        if self._settings.hostname and exchange.name == self._settings.hostname.lower():
            return True
        return any(self._is_own(address, self._settings.port) for address in exchange.addresses)

    def _is_own(self, address: str, port: int) -> bool:
        address = str(_plain(address))
        for own, own_port in self.own_addresses:
            if own_port == port and (own == address or (own in ("0.0.0.0", "::") and bindable(address))):  # noqa: S104
                return True
        return False

    def _public(self, exchange: _Exchange) -> Host:
        allow = self._settings.allow_private_hosts
        addresses = tuple(address for address in exchange.addresses if allow or _is_public(address))
        return Host(exchange.name, self._settings.port, addresses)


def _refused(site: str, reply: Reply, ttl: int = 0) -> tuple[Route, int]:
    return Route("smtp", site, refusal=reply), ttl


def _ranked(record: str) -> tuple[int, str]:
    preference, _, name = record.partition(" ")
    return int(preference), name


def _site(exchanges: list[_Exchange]) -> str:
    """The names of the most preferred hosts: domains with the same ones share limits and connections."""
    _, best = next(groupby(exchanges, key=lambda exchange: exchange.preference))
    site = ",".join(sorted({exchange.name for exchange in best}))
    return site if len(site) <= 200 else f"{site[:100]}…{hashlib.sha256(site.encode()).hexdigest()[:16]}"


def _fixed(name: str) -> tuple[str, ...]:
    """Addresses that need no look-up: a smarthost given as an address, and localhost (RFC 6761 §6.3)."""
    if name == "localhost" or name.endswith(".localhost"):
        return ("127.0.0.1", "::1")
    try:
        return (str(ipaddress.ip_address(name.strip("[]"))),)
    except ValueError:
        return ()


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    parsed = ipaddress.ip_address(address)
    return parsed.ipv4_mapped or parsed if isinstance(parsed, ipaddress.IPv6Address) else parsed


def _inner(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one carries through a gateway: 6to4, NAT64 (RFC 6052 §2.1), IPv4-compatible."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if any(address in network for network in _CARRIERS):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour or address


def _is_public(address: str) -> bool:
    parsed = _inner(_plain(address))
    return parsed.is_global and not parsed.is_multicast


def _loopback(address: str) -> bool:
    return _plain(address).is_loopback


def bindable(address: str) -> bool:
    """Does this machine have the address? Only then can a socket be bound to it."""
    parsed = _plain(address)
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(parsed), 0))
    except OSError:
        return False
    return True
