"""Jobs: lists read in from a bucket, what became of mail written out as a file (v2 alone has them)."""

from __future__ import annotations

from typing import Any

from mailstead.aws import job_files, paging
from mailstead.aws.operations.services import SESV2, Handlers, Request, Services
from mailstead.base.errors import Invalid
from mailstead.ses import contact_lists, imports, jobs, metric_exports
from mailstead.ses.jobs import EXPORT, IMPORT, Job

HANDLED = frozenset(
    (SESV2, name)
    for name in (
        "CreateImportJob",
        "GetImportJob",
        "ListImportJobs",
        "CreateExportJob",
        "GetExportJob",
        "ListExportJobs",
        "CancelExportJob",
    )
)

MAX_PAGE = 100
"""Jobs of a page. (unverified)"""

_SANDBOX = "Addresses cannot be imported while the account is in the sandbox."  # SES: sending §2
_LINK_TOLD = "ExportDestination.S3Url must not be given: GetExportJob tells where the file is."


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Jobs(services)
    return {
        (SESV2, "CreateImportJob"): operations.create_import,
        (SESV2, "GetImportJob"): operations.get_import,
        (SESV2, "ListImportJobs"): operations.list_imports,
        (SESV2, "CreateExportJob"): operations.create_export,
        (SESV2, "GetExportJob"): operations.get_export,
        (SESV2, "ListExportJobs"): operations.list_exports,
        (SESV2, "CancelExportJob"): operations.cancel_export,
    }


