"""Load: several clients at once that hand messages in, and write down each one that was answered.

Every message carries an X-Test-Id of its own. A client whose server goes away waits until it is back and goes on with
its next message: what was not answered is not promised.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from peers.server import Server

SENDER = "load@sender.test"
_HEAD = "From: {sender}\r\nTo: {to}\r\nSubject: load\r\nX-Test-Id: {id}\r\n\r\n"
_BODY = "What is promised must arrive, whatever happens to the one who promised.\r\n" * 12
_BROKEN = ("Could not connect", "Connection", "Unable to parse response")
"""What botocore says of a connection that broke; the last one: behind the header of an answer."""
GONE = (OSError, EOFError, smtplib.SMTPException)


@dataclass(frozen=True)
class Answered:
    """A message that the server took."""

    test_id: str
    recipient: str
    answer: str
    at: float


class Load:
    """``load = Load(server, 400, recipients, tag="7"); load.start(); …; load.join()``; ``load.answered`` is the log."""

    def __init__(
        self, server: Server, count: int, recipients: Sequence[str], *, tag: str, raw: int = 3, body: str = _BODY
    ) -> None:
        self.answered: list[Answered] = []
        self.refused: list[str] = []
        """Replies that were neither yes nor a broken connection."""
        self.attempted = 0
        self._server = server
        self._recipients = recipients
        self._tag = tag
        self._body = body
        self._count = count
        self._numbers = iter(range(count))
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        clients = [self._smtplib, self._v2, self._v1, *[self._raw] * raw]
        self._threads = [threading.Thread(target=self._client, args=(one,), daemon=True) for one in clients]

    def start(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Begin no more messages."""
        self._stopping.set()

    def join(self, timeout: float = 120) -> None:
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.1, end - time.monotonic()))
            assert not thread.is_alive(), f"a client hangs; {len(self.answered)} of {self._count} answered"

    # -- the log

    def _next(self) -> tuple[str, str] | None:
        if self._stopping.is_set():
            return None
        with self._lock:
            number = next(self._numbers, None)
            if number is None:
                return None
            self.attempted += 1
        return f"{self._tag}-{number}", self._recipients[number % len(self._recipients)]

    def _note(self, test_id: str, recipient: str, answer: str) -> None:
        self.answered.append(Answered(test_id, recipient, answer, time.time()))

    def _refuse(self, answer: str) -> None:
        self.refused.append(answer)

    def _text(self, test_id: str, recipient: str) -> bytes:
        return (_HEAD.format(sender=SENDER, to=recipient, id=test_id) + self._body).encode()

    # -- the clients

    def _client(self, kind: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                kind()
                return
            except GONE:
                time.sleep(0.05)
            except Exception as error:
                if not any(words in str(error) for words in _BROKEN):
                    self._refuse(f"{type(error).__name__}: {error}")
                time.sleep(0.05)

    def _smtplib(self) -> None:
        """Python's own client, with STARTTLS and a password."""
        with contextlib.closing(smtplib.SMTP(*self._server.address("submission"), timeout=30)) as client:
            client.starttls()
            client.login(*self._server.smtp_login)
            while (job := self._next()) is not None:
                try:
                    client.mail(SENDER)
                    client.rcpt(job[1])
                    code, text = client.data(self._text(*job))
                except smtplib.SMTPDataError as error:
                    code, text = error.smtp_code, error.smtp_error
                if code == 250:
                    self._note(*job, text.decode())
                else:
                    self._refuse(f"{code} {text!r}")
                    client.rset()

    def _raw(self) -> None:
        """A relay that pipelines, from a trusted network."""
        with socket.create_connection(self._server.address("submission"), timeout=30) as sock:
            stream = sock.makefile("rb")
            _replies(stream, 1)
            sock.sendall(b"EHLO load.test\r\n")
            _replies(stream, 1)
            while (job := self._next()) is not None:
                sock.sendall(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{job[1]}>\r\nDATA\r\n".encode())
                answers = _replies(stream, 3)
                if not answers[2].startswith("354"):
                    self._refuse(answers[2])
                    sock.sendall(b"RSET\r\n")
                    _replies(stream, 1)
                    continue
                sock.sendall(self._text(*job) + b".\r\n")
                answer = _replies(stream, 1)[0]
                if answer.startswith("250"):
                    self._note(*job, answer)
                else:
                    self._refuse(answer)

    def _api(self, send: Callable[[str, bytes], Any]) -> None:
        while (job := self._next()) is not None:
            self._note(*job, send(job[1], self._text(*job))["MessageId"])

    def _v2(self) -> None:
        client = self._server.sesv2()
        self._api(
            lambda to, data: client.send_email(
                FromEmailAddress=SENDER, Destination={"ToAddresses": [to]}, Content={"Raw": {"Data": data}}
            )
        )

    def _v1(self) -> None:
        client = self._server.ses()
        self._api(lambda to, data: client.send_raw_email(Source=SENDER, Destinations=[to], RawMessage={"Data": data}))


def _replies(stream: Any, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        line = stream.readline()
        if not line:
            raise EOFError("the server has gone")
        if line[3:4] == b" ":
            found.append(line.decode().strip())
    return found
