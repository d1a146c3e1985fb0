"""Message: the header of a mail by byte offsets, and edits that leave every other byte alone (RFC 5322 §2.2).

The header ends at the empty line, or at the first line that is neither a field nor its continuation: what follows is
body, and an edit puts the missing empty line there, so that no reader after us finds a field that we did not see.
An mbox ``From `` line and indented lines before the first field are skipped, and dropped by an edit.

Careful: lines end in CRLF (LF alone is understood).  A CR alone is an ordinary byte here: what comes from outside goes
through ``newlines.normalize`` first, else a reader that takes it for a line end sees another header than we do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as member
from functools import lru_cache
from typing import NamedTuple

from mailstead.base.errors import Invalid
from mailstead.proto import charsets, encoded_words

MAX_FIELDS = 1000
MAX_HEADER = 1 << 20

# RFC 5322 §2.2 and §4.5.1: blanks before the colon are obsolete, and read.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?+")
_LEADING = re.compile(rb"(?:>?From (?![ \t]*:)[^\n]*+\n)?+(?:[ \t][^\n]*+(?:\n|\Z))*+")


class MalformedMessage(Invalid):
    """The header is too long or has too many fields to be one."""


class Field(NamedTuple):
    """One header field, by its place in the content."""

    name: bytes
    """As written."""
    lname: bytes
    """In lower case."""
    start: int
    """Offset of the name."""
    value: int
    """Offset behind the colon."""
    end: int
    """Offset behind the line end of the last line."""


def unfold(value: bytes) -> bytes:
    """A field's value on one line, without blanks at its ends (RFC 5322 §2.2.3)."""
    if b"\n" in value:
        value = value.replace(b"\r\n", b"").replace(b"\n", b"")
    return value.strip(b" \t\r")


def scan(content: bytes, start: int, stop: int) -> tuple[tuple[Field, ...], int, int, int]:
    """The header of a message, or of a part of one, that stands at ``content[start:stop]``.

    Returns:
        Fields; offsets of the first field, of the header's end and of the body.

    Raises:
        MalformedMessage: over 1 MiB of header or over 1000 fields.
    """
    limit = min(stop, start + MAX_HEADER)
    first = position = _skip_leading(content, start, limit)
    fields: list[Field] = []
    match = _FIELD.match
    for _ in range(MAX_FIELDS + 1):
        found = match(content, position, limit)
        if found is None:
            break
        name = found[1]
        end = found.end()
        fields.append(Field(name, name.lower(), position, found.start(2), end))
        position = end
    if position == limit < stop or len(fields) > MAX_FIELDS:
        raise MalformedMessage("The header of the message is too long")
    return tuple(fields), first, position, min(stop, position + _separator(content, position))


