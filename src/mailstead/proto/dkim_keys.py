"""DKIM keys: make, read and publish them (RFC 6376 §3.6.1, RFC 8463 §4; SES: sending §1.3 for BYODKIM)."""

from __future__ import annotations

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from mailstead.base.errors import Invalid

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

MIN_BITS = 1024  # RFC 8301 §3.2
MAX_BITS = 4096

_ARMOUR = re.compile(r"-----(?:BEGIN|END) [A-Z ]*PRIVATE KEY-----")


def _der(text: str) -> bytes:
    body = "".join(_ARMOUR.sub("", text).split())
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("The private key is not base64") from None


def load_key(text: str, *, trusted: bool = False) -> PrivateKey:
    """A private key from PEM, or from base64 without PEM lines: PKCS#1, PKCS#8, or 32 bytes of Ed25519.

    Args:
        text: the key.
        trusted: it is one of ours; its numbers are not checked again (that costs milliseconds).

    Raises:
        Invalid: it is no such key, or RSA outside 1024 to 4096 bits.
    """
    der = _der(text)
    if len(der) == 32:
        return Ed25519PrivateKey.from_private_bytes(der)
    try:
        key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=trusted)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Invalid("The private key can not be read") from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey) or not MIN_BITS <= key.key_size <= MAX_BITS:
        raise Invalid("The private key must be RSA of 1024 to 4096 bits, or Ed25519")
    return key


def dump_key(key: PrivateKey) -> str:
    """Base64 of PKCS#8 on one line; ``load_key`` reads it."""
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(der).decode()


def generate_rsa(bits: int = 2048) -> RSAPrivateKey:
    """A new RSA key; takes tenths of a second, so not on an event loop."""
    return generate_private_key(65537, bits)


def generate_ed25519() -> Ed25519PrivateKey:
    """A new Ed25519 key."""
    return Ed25519PrivateKey.generate()


def public_record(key: PrivateKey) -> str:
    """The TXT record: ``v=DKIM1; k=rsa; p=…`` (over 255 octets: to be cut into strings by whoever writes the zone)."""
    if isinstance(key, RSAPrivateKey):
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"
