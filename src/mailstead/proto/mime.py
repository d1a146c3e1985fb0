"""MIME: the message of SES's Simple content (SES: sending §4).

Text only, HTML only, both as alternatives; files beside them, inline ones with a Content-ID beside the HTML.
No Date, Message-ID or Feedback-ID: those are made at acceptance (SES: smtp §6).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mailstead.base.errors import Invalid
from mailstead.proto.addresses import MAX_FIELD, format_mailbox, parse_one
from mailstead.proto.mime_part import Attachment, attachment_part, boundary, fold, text_part, words
from mailstead.proto.mime_structure import check_attachments, check_structure, duplicate_header, text_parts

__all__ = ["Attachment", "build_simple", "check_attachments", "check_structure", "duplicate_header", "text_parts"]

Text = tuple[str, str | None]
"""A text and its charset; no charset is UTF-8."""

# Fields that we write ourselves, here or at acceptance.
_OURS = frozenset(
    b"from to cc bcc subject reply-to sender return-path mime-version content-type content-transfer-encoding date "
    b"message-id".decode().split()
)
_NAME = re.compile(r"[!-9;-~]{1,126}")


def build_simple(
    from_: str,
    *,
    to: Sequence[str] = (),
    cc: Sequence[str] = (),
    reply_to: Sequence[str] = (),
    subject: Text = ("", None),
    text: Text | None = None,
    html: Text | None = None,
    headers: Sequence[tuple[str, str]] = (),
    attachments: Sequence[Attachment] = (),
    boundary_seed: int,
) -> bytes:
    """The message, CRLF everywhere, lines of at most 998.

    Args:
        from_: an API's address string; so are those of ``to``, ``cc`` and ``reply_to``.
        subject: text and charset.
        text: the plain text and its charset.
        html: the HTML and its charset.
        headers: further fields, behind the others.
        attachments: files.
        boundary_seed: milliseconds since 1970, shown in boundaries as SES does.

    Raises:
        Invalid: an address in SES's words; a line break in a value; a charset that cannot write its text.
    """
    head = [fold("From", _addresses([from_]))]
    for name, boxes in (("Reply-To", reply_to), ("To", to), ("Cc", cc)):
        if boxes:
            head.append(fold(name, _addresses(boxes)))
    head.append(fold("Subject", words(*subject)))
    head.append("MIME-Version: 1.0\r\n")
    body = _Builder(boundary_seed).content(text, html, attachments)
    kind, _, rest = body.partition(b"\r\n\r\n")
    extra = "".join([_custom(name, value) for name, value in headers])
    return b"".join(["".join(head).encode(), kind, b"\r\n", extra.encode(), b"\r\n", rest])


def _addresses(texts: Sequence[str]) -> str:
    if sum(map(len, texts)) > MAX_FIELD:
        raise Invalid("A header is too long")
    return ", ".join([_address(text) for text in texts])


def _address(text: str) -> str:
    box = parse_one(text)
    return box.text if text.isascii() else format_mailbox(box.display, box.address)


def _custom(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise Invalid("Header name contains illegal character")
    if name.lower() in _OURS:
        raise Invalid(f"Header {name} may not be set")
    return fold(name, words(value))


class _Builder:
    """Puts parts into multiparts; each boundary is checked against what it separates."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0

    def content(self, text: Text | None, html: Text | None, attachments: Sequence[Attachment]) -> bytes:
        inline = [file for file in attachments if _is_inline(file)] if html is not None else []
        body = self._related(self._alternative(text, html), inline)
        # Not "not in inline": that compares each with all.
        others = [attachment_part(file) for file in attachments if html is None or not _is_inline(file)]
        return self._multipart("mixed", [body, *others]) if others else body

    def _alternative(self, text: Text | None, html: Text | None) -> bytes:
        if text is not None and html is not None:
            return self._multipart("alternative", [text_part("plain", *text), text_part("html", *html)])
        return text_part("html", *html) if html is not None else text_part("plain", *(text or ("", None)))

    def _related(self, body: bytes, inline: list[Attachment]) -> bytes:
        if not inline:
            return body
        root = "multipart/alternative" if body.startswith(b"Content-Type: multipart") else "text/html"
        parts = [body, *map(attachment_part, inline)]
        return self._multipart("related", parts, f';\r\n type="{root}"')  # RFC 2387 §3.1

    def _multipart(self, kind: str, parts: list[bytes], more: str = "") -> bytes:
        self._count += 1
        mark = boundary(f"{self._seed}/{self._count}", self._seed, parts)
        # Two blanks before "boundary", as SES shows it, are its fold.
        head = f'Content-Type: multipart/{kind}; \r\n boundary="{mark}"{more}\r\n\r\n'.encode()
        line = b"--" + mark.encode()
        pieces = [head]
        for part in parts:
            pieces += [line, b"\r\n", part, b"\r\n"]
        pieces += [line, b"--\r\n"]
        return b"".join(pieces)


def _is_inline(file: Attachment) -> bool:
    return file.disposition.lower() == "inline" and bool(file.content_id)
