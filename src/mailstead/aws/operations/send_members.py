"""Members of a send: addresses, texts, headers, files and tags of a call, as the door takes them.

Careful: whatever ends in a header may hold no line break; it would begin a header of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mailstead.aws.operations.services import Params
from mailstead.base.errors import Invalid
from mailstead.outbound.composition import MAX_RECIPIENTS, Options, Simple
from mailstead.proto.mime_part import Attachment
from mailstead.ses import list_management, message_tags
from mailstead.ses.list_management import Managed

TRANSFER_ENCODING = {"BASE64": "base64", "QUOTED_PRINTABLE": "quoted-printable", "SEVEN_BIT": "7bit"}

# Names that are ours to write, or that the other members of the call give (SES: sending §4).
_RESERVED = (
    "from to cc bcc subject reply-to return-path sender message-id date mime-version content-type"
    " content-transfer-encoding content-disposition content-id dkim-signature feedback-id received"
    " authentication-results"
)
RESERVED = frozenset(_RESERVED.split())
RESERVED_BEGINNINGS = ("x-ses-", "resent-")


_BREAK = re.compile(r"[\r\n\0]")


def line(name: str, value: str | None) -> str | None:
    """A value that ends in a header; empty is absent.

    Raises:
        Invalid: it has a line break.
    """
    if value is not None and _BREAK.search(value):
        raise Invalid(f"{name} contains control or whitespace", kind="control")
    return value or None


def lines(name: str, values: Iterable[str] | None) -> tuple[str, ...]:
    """The same for a list; empty ones are absent."""
    return tuple(given for value in values or () if (given := line(name, value)))


def check_count(recipients: Sequence[str]) -> None:
    """Not more than a message may have.

    Raises:
        Invalid: more.
    """
    if len(recipients) > MAX_RECIPIENTS:
        raise Invalid(f"Recipient count exceeds {MAX_RECIPIENTS}.", kind="recipients")


Pairs = tuple[tuple[str, str], ...]
Three = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]


def destination_of(destination: Params) -> Three:
    """To, Cc and Bcc."""
    to = lines("ToAddresses", destination.get("ToAddresses"))
    cc = lines("CcAddresses", destination.get("CcAddresses"))
    bcc = lines("BccAddresses", destination.get("BccAddresses"))
    check_count((*to, *cc, *bcc))
    return to, cc, bcc


Text = tuple[str, str | None]


def _text(content: Params) -> Text:
    """A text and its charset."""
    return content["Data"], content.get("Charset") or None


def simple_of(message: Params) -> Simple:
    """The content of a formatted send; v1 has neither headers nor attachments."""
    line("Subject", message["Subject"]["Data"])
    text, html = message["Body"].get("Text"), message["Body"].get("Html")
    if text is None and html is None:
        raise Invalid("The message body must have a text or an html part.")
    return Simple(
        _text(message["Subject"]),
        text=None if text is None else _text(text),
        html=None if html is None else _text(html),
        headers=headers_of(message.get("Headers")),
        attachments=attachments_of(message.get("Attachments")),
    )


def headers_of(headers: Iterable[Params] | None) -> Pairs:
    """The fields of ``Headers``.

    Raises:
        Invalid: one that is not the caller's to write, or has a line break.
    """
    pairs = []
    for header in headers or ():
        name, value = header["Name"], header["Value"]
        if name.lower() in RESERVED or name.lower().startswith(RESERVED_BEGINNINGS):
            raise Invalid(f"Header {name} cannot be set by the Headers member.", kind="header")
        line(f"Header {name}", value)
        pairs.append((name, value))
    return tuple(pairs)


def attachments_of(given: Iterable[Params] | None) -> tuple[Attachment, ...]:
    """The files of ``Attachments``."""
    return tuple(_attachment(one) for one in given or ())


def _attachment(given: Params) -> Attachment:
    return Attachment(
        filename=line("FileName", given["FileName"]) or "",
        content=given["RawContent"],
        content_type=line("ContentType", given.get("ContentType")),
        disposition=given.get("ContentDisposition", "ATTACHMENT").lower(),
        content_id=line("ContentId", given.get("ContentId")),
        description=line("ContentDescription", given.get("ContentDescription")),
        transfer_encoding=TRANSFER_ENCODING.get(given.get("ContentTransferEncoding", "")),
    )


def tags_of(given: Iterable[Params] | None) -> Pairs:
    """Message tags, checked."""
    return message_tags.check((tag["Name"], tag["Value"]) for tag in given or ())


def v1_options(params: Params) -> Options:
    """What a call of v1 asks for besides its content."""
    return Options(
        configuration_set=line("ConfigurationSetName", params.get("ConfigurationSetName")),
        tags=tags_of(params.get("Tags")),
        source_arn=line("SourceArn", params.get("SourceArn")),
        from_arn=line("FromArn", params.get("FromArn")),
        return_path_arn=line("ReturnPathArn", params.get("ReturnPathArn")),
    )


def v2_options(params: Params) -> Options:
    """What a call of v2 asks for besides its content."""
    sender = line("FromEmailAddressIdentityArn", params.get("FromEmailAddressIdentityArn"))
    feedback = "FeedbackForwardingEmailAddressIdentityArn"
    return Options(
        configuration_set=line("ConfigurationSetName", params.get("ConfigurationSetName")),
        tags=tags_of(params.get("EmailTags")),
        source_arn=sender,
        from_arn=sender,
        return_path_arn=line(feedback, params.get(feedback)),
        list_management=_managed(params.get("ListManagementOptions")),
        tenant=line("TenantName", params.get("TenantName")),
    )


def _managed(given: Params | None) -> Managed | None:
    """The contact list and topic of a send."""
    return list_management.named(given["ContactListName"], given.get("TopicName")) if given else None


def refuse_what_waits(params: Params) -> None:
    """What would seem to work and have no effect yet is refused."""
    tracking = (params.get("ConfigurationOverrides") or {}).get("Tracking") or {}
    if "ENABLED" in tracking.values():
        raise Invalid("Open and click tracking is not offered yet.", kind="not-offered")


def v2_source(params: Params) -> str:
    """The sender of a call of v2 that has no message of its own to say it.

    Raises:
        Invalid: there is none.
    """
    source = line("FromEmailAddress", params.get("FromEmailAddress"))
    if not source:
        raise Invalid("FromEmailAddress must be specified.")
    return source
