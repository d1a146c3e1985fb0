"""The resolver, before a real nsd and before a server that behaves badly on purpose."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from mailstead.base.clock import ManualClock
from mailstead.base.errors import Invalid
from mailstead.net.dns import DnsResolver
from mailstead.proto.dns import Answer, DnsError
from peers.nsd import Nsd

ZONE = """
@ MX 20 mx2
@ MX 10 MX1
@ A 192.0.2.1
mx1 A 192.0.2.10
mx1 AAAA 2001:db8::10
mx2 A 192.0.2.11
txt TXT "v=spf1 " "-all"
alias CNAME mx1
far CNAME txt
dead CNAME nothing.example.org.
null MX 0 .
ptr PTR Host.Example.ORG.
big TXT """ + " ".join([f'"{"x" * 200}"'] * 8)


@contextmanager
def tiny_server(answer: Callable[[dns.message.Message, int], dns.message.Message | None]) -> Iterator[str]:
    """A DNS server in a thread that does as ``answer(query, number)`` says; None is silence."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.1)
    over = Event()

    def serve() -> None:
        number = 0
        while not over.is_set():
            try:
                data, peer = sock.recvfrom(4096)
            except TimeoutError:
                continue
            number += 1
            response = answer(dns.message.from_wire(data), number)
            if response is not None:
                sock.sendto(response.to_wire(), peer)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{sock.getsockname()[1]}"
    finally:
        over.set()
        thread.join()
        sock.close()


@pytest.fixture(scope="module")
def nsd() -> Iterator[Nsd]:
    with Nsd({"example.org": ZONE}) as server:
        yield server


def reply(query: dns.message.Message, *lines: str, rcode: int = 0, ad: bool = False) -> dns.message.Message:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.Rcode(rcode))
    if ad:
        response.flags |= dns.flags.AD
    for line in lines:
        name, ttl, _, kind, data = line.split(" ", 4)
        section = response.authority if kind == "SOA" else response.answer
        section.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return response


def ask(server: str, name: str, kind: str) -> Answer:
    return asyncio.run(DnsResolver(server, ManualClock()).query(name, kind))


def test_records_as_they_stand_in_a_real_zone(nsd: Nsd) -> None:
    assert ask(nsd.address, "Example.ORG.", "MX").records == ("10 mx1.example.org", "20 mx2.example.org")
    assert ask(nsd.address, "mx1.example.org", "AAAA").records == ("2001:db8::10",)
    assert ask(nsd.address, "txt.example.org", "TXT").records == ("v=spf1 -all",)
    assert ask(nsd.address, "null.example.org", "MX").records == ("0 .",)
    assert ask(nsd.address, "ptr.example.org", "PTR").records == ("host.example.org",)


def test_aliases_are_followed(nsd: Nsd) -> None:
    assert ask(nsd.address, "alias.example.org", "A").records == ("192.0.2.10",)
    assert ask(nsd.address, "alias.example.org", "CNAME").records == ("mx1.example.org",)
    assert ask(nsd.address, "dead.example.org", "A").exists is False
    assert ask(nsd.address, "far.example.org", "A") == Answer((), True, False, 1)


def test_no_such_name_and_no_such_type_are_told_apart(nsd: Nsd) -> None:
    assert ask(nsd.address, "nobody.example.org", "A").exists is False
    assert ask(nsd.address, "mx2.example.org", "AAAA") == Answer((), True, False, 1)


def test_long_answers_come_over_tcp(nsd: Nsd) -> None:
    assert len(ask(nsd.address, "big.example.org", "TXT").records[0]) == 1600


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", "x" * 64 + ".org", ".".join(["abc"] * 64), "sp ace.org", "\udc80.org"]
)
def test_names_that_cannot_be_do_not_exist_and_are_not_asked_for(name: str) -> None:
    assert ask("127.0.0.1:1", name, "A").exists is False


