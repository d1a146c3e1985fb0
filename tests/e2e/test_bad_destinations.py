"""Destinations that misbehave, each in its own way, beside one that does not: each gets what it deserves, and says why.

Afterwards the clock is moved: what can be tried again is, and what cannot ends with a report to its sender.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from peers.ground import free_port, wait_for
from peers.lame_dns import LameDns
from peers.nsd import Nsd
from peers.scripted_mx import DROP, GARBAGE, HANG, Script, ScriptedMX
from peers.server import Server

pytestmark = pytest.mark.slow

SENDER = "shop@sender.test"
RAW = "From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}\r\n"


def _script(**replies: bytes) -> Script:
    return Script(replies=replies)


def _self_signed() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("somebody.else.test").configure_cert(context)
    return context


REACHED = {
    "rcpt4": (_script(RCPT=b"451 4.3.0 come again"), "451 4.3.0 come again"),
    "data4": (_script(DATA=b"452 4.3.1 no room"), "452 4.3.1 no room"),
    "dot4": (_script(body=b"451 4.7.1 greylisted"), "451 4.7.1 greylisted"),
    "greet4": (_script(banner=b"450 4.3.2 not now"), "450 4.3.2 not now"),
    "greet421": (_script(banner=b"421 4.3.2 too many of you"), "421 4.3.2 too many of you"),
    "greet5": (_script(banner=b"554 5.7.1 go away"), "go away"),
    "mail421": (_script(MAIL=b"421 4.3.2 closing"), "421 4.3.2 closing"),
    "hanggreet": (_script(banner=HANG), r"4\.4\.\d .*greeting"),
    "hangdot": (_script(body=HANG), r"4\.4\.\d .*end of the message"),
    "dropdata": (Script(drop_body_after=1), r"4\.4\.2 Connection lost"),
    "dropdot": (_script(body=DROP), r"4\.4\.2 Connection lost"),
    "dropconnect": (_script(connect=DROP), r"4\.4\.2 Connection lost"),
    "garbage": (_script(banner=b"\x00\xff\xfe what is this"), r"4\.5\.0 Protocol error"),
    "garbagercpt": (_script(RCPT=b"yes, of course"), r"4\.5\.0 Protocol error"),
}
"""Destination → what its server does, and the reason that the queue shows (a pattern)."""
UNREACHED = {
    "closed": r"4\.4\.1 .*(refused|connect)",
    "a.hang.test": r"4\.4\.0 Unable to lookup DNS",
    "a.broken.test": r"4\.4\.0 Unable to lookup DNS",
}
BOUNCED = {"nxdomain.test": "5.1.2", "null.bad.test": "5.1.10", "noaddress.bad.test": "5.4.4", "gone": "5.1.1"}


@dataclass
class Neighbours:
    """A server, its destinations by name, and what was sent."""

    server: Server
    mx: dict[str, ScriptedMX]
    sent: dict[str, str] = field(default_factory=dict)

    def send(self, name: str, *, user: str = "user", body: str = "Hello") -> str:
        to = f"{user}@{name if '.' in name else f'{name}.bad.test'}"
        raw = RAW.format(sender=SENDER, to=to, subject=name, body=body).encode()
        answer = self.server.sesv2().send_email(
            FromEmailAddress=SENDER, Destination={"ToAddresses": [to]}, Content={"Raw": {"Data": raw}}
        )
        self.sent[name] = answer["MessageId"]
        return self.sent[name]

    def states(self) -> dict[str, tuple[str, str]]:
        """Destination → state and reason, for all that wait."""
        names = {message: name for name, message in self.sent.items()}
        rows = self.server.cli_json("queue", "list", "--account", "000000000000", "--limit", "1000")
        return {names[row["message"]]: (row["state"], row["reason"]) for row in rows if row["message"] in names}

    def trace(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = self.server.cli_json("trace", self.sent[name])
        return told

    def kinds(self, name: str) -> list[str]:
        return [event["kind"] for event in self.server.cli_json("events", "list", "--message", self.sent[name])]

    def advance(self, seconds: int) -> None:
        assert self.server.http("POST", "/_mailstead/clock", {"advance": seconds})[0] == 200


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, _nsd: Nsd) -> Iterator[Neighbours]:
    scripts = {name: script for name, (script, _) in REACHED.items()}
    scripts |= {
        "good": Script(),
        "two": Script(recipients={"ann@two.bad.test": b"550 5.1.1 no Ann here"}),
        "gone": _script(RCPT=b"550 5.1.1 no such user"),
        "brokentls": _script(STARTTLS=GARBAGE),
        "selfsigned": Script(tls=_self_signed()),
        "slow": Script(hang_body_after=1000),
        "sender": Script(),
    }
    with ExitStack() as stack:
        hosts = {name: f"127.0.1.{n}" for n, name in enumerate(scripts, 1)}
        port = free_port(*hosts.values())
        records = "".join(f"{name} MX 10 mx.{name}\nmx.{name} A {host}\n" for name, host in hosts.items())
        records += "closed MX 10 mx.closed\nmx.closed A 127.0.1.99\nnull MX 0 .\nnoaddress MX 10 mx.noaddress\n"
        records += f"implicit A {hosts['good']}\n"
        _nsd.set("bad.test", records)
        _nsd.set("sender.test", "@ MX 10 mx.sender.bad.test.\n")
        dns = stack.enter_context(LameDns(_nsd, silent=["hang.test"], failing=["broken.test"]))
        mx = {
            name: stack.enter_context(ScriptedMX(script, host=hosts[name], port=port))
            for name, script in scripts.items()
        }
        settings = {
            "delivery.mode": "direct",
            "delivery.port": port,
            "delivery.timeout_connect": "2s",
            "delivery.timeout_command": "3s",
            "delivery.timeout_final": "3s",
            "dns.resolver": dns.address,
            "provider.domain": "provider.test",
        }
        server = stack.enter_context(Server(tmp_path_factory.mktemp("bad") / "data", settings, dev=True))
        server.sesv2().create_email_identity(EmailIdentity="sender.test")
        yield Neighbours(server, mx)
    _nsd.clear()


@pytest.fixture(scope="module")
def tried(town: Neighbours) -> Neighbours:
    """Everything was sent, the slow and the silent first, and the good one's mail in the middle of it."""
    town.send("slow", body=("x" * 76 + "\r\n") * 60_000)
    for name in (*UNREACHED, *REACHED, *BOUNCED):
        town.send(name)
    begun = time.monotonic()
    town.send("good")
    wait_for(lambda: town.mx["good"].messages, "the good destination's mail", timeout=10)
    town.sent["good took"] = str(time.monotonic() - begun)
    for name in ("brokentls", "selfsigned", "implicit"):
        town.send(name)
    return town


