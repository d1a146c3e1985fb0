"""Worker: a kind of work, and the one loop that does it: claim what is due, do it, settle it or put it off.

A duty finds its rows by itself and settles them in its own transactions; the loop owns the places, the waiting and
what happens when a step fails in a way nobody expected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mailstead.base.clock import SECOND
from mailstead.base.errors import Unreachable
from mailstead.store import work
from mailstead.store.port import Database

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL = 1.0
"""Seconds after which work is looked for although nobody called: what another process or a command left."""
AWAY = 2.0
"""Seconds to wait when the database cannot be asked."""
BEAT = 5.0
DEAD_AFTER = 30 * SECOND
"""A process that has not beaten for so long has lost its leases."""


@dataclass(frozen=True, slots=True)
class Duty(Generic[T]):
    """A kind of work."""

    name: str
    claim: Callable[[int], Awaitable[list[T]]]
    """Lease at most so many rows that are due now."""
    do: Callable[[T], Awaitable[None]]
    """Work on one and settle it. Raises only what nobody expected."""
    failed: Callable[[T, Exception], Awaitable[None]]
    """Put it off: ``do`` raised."""
    places: int
    """How many may be worked on at once."""


class Loop(Generic[T]):
    """Runs one duty until it is told to stop."""

    def __init__(self, duty: Duty[T]) -> None:
        self.duty = duty
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._idle = asyncio.Event()
        """Nothing more is claimed."""
        self._idle.set()

    def wake(self) -> None:
        """There may be work."""
        self._wake.set()

    @property
    def busy(self) -> int:
        """How many are being worked on."""
        return len(self._running)

    async def run(self) -> None:
        """Work until ``stop``."""
        self._idle.clear()
        try:
            while not self._stopping:
                await self._turn()
        finally:
            self._idle.set()

    async def _turn(self) -> None:
        """Claim, begin what was claimed; wait if that was nothing."""
        self._wake.clear()
        pause = POLL
        try:
            free = self.duty.places - len(self._running)
            rows = await self.duty.claim(free) if free > 0 else []
        except Unreachable as error:
            log.warning("%s: %s; looking again in %g s", self.duty.name, error, AWAY)
            rows, pause = [], AWAY
        except Exception:
            log.exception("%s: claiming failed", self.duty.name)
            rows, pause = [], AWAY
        for row in rows:
            task = asyncio.create_task(self._one(row))
            self._running.add(task)
            task.add_done_callback(self._ended)
        if not rows and not self._stopping:
            await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _one(self, row: T) -> None:
        try:
            await self.duty.do(row)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Unknown means temporary: the row comes again, and we look at the trace.
            if not isinstance(error, Unreachable):
                log.exception("%s: a step failed", self.duty.name)
            try:
                await self.duty.failed(row, error)
            except Exception:
                log.exception("%s: putting off failed too; the lease ends with this process", self.duty.name)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if len(self._running) >= self.duty.places - 1 or not self._running:
            self._wake.set()

    async def stop(self, grace: float) -> None:
        """Claim no more; let what runs end within ``grace`` seconds, then cut it off (its leases are given back)."""
        self._stopping = True
        self._wake.set()
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()  # a claim on its way may still bring rows
                if self._running:
                    await asyncio.wait(self._running)
        except TimeoutError:
            late = set(self._running)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)


async def every(seconds: float, name: str, step: Callable[[], Awaitable[object]]) -> None:
    """Do a step again and again; a failure is told and forgotten."""
    while True:
        await asyncio.sleep(seconds)  # the pace of upkeep; nobody waits for it
        try:
            await step()
        except Unreachable as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s failed", name)


async def keep_alive(db: Database, worker: str, register: Callable[[], Awaitable[None]]) -> None:
    """Beat, and free the leases of processes that stopped beating (on PostgreSQL there may be some)."""
    while True:
        await asyncio.sleep(BEAT)
        try:
            if not await db.run(lambda tx: work.beat(tx, worker)):
                log.warning("this process was taken for dead; its leases were given to others")
                await register()
            if db.kind != "sqlite":
                await db.run(lambda tx: work.release_dead(tx, tx.now() - DEAD_AFTER))
        except Unreachable as error:
            log.warning("heartbeat: %s", error)
