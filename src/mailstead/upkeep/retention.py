"""Retention: what the clock takes away, and the counters it brings up to date.

Every step is small and may run twice; on several processes they may run at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import groupby

from mailstead.base.errors import Unreachable
from mailstead.outbound.scheduler import Scheduler
from mailstead.proto.message import Message
from mailstead.runtime import Runtime
from mailstead.ses import statistics
from mailstead.store import spool
from mailstead.store.port import Transaction

log = logging.getLogger(__name__)

BATCH = 200
EVERY = 1.0
"""Seconds between looks for deliveries that are too old."""
ROLL_UP_EVERY = 5.0


async def expire(runtime: Runtime, scheduler: Scheduler) -> int:
    """End deliveries that got too old in lanes that nobody holds (held ones too); how many were looked at."""
    now = runtime.clock.now()
    rows = await runtime.db.read(lambda tx: spool.overdue(tx, now, BATCH))
    for (lane, message_id), siblings in groupby(rows, key=lambda row: (row[0], row[1].message)):
        late = [waiting for _, waiting in siblings]
        message = await runtime.db.read(partial(_message, wanted=message_id))
        if message is not None:
            original = Message.parse(await runtime.blobs.get(message.blob))
            await scheduler.expire(message, original, late, lane)
    return len(rows)


async def _message(tx: Transaction, *, wanted: str) -> spool.Message | None:
    return await spool.read(tx, wanted)


async def roll_up(runtime: Runtime) -> None:
    """Count new events into the windows of 15 minutes."""
    more = True
    while more:
        more = await runtime.db.run(statistics.roll)


async def every(seconds: float, name: str, step: Callable[[], Awaitable[object]]) -> None:
    """Do a step again and again; a failure is told and forgotten."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await step()
        except Unreachable as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s failed", name)


async def run(runtime: Runtime, scheduler: Scheduler) -> None:
    """All of it, until cancelled."""
    async with asyncio.TaskGroup() as group:
        group.create_task(every(EVERY, "expiry", lambda: expire(runtime, scheduler)))
        group.create_task(every(ROLL_UP_EVERY, "statistics", lambda: roll_up(runtime)))
