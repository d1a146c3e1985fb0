"""DKIM: sign a message with one or more keys (RFC 6376, RFC 8463).

SES signs twice, first for the identity's domain, then for the provider's (SES: smtp §6.7).  Both signatures share one
body hash.  ``relaxed`` header, ``simple`` body, nothing oversigned.

Careful: the content must be as it will leave, CRLF everywhere; whoever changes a byte later breaks the signature.
Not done: checking the signatures of others.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from mailstead.proto.dkim_canonical import relaxed_field, simple_body
from mailstead.proto.message import Field, Message

# RFC 6376 §5.4.1: what a reader sees, what threads and lists need. Trace fields are left alone.
_SIGNED = (
    b"from sender reply-to to cc subject mime-version content-type content-transfer-encoding content-language "
    b"message-id date in-reply-to references list-id list-help list-unsubscribe list-unsubscribe-post list-subscribe "
    b"list-post list-owner list-archive"
)
SIGNED = frozenset(_SIGNED.split())
WIDTH = 76

_PADDING = PKCS1v15()
_SHA256 = SHA256()


PrivateKey = RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class DkimKey:
    """Who signs: a private key and the name under which its public half is found."""

    domain: str
    """``d=``, in A-labels."""
    selector: str
    """``s=``."""
    private: PrivateKey
    also: tuple[str, ...] = ()
    """Fields that this signer covers beyond ``SIGNED``, if present: ``("Feedback-ID",)`` for the provider."""

    @property
    def algorithm(self) -> str:
        """``rsa-sha256`` or ``ed25519-sha256``."""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"


def body_hash(content: bytes, body_start: int) -> bytes:
    """SHA-256 of the body in ``simple`` form (RFC 6376 §3.4.3), one for all signatures of a message."""
    hashed = sha256(memoryview(content)[body_start : simple_body(content, body_start)])
    hashed.update(b"\r\n")
    return hashed.digest()


def signed_fields(fields: Iterable[Field], also: Sequence[str] = ()) -> list[Field]:
    """The fields to sign, in the message's order."""
    wanted = SIGNED.union(name.lower().encode() for name in also) if also else SIGNED
    return [field for field in fields if field.lname in wanted]


def _bottom_up(fields: list[Field]) -> list[Field]:
    """The fields in the order a verifier reads them: of several with one name the last first (RFC 6376 §5.4.2)."""
    by_name: dict[bytes, list[Field]] = {}
    for field in fields:
        by_name.setdefault(field.lname, []).append(field)
    if len(by_name) == len(fields):
        return fields
    return [by_name[field.lname].pop() for field in fields]


def _fold(name: str, items: Iterable[str], glue: str) -> str:
    """A long tag value folded at its glue, each line beginning with a blank (RFC 6376 §3.2)."""
    lines = [f"\t{name}="]
    last = ""
    for item in items:
        if len(lines[-1]) + len(last) + len(item) + 2 > WIDTH:
            lines[-1] += last
            lines.append("\t " + item)
        else:
            lines[-1] += last + item
        last = glue
    return "\r\n".join(lines)


def _cut(text: str) -> list[str]:
    return [text[at : at + WIDTH - 8] for at in range(0, len(text), WIDTH - 8)]


def _unsigned(key: DkimKey, names: list[bytes], hashed: bytes, t: int) -> bytes:
    """The signature field up to and with ``b=``."""
    first = f"DKIM-Signature: v=1; a={key.algorithm}; q=dns/txt; c=relaxed/simple;"
    place = f"\ts={key.selector}; d={key.domain}; t={t};"
    if len(place) > WIDTH:
        place = f"\ts={key.selector};\r\n\td={key.domain};\r\n\tt={t};"
    signed = _fold("h", [name.decode("ascii") for name in names], ":")
    return "\r\n".join([first, place, signed + ";", f"\tbh={base64.b64encode(hashed).decode()};", "\tb="]).encode()


def prepare(message: Message, key: DkimKey, hashed: bytes, t: int) -> tuple[bytes, bytes]:
    """The signature field with an empty ``b=``, and the bytes that the key must sign (RFC 6376 §3.7)."""
    fields = signed_fields(message.fields, key.also)
    field = _unsigned(key, [field.name for field in fields], hashed, t)
    content = message.content
    lines = [relaxed_field(found.lname, content[found.value : found.end]) + b"\r\n" for found in _bottom_up(fields)]
    lines.append(relaxed_field(b"dkim-signature", field[len(b"DKIM-Signature:") :]))
    return field, b"".join(lines)


def signature(private: PrivateKey, data: bytes) -> bytes:
    """The raw signature."""
    if isinstance(private, RSAPrivateKey):
        return private.sign(data, _PADDING, _SHA256)
    return private.sign(sha256(data).digest())  # RFC 8463 §3: Ed25519 of the hash


def drafts(message: Message, keys: Sequence[DkimKey], t: int) -> list[tuple[bytes, bytes]]:
    """What ``prepare`` makes for each key; the body is read once."""
    hashed = body_hash(message.content, message.body_start)
    return [prepare(message, key, hashed, t) for key in keys]


def finished(field: bytes, signed: bytes) -> bytes:
    """The whole field: the one with an empty ``b=``, and the signature of what belongs to it."""
    value = _cut(base64.b64encode(signed).decode())
    return field + "\r\n\t ".join(value).encode() + b"\r\n"


def sign(content: bytes | Message, keys: Sequence[DkimKey], t: int) -> bytes:
    """The DKIM-Signature fields to put before the message, in the order of the keys.

    Args:
        content: the message as it will leave, or already parsed.
        keys: the identity's first, the provider's last.
        t: seconds since 1970.

    Raises:
        MalformedMessage: the header is too long to be one.
    """
    message = content if isinstance(content, Message) else Message.parse(content)
    made = zip(keys, drafts(message, keys, t), strict=True)
    return b"".join(finished(field, signature(key.private, data)) for key, (field, data) in made)


_DOMAIN = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def is_name(text: str) -> bool:
    """May this stand in ``d=`` or ``s=``?"""
    return _DOMAIN.fullmatch(text) is not None and ".." not in text
