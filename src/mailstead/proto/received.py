"""Received and Return-Path: the trace a server leaves on top of a message (RFC 5321 §4.4, RFC 3848).

What only we may write there is taken out of mail that comes in with it (RFC 8601 §5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

MAX_HOPS = 100  # RFC 5321 §6.3: so many Received fields are a loop

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNFIT = re.compile(r"[^A-Za-z0-9._:\[\]-]")
# In lower case, behind the line end before it: a literal at the start makes the search fast.
_OURS = re.compile(rb"\n(return-path|authentication-results)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_LEADING_SPACE = re.compile(rb"(?:[ \t\r\n]++|\((?:[^()\\]|\\.)*+\))*+", re.DOTALL)
_AUTHSERV_ID = re.compile(rb'"((?:[^"\\]|\\.)*+)"|([^\s;()"]++)', re.DOTALL)
MAX_HEADER = 1 << 20  # nobody finds a field behind that

_HOP = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Hop:
    """How a message came to us."""

    helo: str
    """The name the client gave."""
    ip: str
    by: str
    """Our own name."""
    protocol: str
    """``SMTP``, ``ESMTP``, ``ESMTPS``, ``ESMTPSA``…"""
    id: str
    recipient: str = ""
    """Said only where there is one recipient: the others' business is not told."""
    remark: str = ""
    """In brackets behind the protocol."""


def date(now: int) -> str:
    """``Sun, 07 Feb 2021 19:26:07 +0000 (UTC)``; ``now`` in milliseconds."""
    return _date(now // 1000)


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    t = datetime.fromtimestamp(seconds, UTC)
    day, month = _DAYS[t.weekday()], _MONTHS[t.month - 1]
    return f"{day}, {t.day:02} {month} {t.year} {t.hour:02}:{t.minute:02}:{t.second:02} +0000 (UTC)"


def value(hop: Hop, now: int) -> str:
    """The value of a Received field, in one line."""
    return " ".join(_clauses(hop, now))


def field(hop: Hop, now: int) -> bytes:
    """The whole field, folded, with its CRLF."""
    folded = "\r\n ".join(_clauses(hop, now))
    return f"Received: {folded}\r\n".encode()


def _clauses(hop: Hop, now: int) -> list[str]:
    helo = _UNFIT.sub("?", hop.helo) or "unknown"
    remark = f" ({hop.remark})" if hop.remark else ""
    clauses = [f"from {helo} ([{hop.ip}])", f"by {hop.by} with {hop.protocol}{remark}", f"id {hop.id}"]
    if hop.recipient:
        clauses.append(f"for {hop.recipient}")
    clauses[-1] += ";"
    return [*clauses, date(now)]


def return_path(sender: str) -> bytes:
    """The Return-Path field of the last delivery, with its CRLF."""
    return f"Return-Path: <{sender}>\r\n".encode()


def hops(content: bytes) -> int:
    """How many Received fields the header has."""
    end = content.find(b"\r\n\r\n")
    return len(_HOP.findall(content, 0, end if end >= 0 else len(content)))


def without_forged(content: bytes, own: str) -> bytes:
    """A message from outside without Return-Path, and without Authentication-Results in our name ``own``.

    Each field whole (RFC 5321 §4.4, RFC 8601 §5); every other byte stays.  One that names nobody in a way we can
    read is taken out too: some reader might find our name in it.
    """
    end = 0 if content.startswith(b"\r\n") else content.find(b"\r\n\r\n", 0, MAX_HEADER)
    header = b"\n" + content[: end + 2 if end >= 0 else MAX_HEADER].lower() if end else b""
    if b"return-path" not in header and b"authentication-results" not in header:
        return content
    pieces, kept, at = [], 0, 0
    while found := _OURS.search(header, at):
        at = found.end() - 1  # its line end is the next one's beginning
        if found[1] == b"return-path" or _names(found[2], own):
            pieces.append(content[kept : found.start()])
            kept = at
    pieces.append(content[kept:])
    return b"".join(pieces)


def _names(value: bytes, own: str) -> bool:
    """Is this Authentication-Results of ours, or of nobody?"""
    space = _LEADING_SPACE.match(value)
    found = _AUTHSERV_ID.match(value, space.end() if space else 0)
    if found is None:
        return True
    name = (found[1] or found[2] or b"").replace(b"\\", b"").strip()
    return name.rstrip(b".") in (b"", own.lower().encode())
