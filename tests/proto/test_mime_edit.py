"""Editing the texts of a message, judged by the standard library's reader."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest

from mailstead.proto.message import Message
from mailstead.proto.mime_edit import edit_texts
from mailstead.proto.mime_part import text_part
from mailstead.proto.mime_structure import MAX_PARTS


def text_of(part: EmailMessage) -> str:
    """What is in a part, with the newlines of Python."""
    return str(part.get_content()).replace("\r\n", "\n")


LONG = "https://example.org/" + "x" * 400


def shout(kind: str, text: bytes) -> bytes:
    return text.replace(b"HERE", f"{kind}:{LONG}".encode())


def edited(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(edit_texts(Message.parse(content), shout), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    return message


def made(text: str, **options: str) -> bytes:
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = "HERE stays"
    message.set_content(text, **options)
    return message.as_bytes()


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("text", ["go HERE.\n", "line\n\nHERE and HERE = \n.\nend\n"])
def test_each_transfer_encoding(encoding: str, text: str) -> None:
    message = edited(made(text, cte=encoding))
    assert message["Content-Transfer-Encoding"] == encoding
    assert text_of(message) == text.replace("HERE", f"text/plain:{LONG}")
    assert message["Subject"] == "HERE stays"


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "iso-2022-jp", "utf-16", "utf-16le", "shift_jis"])
def test_each_charset(charset: str) -> None:
    text = {"iso-8859-1": "größer HERE\n", "utf-8": "größer HERE ✓\n"}.get(charset, "日本 HERE\n")
    # Not by the standard library's writer: it breaks UTF-16 at its newlines.
    message = edited(text_part("plain", text, charset))
    assert text_of(message) == text.replace("HERE", f"text/plain:{LONG}")


def test_text_and_html_and_no_attachment() -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message.set_content("text HERE\n")
    message.add_alternative("<p>HERE</p>\n", subtype="html")
    message.add_attachment("attached HERE\n", filename="a.txt")
    inner = EmailMessage(policy=email.policy.SMTP)
    inner.set_content("forwarded HERE\n")
    message.add_attachment(inner)
    text, html, attached, forwarded = [part for part in edited(message.as_bytes()).walk() if not part.is_multipart()]
    assert text_of(text) == f"text text/plain:{LONG}\n"
    assert text_of(html) == f"<p>text/html:{LONG}</p>\n"
    assert text_of(attached) == "attached HERE\n"
    assert text_of(forwarded) == "forwarded HERE\n"


@pytest.mark.parametrize(
    "header", ["", "Content-Transfer-Encoding: 7bit\r\n", "content-transfer-encoding:\r\n 8BIT\r\n"]
)
def test_a_line_that_gets_too_long(header: str) -> None:
    content = f"Subject: x\r\n{header}X-Last: y\r\n\r\n".encode() + b"a = b " * 120 + b"HERE\r\nend\r\n"
    changed = edit_texts(Message.parse(content), shout)
    assert max(map(len, changed.split(b"\r\n"))) < 100
    message = email.message_from_bytes(changed, policy=email.policy.default)
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert (message["X-Last"], message["Subject"]) == ("y", "x")
    assert text_of(message) == "a = b " * 120 + f"text/plain:{LONG}\nend\n"


@pytest.mark.parametrize(
    "content",
    [
        made("nothing to do\n"),
        b"Subject: x\r\n\r\n",
        b"Subject: x",
        b"\r\nHERE".replace(b"HERE", b"there"),
        b"Content-Type: text/plain; charset=utf-16\r\n\r\n\xff\xfeH\x00E\x00R",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + b"HERE" + b"x" * 999 + b"\r\n--b--\r\n",
    ],
)
def test_what_is_not_changed_keeps_its_bytes(content: bytes) -> None:
    assert edit_texts(Message.parse(content), shout) == content


def test_many_parts() -> None:
    parts = b"".join(b"--b\r\nX: y\r\n\r\nHERE\r\n" for _ in range(MAX_PARTS - 1))
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"
    assert edit_texts(Message.parse(content), lambda kind, text: b"!") == content.replace(b"HERE", b"!")
