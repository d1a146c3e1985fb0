"""Subscriptions: what people change about the mail they get, with the link in a mail (SES: sending §6, events §2).

A link carries a ticket: for whom, of which list and topic, out of which message.  It is sealed under the installation's
master key: nobody else can write one, and nobody reads an address out of it.  It holds for as long as its list does.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass, replace

import msgspec

from mailstead.base.errors import Invalid
from mailstead.ses import contact_lists, contacts, events
from mailstead.ses.contact_lists import OPT_IN, OPT_OUT, ContactList, Topic
from mailstead.ses.contacts import NOTHING_SAID, Contact, Wishes
from mailstead.store.port import Transaction
from mailstead.store.vault import Vault

MAX_TICKET = 1000
"""Characters of a ticket in a link; an address and three ids come to half of that."""
_CONTEXT = "unsubscribe"

BY_HEADER = "UnsubscribeHeader"
"""How it was changed, as events tell it: by one click in the mail program (SES: events §2)…"""
BY_PAGE = "UnsubscribePage"
"""…or on the page behind the link (the word is ours: SES's was not seen)."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link is good for."""

    list: str
    """The list's id…"""
    topic: str
    """…and the topic's; empty: the whole list."""
    address: str
    message: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """What somebody gets."""

    list: ContactList
    topic: Topic | None
    """That of the mail; None: of the list as a whole, or of a topic that is gone."""
    contact: Contact


def seal(vault: Vault, ticket: Ticket) -> str:
    """A ticket as it stands in a link: letters, digits, ``-`` and ``_``."""
    plain = msgspec.msgpack.encode((ticket.list, ticket.topic, ticket.address, ticket.message))
    return _written(vault.seal(plain, _CONTEXT))


def _written(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def read(vault: Vault, text: str) -> Ticket:
    """A ticket out of a link.

    Raises:
        Invalid: it is none of ours, or not whole.
    """
    try:
        if len(text) > MAX_TICKET:
            raise ValueError
        sealed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        if _written(sealed) != text:  # other signs, or bits that nothing stands for
            raise ValueError
        plain = vault.open(sealed, _CONTEXT)
    except (Invalid, ValueError):
        raise Invalid("This link is not valid.", kind="ticket") from None
    return Ticket(*msgspec.msgpack.decode(plain, type=tuple[str, str, str, str]))


async def find(tx: Transaction, ticket: Ticket) -> Subscription | None:
    """What the bearer of a ticket gets now; None: its list is gone.

    Somebody who is not on the list any more is shown as one who has not said anything.
    """
    found = await contact_lists.by_id(tx, ticket.list)
    if found is None:
        return None
    known = await contacts.among(tx, found, [ticket.address])
    contact = known.get(ticket.address, Contact(ticket.address, NOTHING_SAID, 0, 0))
    topic = next((topic for topic in found.topics if topic.id == ticket.topic), None)
    return Subscription(found, topic, contact)


async def unsubscribe(tx: Transaction, ticket: Ticket, *, all_topics: bool = False, source: str) -> Subscription | None:
    """No more mail about the ticket's topic, or of the whole list; what holds then.  Twice is harmless.

    Where the topic is gone it is the whole list: who says no must not hear of it again under another name.
    """
    before = await find(tx, ticket)
    if before is None:
        return None
    wishes = before.contact.wishes
    if before.topic is None or all_topics:
        wishes = replace(wishes, unsubscribed=True)
    else:
        wishes = replace(wishes, preferences={**wishes.preferences, before.topic.name: OPT_OUT})
    return await _change(tx, ticket, before, wishes, source)


async def choose(tx: Transaction, ticket: Ticket, topics: Collection[str], *, source: str) -> Subscription | None:
    """Mail about these topics, by their ids, and about no other; what holds then.

    With none chosen nothing is said of the list as a whole; with one, or on a list that has no topics, its mail comes.
    """
    before = await find(tx, ticket)
    if before is None:
        return None
    chosen = {topic.name: OPT_IN if topic.id in topics else OPT_OUT for topic in before.list.topics}
    wanted = OPT_IN in chosen.values() or not chosen
    unsubscribed = before.contact.wishes.unsubscribed and not wanted
    wishes = replace(before.contact.wishes, preferences=chosen, unsubscribed=unsubscribed)
    return await _change(tx, ticket, before, wishes, source)


async def _change(tx: Transaction, ticket: Ticket, before: Subscription, wishes: Wishes, source: str) -> Subscription:
    after = replace(before, contact=replace(before.contact, wishes=wishes))
    if wishes == before.contact.wishes:
        return after
    await contacts.put(tx, before.list, ticket.address, wishes)
    # Of a message that is forgotten nobody can be told: its event would have no mail in it.
    if await tx.value("SELECT 1 FROM messages WHERE id = $1", ticket.message) is not None:
        detail = events.subscription(
            contact_list=before.list.name, at=tx.now(), source=source, new=_told(after), old=_told(before)
        )
        found = before.list
        await events.emit(
            tx,
            account=found.account,
            region=found.region,
            message=ticket.message,
            kind=events.SUBSCRIPTION,
            at=tx.now(),
            detail=detail,
        )
    return after


def _told(subscription: Subscription) -> events.Detail:
    """Preferences as events tell them (SES: events §2)."""
    said = subscription.contact.wishes.preferences
    unsaid = {topic.name: topic.default for topic in subscription.list.topics if topic.name not in said}
    return {
        "unsubscribeAll": subscription.contact.wishes.unsubscribed,
        "topicSubscriptionStatus": [_status(*pair) for pair in said.items()],
        "topicDefaultSubscriptionStatus": [_status(*pair) for pair in unsaid.items()],
    }


def _status(topic: str, status: str) -> dict[str, str]:
    return {"topicName": topic, "subscriptionStatus": "OptIn" if status == OPT_IN else "OptOut"}
