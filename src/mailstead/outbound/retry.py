"""Retry: when a delivery or a destination is tried again, as pure functions."""

from __future__ import annotations

from mailstead.base.clock import HOUR, MINUTE

# Waits after the first, second… failed try; the last one repeats.  SES's own curve is not published.
WAITS = (1 * MINUTE, 3 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 1 * HOUR)
JITTER = 0.2
"""Share by which a wait is shortened or stretched, so that what failed together does not come back together."""


def next_due(attempts: int, now: int, *, dice: float, expires: int | None = None) -> int:
    """When to try again after ``attempts`` failed tries (1 is the first); ``dice`` is a random number in [0, 1).

    Never later than ``expires``: what is due then has expired.
    """
    wait = WAITS[min(max(attempts, 1), len(WAITS)) - 1]
    due = now + int(wait * (1 + JITTER * (2 * dice - 1)))
    return due if expires is None else max(now, min(due, expires))
