"""DSN: the report that mail was not delivered, or is late (RFC 3464, RFC 6522, RFC 6533; SES: smtp §8).

Careful: reply texts and addresses in here come from strangers: nothing of them can end a line.  The report is ASCII
but for an original of 8 bits; addresses beyond ASCII are written as RFC 6533 §3 does for such reports.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailstead.base.errors import Invalid
from mailstead.proto.addresses import format_mailbox
from mailstead.proto.message import MalformedMessage, Message
from mailstead.proto.mime_part import boundary, fold, is_7bit

MAX_DIAGNOSTIC = 900
MAX_HEADERS = 64 * 1024

_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_TITLES = {"failed": "Failure", "delayed": "Delay"}
_SENTENCES = {
    "failed": "Your message could not be delivered to",
    "delayed": "Your message is not delivered yet; we keep trying to deliver it to",
    "delivered": "Your message was delivered to",
    "relayed": "Your message was handed on, and no further report will come, for",
    "expanded": "Your message was delivered and sent on by",
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """What became of the message for one recipient.  Dates are texts (RFC 5322 §3.3)."""

    address: str
    status: str
    """Enhanced code: ``5.1.1``."""
    action: str = "failed"
    """``failed``, ``delayed``, ``delivered``, ``relayed``, ``expanded`` (RFC 3464 §2.3.3)."""
    diagnostic: str = ""
    """The reply, with or without its type: ``smtp; 550 5.1.1 user unknown``; several lines are joined."""
    remote_mta: str = ""
    original_recipient: str = ""
    last_attempt: str = ""
    retry_until: str = ""


def clean(text: str) -> str:
    """Text of a stranger as printable ASCII on one line, cut at 900 characters."""
    one_line = _CONTROLS.sub(" ", text[: 4 * MAX_DIAGNOSTIC]).strip()
    return one_line.encode("ascii", "replace").decode()[:MAX_DIAGNOSTIC]


def typed_address(address: str) -> str:
    """``rfc822; a@b``, or ``utf-8; …`` with what is not ASCII as ``\\x{D55C}`` (RFC 6533 §3)."""
    one_line = _CONTROLS.sub(" ", address[:MAX_DIAGNOSTIC]).strip()
    if one_line.isascii():
        return f"rfc822; {one_line}"
    written = "".join(c if c.isascii() and c not in "\\+= " else f"\\x{{{ord(c):X}}}" for c in one_line)
    return f"utf-8; {written[:MAX_DIAGNOSTIC]}"


def write(
    *,
    recipients: Sequence[Recipient],
    sender: str,
    to: str,
    reporting_mta: str,
    message_id: str,
    date: str,
    original: bytes,
    arrival_date: str = "",
    subject: str = "",
    envelope_id: str = "",
    original_limit: int = 1 << 20,
) -> bytes:
    """The report as a message with CRLF, to be sent with the null reverse-path (RFC 3464 §2).

    Args:
        recipients: one or more.
        sender: ``MAILER-DAEMON@…``.
        to: the reverse-path of the message.
        reporting_mta: our host name.
        message_id: for the report, without angle brackets.
        date: when it is written (RFC 5322 §3.3).
        original: the message that is reported on.
        arrival_date: when that came.
        subject: by default SES's, ``Delivery Status Notification (Failure)``.
        envelope_id: ``ENVID`` of the sender (RFC 3461 §4.4).
        original_limit: octets up to which the original comes back whole; else its header only.
    """
    parts = [
        _explanation(recipients),
        _status_part(recipients, reporting_mta, arrival_date, envelope_id),
        _original_part(original, original_limit),
    ]
    mark = boundary(message_id, 0, parts)
    pieces = [_head(subject or _title(recipients), sender, to, message_id, date).encode(), _type(mark)]
    for part in parts:
        pieces += [b"--", mark.encode(), b"\r\n", part, b"\r\n"]
    pieces += [b"--", mark.encode(), b"--\r\n"]
    return b"".join(pieces)


def _title(recipients: Sequence[Recipient]) -> str:
    title = next((_TITLES[report.action] for report in recipients if report.action in _TITLES), "Success")
    return f"Delivery Status Notification ({title})"


def _head(subject: str, sender: str, to: str, message_id: str, date: str) -> str:
    return "".join(
        [
            fold("From", clean(sender)),
            fold("To", _mailbox(to)),
            fold("Subject", clean(subject)),
            fold("Date", clean(date)),
            fold("Message-ID", f"<{clean(message_id)}>"),
            "Auto-Submitted: auto-replied\r\n",  # RFC 3834 §5
        ]
    )


def _type(mark: str) -> bytes:
    kind = "multipart/report; report-type=delivery-status"
    return f'MIME-Version: 1.0\r\nContent-Type: {kind};\r\n boundary="{mark}"\r\n\r\n'.encode()


def _mailbox(address: str) -> str:
    try:
        return format_mailbox("", address)
    except Invalid:
        return _CONTROLS.sub(" ", address[:MAX_DIAGNOSTIC]).strip()


def _explanation(recipients: Sequence[Recipient]) -> bytes:
    lines = ["Content-Type: text/plain; charset=UTF-8", "Content-Transfer-Encoding: 7bit", ""]
    for report in recipients:
        lines.append(f"{_SENTENCES.get(report.action, 'This is a report about')}:")
        lines.append(f"    {clean(report.address)}")
        if report.remote_mta:
            lines.append(f"    Server: {clean(report.remote_mta)}")
        if report.diagnostic:
            lines.append(f"    Reason: {clean(report.diagnostic)}")
        if report.retry_until:
            lines.append(f"    We give up at: {clean(report.retry_until)}")
        lines.append("")
    return "\r\n".join(lines).encode()


def _status_part(recipients: Sequence[Recipient], reporting_mta: str, arrival_date: str, envelope_id: str) -> bytes:
    fields = ["Content-Type: message/delivery-status\r\n\r\n"]
    if envelope_id:
        fields.append(fold("Original-Envelope-Id", clean(envelope_id)))
    fields.append(fold("Reporting-MTA", f"dns; {clean(reporting_mta)}"))
    if arrival_date:
        fields.append(fold("Arrival-Date", clean(arrival_date)))
    for report in recipients:
        fields.append("\r\n")
        fields += _recipient_fields(report)
    return "".join(fields).encode()


def _recipient_fields(report: Recipient) -> list[str]:
    """RFC 3464 §2.3, in the order SES writes them."""
    fields: list[str] = []
    if report.original_recipient:
        fields.append(fold("Original-Recipient", typed_address(report.original_recipient)))
    fields.append(fold("Action", report.action if report.action in _SENTENCES else "failed"))
    fields.append(fold("Final-Recipient", typed_address(report.address)))
    if report.diagnostic:
        fields.append(fold("Diagnostic-Code", _diagnostic(report.diagnostic)))
    fields.append(fold("Status", _status(report)))
    if report.remote_mta:
        fields.append(fold("Remote-MTA", f"dns; {clean(report.remote_mta)}"))
    if report.last_attempt:
        fields.append(fold("Last-Attempt-Date", clean(report.last_attempt)))
    if report.retry_until:
        fields.append(fold("Will-Retry-Until", clean(report.retry_until)))
    return fields


def _diagnostic(text: str) -> str:
    cleaned = clean(text)
    return cleaned if cleaned.startswith(("smtp;", "x-")) else f"smtp; {cleaned}"


def _status(report: Recipient) -> str:
    if _STATUS.fullmatch(report.status):
        return report.status
    return {"failed": "5.0.0", "delayed": "4.0.0"}.get(report.action, "2.0.0")


def _original_part(original: bytes, limit: int) -> bytes:
    if len(original) <= limit:
        kind, content = "message/rfc822", original
    else:
        kind, content = "text/rfc822-headers", _header_of(original)  # RFC 6522 §4
    # Careful: no other encoding than 7bit or 8bit may stand on a message (RFC 2046 §5.2.1).
    encoding = "7bit" if is_7bit(content) else "8bit"
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + content


def _header_of(original: bytes) -> bytes:
    try:
        end = Message.parse(original).header_end
    except MalformedMessage:
        end = MAX_HEADERS
    if end <= MAX_HEADERS:
        return original[:end]
    return original[: original.rfind(b"\n", 0, MAX_HEADERS) + 1]
