"""The client engine: scripts of what servers say, and our own server engine on the other side."""

from __future__ import annotations

import itertools
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstead.proto.errors import LocalProtocolError, RemoteProtocolError
from mailstead.proto.sasl import Credentials
from mailstead.proto.smtp.client import (
    ClientEngine,
    Closed,
    Event,
    Ready,
    Refused,
    TlsReady,
)
from mailstead.proto.smtp.command import Quit, Rcpt
from mailstead.proto.smtp.dialogue import Offer, mx_offer, submission_offer
from mailstead.proto.smtp.reply import Reply
from mailstead.proto.smtp.server import Content, ServerEngine, TlsWanted
from mailstead.proto.smtp.transaction import (
    BAD_RECIPIENT,
    BAD_SENDER,
    NO_UTF8,
    TOO_LARGE,
    Transaction,
    TransactionDone,
)

PIPED = b"220 mx\r\n", b"250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000\r\n"
PLAIN = b"220 mx\r\n", b"250 mx\r\n"
A, B = "a@x.example", "b@x.example"
ONE = Transaction("me@y.example", (A,), b"hi\r\n")
TWO = Transaction("me@y.example", (A, B), b"hi\r\n")


def events_of(client: ClientEngine) -> list[Event]:
    events = []
    while (event := client.next_event()) is not None:
        events.append(event)
    return events


def hear(client: ClientEngine, *replies: bytes) -> list[Event]:
    client.receive(b"".join(replies))
    return events_of(client)


def connected(hello: tuple[bytes, bytes] = PIPED, **options: Any) -> ClientEngine:
    client = ClientEngine("me.example", **options)
    for line in hello:
        hear(client, line)
    client.output()
    return client


def done(events: list[Event]) -> TransactionDone:
    assert len(events) == 1
    assert isinstance(events[0], TransactionDone)
    return events[0]


def test_greeting_and_ehlo() -> None:
    client = ClientEngine("me.example")
    assert client.stage == "greeting"
    assert hear(client, b"220-a\r\n220 b\r\n") == []
    assert client.output() == b"EHLO me.example\r\n"
    assert client.stage == "ehlo"
    extensions = {"PIPELINING": "", "SIZE": "1000", "AUTH": "PLAIN LOGIN"}
    assert hear(client, b"250-mx hi\r\n250-pipelining\r\n250-SIZE 1000\r\n250 AUTH=PLAIN LOGIN\r\n") == [
        Ready(extensions)
    ]
    assert client.stage == "idle"


def test_helo_where_ehlo_is_unknown() -> None:
    client = ClientEngine("me.example")
    hear(client, b"220 x\r\n", b"502 what?\r\n")
    assert client.output() == b"EHLO me.example\r\nHELO me.example\r\n"
    assert hear(client, b"250 mx\r\n") == [Ready({})]


@pytest.mark.parametrize(
    ("replies", "event"),
    [
        ([b"554 go away\r\n"], Refused(Reply(554, "go away"), "greeting")),
        ([b"421 4.3.2 busy\r\n"], Refused(Reply(421, "busy", "4.3.2"), "greeting", closing=True)),
        ([b"220 x\r\n", b"450 later\r\n"], Refused(Reply(450, "later"), "ehlo")),
        ([b"220 x\r\n", b"500 a\r\n", b"550 b\r\n"], Refused(Reply(550, "b"), "ehlo")),
    ],
)
def test_refused_at_the_door(replies: list[bytes], event: Refused) -> None:
    client = ClientEngine("me.example")
    assert [one for reply in replies for one in hear(client, reply)] == [event]
    assert not client.can_send


def test_starttls_and_a_new_ehlo() -> None:
    client = ClientEngine("me.example")
    hear(client, b"220 x\r\n", b"250-x\r\n250-SIZE 1\r\n250 STARTTLS\r\n")
    assert client.output().endswith(b"STARTTLS\r\n")
    assert client.stage == "starttls"
    assert hear(client, b"220 go\r\n") == [TlsReady()]
    client.tls_started()
    assert client.output() == b"EHLO me.example\r\n"
    assert hear(client, b"250-x\r\n250 STARTTLS\r\n") == [Ready({"STARTTLS": ""})]
    assert client.output() == b""


