"""MX: what a good receiving server says and takes, to smtplib and to raw sockets (RFC 5321, SES: receiving §9)."""

from __future__ import annotations

import json
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstead.base.ids import message_id
from mailstead.store import arrivals
from mailstead.store.arrivals import Arrival
from peers import clients
from peers.doors import ACCOUNT, HOST, OTHER, PROVIDER, Doors, Raw

MESSAGE = b"From: a@example.org\r\nTo: postmaster@hosted.test\r\nSubject: hello\r\n\r\nbody\r\n"
OK = re.compile(r"250 2\.0\.0 OK ([a-z2-7]{40})")


@pytest.fixture
def client(doors: Doors) -> Iterator[Raw]:
    """Behind EHLO."""
    with doors.raw("mx") as raw:
        raw.reply()
        raw.ask("EHLO mail.example.org")
        yield raw


def send(raw: Raw, content: bytes = MESSAGE, *to: str, sender: str = "a@example.org") -> str:
    assert raw.ask(f"MAIL FROM:<{sender}>") == "250 2.1.0 Ok"
    for recipient in to or ("postmaster@hosted.test",):
        assert raw.ask(f"RCPT TO:<{recipient}>") == "250 2.1.5 Ok"
    assert raw.ask("DATA") == "354 End data with <CR><LF>.<CR><LF>"
    return raw.ask(content + b".\r\n")


def stored(doors: Doors, reply: str) -> tuple[Arrival, bytes]:
    match = OK.fullmatch(reply)
    assert match, reply
    arrival = doors.run(lambda tx: arrivals.read(tx, match[1]))
    assert arrival is not None
    return arrival, doors.await_(doors.runtime.blobs.get(arrival.blob))


def sent_message(doors: Doors) -> str:
    """A message that we sent, by its return path."""
    id = message_id("eu-west-1", doors.clock.now())
    doors.run(
        lambda tx: tx.run(
            "INSERT INTO messages (id, account, region, origin, sender, return_path, identity, size, blob, open,"
            " mail_json, created) VALUES ($1, $2, 'eu-west-1', 'submission', 's', 'r', 'i', 1, 'db:x', 0, '{}', 1)",
            id,
            ACCOUNT,
        )
    )
    return id


def test_the_greeting_and_what_is_offered(doors: Doors) -> None:
    with doors.raw("mx") as raw:
        assert raw.reply().startswith(f"220 {HOST} ESMTP ")
        assert raw.ask("EHLO mail.example.org").split("\n") == [
            f"250-{HOST}",
            "250-PIPELINING",
            "250-8BITMIME",
            "250-SIZE 41943040",
            "250-SMTPUTF8",
            "250-ENHANCEDSTATUSCODES",
            "250-CHUNKING",
            "250 STARTTLS",
        ]
        assert raw.ask("STARTTLS") == "220 2.0.0 Ready to start TLS"
        raw.start_tls(doors.trusting())
        assert "STARTTLS" not in raw.ask("EHLO mail.example.org")
        assert raw.ask("AUTH PLAIN AGEAYg==") == "502 5.5.1 Not implemented"
        arrival, content = stored(doors, send(raw))
        assert raw.ask("QUIT") == "221 2.0.0 Bye"
    assert json.loads(arrival.source_json)["protocol"] == "ESMTPS"
    assert b"with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)" in content


def test_mail_to_the_postmaster_is_stored_with_its_trace(doors: Doors, client: Raw) -> None:
    arrival, content = stored(doors, send(client))
    assert (arrival.account, arrival.sender, arrival.state) == (OTHER, "a@example.org", "queued")
    assert json.loads(arrival.recipients_json) == ["postmaster@hosted.test"]
    assert arrival.due == arrival.created == doors.clock.now()
    trace = (
        rf"Return-Path: <a@example\.org>\r\nReceived: from mail\.example\.org \(\[127\.0\.0\.1\]\)\r\n"
        rf" by {HOST} with ESMTP\r\n id {arrival.id}\r\n for <postmaster@hosted\.test>;\r\n"
        r" \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000 \(UTC\)\r\n"
    )
    match = re.match(trace.encode(), content)
    assert match
    assert content[match.end() :] == MESSAGE


