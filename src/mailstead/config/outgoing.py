"""Outgoing addresses: those of this machine that mail may leave from, as ``delivery.sources`` names them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from mailstead.config.values import Kind, domain, list_of

_POOL = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Source:
    """An address of this machine that mail may leave from."""

    pool: str
    """The operator's word for where it belongs."""
    address: str
    hostname: str
    """What we call ourselves in EHLO where mail leaves from it."""


def _source(word: str) -> Source:
    pool, _, rest = word.partition(":")
    address, _, name = rest.partition("=")
    parsed = ip_address(address.strip().removeprefix("[").removesuffix("]"))
    if not _POOL.fullmatch(pool.strip()) or parsed.is_unspecified or parsed.is_multicast:
        raise ValueError
    return Source(pool.strip(), str(parsed), domain.read(name.strip()))


_list = list_of(_source, "addresses, each once, like news:192.0.2.25=mail1.example.com")


def _sources(value: object) -> tuple[Source, ...]:
    found = _list.read(value)
    if len({source.address for source in found}) < len(found):
        raise ValueError
    return found


sources = Kind(_sources, _list.allowed)
