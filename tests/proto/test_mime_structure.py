"""Walking parts by offset, forbidden files, fields that stand once; the standard library judges the walk."""

from __future__ import annotations

import email
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.proto.message import Message
from mailstead.proto.mime_structure import (
    attachment_names,
    check_attachments,
    check_structure,
    duplicate_header,
    is_forbidden,
    walk,
)
from mailstead.proto.newlines import normalize
from mailstead.proto.parameters import parse

VECTORS = Path(os.environ.get("MAILSTEAD_VECTORS", Path(__file__).parents[3] / "shared/vectors"))
MAILS = sorted((VECTORS / "mime-mail-parser").rglob("*.eml"))


def multipart(*parts: bytes, boundary: bytes = b"b", close: bool = True) -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    head = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return head + body + (b"--" + boundary + b"--\r\n" if close else b"")


def file(header: bytes) -> Message:
    return Message.parse(multipart(b"\r\ntext", header + b"\r\n\r\nx"))


@pytest.mark.parametrize("path", MAILS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_published_mails(path: Path) -> None:
    content = normalize(path.read_bytes())
    try:
        parts = walk(Message.parse(content))
    except Invalid:
        assert path.parent.name != "rfc"
        return
    assert all(part.body <= part.end <= len(content) for part in parts)
    if path.parent.name == "rfc":
        judge = email.message_from_bytes(content)
        leaves = [part for part in judge.walk() if not part.is_multipart()]
        if not any(part.get_content_maintype() == "message" for part in judge.walk()):
            ours = [content[part.body : part.end] for part in parts if not part.kind.startswith("multipart/")]
            assert [normalize(leaf.get_payload().encode("utf-8", "surrogateescape")) for leaf in leaves] == ours


def test_parts_have_their_bytes() -> None:
    inner = multipart(b"A: 1\r\n\r\none", b"\r\ntwo\r\n", boundary=b"b-in")
    content = multipart(b"Content-Type: text/html\r\n\r\nzero", inner)
    parts = walk(Message.parse(content))
    assert [(p.depth, p.kind) for p in parts] == [
        *((0, "multipart/mixed"), (1, "text/html"), (1, "multipart/mixed"), (2, "text/plain"), (2, "text/plain"))
    ]
    assert [content[p.body : p.end] for p in parts if p.kind.startswith("text")] == [b"zero", b"one", b"two\r\n"]


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\n--x--\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\nnothing\r\n",
        b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n',
        multipart(*[b"\r\n"] * 501),
    ],
)
def test_clear_breakage_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        check_structure(Message.parse(content))


def test_missing_last_delimiter_is_forgiven() -> None:
    check_structure(Message.parse(multipart(b"\r\none", close=False)))


def nested(depth: int) -> bytes:
    content = b"\r\nx"
    for level in range(depth):
        content = multipart(content, boundary=b"b%d." % level)
    return content


def test_depth_is_bounded() -> None:
    check_structure(Message.parse(nested(20)))
    with pytest.raises(Invalid):
        check_structure(Message.parse(nested(22)))


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Disposition: attachment; filename=evil.exe",
        b'Content-Disposition: attachment;\r\n\tfilename="evil.EXE"',
        b"Content-Type: application/octet-stream; name=evil.js",
        b"Content-Disposition: attachment; filename*=UTF-8''%ED%95%9C.e%78e",
        b"Content-Disposition: attachment; filename*0=evil.e; filename*1=xe",
        b"Content-Disposition: attachment; filename*0*=EUC-KR''%C7%D1.; filename*1*=v%62s",
        b'Content-Disposition: attachment; filename="=?UTF-8?B?7ZWcLmV4ZQ==?="',
        b"Content-Disposition: attachment; filename=ok.txt; filename=evil.exe",
        b"Content-Disposition: inline\r\nContent-Disposition: attachment; filename=evil.bat",
        b'Content-Disposition: attachment; filename="evil.exe. "',
        b'Content-Disposition : attachment; filename="evil.exe',
        b"Content-Disposition: attachment; filename=evil.exe (x)",
        b"Content-Disposition: attachment; filename=evil.exe(x) (y)",
        b"Content-Disposition: attachment; filename=evil.(x)exe",
        b"Content-Disposition: attachment; filename=(x)evil.exe",
        b"Content-Disposition: attachment; filename=my evil.exe (x)",
        b'Content-Disposition: attachment; filename="evil.exe" (x)',
        b"Content-Disposition: attachment; filename=evil.exe::$DATA",
        b'Content-Disposition: attachment; filename="evil.exe:a stream.txt"',
        b'Content-Disposition: attachment; filename="evil.exe:' + b"x" * 2000 + b'"',
        b'Content-Disposition: attachment; filename="evil.exe . :x"',
    ],
)
def test_forbidden_files_are_found(header: bytes) -> None:
    with pytest.raises(Invalid, match=r"^Illegal filename$"):
        check_attachments(file(header))
    with pytest.raises(Invalid, match=r"^Illegal filename$"):
        check_attachments(Message.parse(header + b"\r\n\r\nx"))


