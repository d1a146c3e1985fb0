"""The network agent before servers of every kind of behaviour: every parcel gets an answer, and the right one."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from mailstead.base.clock import ManualClock, SystemClock
from mailstead.net.smtp import Timeouts
from mailstead.net.tls import make_self_signed, server_context
from mailstead.outbound.agents import Attempt, Host, Parcel, Route, Source
from mailstead.outbound.pacing import PacingSettings
from mailstead.outbound.smtp_agent import MAX_RECIPIENTS, SmtpAgent, SmtpSettings
from mailstead.proto.smtp.reply import Reply
from peers.ground import free_port
from peers.scripted_mx import DROP, GARBAGE, HANG, Script, ScriptedMX

SHORT = Timeouts(0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 5)
SETTINGS = SmtpSettings("me.example", timeouts=SHORT, pacing=PacingSettings(idle=0.2))


def parcel(*recipients: str, message: str = "m1") -> Parcel:
    return Parcel(
        message=message,
        account="000000000000",
        sender="bounce@example.com",
        recipients=recipients or ("r@example.org",),
        signatures=b"DKIM-Signature: v=1\r\n",
        head=b"From: a@example.com\r\nSubject: hi\r\n",
        body=b"\r\nhello\r\n",
        date="2026.03.27",
    )


def host(mx: ScriptedMX, name: str = "mx.example.org") -> Host:
    return Host(name, mx.port, (mx.host,))


def route(*hosts: Host, tls: str = "opportunistic") -> Route:
    return Route("smtp", ",".join(host.name for host in hosts), hosts, tls=tls)


def run(
    scene: Callable[[SmtpAgent], Awaitable[None]],
    settings: SmtpSettings = SETTINGS,
    clock: ManualClock | None = None,
) -> None:
    async def whole() -> None:
        agent = SmtpAgent(settings, clock or ManualClock())
        try:
            async with asyncio.timeout(20):
                await scene(agent)
        finally:
            await agent.close(1)
        assert agent.connections == 0

    uvloop.run(whole())


def reply_of(attempt: Attempt) -> str:
    (text,) = {str(reply) for reply in attempt.replies.values()}
    return text


def closed_port() -> int:
    return free_port("127.0.0.1")


def test_a_parcel_arrives_as_it_is(tmp_path: Path) -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempt = await agent.attempt(route(host(mx)), parcel("a@example.org", "b@example.org"))
        assert attempt.replies == {
            "a@example.org": Reply(250, "Ok: queued", "2.0.0"),
            "b@example.org": Reply(250, "Ok: queued", "2.0.0"),
        }
        assert attempt.host == f"mx.example.org [127.0.0.1]:{mx.port}"
        assert (attempt.remote_ip, attempt.source_ip, attempt.reached) == ("127.0.0.1", "127.0.0.1", True)
        assert attempt.tls == "TLSv1.3 TLS_AES_256_GCM_SHA384"

    tls = server_context(*make_self_signed(tmp_path, "mx.example.org", SystemClock()))
    with ScriptedMX(Script(tls=tls)) as mx:
        run(scene)
    (taken,) = mx.messages
    assert taken.tls
    assert (taken.sender, taken.recipients) == ("bounce@example.com", ("a@example.org", "b@example.org"))
    assert taken.content == (
        b"DKIM-Signature: v=1\r\nFrom: a@example.com\r\nSubject: hi\r\n"
        b"X-SES-Outgoing: 2026.03.27-127.0.0.1\r\n\r\nhello\r\n"
    )
    assert mx.log[-1] == "QUIT"


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()])
def test_one_recipient_refused_and_one_put_off(extensions: tuple[str, ...]) -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempt = await agent.attempt(route(host(mx)), parcel("a@example.org", "no@example.org", "later@example.org"))
        assert {address: str(reply) for address, reply in attempt.replies.items()} == {
            "a@example.org": "250 2.0.0 Ok: queued",
            "no@example.org": "550 5.1.1 no such user",
            "later@example.org": "451 4.2.0 greylisted",
        }

    script = Script(
        recipients={"no@example.org": b"550 5.1.1 no such user", "later@example.org": b"451 4.2.0 greylisted"},
        extensions=extensions,
    )
    with ScriptedMX(script) as mx:
        run(scene)
        assert [taken.recipients for taken in mx.messages] == [("a@example.org",)]


def test_many_recipients_are_split() -> None:
    many = tuple(f"r{number}@example.org" for number in range(2 * MAX_RECIPIENTS + 5))

    async def scene(agent: SmtpAgent) -> None:
        attempt = await agent.attempt(route(host(mx)), parcel(*many))
        assert set(attempt.replies) == set(many)
        assert reply_of(attempt) == "250 2.0.0 Ok: queued"

    with ScriptedMX() as mx:
        run(scene)
        assert sorted(len(taken.recipients) for taken in mx.messages) == [5, MAX_RECIPIENTS, MAX_RECIPIENTS]


def test_a_connection_serves_one_parcel_after_the_other_and_then_rests() -> None:
    async def scene(agent: SmtpAgent) -> None:
        for number in range(5):
            await agent.attempt(route(host(mx)), parcel(message=f"m{number}"))
        assert mx.connections == 1
        assert (agent.connections, agent.pools) == (1, 1)
        while agent.pools:
            await asyncio.sleep(0.02)
        assert agent.connections == 0

    with ScriptedMX() as mx:
        run(scene)
        assert mx.log[-1] == "QUIT"


def test_so_many_parcels_a_connection_and_no_more() -> None:
    async def scene(agent: SmtpAgent) -> None:
        for _ in range(7):
            assert reply_of(await agent.attempt(route(host(mx)), parcel())) == "250 2.0.0 Ok: queued"

    with ScriptedMX() as mx:
        run(scene, replace(SETTINGS, pacing=PacingSettings(connection_messages=3)))
        assert mx.connections == 3
        assert mx.log.count("QUIT") == 3


def test_connections_grow_with_success_up_to_the_limit() -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempts = [agent.attempt(route(host(mx)), parcel(message=f"m{number}")) for number in range(100)]
        assert {reply_of(attempt) for attempt in await asyncio.gather(*attempts)} == {"250 2.0.0 Ok: queued"}

    with ScriptedMX(Script(delays={"body": 0.01})) as mx:
        run(scene, replace(SETTINGS, pacing=PacingSettings(connections=8, connections_at_first=2)))
        assert mx.most_open == 8
        assert len(mx.messages) == 100


@pytest.mark.slow
def test_a_rate_holds() -> None:
    async def scene(agent: SmtpAgent) -> None:
        begin = time.monotonic()
        await asyncio.gather(*(agent.attempt(route(host(mx)), parcel()) for _ in range(30)))
        assert time.monotonic() - begin > 1.9  # ten at once, then ten a second

    async def whole() -> None:
        agent = SmtpAgent(replace(SETTINGS, pacing=PacingSettings(rate=10)), SystemClock())
        await asyncio.wait_for(scene(agent), 20)
        await agent.close(1)

    with ScriptedMX() as mx:
        uvloop.run(whole())
        assert len(mx.messages) == 30


@pytest.mark.parametrize(
    ("script", "reply"),
    [
        (Script(replies={"MAIL": b"451 4.7.1 greylisted"}), "451 4.7.1 greylisted"),
        (Script(replies={"MAIL": b"550 5.7.1 no"}), "550 5.7.1 no"),
        (Script(replies={"RCPT": b"452 4.2.2 full"}), "452 4.2.2 full"),
        (Script(replies={"DATA": b"554 5.5.1 no"}), "554 5.5.1 no"),
        (Script(replies={"body": b"554 5.7.1 spam"}), "554 5.7.1 spam"),
        (Script(replies={"body": b"421 4.3.2 enough"}), "421 4.3.2 enough"),
        (
            Script(replies={"body": DROP}),
            "421 4.4.2 Connection lost (while waiting for the reply to the end of the mes",
        ),
        (Script(drop_body_after=1), "421 4.4.2 Connection lost (while"),
        (Script(replies={"MAIL": DROP}), "421 4.4.2 Connection lost (while waiting for the reply to MAIL FROM)"),
        (Script(replies={"RCPT": HANG}), "421 4.4.2 Connection timed out (while waiting for the reply to RCPT TO)"),
        (Script(replies={"body": HANG}), "421 4.4.2 Connection timed out (while waiting for the reply to the end of"),
        (Script(replies={"RCPT": b"what?"}), "451 4.5.0 Protocol error from mx.example.org"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_a_server_says_or_does_is_the_answer(script: Script, reply: str) -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempt = await agent.attempt(route(host(mx)), parcel("a@example.org", "b@example.org"))
        assert reply_of(attempt).startswith(reply)
        assert attempt.reached

    with ScriptedMX(script) as mx:
        run(scene)


@pytest.mark.parametrize(
    ("script", "reply"),
    [
        (Script(replies={"banner": b"421 4.3.2 busy"}), "421 4.3.2 busy"),
        (
            Script(replies={"banner": b"554 5.7.1 your address is listed"}),
            "451 4.7.0 The server refused to talk to us at greeting: 554 5.7.1 your address is listed",
        ),
        (Script(replies={"banner": HANG}), "421 4.4.2 Connection timed out (while waiting for the greeting)"),
        (Script(replies={"connect": DROP}), "421 4.4.2 Connection lost (while waiting for the greeting)"),
        (Script(replies={"EHLO": HANG}), "421 4.4.2 Connection timed out (while waiting for the reply to EHLO)"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_who_does_not_talk_to_us_is_not_reached_and_refuses_nobody_for_good(script: Script, reply: str) -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempt = await agent.attempt(route(host(mx)), parcel())
        assert reply_of(attempt) == reply
        assert not attempt.reached
        assert attempt.host == f"mx.example.org [127.0.0.1]:{mx.port}"

    with ScriptedMX(script) as mx:
        run(scene)


@pytest.mark.parametrize(
    "script",
    [
        Script(replies={"banner": b"554 5.7.1 no"}),
        Script(replies={"banner": b"421 4.3.2 busy"}),
        Script(replies={"banner": HANG}),
        Script(replies={"connect": DROP}),
        Script(replies={"EHLO": DROP}),
        None,
    ],
)
def test_the_next_host_takes_it(script: Script | None) -> None:
    async def scene(agent: SmtpAgent) -> None:
        first = Host("mx1.example.org", bad.port if script else closed_port(), ("127.0.0.1",))
        attempt = await agent.attempt(route(first, host(good, "mx2.example.org")), parcel())
        assert reply_of(attempt) == "250 2.0.0 Ok: queued"
        assert attempt.host.startswith("mx2.example.org ")

    with ScriptedMX(script) as bad, ScriptedMX() as good:
        run(scene)


def test_the_second_address_of_a_host_takes_it() -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempt = await agent.attempt(route(Host("mx", mx.port, ("::1", "127.0.0.3", "127.0.0.1"))), parcel())
        assert attempt.host == f"mx [127.0.0.1]:{mx.port}"

    with ScriptedMX() as mx:
        run(scene)


def test_a_dead_host_is_asked_once_and_all_who_wait_hear_it() -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempts = [agent.attempt(route(host(mx)), parcel(message=f"m{number}")) for number in range(50)]
        for attempt in await asyncio.gather(*attempts):
            assert not attempt.reached
            assert reply_of(attempt).startswith("421 4.4.2 Connection timed out")
        assert mx.connections == 1

    with ScriptedMX(Script(replies={"banner": HANG})) as mx:
        run(scene)


def test_a_dead_host_is_left_in_peace_and_then_asked_again() -> None:
    clock = ManualClock()

    async def scene(agent: SmtpAgent) -> None:
        for _ in range(3):
            assert not (await agent.attempt(route(host(mx)), parcel())).reached
        assert mx.connections == 1
        mx.script = Script()
        clock.advance(5000)
        assert (await agent.attempt(route(host(mx)), parcel())).reached

    with ScriptedMX(Script(replies={"connect": DROP})) as mx:
        run(scene, clock=clock)


def test_a_dead_host_does_not_hold_up_another() -> None:
    async def scene(agent: SmtpAgent) -> None:
        slow = [asyncio.create_task(agent.attempt(route(host(bad, "bad")), parcel())) for _ in range(20)]
        begin = time.monotonic()
        for _ in range(20):
            await agent.attempt(route(host(good, "good")), parcel())
        assert time.monotonic() - begin < 0.3
        assert not any(task.done() for task in slow)
        await asyncio.gather(*slow)

    with ScriptedMX(Script(replies={"banner": HANG})) as bad, ScriptedMX() as good:
        run(scene)


@pytest.mark.parametrize("behaviour", [GARBAGE, DROP, HANG, b"220 go ahead"])
def test_broken_tls_means_in_the_clear_and_is_remembered(behaviour: bytes) -> None:
    async def scene(agent: SmtpAgent) -> None:
        for _ in range(2):
            attempt = await agent.attempt(route(host(mx)), parcel())
            assert (reply_of(attempt), attempt.tls) == ("250 2.0.0 Ok: queued", "")
            while agent.pools:
                await asyncio.sleep(0.02)
        assert mx.log.count("STARTTLS") == 1
        assert mx.connections == 3

    with ScriptedMX(Script(replies={"STARTTLS": behaviour})) as mx:
        run(scene)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (Script(replies={"STARTTLS": GARBAGE}), "454 4.7.5"),
        (Script(replies={"STARTTLS": b"454 4.7.0 not now"}), "454 4.7.0"),
        (Script(), "454 4.7.4"),
    ],
)
def test_required_tls_is_never_given_up(script: Script, code: str) -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempt = await agent.attempt(route(host(mx), tls="require"), parcel())
        assert reply_of(attempt).startswith(code)
        assert attempt.reached  # mail that takes what there is need not wait
        smarthost = replace(route(host(mx), tls="require"), username="u", password="p")
        attempt = await agent.attempt(smarthost, parcel())
        assert reply_of(attempt).startswith(code)
        assert not attempt.reached  # nothing at all gets through

    with ScriptedMX(script) as mx:
        run(scene)
        assert not [line for line in mx.log if line.startswith("MAIL")]


def test_one_message_may_require_what_another_does_without() -> None:
    async def scene(agent: SmtpAgent) -> None:
        strict, loose = await asyncio.gather(
            agent.attempt(route(host(mx), tls="require"), parcel(message="strict")),
            agent.attempt(route(host(mx)), parcel(message="loose")),
        )
        assert reply_of(strict).startswith("454 4.7.4")
        assert reply_of(loose) == "250 2.0.0 Ok: queued"

    with ScriptedMX(Script()) as mx:
        run(scene)
        assert len(mx.messages) == 1


def test_tls_that_is_not_wanted_is_not_used(tmp_path: Path) -> None:
    async def scene(agent: SmtpAgent) -> None:
        assert (await agent.attempt(route(host(mx), tls="none"), parcel())).tls == ""

    tls = server_context(*make_self_signed(tmp_path, "mx.example.org", SystemClock()))
    with ScriptedMX(Script(tls=tls)) as mx:
        run(scene)


@pytest.mark.parametrize("script", [Script(replies={"MAIL": DROP}), Script(replies={"MAIL": b"421 4.7.0 too many"})])
def test_an_old_connection_that_ends_says_nothing_about_the_parcel(script: Script) -> None:
    async def scene(agent: SmtpAgent) -> None:
        assert (await agent.attempt(route(host(mx)), parcel())).reached
        mx.script = script
        task = asyncio.create_task(agent.attempt(route(host(mx)), parcel()))
        while mx.connections == 1:
            await asyncio.sleep(0)
        mx.script = Script()
        assert reply_of(await task) == "250 2.0.0 Ok: queued"
        assert mx.connections == 2

    with ScriptedMX() as mx:
        run(scene)


def test_a_server_that_takes_one_message_a_connection() -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempts = [agent.attempt(route(host(mx)), parcel(message=f"m{number}")) for number in range(40)]
        assert {reply_of(attempt) for attempt in await asyncio.gather(*attempts)} == {"250 2.0.0 Ok: queued"}

    with ScriptedMX(Script(close_after=frozenset({"QUIT", "body"}))) as mx:
        run(scene)
        assert len(mx.messages) == 40


@pytest.mark.slow
def test_a_server_with_few_places_is_not_hammered() -> None:
    """Two sessions at a time; the others hear 421: everything arrives, and we do not ask again and again."""
    sessions = 0
    greetings: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sessions
        sessions += 1
        greetings.append(b"220 hi\r\n" if sessions <= 2 else b"421 4.7.0 too many\r\n")
        writer.write(greetings[-1])
        content = False
        while greetings and (line := await reader.readline()):
            if content and line != b".\r\n":
                continue
            await asyncio.sleep(0.002)
            content = line == b"DATA\r\n"
            writer.write(b"354 go\r\n" if content else b"250 ok\r\n")
        sessions -= 1
        writer.transport.abort()

    async def scene(agent: SmtpAgent) -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        there = route(Host("mx", server.sockets[0].getsockname()[1], ("127.0.0.1",)))
        attempts = await asyncio.gather(*(agent.attempt(there, parcel()) for _ in range(100)))
        assert {reply_of(attempt) for attempt in attempts} == {"250 ok"}
        assert greetings.count(b"421 4.7.0 too many\r\n") < 10
        await agent.close(1)
        server.close()

    run(scene)


def test_a_refusal_of_the_route_is_the_answer() -> None:
    async def scene(agent: SmtpAgent) -> None:
        refusal = Reply(550, "Domain does not accept mail (null MX)", "5.1.10")
        assert reply_of(await agent.attempt(Route("smtp", "x", refusal=refusal), parcel())) == str(refusal)
        assert reply_of(await agent.attempt(Route("smtp", "x"), parcel())).startswith("451 4.4.4")

    run(scene)


def test_addresses_that_cannot_be_sent_are_refused_and_nothing_else() -> None:
    async def scene(agent: SmtpAgent) -> None:
        attempt = await agent.attempt(route(host(mx)), parcel("a@example.org", "x>\r\nRSET\r\n@example.org"))
        assert attempt.replies["a@example.org"].code == 250
        assert attempt.replies["x>\r\nRSET\r\n@example.org"].code == 553
        assert reply_of(await agent.attempt(route(host(mx)), parcel())) == "250 2.0.0 Ok: queued"

    with ScriptedMX() as mx:
        run(scene)
        assert "RSET" not in mx.log


def test_a_caller_that_gives_up_leaves_the_others_in_peace() -> None:
    async def scene(agent: SmtpAgent) -> None:
        tasks = [asyncio.create_task(agent.attempt(route(host(mx)), parcel(f"r{n}@example.org"))) for n in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        for task in tasks[1::2]:
            assert reply_of(await task) == "250 2.0.0 Ok: queued"
        await asyncio.gather(*tasks, return_exceptions=True)

    with ScriptedMX() as mx:
        run(scene)


def test_closing_lets_what_is_under_way_end_and_puts_off_the_rest() -> None:
    async def scene(agent: SmtpAgent) -> None:
        tasks = [asyncio.create_task(agent.attempt(route(host(mx)), parcel(message=f"m{n}"))) for n in range(6)]
        while "DATA" not in mx.log:
            await asyncio.sleep(0.005)
        await agent.close(5)
        replies = [reply_of(await task) for task in tasks]
        assert replies.count("250 2.0.0 Ok: queued") == len(mx.messages) >= 1
        assert {text for text in replies if text[0] != "2"} == {"421 4.3.2 Shutting down"}
        assert reply_of(await agent.attempt(route(host(mx)), parcel())) == "421 4.3.2 Shutting down"

    with ScriptedMX(Script(delays={"body": 0.2})) as mx:
        run(scene, replace(SETTINGS, timeouts=Timeouts(), pacing=PacingSettings(connections=1)))


def test_closing_does_not_wait_longer_than_its_grace() -> None:
    async def scene(agent: SmtpAgent) -> None:
        tasks = [asyncio.create_task(agent.attempt(route(host(mx)), parcel())) for _ in range(3)]
        await asyncio.sleep(0.1)
        begin = time.monotonic()
        await agent.close(0.1)
        assert time.monotonic() - begin < 1
        for task in tasks:
            assert (await task).replies["r@example.org"].transient

    with ScriptedMX(Script(replies={"RCPT": HANG})) as mx:
        run(scene, replace(SETTINGS, timeouts=Timeouts()))


def test_many_dead_sites_leave_nothing_behind() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

        async def scene(agent: SmtpAgent) -> None:
            hosts = [Host(f"mx{number}", port, (f"127.1.{number // 250}.{number % 250 + 1}",)) for number in range(500)]
            attempts = await asyncio.gather(*(agent.attempt(route(host), parcel()) for host in hosts))
            assert not any(attempt.reached for attempt in attempts)
            while agent.pools:
                await asyncio.sleep(0.02)

        run(scene)


def test_our_own_failure_is_a_451_and_nobody_waits_for_ever() -> None:
    class Broken(Parcel):
        def pieces(self, source_ip: str) -> list[bytes]:
            raise ZeroDivisionError

    async def scene(agent: SmtpAgent) -> None:
        whole = parcel()
        broken = Broken(**{name: getattr(whole, name) for name in Parcel.__slots__})
        assert reply_of(await agent.attempt(route(host(mx)), broken)).startswith("451 4.3.0")
        assert reply_of(await agent.attempt(route(host(mx)), parcel())) == "250 2.0.0 Ok: queued"

    with ScriptedMX() as mx:
        run(scene)


# -- from an address of an account's own

LOCAL = Source("127.0.0.21", "out1.example.org")


def own(way: Route, source: Source = LOCAL) -> Route:
    return replace(way, source=source)


def test_it_leaves_from_its_source_under_its_name() -> None:
    with ScriptedMX() as mx:

        async def scene(agent: SmtpAgent) -> None:
            ours = await agent.attempt(own(route(host(mx))), parcel(message="own"))
            shared = await agent.attempt(route(host(mx)), parcel(message="shared"))
            assert (ours.source_ip, shared.source_ip) == ("127.0.0.21", "127.0.0.1")

        run(scene)
        assert [line for line in mx.log if line.startswith("EHLO")] == ["EHLO out1.example.org", "EHLO me.example"]
        days = [taken.content.partition(b"X-SES-Outgoing: ")[2].split(b"\r\n")[0] for taken in mx.messages]
        assert days == [b"2026.03.27-127.0.0.21", b"2026.03.27-127.0.0.1"]


def test_what_befalls_one_source_is_not_held_against_the_others() -> None:
    with ScriptedMX(Script(replies={"connect": DROP})) as mx:

        async def scene(agent: SmtpAgent) -> None:
            ours = await agent.attempt(own(route(host(mx))), parcel())
            assert not ours.reached
            mx.script = Script()
            again = await agent.attempt(own(route(host(mx))), parcel())
            shared = await agent.attempt(route(host(mx)), parcel())
            assert (again.reached, codes(again), codes(shared)) == (False, [421], [250])

        run(scene)
        assert len(mx.messages) == 1


def test_a_site_that_has_enough_of_one_source_is_served_as_before_from_the_others() -> None:
    with ScriptedMX(Script(replies={"MAIL": b"421 4.7.0 too much of you"})) as mx:

        async def scene(agent: SmtpAgent) -> None:
            way = route(host(mx))
            await agent.attempt(way, parcel())
            limits = {name: pace.limit for name, pace in agent._paces.items()}
            await agent.attempt(own(way), parcel())
            after = {name: pace.limit for name, pace in agent._paces.items()}
            assert set(after) == {way.site, f"{way.site} from 127.0.0.21"}
            assert after[way.site] == limits[way.site]

        run(scene)


@pytest.mark.parametrize("ip", ["::1", "192.0.2.1"])  # another family; an address that no machine has (RFC 5737)
def test_a_source_that_cannot_be_used(ip: str) -> None:
    with ScriptedMX() as mx:

        async def scene(agent: SmtpAgent) -> None:
            ours = await agent.attempt(own(route(host(mx)), Source(ip, "out.example.org")), parcel())
            assert (ours.reached, [code // 100 for code in codes(ours)]) == (False, [4])
            assert codes(await agent.attempt(route(host(mx)), parcel())) == [250]

        run(scene)


def codes(attempt: Attempt) -> list[int]:
    return [reply.code for reply in attempt.replies.values()]
