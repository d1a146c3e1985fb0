"""MIME parts: text and attachments into header lines and encoded bodies (RFC 2045, RFC 2046)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from mailstead.base.errors import Invalid
from mailstead.proto import charsets, encoded_words, parameters
from mailstead.proto.newlines import has_bare_newline

MAX_LINE = 998  # RFC 5322 §2.1.1
MAX_WORD = 900  # leaves room for the name of the field
MAX_FILE_NAME = 255
WIDTH = 76  # RFC 2045 §6.7 (5), §6.8

_LONG = re.compile(rb"[^\n]{999}")  # with its CR
_NOT_7BIT = re.compile(rb"[\x00\x80-\xff]")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:;[ \t!-~]*)?")
_BROKEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CONTENT_ID = re.compile(r"[!-;=?-~]{1,500}")

_TABLE = """txt=text/plain csv=text/csv html=text/html htm=text/html ics=text/calendar md=text/markdown xml=text/xml
json=application/json pdf=application/pdf zip=application/zip gz=application/gzip doc=application/msword
xls=application/vnd.ms-excel ppt=application/vnd.ms-powerpoint png=image/png jpg=image/jpeg jpeg=image/jpeg
docx=application/vnd.openxmlformats-officedocument.wordprocessingml.document
xlsx=application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
pptx=application/vnd.openxmlformats-officedocument.presentationml.presentation
gif=image/gif webp=image/webp svg=image/svg+xml mp3=audio/mpeg mp4=video/mp4"""
# What a name without a type most likely is; anything else is application/octet-stream.
_TYPES = dict(pair.split("=") for pair in _TABLE.split())


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message (SES v2 ``Attachment``)."""

    filename: str
    content: bytes
    content_type: str | None = None
    """``None``: told from the name."""
    disposition: str = "attachment"
    """``attachment`` or ``inline``."""
    content_id: str | None = None
    description: str | None = None
    transfer_encoding: str | None = None
    """``7bit``, ``quoted-printable``, ``base64``; ``None``: what fits."""


def boundary(seed: str, now: int, parts: Sequence[bytes]) -> str:
    """A boundary in SES's form that stands in none of the parts; the same seed gives the same (RFC 2046 §5.1.1)."""
    mark = ""
    while not mark or any(mark.encode() in part for part in parts):
        digest = sha256(f"{seed}{mark}".encode()).digest()
        first, second, third = (int.from_bytes(digest[at : at + 4], "big") for at in (0, 4, 8))
        mark = f"----=_Part_{first}_{second}.{now or third}"
    return mark


def words(text: str, charset: str | None = None) -> str:
    """Text of a header: ASCII as it is, else encoded words of this charset (UTF-8 if none), to be folded at blanks.

    ASCII that no fold could bring under the line limit becomes encoded words too.

    Raises:
        Invalid: unknown charset, one that cannot write the text, or a line break or control character.
    """
    if _BROKEN.search(text):
        raise Invalid("A header contains a line break or control character")
    if text.isascii() and (len(text) < MAX_WORD or max(map(len, text.split(" "))) < MAX_WORD):
        return text
    try:
        return " ".join(encoded_words.encode(text, charset or "UTF-8", width=WIDTH - 16))
    except LookupError:
        raise Invalid(f"Unknown charset: {charset}") from None
    except UnicodeError:
        raise Invalid(f"The charset {charset} can not represent the text") from None


def text_part(kind: str, text: str, charset: str | None) -> bytes:
    """A ``text/plain`` or ``text/html`` part: its three header lines or two, the empty line, the body.

    Raises:
        Invalid: unknown charset, or one that cannot write the text.
    """
    label = charset or "UTF-8"
    codec = charsets.codec(label)
    if codec is None:
        raise Invalid(f"Unknown charset: {label}")
    try:
        data = _lines(text).encode(codec)
    except UnicodeError:
        raise Invalid(f"The charset {label} can not represent the text") from None
    encoding, body = _encode_text(data, codec)
    head = f"Content-Type: text/{kind}; charset={label.strip()}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body


def _lines(text: str) -> str:
    if "\n" not in text and "\r" not in text:
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


def is_7bit(data: bytes) -> bool:
    """May this travel as it is: ASCII, no NUL, CRLF only, lines of at most 998 (RFC 2045 §2.7)?"""
    if _NOT_7BIT.search(data) or (len(data) > MAX_LINE and _LONG.search(data)):
        return False
    return not has_bare_newline(data)


