"""Demo: starts Mailstead on a temporary folder, sends by API and by SMTP, receives, and proves each step.

``--once`` stops after the proof. The exit status is 0 only if every step held. Nothing leaves the machine.
"""

from __future__ import annotations

import configparser
import email
import email.policy
import json
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar

import boto3
import dkim
import dns.rdata
from botocore.config import Config

T = TypeVar("T")
SENDER, HOSTED, OUTSIDE = "sender.example", "hosted.example", "elsewhere.example"
SETTINGS = {
    "delivery.mode": "capture",
    "verification": "auto",
    "quota.new_account": "unlimited",
    "hosted.domains": HOSTED,
}
LISTENERS = ("api", "console", "tracking", "submission", "submissions", "mx", "imap", "imaps", "pop3", "pop3s")


class Broken(Exception):
    """A step did not hold; the text says how."""


def holds(fact: bool, otherwise: str) -> None:
    """A step's claim."""
    if not fact:
        raise Broken(otherwise)


def wait_for(look: Callable[[], T | None], what: str, timeout: float = 20) -> T:
    """Ask until there is an answer."""
    end = time.monotonic() + timeout
    while not (answer := look()):
        holds(time.monotonic() < end, f"no {what} within {timeout:g} s")
        time.sleep(0.05)
    return answer


