"""The unsubscribe page on both databases, asked over ASGI: what it shows, what changes it and what does not."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest

from mailstead.proto.dns import Resolver
from mailstead.runtime import Runtime
from mailstead.servers.tracking import Page, Tracking
from mailstead.servers.unsubscribe import METHODS, Unsubscribe
from mailstead.ses import contact_lists, contacts, subscriptions
from mailstead.ses.contact_lists import OPT_IN, OPT_OUT, ContactList, Described, Topic
from mailstead.ses.contacts import Wishes
from mailstead.ses.subscriptions import Ticket
from peers.database import Ground, ground

__all__ = ["ground"]

A, EAST = "111111111111", "us-east-1"
ANNA = "anna@example.org"
TOPICS = (
    Topic("news", 'News <script>alert("1")</script> & more', OPT_IN, "All <b>that</b> is new"),
    Topic("offers", "Offers", OPT_OUT),
)
FORM = "application/x-www-form-urlencoded"
ONE_CLICK = b"List-Unsubscribe=One-Click"
MULTIPART = b'--xy\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--xy--\r\n'


class Form(HTMLParser):
    """What a reader's browser makes of the page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.boxes: dict[str, bool] = {}
        self.labels: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.tags: list[str] = []
        self.described: list[str] = []
        self.method = ""
        self._label = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self.ids.add(named.get("id", ""))
        if tag == "form":
            self.method = named["method"]
        if tag == "input":
            assert named["type"] == "checkbox"
            self.boxes[named["name"]] = "checked" in named
            self.described.append(named.get("aria-describedby", ""))
        if tag == "label":
            self._label = named["for"]
        if tag == "button":
            self.buttons.append((named["name"], named["value"]))

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._label = ""

    def handle_data(self, data: str) -> None:
        if self._label:
            self.labels[self._label] = self.labels.get(self._label, "") + data


@dataclass
class Reader:
    """Somebody with a link."""

    ground: Ground
    app: Tracking
    ours: ContactList

    def link(self, topic: str = "news", **changed: str) -> str:
        """The path of a ticket."""
        topic_id = self.ours.topic(topic).id if topic else ""
        named = {"list": self.ours.id, "topic": topic_id, "address": ANNA, "message": "m", **changed}
        return "/unsubscribe/" + subscriptions.seal(self.ground.vault, Ticket(**named))

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = FORM) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", kind.encode())],
            "client": ("192.0.2.1", 5000),
        }
        self.ground.loop.run_until_complete(self.app(scope, receive, send))
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, sent[1]["body"]

    def post(self, path: str, **fields: str) -> tuple[int, bytes]:
        """A form sent off."""
        status, _, body = self.ask("POST", path, urlencode(fields).encode())
        return status, body

    @property
    def wishes(self) -> Wishes | None:
        """What is kept of anna; None: nothing."""
        found = self.ground.read(lambda tx: contacts.among(tx, self.ours, [ANNA])).get(ANNA)
        return found.wishes if found else None


@pytest.fixture
def reader(ground: Ground) -> Reader:
    described = Described("What <we> write", TOPICS)
    ground.run(lambda tx: contact_lists.create(tx, A, EAST, "ours", described))
    ours = ground.read(lambda tx: contact_lists.get(tx, A, EAST, "ours"))
    runtime = Runtime(ground.db, None, ground.clock, Resolver, None, ground.vault, "w")  # type: ignore[arg-type]
    return Reader(ground, Tracking((Page("/unsubscribe", Unsubscribe(runtime).show, METHODS),)), ours)


def box(reader: Reader, topic: str) -> str:
    return f"topic.{reader.ours.topic(topic).id}"


def test_looking_changes_nothing(reader: Reader) -> None:
    for method in ("GET", "HEAD", "GET"):
        status, headers, body = reader.ask(method, reader.link())
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert (body == b"") is (method == "HEAD")
    assert reader.wishes is None
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert reader.ask(method, reader.link(), ONE_CLICK)[0] == 405
    assert reader.wishes is None


