"""Received and Return-Path fields, judged by the standard library's parser."""

from __future__ import annotations

import time
from email import message_from_bytes
from email.utils import parsedate_to_datetime

import pytest

from mailstead.proto.received import Hop, date, field, hops, return_path, value, without_forged

HOP = Hop("client.example.com", "192.0.2.7", "mx.example.net", "ESMTPS", "abc123", "<r@example.net>", "TLSv1.3 X")
NOW = 1_612_725_967_123


def test_the_form_of_ses() -> None:
    hop = Hop("client", "192.0.2.7", "host", "SMTP", "A1b2C3d4E5f6G7h8I9j0", "r@example.com", "SimpleEmailService-d-X")
    assert value(hop, NOW) == (
        "from client ([192.0.2.7]) by host with SMTP (SimpleEmailService-d-X) id A1b2C3d4E5f6G7h8I9j0"
        " for r@example.com; Sun, 07 Feb 2021 19:26:07 +0000 (UTC)"
    )
    assert parsedate_to_datetime(date(NOW)).timestamp() == NOW // 1000


def test_a_field_unfolds_to_its_value() -> None:
    raw = field(HOP, NOW)
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    parsed = message_from_bytes(return_path("") + raw + b"\r\n")
    assert parsed["Return-Path"] == "<>"
    assert parsed["Received"].replace("\r\n", "") == value(HOP, NOW)


@pytest.mark.parametrize("helo", ["", "a) by evil (b", "x;y", "네", "a\tb"])
def test_a_name_cannot_break_out_of_its_place(helo: str) -> None:
    text = value(Hop(helo, "192.0.2.7", "host", "SMTP", "id"), NOW)
    assert text.isascii()
    assert text.count("(") == 2
    assert text.count(";") == 1


def test_only_fields_of_the_header_count_as_hops() -> None:
    assert hops(b"Received: a\r\nreceived : b\r\n\tReceived: c\r\nX-Received: d\r\n\r\nReceived: e\r\n") == 2
    assert hops(b"") == 0
    assert hops(b"Received: a") == 1


FORGED = [
    b"Authentication-Results: mx.example.net; dmarc=pass\r\n",
    b"authentication-RESULTS : MX.Example.Net 1;\r\n\tspf=pass\r\n  smtp.mailfrom=bank.example\r\n",
    b"Authentication-Results:\r\n mx.example.net; none\r\n",
    b"Authentication-Results: (a \\) comment) (another)\r\n (x) mx.example.net; spf=pass\r\n",
    b"Authentication-Results: ((nested)) mx.example.net; spf=pass\r\n",
    b'Authentication-Results: "mx.example.net"; spf=pass\r\n',
    b'Authentication-Results: "mx.\\example.net"; spf=pass\r\n',
    b"Authentication-Results: mx.example.net.; spf=pass\r\n",
    b"Authentication-Results: mx.example.net(x); spf=pass\r\n",
    b"Authentication-Results: ; spf=pass\r\n",
    b"Authentication-Results:\r\n",
    b"Return-Path: <ceo@bank.example>\r\n",
    b"return-path:\r\n <ceo@bank.example>\r\n",
]
KEPT = [
    b"Authentication-Results: mx.example.org; dmarc=pass\r\n",
    b"Authentication-Results: sub.mx.example.net; dmarc=pass\r\n",
    b"X-Authentication-Results: mx.example.net; dmarc=pass\r\n",
    b"ARC-Authentication-Results: i=1; mx.example.net; dmarc=pass\r\n",
    b"Subject: a\r\n Return-Path: <b@c>\r\n\tAuthentication-Results: mx.example.net; none\r\n",
    b"X-Return-Path: <a@b>\r\n",
]


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize(
    "end", [b"\r\n", b"", b"\r\nReturn-Path: <body@x>\r\n\r\nauthentication-results: mx.example.net\r\n"]
)
def test_a_forged_verdict_does_not_come_in(forged: bytes, end: bytes) -> None:
    for pieces in ([forged, *KEPT], [*KEPT, forged], [KEPT[0], forged, forged, *KEPT[1:]], [forged], [forged, forged]):
        wanted = b"".join(piece for piece in pieces if piece != forged) + end
        assert without_forged(b"".join(pieces) + end, "mx.Example.net") == wanted


def test_mail_without_a_header_keeps_every_byte() -> None:
    for content in (
        b"",
        b"\r\n",
        b"\r\nReturn-Path: <a@b>\r\n\r\n",
        b"x",
        b"Received: a\r\n\r\nReturn-Path: <a@b>\r\n",
    ):
        assert without_forged(content, "mx.example.net") == content


def test_a_last_line_without_its_end() -> None:
    assert without_forged(b"Subject: x\r\nReturn-Path: <a@b>", "mx.example.net") == b"Subject: x\r\n"


@pytest.mark.parametrize("piece", [b"Return-Path:\r\n", b"(", b"\r\n ", b"Authentication-Results:(", b"\\", b" \r\n"])
def test_ten_megabytes_of_forgery_cost_no_time(piece: bytes) -> None:
    content = b"Authentication-Results: " + piece * (10_000_000 // len(piece))
    started = time.perf_counter()
    without_forged(content, "mx.example.net")
    assert time.perf_counter() - started < 2
