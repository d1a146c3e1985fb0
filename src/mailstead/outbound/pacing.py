"""Pacing: how many connections and messages a destination gets now, and what is remembered of its hosts.

Numbers and a clock only; the agent asks before it acts and tells what came of it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from mailstead.base.clock import SECOND, Clock
from mailstead.proto.smtp.reply import Reply

MAX_REMEMBERED = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PacingSettings:
    """Limits of one site."""

    connections: int = 20
    """At a time, at most."""
    connections_at_first: int = 5
    connection_messages: int = 100
    """Through one connection, at most."""
    rate: float | None = None
    """Messages a second; None: no limit."""
    idle: float = 5.0
    """Seconds that a connection is kept without work."""


class Pace:
    """How fast a site is served. Begins slowly, rises by one a success, falls to half when the site has enough."""

    __slots__ = ("_allowed", "_clock", "_halved", "_settings", "_tokens", "_when", "open")

    def __init__(self, settings: PacingSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._allowed = float(min(settings.connections_at_first, settings.connections))
        self._halved = -1
        self._tokens = self._burst
        self._when = clock.now()
        self.open = 0
        """Connections that are open or being opened."""

    @property
    def _burst(self) -> float:
        return max(1.0, self._settings.rate or 1.0)

    @property
    def limit(self) -> int:
        """Connections allowed now: one or more."""
        return int(self._allowed)

    @property
    def may_open(self) -> bool:
        """May one more connection be opened?"""
        return self.open < self.limit

    def succeeded(self) -> None:
        """A message was taken."""
        if self._allowed < self._settings.connections:
            self._allowed = min(self._allowed + 1, self._settings.connections)

    def refused(self) -> None:
        """The site has enough of us: 421, no connection, a refusing greeting.

        Many connections that fail together are one sign, not many: it halves once a second at most.
        """
        now = self._clock.now()
        if now - self._halved >= SECOND or self._halved > now:
            self._halved = now
            self._allowed = max(1.0, self._allowed / 2)

    def full(self) -> None:
        """The site takes no connection more than it has: no more for now, until messages succeed."""
        self.refused()
        self._allowed = max(1.0, min(self._allowed, self.open))

    def take(self) -> float:
        """Take the right to send one message: 0, or the seconds to wait before asking again."""
        rate = self._settings.rate
        if rate is None:
            return 0.0
        now = self._clock.now()
        if now > self._when:
            self._tokens = min(self._burst, self._tokens + (now - self._when) * rate / SECOND)
        self._when = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / rate


class HostMemory:
    """What is known of addresses: which ones do not answer, and where TLS is broken. Bounded, and it fades."""

    OUT = 5 * SECOND
    """So long an address that failed is not asked at all."""
    LAST = 60 * SECOND
    """So long it is asked after the others."""
    CLEAR = 600 * SECOND
    """So long a host with a broken handshake is not asked for TLS."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bad: OrderedDict[tuple[str, int], tuple[int, Reply]] = OrderedDict()
        self._clear: OrderedDict[tuple[str, int], int] = OrderedDict()

    def failed(self, address: str, port: int, reply: Reply) -> None:
        """No session came to pass with it."""
        _put(self._bad, (address, port), (self._clock.now(), reply))

    def worked(self, address: str, port: int) -> None:
        """A session came to pass."""
        if self._bad:
            self._bad.pop((address, port), None)

    def is_bad(self, address: str, port: int) -> bool:
        """Should others be asked first?"""
        return self._since(address, port) < self.LAST

    def refusal(self, address: str, port: int) -> Reply | None:
        """What it came to, if it failed a moment ago: then there is no use in asking."""
        return self._bad[(address, port)][1] if self._since(address, port) < self.OUT else None

    def tls_broke(self, address: str, port: int) -> None:
        """A handshake failed."""
        _put(self._clear, (address, port), self._clock.now())

    def in_clear(self, address: str, port: int) -> bool:
        """Did a handshake fail not long ago?"""
        when = self._clear.get((address, port))
        return when is not None and 0 <= self._clock.now() - when < self.CLEAR

    def _since(self, address: str, port: int) -> int:
        entry = self._bad.get((address, port))
        if entry is None:
            return self.LAST
        passed = self._clock.now() - entry[0]
        return passed if passed >= 0 else self.LAST  # the machine's clock was set back


def _put(memory: OrderedDict[tuple[str, int], T], key: tuple[str, int], value: T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
