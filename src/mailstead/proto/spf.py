"""SPF: may this host send for this domain (RFC 7208)?

Look-ups go through the ``Resolver`` that is handed in. Their number is bounded here; their time is for whoever asks to
bound (RFC 7208 §4.6.4: at least 20 seconds for a check).

Careful: no answer to ``exp`` and no validated name is no error; both end in "unknown" (RFC 7208 §6.2, §5.5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from mailstead.base.address import ascii_domain
from mailstead.base.errors import Invalid
from mailstead.proto import spf_macros
from mailstead.proto.dns import Answer, DnsError, Resolver
from mailstead.proto.spf_macros import IpAddress, MacroString, SpfSyntaxError, dotted
from mailstead.proto.spf_record import LOOKS_UP, Directive, SpfRecord, parse_record, select

NONE, NEUTRAL, PASS, FAIL, SOFTFAIL = "none", "neutral", "pass", "fail", "softfail"
TEMPERROR, PERMERROR = "temperror", "permerror"

MAX_LOOKUPS = 10  # RFC 7208 §4.6.4: terms that look something up
MAX_VOID = 2  # RFC 7208 §4.6.4: of those, terms that find nothing
MAX_HOSTS = 10  # RFC 7208 §4.6.4: mail servers of one mx, names of one ptr

_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_-]{1,63}\.)+(?![0-9]+\Z)[A-Za-z0-9-]{1,63}")


@dataclass(frozen=True, slots=True)
class Spf:
    """What came of a check."""

    result: str
    """``none``, ``neutral``, ``pass``, ``fail``, ``softfail``, ``temperror``, ``permerror`` (RFC 7208 §2.6)."""
    domain: str = ""
    """The domain that was asked about."""
    term: str = ""
    """The mechanism that decided, as it was written; empty: none did."""
    problem: str = ""
    """Of an error: what is wrong, in a few words. May hold text of the domain's."""
    explanation: str = ""
    """Of ``fail``: what the domain says to it, printable ASCII; empty: nothing."""
    lookups: int = 0
    """Terms that looked something up; ``MAX_LOOKUPS`` may."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who wants to send what."""

    ip: IpAddress
    sender: str
    """The address in the reverse-path; of the null reverse-path ``postmaster@HELO`` (RFC 7208 §2.4)."""
    helo: str = ""
    receiver: str = "unknown"
    """Our own name, for explanations."""
    now: int = 0
    """Seconds since 1970, for explanations."""


class _Permanent(Exception):
    """The domain's record cannot be evaluated."""


class _Temporary(Exception):
    """DNS does not answer now."""


def plain_ip(text: str) -> IpAddress:
    """A client's address; IPv4 in IPv6 is IPv4 (RFC 7208 §5).

    Raises:
        ValueError: it is none.
    """
    ip = ip_address(text.partition("%")[0])
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


async def check(
    resolver: Resolver, ip: str, mail_from: str, helo: str, *, receiver: str = "unknown", now: int = 0
) -> Spf:
    """Check the reverse-path, or the HELO name where that is null. Never raises for what others wrote.

    Args:
        resolver: asks DNS.
        ip: the client's address.
        mail_from: the reverse-path without its brackets; empty: the null reverse-path.
        helo: what the client said in HELO or EHLO.
        receiver: our own name, for explanations.
        now: seconds since 1970, for explanations.
    """
    local, _, domain = mail_from.rpartition("@")
    domain = _plain(domain or helo)
    client = Client(plain_ip(ip), f"{local or 'postmaster'}@{domain}", helo, receiver, now)
    return await check_host(resolver, client, domain)


async def check_host(resolver: Resolver, client: Client, domain: str) -> Spf:
    """RFC 7208 §4: evaluate the record of ``domain`` for this client."""
    domain = _plain(domain)
    if not _DOMAIN.fullmatch(domain):
        return Spf(NONE, domain, problem="no domain")
    return await _Check(resolver, client, domain).run()


