"""The capture and the simulator: agents that take mail nowhere; and the signatures that go in front of it."""

from __future__ import annotations

import dkim
import msgspec
import pytest

from mailstead.outbound.agents import Attempt, Parcel, Route
from mailstead.outbound.capture import CaptureAgent
from mailstead.outbound.signing import Signing
from mailstead.outbound.simulator import SimulatorAgent, is_simulator
from mailstead.proto.message import Message
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import dkim_keys, identities
from mailstead.store import captures, spool
from peers.yard import ACCOUNT, RAW, REGION, Yard

SIMULATOR = "simulator.amazonses.com"


def parcel(name: str, *to: str) -> Parcel:
    head, _, body = RAW.partition(b"\r\n\r\n")
    return Parcel(name, ACCOUNT, "v@p", to, b"DKIM-Signature: x\r\n", head + b"\r\n", b"\r\n" + body, "2025.06.15")


# -- the simulator


@pytest.mark.parametrize(
    ("address", "reply"),
    [
        (f"success@{SIMULATOR}", Reply(250, "OK")),
        (f"Success+Label@{SIMULATOR.upper()}", Reply(250, "OK")),
        (f"bounce@{SIMULATOR}", Reply(550, "user unknown", "5.1.1")),
        (f"bounce+a+b@{SIMULATOR}", Reply(550, "user unknown", "5.1.1")),
        (f"ooto@{SIMULATOR}", Reply(250, "OK")),
        (f"complaint@{SIMULATOR}", Reply(250, "OK")),
        (f"nobody@{SIMULATOR}", Reply(550, "mailbox unavailable", "5.1.1")),
    ],
)
def test_what_the_simulator_says(yard: Yard, address: str, reply: Reply) -> None:
    attempt = yard.wait(SimulatorAgent().attempt(Route("simulator", "simulator:"), parcel("m", address)))
    assert attempt.replies == {address: reply}
    assert attempt.reached


def test_whose_addresses_are_the_simulators() -> None:
    assert is_simulator(f"x@{SIMULATOR.title()}")
    assert not is_simulator(f"x@sub.{SIMULATOR}")
    assert not is_simulator(f"{SIMULATOR}@example.com")
    assert not is_simulator("")


# -- the capture


def capture(yard: Yard, one: Parcel) -> Attempt:
    return yard.wait(CaptureAgent(yard.runtime).attempt(Route("capture", "capture:"), one))


def captured(yard: Yard, name: str) -> tuple[list[str], bytes]:
    found = yard.ground.read(lambda tx: captures.find(tx, name))
    assert found is not None
    return msgspec.json.decode(found.recipients_json), yard.wait(yard.blobs.get(found.blob))


def test_what_is_captured_is_what_would_have_left(yard: Yard) -> None:
    name = yard.put("a@one.example", "b@two.example")
    attempt = capture(yard, parcel(name, "a@one.example", "b@two.example"))
    assert {reply.code for reply in attempt.replies.values()} == {250}
    assert sorted(attempt.replies) == ["a@one.example", "b@two.example"]
    recipients, content = captured(yard, name)
    assert recipients == ["a@one.example", "b@two.example"]
    header, _, body = RAW.partition(b"\r\n\r\n")
    outgoing = b"X-SES-Outgoing: 2025.06.15-127.0.0.1"
    assert content == b"DKIM-Signature: x\r\n" + header + b"\r\n" + outgoing + b"\r\n\r\n" + body


def test_twice_is_once_and_other_recipients_are_added(yard: Yard) -> None:
    name = yard.put("a@one.example", "b@two.example")
    for to in (("a@one.example",), ("a@one.example",), ("b@two.example", "a@one.example")):
        capture(yard, parcel(name, *to))
    assert captured(yard, name)[0] == ["a@one.example", "b@two.example"]
    assert yard.rows("SELECT count(*) FROM captures") == [(1,)]


def test_a_capture_outlives_its_delivery(yard: Yard) -> None:
    name = yard.submit("a@one.example")
    yard.script._answer = None  # type: ignore[assignment]
    agent = CaptureAgent(yard.runtime)
    yard.deliverer._agents = {"scripted": agent}
    yard.deliver()
    assert yard.states(name) == [("a@one.example", "delivered")]
    assert b"Subject: hello" in captured(yard, name)[1]
    assert yard.rows("SELECT key FROM blobs") == [(f"captured-{name}",)]


# -- signatures


def verified(content: bytes, records: dict[str, str]) -> list[bool]:
    """What dkimpy says of each signature, from the top."""

    def dns(name: bytes, timeout: int = 5) -> bytes:
        return records[name.decode().rstrip(".")].encode()

    count = content.lower().count(b"\r\ndkim-signature:") + content.lower().startswith(b"dkim-signature:")
    return [dkim.DKIM(content).verify(idx=n, dnsfunc=dns) for n in range(count)]


def sign(yard: Yard, signing: Signing, name: str, domain: str) -> bytes:
    message = yard.ground.read(lambda tx: spool.read(tx, name))
    assert message is not None
    signed = spool.Message(
        **{field: getattr(message, field) for field in spool.Message.__slots__} | {"signing_domain": domain}
    )
    content = yard.wait(yard.blobs.get(message.blob))
    return yard.wait(signing.sign(signed, Message.parse(content))) + content


def published(yard: Yard, *domains: tuple[str, str, str]) -> dict[str, str]:
    records = {}
    for account, region, domain in domains:
        keys = yard.ground.read(
            lambda tx, account=account, region=region, domain=domain: dkim_keys.list_keys(tx, account, region, domain)
        )
        records |= {record.name: record.data for record in dkim_keys.key_records(keys)}
    return records


def test_the_identity_signs_first_and_the_provider_second(yard: Yard) -> None:
    vault = yard.ground.vault
    setup = identities.easy_dkim(vault, ACCOUNT, REGION, "signed.example", key_length="RSA_1024_BIT")
    ours = dkim_keys.generate(vault, "", "", "provider.example", selector="m1", bits=1024)
    yard.run(lambda tx: identities.create(tx, ACCOUNT, REGION, "signed.example", verified=True, dkim=setup))
    yard.run(lambda tx: dkim_keys.insert(tx, "", "", "provider.example", ours))
    signing = Signing(yard.runtime, "provider.example")
    try:
        name = yard.submit("a@one.example")
        content = sign(yard, signing, name, "signed.example")
        records = published(yard, (ACCOUNT, REGION, "signed.example"), ("", "", "provider.example"))
        assert verified(content, records) == [True, True]
        first, second = (field for field in Message.parse(content).fields if field.lname == b"dkim-signature")
        parsed = Message.parse(content)
        assert b"d=signed.example" in parsed.raw(first)
        assert b"d=provider.example" in parsed.raw(second)
        assert b"Feedback-ID" in parsed.raw(second)
        assert b"Feedback-ID" not in parsed.raw(first)
        # The same attempt again: the same signature, until the message is done.
        assert sign(yard, signing, name, "signed.example") == content
        signing.forget(name)
        assert verified(sign(yard, signing, name, "signed.example"), records) == [True, True]
    finally:
        yard.ground.loop.run_until_complete(signing.close())


def test_who_has_no_key_signs_nothing(yard: Yard) -> None:
    name = yard.put("a@one.example")
    assert sign(yard, yard.signing, name, "") == RAW
    assert sign(yard, yard.signing, name, "example.com") == RAW
