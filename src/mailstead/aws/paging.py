"""Paging: opaque tokens that say where the next page begins, and page sizes.

A token is standard base64 of at most 5,000 characters, as the newer lists of v2 demand (SES: wire §7).  It carries the
position and a check over the position and what it belongs to (operation, account, region), so that a token of another
list, or a mangled one, is told at once.  It is no secret: a forged one shows its owner's own rows.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from mailstead.base.errors import Invalid

T = TypeVar("T")

MAX_TOKEN = 5000
_VERSION = b"\x01"
_CHECK = 9  # octets of the check

Position = list[str | int | None]
"""The sort key of the last row of a page."""


def token(belongs: Sequence[str], position: Position) -> str:
    """The token of the page after ``position`` in the list of ``belongs`` (operation, account, region, filters…)."""
    payload = msgspec.json.encode(position)
    return binascii.b2a_base64(_VERSION + _seal(belongs, payload) + payload, newline=False).decode("ascii")


def position(belongs: Sequence[str], text: str | None) -> Position | None:
    """Where the page begins: after this position; None: at the beginning.

    Raises:
        Invalid: kind ``next-token``: not a token of this list.
    """
    if text is None:
        return None
    try:
        raw = binascii.a2b_base64(text.encode("ascii"), strict_mode=True) if len(text) <= MAX_TOKEN else b""
        check, payload = raw[1 : 1 + _CHECK], raw[1 + _CHECK :]
        if raw[:1] == _VERSION and check == _seal(belongs, payload):
            return msgspec.json.decode(payload, type=list[str | int | None])
    except (ValueError, RecursionError):  # binascii.Error, UnicodeEncodeError and msgspec's errors are ValueErrors
        pass
    raise Invalid("The specified next token is invalid.", kind="next-token")


def _seal(belongs: Sequence[str], payload: bytes) -> bytes:
    return hashlib.sha256(msgspec.json.encode(list(belongs)) + b"\0" + payload).digest()[:_CHECK]


def page_size(asked: int | None, *, default: int, most: int) -> int:
    """How many rows a page has: what was asked for, at least one, at most what the list gives."""
    return default if asked is None or asked <= 0 else min(asked, most)


def following(belongs: Sequence[str], rows: Sequence[T], size: int, *, key: Callable[[T], str]) -> dict[str, str]:
    """The ``NextToken`` of a page of ``size`` rows, of which one more was asked for; nothing if it is the last one."""
    return {"NextToken": token(belongs, [key(rows[size - 1])])} if len(rows) > size else {}
