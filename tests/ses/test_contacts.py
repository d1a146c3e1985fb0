"""Contacts on both databases: who is on a list, what they want, and pages of them."""

from __future__ import annotations

import pytest

from mailstead.base.errors import AlreadyExists, Invalid, NotFound
from mailstead.ses import contact_lists, contacts
from mailstead.ses.contact_lists import OPT_IN, OPT_OUT, ContactList, Described, Topic
from mailstead.ses.contacts import Contact, Selection, Wishes
from peers.database import Ground

A, EAST = "111111111111", "us-east-1"
TOPICS = (Topic("news", "News", OPT_IN), Topic("offers", "Offers", OPT_OUT))
ANNA = "Anna@example.org"


@pytest.fixture
def ours(ground: Ground) -> ContactList:
    ground.run(lambda tx: contact_lists.create(tx, A, EAST, "ours", Described(None, TOPICS)))
    return ground.read(lambda tx: contact_lists.get(tx, A, EAST, "ours"))


def put(ground: Ground, ours: ContactList, name: str, *, unsubscribed: bool = False, **preferences: str) -> None:
    ground.run(lambda tx: contacts.put(tx, ours, f"{name}@example.org", Wishes(preferences, unsubscribed)))


def get(ground: Ground, ours: ContactList, address: str) -> Contact:
    return ground.read(lambda tx: contacts.get(tx, ours, address))


def test_kept_replaced_and_forgotten(ground: Ground, ours: ContactList) -> None:
    wishes = Wishes({"offers": OPT_IN, "news": OPT_OUT}, attributes='{"name": "\u2028Anna"}')
    ground.run(lambda tx: contacts.create(tx, ours, ANNA, wishes))
    found = get(ground, ours, ANNA)
    assert found == Contact(ANNA, wishes, ground.clock.now(), ground.clock.now())
    assert list(found.wishes.preferences) == ["news", "offers"]
    with pytest.raises(AlreadyExists) as twice:
        ground.run(lambda tx: contacts.create(tx, ours, ANNA, Wishes()))
    assert twice.value.message == f"{ANNA} already exists in List."
    ground.clock.advance(1000)
    # What is left out is dropped.
    ground.run(lambda tx: contacts.update(tx, ours, ANNA, Wishes({"news": OPT_IN}, unsubscribed=True)))
    changed = get(ground, ours, ANNA)
    assert changed == Contact(ANNA, Wishes({"news": OPT_IN}, unsubscribed=True), found.created, found.created + 1000)
    ground.run(lambda tx: contacts.delete(tx, ours, ANNA))
    for verb, more in (("get", ()), ("update", (Wishes(),)), ("delete", ())):
        with pytest.raises(NotFound) as caught:
            ground.run(lambda tx, verb=verb, more=more: getattr(contacts, verb)(tx, ours, ANNA, *more))
        assert (caught.value.message, caught.value.kind) == (f"{ANNA} doesn't exist in List.", "contact")
    ground.run(lambda tx: contacts.create(tx, ours, ANNA, Wishes()))
    assert get(ground, ours, ANNA).wishes == Wishes()


def test_mail_puts_people_on_the_list_and_changes_nobody(ground: Ground, ours: ContactList) -> None:
    put(ground, ours, "bert", unsubscribed=True, news=OPT_OUT)
    ground.run(lambda tx: contacts.ensure(tx, ours, ["bert@example.org", ANNA]))
    ground.run(lambda tx: contacts.ensure(tx, ours, [ANNA]))
    assert get(ground, ours, ANNA).wishes == Wishes()
    assert get(ground, ours, "bert@example.org").wishes == Wishes({"news": OPT_OUT}, unsubscribed=True)


def test_nobody_comes_on_a_list_that_is_gone(ground: Ground, ours: ContactList) -> None:
    ground.run(lambda tx: contact_lists.delete(tx, A, EAST, "ours"))
    ground.run(lambda tx: contacts.ensure(tx, ours, [ANNA]))
    ground.run(lambda tx: contacts.put(tx, ours, ANNA, Wishes({"news": OPT_OUT})))
    assert ground.read(lambda tx: tx.value("SELECT count(*) FROM contacts")) == 0
    assert ground.read(lambda tx: tx.value("SELECT count(*) FROM contact_preferences")) == 0


