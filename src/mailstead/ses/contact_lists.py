"""Contact lists: an account's list in a region and its topics, which people may want or not want (SES: sending §6).

What people want stands in ``contacts``.  A list and a topic have ids of their own, and rows of contacts name those: one
that is deleted and made again under its old name begins anew.  Such rows are left over and taken away by upkeep, so
that deleting a list of a million costs no more than deleting an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.base.ids import sortable
from mailstead.ses import tags
from mailstead.store.port import Row, Transaction

OPT_IN, OPT_OUT = "OPT_IN", "OPT_OUT"

MAX_LISTS = 1  # SES: sending §6
MAX_TOPICS = 20  # SES: sending §6
MAX_DISPLAY = 128
MAX_DESCRIPTION = 500
FORGOTTEN_AT_ONCE = 1000
"""Rows of contacts that a step of upkeep takes away."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that people of a list may want to hear of."""

    name: str
    display: str
    """What contacts see."""
    default: str
    """``OPT_IN`` or ``OPT_OUT``: what holds for those who have not said."""
    description: str | None = None
    id: str = ""
    """Ours; a topic that is not stored yet has none."""


@dataclass(frozen=True, slots=True)
class ContactList:
    """A list of an account in a region."""

    account: str
    region: str
    name: str
    id: str
    description: str | None
    topics: tuple[Topic, ...]
    created: int
    changed: int

    def topic(self, name: str) -> Topic:
        """The topic of this name.

        Raises:
            Invalid: the list has none.
        """
        for topic in self.topics:
            if topic.name == name:
                return topic
        raise Invalid(f"List: {self.name} doesn't contain Topic: {name[:256]}", kind="contact-list")


@dataclass(frozen=True, slots=True)
class Described:
    """What is told of a list when it is made or changed."""

    description: str | None = None
    topics: tuple[Topic, ...] = ()


# -- what may be kept


def check_name(name: str, what: str = "ContactListName") -> str:
    """The name, if a list or a topic may have it.

    Raises:
        Invalid: it may not.
    """
    if not name.strip():
        raise Invalid(f"{what} can't be blank.")
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{what} can contain up to 64 characters. Only alphanumeric characters, underscores(_) and hyphens(-) are"
            " allowed."
        )
    return name


def check(described: Described) -> Described:
    """What is told of a list, if it may be so.

    Raises:
        Invalid: too many topics, one twice, a text that is too long.
    """
    if len(described.topics) > MAX_TOPICS:
        raise Invalid(f"Maximum of <{MAX_TOPICS}> topics allowed per ContactList")
    for topic in described.topics:
        check_name(topic.name, "TopicName")
        if len(topic.display) > MAX_DISPLAY:
            raise Invalid(f"Topic DisplayName can contain up to <{MAX_DISPLAY}> characters.")
        if len(topic.description or "") > MAX_DESCRIPTION:
            raise Invalid(f"Topic Description can contain up to <{MAX_DESCRIPTION}> characters.")
    if len({topic.name for topic in described.topics}) < len(described.topics):
        raise Invalid("Duplicate topic names are not allowed within a List.")
    if len(described.description or "") > MAX_DESCRIPTION:
        raise Invalid(f"List description can contain up to {MAX_DESCRIPTION} characters.")
    return described


# -- the account's list

_COLUMNS = "account, region, name, id, description, topics_json, created, changed"
_WHERE = "WHERE account = $1 AND region = $2"

_Stored = tuple[str, str, str, str | None, str]
_topics = msgspec.json.Decoder(tuple[_Stored, ...]).decode


def _written(topics: Sequence[Topic]) -> str:
    rows = [(topic.id, topic.name, topic.display, topic.description, topic.default) for topic in topics]
    return msgspec.json.encode(rows).decode()


def _list(row: Row) -> ContactList:
    account, region, name, id_, description, topics, created, changed = row
    read = tuple(Topic(name, display, default, told, id) for id, name, display, told, default in _topics(topics))
    return ContactList(account, region, name, id_, description, read, created, changed)


async def find(tx: Transaction, account: str, region: str, name: str) -> ContactList | None:
    """A list, or None."""
    row = await tx.row(f"SELECT {_COLUMNS} FROM contact_lists {_WHERE} AND name = $3", account, region, name)
    return _list(row) if row else None


async def by_id(tx: Transaction, id_: str) -> ContactList | None:
    """The list that has this id, or None if it is gone."""
    row = await tx.row(f"SELECT {_COLUMNS} FROM contact_lists WHERE id = $1", id_)
    return _list(row) if row else None


async def get(tx: Transaction, account: str, region: str, name: str) -> ContactList:
    """A list.

    Raises:
        NotFound: there is none.
    """
    found = await find(tx, account, region, name)
    if found is None:
        raise _unknown(name)
    return found


def _unknown(name: str) -> NotFound:
    return NotFound(f"List with name: {name[:256]} doesn't exist.", kind="contact-list")


