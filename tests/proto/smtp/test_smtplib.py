"""Python's own SMTP client judges the server engine, over a real socket and real TLS."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import trustme

from mailstead.proto.sasl import Credentials
from mailstead.proto.smtp.command import Quit, Rcpt
from mailstead.proto.smtp.dialogue import Offer, mx_offer, submission_offer
from mailstead.proto.smtp.reply import Reply
from mailstead.proto.smtp.server import Content, ServerEngine, TlsWanted

SES = submission_offer("localhost", "localhost ESMTP SimpleEmailService-d-ABC abc", max_message=100_000)
MX = mx_offer("localhost", "localhost ESMTP", max_message=100_000)


class Door(threading.Thread):
    """One listening socket, one session at a time, blocking: as little as can be around the engine."""

    def __init__(self, offer: Offer, context: ssl.SSLContext) -> None:
        super().__init__(daemon=True)
        self.offer, self.context = offer, context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.contents: list[bytes] = []

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.settimeout(10)
            with peer:
                self.serve(peer)

    def serve(self, peer: socket.socket) -> None:
        engine = ServerEngine(self.offer)
        engine.greet()
        self.talk(engine, peer)

    def talk(self, engine: ServerEngine, peer: socket.socket) -> None:
        while True:
            shake = False
            while (event := engine.next_event()) is not None:
                shake = shake or isinstance(event, TlsWanted)
                if not isinstance(event, Quit):
                    engine.answer(self.decide(engine, event))
            peer.sendall(engine.output())
            if engine.closed:
                return
            if shake:
                with self.context.wrap_socket(peer, server_side=True) as secure:
                    engine.tls_started(secure.version() or "", (secure.cipher() or ("",))[0])
                    self.talk(engine, secure)
                return
            data = peer.recv(65536)
            if not data:
                return
            engine.receive(data)

    def decide(self, engine: ServerEngine, event: object) -> Reply:
        words = engine.offer.words
        match event:
            case TlsWanted():
                return words.ready_for_tls
            case Credentials(username="user", password="password"):
                return words.auth_ok
            case Credentials():
                return words.auth_failed
            case Rcpt(address="nobody@x.example"):
                return Reply(550, "user unknown", "5.1.1")
            case Content(data=data):
                self.contents.append(data)
        return words.ok


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=["ses", "mx"])
def door(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[Door]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    door = Door(SES if request.param == "ses" else replace(MX, auth=("PLAIN", "LOGIN"), require_auth=True), context)
    door.start()
    yield door
    door.listener.shutdown(socket.SHUT_RDWR)
    door.listener.close()
    door.join(10)


# Bytes go out of smtplib with the newlines they have: here LF alone, too.
MESSAGE = "Subject: é\r\n\r\n.dot\r\n..\r\nend\n.\n".encode()
ARRIVED = "Subject: é\r\n\r\n.dot\r\n..\r\nend\r\n.\r\n\r\n".encode()


@pytest.mark.parametrize("method", ["auth_plain", "auth_login"])
def test_smtplib(door: Door, trusting: ssl.SSLContext, method: str) -> None:
    with smtplib.SMTP("localhost", door.port, timeout=10) as client:
        client.starttls(context=trusting)
        client.ehlo()
        assert client.esmtp_features["auth"].strip() == "PLAIN LOGIN"
        client.user, client.password = "user", "password"
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            client.sendmail("a@x.example", "b@x.example", MESSAGE)
        assert caught.value.smtp_code == 530
        code, _ = client.auth(method[5:].upper(), getattr(client, method))
        assert code == 235
        refused = client.sendmail("a@x.example", ["b@x.example", "nobody@x.example"], MESSAGE)
        assert refused == {"nobody@x.example": (550, b"5.1.1 user unknown")}
        client.sendmail("a@x.example", "b@x.example", MESSAGE)
        with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPSenderRefused)) as too_large:
            client.sendmail("a@x.example", "b@x.example", b"x\r\n" * 40_000)
        assert too_large.value.smtp_code == 552
        assert client.noop()[0] == client.rset()[0] == 250
    assert door.contents == [ARRIVED, ARRIVED]


def test_wrong_password(door: Door, trusting: ssl.SSLContext) -> None:
    with smtplib.SMTP("localhost", door.port, timeout=10) as client:
        client.starttls(context=trusting)
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            client.login("user", "wrong")
        assert caught.value.smtp_code == 535


def test_smtplib_sends_smtputf8(authority: trustme.CA) -> None:
    door = Door(MX, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    door.start()
    with smtplib.SMTP("127.0.0.1", door.port, timeout=10) as client:
        client.sendmail("é@x.example", "한@x.example", MESSAGE, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    door.listener.shutdown(socket.SHUT_RDWR)
    door.listener.close()
    assert door.contents == [ARRIVED]
