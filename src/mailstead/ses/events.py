"""Events: what happened to a message, as rows of the outbox and in SES's words (SES: events §1 to §3).

A row holds the object of its type (``bounce``, ``delivery``…) as it stands in the event document; ``document`` joins it
with what the message's row tells of the mail.  Times are ``2016-10-14T05:02:16.645Z``.

Two members of a stored detail are ours and never in that object: ``tags`` are added to the mail's auto-tags (the
address mail left from is known only then), ``unrendered`` stands in a Send from before its template was filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from mailstead.base.ids import sortable
from mailstead.store.port import Transaction

SEND = "Send"
DELIVERY = "Delivery"
BOUNCE = "Bounce"
COMPLAINT = "Complaint"
REJECT = "Reject"
DELIVERY_DELAY = "DeliveryDelay"
OPEN = "Open"
CLICK = "Click"
RENDERING_FAILURE = "Rendering Failure"
SUBSCRIPTION = "Subscription"

MEMBER = {
    SEND: "send",
    DELIVERY: "delivery",
    BOUNCE: "bounce",
    COMPLAINT: "complaint",
    REJECT: "reject",
    DELIVERY_DELAY: "deliveryDelay",
    OPEN: "open",
    CLICK: "click",
    RENDERING_FAILURE: "failure",
    SUBSCRIPTION: "subscription",
}
"""Event type: the member of the document that holds its object. The keys are the whole vocabulary."""

TYPE_FIRST = frozenset({BOUNCE, COMPLAINT})
"""Types whose object stands before ``mail``."""

Detail = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One fact. ``id`` sorts by the time it was written."""

    id: str
    account: str
    region: str
    message: str
    kind: str
    at: int
    recipients: int
    """How many recipients it is about (what statistics count)."""
    detail: Detail


@dataclass(frozen=True, slots=True)
class Failed:
    """A recipient of a Bounce or a DeliveryDelay. What is empty is left out."""

    address: str
    action: str = ""
    """``failed`` or ``delayed``."""
    status: str = ""
    """``5.1.1``."""
    diagnostic: str = ""
    """``smtp; 550 5.1.1 user unknown``."""


def iso(at: int) -> str:
    """``2016-10-14T05:02:16.645Z``."""
    return f"{_second(at // 1000)}.{at % 1000:03d}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _present(pairs: Mapping[str, Any]) -> Detail:
    return {name: value for name, value in pairs.items() if value not in ("", None)}


def _failed(recipient: Failed, *, action: bool) -> Detail:
    return _present(
        {
            "emailAddress": recipient.address,
            "action": recipient.action if action else "",
            "status": recipient.status,
            "diagnosticCode": recipient.diagnostic,
        }
    )


def outgoing_tags(*, ip: str = "", tls: str = "") -> dict[str, list[str]]:
    """The auto-tags that are known from the first attempt on: address we sent from, TLS version we sent with."""
    return {name: [value] for name, value in (("ses:outgoing-ip", ip), ("ses:outgoing-tls-version", tls)) if value}


def _tagged(detail: Detail, tags: Mapping[str, Sequence[str]] | None) -> Detail:
    return {**detail, "tags": dict(tags)} if tags else detail


def send(*, rendered: bool = True) -> Detail:
    """The object of Send: empty.  ``rendered``: false for templated mail, whose subject is not known yet."""
    return {} if rendered else {"unrendered": True}


def rendering_failure(template: str, error: str) -> Detail:
    """The object of Rendering Failure: the stored template (empty: it came with the send) and what is wrong."""
    return _present({"errorMessage": error, "templateName": template})


