"""Published: what a zone shows at the places that an identity needs, compared with what it should show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from mailstead.base.address import ascii_domain
from mailstead.base.errors import Invalid
from mailstead.proto.dns import Answer, DnsError
from mailstead.ses.verification import NO_HOST, NO_TYPE, UNKNOWN, WRONG, Look, Verdict, all_of

Ask = Callable[[str, str], Awaitable[Answer]]
"""A question to DNS: name and type, as in ``proto.dns.Resolver``."""

SHOWN = 10
"""Records of others that are kept of one look."""


async def look(ask: Ask, name: str, kind: str, good: Callable[[tuple[str, ...]], bool]) -> Look:
    """Ask once; ``good`` judges the records that there are."""
    try:
        answer = await ask(name, kind)
    except DnsError:
        return UNKNOWN
    if not answer.records:
        return Look(Verdict.GONE, NO_TYPE if answer.exists else NO_HOST)
    seen = answer.records[:SHOWN]
    return Look(Verdict.FOUND, seen=seen) if good(answer.records) else Look(Verdict.GONE, WRONG, seen)


async def token(ask: Ask, domain: str, wanted: str) -> Look:
    """The proof of a domain, ``_amazonses.DOMAIN TXT token`` (SES: sending §1.3)."""
    return await look(ask, f"_amazonses.{domain}", "TXT", lambda texts: any(text.strip() == wanted for text in texts))


def _tags(record: str) -> dict[str, str]:
    """The tags of a key record (RFC 6376 §3.2): white space does not count in what we compare."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip(): "".join(value.split()) for name, _, value in pairs}


def same_key(record: str, wanted: str) -> bool:
    """Does this record give the same public key (RFC 6376 §3.6.1)?"""
    found, ours = _tags(record), _tags(wanted)
    if found.get("v", "DKIM1") != "DKIM1" or found.get("k", "rsa").lower() != ours.get("k", "rsa"):
        return False
    return found.get("p") == ours["p"]


async def key(ask: Ask, domain: str, selector: str, public: str, *, target: str = "") -> Look:
    """The record of a DKIM key: a TXT with the key, at the end of a CNAME or not; or the CNAME to ``target`` alone."""
    name = f"{selector}._domainkey.{domain}"
    text = await look(ask, name, "TXT", lambda texts: any(same_key(record, public) for record in texts))
    if text.found or not target:
        return text
    alias = await look(ask, name, "CNAME", lambda names: target in names)
    if alias.found:
        return Look(Verdict.FOUND, seen=alias.seen, alias=True)
    return all_of([text, alias])


def _host(exchange: str) -> str:
    host = exchange.partition(" ")[2]
    try:
        return ascii_domain(host.rstrip("."))
    except Invalid:
        return host


async def exchange(ask: Ask, domain: str, hosts: Collection[str]) -> Look:
    """Exactly one MX, which is ours (SES: sending §1.4)."""
    return await look(ask, domain, "MX", lambda found: len(found) == 1 and _host(found[0]) in hosts)


def _is_spf(text: str) -> bool:
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")  # RFC 7208 §4.5


def allows(record: str, terms: Collection[str]) -> bool:
    """Does this SPF record let one of our terms (``include:…``, ``a:…``) pass?"""
    words = [word.lower().removeprefix("+") for word in record.split()[1:]]
    return any(term in words for term in terms)


async def spf(ask: Ask, domain: str, terms: Collection[str]) -> Look:
    """Exactly one SPF record (RFC 7208 §4.5), and it names us."""

    def good(texts: tuple[str, ...]) -> bool:
        records = [text for text in texts if _is_spf(text)]
        return len(records) == 1 and allows(records[0], terms)

    return await look(ask, domain, "TXT", good)


MAX_PARENTS = 5


async def dmarc(ask: Ask, domain: str) -> Look:
    """A DMARC record of the domain or of one above it (RFC 7489 §6.6.3)."""
    labels = domain.split(".")
    names = [".".join(labels[n:]) for n in range(max(1, len(labels) - 1))][-MAX_PARENTS:]
    found = UNKNOWN
    for name in dict.fromkeys([domain, *names]):
        found = await look(ask, f"_dmarc.{name}", "TXT", lambda texts: any(map(_is_dmarc, texts)))
        if found.found or found.verdict is Verdict.UNKNOWN:
            return found
    return found


def _is_dmarc(text: str) -> bool:
    return text.replace(" ", "").startswith("v=DMARC1;") or text.strip() == "v=DMARC1"
