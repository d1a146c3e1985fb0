"""One connection to servers that behave in every way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
import trustme
import uvloop

from mailstead.base.clock import SystemClock
from mailstead.net.smtp import ConnectFailed, Login, Outcome, Place, SmtpConnection, Timeouts, connect
from mailstead.net.tls import client_context, make_self_signed, server_context
from mailstead.proto.smtp.transaction import Transaction
from peers.scripted_mx import DROP, GARBAGE, HANG, Script, ScriptedMX

T = TypeVar("T")
SHORT = Timeouts(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 5)
LONG = Timeouts()
ANY = client_context(verify=False)


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[None, None, T]], T]:
    return uvloop.run if request.param == "uvloop" else asyncio.run


Run = Callable[[Coroutine[None, None, T]], T]


async def send(connection: SmtpConnection, *recipients: str, content: bytes = b"A: b\r\n\r\nhello\r\n") -> Outcome:
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    connection.send(Transaction("s@example.com", recipients, content), future.set_result)
    return await asyncio.wait_for(future, 10)


async def leave(connection: SmtpConnection) -> None:
    connection.quit()
    await asyncio.wait_for(asyncio.shield(connection.gone), 10)


def place(mx: ScriptedMX) -> Place:
    return Place("mx.example.net", mx.host, mx.port)


def texts(outcome: Outcome) -> list[str]:
    return [str(reply) for reply in outcome.replies.values()]


def test_a_message_in_clear(run: Run[None]) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), LONG)
        assert (connection.source_ip, connection.remote_ip, connection.tls) == ("127.0.0.1", "127.0.0.1", "")
        assert str(connection.place) == f"mx.example.net [127.0.0.1]:{mx.port}"
        outcome = await send(connection, "a@example.org", content=b"A: b\r\n\r\n.dot\r\n..\r\n")
        assert texts(outcome) == ["250 2.0.0 Ok: queued"]
        assert not outcome.untouched
        await leave(connection)

    with ScriptedMX() as mx:
        run(scene(mx))
        assert mx.log[1] == "EHLO me.example"
        assert mx.log[-1] == "QUIT"
        assert mx.messages[0].content == b"A: b\r\n\r\n.dot\r\n..\r\n"


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
def test_each_recipient_has_its_own_reply(run: Run[None], extensions: tuple[str, ...]) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), LONG)
        for _ in range(2):
            outcome = await send(connection, "a@example.org", "b@example.org", "c@example.org")
            assert [outcome.replies[f"{name}@example.org"].code for name in "abc"] == [250, 550, 451]
        assert connection.served == 2
        await leave(connection)

    script = Script(
        recipients={"b@example.org": b"550 5.1.1 no such user", "c@example.org": b"451 4.2.1 later"},
        extensions=extensions,
    )
    with ScriptedMX(script) as mx:
        run(scene(mx))
        assert [message.recipients for message in mx.messages] == [("a@example.org",)] * 2


def test_one_may_wait_behind_the_one_that_runs(run: Run[None]) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), LONG)
        first = asyncio.create_task(send(connection, "a@example.org"))
        await asyncio.sleep(0)
        assert connection.can_take
        second = asyncio.create_task(send(connection, "b@example.org"))
        await asyncio.sleep(0)
        assert not connection.can_take
        assert texts(await first) == texts(await second) == ["250 2.0.0 Ok: queued"]
        assert connection.idle
        await leave(connection)

    with ScriptedMX() as mx:
        run(scene(mx))
        assert len(mx.messages) == 2


def test_without_pipelining_nobody_waits_behind(run: Run[None]) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), LONG)
        task = asyncio.create_task(send(connection, "a@example.org"))
        await asyncio.sleep(0)
        assert not connection.can_take
        await task
        await leave(connection)

    with ScriptedMX(Script(extensions=())) as mx:
        run(scene(mx))


@pytest.mark.parametrize("mode", ["opportunistic", "require"])
def test_starttls(run: Run[None], tmp_path: Path, mode: str) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", mode, ANY), LONG)
        assert connection.tls == "TLSv1.3 TLS_AES_256_GCM_SHA384"
        assert (await send(connection, "a@example.org")).replies["a@example.org"].code == 250
        await leave(connection)

    tls = server_context(*make_self_signed(tmp_path, "mx.example.net", SystemClock()))
    with ScriptedMX(Script(tls=tls)) as mx:
        run(scene(mx))
        assert mx.messages[0].tls
        assert mx.log.count("EHLO me.example") == 2


def test_a_certificate_that_must_be_right(run: Run[None], tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trusting = client_context(verify=True, ca_file=str(tmp_path / "ca.pem"))

    async def scene(mx: ScriptedMX, name: str) -> None:
        connection = await connect(Place(name, mx.host, mx.port), Login("me.example", "require", trusting), LONG)
        await leave(connection)

    def serving(name: str) -> Script:
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pair.pem"))
        return Script(tls=server_context(tmp_path / "pair.pem", tmp_path / "pair.pem"))

    with ScriptedMX(serving("mx.example.net")) as mx:
        run(scene(mx, "mx.example.net"))
        with pytest.raises(ConnectFailed, match=r"454 4\.7\.5 TLS handshake .* failed: Hostname mismatch"):
            run(scene(mx, "other.example.net"))


def test_implicit_tls_and_a_login(run: Run[None], tmp_path: Path) -> None:
    seen: list[bytes] = []
    pair = make_self_signed(tmp_path, "mx.example.net", SystemClock())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        replies = {b"EHLO": b"250-x\r\n250 AUTH PLAIN LOGIN\r\n", b"AUTH": b"235 ok\r\n", b"QUIT": b"221 bye\r\n"}
        while line := await reader.readline():
            seen.append(line)
            writer.write(replies[line[:4]])
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context(*pair))
        port = server.sockets[0].getsockname()[1]
        login = Login("me.example", "implicit", ANY, username="user", password="secret")
        connection = await connect(Place("mx.example.net", "127.0.0.1", port), login, LONG)
        assert connection.tls.startswith("TLSv1.3")
        await asyncio.wait_for(leave_tls(connection), 10)
        server.close()

    async def leave_tls(connection: SmtpConnection) -> None:
        connection.quit()
        while b"QUIT\r\n" not in seen:
            await asyncio.sleep(0.01)
        connection.abort()
        await asyncio.shield(connection.gone)

    run(scene())
    assert seen[1].split() == [b"AUTH", b"PLAIN", b"AHVzZXIAc2VjcmV0"]


@pytest.mark.parametrize(
    ("script", "stage", "reply", "reached"),
    [
        (Script(replies={"banner": b"554 5.7.1 go away"}), "greeting", "554 5.7.1 go away", True),
        (Script(replies={"banner": b"421 4.3.2 later"}), "greeting", "421 4.3.2 later", True),
        (Script(replies={"connect": DROP}), "greeting", "421 4.4.2 Connection lost (while waiting for the g", False),
        (Script(replies={"banner": HANG}), "greeting", "421 4.4.2 Connection timed out (while waiting for", False),
        (Script(replies={"banner": b"\x15\x03\x01"}), "greeting", "451 4.5.0 Protocol error from mx.example", False),
        (Script(replies={"EHLO": HANG}), "ehlo", "421 4.4.2 Connection timed out (while waiting for the", True),
        (Script(replies={"EHLO": DROP}), "ehlo", "421 4.4.2 Connection lost (while waiting for the reply", True),
        (Script(replies={"STARTTLS": HANG}), "starttls", "421 4.4.2 Connection timed out (while starting TLS)", True),
        (Script(replies={"STARTTLS": DROP}), "starttls", "421 4.4.2 Connection lost (while starting TLS)", True),
        (Script(replies={"STARTTLS": GARBAGE}), "starttls", "454 4.7.5 TLS handshake with mx.example.net", True),
        (Script(replies={"STARTTLS": b"220 go"}), "starttls", "454 4.7.5 TLS handshake with mx.example.net", True),
        (Script(replies={"STARTTLS": b"454 4.7.0 not now"}), "starttls", "454 4.7.0 not now", True),
        (Script(), "starttls", "454 4.7.4", True),
    ],
    ids=lambda value: None if isinstance(value, Script | bool) else value[:20],
)
def test_sessions_that_do_not_come_to_pass(
    run: Run[None], script: Script, stage: str, reply: str, reached: bool
) -> None:
    async def scene(mx: ScriptedMX) -> None:
        with pytest.raises(ConnectFailed) as failed:
            await asyncio.wait_for(connect(place(mx), Login("me.example", "require", ANY), SHORT), 10)
        assert (failed.value.stage, failed.value.reached) == (stage, reached)
        assert str(failed.value).startswith(reply)
        assert failed.value.host == str(place(mx))
        await asyncio.sleep(0.05)  # let the loop see its sockets closed

    with ScriptedMX(script) as mx:
        run(scene(mx))


def test_nobody_listens(run: Run[None]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

        async def scene() -> None:
            with pytest.raises(ConnectFailed) as failed:
                await connect(Place("127.0.0.1", "127.0.0.1", port), Login("me.example", context=ANY), SHORT)
            assert str(failed.value) == f"421 4.4.1 Unable to connect to [127.0.0.1]:{port}: Connection refused"

        run(scene())


def test_a_host_that_does_not_answer(run: Run[None]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))

        async def scene() -> None:
            with pytest.raises(ConnectFailed, match="Connection timed out"):
                await connect(Place("mx", "127.0.0.1", port), Login("me.example", context=ANY), SHORT)

        run(scene())
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "body"])
@pytest.mark.parametrize("behaviour", [HANG, DROP])
def test_trouble_within_a_transaction(run: Run[None], step: str, behaviour: bytes) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), SHORT)
        mx.script = Script(replies={step: behaviour})
        outcome = await send(connection, "a@example.org", "b@example.org")
        words = "Connection timed out" if behaviour == HANG else "Connection lost"
        doing = {"MAIL": "MAIL FROM", "RCPT": "RCPT TO", "DATA": "DATA", "body": "the end of the message"}[step]
        assert set(texts(outcome)) == {f"421 4.4.2 {words} (while waiting for the reply to {doing})"}
        assert outcome.untouched == (step != "body")
        assert connection.closed
        await asyncio.wait_for(connection.gone, 5)

    with ScriptedMX() as mx:
        run(scene(mx))


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (Script(drop_body_after=20000), "421 4.4.2 Connection lost (while sending message content)"),
        (Script(hang_body_after=20000), "421 4.4.2 Connection timed out (while sending message content)"),
    ],
)
def test_trouble_within_the_content(run: Run[None], script: Script, text: str) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), SHORT)
        outcome = await send(connection, "a@example.org", content=b"\r\n" + b"0123456789abcdef\r\n" * 1_500_000)
        assert texts(outcome) == [text]
        assert not outcome.untouched

    with ScriptedMX(script) as mx:
        run(scene(mx))


def test_a_refusal_before_the_loss_stays_a_refusal(run: Run[None]) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), SHORT)
        outcome = await send(connection, "no@example.org", "a@example.org")
        assert str(outcome.replies["no@example.org"]) == "550 5.1.1 no"
        assert str(outcome.replies["a@example.org"]).startswith("421 4.4.2")

    with ScriptedMX(Script(replies={"body": DROP}, recipients={"no@example.org": b"550 5.1.1 no"})) as mx:
        run(scene(mx))


def test_the_one_behind_is_told_apart_from_the_one_that_was_under_way(run: Run[None]) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), SHORT)
        first, second = await asyncio.gather(send(connection, "a@example.org"), send(connection, "b@example.org"))
        assert list(first.replies) == ["a@example.org"]
        assert list(second.replies) == ["b@example.org"]
        assert (first.untouched, second.untouched) == (False, True)

    with ScriptedMX(Script(replies={"body": DROP})) as mx:
        run(scene(mx))


def test_a_server_that_hangs_up_with_421(run: Run[None]) -> None:
    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), LONG)
        told: list[bool] = []
        connection.on_close = lambda: told.append(connection.closed)
        assert texts(await send(connection, "a@example.org")) == ["421 4.3.2 enough"]
        assert told == [True]
        await asyncio.wait_for(connection.gone, 5)

    with ScriptedMX(Script(replies={"MAIL": b"421 4.3.2 enough"})) as mx:
        run(scene(mx))


def test_a_long_message_arrives_whole_and_waits_for_the_socket(run: Run[None]) -> None:
    content = b"A: b\r\n\r\n" + b"".join(b"%070d\r\n" % number for number in range(120_000))

    async def scene(mx: ScriptedMX) -> None:
        connection = await connect(place(mx), Login("me.example", context=ANY), LONG)
        transport = connection._transport
        assert transport
        largest = 0
        task = asyncio.create_task(send(connection, "a@example.org", content=content))
        while not task.done():
            await asyncio.sleep(0.001)
            largest = max(largest, transport.get_write_buffer_size())
        assert texts(await task) == ["250 2.0.0 Ok: queued"]
        assert largest < 1 << 20
        await leave(connection)

    with ScriptedMX() as mx:
        run(scene(mx))
        assert mx.messages[0].content == content


def test_a_reply_in_drops_is_bounded(run: Run[None]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"2")
                await writer.drain()
                await asyncio.sleep(0.02)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def scene() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectFailed, match="timed out"):
            await asyncio.wait_for(connect(Place("mx", "127.0.0.1", port), Login("me", context=ANY), SHORT), 5)
        server.close()
        await asyncio.sleep(0.1)

    run(scene())


@contextmanager
def deaf() -> Iterator[int]:
    """Accepts, and reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


def test_giving_up_while_connecting_leaves_no_socket(run: Run[None]) -> None:
    async def scene(port: int) -> None:
        task = asyncio.create_task(connect(Place("mx", "127.0.0.1", port), Login("me", context=ANY), LONG))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)

    with deaf() as port:
        run(scene(port))
