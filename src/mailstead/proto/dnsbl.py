"""DNSBL: lists of bad addresses that are asked by DNS (RFC 5782)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv4Network, ip_address

_ANSWERS = IPv4Network("127.0.0.0/8")  # RFC 5782 §2.1
# What the large lists say to whom they do not serve, such as public resolvers; not of RFC 5782.
_REFUSALS = IPv4Network("127.255.255.0/24")


class Verdict(Enum):
    """What a list says of an address."""

    LISTED = "listed"
    CLEAR = "clear"
    REFUSED = "refused"
    """The list does not answer us."""


def name_of(ip: str, zone: str) -> str:
    """The name to ask for: octets backwards, of IPv6 half octets (RFC 5782 §2.1, §2.4).  ``ip`` is an address."""
    return ip_address(ip).reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa") + f".{zone}"


def verdict(addresses: Iterable[str]) -> Verdict:
    """What the A records mean; one outside 127.0.0.0/8 is a list that was given up and sold."""
    found = [address for one in addresses if (address := ip_address(one)) in _ANSWERS]
    if any(address in _REFUSALS for address in found):
        return Verdict.REFUSED
    return Verdict.LISTED if found else Verdict.CLEAR
