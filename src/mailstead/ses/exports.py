"""Exports: what became of an account's mail, a row a recipient, chosen by filters (SES v2: MessageInsightsDataSource).

Filters are joined by AND, the values of one by OR; letters count as they are written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mailstead.base.address import bare
from mailstead.base.errors import Invalid
from mailstead.base.ids import message_range, message_time
from mailstead.proto.addresses import parse_one
from mailstead.ses import events
from mailstead.ses.isps import isp_of
from mailstead.store.port import Row, Transaction

PAGE = 200
"""Messages looked at at a time."""
DEFAULT_RESULTS = 1000
MAX_RESULTS = 10_000

COLUMNS = (
    "MessageId",
    "SendTimestamp",
    "FromEmailAddress",
    "Destination",
    "Subject",
    "Isp",
    "TenantName",
    "LastDeliveryEvent",
    "LastEngagementEvent",
)
"""Members of a row of the file. (unverified)"""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a message for one of its recipients."""

    message: str
    sent: int
    sender: str
    recipient: str
    subject: str
    tenant: str
    """The name of the tenant it was sent through, if that is still there; empty: none."""
    delivery: str
    """The last event of its delivery: SEND, then a bounce, DELIVERY, COMPLAINT."""
    engagement: str
    """OPEN, CLICK, or empty."""

    @property
    def isp(self) -> str:
        """Whose mailbox it is."""
        return isp_of(self.recipient)

    def row(self) -> tuple[str, ...]:
        """As it stands in the file: one value for each of ``COLUMNS``."""
        return (
            self.message,
            events.iso(self.sent),
            self.sender,
            self.recipient,
            self.subject,
            self.isp,
            self.tenant,
            self.delivery,
            self.engagement,
        )


# -- filters -----------------------------------------------------------------------------------------------------------

Test = Callable[[Fate], bool]


def pattern(text: str) -> Callable[[str], bool]:
    """A filter's value: exact, or with ``*`` at its beginning, its end or both; ``\\`` makes the next sign plain."""
    starts = text.startswith("*")
    body, ends = _unescaped(text[1:] if starts else text)
    if starts and ends:
        return lambda value: body in value
    if starts:
        return lambda value: value.endswith(body)
    if ends:
        return lambda value: value.startswith(body)
    return lambda value: value == body


def _unescaped(text: str) -> tuple[str, bool]:
    """The text that is meant, and whether an asterisk that means anything stood at its end."""
    meant: list[str] = []
    signs = iter(text)
    star = False
    for sign in signs:
        star = sign == "*"
        meant.append(next(signs, "\\") if sign == "\\" else sign)
    return ("".join(meant[:-1]), True) if star else ("".join(meant), False)


def _matching(value: Callable[[Fate], str], wanted: Sequence[str]) -> Test:
    patterns = [pattern(text) for text in wanted]
    return lambda fate: any(match(value(fate)) for match in patterns)


def _one_of(value: Callable[[Fate], str], wanted: Sequence[str]) -> Test:
    known = frozenset(wanted)
    return lambda fate: value(fate) in known


_FILTERS: dict[str, Callable[[Sequence[str]], Test]] = {
    "FromEmailAddress": lambda wanted: _matching(lambda fate: fate.sender, wanted),
    "Destination": lambda wanted: _matching(lambda fate: fate.recipient, wanted),
    "Subject": lambda wanted: _matching(lambda fate: fate.subject, wanted),
    "Isp": lambda wanted: _one_of(lambda fate: fate.isp, wanted),
    "TenantName": lambda wanted: _one_of(lambda fate: fate.tenant, wanted),
    "LastDeliveryEvent": lambda wanted: _one_of(lambda fate: fate.delivery, wanted),
    "LastEngagementEvent": lambda wanted: _one_of(lambda fate: fate.engagement, wanted),
}


def _all_of(filters: Mapping[str, Sequence[str]]) -> Test | None:
    tests = [_FILTERS[name](wanted) for name, wanted in filters.items() if wanted]
    return (lambda fate: all(test(fate) for test in tests)) if tests else None


def chosen(include: Mapping[str, Sequence[str]], exclude: Mapping[str, Sequence[str]]) -> Test:
    """Which rows an export has: those that ``include`` takes, if it says anything, but for those of ``exclude``."""
    wanted, unwanted = _all_of(include), _all_of(exclude)
    return lambda fate: (wanted is None or wanted(fate)) and not (unwanted is not None and unwanted(fate))