def test_odd_characters_are_asked_for_as_they_are() -> None:
    seen = []

    def answer(query: dns.message.Message, _: int) -> dns.message.Message:
        seen.append(query.question[0].name.labels[0])
        return reply(query, rcode=3)

    with tiny_server(answer) as server:
        ask(server, "a\\046b+c=d.example.org", "A")
    assert seen == [b"a\\046b+c=d"]


def test_an_answer_is_kept_as_long_as_it_says_and_no_longer() -> None:
    clock = ManualClock()

    async def scene(server: str) -> None:
        resolver = DnsResolver(server, clock)
        assert resolver.cached("a.example", "A") is None
        for _ in range(3):
            assert (await resolver.query("a.example", "A")).records == ("192.0.2.1",)
        assert resolver.asked == 1
        assert resolver.cached("a.example", "A") is not None
        clock.advance(29_999)
        await resolver.query("A.example.", "A")
        assert resolver.asked == 1
        clock.advance(1)
        assert resolver.cached("a.example", "A") is None
        await resolver.query("a.example", "A")
        assert resolver.asked == 2
        await resolver.fresh("a.example", "A")
        assert resolver.asked == 3
        clock.advance(-40_000)  # the machine's clock is set back
        assert resolver.cached("a.example", "A") is None

    with tiny_server(lambda query, _: reply(query, "a.example. 30 IN A 192.0.2.1")) as server:
        asyncio.run(scene(server))


@pytest.mark.parametrize(("soa", "kept"), [(("example. 3600 IN SOA ns. root. 1 2 3 4 60",), 60), ((), 5)])
def test_a_no_is_kept_for_the_soa_minimum(soa: tuple[str, ...], kept: int) -> None:
    with tiny_server(lambda query, _: reply(query, *soa, rcode=3)) as server:
        assert ask(server, "a.example", "A") == Answer((), False, False, kept)


def test_a_no_is_kept_five_minutes_at_most() -> None:
    with tiny_server(lambda query, _: reply(query, "example. 86400 IN SOA ns. root. 1 2 3 4 86400")) as server:
        assert ask(server, "a.example", "A") == Answer((), True, False, 300)


def test_the_mark_of_dnssec_comes_through() -> None:
    with tiny_server(lambda query, _: reply(query, "a.example. 30 IN A 192.0.2.1", ad=True)) as server:
        assert ask(server, "a.example", "A").authentic


def test_an_alias_into_another_zone_is_asked_for_again() -> None:
    def answer(query: dns.message.Message, _: int) -> dns.message.Message:
        if "b." in str(query.question[0].name):
            return reply(query, "b.example. 10 IN A 192.0.2.2")
        return reply(query, "a.example. 30 IN CNAME b.example.")

    with tiny_server(answer) as server:
        assert ask(server, "a.example", "A") == Answer(("192.0.2.2",), True, False, 10)


def test_endless_aliases_end() -> None:
    def answer(query: dns.message.Message, number: int) -> dns.message.Message:
        return reply(query, f"{query.question[0].name} 30 IN CNAME n{number}.example.")

    with tiny_server(answer) as server, pytest.raises(DnsError, match="too many aliases"):
        ask(server, "a.example", "A")


def test_an_alias_to_itself_is_an_error() -> None:
    looped = tiny_server(lambda query, _: reply(query, "a.example. 30 IN CNAME a.example."))
    with looped as server, pytest.raises(DnsError):
        ask(server, "a.example", "A")


def test_only_so_many_records_are_used() -> None:
    lines = [f"a.example. 30 IN MX {n} mx{n}.example." for n in range(30, 0, -1)]
    with tiny_server(lambda query, _: reply(query, *lines)) as server:
        records = ask(server, "a.example", "MX").records
    assert records[0] == "1 mx1.example"
    assert len(records) == 20


def test_the_second_try_may_succeed() -> None:
    def answer(query: dns.message.Message, number: int) -> dns.message.Message | None:
        return reply(query, rcode=2) if number == 1 else reply(query, "a.example. 30 IN A 192.0.2.1")

    with tiny_server(answer) as server:
        assert ask(server, "a.example", "A").records == ("192.0.2.1",)