def test_a_verdict_in_our_name_is_taken_out(doors: Doors, client: Raw) -> None:
    forged = f"Return-Path: <ceo@bank.example>\r\nAuthentication-Results: {HOST};\r\n dmarc=pass\r\n".encode()
    others = b"Authentication-Results: elsewhere.example; spf=fail\r\n"
    _, content = stored(doors, send(client, forged + others + MESSAGE))
    assert content.endswith(b" +0000 (UTC)\r\n" + others + MESSAGE)
    assert content.count(b"Return-Path:") == 1
    assert content.startswith(b"Return-Path: <a@example.org>\r\n")


def test_who_is_here_and_who_is_not(doors: Doors, client: Raw) -> None:
    sent = sent_message(doors)
    here = [
        *("postmaster", "Postmaster@HOSTED.test", "abuse@hosted.test", f"postmaster@{HOST}", f"abuse@{PROVIDER}"),
        *(f"{sent}@{PROVIDER}", f"{sent.upper()}@EU-WEST-1.{PROVIDER}"),
    ]
    forged = message_id("us-east-1", 1)
    unknown = ["nobody@hosted.test", f"{forged}@{PROVIDER}", f"no-reply@{PROVIDER}", f"root@{HOST}"]
    elsewhere = ["a@example.org", f"{sent}@example.org", f"a@other.{PROVIDER}", "postmaster@gmail.com"]
    client.ask("MAIL FROM:<>")
    for address in here:
        assert client.ask(f"RCPT TO:<{address}>") == "250 2.1.5 Ok", address
    for address in unknown:
        assert client.ask(f"RCPT TO:<{address}>") == "550 5.1.1 Requested action not taken: mailbox unavailable"
    for address in elsewhere:
        assert client.ask(f"RCPT TO:<{address}>").startswith("550 5.7.1 Relaying denied"), address


def test_a_report_belongs_to_the_message_and_account_it_is_about(doors: Doors, client: Raw) -> None:
    first, second = sent_message(doors), sent_message(doors)
    reply = send(client, MESSAGE, f"{first}@{PROVIDER}", f"{second}@{PROVIDER}", "abuse@hosted.test", sender="")
    assert OK.fullmatch(reply)
    rows = doors.run(arrivals.list_all)
    assert {(row.account, row.region, row.message) for row in rows} == {
        (ACCOUNT, "eu-west-1", first),
        (ACCOUNT, "eu-west-1", second),
        (OTHER, "us-east-1", ""),
    }
    assert len({row.blob for row in rows}) == 3
    assert [row.message for row in doors.run(lambda tx: arrivals.of_message(tx, first))] == [first]


def test_one_message_cannot_be_stored_a_hundred_times(doors: Doors, client: Raw) -> None:
    client.ask("MAIL FROM:<>")
    replies = [client.ask(f"RCPT TO:<{sent_message(doors)}@{PROVIDER}>") for _ in range(11)]
    assert replies == ["250 2.1.5 Ok"] * 10 + ["452 4.5.3 Too many recipients"]


def test_a_recipient_named_twice_is_one(doors: Doors, client: Raw) -> None:
    arrival, _ = stored(doors, send(client, MESSAGE, "abuse@hosted.test", "abuse@hosted.test"))
    assert json.loads(arrival.recipients_json) == ["abuse@hosted.test"]


def test_too_many_recipients_may_come_later(client: Raw) -> None:
    client.ask("MAIL FROM:<a@example.org>")
    for n in range(100):
        local = "".join(char.upper() if n >> bit & 1 else char for bit, char in enumerate("postmaster"))
        assert client.ask(f"RCPT TO:<{local}@hosted.test>") == "250 2.1.5 Ok"
    assert client.ask("RCPT TO:<abuse@hosted.test>") == "452 4.5.3 Too many recipients"


def test_a_mail_loop_ends_here(client: Raw) -> None:
    hop = b"Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
    assert send(client, hop * 100 + MESSAGE).startswith("554 5.4.6 ")
    assert send(client, hop * 99 + MESSAGE).startswith("250 ")
    assert send(client, MESSAGE + hop * 200).startswith("250 ")  # in the body they are content


