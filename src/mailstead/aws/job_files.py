"""Job files: links to what a job has left, and the answer to whoever follows one.

A link is a sealed grant with a time on it: only the account that may have the file is given one, and it works for five
minutes (SES v2: ExportDestination), as a pre-signed URL of S3 does.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from mailstead.aws.handlers import PlainHandler, PlainRequest, Reply
from mailstead.base.clock import MINUTE
from mailstead.base.errors import Invalid, NotFound
from mailstead.runtime import Runtime
from mailstead.ses import jobs
from mailstead.ses.jobs import Job
from mailstead.store.vault import Vault

PATH = "/job-file"
VALID = 5 * MINUTE
_CONTEXT = "job-file"
_MAX = 512
_TYPES = {"CSV": ("text/csv; charset=utf-8", "csv"), "JSON": ("application/json", "json")}


class Grant(msgspec.Struct, array_like=True, frozen=True):
    """Whoever shows this may have the file of the job until then."""

    job: str
    until: int


def link(vault: Vault, base: str, job: Job, now: int) -> str:
    """Where the file of a job can be had from now on for a while; ``base``: how the caller reaches us."""
    sealed = vault.seal(msgspec.json.encode(Grant(job.id, now + VALID)), _CONTEXT)
    return f"{base}{PATH}?grant={urlsafe_b64encode(sealed).decode().rstrip('=')}"


def _grant(vault: Vault, text: str) -> Grant | None:
    if len(text) > _MAX:
        return None
    try:
        sealed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        return msgspec.json.decode(vault.open(sealed, _CONTEXT), type=Grant)
    except (binascii.Error, UnicodeEncodeError, Invalid, msgspec.MsgspecError):
        return None


def route(runtime: Runtime) -> PlainHandler:
    """Answers ``GET /job-file?grant=…``."""

    async def answer(request: PlainRequest) -> Reply:
        grant = _grant(runtime.vault, request.query.get("grant", ""))
        if grant is None:
            return _refused(403, "This link is not valid.")
        if grant.until < runtime.clock.now():
            return _refused(403, "This link has expired: GetExportJob or GetImportJob gives a new one.")
        found = await runtime.db.read(lambda tx: jobs.with_file(tx, grant.job))
        if found is None:
            return _refused(404, "The file is not there any more.")
        try:
            content = await runtime.blobs.get(found.file)
        except NotFound:
            return _refused(404, "The file is not there any more.")
        return _file(found, content)

    return answer


def _file(job: Job, content: bytes) -> Reply:
    kind, ending = _TYPES[job.form]
    named = f'attachment; filename="{job.kind}-{job.id}.{ending}"'.encode()
    return Reply(200, content, kind, ((b"content-disposition", named), *_CAREFUL))


_CAREFUL = ((b"cache-control", b"private, no-store"), (b"x-content-type-options", b"nosniff"))


def _refused(status: int, text: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error": text}), headers=_CAREFUL)
