"""SPF records: which of a domain's TXT records is the one, and its terms (RFC 7208 §4.5, §4.6, §12)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from mailstead.proto.spf_macros import IpAddress, MacroString, SpfSyntaxError, parse, parse_domain

QUALIFIERS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
LOOKS_UP = frozenset({"include", "a", "mx", "ptr", "exists"})  # RFC 7208 §4.6.4

_TERM = re.compile(r"([+?~-]?)([A-Za-z][A-Za-z0-9._-]*)(.*)", re.DOTALL)
_LENGTHS = re.compile(r"(.*?)(?:/([0-9]+))?(?://([0-9]+))?", re.DOTALL)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class Directive:
    """A mechanism and what it means if it matches."""

    qualifier: str
    """``pass``, ``fail``, ``softfail``, ``neutral``."""
    name: str
    text: str
    """As it was written."""
    domain: MacroString = ()
    """Empty: the domain whose record it is."""
    network: IpAddress | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record that can be evaluated."""

    directives: tuple[Directive, ...]
    redirect: MacroString = ()
    explanation: MacroString = ()


def is_spf(text: str) -> bool:
    """Does this TXT record mean to be an SPF record (RFC 7208 §4.5)?"""
    return text[:6].lower() == "v=spf1" and text[6:7] in ("", " ")


def select(texts: Iterable[str]) -> list[str]:
    """The SPF records among TXT records; more than one is an error of the domain's."""
    return [text for text in texts if is_spf(text)]


def parse_record(text: str) -> SpfRecord:
    """Read a record.

    Raises:
        SpfSyntaxError: it is not as it must be, wherever the mistake is.
    """
    if not text.isascii():
        raise SpfSyntaxError("a record that is not ASCII")
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in text[6:].split(" "):
        if not term:
            continue
        found = _TERM.fullmatch(term)
        if found is None:
            raise SpfSyntaxError(f"no term: {term[:64]}")
        qualifier, name, rest = found[1], found[2].lower(), found[3]
        if rest.startswith("=") and not qualifier:
            _modifier(modifiers, name, rest[1:])
        else:
            directives.append(_directive(qualifier or "+", name, rest, term))
    return SpfRecord(tuple(directives), modifiers.get("redirect", ()), modifiers.get("exp", ()))


def _modifier(modifiers: dict[str, MacroString], name: str, value: str) -> None:
    if name not in ("redirect", "exp"):
        parse(value)  # RFC 7208 §6: not known, but a macro-string
        return
    if name in modifiers:
        raise SpfSyntaxError(f"{name} twice")
    modifiers[name] = parse_domain(value)


def _directive(qualifier: str, name: str, rest: str, text: str) -> Directive:
    result = QUALIFIERS[qualifier]
    if name == "all" and not rest:
        return Directive(result, name, text)
    if name in ("include", "exists") and rest.startswith(":"):
        return Directive(result, name, text, parse_domain(rest[1:]))
    if name in ("a", "mx"):
        domain, four, six = _lengths(rest)
        return Directive(result, name, text, _optional(domain, text), prefix4=four, prefix6=six)
    if name == "ptr":
        return Directive(result, name, text, _optional(rest, text))
    if name == "ip4" and rest.startswith(":"):
        return _network(Directive(result, name, text), rest[1:])
    if name == "ip6" and rest.startswith(":"):
        return _network(Directive(result, name, text), rest[1:])
    raise SpfSyntaxError(f"no mechanism: {text[:64]}")


def _optional(rest: str, text: str) -> MacroString:
    if not rest:
        return ()
    if rest[0] != ":":
        raise SpfSyntaxError(f"no mechanism: {text[:64]}")
    return parse_domain(rest[1:])


def _prefix(text: str | None, longest: int) -> int:
    if text is None:
        return longest
    if not _NUMBER.fullmatch(text) or int(text) > longest:
        raise SpfSyntaxError(f"no length of a prefix: /{text[:16]}")
    return int(text)


def _lengths(rest: str) -> tuple[str, int, int]:
    found = _LENGTHS.fullmatch(rest)
    assert found is not None  # every part of it may be empty
    return found[1], _prefix(found[2], 32), _prefix(found[3], 128)


def _network(bare: Directive, rest: str) -> Directive:
    address, slash, length = rest.partition("/")
    given = length if slash else None
    try:
        if bare.name == "ip4":
            four = IPv4Address(address)
            return Directive(bare.qualifier, "ip4", bare.text, network=four, prefix4=_prefix(given, 32))
        if "%" in address:
            raise SpfSyntaxError(f"no address: {address[:64]}")
        return Directive(bare.qualifier, "ip6", bare.text, network=IPv6Address(address), prefix6=_prefix(given, 128))
    except AddressValueError:
        raise SpfSyntaxError(f"no address: {address[:64] or '(empty)'}") from None
