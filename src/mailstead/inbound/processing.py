"""Processing: the arrivals duty: what is done with a message that came in.

A report about a message of ours is noted on that message and stays readable in ``trace``; mail to postmaster and abuse
is kept.

Not done: the meaning of a report comes with "Sending well", rules and mailboxes with "Receiving".
"""

from __future__ import annotations

import logging
from random import random

from mailstead.base.errors import Unreachable
from mailstead.inbound.reception import ARRIVALS
from mailstead.outbound.retry import next_due
from mailstead.runtime import Runtime
from mailstead.store import arrivals, work
from mailstead.store.arrivals import Arrival
from mailstead.worker import Duty, Loop

log = logging.getLogger(__name__)

PLACES = 50
"""Arrivals worked on at once."""


class Processing:
    """Runs the duty."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.loop: Loop[Arrival] = Loop(Duty("arrivals", self._claim, self._do, self._failed, PLACES))

    async def run(self) -> None:
        """Work until ``stop``."""
        unlisten = self._runtime.signal.listen(ARRIVALS, lambda _: self.loop.wake())
        try:
            await self.loop.run()
        finally:
            unlisten()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; let what runs end within ``grace`` seconds."""
        await self.loop.stop(grace)

    async def _claim(self, places: int) -> list[Arrival]:
        now = self._runtime.clock.now()
        if not await self._runtime.db.read(lambda tx: arrivals.anything_due(tx, now)):
            return []
        return await self._runtime.db.run(
            lambda tx: arrivals.claim(tx, worker=self._runtime.worker, now=now, limit=places)
        )

    async def _do(self, arrival: Arrival) -> None:
        state = "done" if arrival.message else "kept"
        if await self._runtime.db.run(lambda tx: arrivals.settle(tx, arrival.id, state)):
            log.info("arrival %s state=%s message=%s", arrival.id, state, arrival.message or "-")

    async def _failed(self, arrival: Arrival, error: Exception) -> None:
        now = self._runtime.clock.now()
        due = next_due(arrival.attempts + 1, now, dice=random())  # noqa: S311 — jitter, no secret
        reason = str(error) if isinstance(error, Unreachable) else "internal failure, see the log"
        await self._runtime.db.run(lambda tx: work.again(tx, arrivals.TABLE, arrival.id, due, reason))
