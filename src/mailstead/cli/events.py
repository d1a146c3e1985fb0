"""``mailstead events``: what happened to messages, newest last."""

from __future__ import annotations

import json
from typing import Any

import click

from mailstead.base.errors import Invalid
from mailstead.cli.frame import Frame, common, in_json, in_rows, scanned, short
from mailstead.ses import events
from mailstead.ses.events import Event
from mailstead.store.port import Transaction


@click.group("events")
def command() -> None:
    """What happened to messages."""


@command.command("list")
@click.option("--message", metavar="ID", help="Only of this message.")
@click.option("--kind", metavar="TYPE", help="Only of this type: Send, Delivery, Bounce, Complaint, DeliveryDelay…")
@click.option("--account", metavar="ID", help="Only this account's.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, help="The newest so many [50].")
@common
def list_(frame: Frame, message: str | None, kind: str | None, account: str | None, limit: int) -> None:
    """Events, the newest last. --json gives what subscribers would get of each, but for the mail.

    \b
    mailstead events list --kind bounce --limit 10
    """
    wanted = _kind(kind) if kind else None

    async def body(tx: Transaction) -> list[Event]:
        return await events.latest(tx, account=account, message=message, kind=wanted, limit=limit)

    found = scanned(frame.settings(), body)
    if frame.json:
        in_json([_full(event) for event in found])
    else:
        in_rows(frame, [_row(event) for event in found], empty="no events")


def _kind(name: str) -> str:
    plain = name.replace(" ", "").lower()
    for known in events.MEMBER:
        if known.replace(" ", "").lower() == plain:
            return known
    raise Invalid(f"{name!r} is no type of event; known: {', '.join(events.MEMBER)}")


def _full(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "at": events.iso(event.at),
        "kind": event.kind,
        "account": event.account,
        "region": event.region,
        "message": event.message,
        "detail": event.detail,
    }


def _row(event: Event) -> dict[str, Any]:
    return {
        "at": events.iso(event.at),
        "kind": event.kind,
        "account": event.account,
        "message": event.message,
        "detail": summary(event),
    }


def summary(event: Event) -> str:
    """An event's detail in a line: who, and what was said."""
    detail = event.detail
    told = detail.get("bouncedRecipients") or detail.get("delayedRecipients") or detail.get("complainedRecipients")
    who = [one.get("emailAddress", "") for one in told] if told else detail.get("recipients", [])
    said = next(
        (one["diagnosticCode"] for one in told or () if "diagnosticCode" in one),
        detail.get("smtpResponse", detail.get("errorMessage", "")),
    )
    sort = "/".join(
        str(detail[name])
        for name in ("bounceType", "bounceSubType", "delayType", "reason", "contactList", "source")
        if name in detail
    )
    line = " ".join(json.dumps(part, ensure_ascii=False)[1:-1] for part in (sort, ", ".join(who), said) if part)
    return short(line)
