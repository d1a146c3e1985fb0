"""Exporting: what became of an account's mail, and its figures, as files (SES v2: CreateExportJob)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from mailstead.proto.records import write_csv_row
from mailstead.runtime import Runtime
from mailstead.ses import exports, jobs, metric_exports
from mailstead.ses.exports import Fate
from mailstead.ses.jobs import MESSAGE_INSIGHTS, METRICS_DATA, Job, Progress
from mailstead.ses.metric_exports import Series
from mailstead.store.port import Transaction
from mailstead.upkeep.job_files import Failure, FileDraft

Rows = list[tuple[str, ...]]


@dataclass(slots=True)
class Table:
    """What a file will have."""

    columns: tuple[str, ...]
    rows: Rows = field(default_factory=list)


class Exporting:
    """Works on export jobs. One that was cut off begins anew: it changes nothing but its own row."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tables = {MESSAGE_INSIGHTS: self._messages, METRICS_DATA: self._metrics}

    async def work(self, job: Job) -> None:
        """A whole job.

        Raises:
            Gone: it was cancelled, or nobody wants it any more.
            Unreachable: later.
        """
        try:
            table, error = await self._tables[job.sort](job), ""
        except Failure as failure:
            table, error = Table(()), str(failure)
        content = b"" if error else written(table.columns, table.rows, job.form)
        draft = FileDraft(self._runtime.blobs, job.id, content)
        await draft.put()

        async def body(tx: Transaction) -> None:
            given = len(table.rows)
            await jobs.finish(tx, job, self._runtime.worker, file=draft.ref, given=given, error=error)
            await draft.put_in(tx)

        await self._runtime.db.run(body)

    async def _messages(self, job: Job) -> Table:
        source = job.request["ExportDataSource"]["MessageInsightsDataSource"]
        wanted = exports.chosen(source.get("Include", {}), source.get("Exclude", {}))
        most = source.get("MaxResults", exports.DEFAULT_RESULTS)
        rows: Rows = []
        before, seen, more = "", 0, True
        while more and len(rows) < most:
            fates, before = await self._fates(job, source["StartDate"], source["EndDate"], before)
            rows += [fate.row() for fate in fates if wanted(fate)]
            seen, more = seen + len(fates), before != ""
            await self._note(job, Progress(taken=seen, given=min(len(rows), most)))
        return Table(exports.COLUMNS, rows[:most])

    async def _fates(self, job: Job, start: int, end: int, before: str) -> tuple[list[Fate], str]:
        return await self._runtime.db.scan(
            partial(exports.page, account=job.account, region=job.region, start=start, end=end, before=before)
        )

    async def _metrics(self, job: Job) -> Table:
        series = metric_exports.plan(job.request["ExportDataSource"]["MetricsDataSource"])
        rows: Rows = []
        for first in range(0, len(series), metric_exports.PAGE):
            some = series[first : first + metric_exports.PAGE]
            rows += await self._figures(job, some)
            if len(rows) > metric_exports.MAX_ROWS:
                raise Failure(f"The export has more than {metric_exports.MAX_ROWS} rows: ask for less.")
            await self._note(job, Progress(taken=first + len(some), given=len(rows)))
        return Table(metric_exports.COLUMNS, rows)

    async def _figures(self, job: Job, series: Sequence[Series]) -> Rows:
        return await self._runtime.db.scan(
            partial(metric_exports.page, account=job.account, region=job.region, series=series)
        )

    async def _note(self, job: Job, progress: Progress) -> None:
        await self._runtime.db.run(lambda tx: jobs.note(tx, job, self._runtime.worker, progress))


def written(columns: tuple[str, ...], rows: Iterable[Sequence[str]], form: str) -> bytes:
    """The file: CSV with a line of names, or a JSON array of objects."""
    if form == "CSV":
        return "".join(write_csv_row(list(row)) for row in (columns, *rows)).encode()
    return msgspec.json.encode([dict(zip(columns, row, strict=True)) for row in rows])
