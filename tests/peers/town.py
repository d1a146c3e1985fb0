"""Town: the product as its users run it, between a real DNS server and a real Postfix; what arrived can be judged.

``one.test`` and ``two.test`` are destinations, ``sender.test`` is the verified domain that mail comes from (its own
mailbox ``shop@sender.test`` gets the bounces), ``provider.test`` is the provider's.
"""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import dkim
import dns.message
import dns.query

from peers.ground import tail, wait_for
from peers.nsd import Nsd
from peers.postfix import Postfix, as_sent, reverse_path
from peers.server import Server

PROVIDER = "provider.test"
HOSTNAME = "mail.provider.test"
SENDER = "shop@sender.test"
IDN = "例え.テスト"
IDN_ASCII = "xn--r8jz45g.xn--zckzah"
BOXES = (
    "ann@one.test",
    "bob@one.test",
    "carol@two.test",
    SENDER,
    f"user@{IDN_ASCII}",
    "eve@aonly.test",
    "dan@back.test",
)
ZONES = {
    "one.test": "@ MX 10 mx\nmx A 127.0.0.2\n",
    "two.test": "@ MX 10 mx\nmx A 127.0.0.3\n",
    "sender.test": "@ MX 10 mx.one.test.\n",
    IDN_ASCII: "@ MX 10 mx.one.test.\n",
    "aonly.test": "@ A 127.0.0.3\n",
    "back.test": "@ MX 10 dead\n@ MX 20 mx.two.test.\ndead A 127.0.0.4\n",  # nobody listens on 127.0.0.4
    "nomail.test": "@ MX 0 .\n@ A 127.0.0.2\n",
    "lost.test": "@ MX 10 nowhere\n",
}


@dataclass(frozen=True)
class Arrived:
    """A message as a destination took it."""

    content: bytes
    """As it came over the wire."""
    reverse_path: str

    @property
    def head(self) -> bytes:
        """The header with its last CRLF."""
        return self.content.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def body(self) -> bytes:
        """Everything behind the blank line."""
        return self.content.partition(b"\r\n\r\n")[2]

    @property
    def names(self) -> list[str]:
        """Names of the header fields, in order."""
        return [name for name, _ in email.message_from_bytes(self.content).items()]

    @property
    def parsed(self) -> EmailMessage:
        """As the standard library reads it."""
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message