def _encode_text(data: bytes, codec: str) -> tuple[str, bytes]:
    if codec.startswith(("utf-16", "utf-32")):
        return "base64", base64_lines(data)  # RFC 2781 §4.2: no line structure of mail
    if is_7bit(data):
        return "7bit", data
    high = len(data) - len(data.translate(None, _HIGH))
    if codec.startswith(("iso2022", "hz")) or high * 3 > len(data):
        return "base64", base64_lines(data)
    return "quoted-printable", quoted_printable(data)


_HIGH = bytes(range(0x80, 0x100))


def base64_lines(data: bytes) -> bytes:
    """Base64 in lines of 76."""
    text = binascii.b2a_base64(data, newline=False)
    return b"\r\n".join([text[at : at + WIDTH] for at in range(0, len(text), WIDTH)])


def quoted_printable(data: bytes) -> bytes:
    """Quoted-printable in lines of at most 76; CRLF stays a line end, CR or LF alone is data."""
    is_text = not has_bare_newline(data)
    written = binascii.b2a_qp(data, istext=is_text)
    # Its soft breaks take the form of the first line end it meets, LF if there is none.
    return written if is_text and b"\n" in data else written.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def attachment_part(attachment: Attachment) -> bytes:
    """A file as a part: header lines, the empty line, the encoded content.

    Raises:
        Invalid: a name, type or id that can not stand in a header.
    """
    kind = _content_type(attachment)
    encoding, body = _encode_file(attachment, kind)
    head = [f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n"]
    head.append(f"Content-Disposition: {_disposition(attachment)}\r\n")
    if attachment.content_id is not None:
        head.append(f"Content-ID: <{_content_id(attachment.content_id)}>\r\n")
    if attachment.description:
        head.append(fold("Content-Description", words(attachment.description)))
    return "".join([*head, "\r\n"]).encode() + body


def _content_type(attachment: Attachment) -> str:
    kind = attachment.content_type or _TYPES.get(attachment.filename.rpartition(".")[2].lower(), "")
    kind = kind or "application/octet-stream"
    if not _TYPE.fullmatch(kind) or len(kind) > 500 or kind.lower().startswith("multipart/"):
        raise Invalid("Invalid content type of attachment")
    if attachment.filename.isascii() or "name=" in kind.lower():
        return kind
    # For readers that do not know RFC 2231: an ASCII likeness, here, where it is no second "filename".
    return kind + parameters.write("name", "".join(c if c.isascii() else "_" for c in attachment.filename))


def _disposition(attachment: Attachment) -> str:
    disposition = attachment.disposition.lower()
    if disposition not in ("attachment", "inline"):
        raise Invalid("Invalid content disposition of attachment")
    if len(attachment.filename) > MAX_FILE_NAME:
        raise Invalid("The filename is too long")
    return disposition + (parameters.write("filename", attachment.filename) if attachment.filename else "")


def _content_id(text: str) -> str:
    bare = text.removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(bare):
        raise Invalid("Invalid content id of attachment")
    return bare


def _encode_file(attachment: Attachment, kind: str) -> tuple[str, bytes]:
    data = attachment.content
    wanted = (attachment.transfer_encoding or "").lower()
    if kind.lower().startswith("message/"):  # RFC 2046 §5.2.1: never encoded
        return ("7bit" if is_7bit(data) else "8bit"), data
    if wanted == "7bit":
        if not is_7bit(data):
            raise Invalid("The attachment is not 7bit")
        return "7bit", data
    if wanted == "quoted-printable":
        return wanted, quoted_printable(data)
    if wanted not in ("", "base64"):
        raise Invalid("Invalid transfer encoding of attachment")
    return "base64", base64_lines(data)


def fold(name: str, value: str) -> str:
    """One header field of ASCII with its line end, folded at blanks to 76 where it can be.

    Raises:
        Invalid: a line break or control character, or a line over 998 that has no blank to fold at.
    """
    if _BROKEN.search(value):
        raise Invalid(f"Header {name} contains a line break or control character")
    line = f"{name}: {value}"
    if len(line) > WIDTH:
        line = _folded(line)
    return line + "\r\n"


def _folded(line: str) -> str:
    lines: list[str] = []
    name, *rest = re.split(r"(?<=[^ ]) (?=[^ ])", line)
    current = name
    for word in rest:
        if (
            len(current) + len(word) < WIDTH or current is name
        ):  # RFC 5322 §4.2: no line of blanks, so none without text
            current += " " + word
        else:
            lines.append(current)
            current = " " + word
    lines.append(current)
    if max(map(len, lines)) > MAX_LINE:
        raise Invalid("A header is too long")
    return "\r\n".join(lines)
