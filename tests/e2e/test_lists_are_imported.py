"""Lists are imported, from folders and from a real S3 server, whatever happens to the process; results are fetched."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mailstead.app.first_start import FIRST_ACCOUNT
from peers.ground import wait_for
from peers.seaweed import KEY, SECRET, Seaweed
from peers.server import Server

pytestmark = pytest.mark.slow

PUT = {"SuppressionListDestination": {"SuppressionListImportAction": "PUT"}}
RECORDS = 20_000


def numbered(count: int) -> bytes:
    return b"".join(b"a%05d@example.com,%s\n" % (n, b"BOUNCE" if n % 100 else b"SPAM") for n in range(count))


def begin(client: Any, url: str) -> str:
    source = {"S3Url": url, "DataFormat": "CSV"}
    return str(client.create_import_job(ImportDestination=PUT, ImportDataSource=source)["JobId"])


def ended(client: Any, job: str) -> Any:
    def look() -> Any:
        found = client.get_import_job(JobId=job)
        return found if found["JobStatus"] in ("COMPLETED", "FAILED") else None

    return wait_for(look, "the end of the job", timeout=60)


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    settings = {"quota.new_account": "production", "storage.bucket_accounts": "theirs=222222222222"}
    with Server(tmp_path / "data", settings) as running:
        yield running


def test_killed_again_and_again_it_takes_each_record_once(server: Server) -> None:
    folder = server.data / "buckets" / "lists"
    folder.mkdir(parents=True)
    (folder / "all.csv").write_bytes(numbered(RECORDS))
    job = begin(server.sesv2(), "s3://lists/all.csv")
    seen, kills = 0, 0
    while kills < 3:
        client = server.sesv2()

        def further(client: Any = client, before: int = seen) -> int | None:
            count = client.get_import_job(JobId=job).get("ProcessedRecordsCount", 0)
            return count if count > before else None

        seen = wait_for(further, "progress", timeout=60)
        server.kill()
        server.start()
        kills += 1
        assert server.sesv2().get_import_job(JobId=job)["ProcessedRecordsCount"] >= seen
    found = ended(server.sesv2(), job)
    assert found["JobStatus"] == "COMPLETED", found
    assert (found["ProcessedRecordsCount"], found["FailedRecordsCount"]) == (RECORDS, RECORDS // 100)
    refused = fetched(found["FailureInfo"]["FailedRecordsS3Url"]).splitlines()
    assert [int(line.split(b",")[0]) for line in refused[1:]] == list(range(1, RECORDS, 100))
    listed = [one["EmailAddress"] for one in every_suppressed(server)]
    assert listed == [f"a{n:05d}@example.com" for n in range(RECORDS) if n % 100]


def every_suppressed(server: Server) -> list[dict[str, Any]]:
    client, found, more = server.sesv2(), list[dict[str, Any]](), dict[str, str]()
    while True:
        page = client.list_suppressed_destinations(PageSize=1000, **more)
        found += page["SuppressedDestinationSummaries"]
        if "NextToken" not in page:
            return found
        more = {"NextToken": page["NextToken"]}


def test_another_accounts_bucket_and_what_is_no_bucket(server: Server) -> None:
    theirs = server.data / "buckets" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "all.csv").write_bytes(numbered(3))
    for url in ("s3://theirs/all.csv", "s3://lists/../../credentials", "s3://../credentials"):
        found = ended(server.sesv2(), begin(server.sesv2(), url))
        assert found["JobStatus"] == "FAILED"
        assert found["FailureInfo"] == {"ErrorMessage": f"The object {url} does not exist or cannot be read."}


def test_what_became_of_mail_is_exported(server: Server) -> None:
    client = server.sesv2()
    server.cli("identity", "verify", "example.com")
    sent = client.send_email(
        FromEmailAddress="me@example.com",
        Destination={"ToAddresses": ["success@simulator.amazonses.com", "bounce@simulator.amazonses.com"]},
        Content={"Simple": {"Subject": {"Data": "hello"}, "Body": {"Text": {"Data": "x"}}}},
    )["MessageId"]

    def exported() -> list[dict[str, str]]:
        now = time.time()
        source = {"MessageInsightsDataSource": {"StartDate": now - 3600, "EndDate": now + 60}}
        job = client.create_export_job(ExportDataSource=source, ExportDestination={"DataFormat": "JSON"})["JobId"]

        def look() -> Any:
            found = client.get_export_job(JobId=job)
            return found["ExportDestination"].get("S3Url") if found["JobStatus"] == "COMPLETED" else None

        url = wait_for(look, "the end of the job")
        with pytest.raises(urllib.error.HTTPError):
            fetched(url[:-4] + "AAAA")
        rows: list[dict[str, str]] = json.loads(fetched(url))
        return rows

    rows = wait_for(
        lambda: [rows for rows in [exported()] if "SEND" not in {row["LastDeliveryEvent"] for row in rows}],
        "both to be told of",
    )[0]
    assert {row["MessageId"] for row in rows} == {sent}
    assert {row["Destination"]: row["LastDeliveryEvent"] for row in rows} == {
        "success@simulator.amazonses.com": "DELIVERY",
        "bounce@simulator.amazonses.com": "PERMANENT_BOUNCE",
    }


def test_lists_come_from_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with Seaweed() as s3:
        client = s3.client()
        client.create_bucket(Bucket="lists")
        client.put_object(Bucket="lists", Key="may/all.csv", Body=numbered(1500))
        settings = {
            "quota.new_account": "production",
            "aws.s3_endpoint": s3.url,
            "storage.bucket_accounts": f"lists={FIRST_ACCOUNT},theirs=222222222222",
        }
        with Server(tmp_path / "data", settings) as server:
            found = ended(server.sesv2(), begin(server.sesv2(), "s3://lists/may/all.csv"))
            assert (found["JobStatus"], found["ProcessedRecordsCount"]) == ("COMPLETED", 1500), found
            assert len(every_suppressed(server)) == 1485
            none = ended(server.sesv2(), begin(server.sesv2(), "s3://lists/june.csv"))
            assert none["FailureInfo"]["ErrorMessage"].endswith("does not exist or cannot be read.")
