"""Hostile input: good examples cut, doubled, spliced and bent; every reader answers or raises its own error, in time.

``make fuzz`` gives each test thousands of examples; MAILSTEAD_FUZZ_SECONDS (60) bounds it, after which the rest of its
examples are passed over.
"""

# ruff: noqa: E501 — an example is easier to read in one piece

from __future__ import annotations

import os
import string
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mailstead.aws import model, query, rest_json, validate
from mailstead.aws.query import QueryError
from mailstead.aws.rest_json import RestError
from mailstead.base.errors import Invalid, MailsteadError
from mailstead.config import ConfigError, load
from mailstead.config.settings import KEYS
from mailstead.outbound import composition
from mailstead.proto import addresses, dkim, dsn, encoded_words, mime_structure, parameters, received, sigv4, verp
from mailstead.proto.errors import RemoteProtocolError
from mailstead.proto.message import MalformedMessage, Message
from mailstead.proto.sasl import Credentials
from mailstead.proto.sigv4 import SignatureError
from mailstead.proto.smtp.client import ClientEngine, TlsReady
from mailstead.proto.smtp.dialogue import mx_offer, submission_offer
from mailstead.proto.smtp.reply import Reply
from mailstead.proto.smtp.server import ServerEngine, TlsWanted
from mailstead.proto.smtp.transaction import Transaction, TransactionDone
from peers.outcome import outcome

SECONDS = float(os.environ.get("MAILSTEAD_FUZZ_SECONDS", "60"))
SLOW = 1.0
"""Seconds that no reader may take for one small input: more is a pattern that explodes."""
_ends: dict[str, float] = {}


@contextmanager
def timed(name: str) -> Iterator[bool]:
    """Is there time for one more example? It must not take long."""
    begun = time.monotonic()
    yield begun < _ends.setdefault(name, begun + SECONDS)
    # The processor's time would be fairer, but a test that waits is wrong too; a busy machine gets some grace.
    assert time.monotonic() - begun < SLOW * 3, f"{name} took {time.monotonic() - begun:.1f} s"


