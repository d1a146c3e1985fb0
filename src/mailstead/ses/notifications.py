"""Feedback notifications: which topic is told of bounces, complaints and deliveries of an identity (SES: events, top).

Not done: publishing to the topics, and the message SES sends to one when it is set (events §3.3): with "Sending well".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailstead.base.errors import Invalid
from mailstead.store.port import Transaction

KINDS = {"Bounce": "bounce", "Complaint": "complaint", "Delivery": "delivery"}
"""What SES calls them, and how their columns begin."""

_TOPIC = re.compile(r"arn:aws:sns:([a-z0-9-]{1,40}):\d{12}:[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True, slots=True)
class Notifications:
    """Topics by their ARNs, empty for none; and whether the message's headers are told too."""

    bounce_topic: str = ""
    complaint_topic: str = ""
    delivery_topic: str = ""
    bounce_headers: bool = False
    complaint_headers: bool = False
    delivery_headers: bool = False


NONE = Notifications()


def column(kind: str) -> str:
    """How the columns of ``Bounce``, ``Complaint`` or ``Delivery`` begin.

    Raises:
        Invalid: it is none of them.
    """
    if kind not in KINDS:
        valid = ", ".join(KINDS)
        raise Invalid(f"Invalid notification type: {kind[:256]}. Valid values are: {valid}.", kind="notification")
    return KINDS[kind]


async def of(tx: Transaction, account: str, region: str, name: str) -> Notifications:
    """Those of an identity."""
    row = await tx.row(
        "SELECT bounce_topic, complaint_topic, delivery_topic, bounce_headers, complaint_headers, delivery_headers"
        " FROM identity_notifications WHERE account = $1 AND region = $2 AND name = $3",
        account,
        region,
        name,
    )
    return Notifications(row[0], row[1], row[2], bool(row[3]), bool(row[4]), bool(row[5])) if row else NONE


async def set_topic(tx: Transaction, account: str, region: str, name: str, *, kind: str, topic: str) -> None:
    """Tell this topic, or nobody if it is empty.

    Raises:
        Invalid: there is no such kind, or that is no topic of this region.
    """
    match = _TOPIC.fullmatch(topic)
    if topic and (match is None or match[1] != region):
        raise Invalid(f"Invalid SNS topic <{topic[:256]}>.", kind="notification")
    await _set(tx, account, region, name, place=f"{column(kind)}_topic", value=topic)


async def set_headers(tx: Transaction, account: str, region: str, name: str, *, kind: str, enabled: bool) -> None:
    """Tell the message's headers too, or not.

    Raises:
        Invalid: there is no such kind.
    """
    await _set(tx, account, region, name, place=f"{column(kind)}_headers", value=int(enabled))


async def _set(tx: Transaction, account: str, region: str, name: str, *, place: str, value: str | int) -> None:
    await tx.run(
        f"INSERT INTO identity_notifications (account, region, name, {place}) VALUES ($1, $2, $3, $4)"
        f" ON CONFLICT (account, region, name) DO UPDATE SET {place} = excluded.{place}",
        account,
        region,
        name,
        value,
    )


async def by_mail(tx: Transaction, account: str, region: str, name: str, configuration_set: str) -> bool:
    """Are bounces of this identity's mail told by mail?

    They are if forwarding is switched off, too, as long as nobody else is told of them: neither a topic nor an event
    destination of the mail's configuration set (SES: PutEmailIdentityFeedbackAttributes).
    """
    place = (account, region, name)
    sql = "SELECT feedback_forwarding FROM identities WHERE account = $1 AND region = $2 AND name = $3"
    if await tx.value(sql, *place) != 0:  # an identity that is gone can have no other way either
        return True
    if (await of(tx, *place)).bounce_topic:
        return False
    rows = await tx.rows(
        "SELECT types_json FROM event_destinations"
        " WHERE account = $1 AND region = $2 AND configuration_set = $3 AND enabled = 1",
        account,
        region,
        configuration_set,
    )
    return not any('"BOUNCE"' in str(types) for (types,) in rows)


async def forget(tx: Transaction, account: str, region: str, name: str) -> None:
    """The identity goes."""
    sql = "DELETE FROM identity_notifications WHERE account = $1 AND region = $2 AND name = $3"
    await tx.run(sql, account, region, name)