class Demo:
    """One running installation and what is asked of it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.log = data.parent / "log"
        self.endpoints: dict[str, Any] = {}
        self._number = 0

    def say(self, text: str) -> None:
        """A step that held."""
        self._number += 1
        print(f"{self._number:3}. {text}", flush=True)

    def more(self, text: str) -> None:
        """What belongs to the last step."""
        print(f"     {text}", flush=True)

    # -- the server ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it on free ports and wait until it is ready."""
        words = [sys.executable, "-m", "mailstead", "serve", "--data", str(self.data)]
        for key, value in {**{f"listen.{name}": "127.0.0.1:0" for name in LISTENERS}, **SETTINGS}.items():
            words += ["--set", f"{key}={value}"]
        began = time.monotonic()
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(words, stdout=log, stderr=log)
        wait_for(self._ready, "`ready`", 30)
        self.endpoints = json.loads((self.data / "endpoints.json").read_text())
        self.credentials = configparser.ConfigParser(interpolation=None)
        self.credentials.read(self.data / "credentials")
        self.say(f"ready after {time.monotonic() - began:.1f} s, data in {self.data}")
        for name, address in self.endpoints.items():
            if isinstance(address, str):
                self.more(f"{name:12} {address}")

    def _ready(self) -> bool:
        if self.server.poll() is not None:
            raise Broken(f"the server ended with status {self.server.returncode}")
        return any(line.startswith("ready") for line in self.log.read_text(errors="replace").splitlines())

    def stop(self) -> None:
        """SIGTERM; it finishes what is in hand."""
        self.server.terminate()
        holds(self.server.wait(30) == 0, f"it stopped with status {self.server.returncode}")

    def command(self, *words: str) -> str:
        """``mailstead WORDS`` beside the running server."""
        done = subprocess.run(
            [sys.executable, "-m", "mailstead", *words, "--data", str(self.data)],
            capture_output=True,
            timeout=60,
            check=False,
        )
        holds(done.returncode == 0, f"mailstead {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode("utf-8", "surrogateescape")

    def _address(self, listener: str) -> tuple[str, int]:
        host, _, port = str(self.endpoints[listener]).rpartition(":")
        return host, int(port)

    # -- the steps ----------------------------------------------------------------------------------------------------

    def identity(self) -> None:
        """An identity of our own, as an application would make it."""
        client = self._sesv2()
        client.create_email_identity(EmailIdentity=SENDER)
        wait_for(lambda: client.get_email_identity(EmailIdentity=SENDER)["VerifiedForSendingStatus"], "verification")
        self.say(f"identity {SENDER} made with boto3 and verified")
        self.zone = self._zone()
        self.more(f"`mailstead dns records` tells what to publish: {', '.join(sorted(self.zone))}")

    def by_api(self) -> None:
        """One message with boto3 (SES v2)."""
        body = {"Text": {"Data": "First light. 안녕하세요"}, "Html": {"Data": "<p>First light. 안녕하세요</p>"}}
        answer = self._sesv2().send_email(
            FromEmailAddress=f"Ann <ann@{SENDER}>",
            Destination={"ToAddresses": [f"bob@{OUTSIDE}"]},
            Content={"Simple": {"Subject": {"Data": "By API ✓"}, "Body": body}},
        )
        self.say(f"boto3 sesv2 send_email: accepted, MessageId {answer['MessageId']}")
        self._follow(answer["MessageId"], "By API ✓")

    def by_smtp(self) -> None:
        """One message with SMTP, STARTTLS and AUTH."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = f"ann@{SENDER}", f"bob@{OUTSIDE}", "By SMTP"
        message.set_content("First light.\n")
        trust = ssl.create_default_context(cafile=str(self.data / "tls" / "cert.pem"))
        with smtplib.SMTP(*self._address("submission"), timeout=20) as client:
            client.starttls(context=trust)
            client.login(self.credentials["mailstead"]["smtp_username"], self.credentials["mailstead"]["smtp_password"])
            client.mail(f"ann@{SENDER}")
            client.rcpt(f"bob@{OUTSIDE}")
            code, text = client.data(message.as_bytes())
        holds(code == 250, f"DATA was answered {code} {text.decode()}")
        self.say(f"SMTP: STARTTLS, AUTH, then {code} {text.decode()}")
        self._follow(text.decode().rpartition(" ")[2], "By SMTP")

    def refused(self) -> None:
        """What is not ours is not sent."""
        client = self._sesv2()
        try:
            client.send_email(
                FromEmailAddress=f"eve@{OUTSIDE}",
                Destination={"ToAddresses": [f"bob@{OUTSIDE}"]},
                Content={"Simple": {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}},
            )
        except client.exceptions.MessageRejected as error:
            self.say(f"an unverified sender is refused: {error.response['Error']['Message']}")
        else:
            raise Broken("an unverified sender was let in")

    def receive(self) -> None:
        """One message from outside for the hosted domain; others are refused."""
        with smtplib.SMTP(*self._address("mx"), timeout=20) as client:
            client.ehlo(OUTSIDE)
            client.mail(f"bob@{OUTSIDE}")
            nobody, text = client.rcpt(f"nobody@{HOSTED}")
            relay, _ = client.rcpt(f"bob@{OUTSIDE}")
            holds(nobody == relay == 550, f"RCPT was answered {nobody} and {relay}, not 550")
            holds(client.rcpt(f"postmaster@{HOSTED}")[0] == 250, "RCPT for postmaster was refused")
            message = f"From: bob@{OUTSIDE}\r\nTo: postmaster@{HOSTED}\r\nSubject: Hello\r\n\r\nHello.\r\n"
            code, answer = client.data(message)
        holds(code == 250, f"DATA was answered {code} {answer.decode()}")
        self.say(f"received for postmaster@{HOSTED}: {code} {answer.decode()}")
        self.more(f"nobody@{HOSTED} was refused: {nobody} {text.decode()}")

    def _follow(self, message_id: str, subject: str) -> None:
        wait_for(lambda: "Delivery" in self._events(message_id), f"Delivery event of {message_id}")
        self.more(f"events: {', '.join(self._events(message_id))}")
        content = self._content(message_id)
        found = email.message_from_bytes(content, policy=email.policy.default)["Subject"]
        holds(found == subject, f"the captured message has the subject {found!r}")
        signer = dkim.DKIM(content)
        signatures = sum(name.lower() == b"dkim-signature" for name, _ in signer.headers)
        good = [domain for index in range(signatures) if (domain := self._verify(signer, index))]
        holds(SENDER in good, f"dkimpy found no good signature of {SENDER}")
        self.more(
            f"captured as it would have left, {len(content)} bytes; dkimpy verifies the signature of {', '.join(good)}"
        )

    # -- asking -------------------------------------------------------------------------------------------------------

    def _sesv2(self) -> Any:
        profile = self.credentials["default"]
        return boto3.session.Session().client(
            "sesv2",
            region_name="us-east-1",
            endpoint_url=self.endpoints["api"],
            aws_access_key_id=profile["aws_access_key_id"],
            aws_secret_access_key=profile["aws_secret_access_key"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def _events(self, message_id: str) -> list[str]:
        return [
            event["kind"] for event in json.loads(self.command("events", "list", "--message", message_id, "--json"))
        ]

    def _content(self, message_id: str) -> bytes:
        return self.command("trace", message_id, "--raw").encode("utf-8", "surrogateescape")

    def _verify(self, signer: dkim.DKIM, index: int) -> str:
        """The domain of a signature that holds; empty if it does not."""
        if not signer.verify(idx=index, dnsfunc=lambda name, timeout=5: self.zone.get(name.decode().rstrip("."))):
            return ""
        return signer.domain.decode()

    def _zone(self) -> dict[str, bytes]:
        """The TXT records that the identity's owner publishes: name → text."""
        found = {}
        for line in self.command("dns", "records", SENDER).splitlines():
            name, _, _, kind, data = line.split(None, 4)
            if kind == "TXT":
                found[name.rstrip(".")] = b"".join(dns.rdata.from_text("IN", "TXT", data).strings)
        return found


def prove(demo: Demo) -> None:
    """Every step, in order."""
    demo.start()
    for step in (demo.identity, demo.by_api, demo.by_smtp, demo.refused, demo.receive):
        step()


def stay(demo: Demo) -> None:
    """Stay up until Ctrl-C."""
    print(f"\nEvery step held. Up until Ctrl-C; AWS_SHARED_CREDENTIALS_FILE={demo.data / 'credentials'}")
    if "console" in demo.endpoints:
        print(f"Console: {demo.endpoints['console']}")
    print(f"Try: aws ses get-send-quota --endpoint-url {demo.endpoints['api']} --region us-east-1", flush=True)
    try:
        demo.server.wait()
    except KeyboardInterrupt:
        print("\nstopping")


def main(words: list[str]) -> int:
    """Run the demo."""
    with tempfile.TemporaryDirectory(prefix="mailstead-demo-") as folder:
        demo = Demo(Path(folder) / "data")
        try:
            prove(demo)
            if "--once" not in words:
                stay(demo)
            demo.stop()
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            print(f"\nThis step did not hold: {type(error).__name__}: {error}", file=sys.stderr)
            if demo.log.exists():
                print(f"The server's log ends with:\n{demo.log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
            return 1
        finally:
            if hasattr(demo, "server") and demo.server.poll() is None:
                demo.server.kill()
                demo.server.wait()
    print("\nEvery step held.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