def test_what_it_shows(reader: Reader) -> None:
    body = reader.ask("GET", reader.link())[2]
    assert b"<script" not in body
    assert b"<b>that" not in body
    assert b"What &lt;we&gt; write" in body
    assert ANNA.encode() in body
    form = Form(body)
    news, offers = box(reader, "news"), box(reader, "offers")
    assert form.boxes == {news: True, offers: False}
    assert {name: text.strip() for name, text in form.labels.items()} == {
        news: TOPICS[0].display, offers: "Offers",
    }  # fmt: skip
    assert set(form.described) - {""} <= form.ids
    assert form.buttons == [("action", "save"), ("action", "unsubscribe")]
    assert form.method == "post"
    assert "legend" in form.tags


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (ONE_CLICK, FORM),
        (ONE_CLICK, FORM + "; charset=utf-8"),
        (ONE_CLICK, ""),
        (MULTIPART, "multipart/form-data; boundary=xy"),
        (MULTIPART, 'Multipart/Form-Data; boundary="xy"'),
    ],
)
def test_one_click(reader: Reader, body: bytes, kind: str) -> None:
    status, headers, page = reader.ask("POST", reader.link(), body, kind)
    assert (status, "location" in headers) == (200, False)
    assert b'role="status"' in page
    assert reader.wishes == Wishes({"news": OPT_OUT})
    assert reader.ask("POST", reader.link(), body, kind)[0] == 200
    assert reader.wishes == Wishes({"news": OPT_OUT})


def test_one_click_of_the_whole_list(reader: Reader) -> None:
    assert reader.ask("POST", reader.link(""), ONE_CLICK)[0] == 200
    assert reader.wishes == Wishes(unsubscribed=True)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", FORM),
        (b"List-Unsubscribe=two", FORM),
        (b"action=explode", FORM),
        ("é=1".encode(), FORM),
        (b"&a=1" * 60, FORM),
        (b"no multipart at all", "multipart/form-data; boundary=xy"),
        (MULTIPART, "multipart/form-data"),
        (b"--xy\r\n" * 5000, "multipart/form-data; boundary=xy"),
        (ONE_CLICK, "multipart/form-data; boundary=xy"),
        (b"\0\xff", "text/\xe9"),
    ],
)
def test_what_is_no_form_changes_nothing(reader: Reader, body: bytes, kind: str) -> None:
    status, _, page = reader.ask("POST", reader.link(), body, kind)
    assert (status, b"Not understood" in page) == (400, True)
    assert reader.wishes is None


def test_choices(reader: Reader) -> None:
    news, offers = box(reader, "news"), box(reader, "offers")
    status, body = reader.post(reader.link(), action="save", **{offers: "on"})
    assert (status, b"Your choice has been saved." in body) == (200, True)
    assert Form(body).boxes == {news: False, offers: True}
    assert reader.wishes == Wishes({"news": OPT_OUT, "offers": OPT_IN})
    assert reader.post(reader.link(), action="unsubscribe", **{offers: "on"})[0] == 200
    assert reader.wishes == Wishes({"news": OPT_OUT, "offers": OPT_IN}, unsubscribed=True)
    shown = Form(reader.ask("GET", reader.link())[2])
    assert (shown.boxes, shown.buttons) == ({news: False, offers: False}, [("action", "save")])
    reader.post(reader.link(), action="save", **{news: "on", "topic.nonsense": "on"})
    assert reader.wishes == Wishes({"news": OPT_IN, "offers": OPT_OUT})


def test_a_list_without_topics(reader: Reader) -> None:
    reader.ground.run(lambda tx: contact_lists.update(tx, A, EAST, "ours", Described()))
    path = reader.link("")
    assert Form(reader.ask("GET", path)[2]).buttons == [("action", "unsubscribe")]
    reader.post(path, action="unsubscribe")
    assert reader.wishes == Wishes(unsubscribed=True)
    form = Form(reader.ask("GET", path)[2])
    assert (form.boxes, form.buttons) == ({}, [("action", "save")])
    reader.post(path, action="save")
    assert reader.wishes == Wishes()


def test_a_list_that_is_gone(reader: Reader) -> None:
    path = reader.link()
    reader.ground.run(lambda tx: contact_lists.delete(tx, A, EAST, "ours"))
    for method, body in (("GET", b""), ("POST", ONE_CLICK), ("POST", b"action=save")):
        status, _, page = reader.ask(method, path, body)
        assert (status, b"no longer in use" in page) == (200, True)


@pytest.mark.parametrize("change", ["cut", "longer", "turned", "empty", "slash", "path", "long"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_forged_links(reader: Reader, change: str, method: str) -> None:
    good = reader.link()
    at = len("/unsubscribe/") + 40
    forged = {
        "cut": good[:-1],
        "longer": good + "A",
        "turned": good[:at] + ("B" if good[at] == "A" else "A") + good[at + 1 :],
        "empty": "/unsubscribe",
        "slash": good + "/",
        "path": "/unsubscribe/../" + good,
        "long": "/unsubscribe/" + "A" * 10_000,
    }[change]
    status, _, page = reader.ask(method, forged, ONE_CLICK)
    assert (status, b"Link not valid" in page) == (404, True)
    assert reader.wishes is None