class _Jobs:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db

    # Imports

    async def create_import(self, request: Request) -> dict[str, Any]:
        sort = _one(request.params["ImportDestination"], _DESTINATIONS, "ImportDestination")
        imports.place(request.params["ImportDataSource"]["S3Url"])
        if sort == jobs.CONTACT_LIST:
            await self._check_list(request)
        if not (await self._services.region_of(request.caller)).production_access:
            raise Invalid(_SANDBOX)
        return await self._create(request, IMPORT, sort, ("ImportDestination", "ImportDataSource"))

    async def get_import(self, request: Request) -> dict[str, Any]:
        job = await self._get(request, IMPORT)
        return {
            **_summary_of_import(job),
            "ImportDataSource": job.request["ImportDataSource"],
            **_completed(job),
            **_failure(job, self._link(request, job), "FailedRecordsS3Url"),
        }

    async def list_imports(self, request: Request) -> dict[str, Any]:
        page = await self._list(request, IMPORT, sort=request.params.get("ImportDestinationType") or "")
        return {"ImportJobs": [_summary_of_import(job) for job in page[0]], **page[1]}

    async def _check_list(self, request: Request) -> None:
        caller, name = request.caller, imports.list_name(request.params)
        if await self._db.read(lambda tx: contact_lists.find(tx, caller.account, caller.region, name)) is None:
            raise Invalid(f"List with name: {name[:256]} doesn't exist.")  # CreateImportJob knows no NotFound

    # Exports

    async def create_export(self, request: Request) -> dict[str, Any]:
        sort = _one(request.params["ExportDataSource"], _SOURCES, "ExportDataSource")
        if "S3Url" in request.params["ExportDestination"]:
            raise Invalid(_LINK_TOLD)
        source = request.params["ExportDataSource"][_MEMBERS[sort]]
        if source["StartDate"] > source["EndDate"]:
            raise Invalid("StartDate must not be after EndDate.")
        if sort == jobs.METRICS_DATA:
            metric_exports.plan(source)
        return await self._create(request, EXPORT, sort, ("ExportDataSource", "ExportDestination"))

    async def get_export(self, request: Request) -> dict[str, Any]:
        job = await self._get(request, EXPORT)
        link = self._link(request, job)
        return {
            **_summary_of_export(job),
            "ExportDestination": {"DataFormat": job.form, **({"S3Url": link} if link else {})},
            "ExportDataSource": job.request["ExportDataSource"],
            "Statistics": {"ProcessedRecordsCount": job.taken, "ExportedRecordsCount": job.given},
            **_failure(job),
        }

    async def list_exports(self, request: Request) -> dict[str, Any]:
        wanted = {"sort": request.params.get("ExportSourceType") or "", "status": request.params.get("JobStatus") or ""}
        page = await self._list(request, EXPORT, **wanted)
        return {"ExportJobs": [_summary_of_export(job) for job in page[0]], **page[1]}

    async def cancel_export(self, request: Request) -> dict[str, Any]:
        caller, job = request.caller, request.params["JobId"]
        await self._db.run(lambda tx: jobs.cancel(tx, caller.account, caller.region, EXPORT, job))
        return {}

    # Both

    async def _create(self, request: Request, kind: str, sort: str, members: tuple[str, ...]) -> dict[str, Any]:
        caller = request.caller
        kept = {name: request.params[name] for name in members}
        job = await self._db.run(
            lambda tx: jobs.create(tx, caller.account, caller.region, kind=kind, sort=sort, request=kept)
        )
        return {"JobId": job}

    async def _get(self, request: Request, kind: str) -> Job:
        caller, job = request.caller, request.params["JobId"]
        return await self._db.read(lambda tx: jobs.get(tx, caller.account, caller.region, kind, job))

    def _link(self, request: Request, job: Job) -> str:
        """Where the job's file can be had; empty: it has none."""
        return job_files.link(self._services.runtime.vault, request.base, job, request.clock_now) if job.file else ""

    async def _list(
        self, request: Request, kind: str, *, sort: str = "", status: str = ""
    ) -> tuple[list[Job], dict[str, Any]]:
        caller, params = request.caller, request.params
        belongs = request.page(sort, status)
        start = paging.position(belongs, params.get("NextToken"))
        size = paging.page_size(params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
        before = (int(start[0] or 0), str(start[1])) if start else None
        found = await self._db.scan(
            lambda tx: jobs.list_page(
                tx, caller.account, caller.region, kind, sort=sort, status=status, before=before, limit=size + 1
            )
        )
        shown = found[:size]
        more = {"NextToken": paging.token(belongs, [shown[-1].created, shown[-1].id])} if len(found) > size else {}
        return shown, more


_DESTINATIONS = {
    "SuppressionListDestination": jobs.SUPPRESSION_LIST,
    "ContactListDestination": jobs.CONTACT_LIST,
}
_SOURCES = {"MetricsDataSource": jobs.METRICS_DATA, "MessageInsightsDataSource": jobs.MESSAGE_INSIGHTS}
_MEMBERS = {sort: member for member, sort in _SOURCES.items()}


def _one(members: dict[str, Any], sorts: dict[str, str], name: str) -> str:
    """Which one of a choice was made.

    Raises:
        Invalid: none, or several.
    """
    given = [sort for member, sort in sorts.items() if member in members]
    if len(given) != 1:
        raise Invalid(f"{name} must have exactly one of {' and '.join(sorts)}.")
    return given[0]


def _completed(job: Job) -> dict[str, Any]:
    return {} if job.completed is None else {"CompletedTimestamp": job.completed}


def _failure(job: Job, link: str = "", member: str = "") -> dict[str, Any]:
    told = {member: link, "ErrorMessage": job.error}
    told = {name: value for name, value in told.items() if value}
    return {"FailureInfo": told} if told else {}


def _summary_of_import(job: Job) -> dict[str, Any]:
    return {
        "JobId": job.id,
        "ImportDestination": job.request["ImportDestination"],
        "JobStatus": job.status,
        "CreatedTimestamp": job.created,
        "ProcessedRecordsCount": job.taken,
        "FailedRecordsCount": job.failed,
    }


def _summary_of_export(job: Job) -> dict[str, Any]:
    return {
        "JobId": job.id,
        "ExportSourceType": job.sort,
        "JobStatus": job.status,
        "CreatedTimestamp": job.created,
        **_completed(job),
    }
