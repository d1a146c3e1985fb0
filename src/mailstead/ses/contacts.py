"""Contacts: the people on an account's list, and which of its topics each of them wants (SES: sending §6).

What somebody has not said is the topic's default.  Who is unsubscribed from all is so whatever else stands there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from mailstead.base.address import bare, check_address
from mailstead.base.errors import AlreadyExists, Invalid, NotFound
from mailstead.ses.contact_lists import OPT_IN, OPT_OUT, ContactList, Topic
from mailstead.store.port import Row, Transaction

MAX_ATTRIBUTES = 32_768
"""Characters of ``AttributesData`` (SES tells no limit)."""
WINDOW = 1000
"""Contacts that a filtered page looks at, at least: what it takes must not grow with the list."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is kept of somebody."""

    preferences: Mapping[str, str] = field(default_factory=dict)
    """``{topic: OPT_IN or OPT_OUT}``, by the topic's name; topics that nothing was said of are not there."""
    unsubscribed: bool = False
    """From all topics."""
    attributes: str | None = None
    """An object of JSON, as it was given."""


NOTHING_SAID = Wishes()


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody on a list."""

    address: str
    wishes: Wishes
    created: int
    changed: int

    def wants(self, topic: Topic | None) -> bool:
        """Does this contact want mail about a topic; without one: any mail of the list?"""
        if self.wishes.unsubscribed:
            return False
        return topic is None or self.wishes.preferences.get(topic.name, topic.default) == OPT_IN


# -- what may be kept


def checked_address(address: str) -> str:
    """The address as it is kept: its domain in lower case and A-labels.

    Raises:
        Invalid: it is none.
    """
    if not address.strip():
        raise Invalid("EmailAddress can't be blank.")
    try:
        check_address(address)
        return bare(address)
    except Invalid:
        raise Invalid(f"EmailAddress <{address[:256]}> is invalid") from None


def check(found: ContactList, wishes: Wishes) -> Wishes:
    """The wishes, if a contact of the list may have them.

    Raises:
        Invalid: a topic that the list lacks, or attributes that are no object of JSON.
    """
    for name in wishes.preferences:
        found.topic(name)
    if wishes.attributes is not None:
        _check_attributes(wishes.attributes)
    return wishes


def _check_attributes(text: str) -> None:
    if len(text) > MAX_ATTRIBUTES:
        raise Invalid(f"AttributesData can contain up to {MAX_ATTRIBUTES} characters.")
    try:
        read = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise Invalid("AttributesData is not a valid JSON object.")


# -- contacts of a list

_COLUMNS = "address, unsubscribed, attributes, created, changed"


def _contact(row: Row, preferences: Mapping[str, str]) -> Contact:
    address, unsubscribed, attributes, created, changed = row
    return Contact(address, Wishes(preferences, bool(unsubscribed), attributes), created, changed)


def missing(address: str) -> NotFound:
    """Nobody of this address is on the list."""
    return NotFound(f"{address[:256]} doesn't exist in List.", kind="contact")


async def get(tx: Transaction, found: ContactList, address: str) -> Contact:
    """The contact of an address, as ``checked_address`` gives it.

    Raises:
        NotFound: there is none.
    """
    contact = (await among(tx, found, [address])).get(address)
    if contact is None:
        raise missing(address)
    return contact


@lru_cache(maxsize=128)
def _places(count: int) -> str:
    return ", ".join(f"${n}" for n in range(2, count + 2))


async def among(tx: Transaction, found: ContactList, addresses: Iterable[str]) -> dict[str, Contact]:
    """Those of these (bare) addresses that are on the list; for a few."""
    asked = list(addresses)
    if not asked:
        return {}
    where = f"WHERE list = $1 AND address IN ({_places(len(asked))})"
    rows = await tx.rows(f"SELECT {_COLUMNS} FROM contacts {where}", found.id, *asked)
    said = await tx.rows(f"SELECT address, topic, status FROM contact_preferences {where}", found.id, *asked)
    return {contact.address: contact for contact in _joined(found, rows, said)}


def _joined(found: ContactList, rows: Sequence[Row], said: Sequence[Row]) -> list[Contact]:
    """Contacts with what they said of topics that are there, in the list's order of topics."""
    wanted: dict[str, dict[str, str]] = {}
    for address, topic, status in said:
        wanted.setdefault(address, {})[topic] = status
    contacts = []
    for row in rows:
        own = wanted.get(row[0], {})
        contacts.append(_contact(row, {topic.name: own[topic.id] for topic in found.topics if topic.id in own}))
    return contacts


async def create(tx: Transaction, found: ContactList, address: str, wishes: Wishes) -> None:
    """Put somebody on the list; address and wishes have been checked.

    Raises:
        AlreadyExists: they are on it.
    """
    if not await _add(tx, found, address, wishes):
        raise AlreadyExists(f"{address} already exists in List.", kind="contact")
    await _prefer(tx, found, address, wishes)


