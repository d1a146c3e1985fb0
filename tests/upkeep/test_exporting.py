"""Exports at work: what became of mail, chosen and written out."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from mailstead.base.clock import DAY
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import exports, jobs, metric_exports, tenants
from mailstead.ses.jobs import EXPORT
from mailstead.upkeep import retention
from peers.job_yard import OTHER, Stage
from peers.yard import ACCOUNT, REGION


def mail(stage: Stage, *to: str, subject: str = "hello", sender: str = "sender@example.com") -> str:
    raw = f"From: Sender <{sender}>\r\nTo: {', '.join(to)}\r\nSubject: {subject}\r\n\r\nbody\r\n".encode()
    stage.yard.clock.advance(1000)
    return stage.yard.submit(*to, raw=raw, source=f"The Sender <{sender}>")


def test_what_became_of_mail_is_written_out(stage: Stage) -> None:
    yard = stage.yard
    yard.script.replies["gone@hotmail.fr"] = Reply(550, "user unknown", "5.1.1")
    yard.script.replies["slow@gmail.com"] = Reply(451, "later", "4.7.1")
    first = mail(stage, "Anna <a@example.net>", "gone@hotmail.fr", subject="Grüße")
    second = mail(stage, "slow@gmail.com")
    sent = yard.clock.now()
    yard.deliver()
    job = stage.export()
    stage.turns()
    rows = stage.rows(job)
    assert [(row["MessageId"], row["Destination"], row["LastDeliveryEvent"]) for row in rows] == [
        (second, "slow@gmail.com", "SEND"),
        (first, "a@example.net", "DELIVERY"),
        (first, "gone@hotmail.fr", "PERMANENT_BOUNCE"),
    ]
    assert rows[0] == {
        "MessageId": second,
        "SendTimestamp": exports.events.iso(sent),
        "FromEmailAddress": "sender@example.com",
        "Destination": "slow@gmail.com",
        "Subject": "hello",
        "Isp": "Gmail",
        "TenantName": "",
        "LastDeliveryEvent": "SEND",
        "LastEngagementEvent": "",
    }
    assert [row["Isp"] for row in rows[1:]] == ["Other", "Hotmail"]
    assert rows[1]["Subject"] == "Grüße"
    ended = stage.get(job, EXPORT)
    assert (ended.status, ended.taken, ended.given) == ("COMPLETED", 3, 3)


def test_csv_has_names_and_quotes(stage: Stage) -> None:
    mail(stage, "a@example.net", subject='one, "two"')
    job = stage.export("CSV")
    stage.turns()
    (row,) = csv.DictReader(io.StringIO(stage.file(job, EXPORT).decode(), newline=""))
    assert tuple(row) == exports.COLUMNS
    assert row["Subject"] == 'one, "two"'


def test_an_export_without_results_is_a_file_too(stage: Stage) -> None:
    job, table = stage.export(), stage.export("CSV")
    stage.turns()
    assert stage.file(job, EXPORT) == b"[]"
    assert stage.file(table, EXPORT).decode() == ",".join(exports.COLUMNS) + "\r\n"


def test_times_are_inclusive_and_other_accounts_are_not(stage: Stage) -> None:
    yard = stage.yard
    times = []
    for n in range(4):
        mail(stage, f"a{n}@example.net")
        times.append(yard.clock.now())
    yard.run(lambda tx: tx.run("UPDATE messages SET account = $1 WHERE created = $2", OTHER, times[1]))
    job = stage.export(StartDate=times[0], EndDate=times[2])
    stage.turns()
    assert [row["Destination"] for row in stage.rows(job)] == ["a2@example.net", "a0@example.net"]


def test_notices_are_not_mail_of_the_account(stage: Stage) -> None:
    stage.yard.put("sender@example.com", origin="notice")
    job = stage.export()
    stage.turns()
    assert stage.rows(job) == []


def test_pages_are_joined_and_results_are_bounded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports.page, "__kwdefaults__", {**exports.page.__kwdefaults__, "limit": 2})
    for n in range(5):
        mail(stage, f"a{n}@example.net", f"b{n}@example.net")
    whole, some = stage.export(), stage.export(MaxResults=3)
    stage.turns()
    everything = [row["Destination"] for row in stage.rows(whole)]
    assert everything == [f"{letter}{n}@example.net" for n in (4, 3, 2, 1, 0) for letter in "ab"]
    assert [row["Destination"] for row in stage.rows(some)] == everything[:3]
    assert stage.get(some, EXPORT).given == 3


def test_filters_choose(stage: Stage) -> None:
    yard = stage.yard
    yard.script.replies["gone@yahoo.com"] = Reply(550, "user unknown", "5.1.1")
    mail(stage, "a@gmail.com", subject="News of May")
    mail(stage, "gone@yahoo.com", subject="News of June")
    last = mail(stage, "b@gmail.com", subject="Your order")
    yard.deliver()

    def got(**source: Any) -> list[str]:
        job = stage.export(**source)
        stage.turns()
        return [row["Destination"] for row in stage.rows(job)][::-1]

    assert got(Include={"Subject": ["News*"]}) == ["a@gmail.com", "gone@yahoo.com"]
    assert got(Include={"Isp": ["Gmail"]}, Exclude={"Subject": ["*order*"]}) == ["a@gmail.com"]
    assert got(Include={"LastDeliveryEvent": ["PERMANENT_BOUNCE", "COMPLAINT"]}) == ["gone@yahoo.com"]
    assert got(Include={"Destination": ["*@gmail.com"], "Subject": ["News of May"]}) == ["a@gmail.com"]
    assert got(Exclude={"Destination": ["*@gmail.com"], "Subject": ["News*"]}) == ["gone@yahoo.com", "b@gmail.com"]
    assert got(Include={"FromEmailAddress": ["Sender@example.com"]}) == []
    assert got(Include={"TenantName": ["shop"]}) == []
    yard.run(lambda tx: tenants.create(tx, ACCOUNT, REGION, "shop"))
    yard.run(
        lambda tx: tx.run(
            "UPDATE messages SET tenant = (SELECT id FROM tenants WHERE name = 'shop') WHERE id = $1", last
        )
    )
    assert got(Include={"TenantName": ["shop"]}) == ["b@gmail.com"]
    assert got(Include={}, Exclude={}) == ["a@gmail.com", "gone@yahoo.com", "b@gmail.com"]


def test_a_cancelled_export_leaves_nothing(stage: Stage) -> None:
    mail(stage, "a@example.net")
    job = stage.export()
    (claimed,) = stage.yard.run(lambda tx: jobs.claim(tx, worker="yard", now=stage.yard.clock.now(), limit=1))
    stage.yard.run(lambda tx: jobs.cancel(tx, ACCOUNT, REGION, EXPORT, job))
    stage.yard.wait(stage.duty.loop.duty.do(claimed))
    ended = stage.get(job, EXPORT)
    assert (ended.status, ended.file, ended.given) == ("CANCELLED", "", 0)
    assert stage.turns() == 0


def test_a_large_file_survives_sweeping_until_the_job_is_forgotten(stage: Stage) -> None:
    yard = stage.yard
    for n in range(12):
        mail(stage, f"a{n}@example.net", subject="x" * 500)
    job = stage.export()
    stage.turns()
    found = stage.get(job, EXPORT)
    assert found.file == f"file:job-{job}"
    kept = yard.wait(yard.runtime.db.scan(retention.spool.blobs_outside))
    assert found.file in kept
    yard.clock.advance(2 * DAY)
    yard.wait(retention.forget(yard.runtime, DAY))
    assert not any(name.startswith("job-") for name in yard.files())


def test_figures_are_written_out_by_day_and_dimension(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_exports, "PAGE", 3)
    yard = stage.yard
    yard.script.replies["gone@gmail.com"] = Reply(550, "user unknown", "5.1.1")
    for to in ("a@gmail.com", "b@gmail.com", "gone@gmail.com", "d@yahoo.com"):
        mail(stage, to)
    yard.deliver()
    job = stage.figures(
        {"ISP": ["Gmail", "Yahoo", "Gmail", "AOL"], "EMAIL_IDENTITY": ["example.com"]},
        ("SEND", "VOLUME"),
        ("PERMANENT_BOUNCE", "RATE"),
    )
    stage.turns()
    day = exports.events.iso(yard.clock.now())[:10]
    row = {"Date": day, "EMAIL_IDENTITY": "example.com", "CONFIGURATION_SET": "", "TENANT_NAME": "", "ISP": "Gmail"}
    assert stage.rows(job) == [
        row | {"Metric": "SEND", "Aggregation": "VOLUME", "Value": "3"},
        row | {"Metric": "PERMANENT_BOUNCE", "Aggregation": "RATE", "Value": "0.333333"},
        row | {"ISP": "Yahoo", "Metric": "SEND", "Aggregation": "VOLUME", "Value": "1"},
    ]
    ended = stage.get(job, EXPORT)
    assert (ended.taken, ended.given) == (6, 3)


def test_a_table_that_gets_too_long_ends_the_job(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_exports, "MAX_ROWS", 1)
    for to in ("a@gmail.com", "d@yahoo.com"):
        mail(stage, to)
    job = stage.figures({"ISP": ["Gmail", "Yahoo"]}, ("SEND", "VOLUME"))
    stage.turns()
    ended = stage.get(job, EXPORT)
    assert (ended.status, ended.error, ended.file) == ("FAILED", "The export has more than 1 rows: ask for less.", "")
