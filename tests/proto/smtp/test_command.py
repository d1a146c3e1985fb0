"""Commands: what real clients write, and what nobody may."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.smtp.command import (
    Auth,
    Bdat,
    Command,
    CommandError,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Unknown,
    Vrfy,
    parse,
)
from peers.outcome import outcome


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("EHLO [IPv6:::1]", Ehlo("[IPv6:::1]")),
        ("ehlo a.example ", Ehlo("a.example")),
        ("HELO a", Helo("a")),
        ("STARTTLS", StartTls()),
        ("AUTH plain", Auth("PLAIN", None)),
        ("AUTH LOGIN dXNlcg==", Auth("LOGIN", b"dXNlcg==")),
        ("AUTH PLAIN =", Auth("PLAIN", b"=")),
        ("DATA", Data()),
        ("data  ", Data()),
        ("BDAT 12", Bdat(12, False)),
        ("BDAT 0 last", Bdat(0, True)),
        ("RSET", Rset()),
        ("NOOP anything", Noop()),
        ("QUIT", Quit()),
        ("VRFY someone", Vrfy("someone")),
        ("EXPN list", Expn("list")),
        ("HELP", Help("")),
        ("XFOO bar", Unknown("XFOO")),
        ("MAIL FROM:<a@b.example>", Mail("a@b.example", {})),
        ("mail from:<a@b.example> ", Mail("a@b.example", {})),
        ("MAIL FROM: <a@b.example>", Mail("a@b.example", {})),
        ("MAIL FROM: a@b.example", Mail("a@b.example", {})),
        ("MAIL FROM:a@b.example SIZE=3", Mail("a@b.example", {"SIZE": "3"})),
        ("MAIL FROM:<>", Mail("", {})),
        ("MAIL FROM:<> BODY=8BITMIME smtputf8", Mail("", {"BODY": "8BITMIME", "SMTPUTF8": ""})),
        (
            "MAIL FROM:<a@b.example> AUTH=<> RET=HDRS ENVID=q+3Dx",
            Mail("a@b.example", {"AUTH": "<>", "RET": "HDRS", "ENVID": "q+3Dx"}),
        ),
        ("RCPT TO:<@x.example,@y.example:a@b.example>", Rcpt("a@b.example", {})),
        ("RCPT TO:<@x.example:a@b.example>", Rcpt("a@b.example", {})),
        ('RCPT TO:<"a > b"@c.example>', Rcpt('"a > b"@c.example', {})),
        ('RCPT TO:<"a\\"b@x"@c.example>', Rcpt('"a\\"b@x"@c.example', {})),
        ("RCPT TO:<a@[192.0.2.1]>", Rcpt("a@[192.0.2.1]", {})),
        ("RCPT TO:<a@[IPv6:2001:db8::1]>", Rcpt("a@[IPv6:2001:db8::1]", {})),
        ("RCPT TO:<Postmaster>", Rcpt("Postmaster", {})),
        ("RCPT TO:<a@localhost>", Rcpt("a@localhost", {})),
        ("RCPT TO:<한글@도메인.example>", Rcpt("한글@도메인.example", {})),
        (f"RCPT TO:<{'v' * 100}@b.example>", Rcpt(f"{'v' * 100}@b.example", {})),
        (
            "RCPT TO:<a@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@b.example",
            Rcpt("a@b.example", {"NOTIFY": "SUCCESS,FAILURE", "ORCPT": "rfc822;a@b.example"}),
        ),
    ],
)
def test_good_commands(line: str, command: Command) -> None:
    assert parse(line.encode()) == command


@pytest.mark.parametrize(
    ("line", "verb", "address"),
    [
        ("EHLO", "EHLO", None),
        ("EHLO a b", "EHLO", None),
        ("HELO a\tb", "HELO", None),
        ("STARTTLS now", "STARTTLS", None),
        ("AUTH", "AUTH", None),
        ("AUTH A B C", "AUTH", None),
        ("QUIT x", "QUIT", None),
        ("BDAT", "BDAT", None),
        ("BDAT -1", "BDAT", None),
        ("BDAT 1 LAST x", "BDAT", None),
        ("BDAT ١", "BDAT", None),
        ("MAIL", "MAIL", None),
        ("MAIL TO:<a@b.example>", "MAIL", None),
        ("MAIL FROM:", "MAIL", ""),
        ("MAIL FROM:<a@b.example", "MAIL", "a@b.example"),
        ("MAIL FROM:a@b.example>", "MAIL", "a@b.example"),
        ("MAIL FROM:<a@b.example>SIZE=1", "MAIL", "a@b.example>SIZE=1"),
        ("MAIL FROM:<a b@c.example>", "MAIL", "a b@c.example"),
        ("MAIL FROM:<a..b@c.example>", "MAIL", "a..b@c.example"),
        ("MAIL FROM:<.a@c.example>", "MAIL", ".a@c.example"),
        ("MAIL FROM:<a@c.example.>", "MAIL", "a@c.example."),
        ("MAIL FROM:<a@-c.example>", "MAIL", "a@-c.example"),
        ("MAIL FROM:<@c.example>", "MAIL", "@c.example"),
        ("MAIL FROM:<a@>", "MAIL", "a@"),
        ("MAIL FROM:<a@b@c.example>", "MAIL", "a@b@c.example"),
        ("MAIL FROM:<a\u0085@c.example>", "MAIL", "a\u0085@c.example"),
        (f"MAIL FROM:<a@{'x' * 64}.example>", "MAIL", f"a@{'x' * 64}.example"),
        ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "MAIL", None),
        ("MAIL FROM:<a@b.example> SIZE=²", "MAIL", None),
        ("MAIL FROM:<a@b.example> =x", "MAIL", None),
        ("RCPT TO:<>", "RCPT", ""),
        ("RCPT TO:<someone>", "RCPT", "someone"),
        ("RCPT TO:<a@b.example>,<c@d.example>", "RCPT", "a@b.example>,<c@d.example"),
        ('RCPT TO:<"a@b.example>', "RCPT", '"a@b.example'),
    ],
)
def test_bad_commands(line: str, verb: str, address: str | None) -> None:
    with pytest.raises(CommandError) as caught:
        parse(line.encode())
    assert (caught.value.verb, caught.value.address) == (verb, address)


def test_bytes_that_are_no_utf8() -> None:
    with pytest.raises(CommandError) as caught:
        parse(b"RCPT TO:<a\xff@b.example>")
    assert (caught.value.verb, caught.value.address) == ("RCPT", "a\ufffd@b.example")
    assert parse(b"\xff\xfe") == Unknown("\ufffd\ufffd")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"", b"MAIL FROM:<", b"RCPT TO:", b"AUTH ", b"BDAT ", b"EHLO ", b"MAIL FROM:<a@b.example> "]),
    st.binary(max_size=80),
)
def test_any_bytes_are_a_command_or_a_syntax_error(begin: bytes, rest: bytes) -> None:
    found = outcome(lambda: parse(begin + rest), CommandError)
    if isinstance(found, CommandError):
        assert found.verb
        assert (begin + rest).upper().startswith(found.verb.encode())
    else:
        assert isinstance(found, Command)


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<" + b"a." * 2000,
        b"MAIL FROM:<" + b'"a' * 1300,
        b"MAIL FROM:<" + b"@a," * 1300 + b":x>",
        b"MAIL FROM:<" + b"\\" * 4000,
        b"MAIL FROM:<a@" + b"a-" * 2000 + b">",
        b'MAIL FROM:<"' + b'\\"' * 2000 + b">",
        b"MAIL FROM:<a@b.example> " + b"X-" * 1900 + b"=",
    ],
)
@pytest.mark.timeout(2)
def test_long_nonsense_is_refused_at_once(line: bytes) -> None:
    with pytest.raises(CommandError):
        parse(line)
