"""List management on both databases: what a send names, and who does not want it."""

from __future__ import annotations

import pytest

from mailstead.base.errors import Invalid, NotFound
from mailstead.ses import contact_lists, contacts, list_management
from mailstead.ses.contact_lists import OPT_IN, OPT_OUT, Described, Topic
from mailstead.ses.contacts import Wishes
from mailstead.ses.list_management import Listing, Managed
from peers.database import Ground

A, B, EAST = "111111111111", "222222222222", "us-east-1"
TOPICS = (Topic("news", "News", OPT_IN), Topic("offers", "Offers", OPT_OUT))
PEOPLE = ("new@x.org", "all@x.org", "news@x.org", "offers@x.org")


@pytest.mark.parametrize(
    ("header", "managed"),
    [
        ("ours", Managed("ours")),
        (" ours ; topic=news ", Managed("ours", "news")),
        ("ours;TOPIC = news", Managed("ours", "news")),
        ("ours;", Managed("ours")),
    ],
)
def test_headers(header: str, managed: Managed) -> None:
    assert list_management.parse_header(header) == managed


@pytest.mark.parametrize(
    "header", ["", ";", "a b", "ours; news", "ours; topic=", "ours; subject=x", "ours; topic=a; topic=b", "a;" * 9999]
)
def test_headers_that_are_none(header: str) -> None:
    with pytest.raises(Invalid) as caught:
        list_management.parse_header(header)
    assert caught.value.message


def look(ground: Ground, topic: str = "", account: str = A) -> Listing:
    return ground.read(lambda tx: list_management.look(tx, account, EAST, Managed("ours", topic), PEOPLE))


@pytest.fixture
def people(ground: Ground) -> None:
    ground.run(lambda tx: contact_lists.create(tx, A, EAST, "ours", Described(None, TOPICS)))
    found = ground.read(lambda tx: contact_lists.get(tx, A, EAST, "ours"))
    for address, wishes in (
        ("all@x.org", Wishes({"news": OPT_IN}, unsubscribed=True)),
        ("news@x.org", Wishes({"news": OPT_OUT})),
        ("offers@x.org", Wishes({"offers": OPT_IN})),
    ):
        ground.run(lambda tx, address=address, wishes=wishes: contacts.put(tx, found, address, wishes))


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(("topic", "unsubscribed"), [("", "all"), ("news", "all news"), ("offers", "all new news")])
def test_who_does_not_want_it(ground: Ground, topic: str, unsubscribed: str) -> None:
    listing = look(ground, topic)
    assert sorted(address.partition("@")[0] for address in listing.unsubscribed) == unsubscribed.split()
    assert listing.new == {"new@x.org"}
    assert (listing.topic.name if listing.topic else "") == topic


@pytest.mark.usefixtures("people")
def test_what_is_not_there(ground: Ground) -> None:
    with pytest.raises(NotFound) as caught:
        look(ground, account=B)
    assert caught.value.message == "List with name: ours doesn't exist."
    with pytest.raises(Invalid) as unknown:
        look(ground, "weather")
    assert unknown.value.message == "List: ours doesn't contain Topic: weather"