@pytest.mark.parametrize("injected", [b"250 x\r\n", b"2"])
def test_bytes_injected_before_the_handshake(injected: bytes) -> None:
    client = ClientEngine("me.example")
    hear(client, b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n")
    client.receive(b"220 go\r\n" + injected)
    with pytest.raises(RemoteProtocolError):
        client.next_event()
    client = ClientEngine("me.example")
    hear(client, b"220 x\r\n", b"250-x\r\n250 STARTTLS\r\n")
    assert hear(client, b"220 go\r\n") == [TlsReady()]
    with pytest.raises(RemoteProtocolError):
        client.receive(injected)


@pytest.mark.parametrize(
    ("tls", "ehlo", "starttls", "event"),
    [
        ("required", b"250 x\r\n", b"", Refused),
        ("required", b"250-x\r\n250 STARTTLS\r\n", b"454 no\r\n", Refused),
        ("opportunistic", b"250-x\r\n250 STARTTLS\r\n", b"454 no\r\n", Ready),
        ("never", b"250-x\r\n250 STARTTLS\r\n", b"", Ready),
    ],
)
def test_tls_policy(tls: Any, ehlo: bytes, starttls: bytes, event: type) -> None:
    client = ClientEngine("me.example", tls=tls)
    assert [type(one) for one in hear(client, b"220 x\r\n", ehlo, starttls)] == [event]


def test_pipelined_transaction() -> None:
    client = connected()
    client.send(replace(TWO, content=b"hi \xe9\r\n.dot"))
    assert client.output() == (
        b"MAIL FROM:<me@y.example> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n"
    )
    assert hear(client, b"250 ok\r\n", b"550 5.1.1 who\r\n", b"250 ok\r\n") == []
    assert (client.stage, client.output()) == ("data", b"")
    hear(client, b"354 go\r\n")
    assert client.stage == "content"
    assert client.output() == b"hi \xe9\r\n..dot\r\n.\r\n"
    client.flushed()
    assert client.stage == "dot"
    result = done(hear(client, b"250 2.0.0 queued\r\n"))
    assert result.replies == {A: Reply(550, "who", "5.1.1"), B: Reply(250, "queued", "2.0.0")}
    assert result.accepted == (B,)
    assert not result.eight_bit_as_is
    client.quit()
    assert (client.output(), client.stage) == (b"QUIT\r\n", "quit")
    assert hear(client, b"221 bye\r\n") == [Closed("quit")]


def test_one_by_one_without_pipelining() -> None:
    client = connected(PLAIN)
    client.send(replace(TWO, content=[b"a: \xc3\xa9\n", b"\nb"]))
    told = []
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"450 later\r\n", b"354 go\r\n"):
        told.append(client.output())
        assert hear(client, reply) == []
    told.append(client.output())
    assert told == [
        b"MAIL FROM:<me@y.example>\r\n",
        b"RCPT TO:<a@x.example>\r\n",
        b"RCPT TO:<b@x.example>\r\n",
        b"DATA\r\n",
        b"a: \xc3\xa9\r\n\r\nb\r\n.\r\n",
    ]
    result = done(hear(client, b"550 spam\r\n"))
    assert result.replies == {A: Reply(550, "spam"), B: Reply(450, "later")}
    assert result.accepted == ()
    assert result.eight_bit_as_is


@pytest.mark.parametrize("hello", [PIPED, PLAIN])
def test_nobody_accepted_then_rset_before_the_next(hello: tuple[bytes, bytes]) -> None:
    client = connected(hello)
    client.send(ONE)
    events = hear(client, b"250 ok\r\n", b"550 no\r\n", b"503 no recipients\r\n" if hello is PIPED else b"")
    assert done(events).replies == {A: Reply(550, "no")}
    client.output()
    client.send(ONE)
    assert client.output().startswith(b"RSET\r\n")
    hear(client, b"250 reset\r\n")
    client.output()
    assert client.stage == "mail"
    assert done(hear(client, b"550 from\r\n", *([b"503 x\r\n"] * 2 if hello is PIPED else []))).replies == {
        A: Reply(550, "from")
    }


def test_a_354_though_nobody_was_accepted_gets_an_empty_message() -> None:
    client = connected()
    client.send(ONE)
    client.output()
    assert hear(client, b"250 ok\r\n", b"550 no\r\n", b"354 go\r\n") == []
    assert client.output() == b".\r\n"
    assert done(hear(client, b"250 queued\r\n")) == TransactionDone(ONE, {A: Reply(550, "no")}, ())


def test_data_refused() -> None:
    client = connected()
    client.send(TWO)
    result = done(hear(client, b"250 ok\r\n", b"250 ok\r\n", b"550 no\r\n", b"451 4.3.0 disk\r\n"))
    assert result.replies == {A: Reply(451, "disk", "4.3.0"), B: Reply(550, "no")}