@pytest.mark.parametrize(
    ("wishes", "wanted"),
    [
        (Wishes(), "list news"),
        (Wishes({"offers": OPT_IN}), "list news offers"),
        (Wishes({"news": OPT_OUT}), "list"),
        (Wishes({"news": OPT_IN, "offers": OPT_IN}, unsubscribed=True), ""),
    ],
)
def test_who_wants_what(ours: ContactList, wishes: Wishes, wanted: str) -> None:
    contact = Contact(ANNA, wishes, 0, 0)
    asked = {"list": None, "news": ours.topic("news"), "offers": ours.topic("offers")}
    assert [name for name, topic in asked.items() if contact.wants(topic)] == wanted.split()


@pytest.mark.parametrize(
    ("status", "topic", "by_default", "shown"),
    [
        ("", "", False, "abcde"),
        (OPT_IN, "", False, "abcd"),
        (OPT_OUT, "", False, "e"),
        (OPT_IN, "news", False, "b"),
        (OPT_IN, "news", True, "abd"),
        (OPT_OUT, "news", False, "ce"),
        (OPT_OUT, "news", True, "ce"),
        (OPT_IN, "offers", False, "d"),
        (OPT_OUT, "offers", True, "abce"),
        (OPT_OUT, "offers", False, ""),
        ("", "offers", False, "d"),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_pages(
    ground: Ground, ours: ContactList, monkeypatch: pytest.MonkeyPatch, status: str, topic: str, by_default: bool,
    shown: str, limit: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(contacts, "WINDOW", 2)
    put(ground, ours, "a")
    put(ground, ours, "b", news=OPT_IN)
    put(ground, ours, "c", news=OPT_OUT)
    put(ground, ours, "d", offers=OPT_IN)
    put(ground, ours, "e", unsubscribed=True, news=OPT_IN)
    wanted = Selection(status, ours.topic(topic) if topic else None, by_default)
    found, after, pages = "", "", 0
    while pages == 0 or after:
        page = ground.read(
            lambda tx, after=after: contacts.list_page(tx, ours, after=after, limit=limit, wanted=wanted)
        )
        assert len(page.contacts) <= limit
        found += "".join(contact.address[0] for contact in page.contacts)
        after, pages = page.after, pages + 1
    assert found == shown
    assert pages <= 5


def test_a_page_looks_at_so_many_and_no_more(ground: Ground, ours: ContactList) -> None:
    people = [f"a{n:04}@example.org" for n in range(1100)]
    ground.run(lambda tx: contacts.ensure(tx, ours, people))
    put(ground, ours, "z", unsubscribed=True)
    wanted = Selection(OPT_OUT)
    first = ground.read(lambda tx: contacts.list_page(tx, ours, limit=10, wanted=wanted))
    assert (first.contacts, first.after) == ((), people[999])
    second = ground.read(lambda tx: contacts.list_page(tx, ours, after=first.after, limit=10, wanted=wanted))
    assert ([one.address for one in second.contacts], second.after) == (["z@example.org"], "")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("Anna@Example.ORG", ANNA), ("a@bücher.example", "a@xn--bcher-kva.example"), ('"a b"@x.org', '"a b"@x.org')],
)
def test_addresses(given: str, kept: str) -> None:
    assert contacts.checked_address(given) == kept


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("", "EmailAddress can't be blank."),
        (" ", "EmailAddress can't be blank."),
        ("nobody", "EmailAddress <nobody> is invalid"),
        ("a@b@", "EmailAddress <a@b@> is invalid"),
        ("a\n@b.org", "EmailAddress <a\n@b.org> is invalid"),
        ("x" * 300 + "@b.org", f"EmailAddress <{'x' * 256}> is invalid"),
    ],
)
def test_addresses_that_are_none(address: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        contacts.checked_address(address)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        (Wishes({"weather": OPT_IN}), "List: ours doesn't contain Topic: weather"),
        (Wishes(attributes=""), "AttributesData is not a valid JSON object."),
        (Wishes(attributes="[]"), "AttributesData is not a valid JSON object."),
        (Wishes(attributes='{"a":'), "AttributesData is not a valid JSON object."),
        (Wishes(attributes='{"a":' * 5000 + "1" + "}" * 5000), "AttributesData is not a valid JSON object."),
        (Wishes(attributes='{"a": "' + "x" * 32_768 + '"}'), "AttributesData can contain up to 32768 characters."),
    ],
)
def test_wishes_that_cannot_be_kept(ours: ContactList, wishes: Wishes, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        contacts.check(ours, wishes)
    assert caught.value.message == text