class _Check:
    """One check: what it has looked up so far."""

    def __init__(self, resolver: Resolver, client: Client, domain: str) -> None:
        self._resolver = resolver
        self._client = client
        self._domain = domain
        self._kind = "A" if isinstance(client.ip, IPv4Address) else "AAAA"
        self._lookups = 0
        self._void = 0
        self._validated: list[str] | None = None
        self._explaining: tuple[MacroString, str] | None = None
        """The ``exp`` of a fail, and the domain that has it."""

    async def run(self) -> Spf:
        domain = self._domain
        try:
            result, term = await self._evaluate(domain, top=True)
        except _Permanent as error:
            return Spf(PERMERROR, domain, problem=str(error), lookups=self._lookups)
        except _Temporary as error:
            return Spf(TEMPERROR, domain, problem=str(error), lookups=self._lookups)
        explanation = await self._explanation() if result == FAIL else ""
        return Spf(result, domain, term, explanation=explanation, lookups=self._lookups)

    async def _record(self, domain: str) -> SpfRecord | None:
        found = select((await self._ask(domain, "TXT")).records) if _possible(domain) else []
        if len(found) > 1:
            raise _Permanent(f"{domain} has {len(found)} SPF records")
        try:
            return parse_record(found[0]) if found else None
        except SpfSyntaxError as error:
            raise _Permanent(f"{domain}: {error}") from None

    async def _evaluate(self, domain: str, *, top: bool) -> tuple[str, str]:
        """The result of a domain's record, and the term that decided.

        Args:
            domain: whose record.
            top: is it the one that was asked about, or what that one redirects to? Only those explain.
        """
        record = await self._record(domain)
        if record is None:
            return NONE, ""
        for directive in record.directives:
            if await self._matches(directive, domain):
                if top and record.explanation:
                    self._explaining = record.explanation, domain
                return directive.qualifier, directive.text
        if not record.redirect:
            return NEUTRAL, ""
        self._count()
        target = await self._name(record.redirect, domain)
        result, term = await self._evaluate(target, top=top)
        if result == NONE:
            raise _Permanent(f"{domain} redirects to {target}, which has no SPF record")  # RFC 7208 §6.1
        return result, term

    # -- mechanisms

    async def _matches(self, directive: Directive, domain: str) -> bool:
        if directive.name == "all":
            return True
        if directive.network is not None:
            return self._within(directive.network, directive)
        assert directive.name in LOOKS_UP
        self._count()
        target = await self._name(directive.domain, domain) if directive.domain else domain
        if not target.isascii():
            return False  # RFC 8616 §4
        if directive.name == "include":
            return await self._include(target, domain)
        if not _possible(target):
            return False  # RFC 7208 §4.8: what no query can be made of does not exist
        if directive.name == "a":
            return self._any_within(await self._found(target, self._kind), directive)
        if directive.name == "mx":
            return await self._mx(target, directive)
        if directive.name == "exists":
            return bool((await self._found(target, "A")).records)
        return any(_below(name, target) for name in await self._names(counts=True))

    async def _include(self, target: str, domain: str) -> bool:
        result, _ = await self._evaluate(target, top=False)
        if result == NONE:
            raise _Permanent(f"{domain} includes {target}, which has no SPF record")  # RFC 7208 §5.2
        return result == PASS

    async def _mx(self, target: str, directive: Directive) -> bool:
        found = await self._found(target, "MX")
        if len(found.records) > MAX_HOSTS:
            raise _Permanent(f"{target} has more than {MAX_HOSTS} MX records")
        for record in found.records:
            host = record.partition(" ")[2].removesuffix(".")
            if _possible(host) and self._any_within(await self._ask(host, self._kind), directive):
                return True
        return False

    def _any_within(self, answer: Answer, directive: Directive) -> bool:
        return any(self._within(ip_address(address), directive) for address in answer.records)

    def _within(self, network: IpAddress, directive: Directive) -> bool:
        ip = self._client.ip
        if network.version != ip.version:
            return False
        shift = ip.max_prefixlen - (directive.prefix4 if ip.version == 4 else directive.prefix6)
        return int(network) >> shift == int(ip) >> shift

    async def _names(self, *, counts: bool = False) -> list[str]:
        """The client's names that lead back to it (RFC 7208 §5.5); looked up once."""
        if self._validated is None:
            self._validated = []
            try:
                found = await self._ask(self._client.ip.reverse_pointer, "PTR")
            except _Temporary:
                return self._validated
            if counts and not found.records:
                self._nothing()
            for name in found.records[:MAX_HOSTS]:
                if await self._leads_back(name.removesuffix(".").lower()):
                    self._validated.append(name.removesuffix(".").lower())
        return self._validated

    async def _leads_back(self, name: str) -> bool:
        try:
            found = await self._ask(name, self._kind) if _possible(name) else Answer(())
        except _Temporary:
            return False
        return any(ip_address(address) == self._client.ip for address in found.records)

    # -- look-ups

    def _count(self) -> None:
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise _Permanent(f"more than {MAX_LOOKUPS} look-ups")

    def _nothing(self) -> None:
        self._void += 1
        if self._void > MAX_VOID:
            raise _Permanent(f"more than {MAX_VOID} look-ups that find nothing")

    async def _ask(self, name: str, kind: str) -> Answer:
        try:
            return await self._resolver.query(name, kind)
        except DnsError as error:
            raise _Temporary(error.message) from None

    async def _found(self, name: str, kind: str) -> Answer:
        """Ask for a term: to find nothing is counted."""
        answer = await self._ask(name, kind)
        if not answer.records:
            self._nothing()
        return answer

    # -- macros

    async def _values(self, parts: MacroString, domain: str) -> dict[str, str]:
        client = self._client
        local, _, sender_domain = client.sender.rpartition("@")
        four = client.ip.version == 4
        return {
            "s": client.sender,
            "l": local,
            "o": sender_domain,
            "d": domain,
            "i": dotted(client.ip),
            "p": await self._best_name(domain) if spf_macros.uses(parts, "p") else "",
            "v": "in-addr" if four else "ip6",
            "h": client.helo,
            "c": str(client.ip),
            "r": client.receiver,
            "t": str(client.now),
        }

    async def _best_name(self, domain: str) -> str:
        """RFC 7208 §7.3: the domain itself, or one below it, or any; else "unknown"."""
        names = await self._names()
        below = [name for name in names if _below(name, domain)]
        if domain.lower() in below:
            return domain.lower()
        return next(iter(below or names), "unknown")

    async def _name(self, parts: MacroString, domain: str) -> str:
        return spf_macros.expand_domain(parts, await self._values(parts, domain))

    async def _explanation(self) -> str:
        """What the domain says to a fail; whatever is wrong with it, it says nothing (RFC 7208 §6.2)."""
        if self._explaining is None:
            return ""
        where, domain = self._explaining
        name = await self._name(where, domain)
        try:
            found = await self._ask(name, "TXT") if _possible(name) else Answer(())
            if len(found.records) != 1 or not found.records[0].isascii():
                return ""
            parts = spf_macros.parse_explanation(found.records[0])
        except (_Temporary, SpfSyntaxError):
            return ""
        text = spf_macros.expand(parts, await self._values(parts, domain))
        usable = len(text) <= spf_macros.MAX_TEXT and text.isascii() and text.isprintable()
        return text if usable else ""


def _plain(domain: str) -> str:
    """In lower case and A-labels (RFC 8616 §4); what cannot be stays as it is."""
    try:
        return ascii_domain(domain.removesuffix("."))
    except Invalid:
        return domain


def _possible(name: str) -> bool:
    """Can a query be made of this name?"""
    fits = 0 < len(name) <= spf_macros.MAX_NAME and name.isascii()
    return fits and all(0 < len(label) <= 63 for label in name.split("."))


def _below(name: str, domain: str) -> bool:
    """Is this name the domain or below it?"""
    name, domain = name.lower(), domain.lower()
    return name == domain or name.endswith(f".{domain}")