def test_the_next_leaves_with_the_dot() -> None:
    client = connected()
    client.send(ONE)
    client.send(replace(ONE, recipients=(B,)))
    assert not client.can_send
    with pytest.raises(LocalProtocolError):
        client.send(ONE)
    client.output()
    hear(client, b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert client.output() == b"hi\r\n.\r\nMAIL FROM:<me@y.example> SIZE=4\r\nRCPT TO:<b@x.example>\r\nDATA\r\n"
    events = hear(client, b"250 one\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert done(events).replies == {A: Reply(250, "one")}
    assert client.output() == b"hi\r\n.\r\n"
    assert done(hear(client, b"250 two\r\n")).replies == {B: Reply(250, "two")}
    assert client.stage == "idle"


def test_the_next_comes_while_the_dot_is_awaited() -> None:
    client = connected()
    client.send(ONE)
    hear(client, b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.output()
    client.send(ONE)
    assert client.output().startswith(b"MAIL FROM")


def test_421_is_the_reply_of_all_who_have_none() -> None:
    client = connected()
    client.send(TWO)
    client.send(ONE)
    events = hear(client, b"250 ok\r\n", b"550 no\r\n", b"421 4.3.2 down\r\n")
    down = Reply(421, "down", "4.3.2")
    assert events == [
        TransactionDone(TWO, {A: Reply(550, "no"), B: down}, (), closing=True),
        TransactionDone(ONE, {A: down}, (), closing=True),
    ]
    assert client.closed


def test_421_while_idle() -> None:
    assert hear(connected(), b"421 bye\r\n") == [Refused(Reply(421, "bye"), "idle", closing=True)]


def test_a_reply_to_nothing() -> None:
    with pytest.raises(RemoteProtocolError):
        hear(connected(), b"250 what\r\n")


@pytest.mark.parametrize(
    ("transaction", "replies"),
    [
        (replace(ONE, content=b"x" * 2000), {A: TOO_LARGE}),
        (replace(ONE, utf8=True), {A: NO_UTF8}),
        (Transaction("me@y.example", ("é@x.example",), b""), {"é@x.example": NO_UTF8}),
        (Transaction("a>\r\nRCPT TO:<b", (A,), b""), {A: BAD_SENDER}),
        (Transaction("", ("a> b@x.example",), b""), {"a> b@x.example": BAD_RECIPIENT}),
    ],
)
def test_decided_here(transaction: Transaction, replies: dict[str, Reply]) -> None:
    client = connected()
    client.send(transaction)
    assert done(events_of(client)).replies == replies
    assert client.output() == b""
    client.send(ONE)
    assert client.output().startswith(b"MAIL FROM")


def test_an_international_domain_needs_no_smtputf8() -> None:
    client = connected()
    client.send(Transaction("me@bücher.example", (A,), b""))
    assert client.output().startswith(b"MAIL FROM:<me@xn--bcher-kva.example> SIZE=0\r\n")


def test_smtputf8_is_said_where_it_is_needed() -> None:
    client = connected((b"220 x\r\n", b"250-x\r\n250 SMTPUTF8\r\n"))
    client.send(Transaction("é@y.example", (A,), b""))
    assert client.output() == "MAIL FROM:<é@y.example> SMTPUTF8\r\n".encode()


@pytest.mark.parametrize(
    ("offered", "dialogue"),
    [
        ("PLAIN LOGIN", [("AUTH PLAIN " + b64encode(b"\0u\0p").decode(), b"235 ok\r\n")]),
        ("PLAIN", [("AUTH PLAIN AHUAcA==", b"334 \r\n"), ("AHUAcA==", b"235 ok\r\n")]),
        (
            "LOGIN",
            [("AUTH LOGIN", b"334 VXNlcm5hbWU6\r\n"), ("dQ==", b"334 UGFzc3dvcmQ6\r\n"), ("cA==", b"235 ok\r\n")],
        ),
    ],
)
def test_auth(offered: str, dialogue: list[tuple[str, bytes]]) -> None:
    client = ClientEngine("me.example", secure=True, username="u", password="p")
    events = hear(client, b"220 x\r\n", f"250-x\r\n250 AUTH {offered}\r\n".encode())
    client._out.pop(0)
    for line, reply in dialogue:
        assert client.output().decode() == line + "\r\n"
        assert client.stage == "auth"
        events += hear(client, reply)
    assert [type(event) for event in events] == [Ready]


def test_no_password_in_the_clear() -> None:
    client = ClientEngine("me.example", username="u", password="p")
    (event,) = hear(client, b"220 x\r\n", b"250-x\r\n250 AUTH PLAIN\r\n")
    assert isinstance(event, Refused)
    assert event.stage == "auth"
    assert b"AUTH" not in client.output()


def test_connection_lost() -> None:
    client = connected()
    assert client.connection_lost() == Closed("idle")
    client = ClientEngine("me.example")
    client.send(ONE)
    assert client.connection_lost() == Closed("greeting", unsent=(ONE,))
    client = connected()
    client.send(TWO)
    client.send(ONE)
    hear(client, b"250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n")
    client.flushed()
    assert client.connection_lost() == Closed("dot", (A,), {B: Reply(550, "no")}, (ONE,))
    assert client.closed


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550-a\r\n", b"550 b\r\n", b"220 x\r\n"]),
        ),
        max_size=30,
    )
)
def test_no_bytes_break_the_engine(pieces: list[bytes]) -> None:
    client = ClientEngine("me.example", secure=True, username="u", password="p")
    client.send(TWO)
    try:
        for piece in [*PIPED, *pieces]:
            hear(client, piece)
            client.output()
    except RemoteProtocolError:
        pass
    assert client.connection_lost() is not None


