"""Jobs as rows: asked for, listed, claimed, brought forward, ended; each of them only by whom it belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from mailstead.base.clock import DAY, HOUR, MINUTE, SECOND
from mailstead.base.errors import Conflict, LimitExceeded, NotFound
from mailstead.ses import jobs
from mailstead.ses.jobs import EXPORT, IMPORT, MESSAGE_INSIGHTS, SUPPRESSION_LIST, Gone, Job, Progress, Refused
from mailstead.store import wipe, work
from peers.database import Ground

A, B, HERE, THERE = "111111111111", "222222222222", "us-east-1", "eu-west-1"
REQUEST = {"ImportDataSource": {"S3Url": "s3://lists/all.csv", "DataFormat": "CSV"}}


def create(ground: Ground, account: str = A, region: str = HERE, kind: str = IMPORT, **more: Any) -> str:
    sort = SUPPRESSION_LIST if kind == IMPORT else MESSAGE_INSIGHTS
    ground.clock.advance(SECOND)
    return ground.run(
        lambda tx: jobs.create(tx, account, region, kind=kind, sort=more.get("sort", sort), request=REQUEST)
    )


def get(ground: Ground, job: str, kind: str = IMPORT) -> Job:
    return ground.read(lambda tx: jobs.get(tx, A, HERE, kind, job))


def claim(ground: Ground, worker: str = "w", limit: int = 10) -> list[Job]:
    ground.run(lambda tx: work.register(tx, worker, "host", 1))
    return ground.run(lambda tx: jobs.claim(tx, worker=worker, now=ground.clock.now(), limit=limit))


def due(ground: Ground) -> bool:
    return ground.read(lambda tx: jobs.anything_due(tx, ground.clock.now()))


def test_a_job_is_its_accounts_and_regions_and_kinds(ground: Ground) -> None:
    job = create(ground)
    found = get(ground, job)
    assert (found.status, found.request, found.form) == ("CREATED", REQUEST, "CSV")
    assert (found.taken, found.completed) == (0, None)
    for account, region, kind in ((B, HERE, IMPORT), (A, THERE, IMPORT), (A, HERE, EXPORT)):
        with pytest.raises(NotFound, match=f"^{kind.capitalize()} job {job} does not exist.$"):
            ground.read(lambda tx, place=(account, region, kind): jobs.get(tx, *place, job))
        with pytest.raises(NotFound):
            ground.run(lambda tx, place=(account, region, kind): jobs.cancel(tx, *place, job))
        assert ground.read(lambda tx, place=(account, region, kind): jobs.list_page(tx, *place)) == []


def test_only_so_many_wait(ground: Ground) -> None:
    made = [create(ground) for _ in range(jobs.MAX_OPEN)]
    with pytest.raises(LimitExceeded, match="at most 10 import jobs"):
        create(ground)
    create(ground, B)
    create(ground, region=THERE)
    create(ground, kind=EXPORT)
    ground.run(lambda tx: jobs.cancel(tx, A, HERE, IMPORT, made[3]))
    create(ground)


def test_lists_begin_with_the_newest_and_have_pages_and_filters(ground: Ground) -> None:
    made = [create(ground, kind=EXPORT, sort=("METRICS_DATA", MESSAGE_INSIGHTS)[n % 2]) for n in range(5)]
    ground.run(lambda tx: jobs.cancel(tx, A, HERE, EXPORT, made[1]))

    def listed(**options: Any) -> list[str]:
        return [job.id for job in ground.read(lambda tx: jobs.list_page(tx, A, HERE, EXPORT, **options))]

    assert listed() == made[::-1]
    first = listed(limit=2)
    last = get(ground, first[-1], EXPORT)
    assert first + listed(before=(last.created, last.id)) == made[::-1]
    assert listed(sort="METRICS_DATA") == [made[4], made[2], made[0]]
    assert listed(status="CANCELLED") == [made[1]]
    assert listed(status="CREATED", sort=MESSAGE_INSIGHTS) == [made[3]]


def test_a_claimed_job_is_nobody_elses(ground: Ground) -> None:
    first, second = create(ground), create(ground)
    assert [job.id for job in claim(ground, limit=1)] == [first]
    assert get(ground, first).status == "PROCESSING"
    assert [job.id for job in claim(ground, "v")] == [second]
    assert claim(ground) == []
    assert not due(ground)


def test_progress_stays_and_a_dead_process_loses_its_job(ground: Ground) -> None:
    create(ground)
    (job,) = claim(ground)
    so_far = Progress(100, 7, "tag", 6, 2)
    refused = [Refused(3, "x", "why"), Refused(5, "y", "why")]
    ground.run(lambda tx: jobs.note(tx, job, "w", so_far, refused))
    ground.run(lambda tx: work.forget(tx, "w"))
    (again,) = claim(ground, "v")
    assert (again.position, again.line, again.tag, again.taken, again.failed) == (100, 7, "tag", 6, 2)
    with pytest.raises(Gone):  # the first process wakes up
        ground.run(lambda tx: jobs.note(tx, job, "w", Progress(200, 9, "tag", 8, 2)))
    with pytest.raises(Gone):
        ground.run(lambda tx: jobs.finish(tx, job, "w"))
    assert get(ground, job.id).position == 100
    assert ground.read(lambda tx: jobs.refused_records(tx, job.id)) == refused
    assert ground.read(lambda tx: jobs.refused_records(tx, job.id, after=3)) == refused[1:]


def test_only_so_many_refused_records_are_kept(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_FAILURES", 3)
    create(ground)
    (job,) = claim(ground)
    ground.run(lambda tx: jobs.note(tx, job, "w", Progress(failed=2), [Refused(n, "x", "why") for n in (1, 2)]))
    ground.run(lambda tx: jobs.note(tx, job, "w", Progress(failed=4), [Refused(n, "x", "why") for n in (3, 4)]))
    ground.run(lambda tx: jobs.note(tx, job, "w", Progress(failed=5), [Refused(5, "x", "why")]))
    assert [one.line for one in ground.read(lambda tx: jobs.refused_records(tx, job.id))] == [1, 2, 3]
    assert get(ground, job.id).failed == 5


def test_an_end_is_an_end(ground: Ground) -> None:
    create(ground)
    (job,) = claim(ground)
    ground.run(lambda tx: jobs.note(tx, job, "w", Progress(failed=1), [Refused(1, "x", "why")]))
    ground.run(lambda tx: jobs.finish(tx, job, "w", file="db:job-1", given=3))
    ended = get(ground, job.id)
    assert (ended.status, ended.file, ended.given, ended.error) == ("COMPLETED", "db:job-1", 3, "")
    assert ended.completed == ground.clock.now()
    assert ground.read(lambda tx: jobs.refused_records(tx, job.id)) == []
    with pytest.raises(Gone):
        ground.run(lambda tx: jobs.finish(tx, job, "w"))
    with pytest.raises(Conflict, match=rf"^Import job {job.id} cannot be cancelled: its status is COMPLETED\.$"):
        ground.run(lambda tx: jobs.cancel(tx, A, HERE, IMPORT, job.id))
    assert not due(ground)


def test_what_failed_says_why(ground: Ground) -> None:
    create(ground)
    (job,) = claim(ground)
    ground.run(lambda tx: jobs.finish(tx, job, "w", error="no such object"))
    ended = get(ground, job.id)
    assert (ended.status, ended.error) == ("FAILED", "no such object")


def test_a_cancelled_job_stops_whoever_works_on_it(ground: Ground) -> None:
    create(ground, kind=EXPORT)
    (job,) = claim(ground)
    ground.run(lambda tx: jobs.cancel(tx, A, HERE, EXPORT, job.id))
    with pytest.raises(Gone):
        ground.run(lambda tx: jobs.note(tx, job, "w", Progress(taken=1)))
    assert ground.run(lambda tx: jobs.put_off(tx, job, "w", "Unreachable"))
    ground.run(lambda tx: jobs.give_back(tx, job, "w"))
    assert not due(ground)
    ended = get(ground, job.id, EXPORT)
    assert (ended.status, ended.completed) == ("CANCELLED", ground.clock.now())


def test_a_job_that_is_given_back_waits_behind_the_others(ground: Ground) -> None:
    first, second = create(ground), create(ground)
    (job,) = claim(ground, limit=1)
    ground.clock.advance(SECOND)
    ground.run(lambda tx: jobs.give_back(tx, job, "w"))
    assert [job.id for job in claim(ground, limit=1)] == [second]
    assert [job.id for job in claim(ground)] == [first]


def test_what_cannot_be_reached_is_tried_less_and_less(ground: Ground) -> None:
    create(ground)
    waits = []
    for _ in range(jobs.ATTEMPTS - 1):
        (job,) = claim(ground)
        assert ground.run(lambda tx, job=job: jobs.put_off(tx, job, "w", "Unreachable"))
        waited = 0
        while not due(ground):
            ground.clock.advance(SECOND)
            waited += 1
        waits.append(waited)
    assert waits == [1, 2, 4, 8, 16, 32, 64]
    (job,) = claim(ground)
    assert not ground.run(lambda tx: jobs.put_off(tx, job, "w", "Unreachable"))
    ground.run(lambda tx: jobs.note(tx, job, "w", Progress(taken=1)))  # something could be done: it counts anew
    assert ground.run(lambda tx: jobs.put_off(tx, job, "w", "Unreachable"))


def test_old_jobs_are_forgotten_and_open_ones_are_not(ground: Ground) -> None:
    create(ground)
    (old,) = claim(ground)
    ground.run(lambda tx: jobs.finish(tx, old, "w", file="db:job-1"))
    waiting = create(ground)
    ground.clock.advance(DAY)
    before = ground.clock.now() - HOUR
    assert ground.run(lambda tx: jobs.forget(tx, before=before, limit=10)) == (1, ["db:job-1"])
    assert ground.run(lambda tx: jobs.forget(tx, before=before, limit=10)) == (0, [])
    assert get(ground, waiting).status == "CREATED"
    assert ground.read(lambda tx: jobs.with_file(tx, old.id)) is None


def test_a_wiped_account_leaves_no_job(ground: Ground) -> None:
    create(ground)
    other = create(ground, B)
    job = next(one for one in claim(ground) if one.account == A)
    ground.run(lambda tx: jobs.note(tx, job, "w", Progress(failed=1), [Refused(1, "x", "why")]))
    ground.clock.advance(MINUTE)
    ground.run(lambda tx: tx.run("UPDATE jobs SET file = 'db:job-1' WHERE id = $1", job.id))
    assert ground.run(lambda tx: wipe.wipe(tx, A)) == ["db:job-1"]
    assert ground.read(lambda tx: jobs.refused_records(tx, job.id)) == []
    with pytest.raises(Gone):
        ground.run(lambda tx: jobs.note(tx, job, "w", Progress(taken=1)))
    assert ground.read(lambda tx: jobs.get(tx, B, HERE, IMPORT, other)).id == other
