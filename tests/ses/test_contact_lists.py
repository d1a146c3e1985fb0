"""Contact lists on both databases: one an account and region, topics that come and go, what is left over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import contact_lists, contacts, tags
from mailstead.ses.contact_lists import OPT_IN, OPT_OUT, ContactList, Described, Topic
from mailstead.ses.contacts import Wishes
from mailstead.store import wipe
from peers.database import Ground

A, B = "111111111111", "222222222222"
EAST, WEST = "us-east-1", "eu-west-1"
NEWS = Topic("news", "News \u2028 & <b>", OPT_IN, "All that is new")
OFFERS = Topic("offers", "Offers", OPT_OUT)
BOTH = Described("What we write about", (NEWS, OFFERS))


def create(
    ground: Ground, name: str = "ours", described: Described = BOTH, account: str = A, region: str = EAST, **more
):
    ground.run(lambda tx: contact_lists.create(tx, account, region, name, described, **more))


def get(ground: Ground, name: str = "ours", account: str = A, region: str = EAST) -> ContactList:
    return ground.read(lambda tx: contact_lists.get(tx, account, region, name))


def count(ground: Ground, table: str) -> int:
    return ground.read(lambda tx: tx.value(f"SELECT count(*) FROM {table}"))


def put(ground: Ground, found: ContactList, address: str, **preferences: str) -> None:
    ground.run(lambda tx: contacts.put(tx, found, address, Wishes(preferences)))


def without_ids(found: ContactList) -> tuple[Topic, ...]:
    return tuple(replace(topic, id="") for topic in found.topics)


def test_kept_replaced_and_forgotten(ground: Ground) -> None:
    create(ground)
    found = get(ground)
    assert (found.description, without_ids(found)) == ("What we write about", (NEWS, OFFERS))
    assert found.created == found.changed == ground.clock.now()
    ground.clock.advance(5000)
    ground.run(lambda tx: contact_lists.update(tx, A, EAST, "ours", Described(None, (OFFERS,))))
    changed = get(ground)
    assert (changed.description, without_ids(changed)) == (None, (OFFERS,))
    assert (changed.id, changed.created, changed.changed) == (found.id, found.created, found.created + 5000)
    assert ground.read(lambda tx: contact_lists.by_id(tx, found.id)) == changed
    ground.run(lambda tx: contact_lists.delete(tx, A, EAST, "ours"))
    assert ground.read(lambda tx: contact_lists.find(tx, A, EAST, "ours")) is None
    assert ground.read(lambda tx: contact_lists.by_id(tx, found.id)) is None


def test_one_an_account_and_region(ground: Ground) -> None:
    create(ground)
    with pytest.raises(AlreadyExists) as caught:
        create(ground)
    assert (caught.value.message, caught.value.kind) == ("List with name: ours already exists.", "contact-list")
    with pytest.raises(LimitExceeded) as limit:
        create(ground, "another")
    assert limit.value.message == "A maximum of 1 Lists allowed per account."
    create(ground, region=WEST)
    create(ground, account=B)
    assert len({get(ground).id, get(ground, region=WEST).id, get(ground, account=B).id}) == 3


@pytest.mark.parametrize("verb", ["get", "update", "delete"])
def test_what_is_not_there(ground: Ground, verb: str) -> None:
    create(ground, account=B)
    create(ground, region=WEST)
    more = (BOTH,) if verb == "update" else ()
    with pytest.raises(NotFound) as caught:
        ground.run(lambda tx: getattr(contact_lists, verb)(tx, A, EAST, "ours", *more))
    assert (caught.value.message, caught.value.kind) == ("List with name: ours doesn't exist.", "contact-list")
    assert without_ids(get(ground, account=B)) == BOTH.topics


def test_tags_go_with_their_list(ground: Ground) -> None:
    create(ground, tagged={"team": "shop"})
    arn = f"arn:aws:ses:{EAST}:{A}:contact-list/ours"
    resource = ground.read(lambda tx: tags.by_arn(tx, A, EAST, arn))
    assert ground.read(lambda tx: tags.of(tx, A, EAST, resource)) == {"team": "shop"}
    ground.run(lambda tx: contact_lists.delete(tx, A, EAST, "ours"))
    create(ground)
    assert ground.read(lambda tx: tags.of(tx, A, EAST, resource)) == {}


def test_a_topic_that_comes_back_begins_anew(ground: Ground) -> None:
    create(ground)
    put(ground, get(ground), "a@example.org", news=OPT_OUT, offers=OPT_IN)
    ground.run(lambda tx: contact_lists.update(tx, A, EAST, "ours", Described(None, (OFFERS,))))
    ground.run(lambda tx: contact_lists.update(tx, A, EAST, "ours", Described(None, (OFFERS, NEWS))))
    found = get(ground)
    contact = ground.read(lambda tx: contacts.get(tx, found, "a@example.org"))
    assert contact.wishes.preferences == {"offers": OPT_IN}
    assert contact.wants(found.topic("news"))


def test_what_is_left_over_is_taken_away_bit_by_bit(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_lists, "FORGOTTEN_AT_ONCE", 2)
    create(ground)
    for n in range(5):
        put(ground, get(ground), f"a{n}@example.org", news=OPT_OUT, offers=OPT_IN)
    ground.run(lambda tx: contact_lists.update(tx, A, EAST, "ours", Described(None, (OFFERS,))))
    assert count(ground, "contact_preferences") == 10

    def forget() -> int:
        return ground.run(lambda tx: contact_lists.forget_leftovers(tx, before=0, limit=50))[0]

    assert [forget() for _ in range(4)] == [50, 50, 50, 0]
    assert (count(ground, "contact_preferences"), count(ground, "contacts")) == (5, 5)
    ground.run(lambda tx: contact_lists.delete(tx, A, EAST, "ours"))
    create(ground)
    put(ground, get(ground), "b@example.org", news=OPT_OUT)
    found = get(ground)
    page = ground.read(lambda tx: contacts.list_page(tx, found))
    assert [contact.address for contact in page.contacts] == ["b@example.org"]
    assert [forget() for _ in range(4)] == [50, 50, 50, 0]
    assert (count(ground, "contact_preferences"), count(ground, "contacts")) == (1, 1)
    assert count(ground, "contact_leftovers") == 0


def test_wiped_with_its_account(ground: Ground) -> None:
    create(ground)
    create(ground, account=B)
    put(ground, get(ground), "a@example.org", news=OPT_OUT)
    put(ground, get(ground, account=B), "b@example.org", news=OPT_OUT)
    ground.run(lambda tx: wipe.wipe(tx, A))
    assert [count(ground, table) for table in ("contact_lists", "contacts", "contact_preferences")] == [1, 1, 1]
    assert get(ground, account=B).name == "ours"


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_names(name: str) -> None:
    assert contact_lists.check_name(name) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "ContactListName can't be blank."),
        (" ", "ContactListName can't be blank."),
        *(
            (
                name,
                "ContactListName can contain up to 64 characters. Only alphanumeric characters, underscores(_) and"
                " hyphens(-) are allowed.",
            )
            for name in ("x" * 65, "a b", "a.b", "a;b", "é", "a\n", "<script>")
        ),
    ],
)
def test_names_that_are_none(name: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        contact_lists.check_name(name)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("described", "text"),
    [
        (
            Described(None, tuple(replace(NEWS, name=f"t{n}") for n in range(21))),
            "Maximum of <20> topics allowed per ContactList",
        ),
        (Described(None, (replace(NEWS, name=""),)), "TopicName can't be blank."),
        (
            Described(None, (replace(NEWS, name="a b"),)),
            "TopicName can contain up to 64 characters. Only alphanumeric characters, underscores(_) and hyphens(-)"
            " are allowed.",
        ),
        (Described(None, (NEWS, OFFERS, NEWS)), "Duplicate topic names are not allowed within a List."),
        (
            Described(None, (replace(NEWS, display="x" * 129),)),
            "Topic DisplayName can contain up to <128> characters.",
        ),
        (
            Described(None, (replace(NEWS, description="x" * 501),)),
            "Topic Description can contain up to <500> characters.",
        ),
        (Described("x" * 501), "List description can contain up to 500 characters."),
    ],
)
def test_what_cannot_be_told_of_a_list(described: Described, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        contact_lists.check(described)
    assert caught.value.message == text


def test_the_most_that_can_be_told() -> None:
    topics = tuple(Topic(f"t{n}", "x" * 128, OPT_IN, "x" * 500) for n in range(20))
    assert contact_lists.check(Described("x" * 500, topics)).topics == topics