async def create(
    tx: Transaction,
    account: str,
    region: str,
    name: str,
    described: Described,
    *,
    tagged: Mapping[str, str] | None = None,
) -> None:
    """Keep a new list; its name and what is told of it have been checked.

    Raises:
        AlreadyExists: there is one of this name.
        LimitExceeded: the account has another one in the region.
    """
    made = await tx.run(
        f"INSERT INTO contact_lists ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT DO NOTHING",
        account,
        region,
        name,
        sortable(tx.now()),
        described.description,
        _written(_numbered(described.topics, (), tx.now())),
        tx.now(),
    )
    if not made:
        if await find(tx, account, region, name) is None:
            raise LimitExceeded(f"A maximum of {MAX_LISTS} Lists allowed per account.", kind="contact-list")
        raise AlreadyExists(f"List with name: {name} already exists.", kind="contact-list")
    await tags.put(tx, account, region, tags.resource(tags.CONTACT_LIST, name), tagged or {})


def _numbered(topics: Sequence[Topic], before: Sequence[Topic], now: int) -> list[Topic]:
    """The topics with their ids; those that were there before keep theirs."""
    known = {topic.name: topic.id for topic in before}
    return [replace(topic, id=known.get(topic.name) or sortable(now)) for topic in topics]


async def update(tx: Transaction, account: str, region: str, name: str, described: Described) -> None:
    """Replace description and topics, which have been checked; what people said of topics that stay, stays.

    Raises:
        NotFound: there is no such list.
    """
    # Held, so that of two changes one sees what the other made of the topics.
    held = f"UPDATE contact_lists SET name = name {_WHERE} AND name = $3 RETURNING {_COLUMNS}"
    row = await tx.row(held, account, region, name)
    if row is None:
        raise _unknown(name)
    before = _list(row)
    topics = _numbered(described.topics, before.topics, tx.now())
    sql = f"UPDATE contact_lists SET description = $4, topics_json = $5, changed = $6 {_WHERE} AND name = $3"
    await tx.run(sql, account, region, name, described.description, _written(topics), tx.now())
    kept = {topic.id for topic in topics}
    await _leave(tx, [(before.id, topic.id) for topic in before.topics if topic.id not in kept])


async def delete(tx: Transaction, account: str, region: str, name: str) -> None:
    """Forget a list, its contacts and its tags.

    Raises:
        NotFound: there is no such list.
    """
    id_ = await tx.value(f"DELETE FROM contact_lists {_WHERE} AND name = $3 RETURNING id", account, region, name)
    if id_ is None:
        raise _unknown(name)
    await _leave(tx, [(id_, "")])
    await tags.forget(tx, account, region, tags.resource(tags.CONTACT_LIST, name))


async def list_page(tx: Transaction, account: str, region: str, *, after: str, limit: int) -> list[ContactList]:
    """Lists by name, those behind ``after``."""
    sql = f"SELECT {_COLUMNS} FROM contact_lists {_WHERE} AND name > $3 ORDER BY name LIMIT $4"
    return [_list(row) for row in await tx.rows(sql, account, region, after, limit)]


# -- upkeep


async def _leave(tx: Transaction, gone: Sequence[tuple[str, str]]) -> None:
    await tx.many("INSERT INTO contact_leftovers (list, topic) VALUES ($1, $2) ON CONFLICT DO NOTHING", gone)


async def forget_leftovers(tx: Transaction, *, before: int, limit: int) -> tuple[int, list[str]]:
    """Take away some rows of a list or a topic that is gone, however short ago (``before`` is for other steps).

    Returns:
        ``limit`` while there may be more, else 0; no blobs.
    """
    left = await tx.row("SELECT list, topic FROM contact_leftovers ORDER BY list, topic LIMIT 1")
    if left is None:
        return 0, []
    list_, topic = left
    chosen = "SELECT address FROM contact_preferences WHERE list = $1 AND topic = $2 ORDER BY address LIMIT $3"
    if topic:
        sql = f"DELETE FROM contact_preferences WHERE list = $1 AND topic = $2 AND address IN ({chosen})"
        done = await tx.run(sql, list_, topic, FORGOTTEN_AT_ONCE) < FORGOTTEN_AT_ONCE
    else:
        done = await _forget_contacts(tx, list_)
    if done:
        await tx.run("DELETE FROM contact_leftovers WHERE list = $1 AND topic = $2", list_, topic)
    return limit, []


async def _forget_contacts(tx: Transaction, list_: str) -> bool:
    """Take away some contacts of a list that is gone; are all gone?"""
    chosen = "SELECT address FROM contacts WHERE list = $1 ORDER BY address LIMIT $2"
    rows = await tx.rows(
        f"DELETE FROM contacts WHERE list = $1 AND address IN ({chosen}) RETURNING address", list_, FORGOTTEN_AT_ONCE
    )
    addresses = [(list_, address) for (address,) in rows]
    await tx.many("DELETE FROM contact_preferences WHERE list = $1 AND address = $2", addresses)
    return len(rows) < FORGOTTEN_AT_ONCE