def bent(*seeds: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that were one of these, before somebody went over them."""
    spice = st.one_of(
        st.sampled_from([b"\r\n", b"\n", b"\r", b"\0", b"..", b'"', b"\\", b"(", b")", b"<", b">", b"@", b"=?", b"?="]),
        st.sampled_from(
            [b"%00", b"%", b"&", b".", b";", b":", b" ", b"\t", b"\xff\xfe", "가".encode(), b"--", b"9" * 30]
        ),
        st.binary(max_size=8),
        st.sampled_from(seeds),
    )

    @st.composite
    def make(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(0, 6))):
            begin = draw(st.integers(0, len(data)))
            end = draw(st.integers(begin, min(len(data), begin + 40)))
            kind = draw(st.integers(0, 3))
            if kind == 0:
                data = data[:begin] + data[end:]
            elif kind == 1:
                data = data[:end] + data[begin:end] * draw(st.sampled_from([1, 2, 50])) + data[end:]
            else:
                data = data[:begin] + draw(spice) * draw(st.sampled_from([1, 1, 1, 3, 200])) + data[begin:]
        return data[:60_000]

    return make()


MESSAGES = (
    b"From: a@b.example\r\nTo: \"x, y\" <c@d.example>, g: e@f.example;\r\nSubject: =?utf-8?b?7ZWc6riA?= hi\r\n\r\nHello\r\n",
    b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\nFrom : (c) \"q\\\"\" <a@[192.0.2.1]>\r\n folded\r\n\r\n.\r\n",
    b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n--=_x\r\n"
    b"Content-Type: text/plain; charset*0=\"eu\"; charset*1=c-kr\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C7=D1"
    b"\r\n--=_x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\nA\r\n--y--\r\n--=_x\r\n"
    b"Content-Disposition: attachment; filename*=utf-8''%ED%95%9C.exe\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--=_x--\r\n",
)  # fmt: skip


@given(bent(*MESSAGES))
def test_messages(content: bytes) -> None:
    with timed("messages") as on:
        if not on:
            return
        try:
            message = Message.parse(content)
        except MalformedMessage:
            return
        for step in (mime_structure.walk, mime_structure.text_parts, mime_structure.attachment_names):
            with suppress(Invalid):
                step(message)
        received.hops(content)
        for check in (mime_structure.check_structure, mime_structure.check_attachments):
            with suppress(MailsteadError):
                check(message)


@given(bent(*MESSAGES), st.booleans())
def test_drafts_and_what_is_made_of_them(content: bytes, named: bool) -> None:
    """The door's own reading: what it lets through must still be one message without a break smuggled in."""
    with timed("drafts") as on:
        if not on:
            return
        try:
            draft = composition.draft(
                composition.read(content, 1 << 20),
                source="shop@sender.example" if named else None,
                return_path=None,
                destinations=["a@b.example"] if named else None,
                options=composition.Options(),
            )
            made = composition.finish(
                draft.message, message_id="0100-1", region="us-east-1", account="1", provider="p.example", now=10**12
            )
        except MailsteadError:
            return
        again = Message.parse(made)
        assert b"\r" not in made.replace(b"\r\n", b"")
        assert b"\n" not in made.replace(b"\r\n", b"")
        assert again.content == made
        assert [field.name.lower() for field in again.fields].count(b"message-id") == 1
        assert dkim.signed_fields(again.fields)


ADDRESSES = (
    b'"Jo \\"Q\\" (x)" <jo@b.example>, g: a@b.example, c@d.example;, =?utf-8?q?=C3=A9?= <x@y.example> (note (deep))',
    b"<@route.example:a@b.example>", "한글 <사용자@도메인.한국>".encode(), b'"a b"@c.example', b"a@[IPv6:2001:db8::1]", b"<>",
)  # fmt: skip


@given(bent(*ADDRESSES))
def test_addresses(data: bytes) -> None:
    with timed("addresses") as on:
        if not on:
            return
        for read in (addresses.parse_list, lambda value: addresses.parse_one(value.decode("utf-8", "replace"))):
            try:
                found = read(data)
            except Invalid:
                continue
            for box in found if isinstance(found, list) else [found]:
                assert not set("\r\n\0") & set(box.address)
        named = verp.named(data.decode("latin-1"))
        assert named is None or len(named) == 60


@given(
    bent(b"=?utf-8?q?a_b=C3=A9?= =?iso-2022-kr?b?GyQpQw==?= x", b'text/plain; a*0*=utf-8\'\'%41; a*1=b; name="x\\"y"')
)
def test_words_and_parameters(data: bytes) -> None:
    with timed("words") as on:
        if not on:
            return
        text = data.decode("utf-8", "surrogateescape")
        decoded = encoded_words.decode(text)
        parameters.parse(text)
        clean = decoded.encode("utf-8", "replace").decode()
        assert all(len(word) <= 76 for word in encoded_words.encode(clean))
        assert not set("\r\n") & set(dsn.clean(clean))
        with suppress(Invalid):
            assert not set("\r\n") & set(parameters.write("filename", clean).replace("\r\n ", ""))


# -- SMTP -------------------------------------------------------------------------------------------------------------

SESSIONS = (
    b"EHLO a.example\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<c@d.example>\r\n"
    b"DATA\r\nFrom: a@b.example\r\n\r\n..x\r\n.\r\nQUIT\r\n",
    b"EHLO a\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\nMAIL FROM:<>\r\nRCPT TO:<\"a b\"@d.example> NOTIFY=NEVER\r\nBDAT 3\r\nabc"
    b"BDAT 0 LAST\r\nRSET\r\nNOOP\r\nVRFY x\r\nSTARTTLS\r\n",
)  # fmt: skip
OFFERS = (mx_offer("mx.example", "mx.example ESMTP"), submission_offer("s.example", "s.example ESMTP"))


def _serve(engine: ServerEngine, data: bytes) -> bytes:
    engine.receive(data)
    said = engine.output()
    while (event := engine.next_event()) is not None:
        if not engine.waiting:
            break
        if isinstance(event, Credentials):
            engine.answer(Reply(235, "ok"))
        elif isinstance(event, TlsWanted):
            engine.answer(Reply(220, "go"))
            said += engine.output()
            engine.tls_started("TLSv1.3", "x")
        else:
            engine.answer(Reply(250, "ok"))
        said += engine.output()
    return said + engine.output()


@given(bent(*SESSIONS), st.integers(0, 3000), st.sampled_from(OFFERS))
def test_smtp_server(wire: bytes, cut: int, offer: Any) -> None:
    """Nothing breaks it, every line it says is a reply, and where the bytes are cut makes no difference."""
    with timed("server") as on:
        if not on:
            return
        whole, halves = ServerEngine(offer), ServerEngine(offer)
        for engine in (whole, halves):
            engine.greet()
        said = _serve(whole, wire)
        in_two = _serve(halves, wire[:cut]) + _serve(halves, wire[cut:])
        for line in said.split(b"\r\n")[:-1]:
            assert line[:3].isdigit(), line
            assert line[3:4] in b" -", line
        if b"220 go" not in said:  # at a handshake, what came with STARTTLS is thrown away, wherever it was cut
            assert in_two == said


REPLIES = (
    b"220 mx ESMTP\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-CHUNKING\r\n250 STARTTLS\r\n220 2.0.0 go\r\n",
    b"220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n354 go\r\n"
    b"250 2.0.0 ok\r\n221 bye\r\n",
    b"421 4.3.2 no\r\n",
)


@given(bent(*REPLIES), st.sampled_from(["never", "opportunistic", "required"]), st.booleans())
def test_smtp_client(wire: bytes, tls: Any, login: bool) -> None:
    with timed("client") as on:
        if not on:
            return
        engine = ClientEngine("us.example", tls=tls, username="u" if login else "", password="p")
        recipients = ("a@b.example", "c@d.example")
        engine.send(Transaction("s@x.example", recipients, [b"Subject: x\r\n", b"\r\n.\r\n"], False, False))
        try:
            for start in range(0, len(wire), 100):
                engine.receive(wire[start : start + 100])
                while (event := engine.next_event()) is not None:
                    if isinstance(event, TlsReady):
                        engine.tls_started()
                    elif isinstance(event, TransactionDone):
                        assert set(event.replies) == set(recipients)
                engine.output()
        except RemoteProtocolError:
            pass
        engine.connection_lost()


# -- AWS --------------------------------------------------------------------------------------------------------------

SES, V2 = model.load("ses"), model.load("sesv2")
FORMS = (
    b"Action=SendEmail&Version=2010-12-01&Source=a%40b.example&Destination.ToAddresses.member.1=c%40d&Message.Subject.Data=x",
    b"Action=SendRawEmail&RawMessage.Data=RnJvbTo%3D&Destinations.member.2=b&Tags.member.1.Name=a&Tags.member.1.Value=b",
)
BODIES = (
    b'{"FromEmailAddress":"a@b.example","Destination":{"ToAddresses":["c@d.example"]},"Content":{"Raw":{"Data":"RnJvbQ=="}}}',
    b'{"Content":{"Simple":{"Subject":{"Data":"x"},"Body":{"Text":{"Data":"y","Charset":"UTF-8"}}}},"EmailTags":[{"Name":"a"}]}',
    b'{"EmailIdentity":"example.com","Tags":[],"DkimSigningAttributes":{"DomainSigningSelector":"s"}}',
)  # fmt: skip


LONGEST = 100_000
"""Characters of an error's text: however much is wrong, nobody reads more."""


@given(bent(*FORMS), st.sampled_from(sorted(SES.operations)))
def test_query_forms(body: bytes, operation: str) -> None:
    with timed("query") as on:
        if not on:
            return
        shape = SES.operations[operation].input
        read = outcome(lambda: query.decode(shape, query.form(body)), QueryError)
        told = str(read) if isinstance(read, QueryError) else validate.check("ses", shape, read)
        assert told or not isinstance(read, QueryError)
        assert len(told) < LONGEST


@given(bent(*BODIES), bent(b"PageSize=5&NextToken=a%2B&Reason=BOUNCE&StartDate=2020-01-01T00%3A00%3A00Z"), st.data())
def test_rest_json(body: bytes, query_string: bytes, data: st.DataObject) -> None:
    # Drawn whether or not there is time: an example must not depend on the clock.
    operation = V2.operations[data.draw(st.sampled_from(sorted(V2.operations)))]
    path = data.draw(bent(operation.path.encode(), b"/v2/email/identities/a%40b/dkim"))
    with timed("rest") as on:
        if not on:
            return
        operation, variables = rest_json.find(V2, operation.method, path) or (operation, {})
        read = outcome(lambda: rest_json.decode(operation, variables, query_string, body), RestError)
        told = str(read) if isinstance(read, RestError) else validate.check("sesv2", operation.input, read)
        assert told or not isinstance(read, RestError)
        assert len(told) < LONGEST


SIGNED = (
    b"AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20240101/us-east-1/ses/aws4_request, SignedHeaders=host;x-amz-date, Signature="
    + b"a" * 64,
)
PRESIGNED = (
    b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20240101%2Fus-east-1%2Fses%2Faws4_request&X-Amz-Date="
    b"20240101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + b"a" * 64,
)


@given(bent(*SIGNED), bent(*PRESIGNED), bent(b"20240101T000000Z", b"Mon, 01 Jan 2024 00:00:00 GMT"), st.booleans())
def test_signatures(header: bytes, query_string: bytes, date: bytes, by_header: bool) -> None:
    with timed("sigv4") as on:
        if not on:
            return
        headers = {b"host": b"h", b"x-amz-date": date}
        headers |= {b"authorization": header} if by_header else {}
        wire = sigv4.Wire("POST", b"/a%2f/../b", b"" if by_header else query_string, headers)
        try:
            claim = sigv4.parse(wire)
            if claim is not None:
                sigv4.check(claim, service="ses", regions=("us-east-1",), now=1_704_067_200_000)
                sigv4.verify(claim, wire, "secret", "0" * 64, sigv4.SigningKeys())
                raise AssertionError("a made-up signature is right")
        except SignatureError:
            pass


# -- configuration ----------------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.text(string.printable, max_size=30),
    st.sampled_from(["14h", "10MiB", "127.0.0.1:25", "off", "a,b", "true", "[::1]:0", "smtp://u:p@h:25", "1" * 40, "-1s"]),
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(sorted(KEYS)), VALUES), max_size=3), st.booleans())
def test_settings(pairs: list[tuple[str, str]], dev: bool) -> None:
    with timed("settings") as on:
        if not on:
            return
        read = outcome(lambda: load(None, {}, [f"{key}={value}" for key, value in pairs], None, dev), ConfigError)
        if isinstance(read, ConfigError):
            assert pairs
            assert "\n" not in read.message
        else:
            assert dev or read.dev.enabled is False