class Town:
    """``with Town(folder) as town: …``: everything runs."""

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None, *, dev: bool = False) -> None:
        self.dns = Nsd(ZONES)
        self.mx = Postfix(BOXES, hosts=["127.0.0.2", "127.0.0.3"])
        self.server = Server(folder / "data", dev=dev)
        self._settings = dict(settings or {})

    def __enter__(self) -> Town:
        self.dns.__enter__()
        try:
            self.mx.__enter__()
            try:
                self._begin()
            except BaseException:
                self.mx.__exit__()
                raise
        except BaseException:
            self.dns.__exit__()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.server.__exit__()
        self.mx.__exit__()
        self.dns.__exit__()

    def _begin(self) -> None:
        self.server.settings = {
            "delivery.mode": "direct",
            "delivery.port": self.mx.port,
            "delivery.allow_private_hosts": True,
            "delivery.timeout_connect": "3s",
            "dns.resolver": self.dns.address,
            "provider.domain": PROVIDER,
            "server.hostname": HOSTNAME,
            "verification": "auto",
            "regions": ["us-east-1", "eu-west-1"],
            "quota.new_account": "unlimited",
            **self._settings,
        }
        self.server.start()
        self.server.sesv2().create_email_identity(EmailIdentity="sender.test")
        # Scenarios share the town: what bounced in one must not be kept back in the next.
        self.server.sesv2().put_account_suppression_attributes(SuppressedReasons=[])
        self.publish("sender.test")
        self.publish(PROVIDER)

    # -- DNS

    def publish(self, domain: str) -> None:
        """Put into the zone what ``mailstead dns records`` says."""
        lines = self.server.cli("dns", "records", domain).stdout
        self.dns.add(lines)

    def txt(self, name: bytes, timeout: float = 5) -> bytes | None:
        """A TXT record, asked of the real DNS server (what dkimpy calls)."""
        question = dns.message.make_query(name.decode(), "TXT")
        answer = dns.query.udp(question, self.dns.host, timeout=timeout, port=self.dns.port)
        for rrset in answer.answer:
            for record in rrset:
                return b"".join(record.strings)
        return None

    def signers(self, content: bytes) -> list[str]:
        """The domain of every signature, from the top; each was verified by dkimpy with the key in the zone."""
        count = email.message_from_bytes(content).get_all("DKIM-Signature", [])
        found = []
        for index in range(len(count)):
            judge = dkim.DKIM(content)
            assert judge.verify(idx=index, dnsfunc=self.txt), f"signature {index} does not verify:\n{content[:3000]!r}"
            found.append(judge.domain.decode())
        return found

    # -- sending

    @property
    def keys(self) -> tuple[str, str]:
        """Access key and secret of the first account."""
        profile = self.server.credentials["default"]
        return profile["aws_access_key_id"], profile["aws_secret_access_key"]

    def password(self, region: str = "us-east-1") -> str:
        """The SMTP password of a region, derived as users derive it."""
        return smtp_password(self.keys[1], region)

    def smtp(self, region: str = "us-east-1", *, login: bool = True, tls: bool = True) -> smtplib.SMTP:
        """smtplib on the submission door, TLS verified, logged in."""
        client = smtplib.SMTP(*self.server.address("submission"), timeout=20)
        try:
            if tls:
                client.starttls(context=self.trusting())
            if login:
                client.login(self.keys[0], self.password(region))
        except BaseException:
            client.close()
            raise
        return client

    def trusting(self) -> ssl.SSLContext:
        """A client's context that verifies the server's own certificate."""
        return ssl.create_default_context(cafile=str(self.server.ca_file))

    def submit(
        self, content: bytes, sender: str = SENDER, to: str = "ann@one.test", *, region: str = "us-east-1"
    ) -> str:
        """Hand a message in by SMTP; the reply behind the final dot, ``250 Ok ID``."""
        with self.smtp(region) as client:
            return speak(client, sender, [to], content)

    # -- what became of it

    def find(self, box: str, message_id: str) -> Arrived | None:
        """The message in a mailbox, if it is there."""
        wanted = f"Message-ID: <{message_id}@".encode()
        for stored in self.mx.messages(box):
            if wanted in stored:
                return Arrived(as_sent(stored), reverse_path(stored))
        return None

    def arrived(self, box: str, message_id: str, *, timeout: float = 15) -> Arrived:
        """Wait for the message in a mailbox."""
        return self._wait(lambda: self.find(box, message_id), f"{message_id} in {box}", timeout)

    def notice(self, box: str, message_id: str, *, timeout: float = 15) -> Arrived:
        """Wait for the bounce about a message in its sender's mailbox."""

        def look() -> Arrived | None:
            for stored in self.mx.messages(box):
                if b"report-type=delivery-status" in stored and message_id.encode() in stored:
                    return Arrived(as_sent(stored), reverse_path(stored))
            return None

        return self._wait(look, f"the bounce of {message_id} in {box}", timeout)

    def _wait(self, look: Any, what: str, timeout: float) -> Any:
        try:
            return wait_for(look, what, timeout=timeout)
        except TimeoutError as error:
            told = f"{self.server.tail(20)}\nPostfix:\n{tail(self.mx.log, 20)}"
            raise AssertionError(f"{error}; the server says:\n{told}") from None

    def events(self, message_id: str) -> list[dict[str, Any]]:
        """The events of a message."""
        listed: list[dict[str, Any]] = self.server.cli_json("events", "list", "--message", message_id)
        return listed

    def trace(self, message_id: str) -> dict[str, Any]:
        """The whole life of a message."""
        told: dict[str, Any] = self.server.cli_json("trace", message_id)
        return told

    def ended(self, message_id: str, *, timeout: float = 20) -> dict[str, Any]:
        """Wait until every recipient has been settled; the trace."""

        def look() -> dict[str, Any] | None:
            told = self.trace(message_id)
            states = {one["state"] for one in told["deliveries"]}
            return told if states <= {"delivered", "bounced", "expired"} else None

        found: dict[str, Any] = self._wait(look, f"the end of {message_id}", timeout)
        return found


def speak(client: smtplib.SMTP, sender: str, to: list[str], content: bytes) -> str:
    """One transaction in the client's own words; the reply behind the dot, or the first refusal before it."""
    steps = [client.docmd("MAIL", f"FROM:<{sender}>"), *(client.docmd("RCPT", f"TO:<{one}>") for one in to)]
    for code, text in steps:
        if code != 250:
            client.rset()
            return f"{code} {text.decode()}"
    code, text = client.data(content)
    return f"{code} {text.decode()}"


def id_of(reply: str) -> str:
    """The MessageId in ``250 Ok ID``."""
    assert reply.startswith("250 Ok "), reply
    return reply.removeprefix("250 Ok ")


def smtp_password(secret: str, region: str) -> str:
    """SES: smtp §3."""
    key = f"AWS4{secret}".encode()
    for word in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        key = hmac.digest(key, word.encode(), hashlib.sha256)
    return base64.b64encode(b"\x04" + key).decode()
