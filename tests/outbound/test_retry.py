"""Retry: waits grow, spread, and end with the delivery."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.clock import HOUR, MINUTE
from mailstead.outbound.retry import JITTER, WAITS, next_due

NOW = 1_750_000_000_000


def test_waits_grow_and_the_last_repeats() -> None:
    waits = [next_due(n, NOW, dice=0.5) - NOW for n in range(1, 12)]
    assert waits == [*WAITS, *[WAITS[-1]] * (11 - len(WAITS))]
    assert waits[0] == MINUTE
    assert waits[-1] == HOUR


def test_dice_spread_the_wait_on_both_sides() -> None:
    assert next_due(1, NOW, dice=0.0) - NOW == int(MINUTE * (1 - JITTER))
    assert next_due(1, NOW, dice=0.999999) - NOW > int(MINUTE * (1 + JITTER)) - 10


@given(st.integers(-5, 10**6), st.floats(0, 1, exclude_max=True), st.integers(-HOUR, 100 * HOUR))
def test_never_in_the_past_and_never_after_expiry(attempts: int, dice: float, left: int) -> None:
    due = next_due(attempts, NOW, dice=dice, expires=NOW + left)
    assert NOW <= due <= max(NOW, NOW + left)
