"""List management of a send: which list and topic a message belongs to (SES: sending §6).

Who does not want it does not get it, and who was not on the list is put there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailstead.base.errors import Invalid
from mailstead.ses import contact_lists, contacts
from mailstead.ses.contact_lists import ContactList, Topic
from mailstead.ses.contacts import NOTHING_SAID, Contact
from mailstead.store.port import Transaction

UNSUBSCRIBED = "UnsubscribedRecipient"
"""bounceSubType of what was not sent because its recipient does not want it (SES: sending §9)."""
DIAGNOSTIC = (
    "Amazon SES did not send the message to this address because it is unsubscribed from the contact list or the topic"
    " that the message was sent to."
)
"""What is said to the sender then (the words are ours: SES's were not seen)."""


@dataclass(frozen=True, slots=True)
class Managed:
    """What a send names."""

    list: str
    topic: str = ""
    """Empty: the list as a whole."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What it comes to."""

    list: ContactList
    topic: Topic | None
    unsubscribed: frozenset[str]
    """Recipients, bare, who do not want it."""
    new: frozenset[str]
    """Recipients, bare, who are not on the list yet."""


def named(list_: str, topic: str | None) -> Managed:
    """A list and a topic, if those can be names at all.

    Raises:
        Invalid: they cannot.
    """
    contact_lists.check_name(list_)
    return Managed(list_, contact_lists.check_name(topic, "TopicName") if topic else "")


def parse_header(value: str) -> Managed:
    """What ``X-SES-LIST-MANAGEMENT-OPTIONS: list; topic=topic`` names (SES: smtp §5).

    Raises:
        Invalid: it has another form.
    """
    list_, *more = (piece.strip() for piece in value.split(";", 2))
    topic = ""
    if more and more != [""]:
        name, equals, topic = more[0].partition("=")
        if len(more) > 1 or name.strip().lower() != "topic" or not equals:
            raise Invalid("Invalid X-SES-LIST-MANAGEMENT-OPTIONS header: it must be <list> or <list>; topic=<topic>.")
        contact_lists.check_name(topic.strip(), "TopicName")
    return named(list_, topic.strip())


async def look(tx: Transaction, account: str, region: str, managed: Managed, addresses: Iterable[str]) -> Listing:
    """The list and topic of a send to these (bare) addresses, and who of them does not want it.

    Raises:
        NotFound: the account has no such list.
        Invalid: the list has no such topic.
    """
    found = await contact_lists.get(tx, account, region, managed.list)
    topic = found.topic(managed.topic) if managed.topic else None
    asked = set(addresses)
    known = await contacts.among(tx, found, sorted(asked))
    unsubscribed = {
        address for address in asked if not known.get(address, Contact(address, NOTHING_SAID, 0, 0)).wants(topic)
    }
    return Listing(found, topic, frozenset(unsubscribed), frozenset(asked - set(known)))
