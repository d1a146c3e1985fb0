"""Listeners: addresses, clashes, the end."""

from __future__ import annotations

import asyncio
import socket

import pytest

from mailstead.base.errors import Conflict
from mailstead.servers.listener import Crowd, Limits, Listener, bind_all


def listener(name: str, *addresses: tuple[str, int]) -> Listener:
    return Listener(name, addresses, asyncio.Protocol)


def test_port_0_takes_a_free_port_and_says_which() -> None:
    async def scene() -> None:
        one = listener("submission", ("127.0.0.1", 0), ("127.0.0.2", 0))
        addresses = await one.start()
        assert [address.rpartition(":")[0] for address in addresses] == ["127.0.0.1", "127.0.0.2"]
        for address in addresses:
            host, _, port = address.rpartition(":")
            assert int(port) > 0
            socket.create_connection((host, int(port)), timeout=5).close()
        one.close()

    asyncio.run(scene())


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    async def scene() -> None:
        one = listener("mx", ("::1", 0))
        assert (await one.start())[0].startswith("[::1]:")
        one.close()

    asyncio.run(scene())


def test_a_clash_is_one_plain_line_and_nothing_stays_bound() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with socket.socket() as probe:
            probe.bind(("127.0.0.3", 0))
            free = probe.getsockname()[1]
        with pytest.raises(Conflict) as caught:
            bind_all("submission", [("127.0.0.3", free), ("127.0.0.1", port)])
    assert str(caught.value) == (f"listen.submission: cannot listen on 127.0.0.1:{port}: the address is in use already")
    with socket.socket() as probe:
        probe.bind(("127.0.0.3", free))


def test_an_address_of_another_machine_is_told_as_such() -> None:
    with pytest.raises(Conflict, match=r"listen\.mx: cannot listen on 192\.0\.2\.1:25: this machine does not have"):
        bind_all("mx", [("192.0.2.1", 25)])


def test_a_name_that_does_not_resolve_is_told_as_such() -> None:
    with pytest.raises(Conflict, match=r"listen\.mx: cannot listen on nowhere\.invalid:25: "):
        bind_all("mx", [("nowhere.invalid", 25)])


class Guest:
    """Somebody who goes when asked, or not."""

    def __init__(self, crowd: Crowd, *, stubborn: bool = False) -> None:
        self._crowd = crowd
        self._stubborn = stubborn
        self.aborted = False
        self.seen = 0

    def look(self, now: float) -> None:
        self.seen += 1

    def leave_soon(self) -> None:
        if not self._stubborn:
            self._crowd.leave(self)

    def abort(self) -> None:
        self.aborted = True
        self._crowd.leave(self)


def test_the_crowd_counts_in_all_and_by_account() -> None:
    async def scene() -> None:
        crowd = Crowd(Limits(2, each_account=1))
        guests = [Guest(crowd) for _ in range(3)]
        assert [crowd.enter(guest) for guest in guests] == [True, True, False]
        crowd.leave(guests[2])
        crowd.leave(guests[0])
        assert crowd.enter(guests[2])
        assert crowd.enter_account("a")
        assert not crowd.enter_account("a")
        assert crowd.enter_account("b")
        crowd.leave_account("a")
        assert crowd.enter_account("a")
        await crowd.disperse(1)

    asyncio.run(scene())


def test_who_does_not_go_within_the_grace_is_cut_off() -> None:
    async def scene() -> None:
        crowd = Crowd(Limits(0), tick=0.01)
        polite, stubborn = Guest(crowd), Guest(crowd, stubborn=True)
        crowd.enter(polite)
        crowd.enter(stubborn)
        await crowd.disperse(0.05)
        assert (polite.aborted, stubborn.aborted) == (False, True)
        assert stubborn.seen > 0
        assert len(crowd) == 0
        assert not crowd.enter(polite)

    asyncio.run(scene())


def test_one_address_does_not_take_every_place() -> None:
    async def scene() -> None:
        crowd = Crowd(Limits(5, each_address=2))
        knocking = [Guest(crowd) for _ in range(50)]
        assert [crowd.enter(guest, "192.0.2.1") for guest in knocking] == [True] * 2 + [False] * 48
        others = [Guest(crowd) for _ in range(3)]
        assert [crowd.enter(guest, f"198.51.100.{n}") for n, guest in enumerate(others)] == [True] * 3
        assert not crowd.enter(Guest(crowd), "203.0.113.1")  # now it is full in all
        crowd.leave(knocking[0])
        crowd.leave(knocking[0])
        crowd.leave(knocking[49])  # was not let in, frees nothing
        back = [Guest(crowd), Guest(crowd)]
        assert [crowd.enter(guest, "192.0.2.1") for guest in back] == [True, False]
        await crowd.disperse(1)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("addresses", "let_in"),
    [
        (["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"], 1),
        (["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1"], 3),
        (["127.0.0.1", "127.0.0.1", "127.0.0.1"], 3),
        (["::1", "::1", "::1"], 3),
        (["", "", ""], 3),
    ],
    ids=["one-network-of-64-bits", "three-networks", "loopback", "loopback-6", "not-counted"],
)
def test_a_thousand_ipv6_addresses_of_one_network_are_one(addresses: list[str], let_in: int) -> None:
    async def scene() -> None:
        crowd = Crowd(Limits(0, each_address=1))
        assert sum(crowd.enter(Guest(crowd), address) for address in addresses) == let_in
        await crowd.disperse(1)

    asyncio.run(scene())
