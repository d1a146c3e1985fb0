"""List mail on its way: links in it, who does not get it, who comes on the list; on both databases."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from email.message import EmailMessage

import dkim
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailstead.base.errors import Invalid, NotFound
from mailstead.outbound.composition import Options, Simple, Templated
from mailstead.outbound.handed_in import Terms
from mailstead.outbound.submission import Submissions
from mailstead.proto.dkim import DkimKey, sign
from mailstead.ses import contact_lists, contacts, events, subscriptions, suppression, templates
from mailstead.ses.contact_lists import OPT_IN, OPT_OUT, ContactList, Described, Topic
from mailstead.ses.contacts import Contact, Wishes
from mailstead.ses.list_management import DIAGNOSTIC, Managed
from mailstead.ses.subscriptions import Ticket
from mailstead.store import spool
from peers.yard import ACCOUNT, REGION, SENDER, Yard

BASE = "https://mail.example/x"
TOPICS = (Topic("news", "News", OPT_IN), Topic("offers", "Offers", OPT_OUT))
ANNA, BERT = "anna@example.net", "bert@example.net"
NEWS = Options(list_management=Managed("ours", "news"))
PLACE = "{{amazonSESUnsubscribeUrl}}"
HEADER = b"X-SES-LIST-MANAGEMENT-OPTIONS: ours; topic=news\r\n"
LINK = re.compile(rf"{BASE}/unsubscribe/([A-Za-z0-9_-]+)")


@pytest.fixture
def ours(yard: Yard) -> ContactList:
    """A list, and a door that knows where links lead."""
    terms = Terms(yard.terms.provider, yard.terms.retry_for, yard.terms.new_account, links=lambda: BASE)
    yard.submissions = Submissions(yard.runtime, yard.router, terms, yard.limiter)
    yard.run(lambda tx: contact_lists.create(tx, ACCOUNT, REGION, "ours", Described(None, TOPICS)))
    return yard.ground.read(lambda tx: contact_lists.get(tx, ACCOUNT, REGION, "ours"))


def simple(text: str | None = None, html: str | None = None, **more: object) -> Simple:
    return Simple(
        ("hello", None), None if text is None else (text, None), None if html is None else (html, None), **more
    )  # type: ignore[arg-type]


def content(yard: Yard, message: str) -> bytes:
    found = yard.ground.read(lambda tx: spool.read(tx, message))
    assert found is not None
    return yard.wait(yard.blobs.get(found.blob))


def arrived(yard: Yard, message: str) -> EmailMessage:
    read = email.message_from_bytes(content(yard, message), policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def send(yard: Yard, *to: str, options: Options = NEWS, **given: object) -> str:
    return yard.submit(raw=None, to=to, destinations=None, options=options, operation="SendEmail", **given)  # type: ignore[arg-type]


def contact(yard: Yard, ours: ContactList, address: str) -> Contact | None:
    return yard.ground.read(lambda tx: contacts.among(tx, ours, [address])).get(address)


def put(yard: Yard, ours: ContactList, address: str, wishes: Wishes) -> None:
    yard.run(lambda tx: contacts.put(tx, ours, address, wishes))


# -- the link


def test_in_text_html_and_header(yard: Yard, ours: ContactList) -> None:
    message = send(yard, f"Anna <{ANNA}>", simple=simple(f"{PLACE}\n", f'<a href="{PLACE}">out</a> {PLACE} {PLACE}'))
    mail = arrived(yard, message)
    link = mail["List-Unsubscribe"].removeprefix("<").removesuffix(">")
    found = LINK.fullmatch(link)
    assert found is not None
    held = subscriptions.read(yard.runtime.vault, found[1])
    assert held == Ticket(ours.id, ours.topic("news").id, ANNA, message)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == link
    # Two places are filled, a third stays (SES: sending §6).
    assert html.get_content().strip() == f'<a href="{link}">out</a> {link} {PLACE}'
    assert mail["X-SES-LIST-MANAGEMENT-OPTIONS"] is None


@pytest.mark.parametrize("topic", ["", "news"])
def test_raw_mail_names_its_list_in_a_header(yard: Yard, ours: ContactList, topic: str) -> None:
    header = HEADER if topic else b"X-SES-LIST-MANAGEMENT-OPTIONS: ours\r\n"
    own = b"List-Unsubscribe: <mailto:me@example.com>\r\nlist-unsubscribe-post: x\r\n"
    body = f"\r\n\r\nout: =7B=7Bamazon=\r\nSESUnsubscribeUrl=7D=7D = {PLACE}\r\n".encode().replace(b"= {", b"=3D {")
    raw = header + own + b"From: sender@example.com\r\nContent-Transfer-Encoding: quoted-printable" + body
    mail = arrived(yard, yard.submit(ANNA, raw=raw, operation="SMTP"))
    (link,) = mail.get_all("List-Unsubscribe")
    assert mail.get_all("List-Unsubscribe-Post") == ["List-Unsubscribe=One-Click"]
    address = link[1:-1]
    assert mail.get_content().strip() == f"out: {address} = {address}"
    found = LINK.fullmatch(address)
    assert found is not None
    held = subscriptions.read(yard.runtime.vault, found[1])
    assert held.topic == (ours.topic(topic).id if topic else "")
    assert mail["X-SES-LIST-MANAGEMENT-OPTIONS"] is None


@pytest.mark.usefixtures("ours")
def test_a_template_keeps_the_place(yard: Yard) -> None:
    made = templates.Content("Hi {{name}}", "{{name}}: {{amazonSESUnsubscribeUrl}}", None)
    message = send(yard, ANNA, templated=Templated(made, {"name": "Anna"}))
    mail = arrived(yard, message)
    assert [event.kind for event in yard.events(message)] == ["Send"]
    assert mail.get_content().strip() == f"Anna: {mail['List-Unsubscribe'][1:-1]}"


@pytest.mark.usefixtures("ours")
def test_to_several_there_is_none(yard: Yard) -> None:
    mail = arrived(yard, send(yard, ANNA, BERT, simple=simple(f"{PLACE}\n")))
    assert (mail["List-Unsubscribe"], mail["List-Unsubscribe-Post"]) == (None, None)
    assert mail.get_content().strip() == PLACE


@pytest.mark.usefixtures("ours")
def test_what_its_sender_signed_stays_as_it_is(yard: Yard) -> None:
    signed = b"DKIM-Signature: v=1; d=example.com\r\nList-Unsubscribe: <https://own.example>\r\n"
    raw = HEADER + signed + f"From: sender@example.com\r\n\r\n{PLACE}\r\n".encode()
    mail = arrived(yard, yard.submit(ANNA, raw=raw))
    assert (mail["List-Unsubscribe"], mail["List-Unsubscribe-Post"]) == ("<https://own.example>", None)
    assert mail.get_content().strip() == PLACE


@pytest.mark.usefixtures("ours")
def test_other_mail_has_none(yard: Yard) -> None:
    mail = arrived(yard, send(yard, ANNA, options=Options(), simple=simple(f"{PLACE}\n")))
    assert mail["List-Unsubscribe"] is None
    assert mail.get_content().strip() == PLACE


@pytest.mark.usefixtures("ours")
def test_a_large_one(yard: Yard) -> None:
    mail = arrived(yard, send(yard, ANNA, simple=simple("x" * 70 + "\n" + f"{'y ' * 300_000}{PLACE}\n")))
    assert mail.get_content().strip().endswith(f"y {mail['List-Unsubscribe'][1:-1]}")


@pytest.mark.usefixtures("ours")
def test_dkim_covers_the_fields(yard: Yard) -> None:
    """RFC 8058 §4; judged by dkimpy."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    record = b"v=DKIM1; k=ed25519; p=" + base64.b64encode(public)
    mail = content(yard, send(yard, ANNA, simple=simple(f"{PLACE}\n")))
    signature = sign(mail, [DkimKey("example.com", "s", private)], yard.clock.now() // 1000)
    names = re.search(rb"\th=([^;]+);", signature)
    assert names is not None
    covered = {name.strip().lower() for name in names[1].split(b":")}
    assert {b"list-unsubscribe", b"list-unsubscribe-post"} <= covered
    assert dkim.verify(signature + mail, dnsfunc=lambda name, timeout=5: record)
    changed = mail.replace(b"One-Click", b"Two-Click")
    assert not dkim.verify(signature + changed, dnsfunc=lambda name, timeout=5: record)


@pytest.mark.usefixtures("ours")
def test_nowhere_to_lead_to(yard: Yard) -> None:
    yard.submissions = Submissions(yard.runtime, yard.router, yard.terms, yard.limiter)
    with pytest.raises(Invalid) as caught:
        send(yard, ANNA, simple=simple("x"))
    assert "tracking.public_url" in caught.value.message
    assert yard.rows("SELECT 1 FROM messages") == []
    assert send(yard, ANNA, BERT, simple=simple("x"))


# -- who gets it


def test_who_is_not_on_the_list_comes_on_it(yard: Yard, ours: ContactList) -> None:
    put(yard, ours, BERT, Wishes({"news": OPT_IN}))
    send(yard, "Anna <anna@EXAMPLE.net>", BERT, simple=simple("x"))
    found = contact(yard, ours, ANNA)
    assert found is not None
    assert (found.wishes, found.created) == (Wishes(), yard.clock.now())
    known = contact(yard, ours, BERT)
    assert known is not None
    assert known.wishes == Wishes({"news": OPT_IN})


@pytest.mark.parametrize(
    ("topic", "wishes"),
    [
        ("news", Wishes({"news": OPT_OUT})),
        ("news", Wishes({"news": OPT_IN}, unsubscribed=True)),
        ("offers", Wishes()),
        ("", Wishes(unsubscribed=True)),
    ],
)
def test_who_does_not_want_it_does_not_get_it(yard: Yard, ours: ContactList, topic: str, wishes: Wishes) -> None:
    put(yard, ours, ANNA, wishes)
    options = Options(list_management=Managed("ours", topic))
    message = send(yard, f"Anna <{ANNA}>", options=options, simple=simple(f"{PLACE}"))
    assert yard.states(message) == [(ANNA, "suppressed")]
    assert yard.deliveries(message)[0].reply == f"550 5.1.1 {DIAGNOSTIC}"
    found = yard.ground.read(lambda tx: spool.read(tx, message))
    assert found is not None
    sent, bounce = [events.document(event, msgspec.json.decode(found.mail_json)) for event in yard.events(message)]
    assert sent["eventType"] == "Send"
    told = bounce["bounce"]
    assert (told["bounceType"], told["bounceSubType"]) == ("Permanent", "UnsubscribedRecipient")
    (recipient,) = told["bouncedRecipients"]
    assert recipient["emailAddress"] == f"Anna <{ANNA}>"
    ((to, notice),) = yard.notices()
    assert to == SENDER
    assert b"unsubscribed from the contact list" in notice.replace(b"\r\n ", b" ")
    yard.deliver()
    assert yard.script.tried == [SENDER]
    # Not a hard bounce: the address itself is good.
    assert yard.ground.read(lambda tx: suppression.list_page(tx, ACCOUNT, REGION)) == []


def test_the_others_get_it(yard: Yard, ours: ContactList) -> None:
    put(yard, ours, ANNA, Wishes(unsubscribed=True))
    yard.run(lambda tx: suppression.put(tx, ACCOUNT, REGION, "carl@example.net", "BOUNCE"))
    yard.run(lambda tx: suppression.put(tx, ACCOUNT, REGION, ANNA, "BOUNCE"))
    put(yard, ours, "dora@example.net", Wishes(unsubscribed=True))
    message = send(yard, ANNA, BERT, "carl@example.net", "dora@example.net", simple=simple("x"))
    assert [state for _, state in yard.states(message)] == ["suppressed", "queued", "suppressed", "suppressed"]
    bounces = [event.detail for event in yard.events(message) if event.kind == events.BOUNCE]
    told = {one["bounceSubType"]: [to["emailAddress"] for to in one["bouncedRecipients"]] for one in bounces}
    assert told == {
        "OnAccountSuppressionList": [ANNA, "carl@example.net"],
        "UnsubscribedRecipient": ["dora@example.net"],
    }


def test_other_mail_reaches_those_who_unsubscribed(yard: Yard, ours: ContactList) -> None:
    put(yard, ours, ANNA, Wishes(unsubscribed=True))
    assert yard.states(send(yard, ANNA, options=Options(), simple=simple("x"))) == [(ANNA, "queued")]


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("managed", "error", "text"),
    [
        (Managed("none"), NotFound, "List with name: none doesn't exist."),
        (Managed("ours", "weather"), Invalid, "List: ours doesn't contain Topic: weather"),
    ],
)
def test_lists_and_topics_that_are_not_there(yard: Yard, managed: Managed, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        send(yard, ANNA, options=Options(list_management=managed), simple=simple("x"))
    assert str(caught.value) == text


@pytest.mark.usefixtures("ours")
def test_a_header_that_is_none(yard: Yard) -> None:
    raw = b"X-SES-LIST-MANAGEMENT-OPTIONS: ours; subject=x\r\nFrom: sender@example.com\r\n\r\nx\r\n"
    with pytest.raises(Invalid, match=r"^Invalid X-SES-LIST-MANAGEMENT-OPTIONS header"):
        yard.submit(ANNA, raw=raw)


@pytest.mark.usefixtures("ours")
def test_the_api_wins_over_the_header(yard: Yard) -> None:
    raw = b"X-SES-LIST-MANAGEMENT-OPTIONS: none\r\nFrom: sender@example.com\r\n\r\nx\r\n"
    assert arrived(yard, yard.submit(ANNA, raw=raw, options=NEWS))["List-Unsubscribe"]


def test_a_template_that_fails_puts_nobody_on_the_list(yard: Yard, ours: ContactList) -> None:
    made = templates.Content("Hi", "{{missing}}", None)
    message = send(yard, ANNA, templated=Templated(made, {}))
    assert [event.kind for event in yard.events(message)] == ["Send", "Rendering Failure"]
    assert contact(yard, ours, ANNA) is None
