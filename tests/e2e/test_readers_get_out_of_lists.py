"""Readers get out of a list: mail at a real MX, its link followed by a real HTTP client, one click, no more mail."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from botocore.exceptions import ClientError

from peers.town import PROVIDER, SENDER, Arrived, Town, id_of

pytestmark = pytest.mark.slow

ANN, BOB = "ann@one.test", "bob@one.test"
TOPICS = [
    {"TopicName": "news", "DisplayName": "News", "DefaultSubscriptionStatus": "OPT_IN"},
    {"TopicName": "offers", "DisplayName": "Offers", "DefaultSubscriptionStatus": "OPT_IN"},
]
PLACE = "{{amazonSESUnsubscribeUrl}}"


@pytest.fixture
def v2(town: Town) -> Iterator[Any]:
    """A client, with the list ``readers`` of two topics."""
    client = town.server.sesv2()
    client.create_contact_list(ContactListName="readers", Topics=TOPICS)
    yield client
    client.delete_contact_list(ContactListName="readers")


def send(v2: Any, to: str, topic: str = "news", content: dict[str, Any] | None = None) -> str:
    simple = {
        "Subject": {"Data": "What is new"},
        "Body": {"Text": {"Data": f"out: {PLACE}\n"}, "Html": {"Data": f'<p>Grüße! <a href="{PLACE}">out</a></p>'}},
    }
    sent = v2.send_email(
        FromEmailAddress=SENDER,
        Destination={"ToAddresses": [to]},
        Content=content or {"Simple": simple},
        ListManagementOptions={"ContactListName": "readers", "TopicName": topic},
    )
    return str(sent["MessageId"])


def ask(link: str, method: str = "GET", **fields: str) -> tuple[int, str]:
    """Status and page; ``fields`` with a ``_`` for each ``-``."""
    url = urlsplit(link)
    client = http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)
    try:
        body = urlencode({name.replace("_", "-"): value for name, value in fields.items()})
        client.request(method, url.path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    finally:
        client.close()


def header_link(mail: Arrived) -> str:
    return str(mail.parsed["List-Unsubscribe"]).removeprefix("<").removesuffix(">")


def wanted(v2: Any, address: str) -> tuple[dict[str, str], bool]:
    found = v2.get_contact(ContactListName="readers", EmailAddress=address)
    return {one["TopicName"]: one["SubscriptionStatus"] for one in found["TopicPreferences"]}, found["UnsubscribeAll"]


def kinds(town: Town, message: str) -> list[str]:
    return [event["kind"] for event in town.events(message)]


def test_one_click(town: Town, v2: Any) -> None:
    message = send(v2, ANN)
    mail = town.arrived(ANN, message)
    assert mail.parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert town.signers(mail.content) == ["sender.test", PROVIDER]
    covered = re.findall(rb"\bh=([^;]+);", mail.head)
    assert len(covered) == 2
    assert all(b"list-unsubscribe-post" in re.sub(rb"\s", b"", names).lower() for names in covered)
    # Mail of the first send put ann on the list; looking at the page changes nothing.
    link = header_link(mail)
    status, page = ask(link)
    assert (status, ANN in page) == (200, True)
    assert wanted(v2, ANN) == ({}, False)
    assert ask(link, "POST", List_Unsubscribe="One-Click")[0] == 200
    assert wanted(v2, ANN) == ({"news": "OPT_OUT"}, False)
    # The next one of the topic is not sent, and that is told.
    second = send(v2, ANN)
    (delivery,) = town.trace(second)["deliveries"]
    assert (delivery["state"], delivery["attempts"]) == ("suppressed", 0)
    assert kinds(town, second) == ["Send", "Bounce"]
    bounce = town.events(second)[1]["detail"]
    assert (bounce["bounceType"], bounce["bounceSubType"]) == ("Permanent", "UnsubscribedRecipient")
    # One of the other topic is.
    assert town.arrived(ANN, send(v2, ANN, "offers"))
    assert town.find(ANN, second) is None
    told = [event["detail"] for event in town.events(message) if event["kind"] == "Subscription"]
    assert [(one["contactList"], one["source"]) for one in told] == [("readers", "UnsubscribeHeader")]


def test_the_page(town: Town, v2: Any) -> None:
    mail = town.arrived(BOB, send(v2, BOB))
    text, html = mail.parsed.get_body(("plain",)), mail.parsed.get_body(("html",))
    assert text is not None
    assert html is not None
    link = text.get_content().removeprefix("out: ").strip()
    assert link == header_link(mail)
    assert f'<p>Grüße! <a href="{link}">out</a></p>' in html.get_content()
    _, page = ask(link)
    boxes = re.findall(r'<input type="checkbox" id="([^"]+)" name="[^"]+" value="on" checked>', page)
    assert len(boxes) == 2
    status, page = ask(link, "POST", action="save", **{boxes[1]: "on"})
    assert (status, page.count(" checked>")) == (200, 1)
    assert wanted(v2, BOB) == ({"news": "OPT_OUT", "offers": "OPT_IN"}, False)
    assert ask(link, "POST", action="unsubscribe")[0] == 200
    assert wanted(v2, BOB)[1]
    listed = v2.list_contacts(ContactListName="readers", Filter={"FilteredStatus": "OPT_OUT"})["Contacts"]
    assert [one["EmailAddress"] for one in listed] == [BOB]
    assert kinds(town, send(v2, BOB, "offers")) == ["Send", "Bounce"]


def test_by_smtp_and_by_template(town: Town, v2: Any) -> None:
    raw = (
        f"From: {SENDER}\r\nTo: {ANN}\r\nSubject: list\r\nX-SES-LIST-MANAGEMENT-OPTIONS: readers; topic=offers\r\n\r\n"
        f"out: {PLACE}\r\n"
    ).encode()
    by_smtp = town.arrived(ANN, id_of(town.submit(raw, SENDER, ANN)))
    assert by_smtp.body.strip() == f"out: {header_link(by_smtp)}".encode()
    inline = {"Subject": "Hi {{name}}", "Text": "{{name}}: {{amazonSESUnsubscribeUrl}}\n"}
    template = {"Template": {"TemplateContent": inline, "TemplateData": '{"name": "Ann"}'}}
    by_template = town.arrived(ANN, send(v2, ANN, content=template))
    assert by_template.parsed.get_content().strip() == f"Ann: {header_link(by_template)}"
    refusal = town.submit(raw.replace(b"readers;", b"others;"), SENDER, ANN)
    assert refusal == "554 Message rejected: List with name: others doesn't exist."
    refusal = town.submit(raw.replace(b"topic=offers", b"topic=weather"), SENDER, ANN)
    assert refusal == "554 Transaction failed: List: readers doesn't contain Topic: weather"
    with pytest.raises(ClientError) as caught:
        send(v2, ANN, "weather")
    assert caught.value.response["Error"]["Code"] == "BadRequestException"


def test_forged_links_lead_nowhere(town: Town, v2: Any) -> None:
    link = header_link(town.arrived(ANN, send(v2, ANN)))
    for forged in (link[:-1], link + "A", link[:-10] + "AAAAAAAAAA", link.rpartition("/")[0] + "/x"):
        assert ask(forged)[0] == 404
        assert ask(forged, "POST", List_Unsubscribe="One-Click")[0] == 404
    assert wanted(v2, ANN) == ({}, False)
    v2.delete_contact_list(ContactListName="readers")
    v2.create_contact_list(ContactListName="readers", Topics=TOPICS)
    # A link of the list that was is none of the list that is.
    assert ask(link, "POST", List_Unsubscribe="One-Click")[0] == 200
    assert v2.list_contacts(ContactListName="readers")["Contacts"] == []
