"""Contact lists, their topics, and the contacts on them (v2 alone has them)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SESV2, Handlers, Params, Request, Services
from mailstead.aws.operations.tags import pairs_of, shown
from mailstead.base.errors import Invalid
from mailstead.ses import contact_lists, contacts, tags
from mailstead.ses.contact_lists import ContactList, Described, Topic
from mailstead.ses.contacts import Contact, Selection, Wishes
from mailstead.store.port import Transaction

HANDLED = frozenset(
    {
        (SESV2, "CreateContactList"),
        (SESV2, "GetContactList"),
        (SESV2, "ListContactLists"),
        (SESV2, "UpdateContactList"),
        (SESV2, "DeleteContactList"),
        (SESV2, "CreateContact"),
        (SESV2, "GetContact"),
        (SESV2, "ListContacts"),
        (SESV2, "UpdateContact"),
        (SESV2, "DeleteContact"),
    }
)

MAX_PAGE = 1000


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    lists, people = _Lists(services), _Contacts(services)
    return {
        (SESV2, "CreateContactList"): lists.create,
        (SESV2, "GetContactList"): lists.get,
        (SESV2, "ListContactLists"): lists.list_page,
        (SESV2, "UpdateContactList"): lists.update,
        (SESV2, "DeleteContactList"): lists.delete,
        (SESV2, "CreateContact"): people.create,
        (SESV2, "GetContact"): people.get,
        (SESV2, "ListContacts"): people.list_page,
        (SESV2, "UpdateContact"): people.update,
        (SESV2, "DeleteContact"): people.delete,
    }


class _Lists:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def create(self, request: Request) -> dict[str, Any]:
        caller, name, described = request.caller, _name(request.params), _described(request.params)
        tagged = pairs_of(request.params.get("Tags"))
        await self._db.run(
            lambda tx: contact_lists.create(tx, caller.account, caller.region, name, described, tagged=tagged)
        )
        return {}

    async def get(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, _name(request.params)

        async def look(tx: Transaction) -> tuple[ContactList, dict[str, str]]:
            found = await contact_lists.get(tx, caller.account, caller.region, name)
            resource = tags.resource(tags.CONTACT_LIST, name)
            return found, await tags.of(tx, caller.account, caller.region, resource)

        found, tagged = await self._db.read(look)
        return {
            "ContactListName": found.name,
            "Topics": [_topic(topic) for topic in found.topics],
            **_present(Description=found.description),
            "CreatedTimestamp": found.created,
            "LastUpdatedTimestamp": found.changed,
            "Tags": shown(tagged),
        }

    async def list_page(self, request: Request) -> dict[str, Any]:
        caller, params, belongs = request.caller, request.params, request.page()
        start = paging.position(belongs, params.get("NextToken"))
        size = paging.page_size(params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
        after = str(start[0]) if start else ""
        rows = await self._db.read(
            lambda tx: contact_lists.list_page(tx, caller.account, caller.region, after=after, limit=size + 1)
        )
        told = [{"ContactListName": one.name, "LastUpdatedTimestamp": one.changed} for one in rows[:size]]
        more = {"NextToken": paging.token(belongs, [rows[size - 1].name])} if len(rows) > size else {}
        return {"ContactLists": told, **more}

    async def update(self, request: Request) -> dict[str, Any]:
        caller, name, described = request.caller, _name(request.params), _described(request.params)
        await self._db.run(lambda tx: contact_lists.update(tx, caller.account, caller.region, name, described))
        return {}

    async def delete(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, _name(request.params)
        await self._db.run(lambda tx: contact_lists.delete(tx, caller.account, caller.region, name))
        return {}


class _Contacts:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def create(self, request: Request) -> dict[str, Any]:
        address, wishes = contacts.checked_address(request.params["EmailAddress"]), _wishes(request.params)

        async def body(tx: Transaction) -> None:
            found = await _list_of(tx, request)
            await contacts.create(tx, found, address, contacts.check(found, wishes))

        await self._db.run(body)
        return {}

    async def get(self, request: Request) -> dict[str, Any]:
        address = contacts.checked_address(request.params["EmailAddress"])

        async def look(tx: Transaction) -> tuple[ContactList, Contact]:
            found = await _list_of(tx, request)
            return found, await contacts.get(tx, found, address)

        found, contact = await self._db.read(look)
        return {
            "ContactListName": found.name,
            **_summary(found, contact),
            **_present(AttributesData=contact.wishes.attributes),
            "CreatedTimestamp": contact.created,
        }

    async def list_page(self, request: Request) -> dict[str, Any]:
        params, name = request.params, _name(request.params)
        asked: Params = params.get("Filter") or {}
        by_topic: Params = asked.get("TopicFilter") or {}
        status, topic = asked.get("FilteredStatus") or "", by_topic.get("TopicName") or ""
        by_default = bool(by_topic.get("UseDefaultIfPreferenceUnavailable"))
        if by_topic and not topic:
            raise Invalid("TopicName can't be blank.")
        belongs = request.page(name, status, topic, str(by_default))
        start = paging.position(belongs, params.get("NextToken"))
        size = paging.page_size(params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
        after = str(start[0]) if start else ""

        async def look(tx: Transaction) -> tuple[ContactList, contacts.Page]:
            found = await _list_of(tx, request)
            wanted = Selection(status, found.topic(topic) if topic else None, by_default)
            return found, await contacts.list_page(tx, found, after=after, limit=size, wanted=wanted)

        found, page = await self._db.scan(look)
        more = {"NextToken": paging.token(belongs, [page.after])} if page.after else {}
        return {"Contacts": [_summary(found, contact) for contact in page.contacts], **more}

    async def update(self, request: Request) -> dict[str, Any]:
        address, wishes = contacts.checked_address(request.params["EmailAddress"]), _wishes(request.params)

        async def body(tx: Transaction) -> None:
            found = await _list_of(tx, request)
            await contacts.update(tx, found, address, contacts.check(found, wishes))

        await self._db.run(body)
        return {}

    async def delete(self, request: Request) -> dict[str, Any]:
        address = contacts.checked_address(request.params["EmailAddress"])

        async def body(tx: Transaction) -> None:
            await contacts.delete(tx, await _list_of(tx, request), address)

        await self._db.run(body)
        return {}


# -- members of a call


def _name(params: Params) -> str:
    return contact_lists.check_name(params["ContactListName"])


async def _list_of(tx: Transaction, request: Request) -> ContactList:
    caller = request.caller
    return await contact_lists.get(tx, caller.account, caller.region, _name(request.params))


def _described(params: Params) -> Described:
    topics = tuple(
        Topic(one["TopicName"], one["DisplayName"], one["DefaultSubscriptionStatus"], one.get("Description"))
        for one in params.get("Topics") or ()
    )
    return contact_lists.check(Described(params.get("Description"), topics))


def _wishes(params: Params) -> Wishes:
    given = params.get("TopicPreferences") or ()
    return Wishes(
        {one["TopicName"]: one["SubscriptionStatus"] for one in given},
        bool(params.get("UnsubscribeAll")),
        params.get("AttributesData"),
    )


# -- members of an answer


def _present(**members: str | None) -> dict[str, str]:
    return {name: value for name, value in members.items() if value is not None}


def _topic(topic: Topic) -> dict[str, str]:
    return {
        "TopicName": topic.name,
        "DisplayName": topic.display,
        **_present(Description=topic.description),
        "DefaultSubscriptionStatus": topic.default,
    }


def _summary(found: ContactList, contact: Contact) -> dict[str, Any]:
    said: Mapping[str, str] = contact.wishes.preferences
    unsaid = ((topic.name, topic.default) for topic in found.topics if topic.name not in said)
    return {
        "EmailAddress": contact.address,
        "TopicPreferences": _preferences(said.items()),
        "TopicDefaultPreferences": _preferences(unsaid),
        "UnsubscribeAll": contact.wishes.unsubscribed,
        "LastUpdatedTimestamp": contact.changed,
    }


def _preferences(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"TopicName": name, "SubscriptionStatus": status} for name, status in pairs]
