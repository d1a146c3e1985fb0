"""Values: scalars of Amazon's two wire forms and ours: times in milliseconds, bytes, numbers, booleans.

Both codecs and nobody else use it.  Every reader raises ``WireValueError`` and nothing else.
"""

from __future__ import annotations

import binascii
import re
from calendar import timegm

from mailstead.proto.sigv4 import stamp

EARLIEST = -62_135_596_800_000  # 0001-01-01
LATEST = 253_402_300_799_999  # 9999-12-31


class WireValueError(Exception):
    """A value that is not what its shape says.  ``str(error)`` is a text for the caller."""


_STRAY = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def unescaped(raw: bytes) -> bytes:
    """Percent-decoding (RFC 3986 §2.1); a stray percent sign stays.

    Quoted-printable (RFC 2045 §6.7) is the same code with another sign, and the standard library decodes it in C: five
    times faster for the markup of a usual mail, which matters for v1.
    """
    if _STRAY.search(raw):  # not unquote_to_bytes: a megabyte of percent signs would keep it busy for a second
        raw = _STRAY.sub(b"%25", raw)
    return binascii.a2b_qp(raw.replace(b"=", b"%3D").replace(b"%", b"="))


_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?(?:[Zz]|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


def read_iso(text: str) -> int:
    """ISO 8601 (RFC 3339 §5.6, also without time or zone, which is then UTC) as milliseconds since 1970."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise WireValueError("Unable to parse the value as a timestamp")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    if not (year and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        raise WireValueError("Unable to parse the value as a timestamp")
    time = timegm((year, month, day, hour, minute, second, 0, 0, 0)) * 1000 + int((match[7] or "").ljust(3, "0")[:3])
    if match[8]:
        offset = (int(match[9]) * 60 + int(match[10])) * 60_000
        time -= offset if match[8] == "+" else -offset
    return in_range(time)


def in_range(time: int) -> int:
    """A time that a calendar of four-digit years can show."""
    if not EARLIEST <= time <= LATEST:
        raise WireValueError("Unable to parse the value as a timestamp")
    return time


def write_iso(time: int) -> str:
    """Milliseconds since 1970 as ``2016-08-22T19:11:00Z``, with milliseconds only if there are any."""
    s = stamp(time)
    fraction = f".{time % 1000:03d}" if time % 1000 else ""
    return f"{s[:4]}-{s[4:6]}-{s[6:11]}:{s[11:13]}:{s[13:15]}{fraction}Z"


_BLANKS = b" \t\r\n"


def read_blob(text: str | bytes) -> bytes:
    """Base64 (RFC 4648 §4); line breaks and blanks are let through, as mail programs put them in."""
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        if b"\n" in raw or b" " in raw or b"\r" in raw or b"\t" in raw:
            raw = raw.translate(None, _BLANKS)
        return binascii.a2b_base64(raw, strict_mode=True) if raw else b""
    except ValueError:  # binascii.Error is one; so is UnicodeEncodeError
        raise WireValueError("Unable to parse the value as base64") from None


def write_blob(data: bytes) -> str:
    """Base64 on one line."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_REAL = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[Ee][+-]?\d{1,3})?", re.ASCII)
BITS = {"integer": 31, "long": 63}


def read_integer(text: str, kind: str) -> int:
    """A whole number of 32 (``integer``) or 64 bits (``long``)."""
    if not _INTEGER.fullmatch(text):
        raise WireValueError("Unable to parse the value as a number")
    return fitting(int(text), kind)


def fitting(number: int, kind: str) -> int:
    """A number that its kind can hold."""
    if not -(1 << BITS[kind]) <= number < 1 << BITS[kind]:
        raise WireValueError("The number is out of range")
    return number


def read_real(text: str) -> float:
    """A finite number."""
    if not _REAL.fullmatch(text):
        raise WireValueError("Unable to parse the value as a number")
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise WireValueError("The number is out of range")
    return number


_BOOLEANS = {"true": True, "false": False}


def read_boolean(text: str) -> bool:
    """``true`` or ``false``, in any case of letters."""
    found = _BOOLEANS.get(text.lower())
    if found is None:
        raise WireValueError("Unable to parse the value as a boolean")
    return found
