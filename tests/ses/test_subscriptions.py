"""Subscriptions on both databases: tickets that nobody can forge, and what their bearers change."""

from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.ses import contact_lists, contacts, events, subscriptions
from mailstead.ses.contact_lists import OPT_IN, OPT_OUT, ContactList, Described, Topic
from mailstead.ses.contacts import Wishes
from mailstead.ses.subscriptions import BY_HEADER, BY_PAGE, Ticket
from mailstead.store import spool
from mailstead.store.vault import Vault
from peers.database import Ground

A, EAST = "111111111111", "us-east-1"
NEWS, OFFERS = Topic("news", "News", OPT_IN), Topic("offers", "Offers", OPT_OUT)
ANNA = "anna@example.org"
MESSAGE = "0100018c1a2b3c4d-21e57d9a-1ab2-416c-bbe1-8ebaa0000000-000000"
VAULT = Vault(bytes(32))


@pytest.fixture
def ours(ground: Ground) -> ContactList:
    """A list, and a message that went to anna."""
    message = spool.Message(
        MESSAGE, A, EAST, "submission", "s@x.org", "r@x.org", "x.org", "", 0, 1, "db:x", "{}", ground.clock.now()
    )

    async def fill(tx: object) -> None:
        await contact_lists.create(tx, A, EAST, "ours", Described(None, (NEWS, OFFERS)))  # type: ignore[arg-type]
        await spool.put(tx, message, ())  # type: ignore[arg-type]

    ground.run(fill)
    return ground.read(lambda tx: contact_lists.get(tx, A, EAST, "ours"))


def ticket(ours: ContactList, topic: str = "news", **changed: str) -> Ticket:
    named = {"list": ours.id, "topic": ours.topic(topic).id if topic else "", "address": ANNA, "message": MESSAGE}
    return Ticket(**{**named, **changed})


def wishes(ground: Ground, ours: ContactList) -> Wishes:
    return ground.read(lambda tx: contacts.get(tx, ours, ANNA)).wishes


def told(ground: Ground) -> list[events.Event]:
    return ground.read(lambda tx: events.list_events(tx, A, EAST))


# -- tickets


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_what_is_sealed_is_read(list_: str, topic: str, address: str, message: str) -> None:
    sealed = subscriptions.seal(VAULT, Ticket(list_, topic, address, message))
    assert set(sealed) <= set(string.ascii_letters + string.digits + "-_")
    assert subscriptions.read(VAULT, sealed) == Ticket(list_, topic, address, message)


def test_the_longest_is_read() -> None:
    longest = Ticket("x" * 32, "x" * 32, "x" * 254, MESSAGE)
    sealed = subscriptions.seal(VAULT, longest)
    assert len(sealed) < 600
    assert subscriptions.read(VAULT, sealed) == longest
    assert "x" * 10 not in sealed


def refused(text: str, vault: Vault = VAULT) -> str:
    with pytest.raises(Invalid) as caught:
        subscriptions.read(vault, text)
    assert caught.value.kind == "ticket"
    return caught.value.message


def test_forged_ones_are_not() -> None:
    sealed = subscriptions.seal(VAULT, Ticket("list", "topic", ANNA, MESSAGE))
    for at in range(0, len(sealed), 7):
        other = "B" if sealed[at] == "A" else "A"
        assert refused(sealed[:at] + other + sealed[at + 1 :]) == "This link is not valid."
    for wrong in ("", sealed[:-1], sealed + "A", sealed + "=", f" {sealed}", sealed + "\n", "é" * 40, "A" * 100_000):
        assert refused(wrong) == "This link is not valid."
    # Another installation's, and something else that is sealed under the same key.
    assert refused(sealed, Vault(bytes([1]) * 32)) == "This link is not valid."
    elsewhere = base64.urlsafe_b64encode(VAULT.seal(b"secret", "access-key")).decode().rstrip("=")
    assert refused(elsewhere) == "This link is not valid."


@given(st.text(max_size=300))
def test_any_text_is_an_answer(text: str) -> None:
    assert refused(text) == "This link is not valid."


# -- changes


