"""Clock: the one place that reads the time; handed to whoever needs it, so that tests can move it.

Times are integers: milliseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

import time
from typing import Protocol

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> int:
        """Milliseconds since 1970, moved by the test offset where there is one."""
        ...

    def wall(self) -> int:
        """Milliseconds since 1970, never moved: signature skew, certificate validity, DKIM ``t=``."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for socket timeouts and measurements."""
        ...


class SystemClock:
    """The machine's clock, with an offset that ``POST /_mailstead/clock`` may move in ``--dev``."""

    def __init__(self) -> None:
        self.offset = 0

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset

    def wall(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def advance(self, milliseconds: int) -> None:
        """Move this clock ahead; it never goes back."""
        self.offset += max(0, milliseconds)


class ManualClock:
    """A clock that stands until it is told to move."""

    def __init__(self, now: int = 1_750_000_000_000) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def wall(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._now / SECOND

    def advance(self, milliseconds: int) -> None:
        """Move ahead by so many milliseconds."""
        self._now += milliseconds
