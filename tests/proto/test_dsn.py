"""Delivery reports; the judge is the standard library's parser."""

from __future__ import annotations

import email
import email.policy
from email.message import Message as Judged

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto import dsn
from mailstead.proto.dsn import Recipient, clean, typed_address
from mailstead.proto.message import Message
from mailstead.proto.mime_structure import check_structure

NOW = "Fri, 25 Aug 2023 21:53:35 +0000"
ORIGINAL = b"From: a@b.example\r\nSubject: x\r\n\r\n" + b"body\r\n" * 10


def write(*reports: Recipient, original: bytes = ORIGINAL, **more: object) -> bytes:
    return dsn.write(
        recipients=reports,
        sender="MAILER-DAEMON@mailstead.invalid",
        to=str(more.pop("to", "a@b.example")),
        reporting_mta="mail.example",
        message_id="1@mailstead.invalid",
        date=NOW,
        original=original,
        **more,  # type: ignore[arg-type]
    )


def judged(content: bytes) -> tuple[Judged, list[Judged]]:
    check_structure(Message.parse(content))
    message = email.message_from_bytes(content)
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert message.get_content_type() == "multipart/report"
    assert not [part.defects for part in message.walk() if part.defects]
    assert len(parts) == 3
    blocks = parts[1].get_payload()
    assert isinstance(blocks, list)
    return message, blocks


def test_a_bounce_like_that_of_ses() -> None:
    report = Recipient(
        "x@c.example", "5.1.1", diagnostic="550 5.1.1 user unknown", remote_mta="mx.c.example", last_attempt=NOW
    )
    other = Recipient("y@d.example", "4.4.1", action="delayed", original_recipient="Y@d.example", retry_until=NOW)
    message, blocks = judged(write(report, other, arrival_date="Fri, 25 Aug 2023 21:53:34 +0000", envelope_id="env"))
    assert message["From"] == "MAILER-DAEMON@mailstead.invalid"
    assert message["To"] == "a@b.example"
    assert message["Subject"] == "Delivery Status Notification (Failure)"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<1@mailstead.invalid>"
    assert message.get_param("report-type") == "delivery-status"
    assert blocks[0].items() == [
        ("Original-Envelope-Id", "env"),
        ("Reporting-MTA", "dns; mail.example"),
        ("Arrival-Date", "Fri, 25 Aug 2023 21:53:34 +0000"),
    ]
    assert blocks[1].items() == [
        ("Action", "failed"),
        ("Final-Recipient", "rfc822; x@c.example"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 user unknown"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.c.example"),
        ("Last-Attempt-Date", "Fri, 25 Aug 2023 21:53:35 +0000"),
    ]
    assert blocks[2]["Original-Recipient"] == "rfc822; Y@d.example"
    assert blocks[2]["Will-Retry-Until"] == "Fri, 25 Aug 2023 21:53:35 +0000"


def test_the_original_comes_back_whole_or_its_header() -> None:
    report = Recipient("x@c.example", "5.1.1")
    for original in (ORIGINAL, ORIGINAL.replace(b"body", b"\xff\x80dy")):
        content = write(report, original=original)
        assert original in content
        assert judged(content)[0].get_payload(2).get_content_type() == "message/rfc822"  # type: ignore[union-attr]
    short = write(report, original_limit=50)
    part = judged(short)[0].get_payload(2)
    assert part.get_content_type() == "text/rfc822-headers"  # type: ignore[union-attr]
    assert b"Subject: x" in short
    assert b"body" not in short
    assert len(write(report, original=b"X: y\r\n" * 200_000)) < 70_000


def test_a_delay_says_so() -> None:
    message, _ = judged(write(Recipient("x@c", "4.4.1", action="delayed")))
    assert message["Subject"] == "Delivery Status Notification (Delay)"


def test_addresses_beyond_ascii() -> None:
    # RFC 6533 §3: utf-8-addr-xtext in a report of 7 bits.
    assert typed_address("한@b.example") == "utf-8; \\x{D55C}@b.example"
    content = write(Recipient("한+x@b.example", "5.1.1"), to="한@b.example")
    _, blocks = judged(content)
    assert blocks[1]["Final-Recipient"] == "utf-8; \\x{D55C}\\x{2B}x@b.example"


HOSTILE = st.text(st.sampled_from(list("\r\n\0\x85\u2028 :-=a한\ud800\t")), max_size=60) | st.text(max_size=60)


@given(HOSTILE, HOSTILE, HOSTILE)
@settings(max_examples=200, deadline=None)
def test_strangers_can_not_add_a_line(text: str, host: str, address: str) -> None:
    report = Recipient(
        address,
        text,
        diagnostic=text + "\r\n\r\nBcc: x@y",
        remote_mta=host,
        original_recipient=address,
        last_attempt=text,
    )
    content = write(report, envelope_id=host)
    message, blocks = judged(content)
    assert len(blocks) == 2
    assert set(blocks[1].keys()) <= {
        *("Original-Recipient", "Action", "Final-Recipient", "Diagnostic-Code", "Status", "Remote-MTA"),
        "Last-Attempt-Date",
    }
    assert len(message.keys()) == 8
    assert max(map(len, content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("text", ["a\r\nb", "a\n b", " a\x00b ", "x" * 5000])
def test_clean(text: str) -> None:
    assert clean(text).isprintable()
    assert len(clean(text)) <= 900