def test_one_click_is_about_the_topic(ground: Ground, ours: ContactList) -> None:
    attributes = '{"name": "Anna"}'
    ground.run(lambda tx: contacts.put(tx, ours, ANNA, Wishes({"offers": OPT_IN}, attributes=attributes)))
    ground.clock.advance(1000)
    after = ground.run(lambda tx: subscriptions.unsubscribe(tx, ticket(ours), source=BY_HEADER))
    assert after is not None
    assert not after.contact.wants(ours.topic("news"))
    assert wishes(ground, ours) == Wishes({"news": OPT_OUT, "offers": OPT_IN}, attributes=attributes)
    (event,) = told(ground)
    assert (event.kind, event.message, event.account, event.region) == (events.SUBSCRIPTION, MESSAGE, A, EAST)
    assert event.detail == {
        "contactList": "ours",
        "timestamp": events.iso(ground.clock.now()),
        "source": "UnsubscribeHeader",
        "newTopicPreferences": {
            "unsubscribeAll": False,
            "topicSubscriptionStatus": [
                {"topicName": "offers", "subscriptionStatus": "OptIn"},
                {"topicName": "news", "subscriptionStatus": "OptOut"},
            ],
            "topicDefaultSubscriptionStatus": [],
        },
        "oldTopicPreferences": {
            "unsubscribeAll": False,
            "topicSubscriptionStatus": [{"topicName": "offers", "subscriptionStatus": "OptIn"}],
            "topicDefaultSubscriptionStatus": [{"topicName": "news", "subscriptionStatus": "OptIn"}],
        },
    }
    # Again: nothing more to tell.
    ground.run(lambda tx: subscriptions.unsubscribe(tx, ticket(ours), source=BY_HEADER))
    assert len(told(ground)) == 1


def test_without_a_topic_it_is_all(ground: Ground, ours: ContactList) -> None:
    ground.run(lambda tx: contacts.put(tx, ours, ANNA, Wishes({"offers": OPT_IN})))
    ground.run(lambda tx: subscriptions.unsubscribe(tx, ticket(ours, ""), source=BY_HEADER))
    assert wishes(ground, ours) == Wishes({"offers": OPT_IN}, unsubscribed=True)
    assert told(ground)[0].detail["newTopicPreferences"]["unsubscribeAll"] is True


def test_where_the_topic_is_gone_it_is_all(ground: Ground, ours: ContactList) -> None:
    gone = ticket(ours)
    ground.run(lambda tx: contact_lists.update(tx, A, EAST, "ours", Described(None, (OFFERS,))))
    ground.run(lambda tx: subscriptions.unsubscribe(tx, gone, source=BY_HEADER))
    assert wishes(ground, ours).unsubscribed


def test_who_was_taken_off_the_list_can_still_say_no(ground: Ground, ours: ContactList) -> None:
    """Else the next mail would put them on it again, with nothing said."""
    ground.run(lambda tx: subscriptions.unsubscribe(tx, ticket(ours), source=BY_HEADER))
    assert wishes(ground, ours) == Wishes({"news": OPT_OUT})


def test_a_list_that_is_gone(ground: Ground, ours: ContactList) -> None:
    held = ticket(ours)
    ground.run(lambda tx: contact_lists.delete(tx, A, EAST, "ours"))
    ground.run(lambda tx: contact_lists.create(tx, A, EAST, "ours", Described(None, (NEWS, OFFERS))))
    assert ground.read(lambda tx: subscriptions.find(tx, held)) is None
    assert ground.run(lambda tx: subscriptions.unsubscribe(tx, held, source=BY_HEADER)) is None
    assert ground.run(lambda tx: subscriptions.choose(tx, held, {held.topic}, source=BY_PAGE)) is None
    assert told(ground) == []


def test_choices(ground: Ground, ours: ContactList) -> None:
    news, offers, held = ours.topic("news").id, ours.topic("offers").id, ticket(ours)

    def choose(*topics: str) -> Wishes:
        ground.run(lambda tx: subscriptions.choose(tx, held, topics, source=BY_PAGE))
        return wishes(ground, ours)

    assert choose(offers, "nonsense") == Wishes({"news": OPT_OUT, "offers": OPT_IN})
    assert told(ground)[-1].detail["source"] == "UnsubscribePage"
    assert choose() == Wishes({"news": OPT_OUT, "offers": OPT_OUT})
    ground.run(lambda tx: subscriptions.unsubscribe(tx, held, all_topics=True, source=BY_PAGE))
    assert choose().unsubscribed
    assert choose(news) == Wishes({"news": OPT_IN, "offers": OPT_OUT})
    assert [event.detail["newTopicPreferences"]["unsubscribeAll"] for event in told(ground)] == [
        False, False, True, False,
    ]  # fmt: skip


def test_a_list_without_topics_is_chosen_as_a_whole(ground: Ground, ours: ContactList) -> None:
    ground.run(lambda tx: contact_lists.update(tx, A, EAST, "ours", Described()))
    held = ticket(ours)
    ground.run(lambda tx: subscriptions.unsubscribe(tx, held, all_topics=True, source=BY_PAGE))
    ground.run(lambda tx: subscriptions.choose(tx, held, (), source=BY_PAGE))
    assert wishes(ground, ours) == Wishes()


def test_of_a_message_that_is_forgotten_nobody_is_told(ground: Ground, ours: ContactList) -> None:
    ground.run(lambda tx: subscriptions.unsubscribe(tx, ticket(ours, message="gone"), source=BY_HEADER))
    assert wishes(ground, ours) == Wishes({"news": OPT_OUT})
    assert told(ground) == []
