"""Received and Return-Path fields, judged by the standard library's parser."""

from __future__ import annotations

from email import message_from_bytes
from email.utils import parsedate_to_datetime

import pytest

from mailstead.proto.received import Hop, date, field, hops, return_path, value

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
