"""Insights: what became of one message, event by event for each recipient (SES v2: GetMessageInsights)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mailstead.base.errors import NotFound
from mailstead.proto.addresses import parse_one
from mailstead.ses import events
from mailstead.ses.events import Event
from mailstead.ses.isps import isp_of
from mailstead.store.port import Transaction

MAX_EVENTS = 5_000
"""Events that are told of a message."""

TYPE = {
    events.SEND: "SEND",
    events.REJECT: "REJECT",
    events.BOUNCE: "BOUNCE",
    events.COMPLAINT: "COMPLAINT",
    events.DELIVERY: "DELIVERY",
    events.OPEN: "OPEN",
    events.CLICK: "CLICK",
    events.RENDERING_FAILURE: "RENDERING_FAILURE",
    events.DELIVERY_DELAY: "DELIVERY_DELAY",
    events.SUBSCRIPTION: "SUBSCRIPTION",
}
_NAMING = {
    events.BOUNCE: "bouncedRecipients",
    events.COMPLAINT: "complainedRecipients",
    events.DELIVERY_DELAY: "delayedRecipients",
}
"""Types that are about some of the recipients: the member that names them."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event of one recipient."""

    type: str
    """SEND, DELIVERY and so on."""
    at: int
    detail: events.Detail
    diagnostic: str = ""
    """What the other side said of this recipient; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Story:
    """What became of a message for one recipient."""

    recipient: str
    """As the sender wrote it."""
    told: tuple[Told, ...]

    @property
    def isp(self) -> str:
        """Whose mailbox it is."""
        return isp_of(_bare(self.recipient))


@dataclass(frozen=True, slots=True)
class Insights:
    """What is known of a message."""

    message: str
    mail: Mapping[str, Any]
    """As events tell of it (``mail_json``)."""
    stories: tuple[Story, ...]

    @property
    def subject(self) -> str:
        """Empty: it has none."""
        return str(self.mail["commonHeaders"].get("subject", ""))


def _bare(text: str) -> str:
    return parse_one(text).address


async def of_message(tx: Transaction, account: str, region: str, message: str) -> Insights:
    """All that is known of a message that the account sent here.

    Raises:
        NotFound: there is none, or it is forgotten (the text is ours).
    """
    sql = "SELECT mail_json FROM messages WHERE id = $1 AND account = $2 AND region = $3 AND origin = 'submission'"
    found = await tx.value(sql, message, account, region)
    if found is None:
        raise NotFound(f"Message {message[:256]} does not exist.", kind="message")
    mail = msgspec.json.decode(found)
    written = await events.of_message(tx, message, limit=MAX_EVENTS)
    return Insights(message, mail, tuple(_story(recipient, written) for recipient in mail["destination"]))


def _story(recipient: str, written: Sequence[Event]) -> Story:
    address = _bare(recipient)
    heard = ((event, _about(event, address)) for event in written)
    told = (Told(TYPE[event.kind], event.at, event.detail, said) for event, said in heard if said is not None)
    return Story(recipient, tuple(told))


def _about(event: Event, address: str) -> str | None:
    """Is the event about this recipient?  What the other side said of them, maybe nothing; None: it is about others."""
    if event.kind == events.DELIVERY:
        return "" if address in event.detail["recipients"] else None
    if event.kind not in _NAMING:
        return ""
    named = (one for one in event.detail[_NAMING[event.kind]] if _bare(one["emailAddress"]) == address)
    return next((str(one.get("diagnosticCode", "")) for one in named), None)
