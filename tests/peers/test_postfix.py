"""Our Postfix is an ordinary MX: it takes what is for it, word for word, and refuses the rest."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from peers.postfix import Postfix, as_sent, reverse_path

pytestmark = pytest.mark.slow
MESSAGE = b"From: A <a@sender.test>\r\nbcc: hidden@one.test\r\nSubject:  =?utf-8?q?=C3=A9?=\r\n\r\n.dot\r\n\tbody \r\n"


@pytest.fixture(scope="module")
def mx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postfix]:
    folder = tmp_path_factory.mktemp("tls")
    cert = trustme.CA().issue_cert("mx.standin.test")
    cert.private_key_pem.write_to_path(folder / "key.pem")
    for part in cert.cert_chain_pems:
        part.write_to_path(folder / "cert.pem", append=True)
    boxes = ["ann@one.test", "bob@two.test"]
    with Postfix(boxes, hosts=["127.0.0.2", "127.0.0.3"], cert=folder / "cert.pem", key=folder / "key.pem") as server:
        yield server


def test_the_message_is_kept_word_for_word(mx: Postfix) -> None:
    mx.clear()
    for host, box in (("127.0.0.2", "ann@one.test"), ("127.0.0.3", "bob@two.test")):
        with smtplib.SMTP(host, mx.port, timeout=10) as client:
            client.sendmail("back@sender.test", [box], MESSAGE)
    for box in mx.mailboxes:
        (stored,) = mx.wait_messages(box)
        assert as_sent(stored) == MESSAGE
        assert reverse_path(stored) == "back@sender.test"


def test_unknown_users_and_domains_are_refused(mx: Postfix) -> None:
    with smtplib.SMTP("127.0.0.2", mx.port, timeout=10) as client:
        client.ehlo()
        client.mail("a@sender.test")
        code, text = client.rcpt("nobody@one.test")
        assert code == 550
        assert text.startswith(b"5.1.1 ")
        code, text = client.rcpt("ann@elsewhere.test")
        assert (code, text[:6]) == (554, b"5.7.1 ")


def test_starttls(mx: Postfix, tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.2", mx.port, timeout=10) as client:
        assert client.starttls(context=context)[0] == 220
        client.sendmail("", ["ann@one.test"], MESSAGE)
    assert "TLS connection established" in mx.log.read_text()