@pytest.mark.parametrize("name", ["a.txt", "exe", "a.exe.txt", "", "한국.hwp", "a.docx", "C:\\a.txt", "a 10:30.pdf"])
def test_other_files_pass(name: str) -> None:
    check_attachments(file(b'Content-Disposition: attachment; filename="' + name.encode() + b'"'))


EVIL = b"Content-Disposition: attachment; filename=evil.exe\r\n\r\nx"
RFC822 = b"Content-Type: message/rfc822\r\n\r\n"


@pytest.mark.parametrize(
    "part",
    [
        RFC822 + b"Subject: x\r\n" + EVIL,
        RFC822 + multipart(b"\r\none", EVIL, boundary=b"in"),
        RFC822 + RFC822 + multipart(RFC822 + EVIL, boundary=b"in"),
        b"content-type: MESSAGE/Global; x=y\r\n\r\n" + EVIL,
    ],
)
def test_a_forbidden_file_in_an_attached_message_is_found(part: bytes) -> None:
    for content in (part, multipart(b"\r\nsee below", part)):
        with pytest.raises(Invalid, match=r"^Illegal filename$"):
            check_attachments(Message.parse(content))


@pytest.mark.parametrize(
    "inner",
    [
        b"",
        b"Subject: cut of",
        b"Content-Type: multipart/mixed; boundary=gone\r\n\r\ncut off",
        b"Content-Type: multipart/mixed\r\n\r\n",
        b"X: y\r\n" * 1001,
    ],
)
def test_a_report_may_hold_the_half_of_a_message(inner: bytes) -> None:
    content = multipart(b"\r\nreport", RFC822 + inner)
    check_attachments(Message.parse(content))
    assert [part.kind for part in walk(Message.parse(content))] == ["multipart/mixed", "text/plain", "message/rfc822"]


def test_messages_in_messages_are_bounded() -> None:
    check_attachments(Message.parse(RFC822 * 19 + b"\r\nx"))
    with pytest.raises(Invalid, match="nested too deeply"):
        check_attachments(Message.parse(RFC822 * 100_000))
    with pytest.raises(Invalid, match="too many parts"):
        check_attachments(Message.parse(multipart(*[RFC822 + b"\r\nx"] * 300)))


@pytest.mark.parametrize(
    ("value", "name"),
    [("us-ascii (Plain text)", "us-ascii"), ("my file (1).pdf", "my file (1).pdf"), ("a.txt (b) (c)", "a.txt"),
     ("my a.txt (b)", "my a.txt"), ("(x)", ""), ("a()" * 10, "a" * 10)],
)  # fmt: skip
def test_comments_behind_a_bare_value_are_none_of_it(value: str, name: str) -> None:
    assert parse(f"a/b; name={value}")[1] == [("name", name)]


@pytest.mark.parametrize("piece", ["()", "(", ")", "( ", " ()", ".(", "a ()"])
def test_a_megabyte_of_comments_costs_no_time(piece: str) -> None:
    started = time.perf_counter()
    parse("a/b; name=a b" + piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - started < 1


def test_names_are_read_once_each() -> None:
    assert attachment_names(file(b"Content-Type: a/b; name=x.y\r\nContent-Disposition: inline; filename=x.y")) == [
        "x.y"
    ]
    assert is_forbidden("a.XNK")


def test_duplicate_header() -> None:
    assert duplicate_header(Message.parse(b"To: a@b\r\nTo: c@d\r\nX: 1\r\nX: 2\r\n\r\n")) is None
    twice = b"DKIM-Signature: 1\r\nFROM : a@b\r\ndkim-signature: 2\r\nFrom: c@d\r\n\r\n"
    assert duplicate_header(Message.parse(twice)) == "DKIM-Signature"
    assert duplicate_header(Message.parse(twice[19:])) == "From"


PIECES = st.sampled_from(
    [b"--b\r\n", b"--b--\r\n", b"--c\r\n", b"\r\n", b"x", b"Content-Type: multipart/mixed; boundary=c\r\n", b"--bb\r\n"]
)


@given(st.lists(PIECES, max_size=20).map(b"".join))
@settings(max_examples=200, deadline=None)
def test_any_body_is_walked_or_refused(body: bytes) -> None:
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body
    try:
        parts = walk(Message.parse(content))
    except Invalid:
        return
    assert all(0 <= part.body <= part.end <= len(content) for part in parts)


@given(st.text(max_size=80) | st.lists(st.sampled_from(list(";=\"'\\* a*0%4")), max_size=40).map("".join))
@settings(max_examples=200, deadline=None)
def test_any_parameters_are_read(value: str) -> None:
    main, found = parse(value)
    assert ";" not in main or '"' in main
    assert all(name for name, _ in found)


@pytest.mark.parametrize("piece", [";", 'a="', ";a=b", "\\", '="', "a*0*=", ";a*=''%", " ;", '"', ';a="b"; '])
def test_parameters_take_linear_time(piece: str) -> None:
    started = time.perf_counter()
    parse(piece * (100_000 // len(piece)))
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("line", [b"--b x\r\n", b"--b\r\n", b"--\r\n", b"\r\n--bb"])
def test_large_bodies_take_linear_time(line: bytes) -> None:
    started = time.perf_counter()
    with suppress(Invalid):
        check_attachments(Message.parse(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + line * 200_000))
    assert time.perf_counter() - started < 2
