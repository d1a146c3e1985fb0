"""Building Simple content; the judge is the standard library's parser."""

from __future__ import annotations

import email
import email.policy
import time
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.proto.message import Message
from mailstead.proto.mime import Attachment, build_simple, text_parts
from mailstead.proto.mime_structure import attachment_names


def build(**given: object) -> bytes:
    arguments = {"to": ["b@c.example"], "boundary_seed": 1693000415859} | given
    return build_simple("Name <a@b.example>", **arguments)  # type: ignore[arg-type]


def judged(content: bytes) -> EmailMessage:
    assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not [part.defects for part in message.walk() if part.defects]
    return message


def test_both_texts_look_as_with_ses() -> None:
    content = build(
        cc=["C <c@d.example>"],
        reply_to=["r@b.example"],
        subject=("Hi", None),
        text=("t\n", "UTF-8"),
        html=("<p>", "UTF-8"),
    )
    message = Message.parse(content)
    assert [field.name.decode() for field in message.fields] == [
        *("From", "Reply-To", "To", "Cc", "Subject", "MIME-Version", "Content-Type")
    ]
    kind = message.value("Content-Type")
    assert kind is not None
    assert kind.startswith(b'multipart/alternative;  boundary="----=_Part_')
    assert kind.endswith(b'.1693000415859"')
    assert b"Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nt\r\n" in content
    assert [part.get_content_type() for part in judged(content).iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize("charset", ["UTF-8", "EUC-KR", "ISO-2022-KR", "ks_c_5601-1987", "UTF-16", None])
@pytest.mark.parametrize("times", [1, 400])
def test_korean(charset: str | None, times: int) -> None:
    text = "안녕하세요, 한국어 abc " * times
    subject = text.strip()[:300]
    message = judged(build(subject=(subject, charset), text=(text, charset)))
    assert message["Subject"] == subject
    assert message.get_content().rstrip("\n") == text


@pytest.mark.parametrize("charset", ["ISO-2022-JP", "Shift_JIS", "EUC-JP", "UTF-8"])
@pytest.mark.parametrize("times", [1, 400])
def test_japanese(charset: str, times: int) -> None:
    text = "日本語のメール abc " * times
    content = build(subject=(text[:200].strip(), charset), html=(text + "\n次", charset))
    message = judged(content)
    assert message["Subject"] == text[:200].strip()
    assert message.get_content().replace("\r\n", "\n").rstrip("\n") == text + "\n次"
    assert all(len(line) <= 76 for line in content.partition(b"\r\n\r\n")[0].split(b"\r\n"))


@pytest.mark.parametrize("text", ["x" * 2000, "a: " * 700 + "b", "w" * 80 + "  " + "v" * 80, "한 " * 700 + "x"])
def test_long_subjects_are_folded(text: str) -> None:
    assert judged(build(subject=(text, None)))["Subject"] == text


def test_iso_2022_jp_travels_as_7bit() -> None:
    assert b"Content-Transfer-Encoding: 7bit" in build(text=("日本語", "ISO-2022-JP"))


@pytest.mark.parametrize(
    ("text", "charset"), [("한국", "ISO-8859-1"), ("x", "no-such"), ("x", "rot13"), ("é", "US-ASCII")]
)
def test_text_beyond_its_charset_is_refused(text: str, charset: str) -> None:
    with pytest.raises(Invalid, match="charset"):
        build(text=(text, charset))


@pytest.mark.parametrize(
    "given",
    [
        {"subject": ("a\r\nBcc: x@y", None)},
        {"subject": ("한\nBcc: x@y", None)},
        {"subject": ("한\x00", "EUC-KR")},
        {"headers": [("X-A", "한\rb")]},
        {"attachments": [Attachment("한\n.txt", b"")]},
        {"to": ["a@b\r\nBcc: x@y"]},
        {"to": ["A\n <a@b>"]},
        {"cc": ["nobody"]},
        {"reply_to": ["a@b, c@d"]},
        {"headers": [("X-A", "b\nc")]},
        {"headers": [("X-A\r\nBcc", "b")]},
        {"headers": [("X A", "b")]},
        {"headers": [("Bcc", "x@y")]},
        {"headers": [("X" * 127, "b")]},
        {"attachments": [Attachment("a\r\nb.txt", b"")]},
        {"attachments": [Attachment("a", b"", content_type="text/plain\r\nX: y")]},
        {"attachments": [Attachment("a", b"", content_type="multipart/mixed")]},
        {"attachments": [Attachment("a", b"", content_id="x>\r\n")]},
        {"attachments": [Attachment("a", b"", description="x\ny")]},
        {"attachments": [Attachment("a", b"\xff", transfer_encoding="7bit")]},
        {"attachments": [Attachment("a", b"", disposition="other")]},
    ],
)
def test_injection_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        build(**given)


FILES = [
    Attachment("한국어 문서 " * 8 + ".pdf", b"%PDF\x00\xff" * 100),
    Attachment('q"uo\\te.txt', b"a\r\nb\r\n", transfer_encoding="7bit"),
    Attachment("qp.txt", b"a=\nb\rc \xff" * 50, "application/x-any", transfer_encoding="quoted-printable"),
    Attachment("m.eml", b"From: a@b\r\n\r\nx\r\n", "message/rfc822", description="설명"),
]


def test_files_come_out_as_they_went_in() -> None:
    content = build(text=("t", None), html=("<img src=cid:i>", None), attachments=FILES)
    parts = list(judged(content).iter_attachments())
    assert [part.get_filename() for part in parts] == [file.filename for file in FILES]
    assert [part.get_payload(decode=True) for part in parts[:3]] == [file.content for file in FILES[:3]]
    assert set(attachment_names(Message.parse(content))) >= {file.filename for file in FILES}


def test_inline_pictures_stand_beside_the_html() -> None:
    picture = Attachment("p.png", b"\x89PNG", disposition="inline", content_id="<i>")
    message = judged(build(text=("t", None), html=("h", None), attachments=[picture, FILES[0]]))
    assert [part.get_content_type() for part in message.walk()] == [
        *("multipart/mixed", "multipart/related", "multipart/alternative", "text/plain", "text/html"),
        *("image/png", "application/pdf"),
    ]
    assert next(part for part in message.walk() if part["Content-ID"])["Content-ID"] == "<i>"


def test_names_and_domains_beyond_ascii_are_encoded() -> None:
    content = build(to=["한국 <x@한국.example>", '"Doe, J" <j@b.example>'], cc=[f"y{i}@b.example" for i in range(40)])
    message = judged(content)
    assert [box.addr_spec for box in message["To"].addresses] == ["x@xn--3e0b707e.example", "j@b.example"]
    assert message["To"].addresses[0].display_name == "한국"
    assert len(message["Cc"].addresses) == 40


def test_boundary_does_not_occur_in_a_part() -> None:
    first = Message.parse(build(text=("t", None), html=("h", None))).value("Content-Type")
    assert first is not None
    boundary = first.partition(b'"')[2].rstrip(b'"').decode()
    content = build(text=(f"--{boundary}--\n", None), html=("h", None))
    assert [part.get_content().replace("\r", "") for part in judged(content).iter_parts()] == [f"--{boundary}--\n", "h"]


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.binary(max_size=300),
    st.sampled_from([None, "quoted-printable", "base64"]),
)
@settings(max_examples=150, deadline=None)
def test_any_text_and_any_file(text: str, data: bytes, encoding: str | None) -> None:
    content = build(
        text=(text, None), html=(text, None), attachments=[Attachment("a", data, transfer_encoding=encoding)]
    )
    message = judged(content)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    wanted = text.replace("\r\n", "\n").replace("\r", "\n")
    assert [leaf.get_payload(decode=True).decode().replace("\r\n", "\n") for leaf in leaves[:2]] == [wanted] * 2
    assert leaves[2].get_payload(decode=True) == data


