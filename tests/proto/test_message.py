"""Message: fields by offset, edits that keep bytes; the judge is the standard library's parser."""

from __future__ import annotations

import email
import email.policy
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.proto.message import MalformedMessage, Message, write_field
from mailstead.proto.newlines import normalize

VECTORS = Path(os.environ.get("MAILSTEAD_VECTORS", Path(__file__).parents[3] / "shared/vectors"))
MAILS = sorted((VECTORS / "mime-mail-parser").rglob("*.eml"))

LINES = st.sampled_from(
    [
        b"From: a@b",
        b"From : c@d",
        b"Subject: x",
        b" folded",
        b"\t",
        b"junk",
        b"",
        b": x",
        b"To:",
        b"X-\xff: y",
        b"a:\rb",
    ]
)


def header_block(draws: list[bytes]) -> bytes:
    return b"\r\n".join(draws)


def test_offsets_cover_the_header() -> None:
    content = b"From: A <a@b>\r\nSubject:  one\r\n two \r\nX:\r\n\r\nbody: no\r\n"
    message = Message.parse(content)
    assert [f.name for f in message.fields] == [b"From", b"Subject", b"X"]
    assert b"".join(content[f.start : f.end] for f in message.fields) == content[: message.header_end]
    assert message.value("subject") == b"one two"
    assert message.value("x") == b""
    assert message.value("nothing") is None
    assert message.body == b"body: no\r\n"


def test_blank_before_the_colon_is_the_field_from() -> None:
    message = Message.parse(b"From \t: a@b\r\nFrom: c@d\r\n\r\n")
    assert [message.raw(field) for field in message.all("FROM")] == [b"a@b", b"c@d"]


@pytest.mark.parametrize(
    ("content", "names", "body"),
    [
        (b"", [], b""),
        (b"\r\nFrom: a@b\r\n", [], b"From: a@b\r\n"),
        (b"no header at all", [], b"no header at all"),
        (b"From a@b Mon Jan  1 00:00:00 2024\r\nTo: x@y\r\n\r\nz", [b"To"], b"z"),
        (b" indented\r\nTo: x@y\r\n\r\nz", [b"To"], b"z"),
        (b"To: x@y\r\njunk\r\nFrom: hidden@z\r\n\r\n", [b"To"], b"junk\r\nFrom: hidden@z\r\n\r\n"),
        (b"To: x@y", [b"To"], b""),
        (b"To: x@y\n\nz", [b"To"], b"z"),
    ],
)
def test_odd_headers(content: bytes, names: list[bytes], body: bytes) -> None:
    message = Message.parse(content)
    assert [field.name for field in message.fields] == names
    assert message.body == body


def test_what_follows_a_missing_empty_line_can_not_become_a_field() -> None:
    sent = Message.parse(b"From: a@b\r\njunk\r\nFrom: hidden@z\r\n\r\n").edit(prepend=b"A: 1\r\n", append=b"Z: 2\r\n")
    assert sent == b"A: 1\r\nFrom: a@b\r\nZ: 2\r\n\r\njunk\r\nFrom: hidden@z\r\n\r\n"
    assert email.message_from_bytes(sent).get_all("From") == ["a@b"]


def test_indented_first_line_does_not_join_a_prepended_field() -> None:
    assert Message.parse(b" evil\r\nTo: x@y\r\n\r\n").edit(prepend=b"A: 1\r\n") == b"A: 1\r\nTo: x@y\r\n\r\n"


def test_edits_leave_all_other_bytes_alone() -> None:
    content = b"Bcc: q@r\r\nFrom:\ta@b  \r\nBCC :\r\n x@y,\r\n\tz@z\r\nSubject: \xff\r\n\r\n\x00body\n.\r\n"
    message = Message.parse(content)
    assert message.without(["bcc"]) == b"From:\ta@b  \r\nSubject: \xff\r\n\r\n\x00body\n.\r\n"
    assert message.with_fields(prepend=b"P: 1\r\n", append=b"Q: 2\r\n") == b"P: 1\r\n" + content.replace(
        b"\r\n\r\n", b"\r\nQ: 2\r\n\r\n"
    )
    assert message.replace("subject", b"new") == content.replace(b"Subject: \xff", b"subject: new")
    assert message.replace("Date", b"now") == content.replace(b"\r\n\r\n", b"\r\nDate: now\r\n\r\n")
    assert message.replace("Bcc", b"one@x") == b"Bcc: one@x\r\nFrom:\ta@b  \r\nSubject: \xff\r\n\r\n\x00body\n.\r\n"


