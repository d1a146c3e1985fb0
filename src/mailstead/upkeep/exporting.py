"""Exporting: what became of an account's mail, as a file (SES v2: CreateExportJob)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from mailstead.proto.records import write_csv_row
from mailstead.runtime import Runtime
from mailstead.ses import exports, jobs
from mailstead.ses.exports import Fate
from mailstead.ses.jobs import Job, Progress
from mailstead.store.port import Transaction
from mailstead.upkeep.job_files import FileDraft


class Exporting:
    """Works on export jobs. One that was cut off begins anew: it changes nothing but its own row."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def work(self, job: Job) -> None:
        """A whole job.

        Raises:
            Gone: it was cancelled, or nobody wants it any more.
            Unreachable: later.
        """
        rows = await self._rows(job)
        draft = FileDraft(self._runtime.blobs, job.id, written(rows, job.form))
        await draft.put()

        async def body(tx: Transaction) -> None:
            await jobs.finish(tx, job, self._runtime.worker, file=draft.ref, given=len(rows))
            await draft.put_in(tx)

        await self._runtime.db.run(body)

    async def _rows(self, job: Job) -> list[tuple[str, ...]]:
        source = job.request["ExportDataSource"]["MessageInsightsDataSource"]
        wanted = exports.chosen(source.get("Include", {}), source.get("Exclude", {}))
        most = source.get("MaxResults", exports.DEFAULT_RESULTS)
        rows: list[tuple[str, ...]] = []
        before, seen, more = "", 0, True
        while more and len(rows) < most:
            fates, before = await self._page(job, source, before)
            rows += [fate.row() for fate in fates if wanted(fate)]
            seen, more = seen + len(fates), before != ""
            await self._note(job, Progress(taken=seen, given=min(len(rows), most)))
        return rows[:most]

    async def _page(self, job: Job, source: dict[str, Any], before: str) -> tuple[list[Fate], str]:
        start, end = source["StartDate"], source["EndDate"]
        return await self._runtime.db.scan(
            partial(exports.page, account=job.account, region=job.region, start=start, end=end, before=before)
        )

    async def _note(self, job: Job, progress: Progress) -> None:
        await self._runtime.db.run(lambda tx: jobs.note(tx, job, self._runtime.worker, progress))


def written(rows: Iterable[Sequence[str]], form: str) -> bytes:
    """The file: CSV with a line of names, or a JSON array of objects."""
    if form == "CSV":
        return "".join(write_csv_row(list(row)) for row in (exports.COLUMNS, *rows)).encode()
    return msgspec.json.encode([dict(zip(exports.COLUMNS, row, strict=True)) for row in rows])
