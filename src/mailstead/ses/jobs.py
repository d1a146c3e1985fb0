"""Jobs: lists that are read in and histories that are written out, each as a row that is worked on bit by bit.

What an import has done and how far it has come are written in one transaction: whatever ends the process, no record is
taken twice and none is left out.  An export only reads, so it begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mailstead.base.clock import MINUTE, SECOND
from mailstead.base.errors import Conflict, LimitExceeded, NotFound
from mailstead.base.ids import uuid4
from mailstead.store import work
from mailstead.store.port import Row, Transaction

IMPORT, EXPORT = "import", "export"
SUPPRESSION_LIST, CONTACT_LIST = "SUPPRESSION_LIST", "CONTACT_LIST"
METRICS_DATA, MESSAGE_INSIGHTS = "METRICS_DATA", "MESSAGE_INSIGHTS"

CREATED, PROCESSING, COMPLETED, FAILED, CANCELLED = "CREATED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"

MAX_OPEN = 10
"""Imports, and exports, of an account that have not ended. (unverified)"""
MAX_FAILURES = 10_000
"""Refused records of a job that are kept; the others are only counted."""
ATTEMPTS = 8
"""How often something that cannot be reached is tried."""
_SLOWEST = 5 * MINUTE


@dataclass(frozen=True, slots=True)
class Job:
    """A job as people see it."""

    id: str
    account: str
    region: str
    kind: str
    sort: str
    """What is read into, or written out of."""
    status: str
    request: dict[str, Any]
    """The call that asked for it: members by the API's names, times in milliseconds."""
    position: int
    line: int
    tag: str
    taken: int
    """Records that were read."""
    failed: int
    given: int
    """Records that were written out."""
    file: str
    """The blob of the result, or of the records that were refused; empty: there is none."""
    error: str
    attempts: int
    created: int
    completed: int | None

    @property
    def form(self) -> str:
        """``CSV`` or ``JSON``: of the object of an import, of the file of an export."""
        return str(self.request["ImportDataSource" if self.kind == IMPORT else "ExportDestination"]["DataFormat"])


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come."""

    position: int = 0
    line: int = 0
    tag: str = ""
    taken: int = 0
    failed: int = 0
    given: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that was not taken."""

    line: int
    record: str
    reason: str


class Gone(Exception):
    """Nobody wants this job's work any more: it was cancelled, wiped, or its lease is another's."""


_COLUMNS = (
    "id, account, region, kind, sort, status, request_json, position, line, tag, taken, failed, given, file, error,"
    " attempts, created, completed"
)
_HERE = "WHERE account = $1 AND region = $2 AND kind = $3"


def _job(row: Row) -> Job:
    return Job(*[*row[:6], msgspec.json.decode(row[6]), *row[7:]])


# -- what callers do ---------------------------------------------------------------------------------------------------


async def create(tx: Transaction, account: str, region: str, *, kind: str, sort: str, request: dict[str, Any]) -> str:
    """Write a job down, to be worked on from now; its id.

    Raises:
        LimitExceeded: too many of the account have not ended.
    """
    waiting = await tx.value(f"SELECT count(*) FROM jobs {_HERE} AND completed IS NULL", account, region, kind)
    if waiting >= MAX_OPEN:
        raise LimitExceeded(f"You can have at most {MAX_OPEN} {kind} jobs that have not ended.")
    job = uuid4()
    await tx.run(
        "INSERT INTO jobs (id, account, region, kind, sort, request_json, due, created)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        job,
        account,
        region,
        kind,
        sort,
        msgspec.json.encode(request).decode(),
        tx.now(),
    )
    return job


async def get(tx: Transaction, account: str, region: str, kind: str, job: str) -> Job:
    """A job.

    Raises:
        NotFound: the account has none of this kind with this id here.
    """
    row = await tx.row(f"SELECT {_COLUMNS} FROM jobs {_HERE} AND id = $4", account, region, kind, job)
    if row is None:
        raise missing(kind, job)
    return _job(row)


def missing(kind: str, job: str) -> NotFound:
    """There is no such job. (unverified text)"""
    return NotFound(f"{kind.capitalize()} job {job[:64]} does not exist.", kind="job")


async def list_page(
    tx: Transaction,
    account: str,
    region: str,
    kind: str,
    *,
    sort: str = "",
    status: str = "",
    before: tuple[int, str] | None = None,
    limit: int = 100,
) -> list[Job]:
    """Jobs, the newest first, those behind ``before`` (time of creation, id); ``sort`` and ``status`` empty: all."""
    where, args = [_HERE], [account, region, kind]

    def also(condition: str, *values: Any) -> None:
        first = len(args) + 1
        where.append(condition.format(*(f"${n}" for n in range(first, first + len(values)))))
        args.extend(values)

    if sort:
        also("sort = {}", sort)
    if status:
        also("status = {}", status)
    if before is not None:
        also("(created, id) < ({}, {})", *before)
    sql = f"SELECT {_COLUMNS} FROM jobs {' AND '.join(where)} ORDER BY created DESC, id DESC LIMIT ${len(args) + 1}"
    return [_job(row) for row in await tx.rows(sql, *args, limit)]