# --- our server on the other side

MX = mx_offer("mx.example.org", "mx.example.org ESMTP")
SES = submission_offer("ses.example.org", "ses.example.org ESMTP")


class Wire:
    """Client and server engines, bytes carried by hand in pieces of a given size."""

    def __init__(self, client: ClientEngine, offer: Offer, piece: int = 1 << 20) -> None:
        self.client, self.server, self.piece = client, ServerEngine(offer), piece
        self.events: list[Event] = []
        self.contents: list[bytes] = []
        self.server.greet()

    def run(self) -> None:
        while self._carry(self.server.output(), self._to_client) or self._carry(self.client.output(), self._to_server):
            pass

    def _carry(self, data: bytes, to: Any) -> bool:
        for begin in range(0, len(data), self.piece):
            to(data[begin : begin + self.piece])
        return bool(data)

    def _to_client(self, data: bytes) -> None:
        for event in hear(self.client, data):
            self.events.append(event)
            if isinstance(event, TlsReady):
                self.server.tls_started("TLSv1.3", "x")
                self.client.tls_started()

    def _to_server(self, data: bytes) -> None:
        self.server.receive(data)
        while (event := self.server.next_event()) is not None:
            words = self.server.offer.words
            match event:
                case Quit():
                    continue
                case TlsWanted():
                    self.server.answer(words.ready_for_tls)
                case Credentials(username="u", password="p"):
                    self.server.answer(words.auth_ok)
                case Credentials():
                    self.server.answer(words.auth_failed)
                case Rcpt(address="b@x.example"):
                    self.server.answer(Reply(550, "who", "5.1.1"))
                case Content():
                    self.contents.append(event.data)
                    self.server.answer(words.ok)
                case _:
                    self.server.answer(words.ok)


@pytest.mark.parametrize(
    ("offer", "piece"), list(itertools.product([MX, replace(MX, pipelining=False), SES], [1, 7, 1 << 20]))
)
def test_client_and_server_understand_each_other(offer: Offer, piece: int) -> None:
    wire = Wire(ClientEngine("me.example", username="u" if offer is SES else "", password="p"), offer, piece)
    wire.run()
    wire.client.send(replace(TWO, content=b"..\r\n.\r\n.a\r\nb"))
    wire.client.send(replace(ONE, content=b"two\r\n"))
    wire.run()
    wire.client.send(replace(ONE, recipients=(B,)))
    wire.run()
    wire.client.send(replace(ONE, content=b""))
    wire.run()
    wire.client.quit()
    wire.run()
    assert wire.contents == [b"..\r\n.\r\n.a\r\nb\r\n", b"two\r\n", b""]
    assert [type(event) for event in wire.events] == [TlsReady, Ready, *[TransactionDone] * 4, Closed]
    assert [event.accepted for event in wire.events if isinstance(event, TransactionDone)] == [(A,), (A,), (), (A,)]
    assert wire.server.closed
    assert wire.client.closed


def test_wrong_credentials() -> None:
    wire = Wire(ClientEngine("me.example", username="u", password="no"), SES)
    wire.run()
    assert wire.events[-1] == Refused(Reply(535, "Authentication Credentials Invalid"), "auth")


@settings(max_examples=150, deadline=None)
@given(
    content=st.lists(st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"a", b"..", b"\0"]), max_size=40),
    piece=st.integers(1, 9),
)
def test_any_content_arrives_with_its_newlines_as_crlf(content: list[bytes], piece: int) -> None:
    message = b"".join(content)
    wire = Wire(ClientEngine("me.example", tls="never"), MX, piece)
    wire.run()
    wire.client.send(replace(ONE, content=message))
    wire.run()
    lines = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert wire.contents == [lines if not lines or lines.endswith(b"\r\n") else lines + b"\r\n"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=20))
def test_cut_anywhere_the_same_happens(cuts: list[int]) -> None:
    script = (
        PIPED[0] + PIPED[1] + b"250 ok\r\n550-5.1.1 a\r\n550 5.1.1 b\r\n250 ok\r\n354 go\r\n250 done\r\n421 bye\r\n"
    )

    def play(places: list[int]) -> tuple[list[Event], bytes]:
        client, events, output = ClientEngine("me.example"), [], b""
        client.send(TWO)
        for begin, end in itertools.pairwise(places):
            events += hear(client, script[begin:end])
            output += client.output()
        return events, output

    assert play([0, *sorted(min(cut, len(script)) for cut in cuts), len(script)]) == play([0, len(script)])
