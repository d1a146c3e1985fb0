"""Sends of templates: SendTemplatedEmail and SendBulkTemplatedEmail of v1, SendBulkEmail of v2.

A bulk send is one message an entry, each with an answer of its own in the order of the entries.  What is wrong with the
call as a whole (no such template, default data that is no JSON) is an error; what is wrong with an entry is its status.
What data a template lacks is found out when it is filled: the mail is taken, and the event tells (SES: sending §5).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mailstead.aws.operations.multi_region import check_endpoint
from mailstead.aws.operations.send_members import (
    Pairs,
    attachments_of,
    destination_of,
    headers_of,
    line,
    lines,
    refuse_what_waits,
    tags_of,
    v1_options,
    v2_options,
    v2_source,
)
from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.aws.operations.templates import checked, v2_content
from mailstead.base.errors import (
    Closed,
    Invalid,
    MailFromNotVerified,
    MailsteadError,
    NotFound,
    Paused,
    Rejected,
    Throttled,
    TooLarge,
    Unreachable,
)
from mailstead.outbound.admission import check_bulk
from mailstead.outbound.composition import Templated
from mailstead.outbound.handed_in import Submission
from mailstead.proto.addresses import parse_one
from mailstead.ses import message_tags, templates
from mailstead.ses.principals import Caller
from mailstead.store.port import Database

log = logging.getLogger(__name__)

HANDLED = frozenset({(SES, "SendTemplatedEmail"), (SES, "SendBulkTemplatedEmail"), (SESV2, "SendBulkEmail")})

MAX_ENTRIES = 50  # SES: operations, limits
AT_ONCE = 10
"""Entries under way together, so that they share a commit."""
MANY_BYTES = 1 << 20
"""Attachments above this go one entry after the other: each message holds them once more."""

# (v1, v2) status of an entry by class and kind of the error; kind "" is the class's default (SES: sending §4).
STATUS: dict[tuple[type[MailsteadError], str], tuple[str, str]] = {
    (MailsteadError, ""): ("Failed", "FAILED"),
    (Rejected, ""): ("MessageRejected", "MESSAGE_REJECTED"),
    (MailFromNotVerified, ""): ("MailFromDomainNotVerified", "MAIL_FROM_DOMAIN_NOT_VERIFIED"),
    (NotFound, "configuration-set"): ("ConfigurationSetDoesNotExist", "CONFIGURATION_SET_NOT_FOUND"),
    (NotFound, "template"): ("TemplateDoesNotExist", "TEMPLATE_NOT_FOUND"),
    (NotFound, "sending-pool"): ("InvalidSendingPoolName", "INVALID_SENDING_POOL_NAME"),
    (Closed, ""): ("AccountSuspended", "ACCOUNT_SUSPENDED"),
    (Throttled, ""): ("AccountThrottled", "ACCOUNT_THROTTLED"),
    (Throttled, "daily"): ("AccountDailyQuotaExceeded", "ACCOUNT_DAILY_QUOTA_EXCEEDED"),
    (Paused, ""): ("AccountSendingPaused", "ACCOUNT_SENDING_PAUSED"),
    (Paused, "enforcement"): ("AccountSuspended", "ACCOUNT_SUSPENDED"),
    (Paused, "tenant"): ("Failed", "FAILED"),
    (Paused, "configuration-set"): ("ConfigurationSetSendingPaused", "CONFIGURATION_SET_SENDING_PAUSED"),
    (Invalid, ""): ("InvalidParameterValue", "INVALID_PARAMETER"),
    (TooLarge, ""): ("InvalidParameterValue", "INVALID_PARAMETER"),
    (Unreachable, ""): ("TransientFailure", "TRANSIENT_FAILURE"),
}
SUCCESS = ("Success", "SUCCESS")


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _TemplatedSending(services)
    return {
        (SES, "SendTemplatedEmail"): operations.send,
        (SES, "SendBulkTemplatedEmail"): operations.bulk,
        (SESV2, "SendBulkEmail"): operations.bulk_v2,
    }


async def stored(db: Database, caller: Caller, name: str | None, arn: str | None) -> templates.Template:
    """A template by name or ARN.

    Raises:
        NotFound: there is none; another account's or region's is never there.
    """
    if arn:
        own = f"arn:aws:ses:{caller.region}:{caller.account}:template/"
        if not arn.startswith(own) or name not in (None, arn.removeprefix(own)):
            raise NotFound(f"Template {arn} does not exist", kind="template")
        name = arn.removeprefix(own)
    return await db.read(lambda tx: templates.get(tx, caller.account, caller.region, name or ""))


async def v2_templated(db: Database, caller: Caller, given: Params) -> Templated:
    """The ``Template`` of a call of v2: a stored one, or one that came with the call.

    Raises:
        Invalid: neither or both, no template, no JSON.
        NotFound: there is no such template.
    """
    name, arn, inline = (given.get(member) for member in ("TemplateName", "TemplateArn", "TemplateContent"))
    if (inline is not None) == bool(name or arn):
        raise Invalid("The template must be given either by TemplateName or TemplateArn or by TemplateContent.")
    data = templates.data_of(given.get("TemplateData"))
    headers, attachments = headers_of(given.get("Headers")), attachments_of(given.get("Attachments"))
    if inline is not None:
        content = await checked(templates.check_inline, v2_content(inline))
        return Templated(content, data, "", headers, attachments)
    found = await stored(db, caller, name, arn)
    return Templated(found.content, data, found.name, headers, attachments)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What an entry has of its own."""

    destination: Params
    data: str | None
    tags: Sequence[Params]
    headers: Sequence[Params]


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of an entry: the (v1, v2) status, and the MessageId or the error's text."""

    status: tuple[str, str]
    message: str = ""
    error: str = ""