def test_too_large_a_message(tmp_path: Path) -> None:
    with Doors(tmp_path, mx={"max_message": 2000}) as doors, doors.raw("mx") as raw:
        raw.reply()
        assert "250-SIZE 2000" in raw.ask("EHLO a.example")
        assert raw.ask("MAIL FROM:<a@example.org> SIZE=2001") == "552 5.3.4 Message size exceeds fixed limit"
        assert send(raw, MESSAGE + b"x\r\n" * 1000) == "552 5.3.4 Message size exceeds fixed limit"
        assert send(raw).startswith("250 ")


def test_a_large_message_is_a_file(doors: Doors, client: Raw) -> None:
    arrival, content = stored(doors, send(client, MESSAGE + b"0123456789\r\n" * 50_000))
    assert arrival.blob.startswith("file:")
    assert arrival.size == len(content) > 600_000


def test_chunking_and_eight_bits_and_utf8(doors: Doors, client: Raw) -> None:
    body = "Subject: 안녕\r\n\r\n.본문\r\n".encode()
    assert client.ask("MAIL FROM:<보낸이@예.test> BODY=8BITMIME SMTPUTF8".encode() + b"\r\n") == "250 2.1.0 Ok"
    client.ask("RCPT TO:<postmaster@hosted.test>")
    client.say(f"BDAT {len(body)} LAST".encode() + b"\r\n" + body)
    arrival, content = stored(doors, client.reply())
    assert content.endswith(body)
    assert json.loads(arrival.source_json)["protocol"] == "UTF8SMTP"
    assert arrival.sender == "보낸이@예.test"


def test_the_null_sender_is_welcome(doors: Doors, client: Raw) -> None:
    arrival, content = stored(doors, send(client, sender=""))
    assert arrival.sender == ""
    assert content.startswith(b"Return-Path: <>\r\n")


def test_nothing_is_answered_before_it_is_stored(doors: Doors, client: Raw) -> None:
    doors.faults["receive"] = 1
    assert send(client) == "451 4.3.0 Temporary service failure"
    doors.runtime.blobs.fail_next(1)  # type: ignore[attr-defined]
    assert send(client) == "451 4.3.0 Temporary service failure"
    assert doors.run(arrivals.list_all) == []
    assert send(client).startswith("250 ")


def test_pipelining(doors: Doors) -> None:
    with doors.raw("mx") as raw:
        raw.reply()
        raw.ask("EHLO a.example")
        raw.say(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<nobody@hosted.test>\r\nRCPT TO:<abuse@hosted.test>\r\nDATA\r\n")
        assert [raw.reply()[:3] for _ in range(4)] == ["250", "550", "250", "354"]
        raw.say(MESSAGE + b".\r\nRSET\r\nQUIT\r\n")
        assert [raw.reply()[:3] for _ in range(3)] == ["250", "250", "221"]


def test_bare_newlines_can_be_refused(tmp_path: Path) -> None:
    with Doors(tmp_path, mx={"bare_newline": "refuse"}) as doors, doors.raw("mx") as raw:
        raw.reply()
        raw.ask("EHLO a.example")
        assert send(raw, MESSAGE + b"one\ntwo\r\n") == "550 5.6.0 Bare LF or CR in the message"


def test_smtplib_delivers(doors: Doors) -> None:
    with doors.smtp("mx") as smtp:
        smtp.starttls(context=doors.trusting())
        assert smtp.sendmail("a@example.org", ["postmaster@hosted.test", "nobody@hosted.test"], MESSAGE) == {
            "nobody@hosted.test": (550, b"5.1.1 Requested action not taken: mailbox unavailable")
        }
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            smtp.sendmail("a@example.org", "a@example.net", MESSAGE)


def test_connections_are_bounded(tmp_path: Path) -> None:
    with Doors(tmp_path, mx={"connections": 1}) as doors, doors.raw("mx") as first:
        assert first.reply().startswith("220")
        with doors.raw("mx") as second:
            assert second.reply() == "421 4.7.0 Too many concurrent SMTP connections"


@pytest.mark.slow
def test_swaks_delivers(doors: Doors) -> None:
    done = clients.swaks("--server", f"127.0.0.1:{doors.ports['mx']}", "--to", "abuse@hosted.test")
    assert done.returncode == 0, done.stdout.decode()
