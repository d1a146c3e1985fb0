"""Pacing: numbers that follow what a destination says."""

from __future__ import annotations

import pytest

from mailstead.base.clock import SECOND, ManualClock
from mailstead.outbound.pacing import HostMemory, Pace, PacingSettings
from mailstead.proto.smtp.reply import Reply

DOWN = Reply(421, "Connection refused", "4.4.1")


def test_it_begins_slowly_and_rises_with_success() -> None:
    pace = Pace(PacingSettings(connections=8, connections_at_first=5), ManualClock())
    assert pace.limit == 5
    for _ in range(10):
        pace.succeeded()
    assert pace.limit == 8


def test_a_small_limit_holds_from_the_first_moment() -> None:
    assert Pace(PacingSettings(connections=2), ManualClock()).limit == 2


def test_it_falls_to_half_and_never_below_one() -> None:
    clock = ManualClock()
    pace = Pace(PacingSettings(connections=20, connections_at_first=20), clock)
    seen = []
    for _ in range(6):
        pace.refused()
        seen.append(pace.limit)
        clock.advance(SECOND)
    assert seen == [10, 5, 2, 1, 1, 1]


def test_many_failures_at_once_are_one_sign() -> None:
    pace = Pace(PacingSettings(connections=20, connections_at_first=20), ManualClock())
    for _ in range(20):
        pace.refused()
    assert pace.limit == 10


def test_a_full_site_is_left_with_what_it_has() -> None:
    pace = Pace(PacingSettings(connections=20, connections_at_first=20), ManualClock())
    pace.open = 3
    pace.full()
    assert pace.limit == 3
    assert not pace.may_open
    pace.open = 2
    assert pace.may_open


def test_a_rate_is_a_bucket_of_one_second() -> None:
    clock = ManualClock()
    pace = Pace(PacingSettings(rate=2), clock)
    assert [pace.take(), pace.take(), pace.take()] == [0, 0, 0.5]
    clock.advance(499)
    assert pace.take() == pytest.approx(0.001)
    clock.advance(1)
    assert pace.take() == 0
    clock.advance(60 * SECOND)
    assert [pace.take() for _ in range(3)].count(0) == 2


def test_less_than_one_a_second() -> None:
    clock = ManualClock()
    pace = Pace(PacingSettings(rate=0.1), clock)
    assert pace.take() == 0
    assert pace.take() == pytest.approx(10)
    clock.advance(10 * SECOND)
    assert pace.take() == 0


def test_a_clock_set_back_gives_nothing_and_takes_nothing() -> None:
    clock = ManualClock()
    pace = Pace(PacingSettings(rate=1), clock)
    pace.take()
    clock.advance(-1000 * SECOND)
    assert pace.take() == 1
    clock.advance(SECOND)
    assert pace.take() == 0
    pace.refused()
    clock.advance(-1000 * SECOND)
    pace.refused()
    assert pace.limit == 1


def test_an_address_that_failed_is_left_out_then_last_then_forgiven() -> None:
    clock = ManualClock()
    memory = HostMemory(clock)
    memory.failed("192.0.2.1", 25, DOWN)
    assert memory.refusal("192.0.2.1", 25) == DOWN
    assert memory.refusal("192.0.2.1", 26) is None
    clock.advance(HostMemory.OUT)
    assert memory.refusal("192.0.2.1", 25) is None
    assert memory.is_bad("192.0.2.1", 25)
    clock.advance(HostMemory.LAST - HostMemory.OUT)
    assert not memory.is_bad("192.0.2.1", 25)


def test_success_forgives_at_once() -> None:
    memory = HostMemory(ManualClock())
    memory.failed("192.0.2.1", 25, DOWN)
    memory.worked("192.0.2.1", 25)
    assert not memory.is_bad("192.0.2.1", 25)


def test_broken_tls_is_remembered_for_ten_minutes() -> None:
    clock = ManualClock()
    memory = HostMemory(clock)
    assert not memory.in_clear("192.0.2.1", 25)
    memory.tls_broke("192.0.2.1", 25)
    clock.advance(600 * SECOND - 1)
    assert memory.in_clear("192.0.2.1", 25)
    clock.advance(1)
    assert not memory.in_clear("192.0.2.1", 25)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.outbound.pacing.MAX_REMEMBERED", 2)
    memory = HostMemory(ManualClock())
    for number in range(3):
        memory.failed(f"192.0.2.{number}", 25, DOWN)
    assert [memory.is_bad(f"192.0.2.{number}", 25) for number in range(3)] == [False, True, True]