class _TemplatedSending:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db
        self._submit = services.door.submit

    async def send(self, request: Request) -> dict[str, Any]:
        params = request.params
        to, cc, bcc = destination_of(params["Destination"])
        data = templates.data_of(params["TemplateData"])
        submission = replace(await self._v1(request, "SendTemplatedEmail", data), to=to, cc=cc, bcc=bcc)
        return {"MessageId": await self._submit(submission)}

    async def _v1(self, request: Request, operation: str, data: templates.Data) -> Submission:
        """A submission of v1 that lacks its recipients."""
        params = request.params
        found = await stored(self._db, request.caller, params["Template"], params.get("TemplateArn"))
        return Submission(
            caller=request.caller,
            operation=operation,
            limit=self._services.v1_message_bytes,
            source=line("Source", params["Source"]),
            templated=Templated(found.content, data, found.name),
            reply_to=lines("ReplyToAddresses", params.get("ReplyToAddresses")),
            return_path=line("ReturnPath", params.get("ReturnPath")),
            options=v1_options(params),
        )

    # Bulk

    async def bulk(self, request: Request) -> dict[str, Any]:
        params = request.params
        entries = [
            _Entry(one["Destination"], one.get("ReplacementTemplateData"), one.get("ReplacementTags") or (), ())
            for one in _few(params["Destinations"])
        ]
        data = templates.data_of(params["DefaultTemplateData"])
        common = await self._v1(request, "SendBulkTemplatedEmail", data)
        common = replace(common, options=replace(common.options, tags=tags_of(params.get("DefaultTags"))))
        results = await self._all(common, entries)
        return {"Status": [_answer(result, 0) for result in results]}

    async def bulk_v2(self, request: Request) -> dict[str, Any]:
        params = request.params
        refuse_what_waits(params)
        await check_endpoint(self._db, request)
        given = params["DefaultContent"].get("Template")
        if given is None:
            raise Invalid("DefaultContent must have a Template.")
        entries = [_v2_entry(one) for one in _few(params["BulkEmailEntries"])]
        feedback = "FeedbackForwardingEmailAddress"
        common = Submission(
            caller=request.caller,
            operation="SendBulkEmail",
            limit=self._services.v2_message_bytes,
            source=v2_source(params),
            templated=await v2_templated(self._db, request.caller, given),
            reply_to=lines("ReplyToAddresses", params.get("ReplyToAddresses")),
            return_path=line(feedback, params.get(feedback)),
            options=replace(v2_options(params), tags=tags_of(params.get("DefaultEmailTags"))),
        )
        if common.options.tenant:
            sender, template = parse_one(common.source or ""), common.templated.name if common.templated else ""
            await self._db.read(lambda tx: check_bulk(tx, request.caller, common.options, sender, template))
        results = await self._all(common, entries)
        return {"BulkEmailEntryResults": [_answer(result, 1) for result in results]}

    async def _all(self, common: Submission, entries: Sequence[_Entry]) -> list[_Result]:
        """What became of each entry, in their order."""
        assert common.templated is not None
        heavy = sum(len(file.content) for file in common.templated.attachments) > MANY_BYTES
        step = 1 if heavy else AT_ONCE
        results: list[_Result] = []
        for at in range(0, len(entries), step):
            results += await asyncio.gather(*(self._one(common, entry) for entry in entries[at : at + step]))
        return results

    async def _one(self, common: Submission, entry: _Entry) -> _Result:
        try:
            return _Result(SUCCESS, message=await self._submit(_submission(common, entry)))
        except MailsteadError as error:
            return _Result(_status(error), error=error.message)
        except Exception:  # a bug of ours in one entry: the others have their MessageIds, which must be told
            log.exception("entry_failed account=%s operation=%s", common.caller.account, common.operation)
            return _Result(STATUS[MailsteadError, ""], error="The entry failed because of an unknown error.")


