"""Composition: what a caller hands in becomes one message, and every byte it need not touch stays as it was."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.errors import Invalid, TooLarge
from mailstead.outbound import composition
from mailstead.outbound.composition import OPTIONS, REMOVED, Draft, Options, Simple
from mailstead.proto.message import Message
from mailstead.ses.list_management import Managed

NOW = 1_567_795_934_000  # Fri, 6 Sep 2019 18:52:14 +0000
ID = "010001576b2b1c4a-5c5d7c1b-1f8b-4b1e-9a0a-9d7e8c0a6f1e-000000"
FROM = b"From: a@example.com\r\n"
BODY = b"\r\nbody\r\n"


def read(*fields: bytes, body: bytes = BODY, limit: int = 1 << 20) -> Message:
    return composition.read(b"".join(fields) + body, limit)


def draft(
    *fields: bytes,
    source: str | None = "a@example.com",
    return_path: str | None = None,
    to: tuple[str, ...] | None = ("r@example.net",),
    options: Options | None = None,
) -> Draft:
    return composition.draft(
        read(*(fields or (FROM,))),
        source=source,
        return_path=return_path,
        destinations=to,
        options=options or Options(),
    )


def finish(content: bytes, *, region: str = "us-east-1", account: str = "111122223333") -> bytes:
    message = Message.parse(content)
    return composition.finish(message, message_id=ID, region=region, account=account, provider="mail.test", now=NOW)


def addresses(mailboxes: tuple[composition.Mailbox, ...]) -> list[str]:
    return [mailbox.address for mailbox in mailboxes]


# -- what is removed and added


def test_the_end_of_the_header_is_ours() -> None:
    made = finish(FROM + b"Subject: s\r\n" + BODY)
    header, _, body = made.partition(b"\r\n\r\n")
    assert body == b"body\r\n"
    assert header.decode().split("\r\n") == [
        "From: a@example.com",
        "Subject: s",
        f"Message-ID: <{ID}@email.mail.test>",
        "Date: Fri, 6 Sep 2019 18:52:14 +0000",
        "Feedback-ID: " + composition.feedback_id("us-east-1", "111122223333"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        (FROM, b"X: " + b"a" * 996 + b"\r\n"),
        (FROM, b"Subject: a\r\n " + b"b " * 500 + b"\r\n"),
        (b"To: " + b"a@example.net, " * 80 + b"\r\n", FROM),
        (FROM, b"X: " + b"a" * 996),
        (FROM, b"X: " + b"a" * 996 + b"\n"),
    ],
)
def test_a_header_line_that_other_servers_would_cut(fields: tuple[bytes, ...]) -> None:
    with pytest.raises(Invalid, match=r"^Line too long$"):
        read(*fields)


def test_lines_of_998_and_longer_ones_of_the_body_pass() -> None:
    field, body = b"X: " + b"a" * 995 + b"\r\n\t" + b"b" * 997 + b"\r\n", b"\r\n" + b"c" * 5000
    assert read(FROM, field, body=body).content == FROM + field + body


@pytest.mark.parametrize("name", REMOVED)
@pytest.mark.parametrize("write", [str, str.upper, str.lower])
def test_what_is_ours_or_private_is_removed_whole(name: str, write: type[str]) -> None:
    theirs = f"{write(name)} : theirs,\r\n\ttheirs again\r\n".encode()
    made = finish(FROM + theirs + b"X-Mine: kept\r\n" + theirs + BODY)
    assert b"theirs" not in made
    ours = [field for field in Message.parse(made).fields if field.lname == name.lower().encode()]
    assert len(ours) == (name in ("Message-ID", "Date", "Feedback-ID"))
    assert b"X-Mine: kept\r\n" in made


@pytest.mark.parametrize(
    "field",
    [
        b"X-SES-Something: kept\r\n",
        b"DKIM-Signature: v=1; d=example.com; b=abc\r\n",
        b"Received: from a by b; Fri, 6 Sep 2019 18:52:14 +0000\r\n",
        b"Reply-To: b@example.org\r\n",
        b"Bccc: kept\r\n",
        b"List-Unsubscribe: <https://example.com/u>\r\n",
    ],
)
def test_what_is_the_senders_stays(field: bytes) -> None:
    assert finish(FROM + field + BODY).startswith(FROM + field)


@given(
    st.lists(
        st.sampled_from([b"a", b"\r\n ", b"\t", b"\xff", b"=?utf-8?q?x?=", b": ", b"\xc3\xa9", b"  "]), max_size=9
    ),
    st.binary(max_size=80),
)
def test_bytes_are_unchanged_but_for_whole_fields(pieces: list[bytes], body: bytes) -> None:
    odd = b"X-Odd:" + b"".join(pieces) + b"\r\n"
    rest = b"\r\n" + body
    made = finish(FROM + b"Bcc: x@example.org\r\n" + odd + rest)
    assert made.startswith(FROM + odd)
    assert made.endswith(b"=:AmazonSES\r\n" + rest)


def test_charsets_stay_as_they_came() -> None:
    fields = b"Subject: \xb0\xa1\xb3\xaa\r\nContent-Type: text/plain; charset=euc-kr\r\n"
    body = b"\r\n\xb0\xa1\xb3\xaa\r\n\x1b$)C\x0e0!\x0f\r\n"
    made = finish(FROM + fields + body)
    assert made.startswith(FROM + fields)
    assert made.endswith(body)


@pytest.mark.parametrize(("region", "host"), [("us-east-1", "email.mail.test"), ("eu-west-1", "eu-west-1.mail.test")])
def test_message_id_of_a_region(region: str, host: str) -> None:
    assert f"Message-ID: <{ID}@{host}>\r\n".encode() in finish(FROM + BODY, region=region)


def test_feedback_id_is_one_for_an_account() -> None:
    one, other = (composition.feedback_id("eu-west-1", account) for account in ("111122223333", "111122223334"))
    assert re.fullmatch(r"::1\.eu-west-1\.[A-Za-z0-9+/]{43}=:AmazonSES", one)
    assert one != other
    assert one == composition.feedback_id("eu-west-1", "111122223333")


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (NOW, "Fri, 6 Sep 2019 18:52:14 +0000"),
        (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
        (1_709_251_199_999, "Thu, 29 Feb 2024 23:59:59 +0000"),
        (1_735_689_600_000, "Wed, 1 Jan 2025 00:00:00 +0000"),
    ],
)
def test_dates_have_no_leading_zero(now: int, text: str) -> None:
    assert composition.date(now) == text


def test_a_message_of_nothing_but_fields_gets_its_empty_line() -> None:
    assert finish(b"From: a@example.com").endswith(b":AmazonSES\r\n\r\n")


# -- reading


def test_too_long() -> None:
    content = FROM + BODY
    assert composition.read(content, len(content)).content == content
    with pytest.raises(TooLarge, match=r"^Message is too long\.$"):
        composition.read(content, len(content) - 1)


@pytest.mark.parametrize(
    "content", [b"", b"\r\n", b"body only\r\n", b"\r\nFrom: a@example.com\r\n", b"Subject: s\r\n\r\n"]
)
def test_no_from(content: bytes) -> None:
    with pytest.raises(Invalid, match=r"^Missing required header 'From'\.$"):
        composition.read(content, 1000)


@pytest.mark.parametrize(
    ("twice", "name"),
    [
        (b"From: b@example.com\r\n", "From"),
        (b"FROM : b@example.com\r\n", "From"),
        (b"Sender: a@example.com\r\nsender: a@example.com\r\n", "Sender"),
        (b"Subject: a\r\nSubject: a\r\n", "Subject"),
        (b"return-path: <a@example.com>\r\nReturn-Path: <>\r\n", "Return-Path"),
    ],
)
def test_a_field_that_may_stand_once(twice: bytes, name: str) -> None:
    with pytest.raises(Invalid, match=rf"^Duplicate header '{name}'\.$"):
        read(FROM, twice)


def test_a_loop_ends_at_a_hundred_hops() -> None:
    hop = b"Received: from a by b; Fri, 6 Sep 2019 18:52:14 +0000\r\n"
    read(FROM, hop * 99)
    with pytest.raises(Invalid, match="loop"):
        read(FROM, hop * 100)


def test_bare_line_ends_cannot_hide_a_field() -> None:
    with pytest.raises(Invalid, match="Duplicate header 'From'"):
        read(b"Subject: s\rFrom: evil@example.org\n", FROM)


# -- who sends


@pytest.mark.parametrize(
    ("field", "address"),
    [
        (b"From: a@example.com\r\n", "a@example.com"),
        (b"From : A <a@example.com>\r\n", "a@example.com"),
        (b"From:\r\n A\r\n\t<a@example.com>\r\n", "a@example.com"),
        (b"From: (not b@example.org) a@example.com (nor c@example.org)\r\n", "a@example.com"),
        (b'From: "b@example.org" <a@example.com>\r\n', "a@example.com"),
        (b"From: =?utf-8?q?b=40example=2Eorg?= <a@example.com>\r\n", "a@example.com"),
        (b"From: Us: A <a@example.com>;\r\n", "a@example.com"),
        (b"FROM: A <a@EXAMPLE.com>\r\n", "a@EXAMPLE.com"),
    ],
)
def test_from_in_every_form(field: bytes, address: str) -> None:
    found = draft(field, source=None)
    assert addresses(found.claims) == [address]
    assert found.sender == "a@example.com"
    assert found.from_domain == "example.com"


def test_every_author_counts_those_of_groups_too() -> None:
    found = draft(b"From: a@example.com, Us: B <b@example.org>, c@example.net;\r\n", b"Sender: d@example.com\r\n")
    assert addresses(found.claims) == ["a@example.com", "b@example.org", "c@example.net", "d@example.com"]
    assert found.from_domain == "example.com"


def test_claims_stand_in_order_and_once() -> None:
    found = draft(
        b"From: F <f@one.example>\r\n",
        b"Sender: S <s@three.example>\r\n",
        b"Return-Path: <r@four.example>\r\n",
        source="M <m@two.example>",
        return_path="p@five.example",
    )
    texts = [mailbox.text for mailbox in found.claims]
    assert texts == [
        "F <f@one.example>",
        "M <m@two.example>",
        "S <s@three.example>",
        "p@five.example",
        "<r@four.example>",
    ]
    again = draft(b"From: F <f@One.example>\r\n", b"Sender: f@ONE.EXAMPLE\r\n", source="f@one.example")
    assert [mailbox.text for mailbox in again.claims] == ["F <f@One.example>"]


@pytest.mark.parametrize(
    ("fields", "source", "return_path", "sender"),
    [
        ((FROM,), "Name <b@Example.com>", None, "b@example.com"),
        ((FROM,), "b@example.com", "Feed <c@Example.com>", "c@example.com"),
        ((FROM, b"Return-Path: <d@example.com>\r\n"), "b@example.com", None, "b@example.com"),
        ((FROM, b"Return-Path: <d@example.com>\r\n"), None, None, "d@example.com"),
        ((FROM, b"Return-Path: d@example.com\r\n"), None, "c@example.com", "c@example.com"),
        ((FROM, b"Return-Path: <>\r\n"), None, None, "a@example.com"),
        ((FROM,), None, None, "a@example.com"),
    ],
)
def test_whom_bounces_are_told(
    fields: tuple[bytes, ...], source: str | None, return_path: str | None, sender: str
) -> None:
    assert draft(*fields, source=source, return_path=return_path).sender == sender


@pytest.mark.parametrize(
    "source", ["", "<>", "nobody", "a@example.com, b@example.com", "a@example.com\r\nBcc: x@y.zz", "a@"]
)
def test_a_source_that_is_no_address(source: str) -> None:
    with pytest.raises(Invalid):
        draft(FROM, source=source)


@pytest.mark.parametrize(
    "field", [b"From: \r\n", b"From: ;\r\n", b"From: nobody\r\n", b"From: <>\r\n", b"From: us:;\r\n"]
)
def test_a_from_without_an_address(field: bytes) -> None:
    with pytest.raises(Invalid):
        draft(field, source="a@example.com")


CONFUSING = ['"ceo@bank.example"', '"<ceo>"', '"a,b"', '"a;b"', '"us: a"', '"ceo\\\\@bank"']


@pytest.mark.parametrize("local", CONFUSING)
@pytest.mark.parametrize("field", ["From", "Sender", "Return-Path", "source", "return_path"])
def test_a_sender_that_looks_like_another_in_quotes(local: str, field: str) -> None:
    address = f"{local}@example.com"
    fields = {"From": FROM.decode(), field: f"{field}: {address}\r\n"}
    given: dict[str, Any] = {field: address} if field.islower() else {}
    written = [FROM] if given else [text.encode() for text in fields.values()]
    with pytest.raises(Invalid, match=r"^Local address contains illegal character$"):
        draft(*written, **given)


@pytest.mark.parametrize("local", [*CONFUSING, '"a b"'])
def test_such_a_recipient_may_be_written_to(local: str) -> None:
    assert addresses(draft(to=(f"{local}@example.net",)).recipients) == [f"{local}@example.net"]


def test_a_sender_with_a_harmless_quoted_name() -> None:
    assert draft(b'From: "a b"@example.com\r\n', source='"a b"@example.com').sender == '"a b"@example.com'


# -- to whom


def test_recipients_of_the_envelope_only() -> None:
    found = draft(FROM, b"To: other@example.net\r\n", b"Bcc: hidden@example.net\r\n", to=("R <r@example.net>",))
    assert addresses(found.recipients) == ["r@example.net"]


def test_recipients_of_the_header() -> None:
    fields = (b"To: A <a@example.net>, b@example.net\r\n", b"Cc: Us: c@example.net;\r\n", b"Bcc: d@example.net\r\n")
    assert addresses(draft(FROM, *fields, to=None).recipients) == [f"{x}@example.net" for x in "abcd"]


def test_recipients_once_whatever_the_case_of_the_domain() -> None:
    to = ("R@example.net", "r@EXAMPLE.NET", "r@example.net", "X <r@Example.net>")
    found = draft(FROM, to=(*to, "r@b\u00fccher.example", "r@xn--bcher-kva.example"))
    assert addresses(found.recipients) == ["R@example.net", "r@EXAMPLE.NET", "r@b\u00fccher.example"]


def test_fifty_recipients_and_no_more() -> None:
    fifty = tuple(f"r{n}@example.net" for n in range(50))
    assert len(draft(to=(*fifty, "r0@EXAMPLE.net")).recipients) == 50
    with pytest.raises(Invalid, match=r"^Recipient count exceeds 50\.$"):
        draft(to=(*fifty, "r50@example.net"))


@pytest.mark.parametrize("to", [(), None])
def test_nobody_to_send_to(to: tuple[str, ...] | None) -> None:
    with pytest.raises(Invalid, match="Missing final '@domain'"):
        draft(to=to)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("r\u00e9@example.net", "Local address contains illegal character"),
        ("r@exa mple.net", "Illegal address|Domain contains"),
        ("r@example.net\nBcc: x@example.org", "control or whitespace"),
        ("@example.net", "Missing local name|Illegal address"),
        ("r", "Missing final '@domain'"),
        ("x" * 65 + "@example.net", "Illegal address"),
    ],
)
def test_a_recipient_that_is_no_address(address: str, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        draft(to=("good@example.net", address))


# -- options

NAMED = [name for name in OPTIONS if name != "tags"]


@pytest.mark.parametrize("name", NAMED)
def test_a_header_gives_an_option_the_first_of_equal_ones(name: str) -> None:
    field = OPTIONS[name].lower().encode()
    found = draft(FROM, field + b": first\r\n", field + b": second\r\n").options
    first = Managed("first") if name == "list_management" else "first"
    assert {other: getattr(found, other) for other in NAMED} == {**dict.fromkeys(NAMED), name: first}


@pytest.mark.parametrize("name", NAMED)
def test_the_api_wins_over_the_header(name: str) -> None:
    field = OPTIONS[name].encode()
    found = draft(FROM, field + b": header\r\n", options=Options(**{name: "api"})).options
    assert getattr(found, name) == "api"


def test_tags_are_not_merged() -> None:
    field = b"X-SES-MESSAGE-TAGS: campaign=book, genre=crime\r\n"
    assert draft(FROM, field).options.tags == (("campaign", "book"), ("genre", "crime"))
    assert draft(FROM, field, options=Options(tags=(("a", "b"),))).options.tags == (("a", "b"),)
    # What the API overrides need not even be good.
    assert draft(FROM, b"X-SES-MESSAGE-TAGS: =bad\r\n", options=Options(tags=(("a", "b"),))).options.tags == (
        ("a", "b"),
    )


@pytest.mark.parametrize("tags", [b"=v", b"n=", b"n=a b", b"n", b"n\xc3\xa9=v"])
def test_wrong_tags(tags: bytes) -> None:
    with pytest.raises(Invalid):
        draft(FROM, b"X-SES-MESSAGE-TAGS: " + tags + b"\r\n")


# -- a formatted send


def build(**given: object) -> bytes:
    simple = Simple(("s", None), ("t", None))
    usual: dict[str, object] = {"to": ["r@example.net"], "cc": [], "reply_to": [], "simple": simple, "now": NOW}
    fields = {**usual, **given}
    source = str(fields.pop("source", "a@example.com"))
    return composition.build(source, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        {"source": "a@example.com\r\nBcc: x@example.org"},
        {"source": '"a\r\nBcc: x@example.org" <a@example.com>'},
        {"to": ["r@example.net\nX: y"]},
        {"cc": ["r@example.net\rX: y"]},
        {"reply_to": ["r@example.net\r\n\r\nbody"]},
        {"simple": Simple(("s", None), ("t", None), headers=(("X-A\r\nBcc", "v"),))},
        {"simple": Simple(("s", None), ("t", None), headers=(("X-A", "v\r\nBcc: x@example.org"),))},
        {"simple": Simple(("s", None), ("t", None), headers=(("From", "b@example.org"),))},
        {"simple": Simple(("s", None), ("t", None), headers=(("bcc", "b@example.org"),))},
    ],
)
def test_no_field_is_smuggled_in(given: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        build(**given)


@given(st.text(max_size=60))
def test_a_subject_is_one_field_whatever_it_holds(subject: str) -> None:
    try:
        made = build(simple=Simple((subject, None), ("t", None)))
    except Invalid:
        return
    message = Message.parse(made)
    assert {field.lname for field in message.fields} <= {
        b"from", b"to", b"subject", b"mime-version", b"content-type", b"content-transfer-encoding"
    }  # fmt: skip
    assert message.body.strip() == b"t"


@pytest.mark.parametrize("text", ["x" * 5000, "\u00e9" * 5000, "a\r\n" * 3 + "y" * 999])
def test_no_line_is_longer_than_998(text: str) -> None:
    made = build(simple=Simple((text[:1500].replace("\r\n", " "), None), (text, None), (text, None)))
    assert max(map(len, made.split(b"\r\n"))) <= 998
    composition.read(made, 1 << 20)