def test_the_good_one_is_served_meanwhile(tried: Neighbours) -> None:
    assert float(tried.sent["good took"]) < 2
    assert tried.kinds("good") == ["Send", "Delivery"]


def test_each_bad_one_waits_and_says_why(tried: Neighbours) -> None:
    expected = {name: pattern for name, (_, pattern) in REACHED.items()} | UNREACHED

    def wrong() -> dict[str, Any]:
        states = tried.states()
        return {
            name: states.get(name)
            for name, pattern in expected.items()
            if name not in states or states[name][0] != "deferred" or not re.search(pattern, states[name][1])
        }

    try:
        wait_for(lambda: not wrong(), "all to be deferred", timeout=40)
    except TimeoutError:
        raise AssertionError(f"not as expected: {wrong()}\n{tried.server.tail(30)}") from None
    assert not [reason for _, reason in tried.states().values() if "\n" in reason]
    lanes = {row["destination"]: row["reason"] for row in tried.server.cli_json("queue", "list")}
    for name, pattern in expected.items():
        destination = name if "." in name else f"{name}.bad.test"
        assert re.search(pattern, lanes[destination]), (name, lanes[destination])


@pytest.mark.parametrize("name", BOUNCED)
def test_a_definite_refusal_bounces(tried: Neighbours, name: str) -> None:
    wait_for(lambda: tried.trace(name)["deliveries"][0]["state"] != "queued", f"{name} to end", timeout=20)
    (delivery,) = tried.trace(name)["deliveries"]
    assert delivery["state"] == "bounced", delivery
    assert BOUNCED[name] in str(delivery)
    assert tried.kinds(name) == ["Send", "Bounce"]


def test_one_of_two_recipients_is_refused(town: Neighbours) -> None:
    raw = RAW.format(sender=SENDER, to="ann@two.bad.test, bob@two.bad.test", subject="two", body="Hello").encode()
    answer = town.server.sesv2().send_email(FromEmailAddress=SENDER, Content={"Raw": {"Data": raw}})
    town.sent["two"] = answer["MessageId"]
    wait_for(lambda: {d["state"] for d in town.trace("two")["deliveries"]} == {"bounced", "delivered"}, "both ends")
    assert [message.recipients for message in town.mx["two"].messages] == [("bob@two.bad.test",)]


def test_broken_tls_falls_back_and_self_signed_will_do(tried: Neighbours) -> None:
    for name, encrypted in (("brokentls", False), ("selfsigned", True)):
        (taken,) = wait_for(lambda name=name: tried.mx[name].messages, f"mail at {name}")
        assert taken.tls is encrypted
    wait_for(lambda: len(tried.mx["good"].messages) > 1, "mail by the implicit MX")


def test_moved_clock_tries_again_and_then_gives_up(tried: Neighbours) -> None:
    before = tried.mx["rcpt4"].log.count("connect")
    tried.advance(90)
    wait_for(lambda: tried.mx["rcpt4"].log.count("connect") > before, "the second try", timeout=10)

    tried.mx["dot4"].script = Script()
    tried.advance(3700)
    wait_for(lambda: tried.mx["dot4"].messages, "mail that was greylisted")

    tried.advance(14 * 3600)
    wait_for(lambda: tried.trace("rcpt4")["deliveries"][0]["state"] == "expired", "the end of it", timeout=20)
    (delivery,) = tried.trace("rcpt4")["deliveries"]
    assert "550 4.4.7 Message expired: unable to deliver in 840 minutes.<451 4.3.0 come again>" in str(delivery)
    events = tried.server.cli_json("events", "list", "--message", tried.sent["rcpt4"])
    assert [event["kind"] for event in events] == ["Send", "DeliveryDelay", "Bounce"]
    bounce = events[-1]["detail"]
    assert (bounce["bounceType"], bounce["bounceSubType"]) == ("Transient", "General")
    (told,) = bounce["bouncedRecipients"]
    assert (told["status"], told["action"]) == ("4.4.7", "failed")

    def notices() -> list[bytes]:
        wanted = tried.sent["rcpt4"].encode()
        return [one.content for one in tried.mx["sender"].messages if wanted in one.content]

    (notice,) = wait_for(notices, "the report to the sender", timeout=20)
    assert b"Status: 4.4.7" in notice
    assert b"Final-Recipient: rfc822; user@rcpt4.bad.test" in notice

    def waiting() -> set[str]:
        return set(tried.states()) - {"slow"}  # still in the hands of the one who does not read

    try:
        wait_for(lambda: not waiting(), "every one of them to end", timeout=30)
    except TimeoutError:
        raise AssertionError(f"still there: {tried.states()}\n{tried.server.tail(20)}") from None
