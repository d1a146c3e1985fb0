"""Replies: written so that nothing breaks out of its line, read with patience and within bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.errors import RemoteProtocolError
from mailstead.proto.smtp.reply import MAX_TEXT, Reply, ReplyParser


def read(data: bytes) -> list[Reply]:
    parser = ReplyParser()
    parser.feed(data)
    replies = []
    while (reply := parser.next_reply()) is not None:
        replies.append(reply)
    return replies


@pytest.mark.parametrize(
    ("wire", "reply", "line"),
    [
        (b"250 Ok\r\n", Reply(250, "Ok"), "250 Ok"),
        (b"250\r\n", Reply(250, ""), "250"),
        (b"354 \r\n", Reply(354, ""), "354"),
        (b"550 5.1.1 user unknown\r\n", Reply(550, "user unknown", "5.1.1"), "550 5.1.1 user unknown"),
        (b"250 2.0.0\n", Reply(250, "", "2.0.0"), "250 2.0.0"),
        (b"550 4.1.1 a code of another class\r\n", Reply(550, "4.1.1 a code of another class"), None),
        (b"554 5.7.1.2 no code\r\n", Reply(554, "5.7.1.2 no code"), None),
        (
            b"550-5.7.26 This mail is\r\n550-5.7.26 unauthenticated\r\n550 5.7.26 see there\r\n",
            Reply(
                550,
                "This mail is unauthenticated see there",
                "5.7.26",
                ("This mail is", "unauthenticated", "see there"),
            ),
            "550 5.7.26 This mail is unauthenticated see there",
        ),
        (b"250-h\r\n250 SIZE 1\r\n", Reply(250, "h SIZE 1", "", ("h", "SIZE 1")), "250 h SIZE 1"),
        (b"550 a\tb\x00\x1b[31m\r\n", Reply(550, "a b  [31m"), None),
        (b"550 \xff\r\n", Reply(550, "\ufffd"), None),
        ("550 사용자 없음\r\n".encode(), Reply(550, "사용자 없음"), None),
    ],
)
def test_reading(wire: bytes, reply: Reply, line: str | None) -> None:
    assert read(wire) == [reply]
    if line is not None:
        assert str(reply) == line


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 400 Bad\r\n",
        b"25 x\r\n",
        b"150 x\r\n",
        b"600 x\r\n",
        b"250_x\r\n",
        b"250-a\r\n550 b\r\n",
        b"250-a\r\n" * 101,
        b"250 " + b"x" * 4096 + b"\r\n",
        b"2" * 5000,
    ],
)
def test_what_is_no_reply(wire: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read(wire)


def test_kinds() -> None:
    assert [(r.positive, r.transient, r.permanent) for r in (Reply(354, ""), Reply(451, ""), Reply(550, ""))] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_a_text_cannot_break_out_of_its_line() -> None:
    assert Reply(550, "a\r\n250 b\u2028c").to_bytes() == b"550 a  250 b c\r\n"
    assert Reply.of_lines(250, ("a\nb", "c"), "2.0.0").to_bytes() == b"250-2.0.0 a b\r\n250 2.0.0 c\r\n"
    assert Reply(250, "\ud800").to_bytes() == b"250  \r\n"


REPLIES = b"220 hi\r\n250-a\r\n250-b\n250 c\r\n550-5.1.1 x\r\n550 5.1.1 y\r\n354\r\n"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, len(REPLIES)), max_size=20))
def test_cut_anywhere_the_same_replies(cuts: list[int]) -> None:
    parser, replies = ReplyParser(), []
    places = [0, *sorted(cuts), len(REPLIES)]
    for begin, end in itertools.pairwise(places):
        parser.feed(REPLIES[begin:end])
        while (reply := parser.next_reply()) is not None:
            replies.append(reply)
    assert replies == read(REPLIES)
    assert not parser.pending


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["", "5.1.1"]))
def test_what_is_written_is_read(text: str, enhanced: str) -> None:
    reply = read(Reply(550, text, enhanced).to_bytes())[0]
    assert reply.code == 550
    assert len(read(Reply(550, text, enhanced).to_bytes())) == 1


def test_a_server_that_talks_without_end_is_not_stored_whole() -> None:
    reply = read(b"".join(b"550-" + b"a" * 4000 + b"\r\n" for _ in range(99)) + b"550 b\r\n")[0]
    assert (reply.code, len(reply.lines)) == (550, 100)
    assert len(reply.text) <= MAX_TEXT + 100