# -- what became of mail -----------------------------------------------------------------------------------------------


async def page(
    tx: Transaction, account: str, region: str, *, start: int, end: int, before: str = "", limit: int = PAGE
) -> tuple[list[Fate], str]:
    """What became of messages sent from ``start`` to ``end``, the newest first, those older than the id ``before``.

    Returns:
        Rows, a recipient each, and the id to go on ``before``; empty: there are no more.
    """
    low, high = message_range(region, start, end)
    messages = await tx.rows(
        "SELECT m.id, m.mail_json, coalesce(t.name, '') FROM messages m LEFT JOIN tenants t"
        " ON t.account = m.account AND t.region = m.region AND t.id = m.tenant AND m.tenant <> ''"
        " WHERE m.account = $1 AND m.region = $2 AND m.id >= $3 AND m.id < $4 AND m.origin = 'submission'"
        " ORDER BY m.id DESC LIMIT $5",
        account,
        region,
        low,
        before or high,
        limit,
    )
    if not messages:
        return [], ""
    told = await _told(tx, [row[0] for row in messages])
    fates = [fate for row in messages for fate in _fates(row, told.get(row[0], []))]
    return fates, messages[-1][0] if len(messages) == limit else ""


async def _told(tx: Transaction, messages: Sequence[str]) -> dict[str, list[tuple[str, events.Detail]]]:
    """What events tell of these messages, in the order they were written."""
    places = ", ".join(f"${n}" for n in range(1, len(messages) + 1))
    rows = await tx.rows(
        f"SELECT message, kind, detail_json FROM events WHERE message IN ({places}) ORDER BY id", *messages
    )
    told: dict[str, list[tuple[str, events.Detail]]] = defaultdict(list)
    for message, kind, detail in rows:
        told[message].append((kind, msgspec.json.decode(detail)))
    return told


def _fates(row: Row, told: Iterable[tuple[str, events.Detail]]) -> list[Fate]:
    message, mail, tenant = row[0], msgspec.json.decode(row[1]), row[2]
    recipients = list(dict.fromkeys(_address(text) for text in mail["destination"]))
    deliveries, engagements = dict.fromkeys(recipients, "SEND"), dict.fromkeys(recipients, "")
    for kind, detail in told:
        for recipient in _recipients(kind, detail, recipients):
            _raise(deliveries, recipient, _delivery(kind, detail))
            _raise(engagements, recipient, _ENGAGEMENT.get(kind, ""))
    sender, subject = _address(mail["source"]), mail["commonHeaders"].get("subject", "")
    return [
        Fate(
            message,
            message_time(message),
            sender,
            recipient,
            subject,
            tenant,
            deliveries[recipient],
            engagements[recipient],
        )
        for recipient in recipients
    ]


def _address(text: str) -> str:
    """The bare address of a mailbox as it was given."""
    try:
        return bare(parse_one(text).address)
    except Invalid:
        return text  # what an older Mailstead let through is shown as it is


def _recipients(kind: str, detail: events.Detail, recipients: list[str]) -> list[str]:
    """Whom an event is about."""
    if kind == events.DELIVERY:
        return list(detail["recipients"])
    if kind in _NAMING:
        return [failed["emailAddress"] for failed in detail[_NAMING[kind]]]
    return recipients


_NAMING = {events.BOUNCE: "bouncedRecipients", events.COMPLAINT: "complainedRecipients"}
_ENGAGEMENT = {events.OPEN: "OPEN", events.CLICK: "CLICK"}
_DELIVERY = {events.DELIVERY: "DELIVERY", events.COMPLAINT: "COMPLAINT"}


def _delivery(kind: str, detail: events.Detail) -> str:
    """The delivery event of the filters that an event is; empty: none."""
    if kind == events.BOUNCE:
        return f"{detail['bounceType'].upper()}_BOUNCE"
    return _DELIVERY.get(kind, "")


_ORDER = ("", "SEND", "_BOUNCE", "DELIVERY", "COMPLAINT", "OPEN", "CLICK")
"""What comes after what, whenever it was written."""


def _raise(last: dict[str, str], recipient: str, event: str) -> None:
    """Keep the later of two events of a recipient; of two bounces, the one that was written later."""
    if event and recipient in last and _rank(event) >= _rank(last[recipient]):
        last[recipient] = event


def _rank(event: str) -> int:
    return _ORDER.index("_BOUNCE" if event.endswith("_BOUNCE") else event)
