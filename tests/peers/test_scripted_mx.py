"""Our bad neighbour misbehaves exactly as it is told."""

from __future__ import annotations

import smtplib
import socket
import ssl

import pytest
import trustme

from peers.scripted_mx import DROP, GARBAGE, HANG, Script, ScriptedMX

pytestmark = pytest.mark.slow
MESSAGE = b"Subject: x\r\n\r\n.dot\r\n"


def client_of(mx: ScriptedMX, timeout: float = 5) -> smtplib.SMTP:
    return smtplib.SMTP(mx.host, mx.port, timeout=timeout)


def test_an_ordinary_message_is_taken() -> None:
    with ScriptedMX() as mx:
        with client_of(mx) as client:
            client.sendmail("a@sender.test", ["b@one.test"], MESSAGE)
        (taken,) = mx.messages
        assert (taken.sender, taken.recipients, taken.content) == ("a@sender.test", ("b@one.test",), MESSAGE)
        assert mx.log[0] == "connect"
        assert "QUIT" in [line.upper() for line in mx.log]


def test_each_recipient_has_its_reply() -> None:
    script = Script(recipients={"gone@one.test": b"550 5.1.1 no"}, replies={"body": b"451 4.3.0 later"})
    with ScriptedMX(script) as mx, client_of(mx) as client:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail("a@sender.test", ["b@one.test", "gone@one.test"], MESSAGE)
        assert caught.value.smtp_code == 451
        assert mx.messages == []


def test_it_drops_inside_the_content() -> None:
    with ScriptedMX(Script(drop_body_after=1000)) as mx, client_of(mx) as client:
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            client.sendmail("a@sender.test", ["b@one.test"], b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 100_000)
        assert mx.messages == []


@pytest.mark.parametrize("step", ["banner", "MAIL", "body"])
def test_it_hangs(step: str) -> None:
    stuck = (TimeoutError, smtplib.SMTPServerDisconnected)
    with ScriptedMX(Script(replies={step: HANG})) as mx, pytest.raises(stuck), client_of(mx, 0.3) as client:
        client.sendmail("a@sender.test", ["b@one.test"], MESSAGE)


def test_it_closes_with_421_or_before_the_banner() -> None:
    with ScriptedMX(Script(replies={"banner": b"421 4.3.2 busy"})) as mx:
        with socket.create_connection((mx.host, mx.port), timeout=5) as plain:
            assert plain.makefile("rb").read() == b"421 4.3.2 busy\r\n"
        mx.script = Script(replies={"connect": DROP})
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            client_of(mx)


def test_broken_and_working_tls() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("scripted.test").configure_cert(context)
    lax = ssl.create_default_context()
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    with ScriptedMX(Script(replies={"STARTTLS": GARBAGE})) as mx, client_of(mx) as client:
        with pytest.raises(ssl.SSLError):
            client.starttls(context=lax)
        client.close()
        mx.script = Script(tls=context)
        with client_of(mx) as working:
            working.starttls(context=lax)
            working.sendmail("a@sender.test", ["b@one.test"], MESSAGE)
        assert mx.messages[0].tls
