"""Sending: SendEmail and SendRawEmail of v1 and SendEmail of v2, all through one door.

Careful: whatever ends in a header may hold no line break; it would begin a header of its own.
Not done yet: templates, list management, tenants, tracking by message, endpoints of several regions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.base.errors import Invalid
from mailstead.outbound.composition import MAX_RECIPIENTS, Options, Simple
from mailstead.outbound.submission import Submission
from mailstead.proto.mime_part import Attachment
from mailstead.ses import message_tags

HANDLED = frozenset({(SES, "SendEmail"), (SES, "SendRawEmail"), (SESV2, "SendEmail")})

NOT_OFFERED = {
    "TenantName": "Tenants are not offered yet.",
    "EndpointId": "Multi-region endpoints are not offered yet.",
    "ListManagementOptions": "List management is not offered yet.",
}
"""Members of v2 SendEmail that would seem to work and have no effect."""

TRANSFER_ENCODING = {"BASE64": "base64", "QUOTED_PRINTABLE": "quoted-printable", "SEVEN_BIT": "7bit"}

# Names that are ours to write, or that the other members of the call give (SES: sending §4).
_RESERVED = (
    "from to cc bcc subject reply-to return-path sender message-id date mime-version content-type"
    " content-transfer-encoding content-disposition content-id dkim-signature feedback-id received"
)
RESERVED = frozenset(_RESERVED.split())


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
        self._v1_limit = services.v1_message_bytes
        self._v2_limit = services.v2_message_bytes

    async def _send(self, submission: Submission) -> dict[str, Any]:
        return {"MessageId": await self._submit(submission)}

    # v1

    async def send_email(self, request: Request) -> dict[str, Any]:
        params = request.params
        to, cc, bcc = _destination(params["Destination"])
        return await self._send(
            Submission(
                caller=request.caller,
                operation="SendEmail",
                limit=self._v1_limit,
                source=_line("Source", params["Source"]),
                simple=_simple(params["Message"]),
                to=to,
                cc=cc,
                bcc=bcc,
                reply_to=_lines("ReplyToAddresses", params.get("ReplyToAddresses")),
                return_path=_line("ReturnPath", params.get("ReturnPath")),
                options=_v1_options(params),
            )
        )

    async def send_raw_email(self, request: Request) -> dict[str, Any]:
        params = request.params
        destinations = _lines("Destinations", params.get("Destinations"))
        _check_count(destinations)
        return await self._send(
            Submission(
                caller=request.caller,
                operation="SendRawEmail",
                limit=self._v1_limit,
                source=_line("Source", params.get("Source")),
                destinations=destinations or None,
                raw=params["RawMessage"]["Data"],
                options=_v1_options(params),
            )
        )

    # v2

    async def send_email_v2(self, request: Request) -> dict[str, Any]:
        params = request.params
        _refuse_what_waits(params)
        content = params["Content"]
        given = [name for name in ("Simple", "Raw", "Template") if content.get(name) is not None]
        if len(given) != 1:
            raise Invalid("Content must have exactly one of Simple, Raw and Template.")
        if given == ["Template"]:
            raise Invalid("Templates are not offered yet.", kind="not-offered")
        return await self._send(
            self._v2_simple(request, content["Simple"])
            if given == ["Simple"]
            else self._v2_raw(request, content["Raw"])
        )

    def _v2_simple(self, request: Request, message: Params) -> Submission:
        params = request.params
        source = _line("FromEmailAddress", params.get("FromEmailAddress"))
        if not source:
            raise Invalid("FromEmailAddress must be specified.")
        to, cc, bcc = _destination(params.get("Destination") or {})
        return Submission(
            caller=request.caller,
            operation="SendEmail",
            limit=self._v2_limit,
            source=source,
            simple=_simple(message),
            to=to,
            cc=cc,
            bcc=bcc,
            reply_to=_lines("ReplyToAddresses", params.get("ReplyToAddresses")),
            return_path=_line("FeedbackForwardingEmailAddress", params.get("FeedbackForwardingEmailAddress")),
            options=_v2_options(params),
        )

    def _v2_raw(self, request: Request, message: Params) -> Submission:
        params = request.params
        to, cc, bcc = _destination(params.get("Destination") or {})
        return Submission(
            caller=request.caller,
            operation="SendRawEmail",
            limit=self._v2_limit,
            source=_line("FromEmailAddress", params.get("FromEmailAddress")),
            destinations=(*to, *cc, *bcc) or None,
            raw=message["Data"],
            return_path=_line("FeedbackForwardingEmailAddress", params.get("FeedbackForwardingEmailAddress")),
            options=_v2_options(params),
        )


_BREAK = re.compile(r"[\r\n\0]")


def _line(name: str, value: str | None) -> str | None:
    """A value that ends in a header; empty is absent.

    Raises:
        Invalid: it has a line break.
    """
    if value is not None and _BREAK.search(value):
        raise Invalid(f"{name} contains control or whitespace", kind="control")
    return value or None


def _lines(name: str, values: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(line for value in values or () if (line := _line(name, value)))


def _check_count(recipients: Sequence[str]) -> None:
    if len(recipients) > MAX_RECIPIENTS:
        raise Invalid(f"Recipient count exceeds {MAX_RECIPIENTS}.", kind="recipients")


Three = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def _destination(destination: Params) -> Three:
    to = _lines("ToAddresses", destination.get("ToAddresses"))
    cc = _lines("CcAddresses", destination.get("CcAddresses"))
    bcc = _lines("BccAddresses", destination.get("BccAddresses"))
    _check_count((*to, *cc, *bcc))
    return to, cc, bcc


Text = tuple[str, str | None]


def _text(content: Params) -> Text:
    """A text and its charset."""
    return content["Data"], content.get("Charset") or None


def _simple(message: Params) -> Simple:
    """The content of a formatted send; v1 has neither headers nor attachments."""
    _line("Subject", message["Subject"]["Data"])
    text, html = message["Body"].get("Text"), message["Body"].get("Html")
    if text is None and html is None:
        raise Invalid("The message body must have a text or an html part.")
    return Simple(
        _text(message["Subject"]),
        text=None if text is None else _text(text),
        html=None if html is None else _text(html),
        headers=_headers(message.get("Headers") or ()),
        attachments=tuple(_attachment(one) for one in message.get("Attachments") or ()),
    )


def _headers(headers: Iterable[Params]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for header in headers:
        name, value = header["Name"], header["Value"]
        if name.lower() in RESERVED or name.lower().startswith("x-ses-"):
            raise Invalid(f"Header {name} cannot be set by the Headers member.", kind="header")
        _line(f"Header {name}", value)
        pairs.append((name, value))
    return tuple(pairs)


def _attachment(given: Params) -> Attachment:
    return Attachment(
        filename=_line("FileName", given["FileName"]) or "",
        content=given["RawContent"],
        content_type=_line("ContentType", given.get("ContentType")),
        disposition=given.get("ContentDisposition", "ATTACHMENT").lower(),
        content_id=_line("ContentId", given.get("ContentId")),
        description=_line("ContentDescription", given.get("ContentDescription")),
        transfer_encoding=TRANSFER_ENCODING.get(given.get("ContentTransferEncoding", "")),
    )


def _tags(given: Iterable[Params] | None) -> tuple[tuple[str, str], ...]:
    return message_tags.check((tag["Name"], tag["Value"]) for tag in given or ())


def _v1_options(params: Params) -> Options:
    return Options(
        configuration_set=_line("ConfigurationSetName", params.get("ConfigurationSetName")),
        tags=_tags(params.get("Tags")),
        source_arn=_line("SourceArn", params.get("SourceArn")),
        from_arn=_line("FromArn", params.get("FromArn")),
        return_path_arn=_line("ReturnPathArn", params.get("ReturnPathArn")),
    )


def _v2_options(params: Params) -> Options:
    sender = _line("FromEmailAddressIdentityArn", params.get("FromEmailAddressIdentityArn"))
    feedback = "FeedbackForwardingEmailAddressIdentityArn"
    return Options(
        configuration_set=_line("ConfigurationSetName", params.get("ConfigurationSetName")),
        tags=_tags(params.get("EmailTags")),
        source_arn=sender,
        from_arn=sender,
        return_path_arn=_line(feedback, params.get(feedback)),
    )


def _refuse_what_waits(params: Params) -> None:
    for name, text in NOT_OFFERED.items():
        if params.get(name):
            raise Invalid(text, kind="not-offered")
    tracking = (params.get("ConfigurationOverrides") or {}).get("Tracking") or {}
    if "ENABLED" in tracking.values():
        raise Invalid("Open and click tracking is not offered yet.", kind="not-offered")
