"""Korean, Japanese and others arrive: bytes unchanged through raw, the right characters through formatted sends."""

from __future__ import annotations

import base64
import email.header

import pytest

from peers.town import IDN, IDN_ASCII, SENDER, Arrived, Town, id_of, speak

pytestmark = pytest.mark.slow
KOREAN = "안녕하세요. 주문하신 상품이 발송되었습니다.\n감사합니다.\n"
JAPANESE = "こんにちは。ご注文の商品を発送しました。\nありがとうございます。\n"
CHARSETS = [
    ("EUC-KR", KOREAN),
    ("ISO-2022-KR", KOREAN),
    ("ISO-2022-JP", JAPANESE),
    ("Shift_JIS", JAPANESE),
    ("UTF-8", KOREAN + JAPANESE + "😀 Ü\n"),
    ("ISO-8859-1", "Grüße, déjà vu\n"),
]
BOX = "ann@one.test"


def encoded_word(text: str, charset: str) -> str:
    return f"=?{charset}?B?{base64.b64encode(text.encode(charset)).decode()}?="


def raw_message(text: str, charset: str) -> tuple[bytes, bytes, bytes]:
    """Header fields that must stay, the body, and the whole: the body's bytes are the charset's own."""
    name = encoded_word(text[:5], charset)
    fields = (
        f"From: {name} <{SENDER}>\r\nTo: {name}\r\n\t<{BOX}>\r\n"
        f"Subject: {encoded_word(text[:8], charset)}\r\n {encoded_word(text[8:12], charset)}\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n charset={charset}\r\n"
        f"Content-Transfer-Encoding: {'7bit' if charset.startswith('ISO-2022') else '8bit'}\r\n"
    ).encode()
    body = text.replace("\n", "\r\n").encode(charset)
    return fields, body, fields + b"\r\n" + body


def check_raw(town: Town, arrived: Arrived, fields: bytes, body: bytes, text: str) -> None:
    assert arrived.body == body
    assert fields in arrived.content
    assert town.signers(arrived.content) == ["sender.test", "provider.test"]
    parsed = arrived.parsed
    assert parsed.get_content().replace("\r\n", "\n") == text
    assert parsed["Subject"] == text[:12]
    assert parsed["From"].addresses[0].display_name == text[:5]


@pytest.mark.parametrize(("charset", "text"), CHARSETS, ids=[charset for charset, _ in CHARSETS])
def test_raw_bytes_are_unchanged(town: Town, charset: str, text: str) -> None:
    fields, body, whole = raw_message(text, charset)
    by_smtp = id_of(town.submit(whole))
    by_v1 = town.server.ses().send_raw_email(RawMessage={"Data": whole})["MessageId"]
    by_v2 = town.server.sesv2().send_email(Content={"Raw": {"Data": whole}})["MessageId"]
    for message in (by_smtp, by_v1, by_v2):
        check_raw(town, town.arrived(BOX, message), fields, body, text)
    assert town.trace(by_smtp)["header"]["subject"]


@pytest.mark.parametrize(("charset", "text"), CHARSETS, ids=[charset for charset, _ in CHARSETS])
def test_formatted_sends_are_written_in_the_charset_asked_for(town: Town, charset: str, text: str) -> None:
    html = f"<p>{text[:6]}</p>"
    source, target = f"{encoded_word(text[:4], 'UTF-8')} <{SENDER}>", f"{encoded_word(text[:3], 'UTF-8')} <{BOX}>"
    content = {
        "Subject": {"Data": text[:12], "Charset": charset},
        "Body": {"Text": {"Data": text, "Charset": charset}, "Html": {"Data": html, "Charset": charset}},
    }
    v1 = town.server.ses().send_email(Source=source, Destination={"ToAddresses": [target]}, Message=content)
    v2 = town.server.sesv2().send_email(
        FromEmailAddress=source, Destination={"ToAddresses": [target]}, Content={"Simple": content}
    )
    for message in (v1["MessageId"], v2["MessageId"]):
        arrived = town.arrived(BOX, message)
        assert town.signers(arrived.content) == ["sender.test", "provider.test"]
        parsed = arrived.parsed
        assert arrived.head.isascii()
        assert parsed["Subject"] == text[:12]
        assert parsed["From"].addresses[0].display_name == text[:4]
        assert parsed["To"].addresses[0].display_name == text[:3]
        for kind, wanted in (("plain", text), ("html", html)):
            part = parsed.get_body((kind,))
            assert str(part.get_content_charset()).lower() == charset.lower()
            assert part.get_content().replace("\r\n", "\n").strip() == wanted.strip()


