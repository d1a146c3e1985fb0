"""Newlines: mail has CRLF at the end of each line and no other CR or LF (RFC 5321 §2.3.8, RFC 5322 §2.3)."""

from __future__ import annotations

from io import IncrementalNewlineDecoder


def has_bare_newline(data: bytes) -> bool:
    """Is there a CR or LF that is not half of a CRLF?"""
    seen = IncrementalNewlineDecoder(None, translate=False)  # notes the kinds in one pass; counting takes three
    seen.decode(data.decode("latin-1"), final=True)
    return seen.newlines not in (None, "\r\n")


def normalize(data: bytes) -> bytes:
    """Every CR and LF alone as CRLF; the same object if there is none."""
    if not has_bare_newline(data):
        return data
    # Not by a regex: ten million bare newlines are as many pieces for it, a gigabyte of them.
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
