"""Imports at work: lists read in; cut off anywhere, nothing is taken twice or left out."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from itertools import cycle

import pytest

from mailstead.ses import imports, jobs, suppression
from mailstead.ses.imports import Bounds
from mailstead.ses.jobs import Job
from peers.job_yard import OTHER, Stage, numbered
from peers.yard import ACCOUNT, REGION


def test_a_list_is_read_in(stage: Stage) -> None:
    job = stage.create(b"a@example.com,BOUNCE\r\n\r\nB@Example.COM, COMPLAINT\r\n")
    assert stage.counts(job) == ("CREATED", 0, 0)
    assert stage.turns() == 1
    assert stage.counts(job) == ("COMPLETED", 2, 0)
    assert stage.listed() == {"a@example.com": "BOUNCE", "B@example.com": "COMPLAINT"}
    ended = stage.get(job)
    assert (ended.file, ended.error, ended.completed) == ("", "", stage.yard.clock.now())


def test_json_lines_are_read_in(stage: Stage) -> None:
    job = stage.create(b'{"emailAddress": "a@example.com", "reason": "COMPLAINT"}', "JSON")
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", 1, 0)
    assert stage.listed() == {"a@example.com": "COMPLAINT"}


@pytest.mark.parametrize(
    ("form", "content"),
    [("CSV", b"a@example.com\nnobody@example.com\n"), ("JSON", b'{"emailAddress":"a@example.com"}\n')],
)
def test_a_list_is_taken_off(stage: Stage, form: str, content: bytes) -> None:
    for address in ("a@example.com", "b@example.com"):
        stage.yard.run(lambda tx, one=address: suppression.put(tx, ACCOUNT, REGION, one, "BOUNCE"))
        stage.yard.run(lambda tx, one=address: suppression.put(tx, OTHER, REGION, one, "BOUNCE"))
    job = stage.create(content, form, "DELETE")
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", content.count(b"\n"), 0)
    assert stage.listed() == {"b@example.com": "BOUNCE"}
    assert len(stage.listed(OTHER)) == 2


def test_bad_records_are_told_with_their_lines(stage: Stage) -> None:
    content = (
        b"a@example.com,BOUNCE\n\nno address,BOUNCE\nb@example.com,SPAM\nc@example.com\n,BOUNCE\n"
        b'"d@example.com,BOUNCE\ne@example.com,BOUNCE,x\n\xff@example.com,BOUNCE\nf@example.com,BOUNCE\n'
    )
    job = stage.create(content)
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", 9, 7)
    assert set(stage.listed()) == {"a@example.com", "f@example.com"}
    rows = list(csv.DictReader(io.StringIO(stage.file(job).decode(), newline="")))
    assert [(row["line"], row["record"]) for row in rows] == [
        ("3", "no address,BOUNCE"),
        ("4", "b@example.com,SPAM"),
        ("5", "c@example.com"),
        ("6", ",BOUNCE"),
        ("7", '"d@example.com,BOUNCE'),
        ("8", "e@example.com,BOUNCE,x"),
        ("9", "\ufffd@example.com,BOUNCE"),
    ]
    assert [row["error"] for row in rows][1:] == [
        "The reason must be BOUNCE or COMPLAINT.",
        "The reason must be BOUNCE or COMPLAINT.",
        "The record has no emailAddress.",
        "The line is not CSV: look at its quotation marks.",
        "The record has 3 fields; at most 2 are known.",
        "The line is not UTF-8.",
    ]
    assert rows[0]["error"]


def test_bad_json_records_are_told_with_their_lines(stage: Stage) -> None:
    lines = [
        b"{",
        b'{"emailAddress": 7, "reason": "BOUNCE"}',
        b'{"emailAddress": "a@example.com", "reason": "BOUNCE", "\\u0000x": 1}',
        b'{"emailAddress": "\\u0000@example.com", "reason": "BOUNCE"}',
        b'{"emailAddress": "a@example.com", "reason": ["BOUNCE"]}',
        b"\0",
        b"x" * 70_000,
    ]
    job = stage.create(b"\n".join(lines), "JSON")
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", 7, 7)
    told = [json.loads(line) for line in stage.file(job).splitlines()]
    assert [one["line"] for one in told] == [1, 2, 3, 4, 5, 6, 7]
    assert [one["error"] for one in told if one["line"] != 4] == [
        "The line is not JSON.",
        "The record has no emailAddress.",
        "The member \ufffdx is not known.",
        "The reason must be BOUNCE or COMPLAINT.",
        "The line is not JSON.",
        "The line is longer than 65536 bytes.",
    ]
    assert told[3]["error"]
    assert told[6]["record"] == "x" * 1000
    assert stage.listed() == {}


def test_an_empty_list_is_soon_read(stage: Stage) -> None:
    job = stage.create(b"")
    stage.turns()
    assert stage.counts(job) == ("COMPLETED", 0, 0)


@pytest.mark.parametrize("url", ["s3://lists/none", "s3://theirs/all", "s3://lists/../theirs/all", "s3://no/all"])
def test_an_object_that_is_not_there_or_not_ours(stage: Stage, url: str) -> None:
    theirs = stage.folder.parent / "theirs"
    theirs.mkdir()
    (theirs / "all").write_bytes(b"a@example.com,BOUNCE\n")
    job = stage.create(None, url=url)
    stage.turns()
    ended = stage.get(job)
    assert (ended.status, ended.error) == ("FAILED", f"The object {url} does not exist or cannot be read.")
    assert stage.listed() == {}


def narrowed(monkeypatch: pytest.MonkeyPatch, bounds: Bounds) -> None:
    target = imports.target

    def narrow(job: Job) -> imports.Target:
        found = target(job)
        return replace(found, bounds=bounds)

    monkeypatch.setattr(imports, "target", narrow)


def test_a_list_of_too_many_records_is_refused_as_a_whole(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    narrowed(monkeypatch, Bounds(3, 1000))
    fits = stage.create(b"".join(b"%d@example.com,BOUNCE\n" % n for n in range(3)) + b"\n" * 6)
    stage.turns()
    assert stage.counts(fits) == ("COMPLETED", 3, 0)
    job = stage.create(b"".join(b"%d@example.org,BOUNCE\n" % n for n in range(4)))
    stage.turns()
    ended = stage.get(job)
    assert (ended.status, ended.error, ended.taken) == ("FAILED", "The object has more than 3 records.", 0)
    assert len(stage.listed()) == 3


def test_an_object_that_is_too_large_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    narrowed(monkeypatch, Bounds(100, 50))
    job = stage.create(b"0@example.com,BOUNCE\n" * 3)
    stage.turns()
    ended = stage.get(job)
    assert (ended.status, ended.error) == ("FAILED", "The object has 63 bytes; an import takes at most 50.")
    assert stage.listed() == {}


def test_the_limits_are_those_of_ses(stage: Stage) -> None:
    for action, most in (("PUT", 100_000), ("DELETE", 10_000)):
        job = stage.get(stage.create(b"", action=action))
        assert imports.target(job).bounds.records == most


@pytest.mark.usefixtures("small")
def test_long_work_gives_others_their_turn(stage: Stage) -> None:
    long = stage.create(numbered(20))
    assert stage.turn() == 1
    assert stage.counts(long) == ("PROCESSING", 6, 2)
    short = stage.create(None)
    assert stage.turn() == 2
    assert stage.turns() == 3
    assert stage.counts(long) == stage.counts(short) == ("COMPLETED", 20, 4)
    assert len(stage.listed()) == 16


@pytest.mark.usefixtures("small")
def test_cut_off_anywhere_it_goes_on_where_it_was(stage: Stage) -> None:
    """Each process dies before one of its readings; counting takes five of them."""
    job = stage.create(numbered(20))

    class Killed(BaseException):
        pass

    lives, left, deaths = cycle([0, 3, 5, 6, 1, 2]), 0, 0

    def maybe(start: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    stage.buckets.before = maybe
    while stage.get(job).status != "COMPLETED":
        try:
            stage.turn()
        except Killed:
            deaths, left = deaths + 1, next(lives)
            stage.die()
        assert deaths < 100
    assert deaths > 3
    assert stage.counts(job) == ("COMPLETED", 20, 4)
    assert len(stage.listed()) == 16
    assert [int(line.split(b",")[0]) for line in stage.file(job).splitlines()[1:]] == [1, 6, 11, 16]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("gone", [True, False])
def test_an_object_that_changes_meanwhile_ends_the_job(stage: Stage, gone: bool) -> None:
    job = stage.create(numbered(20))
    stage.turn()
    if gone:
        (stage.folder / "all").unlink()
    else:
        (stage.folder / "all").write_bytes(numbered(21))
    stage.turns()
    ended = stage.get(job)
    assert (ended.status, ended.error) == ("FAILED", "The object was changed or removed while it was being read.")
    assert (ended.taken, ended.failed) == (6, 2)
    assert len(stage.file(job).splitlines()) == 3


@pytest.mark.usefixtures("small")
def test_an_object_that_shrinks_while_it_is_counted(stage: Stage) -> None:
    job = stage.create(numbered(20))
    stage.buckets.before = lambda start: start and (stage.folder / "all").write_bytes(b"x")
    stage.turns()
    assert stage.get(job).error == "The object was changed or removed while it was being read."
    assert stage.listed() == {}


@pytest.mark.usefixtures("small")
def test_a_wiped_account_gets_no_more(stage: Stage) -> None:
    stage.create(numbered(20))
    stage.buckets.before = lambda start: None
    stage.turn()
    before = len(stage.listed())
    (job,) = stage.yard.run(lambda tx: jobs.claim(tx, worker="yard", now=stage.yard.clock.now(), limit=1))
    stage.yard.run(lambda tx: tx.run("DELETE FROM jobs"))
    stage.yard.wait(stage.duty.loop.duty.do(job))
    assert len(stage.listed()) == before
