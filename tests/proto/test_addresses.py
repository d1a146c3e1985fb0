"""Address lists: every address is found or the field refused; the standard library judges the plain cases."""

from __future__ import annotations

import email.headerregistry
import time
from contextlib import suppress
from email.utils import getaddresses, parseaddr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.proto.addresses import Mailbox, format_mailbox, parse_list, parse_one


def found(value: bytes | str) -> list[tuple[str, str]]:
    return [(box.display, box.address) for box in parse_list(value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b.example", [("", "a@b.example")]),
        (b" <a@b.example>\r\n", [("", "a@b.example")]),
        (b"Name <a@b.example>", [("Name", "a@b.example")]),
        (b'"Doe, John \\"J\\"" <j@b.example>', [('Doe, John "J"', "j@b.example")]),
        (b"A. B. C. <a@b.example>", [("A. B. C.", "a@b.example")]),
        (b"a@b, c@d,\r\n\te@f", [("", "a@b"), ("", "c@d"), ("", "e@f")]),
        (b",, a@b ,,", [("", "a@b")]),
        (b"a@b (Old \\) Name)", [("Old ) Name", "a@b")]),
        (b"a(x(y(z))) . (q) b @ (w) c . d", [("w", "a.b@c.d")]),
        (b"(evil@hidden) Good <a@b> (evil@hidden)", [("Good", "a@b")]),
        (b"Undisclosed: a@b, X <c@d>;, e@f", [("", "a@b"), ("X", "c@d"), ("", "e@f")]),
        (b"undisclosed-recipients:;", []),
        (b"g: a@b", [("", "a@b")]),
        (b"g: a@b; c@d", [("", "a@b"), ("", "c@d")]),
        (b"<@x,@y.z:a@b>", [("", "a@b")]),
        (b'"a b"@c.example', [("", '"a b"@c.example')]),
        (b"a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        (b"=?UTF-8?B?7ZWc6rWt?=\r\n =?UTF-8?Q?_x?= <a@b>", [("한국 x", "a@b")]),
        (b"=?EUC-KR?B?x9GxuQ==?= <a@b>", [("한국", "a@b")]),
        (b"=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?= <a@b>", [("日本", "a@b")]),
        (b"=?UTF-8?Q?x_=3Cevil=40hidden=3E?= <a@b>", [("x <evil@hidden>", "a@b")]),
        ("한국 <a@b>".encode(), [("한국", "a@b")]),
        (b"a@b <a@b>", [("a@b", "a@b")]),
        ("x@한국.example".encode(), [("", "x@한국.example")]),
        (b"", []),
    ],
)
def test_forms(value: bytes, expected: list[tuple[str, str]]) -> None:
    assert found(value) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"nobody", "Missing final '@domain'"),
        (b"=?UTF-8?Q?a=40b?=", "Missing final '@domain'"),
        (b"good@ok, nobody", "Missing final '@domain'"),
        (b"a b@c", "Local address contains control or whitespace"),
        (b"a@b c", "Domain contains control or whitespace"),
        (b"a\x01@b", "Local address contains control or whitespace"),
        (b"a@b\rFrom: x@y", "Local address contains control or whitespace"),
        (b"a@b.", "Domain ends with dot"),
        (b"a@", "Missing domain"),
        (b"@b", "Missing local name"),
        (b"a@b@c", "Local address contains illegal character"),
        (b"a..b@c", "Local address contains illegal character"),
        (b"a@=?utf-8?q?b?=", "Domain contains illegal character"),
        (b"<a@b> <c@d>", "Extra route-addr"),
        (b"<a@b> c@d", "Illegal address"),
        (b"c@d <a@b>", "Illegal address"),
        (b"<a@b", "Missing '>'"),
        (b"<a@b, c@d>", "Illegal address"),
        (b"a@b>", "Missing '<'"),
        (b'"a <a@b>', "Missing '\"'"),
        (b"(a <a@b>", "Missing ')'"),
        (b"a@b)", "Missing '('"),
        (b"a@b; c@d", "Illegal semicolon, not in group"),
        (b"g: h: a@b;;", "Nested group"),
        (b"a@b: c@d;", "Illegal address"),
        (b": c@d;", "Illegal address"),
        (b"<>", "Missing final '@domain'"),
        (b"(" * 1000 + b")" * 1000 + b" a@b", "Missing ')'"),
        (b"x" * 65 + b"@b", "Illegal address"),
        (b"a@" + b".".join([b"x" * 60] * 5), "Domain contains illegal character"),
        (b"=?utf-8?q?x,evil@bad.example?= <a@b>", "Missing final '@domain'"),
    ],
)
def test_refusals(value: bytes, text: str) -> None:
    with pytest.raises(Invalid) as raised:
        parse_list(value)
    assert raised.value.message == text


def test_null_path_where_it_may_stand() -> None:
    assert parse_list(b" <> ", null=True) == [Mailbox("", "", "<>")]