def bounce(
    *,
    feedback_id: str,
    bounce_type: str,
    sub_type: str,
    recipients: Iterable[Failed],
    at: int,
    reporting_mta: str = "",
    remote_ip: str = "",
    tags: Mapping[str, Sequence[str]] | None = None,
) -> Detail:
    """The object of Bounce.

    Args:
        bounce_type: ``Permanent``, ``Transient`` or ``Undetermined``.
        sub_type: SES: sending §9.
        reporting_mta: ``dns; HOST``; only with a report.
    """
    detail = {
        "feedbackId": feedback_id,
        "bounceType": bounce_type,
        "bounceSubType": sub_type,
        "bouncedRecipients": [_failed(recipient, action=True) for recipient in recipients],
        "timestamp": iso(at),
        "remoteMtaIp": remote_ip,
        "reportingMTA": reporting_mta,
    }
    return _tagged(_present(detail), tags)


def complaint(
    *,
    feedback_id: str,
    recipients: Iterable[str],
    at: int,
    sub_type: str | None = None,
    user_agent: str = "",
    feedback_type: str = "",
    arrived: int | None = None,
) -> Detail:
    """The object of Complaint; ``complaintSubType`` is always there, null as a rule."""
    return {
        "feedbackId": feedback_id,
        "complaintSubType": sub_type,
        "complainedRecipients": [{"emailAddress": address} for address in recipients],
        "timestamp": iso(at),
    } | _present(
        {
            "userAgent": user_agent,
            "complaintFeedbackType": feedback_type,
            "arrivalDate": "" if arrived is None else iso(arrived),
        }
    )


def delivery(
    *,
    at: int,
    accepted: int,
    recipients: Iterable[str],
    reply: str,
    reporting_mta: str,
    remote_ip: str = "",
    tags: Mapping[str, Sequence[str]] | None = None,
) -> Detail:
    """The object of Delivery.

    Args:
        accepted: when we took the message; ``processingTimeMillis`` counts from there.
        recipients: bare addresses.
        reply: the remote server's last reply, on one line.
        reporting_mta: our host, bare.
    """
    detail = {
        "timestamp": iso(at),
        "processingTimeMillis": max(0, at - accepted),
        "recipients": list(recipients),
        "smtpResponse": reply,
        "remoteMtaIp": remote_ip,
        "reportingMTA": reporting_mta,
    }
    return _tagged(_present(detail), tags)


def delivery_delay(
    *, delay_type: str, recipients: Iterable[Failed], at: int, expires: int, reporting_mta: str = ""
) -> Detail:
    """The object of DeliveryDelay. ``delay_type``: SES: events §2; ``expires``: when we give up."""
    return _present(
        {
            "timestamp": iso(at),
            "delayType": delay_type,
            "expirationTime": iso(expires),
            "delayedRecipients": [_failed(recipient, action=False) for recipient in recipients],
            "reportingMTA": reporting_mta,
        }
    )


def reject(reason: str = "Bad content") -> Detail:
    """The object of Reject."""
    return {"reason": reason}


def subscription(*, contact_list: str, at: int, source: str, new: Detail, old: Detail) -> Detail:
    """The object of Subscription. ``new``, ``old``: preferences after and before (``ses/subscriptions.py``)."""
    return {
        "contactList": contact_list,
        "timestamp": iso(at),
        "source": source,
        "newTopicPreferences": new,
        "oldTopicPreferences": old,
    }


_INSERT = (
    "INSERT INTO events (id, account, region, message, kind, at, recipients, detail_json)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
)


async def emit(
    tx: Transaction,
    *,
    account: str,
    region: str,
    message: str,
    kind: str,
    at: int,
    detail: Detail,
    recipients: int = 1,
) -> str:
    """Write one fact; its id.

    Args:
        kind: a key of ``MEMBER``.
        at: when it happened; the row's id carries the time of the transaction.
        recipients: how many recipients it is about; 0 keeps it out of the statistics (simulator).
    """
    assert kind in MEMBER, kind
    event = sortable(tx.now())
    text = msgspec.json.encode(detail).decode()
    await tx.run(_INSERT, event, account, region, message, kind, at, recipients, text)
    return event


