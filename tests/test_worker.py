"""Worker: the loop claims while it has places, outlives whatever fails, and stops when it is told to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from mailstead import worker
from mailstead.base.errors import Unreachable
from mailstead.store import work
from mailstead.worker import Duty, Loop
from peers.database import Ground, ground

__all__ = ["ground"]


@dataclass
class Rows:
    """Rows to be claimed, and what became of them."""

    waiting: list[int]
    places: int = 3
    problem: Exception | None = None
    """Of the next claim."""
    failing: frozenset[int] = frozenset()
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    claiming: asyncio.Event = field(default_factory=asyncio.Event)
    let_claim: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    most: int = 0

    def __post_init__(self) -> None:
        self.let_claim.set()
        self.loop = Loop(Duty("rows", self._claim, self._do, self._failed, self.places))

    async def _claim(self, places: int) -> list[int]:
        self.asked.append(places)
        self.claiming.set()
        await self.let_claim.wait()
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem
        taken, self.waiting = self.waiting[:places], self.waiting[places:]
        return taken

    async def _do(self, row: int) -> None:
        self.begun.append(row)
        self.most = max(self.most, self.loop.busy)
        await self.gate.wait()
        if row in self.failing:
            raise Unreachable("away") if row % 2 else RuntimeError("a bug")
        self.done.append(row)

    async def _failed(self, row: int, error: Exception) -> None:
        self.failed.append((row, type(error).__name__))
        if row == 13:
            raise Unreachable("this too")


def play(make: Callable[[], Rows], scenario: Callable[[Rows], Awaitable[None]], *, grace: float = 1) -> Rows:
    async def both() -> Rows:
        rows = make()
        running = asyncio.create_task(rows.loop.run())
        await asyncio.wait_for(scenario(rows), 5)
        await rows.loop.stop(grace)
        await asyncio.wait_for(running, 1)
        return rows

    return asyncio.run(both())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_all_rows_are_done_within_the_places() -> None:
    async def scenario(rows: Rows) -> None:
        await until(lambda: len(rows.begun) == 3)
        assert rows.loop.busy == 3
        rows.gate.set()
        await until(lambda: len(rows.done) == 20)

    rows = play(lambda: Rows(list(range(20))), scenario)
    assert sorted(rows.done) == list(range(20))
    assert rows.most == 3
    assert max(rows.asked) == 3


@pytest.mark.parametrize("problem", [Unreachable("away"), RuntimeError("a bug")])
def test_a_claim_that_fails_is_made_again(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "AWAY", 0.001)

    async def scenario(rows: Rows) -> None:
        rows.gate.set()
        await until(lambda: rows.done)

    rows = play(lambda: Rows([1], problem=problem), scenario)
    assert rows.done == [1]


def test_a_step_that_fails_is_put_off_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(rows: Rows) -> None:
        rows.gate.set()
        await until(lambda: len(rows.done) + len(rows.failed) == 6)

    rows = play(lambda: Rows([1, 2, 3, 4, 13, 6], failing=frozenset({3, 4, 13})), scenario)
    assert sorted(rows.done) == [1, 2, 6]
    assert sorted(rows.failed) == [(3, "Unreachable"), (4, "RuntimeError"), (13, "Unreachable")]
    traces = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(traces) == 2  # the bug, and the row that could not be put off; what is away is no bug


def test_new_work_is_looked_for_at_once_when_it_is_called() -> None:
    async def scenario(rows: Rows) -> None:
        rows.gate.set()
        await until(lambda: len(rows.asked) == 1)
        rows.waiting = [7]
        rows.loop.wake()
        async with asyncio.timeout(worker.POLL / 2):
            await until(lambda: rows.done)

    rows = play(lambda: Rows([]), scenario)
    assert (rows.begun, rows.done) == ([7], [7])


def test_a_call_in_the_middle_of_a_claim_is_not_lost() -> None:
    async def scenario(rows: Rows) -> None:
        rows.gate.set()
        rows.let_claim.clear()
        await rows.claiming.wait()
        rows.waiting = [7]  # behind the back of that claim
        rows.loop.wake()
        rows.let_claim.set()
        async with asyncio.timeout(worker.POLL / 2):
            await until(lambda: rows.done)

    rows = play(lambda: Rows([]), scenario)
    assert rows.done == [7]
    assert len(rows.asked) >= 2


def test_work_that_nobody_called_for_is_found_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "POLL", 0.001)

    async def scenario(rows: Rows) -> None:
        rows.gate.set()
        await until(lambda: len(rows.asked) == 1)
        rows.waiting = [7]
        await until(lambda: rows.done)

    rows = play(lambda: Rows([]), scenario)
    assert (rows.begun, rows.done) == ([7], [7])


def test_stop_lets_what_runs_end() -> None:
    async def scenario(rows: Rows) -> None:
        await until(lambda: len(rows.begun) == 3)
        asyncio.get_running_loop().call_later(0.02, rows.gate.set)

    rows = play(lambda: Rows(list(range(20))), scenario)
    assert sorted(rows.done) == [0, 1, 2]


def test_stop_cuts_off_what_does_not_end() -> None:
    async def scenario(rows: Rows) -> None:
        await until(lambda: len(rows.begun) == 3)

    rows = play(lambda: Rows(list(range(20))), scenario, grace=0.01)
    assert rows.done == []
    assert rows.loop.busy == 0


def test_stop_waits_for_a_claim_on_its_way() -> None:
    async def scenario(rows: Rows) -> None:
        rows.gate.set()
        rows.let_claim.clear()
        await rows.claiming.wait()
        asyncio.get_running_loop().call_later(0.02, rows.let_claim.set)

    rows = play(lambda: Rows([1, 2]), scenario)
    assert sorted(rows.done) == [1, 2]


def test_stop_before_anything_began() -> None:
    async def scenario() -> None:
        rows = Rows([1])
        await rows.loop.stop(1)
        await asyncio.wait_for(rows.loop.run(), 1)
        assert rows.begun == []

    asyncio.run(scenario())


def test_a_process_that_was_taken_for_dead_registers_again(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BEAT", 0.001)
    again = asyncio.Event()

    async def register() -> None:
        await ground.db.run(lambda tx: work.register(tx, "w", "host", 1))
        again.set()

    async def scenario() -> None:
        alive = asyncio.create_task(worker.keep_alive(ground.db, "w", register))
        await asyncio.wait_for(again.wait(), 5)
        ground.db.fail_next(3)  # type: ignore[attr-defined]
        again.clear()
        while not await ground.db.read(lambda tx: tx.value("SELECT count(*) FROM workers")):
            await asyncio.sleep(0)
        alive.cancel()
        await asyncio.gather(alive, return_exceptions=True)
        assert alive.cancelled()

    ground.loop.run_until_complete(asyncio.wait_for(scenario(), 10))
