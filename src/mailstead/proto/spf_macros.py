"""SPF macros: the ``%{…}`` of SPF records, read and expanded (RFC 7208 §7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

from mailstead.proto.errors import RemoteProtocolError

MAX_NAME = 253  # RFC 7208 §7.3
MAX_MACROS = 64
"""Expansions in one string: nobody needs so many, and what they come to must have an end."""
MAX_TEXT = 512
"""Characters of an explanation: a reply of SMTP has no room for more (RFC 5321 §4.5.3.1.5)."""

IpAddress = IPv4Address | IPv6Address

_MACRO = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([.\-+,/_=]*)\}|([%_\-]))")
_TOP_LABEL = r"(?:[A-Za-z0-9]*[A-Za-z][A-Za-z0-9]*|[A-Za-z0-9]+-[A-Za-z0-9-]*[A-Za-z0-9])"
_END = re.compile(rf"\.{_TOP_LABEL}\.?$")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}
_LETTERS = "slodiphv"
_EXPLAINING = _LETTERS + "crt"


class SpfSyntaxError(RemoteProtocolError):
    """A record that is not as RFC 7208 §12 has it."""


@dataclass(frozen=True, slots=True)
class Macro:
    """One expansion."""

    letter: str
    """In lower case."""
    escaped: bool
    """To be written as in a URL (it was upper case)."""
    keep: int
    """How many of its parts count, from the right; 0: all."""
    reverse: bool
    delimiters: str


MacroString = tuple[str | Macro, ...]


def parse(text: str, *, letters: str = _EXPLAINING, space: bool = False) -> MacroString:
    """Read a macro-string (RFC 7208 §7.1).

    Args:
        text: ASCII.
        letters: the macro letters that may occur.
        space: may spaces occur? In an explanation they may.

    Raises:
        SpfSyntaxError: it is none.
    """
    parts: list[str | Macro] = []
    at = 0
    while at < len(text):
        if text[at] != "%":
            end = text.find("%", at)
            literal = text[at:] if end < 0 else text[at:end]
            if not all("!" <= char <= "~" or (space and char == " ") for char in literal):
                raise SpfSyntaxError("a character that may not be there")
            parts.append(literal)
            at += len(literal)
            continue
        found = _MACRO.match(text, at)
        if found is None:
            raise SpfSyntaxError(f"no macro: {text[at : at + 8]}")
        parts.append(_ESCAPES[found[5]] if found[5] else _macro(found, letters))
        at = found.end()
        if len(parts) > 2 * MAX_MACROS:
            raise SpfSyntaxError("too many macros")
    return tuple(parts)


def _macro(found: re.Match[str], letters: str) -> Macro:
    letter, digits, reverse, delimiters = found[1], found[2], found[3], found[4]
    if letter.lower() not in letters:
        raise SpfSyntaxError(f"no macro letter here: {letter}")
    keep = int(digits.lstrip("0")[:6] or "0")  # there are never so many parts
    if digits and not keep:
        raise SpfSyntaxError("a macro that keeps nothing")
    return Macro(letter.lower(), letter.isupper(), keep, bool(reverse), delimiters or ".")


def parse_domain(text: str) -> MacroString:
    """Read a domain-spec: it ends in a top-level label or in a macro.

    Raises:
        SpfSyntaxError: it is none.
    """
    parts = parse(text, letters=_LETTERS)
    escape = len(text) > 1 and text[-2] == "%" and text[-1] in _ESCAPES and not isinstance(parts[-1], Macro)
    if not parts or not (isinstance(parts[-1], Macro) or escape or _END.search(text)):
        raise SpfSyntaxError(f"no domain: {text[:64] or '(empty)'}")
    return parts


def parse_explanation(text: str) -> MacroString:
    """Read the text that an ``exp`` leads to.

    Raises:
        SpfSyntaxError: it is none.
    """
    return parse(text, space=True)


def uses(parts: MacroString, letter: str) -> bool:
    """Does this macro letter occur?"""
    return any(isinstance(part, Macro) and part.letter == letter for part in parts)


def expand(parts: MacroString, values: Mapping[str, str]) -> str:
    """Put the values in, by letter."""
    return "".join(part if isinstance(part, str) else _expanded(part, values[part.letter]) for part in parts)


def _expanded(macro: Macro, value: str) -> str:
    pieces = re.split(f"[{re.escape(macro.delimiters)}]", value)
    if macro.reverse:
        pieces.reverse()
    text = ".".join(pieces[-macro.keep :] if macro.keep else pieces)
    return quote(text, safe="") if macro.escaped else text


def expand_domain(parts: MacroString, values: Mapping[str, str]) -> str:
    """As ``expand``, without the last dot; what is too long loses labels on its left (RFC 7208 §7.3)."""
    name = expand(parts, values).removesuffix(".")
    if len(name) <= MAX_NAME:
        return name
    return name[-MAX_NAME - 1 :].partition(".")[2]


def dotted(ip: IpAddress) -> str:
    """What ``%{i}`` stands for: an IPv6 address in nibbles."""
    return str(ip) if isinstance(ip, IPv4Address) else ".".join(f"{int(ip):032X}")