async def cancel(tx: Transaction, account: str, region: str, kind: str, job: str) -> None:
    """End a job before its end; whoever works on it finds out with the next step.

    Raises:
        NotFound: there is none.
        Conflict: it has ended already.
    """
    ended = await tx.run(
        f"UPDATE jobs SET status = $5, completed = $6, due = NULL, worker = NULL {_HERE} AND id = $4"
        " AND completed IS NULL",
        account,
        region,
        kind,
        job,
        CANCELLED,
        tx.now(),
    )
    if not ended:
        found = await get(tx, account, region, kind, job)
        raise Conflict(f"{kind.capitalize()} job {found.id} cannot be cancelled: its status is {found.status}.")


async def with_file(tx: Transaction, job: str) -> Job | None:
    """A job that left a file, of any account: for whoever shows that he may have it."""
    row = await tx.row(f"SELECT {_COLUMNS} FROM jobs WHERE id = $1 AND file <> ''", job)
    return _job(row) if row else None


# -- what the duty does ------------------------------------------------------------------------------------------------


async def anything_due(tx: Transaction, now: int) -> bool:
    """Is there a job to work on?"""
    return await tx.value("SELECT 1 FROM jobs WHERE due <= $1 AND worker IS NULL LIMIT 1", now) is not None


async def claim(tx: Transaction, *, worker: str, now: int, limit: int) -> list[Job]:
    """Lease jobs that are due."""
    claimed = await work.claim(tx, "jobs", worker=worker, now=now, limit=limit, columns="id")
    jobs = []
    for (job,) in claimed:
        await tx.run("UPDATE jobs SET status = $2 WHERE id = $1 AND status = $3", job, PROCESSING, CREATED)
        row = await tx.row(f"SELECT {_COLUMNS} FROM jobs WHERE id = $1", job)
        if row is not None:
            jobs.append(_job(row))
    return jobs


_MINE = " WHERE id = $1 AND worker = $2 AND completed IS NULL"


async def note(tx: Transaction, job: Job, worker: str, progress: Progress, refused: Sequence[Refused] = ()) -> None:
    """Write down how far a job has come.

    Raises:
        Gone: nobody wants to know; the transaction ends with it.
    """
    changed = await tx.run(
        "UPDATE jobs SET position = $3, line = $4, tag = $5, taken = $6, failed = $7, given = $8, attempts = 0" + _MINE,
        job.id,
        worker,
        progress.position,
        progress.line,
        progress.tag,
        progress.taken,
        progress.failed,
        progress.given,
    )
    if not changed:
        raise Gone
    room = MAX_FAILURES - (progress.failed - len(refused))
    rows = [(job.account, job.id, one.line, one.record, one.reason) for one in refused[: max(0, room)]]
    await work.insert_many(tx, "job_failures", ("account", "job", "line", "record", "reason"), rows, ignore=True)


async def give_back(tx: Transaction, job: Job, worker: str) -> None:
    """Let others have their turn; this job comes again when theirs is over."""
    await tx.run("UPDATE jobs SET worker = NULL, due = $3" + _MINE, job.id, worker, tx.now())


async def refused_records(tx: Transaction, job: str, *, after: int = 0, limit: int = 1000) -> list[Refused]:
    """Records that a job did not take, by line, those behind ``after``."""
    sql = "SELECT line, record, reason FROM job_failures WHERE job = $1 AND line > $2 ORDER BY line LIMIT $3"
    return [Refused(*row) for row in await tx.rows(sql, job, after, limit)]


async def finish(tx: Transaction, job: Job, worker: str, *, file: str = "", given: int = 0, error: str = "") -> None:
    """A job ends: with its file, or with what is wrong (both, if an import failed half way).

    Raises:
        Gone: it has ended otherwise.
    """
    changed = await tx.run(
        "UPDATE jobs SET status = $3, file = $4, given = $5, error = $6, completed = $7, due = NULL, worker = NULL"
        + _MINE,
        job.id,
        worker,
        FAILED if error else COMPLETED,
        file,
        given,
        error,
        tx.now(),
    )
    if not changed:
        raise Gone
    await tx.run("DELETE FROM job_failures WHERE job = $1", job.id)


async def put_off(tx: Transaction, job: Job, worker: str, reason: str) -> bool:
    """Something could not be reached, or nobody knows why: try again, less and less often; False: often enough."""
    attempts = await tx.value("SELECT attempts FROM jobs" + _MINE, job.id, worker)
    if attempts is None:
        return True  # it has ended otherwise
    if attempts + 1 >= ATTEMPTS:
        return False
    await work.again(tx, "jobs", job.id, tx.now() + min(_SLOWEST, SECOND << attempts), reason)
    return True


async def forget(tx: Transaction, *, before: int, limit: int) -> tuple[int, list[str]]:
    """Delete jobs that ended before a time; how many, and blobs that have to go."""
    rows = await tx.rows(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE completed < $1 ORDER BY completed LIMIT $2)"
        " RETURNING file",
        before,
        limit,
    )
    return len(rows), [str(row[0]) for row in rows if row[0]]
