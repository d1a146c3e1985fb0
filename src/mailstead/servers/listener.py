"""Listener: what every mail door stands on: bound sockets, the crowd inside with its limits, the way out at the end.

One timer for the whole crowd looks after silence.

Careful: a connection that speaks TLS from the first octet is counted when its handshake is done; until then only the
time it has for that (``HANDSHAKE``) bounds it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any, Protocol

from mailstead.base.errors import Conflict

log = logging.getLogger(__name__)

BACKLOG = 1024
HANDSHAKE = 20.0
"""Seconds a client has for a TLS handshake."""
SHUTDOWN = 5.0
"""Seconds a client has to say good-bye in TLS."""
SMALL = 1 << 20
"""Octets that a message may hold however full it is."""
LAST_WORDS = 10.0
"""Seconds a client has to read our good-bye."""

Address = tuple[str, int]
"""Host and port to bind; port 0 takes a free one."""


def shown(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(name: str, address: Address) -> socket.socket:
    """A bound socket, not yet listening.

    Raises:
        Conflict: the address cannot be had; the text names the listener, the address and the reason in one line.
    """
    host, port = address
    try:
        family, kind, proto, _, place = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, proto)
    except OSError as error:
        raise _clash(name, address, error) from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(place)
        bound.listen(BACKLOG)  # now: a second listener on the same address is refused by the bind or by this
    except OSError as error:
        bound.close()
        raise _clash(name, address, error) from None
    return bound


def _clash(name: str, address: Address, error: OSError) -> Conflict:
    reasons = {
        errno.EADDRINUSE: "the address is in use already",
        errno.EACCES: "this user may not bind such a port",
        errno.EADDRNOTAVAIL: "this machine does not have the address",
    }
    reason = reasons.get(error.errno or 0) or error.strerror or str(error)
    return Conflict(f"listen.{name}: cannot listen on {shown(*address)}: {reason}", kind="listen")


def bind_all(name: str, addresses: Sequence[Address]) -> list[socket.socket]:
    """Bind them all, or none.

    Raises:
        Conflict: one cannot be had.
    """
    bound: list[socket.socket] = []
    try:
        for address in addresses:
            bound.append(bind(name, address))
    except Conflict:
        for one in bound:
            one.close()
        raise
    return bound


class Guest(Protocol):
    """A connection, as its crowd sees it."""

    def look(self, now: float) -> None:
        """Are you still there? ``now`` is the loop's time. Called about once a second."""
        ...

    def leave_soon(self) -> None:
        """We stop: go when the message in hand is done, at once if there is none."""
        ...

    def abort(self) -> None:
        """Go now."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How many may be inside at once; 0: no limit."""

    total: int
    each_account: int = 0
    each_address: int = 100
    """Of one client address (an IPv6 network of 64 bits is one: it is what one customer gets)."""
    octets: int = 512 << 20
    """What the messages on their way in may hold together; above it the large ones have to come again."""


def _origin(address: str) -> str:
    """What of a client's address is counted; empty for loopback and what is no address."""
    if ":" not in address:
        return "" if address.startswith("127.") else address
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if found.is_loopback:
        return ""
    return found.packed[:8].hex() if isinstance(found, IPv6Address) else address


def _one_less(counts: dict[str, int], key: str) -> None:
    """None is kept as nothing: whoever came once must not take memory for ever."""
    left = counts[key] - 1
    if left:
        counts[key] = left
    else:
        del counts[key]


class Crowd:
    """Everybody inside: of one listener, or of several that share their limits (``submission`` and ``submissions``)."""

    def __init__(self, limits: Limits, *, tick: float = 1.0) -> None:
        self.limits = limits
        self.leaving = False
        self.octets = 0
        """What the messages on their way in hold now."""
        self._tick = tick
        self._guests: dict[Guest, str | None] = {}
        """Where each is from, empty if that does not count; None: there was no room for it."""
        self._let_in = 0
        self._accounts: dict[str, int] = {}
        self._addresses: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest, address: str = "") -> bool:
        """Count one in. False: there is no room (it is inside all the same, to hear so, until ``leave``).

        Args:
            guest: who comes.
            address: its IP address; empty for one whose number is not limited. Loopback addresses are not either.
        """
        limits, origin = self.limits, _origin(address)
        neighbours = self._addresses.get(origin, 0) if origin else 0
        crowded = 0 < limits.each_address <= neighbours
        room = not (crowded or 0 < limits.total <= self._let_in or self.leaving)
        # Who is sent away takes nobody's place: else knocking alone would fill the house.
        self._guests[guest] = origin if room else None
        if room:
            self._let_in += 1
            if origin:
                self._addresses[origin] = neighbours + 1
        if self._timer is None:
            self._empty.clear()
            self._timer = asyncio.get_running_loop().call_later(self._tick, self._look)
        return room

    def leave(self, guest: Guest) -> None:
        """It is gone; twice is harmless."""
        origin = self._guests.pop(guest, None)
        if origin is not None:
            self._let_in -= 1
            if origin:
                _one_less(self._addresses, origin)
        if not self._guests:
            self._empty.set()

    def weigh(self, more: int, own: int) -> bool:
        """A guest holds so many octets more (or fewer), ``own`` now. False: too much in all, and it is no small one."""
        self.octets += more
        return not 0 < self.limits.octets < self.octets or own <= SMALL

    def enter_account(self, account: str) -> bool:
        """Count a session of this account; False: there are too many, and it was not counted."""
        siblings = self._accounts.get(account, 0)
        if 0 < self.limits.each_account <= siblings:
            return False
        self._accounts[account] = siblings + 1
        return True

    def leave_account(self, account: str) -> None:
        """A session of this account is over."""
        _one_less(self._accounts, account)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for guest in tuple(self._guests):
            guest.look(now)
        self._timer = loop.call_later(self._tick, self._look) if self._guests else None

    async def disperse(self, grace: float) -> None:
        """Ask all to go, wait for ``grace`` seconds, then cut off the rest."""
        self.leaving = True
        for guest in tuple(self._guests):
            guest.leave_soon()
        if not await self._gone(grace):
            log.info("closing %d connections that did not end in time", len(self._guests))
        for guest in tuple(self._guests):
            guest.abort()
        await self._gone(1.0)
        if self._timer is not None:
            self._timer.cancel()

    async def _gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self._guests:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return False
        return True


class Listener:
    """Sockets that lead to one sort of connection; with ``tls`` it is spoken from the first octet."""

    def __init__(
        self,
        name: str,
        addresses: Sequence[Address],
        connect: Callable[[], asyncio.BaseProtocol],
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self._tls: dict[str, Any] = {}
        if tls is not None:
            self._tls = {"ssl": tls, "ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": SHUTDOWN}
        self._addresses = tuple(addresses)
        self._connect = connect
        self._servers: list[asyncio.Server] = []
        self.addresses: list[str] = []
        """Where it listens, as ``host:port`` with the real port."""

    async def start(self) -> list[str]:
        """Listen; the addresses.

        Raises:
            Conflict: an address cannot be had; nothing listens then.
        """
        loop = asyncio.get_running_loop()
        for bound in bind_all(self.name, self._addresses):
            self._servers.append(await loop.create_server(self._connect, sock=bound, backlog=BACKLOG, **self._tls))
            self.addresses.append(shown(*bound.getsockname()[:2]))
        log.info("listening name=%s addresses=%s pid=%d", self.name, ",".join(self.addresses), os.getpid())
        return self.addresses

    def close(self) -> None:
        """Accept no more. Those inside stay."""
        for server in self._servers:
            server.close()
        self._servers.clear()
