"""Scheduler: the deliveries duty: which lanes are in our hands.  A lane is claimed as a whole and drained."""

from __future__ import annotations

import asyncio
import logging

from mailstead.base.errors import Unreachable
from mailstead.outbound import drain
from mailstead.outbound.delivery import Deliveries, Held
from mailstead.outbound.drain import Drain
from mailstead.outbound.handed_in import LANES
from mailstead.runtime import Runtime
from mailstead.store import spool, work
from mailstead.worker import Duty, Loop

log = logging.getLogger(__name__)

HEALTHY_LANES = 400
KNOWN_LANES = 100
SLOW_LANES = 1000
FAILING_LANES = 100
"""Lanes worked on at once, each kind in places of its own.  Known ones have answered not long ago; slow ones have never
failed but do not answer; failing ones failed last time.  None of them can take the places of the others."""
PLACES = HEALTHY_LANES + KNOWN_LANES + SLOW_LANES + FAILING_LANES
SLOW_AFTER = 1.0
"""Seconds without an answer after which a lane is slow."""
ABANDONED = 30.0
"""Seconds between looks for lanes that are leased to us and that nobody here works on."""

Claimed = tuple[str, int]
"""A lane's name, and how often in a row nobody was reached."""


class Scheduler:
    """Claims lanes and has them drained."""

    def __init__(self, runtime: Runtime, deliveries: Deliveries) -> None:
        self._runtime = runtime
        self._deliveries = deliveries
        self._drains: dict[str, Drain] = {}
        self._called: set[str] = set()
        """Known lanes that got mail since the last claim."""
        self.loop: Loop[Claimed] = Loop(Duty("deliveries", self._claim, self._drain, self._failed, PLACES))

    async def run(self) -> None:
        """Work until ``stop``."""
        unlisten = self._runtime.signal.listen(LANES, self._hear)
        watch = asyncio.create_task(self._watch())
        try:
            await self.loop.run()
        finally:
            watch.cancel()
            unlisten()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; let what is under way end within ``grace`` seconds."""
        self._deliveries.stopping = True
        for held in self._drains.values():
            held.poke()
        await self.loop.stop(grace)

    def _hear(self, lane: str) -> None:
        held = self._drains.get(lane)
        if held is not None:
            held.poke()
            return
        if lane in self._deliveries.known:
            self._called.add(lane)
        self.loop.wake()

    async def _claim(self, places: int) -> list[Claimed]:
        now = self._runtime.clock.now()
        if self._deliveries.unwritten or not await self._runtime.db.read(lambda tx: spool.anything_due(tx, now)):
            return []
        healthy, slow, failing = self._census()
        called = sorted(self._called)[: max(0, HEALTHY_LANES + KNOWN_LANES - healthy)]
        self._called.clear()
        healthy_places = min(places, HEALTHY_LANES - healthy, HEALTHY_LANES + SLOW_LANES - healthy - slow)
        failing_places = min(places, FAILING_LANES - failing)
        if not called and healthy_places <= 0 and failing_places <= 0:
            return []
        lanes = await self._runtime.db.run(
            lambda tx: work.claim_lanes(
                tx,
                worker=self._runtime.worker,
                now=now,
                named=called,
                healthy=max(0, healthy_places - len(called)),
                failing=max(0, failing_places),
            )
        )
        for lane, failures in lanes:
            self._drains[lane] = Drain(self._runtime, self._deliveries, Held(lane, failures), self._crowded)
        return lanes

    def _census(self) -> tuple[int, int, int]:
        """How many lanes in our hands are healthy, slow, failing."""
        before = self._runtime.clock.monotonic() - SLOW_AFTER
        drains = self._drains.values()
        failing = sum(one.held.failures > 0 for one in drains)
        slow = sum(not one.held.answered and not one.held.failures and one.since < before for one in drains)
        return len(drains) - failing - slow, slow, failing

    def _crowded(self) -> bool:
        return len(self._drains) >= HEALTHY_LANES and self._census()[0] >= HEALTHY_LANES

    async def _drain(self, claimed: Claimed) -> None:
        lane = claimed[0]
        ours = self._drains[lane]
        try:
            await ours.run()
        finally:
            # Between its commit and here the lane may have been claimed again: that drain is not ours to end.
            if self._drains.get(lane) is ours:
                del self._drains[lane]
            # What was poked since its last look, and whoever waits for this place.
            self.loop.wake()

    async def _failed(self, claimed: Claimed, error: Exception) -> None:
        lane, failures = claimed
        await drain.unreachable(self._runtime, lane, failures, "451 4.3.0 internal failure, see the log")

    async def _watch(self) -> None:
        """Never stuck: a lane leased to us that nobody here drains is let go."""
        before: set[str] = set()
        while True:
            await asyncio.sleep(ABANDONED)
            try:
                leased = await self._runtime.db.read(lambda tx: spool.leased(tx, self._runtime.worker))
                # Seen twice: one that was leased this instant has no drain yet.
                lost = {lane for lane in leased if lane not in self._drains}
                for lane in lost & before:
                    log.warning("lane %s was abandoned; letting it go", lane)
                    await drain.let_go(self._runtime, lane)
                    self.loop.wake()
                before = lost - before
            except Unreachable as error:
                log.warning("looking for abandoned lanes: %s", error)
            except Exception:
                log.exception("looking for abandoned lanes")