@pytest.mark.parametrize("value", [b"a\r\nBcc: x@y", b"a\n\n b", b"a\rb", b"a\r\n", b"a\0b", b"a\r\n\r\nbody"])
def test_line_breaks_are_refused_in_fields(value: bytes) -> None:
    with pytest.raises(Invalid):
        write_field("Subject", value)
    with pytest.raises(Invalid):
        Message.parse(b"Subject: x\r\n\r\n").replace("Subject", value)
    with pytest.raises(Invalid):
        write_field("Sub:ject\r\n", b"x")


def test_folded_value_is_written() -> None:
    assert write_field("Subject", b"a\r\n b") == b"Subject: a\r\n b\r\n"


def test_header_is_bounded() -> None:
    with pytest.raises(MalformedMessage):
        Message.parse(b"A: b\r\n" * 1001)
    with pytest.raises(MalformedMessage):
        Message.parse(b"A: " + b"x" * (1 << 20) + b"\r\n\r\n")
    assert len(Message.parse(b"A: b\r\n" * 1000 + b"\r\n").fields) == 1000
    assert len(Message.parse(b"A: " + b"x" * 1_000_000 + b"\r\n\r\n" + b"y" * 100_000).fields) == 1


def test_text_reads_encoded_words_in_korean_and_japanese() -> None:
    message = Message.parse(
        b"A: =?EUC-KR?B?x9GxuQ==?=\r\nB: =?ISO-2022-JP?B?GyRCRnxLXBsoQg==?= x\r\n"
        b"C: =?UTF-8?Q?=ED=95?=\r\n =?UTF-8?Q?=9C?=\r\nD: =?x-none?Q?a=FF?=\r\nE: \xed\x95\x9c\r\n\r\n"
    )
    assert [message.text(field) for field in message.fields] == ["한국", "日本 x", "한", "a\ufffd", "한"]


@pytest.mark.parametrize("path", MAILS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_published_mails_keep_their_bytes(path: Path) -> None:
    content = normalize(path.read_bytes())
    message = Message.parse(content)
    judge = email.message_from_bytes(content, policy=email.policy.compat32)
    # Careful: the standard library ends a header at "Name :", we do not.
    if not any(b" :" in content[f.start : f.value] for f in message.fields):
        assert [f.name.decode() for f in message.fields] == judge.keys()
    for field in message.fields:
        message.text(field)
    edited = message.edit(prepend=b"P: 1\r\n", append=b"Q: 2\r\n")
    middle = content[message.header_start : message.header_end]
    assert edited.startswith(b"P: 1\r\n" + middle)
    assert edited.endswith(b"Q: 2\r\n\r\n" + message.body)


def test_vectors_are_there() -> None:
    if not MAILS:
        if os.environ.get("CI") == "true":
            pytest.fail("published mails are absent")
        pytest.skip("published mails are absent")
    assert len(MAILS) == 53


@given(st.binary(max_size=400) | st.lists(LINES, max_size=12).map(header_block))
@settings(max_examples=200, deadline=None)
def test_any_bytes_parse_and_edits_find_the_same_fields(content: bytes) -> None:
    message = Message.parse(content)
    assert 0 <= message.header_start <= message.header_end <= message.body_start <= len(content)
    edited = Message.parse(message.edit(prepend=b"P: 1\r\n", append=b"Q: 2\r\n"))
    assert [f.name for f in edited.fields] == [b"P", *(f.name for f in message.fields), b"Q"]
    assert edited.body == message.body
    for field in message.fields:
        message.text(field)


@given(st.lists(LINES, max_size=12))
@settings(max_examples=200, deadline=None)
def test_removed_fields_are_gone_for_the_judge_too(lines: list[bytes]) -> None:
    content = normalize(header_block(lines))
    left = Message.parse(content).without(["from"])
    assert "From" not in email.message_from_bytes(left)
    assert not Message.parse(left).all("from")