async def list_events(
    tx: Transaction,
    account: str,
    region: str,
    *,
    after: str = "",
    limit: int = 100,
    message: str | None = None,
    kind: str | None = None,
) -> list[Event]:
    """Events of an account in a region, in the order they were written, those behind the id ``after``."""
    where, args = ["account = $1", "region = $2", "id > $3"], [account, region, after]
    for column, wanted in (("message", message), ("kind", kind)):
        if wanted is not None:
            args.append(wanted)
            where.append(f"{column} = ${len(args)}")
    sql = "SELECT id, account, region, message, kind, at, recipients, detail_json FROM events WHERE "
    rows = await tx.rows(f"{sql}{' AND '.join(where)} ORDER BY id LIMIT ${len(args) + 1}", *args, limit)
    return [Event(*[*row[:-1], msgspec.json.decode(row[-1])]) for row in rows]


async def of_message(tx: Transaction, message: str, *, limit: int) -> list[Event]:
    """The events of a message, in the order they were written."""
    sql = "SELECT id, account, region, message, kind, at, recipients, detail_json FROM events WHERE message = $1"
    rows = await tx.rows(f"{sql} ORDER BY id LIMIT $2", message, limit)
    return [Event(*[*row[:-1], msgspec.json.decode(row[-1])]) for row in rows]


async def latest(
    tx: Transaction,
    *,
    account: str | None = None,
    message: str | None = None,
    kind: str | None = None,
    limit: int = 50,
) -> list[Event]:
    """The newest events of any account, oldest first (what operators look at)."""
    where, args = ["id <> $1"], [""]
    for column, wanted in (("account", account), ("message", message), ("kind", kind)):
        if wanted is not None:
            args.append(wanted)
            where.append(f"{column} = ${len(args)}")
    sql = "SELECT id, account, region, message, kind, at, recipients, detail_json FROM events WHERE "
    rows = await tx.rows(f"{sql}{' AND '.join(where)} ORDER BY id DESC LIMIT ${len(args) + 1}", *args, limit)
    return [Event(*[*row[:-1], msgspec.json.decode(row[-1])]) for row in reversed(rows)]


def document(event: Event, mail: Mapping[str, Any]) -> Detail:
    """The event document that subscribers get (SES: events §3.1).

    Args:
        mail: what the message's ``mail_json`` holds; ``sourceIp`` and ``callerIdentity``, which belong to feedback
            notifications only, are left out.
    """
    body = {name: value for name, value in event.detail.items() if name not in ("tags", "unrendered")}
    described = {name: value for name, value in mail.items() if name not in _hidden(event)}
    if "unrendered" in event.detail:
        described |= _unrendered(mail)
    if "tags" in event.detail:
        described["tags"] = {**mail.get("tags", {}), **event.detail["tags"]}
    member = MEMBER[event.kind]
    if event.kind in TYPE_FIRST:
        return {"eventType": event.kind, member: body, "mail": described}
    return {"eventType": event.kind, "mail": described, member: body}


_FEEDBACK_ONLY = ("sourceIp", "callerIdentity")
_ADDRESSED = frozenset({"from", "to", "cc", "reply-to", "mime-version"})


def _hidden(event: Event) -> tuple[str, ...]:
    """Members of ``mail`` that this event does not tell (SES: events §1, §3.3)."""
    if event.kind == RENDERING_FAILURE:
        return (*_FEEDBACK_ONLY, "headersTruncated", "headers", "commonHeaders")
    return (*_FEEDBACK_ONLY, "sourceArn") if "unrendered" in event.detail else _FEEDBACK_ONLY


def _unrendered(mail: Mapping[str, Any]) -> Detail:
    """The header of templated mail before its template was filled: those it is from and to (SES: events §3.3)."""
    headers = [header for header in mail.get("headers", ()) if header["name"].lower() in _ADDRESSED]
    common = {name: value for name, value in mail.get("commonHeaders", {}).items() if name != "subject"}
    return {"headers": headers, "commonHeaders": common}