def test_a_failing_server_is_named_and_left_in_peace_for_a_while() -> None:
    clock = ManualClock()

    async def scene(server: str) -> None:
        resolver = DnsResolver(server, clock)
        for _ in range(3):
            with pytest.raises(DnsError, match=f"^SERVFAIL from {server} for MX example.com$"):
                await resolver.query("example.com", "MX")
        assert resolver.asked == 2
        clock.advance(5000)
        with pytest.raises(DnsError):
            await resolver.query("example.com", "MX")
        assert resolver.asked == 4

    with tiny_server(lambda query, _: reply(query, rcode=2)) as server:
        asyncio.run(scene(server))


def test_a_silent_server_is_given_up_in_time_and_asked_once_for_all() -> None:
    async def scene(server: str) -> int:
        resolver = DnsResolver(server, ManualClock(), timeout=0.4)
        results = await asyncio.gather(
            *(resolver.query("example.com", "MX") for _ in range(50)), return_exceptions=True
        )
        assert {str(result) for result in results} == {f"no answer from {server} for MX example.com"}
        return resolver.asked

    with tiny_server(lambda *_: None) as server:
        begin = time.monotonic()
        assert asyncio.run(scene(server)) == 2
        assert time.monotonic() - begin < 2


def test_one_who_stops_waiting_does_not_take_the_answer_from_the_others() -> None:
    async def scene(server: str) -> None:
        resolver = DnsResolver(server, ManualClock())
        first = asyncio.create_task(resolver.query("a.example", "A"))
        second = asyncio.create_task(resolver.query("a.example", "A"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).records == ("192.0.2.1",)
        assert resolver.asked == 1

    with tiny_server(lambda query, _: reply(query, "a.example. 30 IN A 192.0.2.1")) as server:
        asyncio.run(scene(server))


def test_faults_on_demand() -> None:
    async def scene() -> None:
        resolver = DnsResolver("127.0.0.1:1", ManualClock())
        resolver.fail_next(2)
        for _ in range(2):
            with pytest.raises(DnsError):
                await resolver.query("", "A")
        assert (await resolver.query("", "A")).exists is False

    asyncio.run(scene())


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.net.dns.MAX_ANSWERS", 2)

    async def scene(server: str) -> None:
        resolver = DnsResolver(server, ManualClock())
        for name in ("a", "b", "a", "c"):
            await resolver.query(name, "A")
        assert resolver.cached("a", "A")
        assert resolver.cached("b", "A") is None

    with tiny_server(lambda query, _: reply(query, f"{query.question[0].name} 30 IN A 192.0.2.1")) as server:
        asyncio.run(scene(server))


@pytest.mark.parametrize("text", ["", "a b", "127.0.0.1:x", "[::1", ":53"])
def test_a_wrong_server_is_said(text: str) -> None:
    with pytest.raises(Invalid):
        DnsResolver(text, ManualClock())


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("127.0.0.1:5302", ("127.0.0.1", 5302)),
        ("[::1]:5353", ("::1", 5353)),
        ("[::1]", ("::1", 53)),
        ("::1", ("::1", 53)),
    ],
)
def test_forms_of_a_server(text: str, server: tuple[str, int]) -> None:
    assert DnsResolver(text, ManualClock())._servers == [server]


@pytest.mark.parametrize(
    ("lines", "servers"),
    [
        ("search x.example\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n", ["192.0.2.1", "2001:db8::1"]),
        ("".join(f"nameserver 192.0.2.{n}\n" for n in range(1, 6)), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]),
        ("", ["127.0.0.1"]),
        (None, ["127.0.0.1"]),
    ],
    ids=["two", "five", "nothing in it", "no file"],
)
def test_the_system_resolver_is_read(
    lines: str | None, servers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "resolv.conf"
    if lines is not None:
        file.write_text(lines)
    monkeypatch.setattr(dns.resolver.Resolver.__init__, "__defaults__", (str(file), True))
    assert DnsResolver(None, ManualClock())._servers == [(server, 53) for server in servers]
