"""Jobs: the duty that reads lists in and writes histories out, a turn at a time."""

from __future__ import annotations

import logging
from functools import partial

from mailstead.base.errors import Unreachable
from mailstead.base.objects import Owners
from mailstead.runtime import Runtime
from mailstead.ses import jobs
from mailstead.ses.jobs import Gone, Job
from mailstead.store.port import Buckets, Transaction
from mailstead.upkeep.exporting import Exporting
from mailstead.upkeep.importing import Importing
from mailstead.worker import Duty, Loop

log = logging.getLogger(__name__)

PLACES = 4
"""Jobs worked on at once."""

UNREACHABLE = "What the job needs could not be reached for too long."
FAULT = "The job failed because of an error on our side."


class Jobs:
    """Runs the duty."""

    def __init__(self, runtime: Runtime, buckets: Buckets, owners: Owners) -> None:
        self._runtime = runtime
        self._work = {
            jobs.IMPORT: Importing(runtime, buckets, owners).work,
            jobs.EXPORT: Exporting(runtime).work,
        }
        self.loop: Loop[Job] = Loop(Duty("jobs", self._claim, self._do, self._failed, PLACES))

    async def run(self) -> None:
        """Work until ``stop``."""
        await self.loop.run()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; let what runs end within ``grace`` seconds. What does not goes on at the next start."""
        await self.loop.stop(grace)

    async def _claim(self, places: int) -> list[Job]:
        db, now = self._runtime.db, self._runtime.clock.now()
        if not await db.read(partial(jobs.anything_due, now=now)):
            return []
        return await db.run(partial(jobs.claim, worker=self._runtime.worker, now=now, limit=places))

    async def _do(self, job: Job) -> None:
        try:
            await self._work[job.kind](job)
        except Gone:
            log.info("job_gone job=%s account=%s", job.id, job.account)

    async def _failed(self, job: Job, error: Exception) -> None:
        text = UNREACHABLE if isinstance(error, Unreachable) else FAULT

        async def body(tx: Transaction) -> None:
            worker = self._runtime.worker
            if not await jobs.put_off(tx, job, worker, type(error).__name__):
                await jobs.finish(tx, job, worker, error=text)

        await self._runtime.db.run(body)