def _few(entries: Sequence[Any]) -> Sequence[Any]:
    if not entries:
        raise Invalid("At least one destination must be specified.")
    if len(entries) > MAX_ENTRIES:
        raise Invalid(f"Destination count exceeds {MAX_ENTRIES}.")
    return entries


def _v2_entry(given: Params) -> _Entry:
    replacement = (given.get("ReplacementEmailContent") or {}).get("ReplacementTemplate") or {}
    data = replacement.get("ReplacementTemplateData")
    tags, headers = given.get("ReplacementTags") or (), given.get("ReplacementHeaders") or ()
    return _Entry(given["Destination"], data, tags, headers)


def _submission(common: Submission, entry: _Entry) -> Submission:
    """The message of an entry: what is common, and what the entry replaces of it by name (SES: sending §13)."""
    templated = common.templated
    assert templated is not None
    to, cc, bcc = destination_of(entry.destination)
    data = {**templated.data, **templates.data_of(entry.data)}
    headers = _replaced(templated.headers, headers_of(entry.headers), str.lower)
    tags = message_tags.check(_replaced(common.options.tags, tags_of(entry.tags), str))
    return replace(
        common,
        templated=replace(templated, data=data, headers=headers),
        options=replace(common.options, tags=tags),
        to=to,
        cc=cc,
        bcc=bcc,
    )


def _replaced(default: Pairs, own: Pairs, key: Callable[[str], str]) -> Pairs:
    names = {key(name) for name, _ in own}
    return (*(pair for pair in default if key(pair[0]) not in names), *own)


def _status(error: MailsteadError) -> tuple[str, str]:
    for cls in type(error).__mro__:
        found = STATUS.get((cls, error.kind)) or STATUS.get((cls, ""))
        if found is not None:
            return found
    return STATUS[MailsteadError, ""]


def _answer(result: _Result, version: int) -> dict[str, str]:
    told = {"MessageId": result.message} if result.message else {"Error": result.error}
    return {"Status": result.status[version], **told}
