"""Mail HTML: which markup the mail that asks for a verification may have, and its pictures as parts of the mail.

SES: sending §1.2.  It goes to people who have not agreed to anything yet: no script, no form, no frame, no style sheet,
nothing from elsewhere but pictures and links.  Markup is read once from left to right; what is not plain to read is
refused rather than mended, so that no mail program can read it otherwise.

Careful: this judges; it does not clean.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from html import unescape

from mailstead.base.errors import Invalid
from mailstead.proto.mime_part import Attachment

KIND = "custom-verification-content"
MAX_TAGS = 100_000
MAX_PICTURES = 100

_TAGS = """a abbr acronym address area b bdo big blockquote body br button caption center cite code col colgroup dd del
dfn dir div dl dt em fieldset font h1 h2 h3 h4 h5 h6 head hr html i img ins kbd label legend li map menu ol p pre q s
samp small span strike strong sub sup table tbody td tfoot th thead title tr tt u ul var"""
TAGS = frozenset(_TAGS.split())
_ATTRIBUTES = """abbr align alt axis bgcolor border cellpadding cellspacing char charoff charset cite class clear color
cols colspan compact coords datetime dir disabled face height href hreflang hspace id label lang media name nohref
noshade nowrap rel rev role rowspan rules scope shape size span src start style summary target title type usemap valign
value vspace width xmlns"""
ATTRIBUTES = frozenset(_ATTRIBUTES.split())
_ADDRESSES = {
    "href": ("http://", "https://", "mailto:", "#"),
    "src": ("http://", "https://", "cid:"),
    "cite": ("http",),
}
_PICTURES = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif"}

# Nothing is tried twice: each alternative begins with another character, and what was taken is not given back.
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*+)((?:[^\"'<>]++|\"[^\"]*+\"|'[^']*+')*+)>")
_ATTRIBUTE = re.compile(r"[\s/]*+([^\s\"'<>/=]++)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'=<>`]++)))?")
_DOCTYPE = re.compile(r"<!doctype [^<>\[\]]{0,300}>", re.IGNORECASE)
_DATA = re.compile(r"data:(image/[a-z]+);base64,([A-Za-z0-9+/=\s]*)")
_IN_STYLE = re.compile(r"expression|javascript:|vbscript:|@import|behaviou?r|-moz-binding|\\", re.IGNORECASE)
_BLANKS = re.compile(r"[\x00-\x20]+")


@dataclass(frozen=True, slots=True)
class Value:
    """An attribute's value and where it stands."""

    name: str
    text: str
    start: int
    end: int


def check(html: str) -> None:
    """Is it what such a mail may have?

    Raises:
        Invalid: no; the text names what is wrong.
    """
    pictures(html)


def pictures(html: str) -> tuple[str, tuple[Attachment, ...]]:
    """The markup with its ``data:`` pictures as parts of the mail, and those parts.

    Raises:
        Invalid: as ``check``.
    """
    pieces: list[str] = []
    parts: dict[str, Attachment] = {}
    at = 0
    for value in _values(html):
        if value.name != "src" or not value.text.startswith("data:"):
            _check(value)
            continue
        part = _picture(value.text)
        parts[part.filename] = part
        if len(parts) > MAX_PICTURES:
            raise _invalid(f"more than {MAX_PICTURES} pictures")
        pieces += [html[at : value.start], f"cid:{part.content_id}"]
        at = value.end
    return "".join([*pieces, html[at:]]), tuple(parts.values())


def _values(html: str) -> Iterator[Value]:
    """Every attribute's value, in order; all the rest is looked at on the way."""
    at = count = 0
    while (at := html.find("<", at)) >= 0:
        count += 1
        if count > MAX_TAGS:
            raise _invalid("more markup than a mail needs")
        if html.startswith("<!", at):
            at = _declaration(html, at)
            continue
        match = _TAG.match(html, at)
        if match is None:
            raise _invalid(f"a tag that cannot be read: {html[at : at + 20]!r}")
        name = match[2].lower()
        if name not in TAGS:
            raise _invalid(f"the tag <{name[:30]}>")
        if not match[1]:
            yield from _attributes(match)
        elif match[3].strip():
            raise _invalid(f"attributes in </{name}>")
        at = match.end()


def _declaration(html: str, at: int) -> int:
    """The end of a comment or a document type."""
    match = _DOCTYPE.match(html, at)
    if match is not None:
        return match.end()
    end = html.find("-->", at + 4)
    inside = html[at + 4 : end]
    # What some programs end earlier (HTML Standard §13.2.5.43 ff.) or read as markup is none.
    if not html.startswith("<!--", at) or end < 0 or inside.startswith((">", "->", "[")) or "--!>" in inside:
        raise _invalid("a comment or declaration")
    return end + 3


def _attributes(tag: re.Match[str]) -> Iterator[Value]:
    text, base, at, count = tag[3], tag.start(3), 0, 0
    while match := _ATTRIBUTE.match(text, at):
        count += 1
        name = match[1].lower()
        if name not in ATTRIBUTES or count > len(ATTRIBUTES):
            raise _invalid(f"the attribute {name[:30]} of <{tag[2]}>")
        group = match.lastindex or 1
        if group > 1:
            yield Value(name, unescape(match[group]), base + match.start(group), base + match.end(group))
        at = match.end()
    if text[at:].strip("/ \t\r\n\f"):
        raise _invalid(f"an attribute of <{tag[2]}> that cannot be read")


def _check(value: Value) -> None:
    allowed = _ADDRESSES.get(value.name)
    if allowed is not None and not _BLANKS.sub("", value.text).lower().startswith(allowed):
        raise _invalid(f"the address in {value.name}")
    if value.name == "style" and _IN_STYLE.search(value.text):
        raise _invalid("the style of a tag")


def _picture(text: str) -> Attachment:
    match = _DATA.fullmatch(text)
    ending = _PICTURES.get(match[1]) if match is not None else None
    if match is None or ending is None:
        raise _invalid("a data: address that is no PNG, JPEG or GIF picture in base64")
    try:
        content = binascii.a2b_base64(match[2])
    except binascii.Error:
        raise _invalid("a picture that is not base64") from None
    name = f"{sha256(content).hexdigest()[:16]}.{ending}"
    return Attachment(name, content, match[1], "inline", content_id=name)


def _invalid(what: str) -> Invalid:
    return Invalid(f"The template content contains what is not allowed: {what}.", kind=KIND)
