"""Block lists: which public lists of bad addresses have one of ours, asked at this moment.

Careful: nobody can tell since when an address is listed, and a list that does not answer is no proof of a good name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailstead.base.errors import Unreachable
from mailstead.proto import dnsbl
from mailstead.proto.dns import DnsError, Resolver
from mailstead.proto.dnsbl import Verdict

MAX_REASON = 500
"""Characters of what a list says; it is a stranger's text."""


@dataclass(frozen=True, slots=True)
class Listing:
    """An address on a list."""

    zone: str
    reason: str
    """What the list says of it; empty: nothing."""


async def look(resolver: Resolver, ip: str, zones: Iterable[str]) -> list[Listing]:
    """The lists that have an address, in the order of ``zones``.

    Raises:
        Unreachable: a list does not answer, or not us.
    """
    return [found for zone in zones if (found := await _look(resolver, ip, zone)) is not None]


async def _look(resolver: Resolver, ip: str, zone: str) -> Listing | None:
    name = dnsbl.name_of(ip, zone)
    try:
        verdict = dnsbl.verdict((await resolver.query(name, "A")).records)
    except DnsError:
        raise Unreachable(f"The block list {zone} cannot be asked now.") from None
    if verdict is Verdict.REFUSED:
        raise Unreachable(f"The block list {zone} does not answer the resolver that is used here.")
    return Listing(zone, await _reason(resolver, name)) if verdict is Verdict.LISTED else None


async def _reason(resolver: Resolver, name: str) -> str:
    try:
        texts = (await resolver.query(name, "TXT")).records
    except DnsError:
        return ""
    return " ".join(text for text in texts if text.isprintable())[:MAX_REASON]