async def ensure(tx: Transaction, found: ContactList, addresses: Iterable[str]) -> None:
    """Put on the list who is not, with nothing said: what mail to them does (SES: sending §6)."""
    for address in sorted(addresses):  # in one order: nobody waits for each other
        await _add(tx, found, address, NOTHING_SAID)


async def _add(tx: Transaction, found: ContactList, address: str, wishes: Wishes) -> bool:
    """Not into a list that is gone meanwhile."""
    made = await tx.run(
        f"INSERT INTO contacts (list, {_COLUMNS})"
        " SELECT id, $2, $3, $4, $5, $5 FROM contact_lists WHERE id = $1 ON CONFLICT (list, address) DO NOTHING",
        found.id,
        address,
        int(wishes.unsubscribed),
        wishes.attributes,
        tx.now(),
    )
    return made > 0


async def put(tx: Transaction, found: ContactList, address: str, wishes: Wishes) -> None:
    """Put somebody on the list with these wishes, or replace theirs by them; of a list that is gone nothing is kept."""
    if await _add(tx, found, address, wishes) or await _replace(tx, found, address, wishes):
        await _prefer(tx, found, address, wishes)


async def update(tx: Transaction, found: ContactList, address: str, wishes: Wishes) -> None:
    """Replace all that is kept of somebody; what is left out is dropped (SES: sending §6).

    Raises:
        NotFound: they are not on the list.
    """
    if not await _replace(tx, found, address, wishes):
        raise missing(address)
    await _prefer(tx, found, address, wishes)


async def _replace(tx: Transaction, found: ContactList, address: str, wishes: Wishes) -> bool:
    changed = await tx.run(
        "UPDATE contacts SET unsubscribed = $3, attributes = $4, changed = $5 WHERE list = $1 AND address = $2",
        found.id,
        address,
        int(wishes.unsubscribed),
        wishes.attributes,
        tx.now(),
    )
    return changed > 0


async def _prefer(tx: Transaction, found: ContactList, address: str, wishes: Wishes) -> None:
    await tx.run("DELETE FROM contact_preferences WHERE list = $1 AND address = $2", found.id, address)
    rows = [(found.id, address, found.topic(name).id, status) for name, status in sorted(wishes.preferences.items())]
    await tx.many("INSERT INTO contact_preferences (list, address, topic, status) VALUES ($1, $2, $3, $4)", rows)


async def delete(tx: Transaction, found: ContactList, address: str) -> None:
    """Take somebody off the list, with all that was kept of them.

    Raises:
        NotFound: they are not on it.
    """
    if not await tx.run("DELETE FROM contacts WHERE list = $1 AND address = $2", found.id, address):
        raise missing(address)
    await tx.run("DELETE FROM contact_preferences WHERE list = $1 AND address = $2", found.id, address)


# -- pages


@dataclass(frozen=True, slots=True)
class Selection:
    """Which contacts a page shows."""

    status: str = ""
    """``OPT_IN``, ``OPT_OUT``; empty: all."""
    topic: Topic | None = None
    """Of what; None: of the list as a whole."""
    by_default: bool = False
    """Does the topic's default count for those who said nothing of it?  Else they are not shown."""

    def holds(self, contact: Contact) -> bool:
        """Is this one shown?"""
        if self.topic is not None and not self.by_default and self.topic.name not in contact.wishes.preferences:
            return False
        return self.status in ("", OPT_IN if contact.wants(self.topic) else OPT_OUT)


EVERYBODY = Selection()


@dataclass(frozen=True, slots=True)
class Page:
    """Some contacts by address."""

    contacts: tuple[Contact, ...]
    after: str = ""
    """Where the next page begins; empty: there is none."""


async def list_page(
    tx: Transaction, found: ContactList, *, after: str = "", limit: int = 1000, wanted: Selection = EVERYBODY
) -> Page:
    """At most ``limit`` contacts by address, those behind ``after``.

    A filtered page looks at so many and no more: it may show fewer than are wanted, or none, with more to come.
    """
    window = limit if wanted == EVERYBODY else max(limit, WINDOW)
    sql = f"SELECT {_COLUMNS} FROM contacts WHERE list = $1 AND address > $2 ORDER BY address LIMIT $3"
    rows = await tx.rows(sql, found.id, after, window + 1)
    seen, more = rows[:window], len(rows) > window
    if not seen:
        return Page(())
    said = await tx.rows(
        "SELECT address, topic, status FROM contact_preferences WHERE list = $1 AND address >= $2 AND address <= $3",
        found.id,
        seen[0][0],
        seen[-1][0],
    )
    shown = [contact for contact in _joined(found, seen, said) if wanted.holds(contact)]
    if len(shown) > limit:
        return Page(tuple(shown[:limit]), shown[limit - 1].address)
    return Page(tuple(shown), seen[-1][0] if more else "")
