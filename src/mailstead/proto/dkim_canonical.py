"""DKIM canonical forms: what a signature is made over (RFC 6376 §3.4)."""

from __future__ import annotations

import re
from hashlib import sha256

_BLANKS = re.compile(rb"[ \t]+")
_SPACES = re.compile(rb"  +")


def relaxed_field(lname: bytes, value: bytes) -> bytes:
    """``name:value`` in ``relaxed`` form (RFC 6376 §3.4.2), without a line end.

    Args:
        lname: the name in lower case.
        value: everything behind the colon, folds and line end included.
    """
    value = value.replace(b"\r\n", b"")
    if b"  " in value or b"\t" in value:
        value = _BLANKS.sub(b" ", value)
    return lname + b":" + value.strip(b" \t")


def simple_body(content: bytes, start: int) -> int:
    """Where the body ends in ``simple`` form: before the line end of its last line that is not empty (RFC 6376 §3.4.3).

    What is hashed is ``content[start:end] + CRLF``; so for an empty body as well.
    """
    end = len(content)
    if content.endswith(b"\r\n\r\n", start):
        # Careful: CRLF by CRLF would take a second for a hostile 10 MB of empty lines.
        kept = max(start, len(content.rstrip(b"\r\n")))
        tail = content[kept:]
        even = max(tail.rfind(b"\n\n"), tail.rfind(b"\r\r")) + 1  # behind here CR and LF alternate
        return end - (end - kept - even) // 2 * 2
    return end - 2 if content.endswith(b"\r\n", start) else end


def relaxed_body(body: bytes) -> bytes:
    """A body in ``relaxed`` form (RFC 6376 §3.4.4): blanks squeezed, none at line ends, no empty lines at the end."""
    if b"\t" in body:
        body = body.replace(b"\t", b" ")
    if b"  " in body:
        body = _SPACES.sub(b" ", body)
    if b" \r\n" in body:
        body = body.replace(b" \r\n", b"\r\n")
    if body.endswith(b" "):
        body = body[:-1]
    kept = body[: simple_body(body, 0)]
    return kept + b"\r\n" if kept else b""


def hash_body(body: bytes, *, relaxed: bool, length: int | None = None) -> bytes:
    """SHA-256 of a body in either form, of its first octets only if ``l=`` says so (RFC 6376 §3.5)."""
    form = relaxed_body(body) if relaxed else body[: simple_body(body, 0)] + b"\r\n"
    return sha256(form if length is None else form[:length]).digest()
