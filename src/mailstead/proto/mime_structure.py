"""MIME structure: the parts of a message by offsets, and what SES refuses in them (SES: smtp §7)."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, replace

from mailstead.base.errors import Invalid
from mailstead.proto import charsets, encoded_words, parameters
from mailstead.proto.charsets import decode_raw
from mailstead.proto.message import Field, Message, scan, unfold

MAX_PARTS = 500
MAX_DEPTH = 20  # each level reads the message once more; mail has three or four
MAX_NEAR_MISSES = 10_000  # lines that begin like a delimiter and are none

_FORBIDDEN = """ade adp app asp bas bat cer chm cmd com cpl crt csh der exe fxp gadget hlp hta inf ins isp its js
jse ksh lib lnk mad maf mag mam maq mar mas mat mau mav maw mda mdb mde mdt mdw mdz msc msh msh1
msh2 mshxml msh1xml msh2xml msi msp mst ops pcd pif plg prf prg reg scf scr sct shb shs sys ps1
ps1xml ps2 ps2xml psc1 psc2 tmp url vb vbe vbs vps vsmacros vss vst vsw vxd ws wsc wsf wsh xnk"""
FORBIDDEN_EXTENSIONS = frozenset(_FORBIDDEN.split())

_ONCE = """Accept-Language acceptLanguage Archived-At Auto-Submitted Bounces-to Comments Content-Alternative
Content-Base Content-Class Content-Description Content-Disposition Content-Duration Content-ID
Content-Language Content-Length Content-Location Content-MD5 Content-Transfer-Encoding Content-Type
Date Delivered-To Disposition-Notification-Options Disposition-Notification-To DKIM-Signature
DomainKey-Signature Errors-To From Importance In-Reply-To Keywords List-Archive List-Help List-Id
List-Owner List-Post List-Subscribe List-Unsubscribe Message-Context Message-ID MIME-Version
Organization Original-From Original-Message-ID Original-Recipient Original-Subject Precedence
Priority References Reply-To Return-Path Return-Receipt-To Sender Solicitation Sensitivity Subject
Thread-Index Thread-Topic User-Agent VBR-Info"""
_ONCE_NAMES = {name.lower().encode(): name for name in _ONCE.split()}

_DROPPED = "".join(map(chr, range(0x21))) + ".\x7f\"'"
_REST_OF_LINE = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class Part:
    """One part, leaf or multipart, by its place in the content."""

    depth: int
    """0 for the message itself."""
    fields: tuple[Field, ...]
    body: int
    """Offset of its body."""
    end: int
    """Offset behind its body, before the line end that belongs to the delimiter (RFC 2046 §5.1.1)."""
    kind: str
    """``type/subtype`` in lower case; ``text/plain`` if none is given."""
    parameters: list[tuple[str, str]]
    attached: bool = False
    """Does it stand in a message that is itself a part?"""


def duplicate_header(message: Message) -> str | None:
    """The first field that stands twice though it may stand once, in SES's spelling: ``Duplicate header 'X'.``"""
    if len(message.named) == len(message.fields):
        return None
    seen: set[bytes] = set()
    for field in message.fields:
        if field.lname in seen and field.lname in _ONCE_NAMES:
            return _ONCE_NAMES[field.lname]
        seen.add(field.lname)
    return None


def walk(message: Message, *, attached: bool = False) -> list[Part]:
    """All parts, outer before inner, in order.

    Args:
        message: whose.
        attached: those of messages inside it too; broken ones among them are leaves, for reports hold the half of
            a message.

    Raises:
        Invalid: a multipart without boundary or without any part; over 500 parts or 20 levels.
        A missing last delimiter is forgiven, as most readers do.
    """
    content = message.content
    root = _part(content, 0, message.fields, message.body_start, len(content))
    found: list[Part] = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        found.append(part)
        message_in = attached and part.kind in ("message/rfc822", "message/global")
        if message_in or part.kind.startswith("multipart/"):
            if part.depth >= MAX_DEPTH:
                raise Invalid("The message is nested too deeply")
            waiting += _attached(content, part) if message_in or part.attached else reversed(_children(content, part))
            if len(found) + len(waiting) > MAX_PARTS:
                raise Invalid("The message has too many parts")
    return found


def _part(content: bytes, depth: int, fields: tuple[Field, ...], body: int, end: int) -> Part:
    kind = "text/plain"
    found: list[tuple[str, str]] = []
    for field in fields:
        if field.lname == b"content-type":
            value = decode_raw(unfold(content[field.value : field.end]))
            kind, found = parameters.parse(value)
            break
    return Part(depth, fields, body, end, kind or "text/plain", found)


