"""TLS: contexts for those who come in and those we go out to, and a certificate of our own for the first day."""

from __future__ import annotations

import functools
import ipaddress
import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailstead.base.address import ascii_domain, is_domain
from mailstead.base.clock import SECOND, Clock
from mailstead.base.errors import Invalid

VALID_FOR = timedelta(days=3652)

_log = logging.getLogger(__name__)
_Stamp = tuple[int, int, int, int, int, int]
_servers: dict[tuple[str, str], tuple[ssl.SSLContext, _Stamp]] = {}


def server_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """The context of our listeners, TLS 1.2 and newer. Always the same one for the same files.

    Files that changed since the last call are read again into that same context, so connections to come get the new
    certificate and listeners need no restart. If the new ones cannot be used, the old stay and the log says so.

    Raises:
        Invalid: the files cannot be used and there are no older ones.
    """
    place = (str(certificate), str(key))
    known = _servers.get(place)
    try:
        stamp = _stamp(place)
        if known and known[1] == stamp:
            return known[0]
        context = _load(place, known[0] if known else None)
    except (OSError, ssl.SSLError) as error:
        if known is None:
            raise Invalid(f"cannot use certificate {certificate} with key {key}: {error}") from None
        _log.warning("tls.not_reloaded certificate=%s error=%s", certificate, error)
        return known[0]
    _servers[place] = (context, stamp)
    return context


def _stamp(place: tuple[str, str]) -> _Stamp:
    cert, key = (os.stat(path) for path in place)
    return cert.st_mtime_ns, cert.st_size, cert.st_ino, key.st_mtime_ns, key.st_size, key.st_ino


def _load(place: tuple[str, str], live: ssl.SSLContext | None) -> ssl.SSLContext:
    fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    fresh.minimum_version = ssl.TLSVersion.TLSv1_2
    fresh.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    fresh.load_cert_chain(*place)
    if live is None:
        return fresh
    live.load_cert_chain(*place)  # only now: a pair that does not fit must not reach the live context
    return live


@functools.lru_cache(maxsize=16)
def client_context(*, verify: bool, ca_file: str | None = None) -> ssl.SSLContext:
    """The context we go out with. ``ca_file`` is trusted besides the system's authorities.

    Without ``verify`` (opportunistic, RFC 7435) any certificate does, and weak old keys are better than clear text.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        context.load_verify_locations(ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def describe(info: ssl.SSLObject | ssl.SSLSocket | None) -> str:
    """``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty in clear."""
    cipher = info.cipher() if info else None
    return f"{info.version()} {cipher[0]}" if info and cipher else ""


def make_self_signed(directory: str | Path, hostname: str, clock: Clock) -> tuple[Path, Path]:
    """``cert.pem`` and ``key.pem`` (mode 0600) in ``directory``, made if they are not both there.

    P-256, for localhost, 127.0.0.1, ::1 and ``hostname``; valid for ten years by the wall clock.
    """
    folder = Path(directory)
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    if cert_path.exists() and key_path.exists():
        return cert_path, key_path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate = _certificate(key, hostname, datetime.fromtimestamp(clock.wall() / SECOND, UTC))
    _write(key_path, pem)  # first: a certificate without its key would be taken for finished
    _write(cert_path, certificate.public_bytes(serialization.Encoding.PEM))
    return cert_path, key_path


def _certificate(key: ec.EllipticCurvePrivateKey, hostname: str, now: datetime) -> x509.Certificate:
    names = _names(hostname)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[-1][:64])])
    public = key.public_key()
    builder = (
        x509.CertificateBuilder(subject, subject, public, x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(_alternatives(names), critical=False)
        # It is its own authority, so that a client can be told to trust exactly this file.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _names(hostname: str) -> list[str]:
    try:
        name = ascii_domain(hostname.removesuffix("."))
    except Invalid:
        name = "localhost"
    return ["localhost", name] if is_domain(name) and name != "localhost" else ["localhost"]


def _alternatives(names: list[str]) -> x509.SubjectAlternativeName:
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    return x509.SubjectAlternativeName([*(x509.DNSName(name) for name in names), *addresses])


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and for our eyes only."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
