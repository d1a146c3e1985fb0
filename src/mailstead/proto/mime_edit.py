"""MIME edit: other words in the texts of a message, and every other byte as it was.

A text keeps its charset and its transfer encoding; one that was not encoded becomes quoted-printable where a line has
got too long (RFC 5322 §2.1.1).

Careful: whatever was signed over the body before (DKIM, S/MIME) does not hold for a text that was changed.
"""

from __future__ import annotations

from collections.abc import Callable

from mailstead.proto import charsets, parameters
from mailstead.proto.message import Message, unfold
from mailstead.proto.mime_part import MAX_LINE, base64_lines, quoted_printable
from mailstead.proto.mime_structure import Part, is_file, payload, walk

TEXTS = ("text/plain", "text/html")
_WIDE = ("utf-16", "utf-32", "utf-7")
"""Codecs in which ASCII is not written as ASCII."""

Edit = Callable[[str, bytes], bytes]
"""``(kind, text)`` → text: kind is one of ``TEXTS``, the text in a charset in which ASCII is ASCII."""

_Change = tuple[int, int, bytes]
"""Offsets of what goes, and what comes in its place."""


def edit_texts(message: Message, edit: Edit) -> bytes:
    """The content with its texts edited; attachments and messages inside the message are left alone.

    Raises:
        Invalid: as ``mime_structure.walk``.
    """
    changes: list[_Change] = []
    for part in walk(message):
        if part.kind in TEXTS and not is_file(message.content, part):
            changes += _edited(message.content, part, edit)
    pieces: list[bytes] = []
    kept = 0
    for start, end, new in sorted(changes):
        pieces += (message.content[kept:start], new)
        kept = end
    return b"".join([*pieces, message.content[kept:]])


def _edited(content: bytes, part: Part, edit: Edit) -> list[_Change]:
    before = payload(content, part)
    after = _in_charset(part, before, edit)
    if after == before:
        return []
    was = _transfer_encoding(content, part)
    if was == b"base64":
        return [(part.body, part.end, base64_lines(after))]
    if was == b"quoted-printable":
        return [(part.body, part.end, quoted_printable(after))]
    if max(map(len, after.split(b"\r\n"))) <= MAX_LINE:
        return [(part.body, part.end, after)]
    return [*_declared(part), (part.body, part.end, quoted_printable(after))] if part.fields else []


def _in_charset(part: Part, text: bytes, edit: Edit) -> bytes:
    codec = charsets.codec(parameters.get(part.parameters, "charset") or "utf-8") or ""
    if not codec.startswith(_WIDE):
        return edit(part.kind, text)
    try:
        return edit(part.kind, text.decode(codec).encode()).decode().encode(codec)
    except UnicodeError:
        return text


def _transfer_encoding(content: bytes, part: Part) -> bytes:
    for field in part.fields:
        if field.lname == b"content-transfer-encoding":
            return unfold(content[field.value : field.end]).lower()
    return b""


def _declared(part: Part) -> list[_Change]:
    """The part's header says quoted-printable."""
    line = b"Content-Transfer-Encoding: quoted-printable\r\n"
    for field in part.fields:
        if field.lname == b"content-transfer-encoding":
            return [(field.start, field.end, line)]
    return [(part.fields[-1].end, part.fields[-1].end, line)]
