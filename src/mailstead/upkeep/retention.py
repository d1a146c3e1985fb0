"""Retention: what the clock takes away, and the counters it brings up to date.

Every step is small and may run twice; on several processes they may run at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from itertools import groupby
from typing import Protocol

from mailstead.base.errors import NotFound
from mailstead.outbound.delivery import Deliveries
from mailstead.proto.message import Message
from mailstead.runtime import Runtime
from mailstead.ses import contact_lists, jobs, metrics, statistics, topic_subscriptions
from mailstead.store import spool, wipe
from mailstead.store.port import Sweeping, Transaction
from mailstead.worker import every

log = logging.getLogger(__name__)

BATCH = 50
EVERY = 1.0
"""Seconds between looks for deliveries that are too old."""
ROLL_UP_EVERY = 5.0
FORGET_EVERY = 600.0
SWEEP_EVERY = 6 * 3600.0


async def expire(runtime: Runtime, deliveries: Deliveries) -> int:
    """End deliveries that got too old in lanes that nobody holds (held ones too); how many were looked at."""
    now = runtime.clock.now()
    rows = await runtime.db.read(lambda tx: spool.overdue(tx, now, BATCH))
    for (lane, message_id), siblings in groupby(rows, key=lambda row: (row[0], row[1].message)):
        late = [waiting for _, waiting in siblings]
        message = await runtime.db.read(partial(_message, wanted=message_id))
        if message is not None:
            await deliveries.expire(message, await _content(runtime, message.blob), late, lane)
    return len(rows)


async def _content(runtime: Runtime, blob: str) -> Message:
    """The message, or nothing: one whose content is lost must not keep the others from their end."""
    try:
        return Message.parse(await runtime.blobs.get(blob))
    except NotFound:
        log.error("the blob %s is not there", blob)
        return Message.parse(b"\r\n")


async def _message(tx: Transaction, *, wanted: str) -> spool.Message | None:
    return await spool.read(tx, wanted)


async def roll_up(runtime: Runtime) -> None:
    """Count new events into the windows of 15 minutes, and into the days of metrics."""
    for step in (statistics.roll, metrics.roll):
        while await runtime.db.run(step):
            pass


async def sweep(runtime: Runtime) -> int:
    """Remove bodies that a crash left between file and row, or between the last settlement and the file; how many."""
    if not isinstance(runtime.blobs, Sweeping):
        return 0
    swept = await runtime.blobs.sweep()
    old = set(await runtime.blobs.stored_before())  # first: what is stored from now on is younger
    for blob in old - await runtime.db.scan(spool.blobs_outside) if old else ():
        log.info("sweeping %s, which nothing refers to", blob)
        await runtime.blobs.delete(blob)
        swept += 1
    return swept


async def forget(runtime: Runtime, kept: int) -> None:
    """Forget what was done more than ``kept`` milliseconds ago, mail that came in before, and jobs, batch by batch."""
    for step in (wipe.forget_messages, wipe.forget_arrivals, jobs.forget, contact_lists.forget_leftovers):
        count = BATCH
        while count == BATCH:
            count, gone = await runtime.db.run(partial(_forget, runtime, step, kept))
            for blob in gone:
                await runtime.blobs.delete(blob)
    await runtime.db.run(statistics.forget_old)
    await runtime.db.run(_forget_unconfirmed)
    await runtime.db.run(metrics.forget_old)


class _Step(Protocol):
    """Deletes rows; how many, and blobs that have to go."""

    async def __call__(self, tx: Transaction, *, before: int, limit: int) -> tuple[int, list[str]]: ...


async def _forget_unconfirmed(tx: Transaction) -> None:
    await topic_subscriptions.forget_pending(tx, before=tx.now())


async def _forget(runtime: Runtime, step: _Step, kept: int, tx: Transaction) -> tuple[int, list[str]]:
    count, gone = await step(tx, before=tx.now() - kept, limit=BATCH)
    for blob in gone:
        await runtime.blobs.delete_in(tx, blob)
    return count, gone


async def run(runtime: Runtime, deliveries: Deliveries, *, kept: int) -> None:
    """All of it, until cancelled; ``kept``: milliseconds for which the history of a message stays."""
    async with asyncio.TaskGroup() as group:
        group.create_task(every(EVERY, "expiry", lambda: expire(runtime, deliveries)))
        group.create_task(every(ROLL_UP_EVERY, "statistics", lambda: roll_up(runtime)))
        group.create_task(every(SWEEP_EVERY, "sweeping", lambda: sweep(runtime)))
        group.create_task(every(FORGET_EVERY, "retention", lambda: forget(runtime, kept)))
