"""Import and export jobs through boto3, worked on by their duty, their files fetched by the links that are told."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from mailstead.aws import job_files
from mailstead.base.clock import DAY, MINUTE, SECOND
from mailstead.base.objects import Owners
from mailstead.runtime import Runtime
from mailstead.ses import account, contact_lists, jobs
from mailstead.ses.contact_lists import Described
from mailstead.store import work
from mailstead.store.buckets import FolderBuckets
from mailstead.store.files import FileBlobs
from mailstead.store.signal import LocalSignal
from mailstead.upkeep.jobs import Jobs

A, B = "111111111111", "222222222222"
SUPPRESSION = {"SuppressionListDestination": {"SuppressionListImportAction": "PUT"}}
SOURCE = {"S3Url": "s3://lists/all.csv", "DataFormat": "CSV"}


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


def moment(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class Works:
    """The gateway, the duty beside it, and what links lead to."""

    def __init__(self, cloud, folder, new_account):
        self.here = cloud(new_account=new_account)
        self.ground = ground = self.here.ground
        self.folder = folder / "buckets" / "lists"
        self.folder.mkdir(parents=True)
        self.blobs = FileBlobs(folder / "blobs", ground.db)
        self.runtime = Runtime(ground.db, self.blobs, ground.clock, None, LocalSignal(), ground.vault, "w")
        self.duty = Jobs(self.runtime, FolderBuckets(folder / "buckets"), Owners({}, A)).loop.duty
        self.here.gateway._routes[("GET", job_files.PATH)] = job_files.route(self.runtime)
        ground.run(lambda tx: work.register(tx, "w", "host", 1))
        self.v2 = self.here.client("sesv2")

    def work(self):
        for job in self.wait(self.duty.claim(10)):
            self.wait(self.duty.do(job))

    def wait(self, work):
        return self.ground.loop.run_until_complete(work)

    def fetch(self, url):
        return self.wait(self.here._asgi(AWSRequest("GET", url).prepare()))

    def export(self, form="JSON", **source):
        now = self.ground.clock.now()
        told = {"StartDate": moment(now - DAY), "EndDate": moment(now), **source}
        return {
            "ExportDataSource": {"MessageInsightsDataSource": told},
            "ExportDestination": {"DataFormat": form},
        }


@pytest.fixture
def works(cloud, tmp_path):
    made = Works(cloud, tmp_path, account.PRODUCTION)
    yield made
    made.wait(made.blobs.close())


def test_the_life_of_an_import(works):
    v2, clock = works.v2, works.ground.clock
    (works.folder / "all.csv").write_bytes(b"a@example.com,BOUNCE\nbad,BOUNCE\n")
    job = v2.create_import_job(ImportDestination=SUPPRESSION, ImportDataSource=SOURCE)["JobId"]
    begun = clock.now()
    found = v2.get_import_job(JobId=job)
    found.pop("ResponseMetadata")
    summary = {
        "JobId": job,
        "ImportDestination": SUPPRESSION,
        "JobStatus": "CREATED",
        "CreatedTimestamp": moment(begun),
        "ProcessedRecordsCount": 0,
        "FailedRecordsCount": 0,
    }
    assert found == summary | {"ImportDataSource": SOURCE}
    assert v2.list_import_jobs()["ImportJobs"] == [summary]
    clock.advance(SECOND)
    works.work()
    found = v2.get_import_job(JobId=job)
    assert found["JobStatus"] == "COMPLETED"
    assert (found["ProcessedRecordsCount"], found["FailedRecordsCount"]) == (2, 1)
    assert found["CompletedTimestamp"] == moment(begun + SECOND)
    assert list(found["FailureInfo"]) == ["FailedRecordsS3Url"]
    assert v2.get_suppressed_destination(EmailAddress="a@example.com")["SuppressedDestination"]["Reason"] == "BOUNCE"
    status, headers, content = works.fetch(found["FailureInfo"]["FailedRecordsS3Url"])
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert headers["content-disposition"] == f'attachment; filename="import-{job}.csv"'
    assert content.splitlines()[1].startswith(b'2,"bad,BOUNCE",')


def test_an_import_that_fails_says_why(works):
    job = works.v2.create_import_job(ImportDestination=SUPPRESSION, ImportDataSource=SOURCE)["JobId"]
    works.work()
    found = works.v2.get_import_job(JobId=job)
    assert found["JobStatus"] == "FAILED"
    text = "The object s3://lists/all.csv does not exist or cannot be read."
    assert found["FailureInfo"] == {"ErrorMessage": text}


def test_buckets_of_others_look_like_none(works):
    (works.folder / "all.csv").write_bytes(b"a@example.com,BOUNCE\n")
    other = works.here.client("sesv2", B)
    job = other.create_import_job(ImportDestination=SUPPRESSION, ImportDataSource=SOURCE)["JobId"]
    works.work()
    text = "The object s3://lists/all.csv does not exist or cannot be read."
    assert other.get_import_job(JobId=job)["FailureInfo"] == {"ErrorMessage": text}


def test_contacts_are_imported_into_a_list_that_is_there(works):
    v2 = works.v2
    (works.folder / "all.csv").write_bytes(b"emailAddress\na@example.com\n")
    wanted = {"ContactListDestination": {"ContactListName": "people", "ContactListImportAction": "PUT"}}
    call = {"ImportDestination": wanted, "ImportDataSource": SOURCE}
    assert refused(v2.create_import_job, **call) == ("BadRequestException", "List with name: people doesn't exist.")
    works.ground.run(lambda tx: contact_lists.create(tx, A, "us-east-1", "people", Described()))
    job = v2.create_import_job(**call)["JobId"]
    works.work()
    assert v2.get_import_job(JobId=job)["JobStatus"] == "COMPLETED"
    (one,) = v2.list_contacts(ContactListName="people")["Contacts"]
    assert one["EmailAddress"] == "a@example.com"


def test_what_an_import_cannot_be(works):
    v2 = works.v2
    both = SUPPRESSION | {"ContactListDestination": {"ContactListName": "x", "ContactListImportAction": "PUT"}}
    text = "ImportDestination must have exactly one of SuppressionListDestination and ContactListDestination."
    for destination in ({}, both):
        call = {"ImportDestination": destination, "ImportDataSource": SOURCE}
        assert refused(v2.create_import_job, **call) == ("BadRequestException", text)
    for url in ("https://example.com/x", "s3://lists", "s3:///x", "file:///etc/passwd"):
        call = {"ImportDestination": SUPPRESSION, "ImportDataSource": SOURCE | {"S3Url": url}}
        assert refused(v2.create_import_job, **call)[0] == "BadRequestException"
    assert v2.list_import_jobs()["ImportJobs"] == []


def test_the_sandbox_imports_nothing(cloud):
    v2 = cloud().client("sesv2")
    code, text = refused(v2.create_import_job, ImportDestination=SUPPRESSION, ImportDataSource=SOURCE)
    assert (code, text) == (
        "BadRequestException",
        "Addresses cannot be imported while the account is in the sandbox.",
    )


def test_the_life_of_an_export(works):
    v2 = works.v2
    asked = works.export(Include={"Subject": ["Hi*"]}, MaxResults=5)
    job = v2.create_export_job(**asked)["JobId"]
    begun = works.ground.clock.now()
    found = v2.get_export_job(JobId=job)
    found.pop("ResponseMetadata")
    summary = {
        "JobId": job,
        "ExportSourceType": "MESSAGE_INSIGHTS",
        "JobStatus": "CREATED",
        "CreatedTimestamp": moment(begun),
    }
    statistics = {"ProcessedRecordsCount": 0, "ExportedRecordsCount": 0}
    assert found == summary | asked | {"Statistics": statistics}
    assert v2.list_export_jobs()["ExportJobs"] == [summary]
    works.work()
    found = v2.get_export_job(JobId=job)
    assert (found["JobStatus"], found["CompletedTimestamp"]) == ("COMPLETED", moment(begun))
    assert "FailureInfo" not in found
    url = found["ExportDestination"]["S3Url"]
    assert url.startswith("http://localhost:4579/job-file?grant=")
    status, headers, content = works.fetch(url)
    assert (status, json.loads(content), headers["content-type"]) == (200, [], "application/json")
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("private, no-store", "nosniff")


def test_a_link_works_for_five_minutes_and_not_for_another_file(works):
    jobs_made = [works.v2.create_export_job(**works.export(form))["JobId"] for form in ("JSON", "CSV")]
    works.work()
    first, second = (works.v2.get_export_job(JobId=job)["ExportDestination"]["S3Url"] for job in jobs_made)
    assert first != second
    works.ground.clock.advance(5 * MINUTE)
    assert works.fetch(first)[0] == 200
    works.ground.clock.advance(1)
    assert works.fetch(first)[0] == 403
    assert json.loads(works.fetch(first)[2])["error"].startswith("This link has expired")
    assert works.fetch(works.v2.get_export_job(JobId=jobs_made[0])["ExportDestination"]["S3Url"])[0] == 200


@pytest.mark.parametrize("grant", ["", "x", "AAAA", "ü", "%00", "A" * 2000, "=" * 40, "AQ" + "A" * 80])
def test_a_forged_link_opens_nothing(works, grant):
    status, _, content = works.fetch(f"http://localhost:4579/job-file?grant={grant}")
    assert (status, json.loads(content)) == (403, {"error": "This link is not valid."})


def test_a_changed_link_opens_nothing(works):
    job = works.v2.create_export_job(**works.export())["JobId"]
    works.work()
    url = works.v2.get_export_job(JobId=job)["ExportDestination"]["S3Url"]
    base, _, grant = url.partition("=")
    for place in (3, 30, len(grant) - 3):
        changed = grant[:place] + ("A" if grant[place] != "A" else "B") + grant[place + 1 :]
        assert works.fetch(f"{base}={changed}")[0] == 403
    assert works.fetch(url)[0] == 200


def test_a_link_to_what_is_forgotten(works):
    job = works.v2.create_export_job(**works.export())["JobId"]
    works.work()
    url = works.v2.get_export_job(JobId=job)["ExportDestination"]["S3Url"]
    works.ground.run(lambda tx: jobs.forget(tx, before=works.ground.clock.now() + 1, limit=10))
    assert works.fetch(url)[0] == 404
    assert refused(works.v2.get_export_job, JobId=job) == (
        "NotFoundException",
        f"Export job {job} does not exist.",
    )


def test_what_an_export_cannot_be(works):
    v2, good = works.v2, works.export()
    code, text = refused(
        v2.create_export_job,
        **good | {"ExportDestination": {"DataFormat": "CSV", "S3Url": "s3://lists/out.csv"}},
    )
    assert code == "BadRequestException"
    assert text.startswith("ExportDestination.S3Url must not be given")
    text = "ExportDataSource must have exactly one of MetricsDataSource and MessageInsightsDataSource."
    assert refused(v2.create_export_job, **good | {"ExportDataSource": {}}) == ("BadRequestException", text)
    now = works.ground.clock.now()
    late = works.export(StartDate=moment(now), EndDate=moment(now - 1000))
    assert refused(v2.create_export_job, **late) == ("BadRequestException", "StartDate must not be after EndDate.")
    metrics = {
        "MetricsDataSource": {
            "Dimensions": {"ISP": ["Gmail"]},
            "Namespace": "VDM",
            "Metrics": [{"Name": "SEND", "Aggregation": "VOLUME"}],
            "StartDate": moment(now),
            "EndDate": moment(now),
        }
    }
    metrics["MetricsDataSource"]["Metrics"] = [{"Name": "DELIVERY_OPEN", "Aggregation": "RATE"}]
    assert refused(v2.create_export_job, **good | {"ExportDataSource": metrics}) == (
        "UnsupportedOperation",
        "Mailstead does not count DELIVERY_OPEN yet.",
    )
    metrics["MetricsDataSource"]["Metrics"] = [{"Aggregation": "RATE"}]
    assert refused(v2.create_export_job, **good | {"ExportDataSource": metrics}) == (
        "BadRequestException",
        "Each of Metrics must have a Name.",
    )
    metrics["MetricsDataSource"] |= {"Metrics": [{"Name": "SEND"}], "Dimensions": {"ISP": ["Gmail", ""]}}
    assert refused(v2.create_export_job, **good | {"ExportDataSource": metrics}) == (
        "BadRequestException",
        "Invalid value of the dimension ISP.",
    )
    assert v2.list_export_jobs()["ExportJobs"] == []


def test_cancelling_has_its_effect_once(works):
    v2 = works.v2
    job = v2.create_export_job(**works.export())["JobId"]
    v2.cancel_export_job(JobId=job)
    works.work()
    found = v2.get_export_job(JobId=job)
    assert found["JobStatus"] == "CANCELLED"
    assert "S3Url" not in found["ExportDestination"]
    assert refused(v2.cancel_export_job, JobId=job) == (
        "BadRequestException",
        f"Export job {job} cannot be cancelled: its status is CANCELLED.",
    )
    assert refused(v2.cancel_export_job, JobId="none") == ("NotFoundException", "Export job none does not exist.")


def test_accounts_and_regions_are_apart(works):
    (works.folder / "all.csv").write_bytes(b"")
    imported = works.v2.create_import_job(ImportDestination=SUPPRESSION, ImportDataSource=SOURCE)["JobId"]
    exported = works.v2.create_export_job(**works.export())["JobId"]
    for other in (works.here.client("sesv2", B), works.here.client("sesv2", A, "eu-west-1")):
        for call, job in (
            (other.get_import_job, imported),
            (other.get_export_job, exported),
            (other.cancel_export_job, exported),
        ):
            there, nowhere = refused(call, JobId=job), refused(call, JobId="0" * 36)
            assert there[0] == nowhere[0] == "NotFoundException"
            assert there[1].replace(job, "0" * 36) == nowhere[1]
        assert other.list_import_jobs()["ImportJobs"] == other.list_export_jobs()["ExportJobs"] == []
    assert refused(works.v2.get_import_job, JobId=exported)[0] == "NotFoundException"


def test_pages_and_filters(works):
    v2 = works.v2
    made = []
    for _ in range(5):
        made.append(v2.create_export_job(**works.export())["JobId"])
        works.ground.clock.advance(SECOND)
    v2.cancel_export_job(JobId=made[2])

    def listed(**asked):
        found, token = [], {}
        while token is not None:
            page = v2.list_export_jobs(PageSize=2, **asked, **token)
            assert len(page["ExportJobs"]) <= 2
            found += [job["JobId"] for job in page["ExportJobs"]]
            token = {"NextToken": page["NextToken"]} if "NextToken" in page else None
        return found

    assert listed() == made[::-1]
    assert listed(JobStatus="CANCELLED") == [made[2]]
    assert listed(JobStatus="CREATED", ExportSourceType="MESSAGE_INSIGHTS") == [*made[:2], *made[3:]][::-1]
    assert listed(ExportSourceType="METRICS_DATA") == []
    token = v2.list_export_jobs(PageSize=1)["NextToken"]
    for call in ({"NextToken": "x"}, {"NextToken": token, "JobStatus": "CREATED"}):
        assert refused(v2.list_export_jobs, **call) == (
            "BadRequestException",
            "The specified next token is invalid.",
        )
    assert v2.list_import_jobs(ImportDestinationType="CONTACT_LIST")["ImportJobs"] == []


def test_only_so_many_wait(works):
    for _ in range(jobs.MAX_OPEN):
        works.v2.create_export_job(**works.export())
    code, text = refused(works.v2.create_export_job, **works.export())
    assert (code, text) == ("LimitExceededException", "You can have at most 10 export jobs that have not ended.")
