"""The duty of jobs: what cannot be reached is tried again, what is a bug ends, and the loop runs."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.base.clock import MINUTE
from mailstead.base.errors import Unreachable
from mailstead.ses import jobs
from mailstead.upkeep.jobs import FAULT, UNREACHABLE
from peers.job_yard import Stage, numbered


@pytest.mark.parametrize(("error", "text"), [(Unreachable("away"), UNREACHABLE), (RuntimeError("a bug"), FAULT)])
def test_what_cannot_be_reached_is_tried_again_and_at_last_given_up(stage: Stage, error: Exception, text: str) -> None:
    job = stage.create(numbered(4))
    stage.buckets.away = error
    for _ in range(jobs.ATTEMPTS - 1):
        assert stage.turn() == 1
        assert stage.get(job).status == "PROCESSING"
        assert stage.turn() == 0
        stage.yard.clock.advance(5 * MINUTE)
    assert stage.turn() == 1
    ended = stage.get(job)
    assert (ended.status, ended.error) == ("FAILED", text)
    assert stage.turn() == 0


def test_a_hiccup_costs_a_second(stage: Stage) -> None:
    job = stage.create(numbered(4))
    stage.buckets.away = Unreachable("away")
    stage.turn()
    stage.buckets.away = None
    stage.yard.clock.advance(1000)
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", 4, 1)


def test_a_running_loop_does_the_work(stage: Stage) -> None:
    job = stage.create(numbered(4))

    async def scenario() -> None:
        running = asyncio.create_task(stage.duty.run())
        await stage.yard.until_asked("COMPLETED", "SELECT status FROM jobs WHERE id = $1", job)
        await stage.duty.stop(1)
        await running

    stage.yard.wait(scenario())
    assert stage.counts(job) == ("COMPLETED", 4, 1)
