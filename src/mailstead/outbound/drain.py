"""Drain: one lane in our hands: what is due is pulled and sent until nothing is left, then the lane is given back.

A lane whose hosts cannot be reached waits as a whole, so a dead host moves one row, whatever waits behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from random import random

from mailstead.base.errors import Unreachable
from mailstead.outbound import delivery
from mailstead.outbound.composition import MAX_RECIPIENTS
from mailstead.outbound.delivery import Deliveries, Held
from mailstead.outbound.retry import next_due
from mailstead.runtime import Runtime
from mailstead.store import spool
from mailstead.store.spool import Waiting

log = logging.getLogger(__name__)

WINDOW = 40
"""Parcels of one lane under way at once."""
PROBE = 4
"""The same while nobody has answered there."""
REFILL = 10
"""So much of the window must be free before more is looked for: a look costs as much for one parcel as for ten."""
LINGER = 1.0
"""Seconds a lane is kept after its last delivery: the next message finds it open."""
LOOK = 1.0
"""Seconds after which a busy lane is looked at although nobody called: what a command or another process left there."""


class Drain:
    """One lane in our hands."""

    def __init__(self, runtime: Runtime, deliveries: Deliveries, held: Held, crowded: Callable[[], bool]) -> None:
        self.held = held
        self.since = runtime.clock.monotonic()
        """When we took it, in seconds of the clock that only grows."""
        self._runtime = runtime
        self._deliveries = deliveries
        self._crowded = crowded
        """Do others wait for our place?"""
        self._under_way: set[tuple[str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """There may be something to do."""
        self._poked.set()

    async def run(self) -> None:
        """Drain the lane and give it back."""
        try:
            try:
                await self._work()
            except Exception:
                await self._settled()  # else the lane's next holder would send what is under way once more
                raise
            await self._settled()
            await self._release()
        finally:
            for task in self._tasks:  # the grace is over: what is under way ends here, unsettled
                task.cancel()

    @property
    def _window(self) -> int:
        """Parcels that may be under way at once.

        Who has not answered is asked with few, who failed last time with one: the others need not all hear that nobody
        is there, nor fill the memory while they wait for it.
        """
        if self.held.answered:
            return WINDOW
        return 1 if self.held.failures else PROBE

    async def _work(self) -> None:
        """Pull and send until nothing is due, the hosts are away, or we stop."""
        held = self.held
        while not self._deliveries.stopping and held.unreached is None:
            self._poked.clear()
            try:
                begun = await self._begin()
            except Unreachable as error:
                log.warning("lane %s cannot be looked at: %s", held.name, error)
                held.stuck = True
            if held.stuck:
                held.stuck = False
                await asyncio.sleep(delivery.AWAY)  # the database is away
                continue
            if begun:
                continue
            if not await self._rest() and not self._tasks:
                return

    async def _begin(self) -> bool:
        """Start what is due, as far as the window has room. Is there more to look for at once?"""
        held = self.held
        room = self._window - len(self._tasks)
        if self._deliveries.unwritten or held.stuck or room < (REFILL if held.answered else 1):
            return False
        now = self._runtime.clock.now()
        limit = len(self._under_way) + room + MAX_RECIPIENTS
        rows = await self._runtime.db.read(lambda tx: spool.pull(tx, held.name, now, limit))
        fresh = (row for row in rows if (row.message, row.n) not in self._under_way)
        groups = [tuple(siblings) for _, siblings in groupby(fresh, key=lambda row: row.message)]
        full = len(rows) == limit
        if full:
            groups.pop()  # some of its siblings may stand behind the limit
        for group in groups[:room]:
            self._under_way.update((row.message, row.n) for row in group)
            task = asyncio.create_task(self._deliver(group))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        return full and bool(groups)

    async def _deliver(self, group: Sequence[Waiting]) -> None:
        try:
            await self._deliveries.deliver(self.held, group)
        finally:
            self._under_way.difference_update((row.message, row.n) for row in group)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._poked.set()

    async def _rest(self) -> bool:
        """Wait for news; False if none came for a while, or if others wait for the place."""
        if not self._tasks and self._crowded():
            return False
        try:
            async with asyncio.timeout(LOOK if self._tasks else LINGER):
                await self._poked.wait()
        except TimeoutError:
            return False
        return True

    async def _settled(self) -> None:
        """Wait for what is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    # -- giving it back

    async def _release(self) -> None:
        """Give the lane back. Where the database does not take that now, keep it until it does."""
        while True:
            try:
                await self._give_back()
            except Unreachable as error:
                if self._deliveries.stopping:
                    raise
                log.warning("lane %s is kept: %s", self.held.name, error)
                await asyncio.sleep(delivery.AWAY)  # the database is away
            else:
                return

    async def _give_back(self) -> None:
        held = self.held
        if held.unreached is None:
            await let_go(self._runtime, held.name)
            return
        reason, failures = str(held.unreached), held.failures
        log.info("unreachable lane=%s failures=%d reason=%s", held.name, failures + 1, reason)
        await unreachable(self._runtime, held.name, failures, reason)


async def let_go(runtime: Runtime, lane: str) -> None:
    """End our lease."""
    worker, now = runtime.worker, runtime.clock.now()
    await runtime.db.run(lambda tx: spool.let_go(tx, lane, worker, now))


async def unreachable(runtime: Runtime, lane: str, failures: int, reason: str) -> None:
    """End our lease of a lane where nobody was reached, after so many failures before: all of it waits."""
    worker, now = runtime.worker, runtime.clock.now()
    due = next_due(failures + 1, now, dice=random())  # noqa: S311 — jitter, no secret
    await runtime.db.run(lambda tx: spool.unreachable(tx, lane, worker=worker, due=due, reason=reason, now=now))
