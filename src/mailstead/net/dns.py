"""DNS: looks names up once, remembers the answer for as long as it may, and says plainly when nobody answers."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterable

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver

from mailstead.base.address import ascii_domain
from mailstead.base.clock import SECOND, Clock
from mailstead.base.errors import Invalid
from mailstead.proto.dns import Answer, DnsError

MAX_NAME = 253  # RFC 1035 §2.3.4, as text without the last dot
MAX_RECORDS = 50
MAX_EXCHANGES = 20  # a domain with more mail servers than that has a fault, or wants to keep us busy
MAX_HOPS = 8  # aliases that we follow ourselves where the server does not
MAX_ANSWERS = 10_000
MAX_TTL = 3600
MAX_NEGATIVE_TTL = 300  # RFC 2308 §5 lets it be hours; people who set up a domain wait for us
ERROR_TTL = 5
UNTOLD_TTL = 5  # "no such thing", without the SOA record that says for how long
PAYLOAD = 1232  # EDNS buffer that is not fragmented on any path

_NAME = re.compile(r"[!-\-/-~]{1,63}(?:\.[!-\-/-~]{1,63})*")
_HOSTPORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\s]+))(?::([0-9]{1,5}))?")
_BARE_V6 = re.compile(r"([0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:]*)()()")
_NAMED = ("CNAME", "NS", "PTR", "DNAME")

_Entry = tuple[int, int, Answer | str]  # since when, until when (milliseconds), the answer or why there is none


class DnsResolver:
    """Asks ``server`` (``127.0.0.1:5302``, ``[::1]:53``; None: those of /etc/resolv.conf).

    An answer that is remembered costs a look into a dict and no switch of tasks. The same question is asked once at a
    time, however many wait for it. ``timeout`` is in seconds and holds for all tries of one question together.
    """

    def __init__(
        self, server: str | None, clock: Clock, *, timeout: float = 8.0, tries: int = 2, concurrency: int = 100
    ) -> None:
        self._servers = _system_servers() if server is None else [_server(server)]
        self._clock = clock
        self._timeout = timeout
        self._tries = max(tries, min(len(self._servers), 3))
        self._slots = asyncio.Semaphore(concurrency)
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._known: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[Answer | DnsError]] = {}
        self._faults = 0
        self.asked = 0
        """Questions that went to a server."""

    def cached(self, name: str, kind: str) -> Answer | None:
        """The remembered answer, if there is one and it is still good."""
        if self._faults:
            return None
        entry = self._entry((name, kind))
        return entry if isinstance(entry, Answer) else None

    async def query(self, name: str, kind: str) -> Answer:
        """The records of ``kind`` at ``name`` (see ``proto.dns.Resolver``). A name that cannot be: does not exist.

        Raises:
            DnsError: no answer can be had now.
        """
        if self._faults:
            self._faults -= 1
            raise DnsError(f"no answer for {kind} {name} (a fault was asked for)")
        found = self._entry((name, kind))
        if found is None:
            found = await self._look_up(name, kind)
        if isinstance(found, Answer):
            return found
        raise DnsError(found)

    async def fresh(self, name: str, kind: str) -> Answer:
        """As ``query``, but asks even if an answer is remembered: for whoever watches for a change.

        Raises:
            DnsError: no answer can be had now.
        """
        self._known.pop((_plain(name) or name, kind), None)
        return await self.query(name, kind)

    def fail_next(self, count: int) -> None:
        """Let the next ``count`` questions go unanswered (fault tests)."""
        self._faults = max(0, count)

    def forget(self) -> None:
        """Forget every answer."""
        self._known.clear()

    def _entry(self, key: tuple[str, str]) -> Answer | str | None:
        entry = self._known.get(key)
        if entry is None:
            return None
        since, until, found = entry
        # Before `since`: somebody set the machine's clock back, and `until` says nothing any more.
        if since <= self._clock.now() < until:
            self._known.move_to_end(key)
            return found
        del self._known[key]
        return None

    async def _look_up(self, name: str, kind: str) -> Answer | str:
        plain = _plain(name)
        if plain is None:
            return Answer((), exists=False, ttl=MAX_TTL)
        key = (plain, kind)
        found = self._entry(key) if plain != name else None
        if found is not None:
            return found
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(plain, kind))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        result = await asyncio.shield(task)  # one who stops waiting must not take the answer away from the others
        return result if isinstance(result, Answer) else result.message

    async def _ask(self, name: str, kind: str) -> Answer | DnsError:
        """Never raises: an error is a result, so that nobody has to wait for it."""
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                found: Answer | DnsError = await self._follow(name, kind)
        except TimeoutError:
            found = DnsError(f"no answer from {self._who()} for {kind} {name}")
        except DnsError as error:
            found = error
        self._remember((name, kind), found)
        return found

    def _remember(self, key: tuple[str, str], found: Answer | DnsError) -> None:
        now = self._clock.now()
        ttl = found.ttl if isinstance(found, Answer) else ERROR_TTL
        if ttl > 0:
            self._known[key] = (now, now + ttl * SECOND, found if isinstance(found, Answer) else found.message)
            if len(self._known) > MAX_ANSWERS:
                self._known.popitem(last=False)

    def _who(self) -> str:
        return ", ".join(_shown(*server) for server in self._servers)

    async def _follow(self, name: str, kind: str) -> Answer:
        """Ask, and ask again for the target where an authoritative server leaves the alias to us."""
        wanted, ttl, authentic = _to_name(name), MAX_TTL, True
        for _ in range(MAX_HOPS):
            response = await self._exchange(wanted, name, kind)
            authentic = authentic and bool(response.flags & dns.flags.AD)
            try:
                chain = response.resolve_chaining()
            except dns.exception.DNSException as error:
                raise DnsError(f"answer from {self._who()} for {kind} {name} makes no sense: {error}") from None
            ttl = min(ttl, chain.minimum_ttl)
            if chain.answer is not None:
                return Answer(_records(kind, chain.answer), True, authentic, ttl)
            if response.rcode() == dns.rcode.NXDOMAIN or not chain.cnames or _soa(response):
                exists = response.rcode() != dns.rcode.NXDOMAIN
                return Answer((), exists, authentic, min(ttl, MAX_NEGATIVE_TTL if _soa(response) else UNTOLD_TTL))
            wanted = chain.canonical_name
        raise DnsError(f"too many aliases for {kind} {name}")

    async def _exchange(self, wanted: dns.name.Name, name: str, kind: str) -> dns.message.QueryMessage:
        """The first useful response. A server that fails or is silent gives way to the next one."""
        trouble = ""
        for number in range(self._tries):
            server = self._servers[number % len(self._servers)]
            try:
                response = await self._send(wanted, kind, server)
            except (OSError, EOFError, dns.exception.DNSException):
                continue
            if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return response
            trouble = f"{dns.rcode.to_text(response.rcode())} from {_shown(*server)} for {kind} {name}"
        raise DnsError(trouble or f"no answer from {self._who()} for {kind} {name}")

    async def _send(self, wanted: dns.name.Name, kind: str, server: tuple[str, int]) -> dns.message.QueryMessage:
        query = dns.message.make_query(wanted, kind, use_edns=0, payload=PAYLOAD)
        query.flags |= dns.flags.AD  # RFC 6840 §5.7: whether it is authentic, without the proof
        self.asked += 1
        response, _ = await dns.asyncquery.udp_with_fallback(
            query,
            server[0],
            timeout=self._timeout / self._tries,
            port=server[1],
            ignore_unexpected=True,
            ignore_errors=True,
            backend=self._backend,
        )
        if not isinstance(response, dns.message.QueryMessage):
            raise dns.exception.FormError
        return response


def _server(text: str) -> tuple[str, int]:
    match = _HOSTPORT.fullmatch(text) or re.fullmatch(
        r"([0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:]*)()()", text
    )  # a bare IPv6 address
    if match is None:
        raise Invalid(f"not a resolver address: {text}")
    return match[1] or match[2], int(match[3] or 53)


def _system_servers() -> list[tuple[str, int]]:
    try:
        found = dns.resolver.Resolver(configure=True).nameservers
    except dns.resolver.NoResolverConfiguration:
        found = []
    return [(str(address), 53) for address in found][:3] or [("127.0.0.1", 53)]  # resolv.conf(5): none means local


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _plain(name: str) -> str | None:
    """Lower case, ASCII, without the last dot; None if no such name can exist."""
    try:
        plain = ascii_domain(name.removesuffix("."))
    except Invalid:
        return None
    return plain if len(plain) <= MAX_NAME and _NAME.fullmatch(plain) else None


def _to_name(name: str) -> dns.name.Name:
    # Not from_text: it reads a backslash as the start of an escape, and here it is a character.
    return dns.name.Name([*(label.encode() for label in name.split(".")), b""])


def _soa(response: dns.message.Message) -> bool:
    return any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)


def _records(kind: str, found: Iterable[dns.rdata.Rdata]) -> tuple[str, ...]:
    if kind == "MX":
        ranked = sorted((int(rdata.preference), _text(rdata.exchange)) for rdata in found)  # type: ignore[attr-defined]
        return tuple(f"{preference} {exchange}" for preference, exchange in ranked[:MAX_EXCHANGES])
    return tuple(_record(kind, rdata) for rdata in list(found)[:MAX_RECORDS])


def _record(kind: str, rdata: dns.rdata.Rdata) -> str:
    if kind == "TXT":
        return b"".join(rdata.strings).decode("utf-8", "replace")  # type: ignore[attr-defined]
    if kind in _NAMED:
        return _text(rdata.target)  # type: ignore[attr-defined]
    return rdata.to_text()


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