def _attached(content: bytes, part: Part) -> list[Part]:
    """The message in this part, or the parts of a multipart of such a message; none if it is broken."""
    try:
        if part.kind.startswith("multipart/"):
            return [replace(child, attached=True) for child in reversed(_children(content, part))]
        fields, _, _, body = scan(content, part.body, part.end)
    except Invalid:
        return []
    return [replace(_part(content, part.depth + 1, fields, body, part.end), attached=True)]


def _children(content: bytes, part: Part) -> list[Part]:
    boundary = parameters.get(part.parameters, "boundary")
    if not boundary:
        raise Invalid("Missing boundary parameter in multipart Content-Type")
    edges = _edges(content, part, b"--" + boundary.encode())
    if not edges:
        raise Invalid("Missing start boundary in multipart")
    parts: list[Part] = []
    for index, (_, start, last) in enumerate(edges):
        if last:
            break
        end = edges[index + 1][0] if index + 1 < len(edges) else part.end
        end = max(start, end)
        fields, _, _, body = scan(content, start, end)
        parts.append(_part(content, part.depth + 1, fields, body, end))
    return parts


def _edges(content: bytes, part: Part, delimiter: bytes) -> list[tuple[int, int, bool]]:
    """Delimiter lines: where the part before ends, where the next begins, is it the last?"""
    edges: list[tuple[int, int, bool]] = []
    misses = 0
    at = content.find(delimiter, part.body, part.end)
    while at >= 0:
        rest = _REST_OF_LINE.match(content, at + len(delimiter), part.end)
        if rest is None or (at > part.body and content[at - 1] != 10):
            misses += 1
            if misses > MAX_NEAR_MISSES:
                raise Invalid("The message has too many parts")
        else:
            edges.append((_before_line_end(content, part.body, at), rest.end(), rest[1] is not None))
            if rest[1] is not None or len(edges) > MAX_PARTS:
                break
        at = content.find(delimiter, at + len(delimiter), part.end)
    return edges


def _before_line_end(content: bytes, start: int, at: int) -> int:
    if content.endswith(b"\r\n", start, at):
        return at - 2
    return max(start, at - 1)


def payload(content: bytes, part: Part) -> bytes:
    """The body of a part, its transfer encoding undone."""
    body = content[part.body : part.end]
    encoding = b""
    for field in part.fields:
        if field.lname == b"content-transfer-encoding":
            encoding = unfold(content[field.value : field.end]).lower()
            break
    if encoding == b"base64":
        return encoded_words.decode_base64(body)
    return binascii.a2b_qp(body) if encoding == b"quoted-printable" else body


def is_file(content: bytes, part: Part) -> bool:
    """Is it an attachment (RFC 2183 §2.2)?"""
    for field in part.fields:
        if field.lname == b"content-disposition":
            return unfold(content[field.value : field.end]).lower().startswith(b"attachment")
    return False


def text_parts(message: Message) -> tuple[str | None, str | None]:
    """The first plain text and the first HTML of a message, decoded, with the line ends of the message.

    Raises:
        Invalid: as ``walk``.
    """
    found: dict[str, str] = {}
    for part in walk(message):
        if part.kind in ("text/plain", "text/html") and part.kind not in found and not is_file(message.content, part):
            charset = parameters.get(part.parameters, "charset") or "utf-8"
            found[part.kind] = charsets.decode(payload(message.content, part), charset)
    return found.get("text/plain"), found.get("text/html")


def check_structure(message: Message) -> None:
    """Refuse a message whose MIME is clearly broken; one that is not multipart costs a look at its header.

    Raises:
        Invalid: as ``walk``.
    """
    walk(message)


def _names(content: bytes, part: Part) -> list[str]:
    names = [value for name, value in part.parameters if name == "name"]
    for field in part.fields:
        if field.lname in (b"content-disposition", b"content-type"):
            _, found = parameters.parse(decode_raw(unfold(content[field.value : field.end])))
            names += [value for name, value in found if name in ("filename", "name")]
    return names


def attachment_names(message: Message) -> list[str]:
    """Every file name in the message and in those attached to it, as people see it, from Content-Disposition and
    Content-Type.

    Raises:
        Invalid: as ``walk``.
    """
    return list(dict.fromkeys(name for part in walk(message, attached=True) for name in _names(message.content, part)))


def is_forbidden(name: str) -> bool:
    """Does SES refuse a file of this name?  Windows drops blanks and dots at its end, and what is behind a colon."""
    endings = [piece.rstrip(_DROPPED).rpartition(".") for piece in name.split(":")]
    return any(dot and extension.lower() in FORBIDDEN_EXTENSIONS for _, dot, extension in endings)


def check_attachments(message: Message) -> None:
    """Refuse broken MIME and forbidden file types, in one walk.

    Raises:
        Invalid: ``Illegal filename``, or as ``walk``.
    """
    if b"content-type" not in message.named and b"content-disposition" not in message.named:
        return  # one text without a name
    if any(map(is_forbidden, attachment_names(message))):
        raise Invalid("Illegal filename")
