"""Parameters: ``type; name=value`` as in Content-Type and Content-Disposition (RFC 2045 §5.1, RFC 2231).

Read: tolerant, every value of a name that was given twice.  Written: folded, extended where it is not ASCII.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from mailstead.base.errors import Invalid
from mailstead.proto import charsets, encoded_words

MAX_PARAMETERS = 100
MAX_COMMENTS = 10  # behind one value

# Careful: possessive all through; one piece is what stands between semicolons outside quotes.
_PIECE = re.compile(r'(?:[^;"]++|"(?:[^"\\]|\\.)*+"?)*+', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")
_COMMENT = re.compile(r"\([^()]*\)")
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,3}))?(\*)?")


def parse(value: str) -> tuple[str, list[tuple[str, str]]]:
    """The value before the first semicolon in lower case, and the parameters with names in lower case; never fails.

    Extended values and continued ones (RFC 2231 §3, §4) are put together, encoded words read although RFC 2047 §5
    forbids them here: that is what many senders write.
    """
    pieces = _pieces(value)
    found: list[tuple[str, str]] = []
    for piece in pieces[1:]:
        name, equals, text = piece.partition("=")
        if equals and name.strip():
            name, text = name.strip().lower(), text.strip()
            # A boundary is compared with what stands in the body: as it was written.
            found.append((name, text if name == "boundary" and text[:1] != '"' else _unquoted(text)))
    return pieces[0].strip().lower(), _joined(found)


def _pieces(value: str) -> list[str]:
    pieces: list[str] = []
    at = 0
    while at <= len(value) and len(pieces) <= MAX_PARAMETERS:
        piece = _PIECE.match(value, at)
        assert piece is not None
        pieces.append(piece[0])
        at = piece.end() + 1
    return pieces


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return _without_comments(text) if text.endswith(")") or ".(" in text else text
    quoted = _QUOTED.match(text)
    return _ESCAPE.sub(r"\1", quoted[1]) if quoted else text


def _without_comments(text: str) -> str:
    """A bare value as strict readers see it (RFC 2045 §5.1: ``us-ascii (Plain text)``).

    Comments between words stay: many senders write ``my file (1).pdf`` without quotes.
    """
    bare = _COMMENT.sub("", text).strip()
    if " " not in bare:
        return bare
    for _ in range(MAX_COMMENTS):
        start = text.rfind("(") if text.endswith(")") else 0
        if start <= 0:
            break
        text = text[:start].rstrip()
    return text


def _joined(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    plain: list[tuple[str, str]] = []
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    for name, value in found:
        part = _SECTION.fullmatch(name)
        if part is None or (part[2] is None and part[3] is None):
            plain.append((name, value if name == "boundary" else encoded_words.decode(value)))
        else:
            sections.setdefault(part[1], []).append((int(part[2] or 0), part[3] is not None, value))
    return plain + [(name, _extended(parts)) for name, parts in sections.items()]


def _extended(parts: list[tuple[int, bool, str]]) -> str:
    charset, data = "us-ascii", b""
    for index, (_, encoded, value) in enumerate(sorted(parts, key=lambda part: part[0])):
        text = value
        if encoded and index == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        raw = text.encode("utf-8", "replace")
        data += unquote_to_bytes(raw) if encoded else raw
    return charsets.decode(data, charset)


def get(parameters: list[tuple[str, str]], name: str) -> str | None:
    """The first value of a name, or None."""
    return next((value for found, value in parameters if found == name), None)


def write(name: str, value: str) -> str:
    """One parameter with the ``;`` and fold before it: ASCII quoted, else as in RFC 2231.

    Raises:
        Invalid: control characters.
    """
    if re.search(r"[\x00-\x1f\x7f]", value):
        raise Invalid(f"The {name} contains control characters")
    if not value.isascii():
        return _write_extended(name, value)
    plain = value.replace("\\", "\\\\").replace('"', '\\"')
    return f';\r\n {name}="{plain}"'


def _write_extended(name: str, value: str) -> str:
    """``name*=UTF-8''…``, or in lines of at most 76 as ``name*0*=``, ``name*1*=`` … (RFC 2231 §4.1)."""
    text = "UTF-8''" + quote(value, safe="!#$&+-.^_`{}~", errors="replace")
    if len(name) + len(text) + 4 <= 76:
        return f";\r\n {name}*={text}"
    room = 76 - len(name) - 8
    lines: list[str] = []
    while text:
        cut = min(len(text), room)
        if cut < len(text):
            cut -= 1 if text[cut - 1] == "%" else 2 if text[cut - 2] == "%" else 0  # not inside %XX
        lines.append(f";\r\n {name}*{len(lines)}*={text[:cut]}")
        text = text[cut:]
    return "".join(lines)