@dataclass(frozen=True, slots=True)
class Message:
    """A mail's bytes and where its fields stand in them."""

    content: bytes
    fields: tuple[Field, ...]
    header_start: int
    """Offset of the first field: behind an mbox line and the like."""
    header_end: int
    """Offset of the empty line, or of the first line of the body if there is none."""
    body_start: int
    """Offset of the first byte of the body."""
    named: dict[bytes, list[Field]] = member(compare=False, repr=False)
    """The fields by their names in lower case, each name's in order."""

    @classmethod
    def parse(cls, content: bytes) -> Message:
        """Find the fields.

        Raises:
            MalformedMessage: over 1 MiB of header or over 1000 fields.
        """
        fields, header_start, header_end, body_start = scan(content, 0, len(content))
        named: dict[bytes, list[Field]] = {}
        for one in fields:
            named.setdefault(one.lname, []).append(one)
        return cls(content, fields, header_start, header_end, body_start, named)

    @property
    def body(self) -> bytes:
        """A copy of the body."""
        return self.content[self.body_start :]

    def first(self, name: str) -> Field | None:
        """The first field of this name, in any case."""
        found = self.named.get(name.lower().encode())
        return found[0] if found else None

    def all(self, name: str) -> list[Field]:
        """Every field of this name, in the message's order."""
        return self.named.get(name.lower().encode(), [])

    def raw(self, field: Field) -> bytes:
        """The field's value unfolded, nothing decoded."""
        return unfold(self.content[field.value : field.end])

    def text(self, field: Field) -> str:
        """The field's value for people: unfolded, encoded words read."""
        return encoded_words.decode(charsets.decode_raw(self.raw(field)))

    def header(self, name: str) -> str | None:
        """The first field of this name for people, or None."""
        field = self.first(name)
        return None if field is None else self.text(field)

    def value(self, name: str) -> bytes | None:
        """The first field of this name unfolded, nothing decoded, or None."""
        field = self.first(name)
        return None if field is None else self.raw(field)

    def edit(self, *, remove: Iterable[str] = (), prepend: bytes = b"", append: bytes = b"") -> bytes:
        """New content: without the named fields, with whole fields (each ending in CRLF) before and behind the others.

        Everything else keeps its bytes, but for what stands before the first field and a missing empty line.
        """
        gone = _lower(tuple(remove))
        content = self.content
        pieces = [prepend]
        kept = self.header_start
        for field in self.fields if gone else ():
            if field.lname in gone:
                pieces.append(content[kept : field.start])
                kept = field.end
        pieces.append(content[kept : self.header_end])
        if self.header_end > kept and content[self.header_end - 1] != 10:  # a last line without its end
            pieces.append(b"\r\n")
        pieces.append(append)
        pieces.append(content[self.header_end :] if self.body_start > self.header_end else self._separated())
        return b"".join(pieces)

    def _separated(self) -> bytes:
        return b"\r\n" + self.content[self.header_end :]

    def without(self, names: Iterable[str]) -> bytes:
        """New content without the named fields."""
        return self.edit(remove=names)

    def with_fields(self, *, prepend: bytes = b"", append: bytes = b"") -> bytes:
        """New content with whole fields, each ending in CRLF, before the first and behind the last one."""
        return self.edit(prepend=prepend, append=append)

    def replace(self, name: str, value: bytes) -> bytes:
        """New content in which this field has this value, in the place of the first one; behind the last field if none.

        Further fields of the name are removed.
        """
        line = write_field(name, value)
        first = self.first(name)
        if first is None:
            return self.edit(append=line)
        content = self.content
        pieces = [content[self.header_start : first.start], line]
        kept = first.end
        for field in self.fields:
            if field.lname == first.lname and field.start > first.start:
                pieces.append(content[kept : field.start])
                kept = field.end
        pieces.append(content[kept : self.header_end])
        pieces.append(content[self.header_end :] if self.body_start > self.header_end else self._separated())
        return b"".join(pieces)


@lru_cache(maxsize=64)
def _lower(names: tuple[str, ...]) -> frozenset[bytes]:
    """Names as ``lname`` has them."""
    return frozenset(name.lower().encode() for name in names)


def _skip_leading(content: bytes, start: int, limit: int) -> int:
    if content[start : start + 1] not in (b" ", b"\t", b">", b"F"):
        return start
    found = _LEADING.match(content, start, limit)
    return found.end() if found else start


def _separator(content: bytes, position: int) -> int:
    """Length of the empty line that starts here, 0 if none does."""
    if content.startswith(b"\r\n", position):
        return 2
    return 1 if content.startswith(b"\n", position) else 0


_BREAKS = re.compile(rb"\r(?!\n)|\n(?![ \t])|\0")
_NAME = re.compile(rb"[!-9;-~]+")


def write_field(name: str, value: bytes) -> bytes:
    """One whole field; the value may be folded.

    Raises:
        Invalid: a line end that is no fold, or a name that is none (RFC 5322 §2.2).
    """
    written = name.encode("ascii", "replace")
    if not _NAME.fullmatch(written):
        raise Invalid("Header name contains illegal character")
    if _BREAKS.search(value) or value.endswith(b"\n"):
        raise Invalid(f"Header {name} contains a line break")
    return b"%s: %s\r\n" % (written, value)