@pytest.mark.parametrize("charset", ["UTF-8", "EUC-KR", "ISO-2022-KR", None])
def test_texts_are_read_back(charset: str | None) -> None:
    file = Attachment("a.txt", b"file", "text/plain")
    content = build(text=("한국 abc", charset), html=("<p>한국" + " x" * 600, charset), attachments=[file])
    assert text_parts(Message.parse(content)) == ("한국 abc", "<p>한국" + " x" * 600)
    assert text_parts(Message.parse(build(html=("h", None)))) == (None, "h")
    assert text_parts(Message.parse(b"\r\nplain")) == ("plain", None)


def test_a_hundred_thousand_reply_to_addresses_keep_nobody_waiting() -> None:
    begun = time.perf_counter()
    with pytest.raises(Invalid, match="too long"):
        build_simple("a@b.example", reply_to=["()" * 1000 + "a@b.example"] * 100_000, boundary_seed=1)
    assert time.perf_counter() - begun < 0.5


def test_thousands_of_inline_files_are_not_compared_with_each_other() -> None:
    files = [Attachment(f"{n}", b"x", disposition="inline", content_id=f"c{n}") for n in range(10_000)]
    begun = time.perf_counter()
    built = build_simple("a@b.example", html=("h", None), attachments=files, boundary_seed=1)
    assert time.perf_counter() - begun < 2.0
    assert built.count(b"Content-ID: <c") == 10_000
