"""Replies: what a server says, as a value; writing it, and reading it from the wire (RFC 5321 §4.2, RFC 2034)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from mailstead.proto.errors import RemoteProtocolError

MAX_LINE = 4096  # RFC 5321 §4.5.3.1.5 says 512; real servers write longer ones
MAX_LINES = 100
USUAL = 80  # octets of a line that is worth remembering
MAX_TEXT = 8192  # characters of a reply that are kept: it is stored with each delivery and told in events

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]+|$)")  # RFC 2034 §4


def harmless(text: str) -> str:
    """Text without control characters, line breaks and direction overrides: each becomes a blank."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(" ", text)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: code, text for people, enhanced status code (RFC 3463; empty if there is none).

    ``lines`` holds the texts of a multi-line reply; it is empty for a reply of one line.
    """

    code: int
    text: str
    enhanced: str = ""
    lines: tuple[str, ...] = ()
    _wire: bytes = field(default=b"", init=False, repr=False, compare=False)
    """Written once: the same few replies are said millions of times."""

    @classmethod
    def of_lines(cls, code: int, lines: tuple[str, ...], enhanced: str = "") -> Reply:
        """A reply of one line or more; ``text`` is all of them joined by blanks."""
        return cls(code, " ".join(lines), enhanced, lines if len(lines) > 1 else ())

    @property
    def positive(self) -> bool:
        """2xx and 3xx: done, or go on."""
        return self.code < 400

    @property
    def transient(self) -> bool:
        """4xx: later may help."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5xx: the same again will not help."""
        return self.code >= 500

    def to_bytes(self) -> bytes:
        """The reply on the wire, with CRLF. Control characters in the text cannot break out of their line."""
        if not self._wire:
            object.__setattr__(self, "_wire", self._written())
        return self._wire

    def _written(self) -> bytes:
        mark = f" {self.enhanced} " if self.enhanced else " "
        if not self.lines:
            return f"{self.code}{mark}{harmless(self.text)}\r\n".encode()
        *first, last = self.lines
        more = f"-{mark[1:]}"
        begin = "".join(f"{self.code}{more}{harmless(line)}\r\n" for line in first)
        return f"{begin}{self.code}{mark}{harmless(last)}\r\n".encode()

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


class ReplyParser:
    """Reads replies from bytes that come in pieces. Memory is bounded by ``MAX_LINE`` and ``MAX_LINES``."""

    __slots__ = ("_buffer", "_code", "_lines", "_room", "_start")

    def __init__(self) -> None:
        self._buffer = b""
        self._start = 0
        self._code = 0
        self._lines: list[str] = []
        self._room = MAX_TEXT

    @property
    def pending(self) -> bool:
        """Is there anything that has not been read as part of a whole reply?"""
        return self._start < len(self._buffer) or bool(self._lines)

    def feed(self, data: bytes) -> None:
        """Take what came from the network."""
        self._buffer = self._buffer[self._start :] + data
        self._start = 0

    def next_reply(self) -> Reply | None:
        """The next whole reply, or None if more bytes are needed.

        Raises:
            RemoteProtocolError: this is no SMTP reply, or it is too long.
        """
        while True:
            end = self._buffer.find(b"\n", self._start)
            if (end if end >= 0 else len(self._buffer)) - self._start > MAX_LINE:
                raise RemoteProtocolError("reply line too long")
            if end < 0:
                return None
            line = self._buffer[self._start : end].removesuffix(b"\r")
            self._start = end + 1
            if line[3:4] == b" " and len(line) <= USUAL and not self._lines:
                return _of_one_line(line)
            if self._is_last(line):
                lines, self._lines, self._room = self._lines, [], MAX_TEXT
                return _whole(self._code, lines)

    def _is_last(self, line: bytes) -> bool:
        code, text = _read(line)
        if self._lines and code != self._code:
            raise RemoteProtocolError("reply lines with different codes")
        if len(self._lines) >= MAX_LINES:
            raise RemoteProtocolError("reply of too many lines")
        self._code = code
        shown = text[: self._room]
        self._room -= len(shown)
        self._lines.append(shown)
        return line[3:4] != b"-"


def _read(line: bytes) -> tuple[int, str]:
    """Code and text of a line."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError(f"not an SMTP reply: {harmless(line[:80].decode('utf-8', 'replace'))!r}")
    return int(match[1]), harmless((match[3] or b"").decode("utf-8", "replace"))


@lru_cache(maxsize=256)
def _of_one_line(line: bytes) -> Reply:
    """A reply of one line: servers say the same ones again and again."""
    code, text = _read(line)
    return _whole(code, [text])


def _whole(code: int, lines: list[str]) -> Reply:
    enhanced = ""
    match = _ENHANCED.match(lines[0])
    if match and int(match[1][0]) * 100 <= code < int(match[1][0]) * 100 + 100:
        enhanced = match[1]
        lines = [_without(enhanced, line) for line in lines]
    return Reply.of_lines(code, tuple(lines), enhanced)


def _without(enhanced: str, line: str) -> str:
    match = _ENHANCED.match(line)
    return line[match.end() :] if match and match[1] == enhanced else line