def test_names_of_rfc_2047_and_2231_pass_unchanged(town: Town) -> None:
    """Folded, split within a character's bytes, with language, continued: none of it is ours to touch."""
    whole = (
        b"From: =?euc-kr?q?=C8=AB=B1=E6=B5=BF?= (=?utf-8?q?a_comment?=) <shop@sender.test>\r\n"
        b"To: =?utf-8?b?7JWI?=\r\n =?utf-8?b?64WV?= <ann@one.test>\r\n"
        b"Subject: =?ISO-2022-JP?B?GyRCJTMlcyU1ITwbKEI=?=\r\n\t=?iso-2022-jp?b?GyRCJUgbKEI=?=\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary*0="b o"; boundary*1=und\r\n\r\n'
        b"--b ound\r\nContent-Type: text/plain; charset*=us-ascii'en'utf-8\r\n\r\nx\r\n"
        b"--b ound\r\nContent-Type: application/pdf;\r\n name*0*=euc-kr'ko'%B0%DF%C0%FB;\r\n name*1*=%BC%AD.pdf\r\n"
        b"Content-Disposition: attachment;\r\n filename*=euc-kr'ko'%B0%DF%C0%FB%BC%AD.pdf\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b ound--\r\n"
    )
    message = id_of(town.submit(whole))
    arrived = town.arrived(BOX, message)
    head, _, body = whole.partition(b"\r\n\r\n")
    assert arrived.body == body
    assert head + b"\r\n" in arrived.content
    assert town.signers(arrived.content) == ["sender.test", "provider.test"]
    assert arrived.parsed["Subject"] == "コンサート"
    assert town.events(message)[0]["kind"] == "Send"


def test_names_of_attachments_are_written_for_everybody(town: Town) -> None:
    names = ["견적서 2024.pdf", "請求書.pdf", 'a "quoted" name;x=y.pdf', "Ünïcödé-" + "ä" * 150 + ".pdf"]
    sent = town.server.sesv2().send_email(
        FromEmailAddress=SENDER,
        Destination={"ToAddresses": [BOX]},
        Content={
            "Simple": {
                "Subject": {"Data": "files"},
                "Body": {"Text": {"Data": "x"}},
                "Attachments": [{"FileName": name, "RawContent": name.encode()} for name in names],
            }
        },
    )
    arrived = town.arrived(BOX, sent["MessageId"])
    assert arrived.head.isascii()
    assert [part.get_filename() for part in arrived.parsed.iter_attachments()] == names
    assert [part.get_content() for part in arrived.parsed.iter_attachments()] == [name.encode() for name in names]


def test_a_domain_in_its_own_letters_is_reached_by_its_a_label(town: Town) -> None:
    box = f"user@{IDN_ASCII}"
    content = {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}
    formatted = town.server.sesv2().send_email(
        FromEmailAddress=SENDER, Destination={"ToAddresses": [f"user@{IDN}"]}, Content={"Simple": content}
    )["MessageId"]
    raw = f"From: {SENDER}\r\nTo: {box}\r\nSubject: x\r\n\r\nx\r\n".encode()
    listed = town.server.ses().send_raw_email(RawMessage={"Data": raw}, Destinations=[f"user@{IDN}"])["MessageId"]
    with town.smtp() as client:
        by_smtp = id_of(speak(client, SENDER, [box], raw))
    for message in (formatted, listed, by_smtp):
        arrived = town.arrived(box, message)
        assert arrived.head.isascii()
        assert str(arrived.parsed["To"].addresses[0].addr_spec) == box
        assert [one["destination"] for one in town.ended(message)["deliveries"]] == [IDN_ASCII]


def test_addresses_beyond_ascii_are_refused_where_ses_refuses_them(town: Town) -> None:
    """A local part beyond ASCII is not for SES (SES: smtp §7)."""
    client = town.server.ses()
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.send_email(
            Source=SENDER,
            Destination={"ToAddresses": ["用户@one.test"]},
            Message={"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}},
        )
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"
    with town.smtp() as smtp:
        smtp.docmd("MAIL", f"FROM:<{SENDER}>")
        smtp.send("RCPT TO:<用户@one.test>\r\n".encode())
        code, text = smtp.getreply()
    assert code == 553
    assert text.endswith(b"address unknown")


def test_subject_of_the_event_is_as_it_was_written(town: Town) -> None:
    """Events show headers as submitted; the standard library can read what they show."""
    subject = encoded_word("안녕하세요", "EUC-KR")
    whole = f"From: {SENDER}\r\nTo: {BOX}\r\nSubject: {subject}\r\n\r\nx\r\n".encode()
    told = town.trace(id_of(town.submit(whole)))["header"]["subject"]
    assert str(email.header.make_header(email.header.decode_header(told))) == "안녕하세요"
