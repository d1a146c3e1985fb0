"""Sending: SendEmail and SendRawEmail of v1 and SendEmail of v2, all through one door.

Sends of templates besides v2 SendEmail stand in ``templated_sending``.
Not done yet: tracking by message.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mailstead.aws.operations.multi_region import check_endpoint
from mailstead.aws.operations.send_members import (
    check_count,
    destination_of,
    line,
    lines,
    refuse_what_waits,
    simple_of,
    v1_options,
    v2_options,
    v2_source,
)
from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.aws.operations.templated_sending import v2_templated
from mailstead.base.errors import Invalid
from mailstead.outbound.handed_in import Submission

HANDLED = frozenset({(SES, "SendEmail"), (SES, "SendRawEmail"), (SESV2, "SendEmail")})


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Sending(services)
    return {
        (SES, "SendEmail"): operations.send_email,
        (SES, "SendRawEmail"): operations.send_raw_email,
        (SESV2, "SendEmail"): operations.send_email_v2,
    }


class _Sending:
    def __init__(self, services: Services) -> None:
        self._submit = services.door.submit
        self._db = services.runtime.db
        self._v1_limit = services.v1_message_bytes
        self._v2_limit = services.v2_message_bytes

    async def _send(self, submission: Submission) -> dict[str, Any]:
        return {"MessageId": await self._submit(submission)}

    # v1

    async def send_email(self, request: Request) -> dict[str, Any]:
        params = request.params
        to, cc, bcc = destination_of(params["Destination"])
        return await self._send(
            Submission(
                caller=request.caller,
                operation="SendEmail",
                limit=self._v1_limit,
                source=line("Source", params["Source"]),
                simple=simple_of(params["Message"]),
                to=to,
                cc=cc,
                bcc=bcc,
                reply_to=lines("ReplyToAddresses", params.get("ReplyToAddresses")),
                return_path=line("ReturnPath", params.get("ReturnPath")),
                options=v1_options(params),
            )
        )

    async def send_raw_email(self, request: Request) -> dict[str, Any]:
        params = request.params
        destinations = lines("Destinations", params.get("Destinations"))
        check_count(destinations)
        return await self._send(
            Submission(
                caller=request.caller,
                operation="SendRawEmail",
                limit=self._v1_limit,
                source=line("Source", params.get("Source")),
                destinations=destinations or None,
                raw=params["RawMessage"]["Data"],
                options=v1_options(params),
            )
        )

    # v2

    async def send_email_v2(self, request: Request) -> dict[str, Any]:
        params = request.params
        refuse_what_waits(params)
        await check_endpoint(self._db, request)
        content = params["Content"]
        given = [name for name in ("Simple", "Raw", "Template") if content.get(name) is not None]
        if len(given) != 1:
            raise Invalid("Content must have exactly one of Simple, Raw and Template.")
        if given == ["Raw"]:
            return await self._send(self._v2_raw(request, content["Raw"]))
        submission = self._v2_formatted(request)
        if given == ["Simple"]:
            return await self._send(replace(submission, simple=simple_of(content["Simple"])))
        templated = await v2_templated(self._db, request.caller, content["Template"])
        return await self._send(replace(submission, templated=templated))

    def _v2_formatted(self, request: Request) -> Submission:
        """A submission that lacks its content."""
        params = request.params
        to, cc, bcc = destination_of(params.get("Destination") or {})
        return Submission(
            caller=request.caller,
            operation="SendEmail",
            limit=self._v2_limit,
            source=v2_source(params),
            to=to,
            cc=cc,
            bcc=bcc,
            reply_to=lines("ReplyToAddresses", params.get("ReplyToAddresses")),
            return_path=line("FeedbackForwardingEmailAddress", params.get("FeedbackForwardingEmailAddress")),
            options=v2_options(params),
        )

    def _v2_raw(self, request: Request, message: Params) -> Submission:
        params = request.params
        to, cc, bcc = destination_of(params.get("Destination") or {})
        return Submission(
            caller=request.caller,
            operation="SendRawEmail",
            limit=self._v2_limit,
            source=line("FromEmailAddress", params.get("FromEmailAddress")),
            destinations=(*to, *cc, *bcc) or None,
            raw=message["Data"],
            return_path=line("FeedbackForwardingEmailAddress", params.get("FeedbackForwardingEmailAddress")),
            options=v2_options(params),
        )
