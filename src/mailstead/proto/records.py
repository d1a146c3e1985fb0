"""Records: lists as files, a record a line: CSV (RFC 4180) or JSON objects.

Bytes in, lines out, whatever the pieces they come in.  A line that is too long is counted and not kept.

Not done: line breaks inside of quoted CSV fields (RFC 4180 §2.6): a record is a line, so that one stray quotation mark
costs one record and not the rest of the file.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Any

import msgspec

MAX_LINE = 64 * 1024
"""Octets of a record."""
BOM = b"\xef\xbb\xbf"


class RecordError(Exception):
    """A line that is no record.  ``str(error)`` says why, for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, without what ends it."""

    number: int
    """Lines are counted from one."""
    end: int
    """Octets from the beginning of the file to behind this line."""
    content: bytes
    whole: bool = True
    """False: it was too long, and its beginning is all that was kept."""

    @property
    def blank(self) -> bool:
        """Is there nothing to read?"""
        return not self.content.strip()


class Lines:
    """Cuts a file into lines.

    Args:
        position: octets before the first one that will be received.
        number: lines before it.
        limit: octets of a line.
    """

    def __init__(self, position: int = 0, number: int = 0, *, limit: int = MAX_LINE) -> None:
        self._position = position
        self._number = number
        self._limit = limit
        self._kept = bytearray()
        self._seen = 0
        """Octets of the line that has begun, kept or not."""

    def receive(self, data: bytes) -> list[Line]:
        """The lines that end in ``data``."""
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            self._keep(piece)
            lines.append(self._line(1))
        self._keep(rest)
        return lines

    def close(self) -> list[Line]:
        """The last line, if nothing ends it."""
        return [self._line(0)] if self._seen else []

    def _keep(self, piece: bytes) -> None:
        self._seen += len(piece)
        room = self._limit + 1 - len(self._kept)  # one more: the CR of a line that just fits
        if room > 0:
            self._kept += piece[:room]

    def _line(self, ending: int) -> Line:
        content, size = bytes(self._kept), self._seen
        if size == len(content) and content.endswith(b"\r"):
            content, size = content[:-1], size - 1
        self._position += self._seen + ending
        self._number += 1
        self._kept.clear()
        self._seen = 0
        if self._number == 1:
            content = content.removeprefix(BOM)
        return Line(self._number, self._position, content[: self._limit], size <= self._limit)


def _text(line: Line) -> str:
    if not line.whole:
        raise RecordError(f"The line is longer than {MAX_LINE} bytes.")
    try:
        return line.content.decode()
    except UnicodeDecodeError:
        raise RecordError("The line is not UTF-8.") from None


def read_csv(line: Line) -> list[str]:
    """The fields of a line of CSV, without the blanks around them.

    Raises:
        RecordError: it is none.
    """
    try:
        rows = list(csv.reader([_text(line)], strict=True, skipinitialspace=True))
    except csv.Error:
        raise RecordError("The line is not CSV: look at its quotation marks.") from None
    return [field.strip() for field in rows[0]] if rows else []


def read_json(line: Line) -> dict[str, Any]:
    """The members of a JSON object on a line.

    Raises:
        RecordError: it is none.
    """
    try:
        found = msgspec.json.decode(_text(line))
    except (msgspec.DecodeError, RecursionError):
        raise RecordError("The line is not JSON.") from None
    if not isinstance(found, dict):
        raise RecordError("The line is not a JSON object.")
    return found


def write_csv_row(fields: list[str]) -> str:
    """A line of CSV with CRLF (RFC 4180 §2)."""
    return ",".join(_quoted(field) for field in fields) + "\r\n"


def _quoted(field: str) -> str:
    if any(sign in field for sign in ',"\r\n') or field != field.strip():
        return '"' + field.replace('"', '""') + '"'
    return field
