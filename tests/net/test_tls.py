"""Contexts and the first certificate, judged by OpenSSL's own handshake."""

from __future__ import annotations

import contextlib
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from mailstead.base.clock import SystemClock
from mailstead.base.errors import Invalid
from mailstead.net.tls import client_context, describe, make_self_signed, server_context


def shake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[ssl.SSLObject, bytes]:
    """A handshake in memory; the client's end and the certificate it saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    certificate = ends[0].getpeercert(binary_form=True)
    assert certificate
    return ends[0], certificate


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "mail.example.org"])
def test_a_verifying_client_trusts_the_certificate_for_each_name(tmp_path: Path, name: str) -> None:
    cert, key = make_self_signed(tmp_path / "tls", "mail.example.org", SystemClock())
    end, _ = shake(server_context(cert, key), client_context(verify=True, ca_file=str(cert)), name)
    assert describe(end) == "TLSv1.3 TLS_AES_256_GCM_SHA384"


def test_another_name_or_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    cert, key = make_self_signed(tmp_path, "mail.example.org", SystemClock())
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server_context(cert, key), client_context(verify=True, ca_file=str(cert)), "other.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server_context(cert, key), client_context(verify=True), "mail.example.org")


def test_an_opportunistic_client_takes_any(tmp_path: Path) -> None:
    cert, key = make_self_signed(tmp_path, "", SystemClock())
    assert shake(server_context(cert, key), client_context(verify=False), "x.invalid")


def test_the_files(tmp_path: Path) -> None:
    clock = SystemClock()
    clock.advance(10**12)  # a moved test clock does not move certificates
    cert, key = make_self_signed(tmp_path / "deep" / "tls", "höst.example", clock)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sorted(path.name for path in cert.parent.iterdir()) == ["cert.pem", "key.pem"]
    found = x509.load_pem_x509_certificate(cert.read_bytes())
    years = (found.not_valid_after_utc.timestamp() - clock.wall() / 1000) / 86400 / 365
    assert 9.9 < years < 10.1
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "xn--hst-sna.example"]
    before = cert.read_bytes()
    make_self_signed(cert.parent, "other", clock)
    assert cert.read_bytes() == before


def test_a_changed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    clock = SystemClock()
    cert, key = make_self_signed(tmp_path / "a", "a.example", clock)
    other_cert, other_key = make_self_signed(tmp_path / "b", "b.example", clock)
    context = server_context(cert, key)
    assert server_context(cert, key) is context
    seen = shake(context, client_context(verify=False), "a")[1]
    cert.write_bytes(other_cert.read_bytes())  # half of the change: does not fit the key
    assert server_context(cert, key) is context
    assert shake(context, client_context(verify=False), "a")[1] == seen
    key.write_bytes(other_key.read_bytes())
    assert server_context(cert, key) is context
    assert shake(context, client_context(verify=False), "a")[1] != seen


def test_unusable_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot use certificate"):
        server_context(tmp_path / "no.pem", tmp_path / "no.key")
