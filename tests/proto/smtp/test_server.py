"""The server engine: SES's dialogue word for word, a good MX's, and every way to be refused."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.errors import LocalProtocolError
from mailstead.proto.sasl import Credentials
from mailstead.proto.smtp.command import Mail, Quit, Rcpt
from mailstead.proto.smtp.dialogue import Offer, mx_offer, submission_offer
from mailstead.proto.smtp.reply import Reply
from mailstead.proto.smtp.server import Content, Event, ServerEngine, TlsWanted

SES_HOST = "email-smtp.amazonaws.com"
SES = submission_offer(SES_HOST, f"{SES_HOST} ESMTP SimpleEmailService-d-VCSHDP1YZ A1b2C3d4E5f6G7h8I9j0")
OPEN = replace(SES, require_tls=False, require_auth=False)
MX = mx_offer("mx.example.org", "mx.example.org ESMTP")
ID = "0100018c1a2b3c4d-21e57d9a-1ab2-416c-bbe1-8ebaa0000000-000000"


def door(engine: ServerEngine, event: Event) -> Reply:
    words = engine.offer.words
    match event:
        case TlsWanted():
            return words.ready_for_tls
        case Credentials(password="right"):
            return words.auth_ok
        case Credentials():
            return words.auth_failed
        case Content():
            return replace(words.ok, text=f"Ok {ID}")
        case Rcpt(address="nobody@example.com"):
            return Reply(550, "user unknown", "5.1.1")
        case Rcpt():
            return words.recipient_ok
        case _:
            return words.sender_ok


def feed(engine: ServerEngine, data: bytes) -> tuple[bytes, list[Event]]:
    """Feed bytes, answer as the door does; what was said and what was asked."""
    events: list[Event] = []
    engine.receive(data)
    while (event := engine.next_event()) is not None:
        events.append(event)
        if not isinstance(event, Quit):
            engine.answer(door(engine, event))
    return engine.output(), events


def started(offer: Offer, data: bytes = b"") -> ServerEngine:
    engine = ServerEngine(offer)
    engine.greet()
    feed(engine, data)
    return engine


def said(engine: ServerEngine, data: bytes) -> str:
    return feed(engine, data)[0].decode()


def b64(text: str) -> bytes:
    return b64encode(text.encode())


def test_the_dialogue_of_ses() -> None:
    engine = ServerEngine(SES)
    engine.greet()
    greeting = f"220 {SES_HOST} ESMTP SimpleEmailService-d-VCSHDP1YZ A1b2C3d4E5f6G7h8I9j0\r\n"
    assert engine.output().decode() == greeting
    first = f"250-{SES_HOST}\r\n250-8BITMIME\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 Ok\r\n"
    assert said(engine, b"EHLO client.example.com\r\n") == first
    assert said(engine, b"STARTTLS\r\n") == "220 Ready to start TLS\r\n"
    engine.tls_started("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert (engine.helo, engine.esmtp) == ("", False)
    second = f"250-{SES_HOST}\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n250 Ok\r\n"
    lines = [
        (b"EHLO client.example.com", second),
        (b"AUTH LOGIN", "334 VXNlcm5hbWU6\r\n"),
        (b64("user"), "334 UGFzc3dvcmQ6\r\n"),
        (b64("right"), "235 Authentication successful.\r\n"),
        (b"MAIL FROM:<sender@example.com>", "250 Ok\r\n"),
        (b"RCPT TO:<recipient@example.com>", "250 Ok\r\n"),
        (b"DATA", "354 End data with <CR><LF>.<CR><LF>\r\n"),
        (b"Subject: x\r\n\r\n..hello", ""),
        (b".", f"250 Ok {ID}\r\n"),
        (b"QUIT", "221 Bye\r\n"),
    ]
    for line, answer in lines:
        assert said(engine, line + b"\r\n") == answer
    assert engine.closed
    assert (engine.username, engine.authenticated, engine.helo, engine.esmtp) == (
        "user",
        True,
        "client.example.com",
        True,
    )
    assert engine.tls == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")


def test_the_dialogue_of_an_mx() -> None:
    engine = started(MX)
    assert said(engine, b"EHLO a.example\r\n").splitlines() == [
        "250-mx.example.org",
        "250-PIPELINING",
        "250-8BITMIME",
        "250-SIZE 41943040",
        "250-SMTPUTF8",
        "250-ENHANCEDSTATUSCODES",
        "250-CHUNKING",
        "250 STARTTLS",
    ]
    output, events = feed(
        engine,
        b"MAIL FROM:<> SIZE=100 BODY=8BITMIME\r\nRCPT TO:<nobody@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n",
    )
    assert output.decode().splitlines() == [
        "250 2.1.0 Ok",
        "550 5.1.1 user unknown",
        "250 2.1.5 Ok",
        "354 End data with <CR><LF>.<CR><LF>",
    ]
    assert events[0] == Mail("", {"SIZE": "100", "BODY": "8BITMIME"})
    output, events = feed(engine, b"a\r\n.\r\nNOOP\r\nQUIT\r\n")
    assert events == [Content(b"a\r\n", {"SIZE": "100", "BODY": "8BITMIME"}), Quit()]
    assert output.decode() == f"250 2.0.0 Ok {ID}\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n"


def test_helo_is_answered_with_the_name_alone() -> None:
    engine = started(SES)
    assert said(engine, b"HELO x\r\n") == f"250 {SES_HOST}\r\n"
    assert not engine.esmtp


CLEAR = [
    (b"MAIL FROM:<a@b.example>", "530 Must issue a STARTTLS command first"),
    (b"MAIL FROM:<broken", "530 Must issue a STARTTLS command first"),
    (b"AUTH PLAIN", "530 Must issue a STARTTLS command first"),
    (b"DATA", "530 Must issue a STARTTLS command first"),
    (b"RSET", "250 Ok"),
    (b"NOOP x", "250 Ok"),
    (b"VRFY a", "252 Cannot VRFY user, but will accept message and attempt delivery"),
    (b"EXPN a", "502 Not implemented"),
    (b"WHAT", "500 Unknown command"),
    (b"", "500 Unknown command"),
    (b"EHLO", "501 Syntax error in parameters or arguments"),
    (b"a\rb", "500 Syntax error, command unrecognized"),
    (b"NOOP " + b"x" * 5000, "500 Line too long"),
]
SECURE = [
    (b"MAIL FROM:<a@b.example>", "530 Authentication required"),
    (b"RCPT TO:<a@b.example>", "530 Authentication required"),
    (b"DATA", "530 Authentication required"),
    (b"STARTTLS", "503 Bad sequence of commands"),
    (b"AUTH CRAM-MD5", "504 Unrecognized authentication type"),
    (b"AUTH PLAIN !!", "501 Syntax error in parameters or arguments"),
    (b"AUTH PLAIN " + b64("\0user\0wrong"), "535 Authentication Credentials Invalid"),
    (b"AUTH PLAIN " + b64("\0user\0right"), "235 Authentication successful."),
]
ADMITTED = [
    (b"RCPT TO:<a@b.example>", "503 Bad sequence of commands"),
    (b"DATA", "503 Bad sequence of commands"),
    (b"MAIL FROM:<a b@c>", "553 <a b@c> Invalid email address"),
    (b"MAIL FROM:<AKIAEXAMPLE>", "501 Invalid MAIL FROM address provided"),
    (b"MAIL FROM:<a@b.example> SIZE=99999999", "552 Message is too long."),
    (b"MAIL FROM:<a@b.example> SIZE=x", "501 Syntax error in parameters or arguments"),
    (b"MAIL FROM:<a@b.example> FOO=1", "555 MAIL FROM/RCPT TO parameters not recognized or not implemented"),
    (b"MAIL FROM:<a@b.example> SMTPUTF8", "555 MAIL FROM/RCPT TO parameters not recognized or not implemented"),
    ("MAIL FROM:<é@b.example>".encode(), "553 <é@b.example> Invalid email address"),
    (b"MAIL FROM: a@b.example", "250 Ok"),
    (b"MAIL FROM:<a@b.example>", "503 Bad sequence of commands"),
    (b"AUTH PLAIN", "503 Bad sequence of commands"),
    (b"RCPT TO:<nope", "553 <nope> address unknown"),
    (b"RCPT TO:<>", "553 <> address unknown"),
    (b"DATA", "503 Bad sequence of commands"),
    (b"BDAT 0 LAST", "502 Not implemented"),
    (b"RCPT TO:<a@b.example>", "250 Ok"),
    (b"DATA x", "501 Syntax error in parameters or arguments"),
    (b"EHLO again.example", None),
    (b"DATA", "503 Bad sequence of commands"),
]


@pytest.mark.parametrize(
    ("offer", "tls", "auth", "table"),
    [(SES, False, False, CLEAR), (SES, True, False, SECURE), (SES, True, True, ADMITTED)],
    ids=["clear", "secure", "admitted"],
)
def test_refusals(offer: Offer, tls: bool, auth: bool, table: list[tuple[bytes, str | None]]) -> None:
    engine = ServerEngine(replace(offer, max_errors=1000))
    if tls:
        engine.tls_started("TLSv1.3", "x")
    engine.greet()
    feed(engine, b"EHLO c.example\r\n")
    if auth:
        feed(engine, b"AUTH PLAIN " + b64("\0user\0right") + b"\r\n")
    for line, answer in table:
        output = said(engine, line + b"\r\n")
        if answer is not None:
            assert output == answer + "\r\n", line


PLAIN_OK = b64("\0user\0right")


@pytest.mark.parametrize(
    ("lines", "answers"),
    [
        ([b"AUTH PLAIN " + PLAIN_OK], ["235"]),
        ([b"auth plain", PLAIN_OK], ["334 ", "235"]),
        ([b"AUTH PLAIN", b64("other\0user\0right")], ["334 ", "235"]),
        ([b"AUTH PLAIN", b"*"], ["334 ", "501"]),
        ([b"AUTH PLAIN", b64("user\0right")], ["334 ", "501"]),
        ([b"AUTH PLAIN", b64encode(b"\0\xff\0x")], ["334 ", "501"]),
        ([b"AUTH PLAIN ="], ["501"]),
        ([b"AUTH LOGIN", b64("user"), b64("right")], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235"]),
        ([b"AUTH LOGIN " + b64("user"), b64("right")], ["334 UGFzc3dvcmQ6", "235"]),
        ([b"AUTH LOGIN " + b64("user"), b64("wrong")], ["334 UGFzc3dvcmQ6", "535"]),
        ([b"AUTH LOGIN", b64("user"), b"*", b"NOOP"], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "501", "250"]),
        ([b"AUTH LOGIN", b"NOOP", b"NOOP"], ["334 VXNlcm5hbWU6", "501", "250"]),  # base64, but not of UTF-8
        ([b"AUTH LOGIN", b64("us\0er"), b"NOOP"], ["334 VXNlcm5hbWU6", "501", "250"]),
        ([b"AUTH LOGIN", b"a" * 13000, b"NOOP"], ["334 VXNlcm5hbWU6", "500", "250"]),
        ([b"AUTH"], ["501"]),
        ([b"AUTH PLAIN " + PLAIN_OK, b"AUTH PLAIN " + PLAIN_OK], ["235", "503"]),
        ([b"AUTH PLAIN " + b64("\0user\0" + "x" * 8000)], ["535"]),
    ],
)
def test_auth_forms(lines: list[bytes], answers: list[str]) -> None:
    engine = started(replace(SES, require_tls=False), b"EHLO x\r\n")
    for line, answer in zip(lines, answers, strict=True):
        assert said(engine, line + b"\r\n").startswith(answer)


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(Credentials("PLAIN", "user", "secret"))


def test_what_was_pipelined_behind_starttls_is_thrown_away() -> None:
    engine = started(MX, b"EHLO x\r\n")
    output, events = feed(engine, b"STARTTLS\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<a@b.example>\r\n")
    assert output == b"220 2.0.0 Ready to start TLS\r\n"
    assert events == [TlsWanted()]
    assert feed(engine, b"NOOP\r\n") == (b"", [])
    engine.tls_started("TLSv1.2", "x")
    assert feed(engine, b"") == (b"", [])
    assert said(engine, b"MAIL FROM:<a@b.example>\r\n").startswith("503")
    assert "STARTTLS" not in said(engine, b"EHLO x\r\n")


def test_auth_is_forgotten_at_starttls() -> None:
    engine = started(replace(SES, require_tls=False), b"EHLO x\r\nAUTH PLAIN " + PLAIN_OK + b"\r\n")
    assert engine.authenticated
    feed(engine, b"STARTTLS\r\n")
    engine.tls_started("TLSv1.3", "x")
    assert not engine.authenticated
    assert said(engine, b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n").endswith("530 Authentication required\r\n")


def test_a_starttls_refused_by_the_door_goes_on_in_the_clear() -> None:
    engine = started(MX, b"EHLO x\r\n")
    engine.receive(b"STARTTLS\r\nNOOP\r\n")
    assert engine.next_event() == TlsWanted()
    engine.answer(MX.words.tls_unavailable)
    assert engine.next_event() is None
    assert engine.output() == b"454 4.7.0 TLS is not available now\r\n250 2.0.0 Ok\r\n"


@pytest.mark.parametrize(
    ("offer", "count", "last"), [(MX, 100, "452 4.5.3 Too many recipients"), (OPEN, 1000, "452 Too many recipients")]
)
def test_too_many_recipients(offer: Offer, count: int, last: str) -> None:
    engine = started(offer, b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n")
    output, events = feed(engine, b"RCPT TO:<a@b.example>\r\n" * (count + 1))
    assert len(events) == count
    assert output.decode().splitlines()[-1] == last


def test_too_many_errors_end_the_session() -> None:
    engine = started(SES)
    output, _ = feed(engine, b"X\r\n" * 50)
    assert output.decode().splitlines() == ["500 Unknown command"] * 20 + ["421 Too many errors on this connection"]
    assert engine.closed


def test_a_browser_is_shown_the_door() -> None:
    engine = started(MX)
    assert said(engine, b"POST / HTTP/1.1\r\nHost: mx\r\n\r\nEHLO x\r\n").startswith("421 ")
    assert engine.closed


def test_refused_timed_out_and_421_close() -> None:
    engine = ServerEngine(SES)
    engine.refuse(SES.words.too_many_connections)
    assert engine.output() == b"421 Too many concurrent SMTP connections\r\n"
    assert engine.closed
    assert started(SES).timed_out() == b"451 4.4.2 Timeout waiting for data from client.\r\n"
    engine = started(MX, b"EHLO x\r\n")
    engine.receive(b"MAIL FROM:<a@b.example>\r\n")
    engine.next_event()
    engine.answer(Reply(421, "going down", "4.3.2"))
    assert engine.closed


def test_answering_nothing_is_our_bug() -> None:
    with pytest.raises(LocalProtocolError):
        started(MX).answer(Reply(250, "Ok"))


def test_a_bare_lf_ends_a_command_line() -> None:
    assert started(MX).output() == b""
    assert said(started(MX), b"HELO x\nNOOP\n") == "250 mx.example.org\r\n250 2.0.0 Ok\r\n"


def test_a_long_line_is_swallowed_whole() -> None:
    engine = started(MX, b"EHLO x\r\n")
    engine_output = said(engine, b"NOOP " + b"x" * 5000) + said(engine, b"y" * 100000) + said(engine, b"\r\nNOOP\r\n")
    assert engine_output == "500 5.5.6 Line too long\r\n250 2.0.0 Ok\r\n"
    assert engine.buffered == 0


def test_a_reply_cannot_be_split_by_an_address() -> None:
    engine = started(OPEN, b"EHLO x\r\n")
    assert said(engine, b"MAIL FROM:<a\x00\x0b@b c>\r\n") == "553 <a  @b c> Invalid email address\r\n"
    assert len(said(engine, b"MAIL FROM:<" + b"x@" * 1500 + b">\r\n")) < 512


ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
SMALL = replace(MX, max_message=1000)


def content_of(offer: Offer, wire: bytes) -> tuple[list[bytes], str]:
    output, events = feed(started(offer, ENVELOPE + b"DATA\r\n"), wire)
    return [event.data for event in events if isinstance(event, Content)], output.decode()


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"..a\r\n...\r\n....b\r\n.\r\n", b".a\r\n..\r\n...b\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a\0b\r\n.\r\n", b"a\0b\r\n"),
        (b"x" * 998 + b"\r\n.\r\n", b"x" * 998 + b"\r\n"),
        (b"." + b"." * 998 + b"\r\n.\r\n", b"." * 998 + b"\r\n"),
        (b"a\nb\rc\r\r\n.\r\n", b"a\r\nb\r\nc\r\n\r\n"),
        (b"a\n..\n..b\n.c\n\r\n..d\n\r\n.\r\n", b"a\r\n.\r\n.b\r\n.c\r\n\r\n.d\r\n\r\n"),
    ],
)
def test_content(wire: bytes, content: bytes) -> None:
    assert content_of(MX, wire)[0] == [content]


@pytest.mark.parametrize(
    ("offer", "wire", "answer"),
    [
        (SMALL, b"x" * 500 + b"\r\n" + b"y" * 500 + b"\r\n.\r\n", "552 5.3.4 Message is larger than this server takes"),
        (SMALL, (b"x" * 500 + b"\r\n") * 1000 + b".\r\n", "552 5.3.4 Message is larger than this server takes"),
        (replace(OPEN, max_message=10), b"12345678\r\n1\r\n.\r\n", "552 Message is too long."),
        (OPEN, b"a\r\n" + b"x" * 999 + b"\r\n.\r\n", "500 Line too long"),
        (MX, b"x" * 10000 + b"\r\n.\r\n", "500 5.6.0 Line too long"),
        (replace(OPEN, bare_newline="refuse"), b"a\nb\r\n.\r\n", "554 Transaction failed: Bare LF"),
        (replace(MX, bare_newline="refuse"), b"a\rb\r\n.\r\n", "550 5.6.0 Bare LF or CR in the message"),
    ],
)
def test_content_refused(offer: Offer, wire: bytes, answer: str) -> None:
    contents, output = content_of(offer, wire)
    assert contents == []
    assert output == answer + "\r\n"
    engine = started(offer, ENVELOPE + b"DATA\r\n")
    assert said(engine, wire + b"MAIL FROM:<a@b.example>\r\n").splitlines()[-1].startswith("250 ")


EVIL = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nsmuggled\r\n"
FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r.\n",
    b"\n.\r",
    b"\n\n.\r\n",
    b"\r\r\n.\n",
    b"\r\n\x00.\r\n",
    b"\r\n.\x00\r\n",
    b"\r\n.\r\r\n",
    b"\r\n. \r\n",
    b"\r\x00\n.\r\n",
    "\u2028.\u2028".encode(),
    b"\x85.\x85",
]


@pytest.mark.parametrize("bare", ["normalize", "refuse"])
@pytest.mark.parametrize("end", FALSE_ENDS)
def test_a_second_message_is_not_smuggled_in(end: bytes, bare: str) -> None:
    offer = replace(MX, bare_newline=bare)  # type: ignore[arg-type]
    output, events = feed(started(offer, ENVELOPE + b"DATA\r\n"), b"first" + end + EVIL + b".\r\n")
    assert not [event for event in events if isinstance(event, Mail)]
    assert output.count(b"\r\n") == 1
    for event in events:
        assert isinstance(event, Content)
        assert b"smuggled" in event.data
        assert event.data.count(b"\r\n") == event.data.count(b"\n") == event.data.count(b"\r")


@pytest.mark.parametrize(
    "end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n.\r"]
)
def test_a_lone_dot_on_a_bare_line_is_content(end: bytes) -> None:
    assert content_of(MX, b"a" + end + b"b\r\n.\r\n")[0] == [b"a\r\n.\r\nb\r\n"]


def test_bdat() -> None:
    engine = started(MX, ENVELOPE)
    output, events = feed(engine, b"BDAT 5\r\n.\r\nab" + b"BDAT 4 LAST\r\nc\nd\n" + b"NOOP\r\n")
    assert output.decode().splitlines() == ["250 2.0.0 5 octets received", f"250 2.0.0 Ok {ID}", "250 2.0.0 Ok"]
    assert events == [Content(b".\r\nabc\r\nd\r\n", {})]


@pytest.mark.parametrize(
    ("commands", "answers"),
    [
        (b"BDAT 2 LAST\r\na\nDATA\r\n", ["250 2", "503 5"]),
        (b"BDAT 2\r\na\nDATA\r\n", ["250 2", "503 5"]),
        (b"BDAT 2\r\na\nRSET\r\nBDAT 6 LAST\r\nNOOP\r\nNOOP\r\n", ["250 2", "250 2", "503 5", "250 2"]),
        (b"BDAT 1001\r\n" + b"x" * 1001 + b"BDAT 0 LAST\r\nNOOP\r\n", ["552 5", "552 5", "250 2"]),
        (b"BDAT 600\r\n" + b"x" * 600 + b"BDAT 600 LAST\r\n" + b"x" * 600 + b"NOOP\r\n", ["250 2", "552 5", "250 2"]),
        (b"BDAT x\r\nBDAT 2 LAST\r\nab", ["501 5", "250 2"]),
        (b"BDAT 0 LAST\r\n", ["250 2"]),
    ],
)  # fmt: skip
def test_bdat_sequences(commands: bytes, answers: list[str]) -> None:
    lines = said(started(SMALL, ENVELOPE), commands).splitlines()
    assert [line[:5] for line in lines] == answers


def test_bdat_of_refused_recipients_is_not_read_as_commands() -> None:
    engine = started(MX, b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@example.com>\r\n")
    output, events = feed(engine, b"BDAT 33 LAST\r\nMAIL FROM:<evil@example.com>\r\n12\nRSET\r\n")
    assert events == []
    assert output.decode().splitlines() == ["503 5.5.1 Bad sequence of commands", "250 2.0.0 Ok"]


def test_smtputf8() -> None:
    engine = started(MX, b"EHLO x\r\n")
    assert said(engine, "MAIL FROM:<é@b.example>\r\n".encode()).startswith("550 5.6.7 <é@b.example>")
    assert said(engine, b"MAIL FROM:<a@b.example>\r\n").startswith("250")
    assert said(engine, "RCPT TO:<é@b.example>\r\n".encode()).startswith("553 5.6.7")
    output, events = feed(
        engine, "RSET\r\nMAIL FROM:<é@bücher.example> SMTPUTF8\r\nRCPT TO:<한@b.example>\r\n".encode()
    )
    assert [event.address for event in events if isinstance(event, Mail | Rcpt)] == ["é@bücher.example", "한@b.example"]
    assert output.count(b"250 ") == 3


def test_other_newlines_than_ascii_do_not_break_a_line() -> None:
    engine = started(replace(MX, max_errors=1000), b"EHLO x\r\n")
    assert said(engine, "MAIL FROM:<a\u2028@b.example> SMTPUTF8\r\n".encode()).count("\r\n") == 1


SESSION = (
    b"EHLO x\r\nMAIL FROM:<a@b.example> SIZE=20\r\nRCPT TO:<nobody@example.com>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
    b"..a\r\n.b\nc\r\n.\n\n.\r\n\r\n.\r\n"
    b"MAIL FROM:<>\r\nRCPT TO:<x@y.example>\r\nBDAT 7\r\nab\r\n.\r\nBDAT 3 LAST\r\nx\ry"
    b"FOO\r\nNOOP " + b"z" * 5000 + b"\r\nVRFY\nb\rc\r\nAUTH PLAIN\r\nMAIL FROM:<a@b>\r\nDATA\r\nQUIT\r\nNOOP\r\n"
)
LOGIN = (
    b"EHLO x\r\nAUTH LOGIN\r\n" + b64("u") + b"\r\n" + b64("wrong") + b"\r\nAUTH PLAIN " + PLAIN_OK + b"\r\n"
    b"MAIL FROM: a@b.example\r\nRCPT TO:c@d.example\r\nDATA\r\n" + b"x" * 999 + b"\r\n.\r\nRSET\r\nQUIT\r\n"
)


@settings(max_examples=100, deadline=None)
@given(session=st.sampled_from([(MX, SESSION), (replace(SES, require_tls=False), LOGIN)]), data=st.data())
def test_cut_anywhere_the_same_happens(session: tuple[Offer, bytes], data: st.DataObject) -> None:
    offer, wire = session
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=40)))
    whole = feed(started(offer), wire)
    engine = started(offer)
    output, events = b"", []
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        said_now, asked = feed(engine, wire[begin:end])
        output += said_now
        events += asked
    assert (output, events) == whole


def test_byte_by_byte_the_same_happens() -> None:
    engine = started(MX)
    output, events = b"", []
    for index in range(len(SESSION)):
        said_now, asked = feed(engine, SESSION[index : index + 1])
        output += said_now
        events += asked
    assert (output, events) == feed(started(MX), SESSION)


WORDS = [b"MAIL FROM:<", b"RCPT TO:<", b"a@b.example", b">", b"\r\n", b"\n", b"\r", b".", b"DATA\r\n", b"BDAT ", b"3"]
WORDS += [b" LAST", b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"=", b"*", b"EHLO x\r\n", b"STARTTLS\r\n", b'"', b"\\"]
WORDS += [b"@x,@y:", b" SIZE=", b"\xff", b"\0"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=20)), max_size=60), st.sampled_from([MX, OPEN, SES])
)
def test_no_bytes_break_the_engine(pieces: list[bytes], offer: Offer) -> None:
    engine = started(offer, b"EHLO x\r\n")
    for piece in pieces:
        output, _ = feed(engine, piece)
        for line in output.split(b"\r\n")[:-1]:
            assert line[:3].isdigit()
            assert line[3:4] in b" -"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_message_that_is_dropped_half_way_is_told_at_its_end(chunked: bool) -> None:
    engine = ServerEngine(MX)
    engine.greet()
    begin = b"EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\n"
    engine.receive(begin + (b"BDAT 6\r\nabcd" if chunked else b"DATA\r\nabcd"))
    while (event := engine.next_event()) is not None:
        engine.answer(door(engine, event))
    engine.output()
    assert engine.held == 4
    engine.drop_content(Reply(452, "full", "4.3.1"))
    assert engine.held == 0
    engine.receive(b"efBDAT 2 LAST\r\ngh" if chunked else b"ef\r\n.\r\n")
    assert engine.next_event() is None
    assert engine.output() == b"452 4.3.1 full\r\n" * (1 + chunked)
    engine.receive(begin + b"DATA\r\nabcd\r\n.\r\n")
    events = []
    while (event := engine.next_event()) is not None:
        events.append(event)
        engine.answer(door(engine, event))
    assert events[-1] == Content(b"abcd\r\n", {})
