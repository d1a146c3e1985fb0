"""The header of a message as events show it, against the examples of SES."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.event_headers import common_headers, header_list
from mailstead.proto.message import Message
from mailstead.proto.mime import build_simple


def test_api_mail_as_in_the_recorded_event() -> None:
    content = build_simple(
        "Sender Name <sender@example.com>",
        to=["recipient@example.com"],
        subject=("Message sent from Amazon SES", None),
        text=("t", None),
        html=("h", None),
        boundary_seed=1516840721503,
    )
    message = Message.parse(content)
    headers, truncated = header_list(message)
    assert headers[:4] == [
        {"name": "From", "value": "Sender Name <sender@example.com>"},
        {"name": "To", "value": "recipient@example.com"},
        {"name": "Subject", "value": "Message sent from Amazon SES"},
        {"name": "MIME-Version", "value": "1.0"},
    ]
    assert headers[4]["value"].startswith('multipart/alternative;  boundary="----=_Part_')
    assert len(headers) == 5
    assert not truncated
    assert common_headers(message) == {
        "from": ["Sender Name <sender@example.com>"],
        "to": ["recipient@example.com"],
        "subject": "Message sent from Amazon SES",
    }


def test_all_common_headers() -> None:
    message = Message.parse(
        b'Return-Path: <r@x>\r\nFROM : "A, B" <a@b>,\r\n c@d\r\nSender: s@x\r\nReply-To: q@x\r\nTo: t@x\r\nTo: u@x\r\n'
        b"Cc: =?UTF-8?B?7ZWc6rWt?= <k@x>\r\nBcc: nobody\r\nDate: now\r\n"
        b"Message-ID: <1@x>\r\nSubject: =?UTF-8?B?7ZWc?=\r\n"
        b"Subject: two\r\n\r\n"
    )
    assert common_headers(message) == {
        "returnPath": "r@x",
        "from": ['"A, B" <a@b>', "c@d"],
        "sender": "s@x",
        "replyTo": ["q@x"],
        "to": ["t@x", "u@x"],
        "cc": ["=?UTF-8?B?7ZWc6rWt?= <k@x>"],
        "bcc": ["nobody"],
        "date": "now",
        "messageId": "<1@x>",
        "subject": "=?UTF-8?B?7ZWc?=",
    }


def test_long_headers_are_cut() -> None:
    line = b"X-A: " + b"x" * 93 + b"\r\n"
    headers, truncated = header_list(Message.parse(line * 102 + b"\r\n"))
    assert (len(headers), truncated) == (102, False)
    headers, truncated = header_list(Message.parse(line * 200 + b"\r\n"))
    assert (len(headers), truncated) == (102, True)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda value: b"From: " + value))
@settings(max_examples=200, deadline=None)
def test_any_bytes(content: bytes) -> None:
    message = Message.parse(content)
    common = common_headers(message)
    assert ("from" in common) == bool(message.all("From"))
    headers, truncated = header_list(message)
    assert [one["name"].encode() for one in headers] == [field.name for field in message.fields]
    assert not truncated
    assert json.loads(json.dumps([common, headers])) == [common, headers]
