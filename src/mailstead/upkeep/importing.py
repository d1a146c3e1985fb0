"""Importing: a list in a bucket, record by record, into what an account has (SES: sending §6, §7).

The object is read in pieces.  First its records are counted: a list that is too long is refused as a whole.  Then a
batch of records and how far that brings the job go into one transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from mailstead.base.errors import NotFound
from mailstead.base.objects import Owners, missing
from mailstead.proto.records import MAX_LINE, Line, Lines, RecordError, write_csv_row
from mailstead.runtime import Runtime
from mailstead.ses import imports, jobs
from mailstead.ses.imports import Target
from mailstead.ses.jobs import Job, Progress, Refused
from mailstead.store.port import Buckets, Transaction
from mailstead.upkeep.job_files import Failure, FileDraft, json_lines

PIECE = 256 * 1024
"""Octets read at a time."""
BATCH = 500
"""Records of a transaction."""
TURN = 20
"""Batches until it is another job's turn."""

CHANGED = "The object was changed or removed while it was being read."


class Importing:
    """Works on import jobs."""

    def __init__(self, runtime: Runtime, buckets: Buckets, owners: Owners) -> None:
        self._runtime = runtime
        self._buckets = buckets
        self._owners = owners

    async def work(self, job: Job) -> None:
        """One turn of a job: to its end, or as far as a turn goes.

        Raises:
            Gone: nobody wants it any more.
            Unreachable: later.
        """
        try:
            ended = await self._turn(job)
        except Failure as failure:
            await self._finish(job, str(failure))
            return
        if ended:
            await self._finish(job)
        else:
            await self._runtime.db.run(lambda tx: jobs.give_back(tx, job, self._runtime.worker))

    async def _turn(self, job: Job) -> bool:
        target = imports.target(job)
        size, tag = await self._look(job, target)
        columns = target.columns or await self._header(job, size, tag)
        if not job.tag:
            await self._count(job, target, size, tag)
        progress = Progress(job.position, job.line, tag, job.taken, job.failed)
        if not job.tag:
            await self._note(job, progress)
        batches = 0
        async for batch in self._batches(job, size, tag, progress):
            if batches == TURN:
                return False
            batches += 1
            progress = await self._take(job, target, columns, progress, batch)
        return True

    async def _header(self, job: Job, size: int, tag: str) -> tuple[str, ...]:
        """The names of columns, from the first line; of JSON, none."""
        if job.form == imports.JSON or not size:
            return ()
        async for batch in self._batches(job, min(size, 2 * MAX_LINE), tag, Progress()):
            try:
                return imports.header(batch[0])
            except RecordError as error:
                raise Failure(str(error)) from None
        return ()

    async def _look(self, job: Job, target: Target) -> tuple[int, str]:
        bucket, key = _place(job)
        try:
            if not self._owners.may(job.account, bucket):
                raise missing(bucket, key)
            size, tag = await self._buckets.look(bucket, key)
        except NotFound as error:
            raise Failure(CHANGED if job.tag else error.message) from None
        if job.tag and tag != job.tag:
            raise Failure(CHANGED)
        if size > target.bounds.octets:
            raise Failure(f"The object has {size} bytes; an import takes at most {target.bounds.octets}.")
        return size, tag

    async def _count(self, job: Job, target: Target, size: int, tag: str) -> None:
        count = 0
        async for batch in self._batches(job, size, tag, Progress()):
            count += sum(not line.blank for line in batch)
            if count > target.bounds.records:
                raise Failure(f"The object has more than {target.bounds.records} records.")

    async def _batches(self, job: Job, size: int, tag: str, start: Progress) -> AsyncIterator[list[Line]]:
        """The lines of an object behind ``start``, a batch at a time."""
        bucket, key = _place(job)
        lines, at, waiting = Lines(start.position, start.line), start.position, list[Line]()
        while at < size:
            try:
                piece = await self._buckets.read(bucket, key, tag, at, min(PIECE, size - at))
            except NotFound:
                raise Failure(CHANGED) from None
            if not piece:
                raise Failure(CHANGED)
            at += len(piece)
            waiting += lines.receive(piece)
            while len(waiting) > BATCH:
                yield waiting[:BATCH]
                waiting = waiting[BATCH:]
        waiting += lines.close()
        while waiting:
            yield waiting[:BATCH]
            waiting = waiting[BATCH:]

    async def _take(
        self, job: Job, target: Target, columns: tuple[str, ...], before: Progress, batch: list[Line]
    ) -> Progress:
        json = job.form == imports.JSON
        headed = not target.columns and not json
        records = [line for line in batch if not line.blank and not (headed and line.number == 1)]
        entries, refused = imports.read(records, target, columns, json=json)

        async def body(tx: Transaction) -> Progress:
            bad = [*refused, *await target.take(tx, entries)]
            after = replace(
                before,
                position=batch[-1].end,
                line=batch[-1].number,
                taken=before.taken + len(records),
                failed=before.failed + len(bad),
            )
            await jobs.note(tx, job, self._runtime.worker, after, bad)
            return after

        try:
            return await self._runtime.db.run(body)
        except NotFound as error:
            raise Failure(error.message) from None

    async def _note(self, job: Job, progress: Progress) -> None:
        await self._runtime.db.run(lambda tx: jobs.note(tx, job, self._runtime.worker, progress))

    async def _finish(self, job: Job, error: str = "") -> None:
        content = await self._refused(job)
        draft = FileDraft(self._runtime.blobs, job.id, content)
        await draft.put()

        async def body(tx: Transaction) -> None:
            await jobs.finish(tx, job, self._runtime.worker, file=draft.ref, error=error)
            await draft.put_in(tx)

        await self._runtime.db.run(body)

    async def _refused(self, job: Job) -> bytes:
        """The file of what was refused; empty: nothing was."""
        found: list[Refused] = []
        after, more = 0, True
        while more:
            page = await self._page(job, after)
            found += page
            after, more = (page[-1].line, True) if page else (after, False)
        if not found:
            return b""
        if job.form == imports.JSON:
            return json_lines({"line": one.line, "record": one.record, "error": one.reason} for one in found)
        rows = [["line", "record", "error"], *([str(one.line), one.record, one.reason] for one in found)]
        return "".join(write_csv_row(row) for row in rows).encode()

    async def _page(self, job: Job, after: int) -> list[Refused]:
        return await self._runtime.db.scan(lambda tx: jobs.refused_records(tx, job.id, after=after))


def _place(job: Job) -> tuple[str, str]:
    return imports.place(job.request["ImportDataSource"]["S3Url"])