def test_text_is_as_written() -> None:
    boxes = parse_list(b'"Name" <a@b>,\r\n  =?UTF-8?B?7ZWc6rWt?=  <c@d> (x)')
    assert [box.text for box in boxes] == ['"Name" <a@b>', "=?UTF-8?B?7ZWc6rWt?=  <c@d> (x)"]


def test_half_a_character_in_utf7_is_read_as_what_can_be_written_again() -> None:
    [box] = parse_list(b"=?UTF-7?Q?a+2AA-b?= <a@b>")
    assert box.display.encode() == "a\ufffdb".encode()


@pytest.mark.parametrize(
    "text", ["", "a@b, c@d", "a@b\r\nBcc: c@d", "Name\n <a@b>", "g: a@b, c@d;", "Name <a@b>\r\n", "\ud800@b"]
)
def test_api_string_is_one_mailbox(text: str) -> None:
    with pytest.raises(Invalid):
        parse_one(text)


@pytest.mark.parametrize(
    ("display", "address", "written"),
    [
        ("", "a@b", "a@b"),
        ("A Name", "a@b", "A Name <a@b>"),
        ("Doe, John", "a@b", '"Doe, John" <a@b>'),
        ('q"\\', "a@b", '"q\\"\\\\" <a@b>'),
        ("=?utf-8?q?x?=", "a@b", '"=?utf-8?q?x?=" <a@b>'),
        ("한국", "a@한국.example", "=?UTF-8?B?7ZWc6rWt?= <a@xn--3e0b707e.example>"),
    ],
)
def test_written(display: str, address: str, written: str) -> None:
    assert format_mailbox(display, address) == written


@pytest.mark.parametrize(
    ("display", "address"), [("a\r\nBcc: x@y", "a@b"), ("", "a"), ("", "한@b"), ("x", "a@b\n"), ("x\0", "a@b")]
)
def test_not_written(display: str, address: str) -> None:
    with pytest.raises(Invalid):
        format_mailbox(display, address)


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60).map(str.strip)


@given(NAMES)
@settings(max_examples=200, deadline=None)
def test_names_come_back(name: str) -> None:
    if "=?" in name:
        return
    written = format_mailbox(name, "a.b+c@d-e.example")
    assert written.isascii()
    box = parse_one(written)
    assert (" ".join(box.display.split()), box.address) == (" ".join(name.split()), "a.b+c@d-e.example")
    judge = email.headerregistry.HeaderRegistry()("From", written).addresses[0]
    assert judge.addr_spec == "a.b+c@d-e.example"
    if name.isascii():
        assert parseaddr(written)[1] == "a.b+c@d-e.example"


PIECES = st.sampled_from(
    [
        "a@b",
        "c.d@e.f",
        "<",
        ">",
        ",",
        ";",
        ":",
        '"',
        "(",
        ")",
        "\\",
        "@",
        ".",
        " ",
        "x",
        "[",
        "]",
        "한",
        "=?utf-8?q?x?=",
        "\t",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        boxes = parse_list(text)
    except Invalid:
        return
    for box in boxes:
        assert box.text in text
        assert "@" in box.address


@given(st.lists(st.tuples(st.sampled_from(["", "N", "A B"]), st.sampled_from(["a@b", "c.d@e.f"])), max_size=6))
@settings(max_examples=100, deadline=None)
def test_lists_agree_with_the_standard_library(boxes: list[tuple[str, str]]) -> None:
    text = ", ".join(format_mailbox(*box) for box in boxes)
    assert found(text) == [pair for pair in getaddresses([text]) if pair != ("", "")]


@pytest.mark.parametrize(
    "piece", ["(", '"', "a@b,", "<", "a ", "\\", "x.", "g:", "[", ")(", '\\"', " \t", "a@b (", "@"]
)
def test_long_texts_take_linear_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    started = time.perf_counter()
    with suppress(Invalid):
        parse_list(text)
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize("piece", [",", "@", "()", "a ", "a@b.c,", "a."])
def test_a_megabyte_that_is_no_address_list_is_refused_at_once(piece: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(Invalid):
        parse_list(piece * (4_000_000 // len(piece)))
    assert time.perf_counter() - begun < 0.5


@pytest.mark.parametrize(
    "value",
    ["=?utf-8?q?ceo=40bank.example?=@ok.example", "Me <=?utf-8?q?ceo=40bank.example=3E=00?=@ok.example>"],
)
def test_an_encoded_word_in_an_address_cannot_hide_another_sender(value: str) -> None:
    with pytest.raises(Invalid, match="illegal character"):
        parse_list(value)


def test_a_batv_address_is_no_encoded_word() -> None:
    assert found("prvs=1234=user?x@ok.example") == [("", "prvs=1234=user?x@ok.example")]


def test_fifty_long_recipients_keep_nobody_waiting() -> None:
    begun = time.perf_counter()
    for piece in ("@", ",", "a "):
        for _ in range(50):
            with pytest.raises(Invalid):
                parse_one(piece * 30_000)
    assert time.perf_counter() - begun < 0.5
    assert parse_one(f"{'n' * 1000} <a@b.example>").address == "a@b.example"
