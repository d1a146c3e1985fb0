"""Unsubscribe: the page behind the link in list mail, and the one click of mail programs (RFC 8058; SES: sending §6).

GET shows what the reader gets and changes nothing: scanners and previews follow links too.  POST changes it, without
another question: a mail program's own (RFC 8058 §3.2), or that of the page's form, which works without script.
"""

from __future__ import annotations

import logging
from html import escape
from urllib.parse import parse_qsl

from mailstead.base.errors import Invalid
from mailstead.proto import parameters
from mailstead.proto.message import Message
from mailstead.proto.mime_structure import payload, walk
from mailstead.runtime import Runtime
from mailstead.servers.page import paragraph, sheet
from mailstead.servers.tracking import Answer, Visit, told
from mailstead.ses import subscriptions
from mailstead.ses.contact_lists import Topic
from mailstead.ses.subscriptions import BY_HEADER, BY_PAGE, Subscription, Ticket
from mailstead.store.port import Transaction

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST")
ONE_CLICK = ("List-Unsubscribe", "One-Click")  # RFC 8058 §3.1
MAX_FIELDS = 50
"""Of a form: twenty topics and what it is to do."""

ACTION, SAVE, NO_MORE = "action", "save", "unsubscribe"
"""The buttons of the form."""
TOPIC = "topic."
"""Its boxes: this and the topic's id."""

INVALID = told(
    "Link not valid",
    "This link does not lead to any subscription. It may have been cut off in the mail: please copy the whole link.",
    404,
)
GONE = told("No longer in use", "This mailing list is no longer in use. You will not get any more of its mail.")
UNKNOWN = told("Not understood", "Please go back and choose what you would like to get.", 400)

SAVED = "Your choice has been saved."
UNSUBSCRIBED = "You have been unsubscribed."


class Unsubscribe:
    """The page."""

    def __init__(self, runtime: Runtime) -> None:
        self._db = runtime.db
        self._vault = runtime.vault

    async def show(self, visit: Visit) -> Answer:
        """Show what the bearer of the link gets, or change it."""
        try:
            ticket = subscriptions.read(self._vault, visit.path.removeprefix("/"))
        except Invalid:
            return INVALID
        if visit.method != "POST":
            found = await self._db.read(lambda tx: subscriptions.find(tx, ticket))
            return GONE if found is None else _page(found)
        return await self._change(ticket, _form(visit))

    async def _change(self, ticket: Ticket, form: dict[str, str]) -> Answer:
        one_click = form.get(ONE_CLICK[0]) == ONE_CLICK[1]
        action = form.get(ACTION, "")
        topics = {name.removeprefix(TOPIC) for name in form if name.startswith(TOPIC)}

        async def body(tx: Transaction) -> Subscription | None:
            if one_click:
                return await subscriptions.unsubscribe(tx, ticket, source=BY_HEADER)
            if action == NO_MORE:
                return await subscriptions.unsubscribe(tx, ticket, all_topics=True, source=BY_PAGE)
            return await subscriptions.choose(tx, ticket, topics, source=BY_PAGE)

        if not one_click and action not in (SAVE, NO_MORE):
            return UNKNOWN
        after = await self._db.run(body)
        if after is None:
            return GONE
        found = after.list
        how = BY_HEADER if one_click else BY_PAGE
        log.info("subscription account=%s region=%s list=%s source=%s", found.account, found.region, found.name, how)
        return _page(after, SAVED if action == SAVE and not one_click else UNSUBSCRIBED)


# -- what was posted


def _form(visit: Visit) -> dict[str, str]:
    """The fields of a form in either of its two encodings (RFC 8058 §3.1); what cannot be read is empty."""
    kind, found = parameters.parse(visit.content_type)
    if kind == "multipart/form-data":
        return _multipart(visit, parameters.get(found, "boundary") or "")
    try:
        text = visit.body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        return {}


def _multipart(visit: Visit, boundary: str) -> dict[str, str]:
    """A form as a multipart (RFC 7578 §4.2), read as mail is."""
    header = f"Content-Type: {visit.content_type}\r\n\r\n".encode("latin-1", "replace")
    try:
        message = Message.parse(header + visit.body)
        parts = walk(message)[1:] if boundary else []
    except Invalid:
        return {}
    form: dict[str, str] = {}
    for part in parts[:MAX_FIELDS]:
        for field in part.fields:
            if field.lname == b"content-disposition":
                _, named = parameters.parse(message.text(field))
                name = parameters.get(named, "name")
                form[name or ""] = payload(message.content, part).decode("utf-8", "replace")
    return form


# -- what is shown


def _page(found: Subscription, news: str = "") -> Answer:
    title = "Your e-mail preferences"
    status = f'<p role="status"><strong>{escape(news)}</strong></p>\n' if news else ""
    about = f"These are the preferences of {found.contact.address}."
    if found.contact.wishes.unsubscribed:
        about += " You are unsubscribed from all mail of this list."
    described = paragraph(found.list.description) if found.list.description else ""
    return Answer(200, sheet(title, f"{status}{paragraph(about)}{described}{_choices(found)}"))


def _choices(found: Subscription) -> str:
    """The form; it goes back to the address it came from."""
    boxes = "".join(_box(topic, chosen=found.contact.wants(topic)) for topic in found.list.topics)
    fields = f"<fieldset>\n<legend>I would like to get</legend>\n{boxes}</fieldset>\n" if boxes else ""
    unsubscribed = found.contact.wishes.unsubscribed
    save = _button(SAVE, "Save" if boxes else "Subscribe again") if boxes or unsubscribed else ""
    no_more = "" if unsubscribed else _button(NO_MORE, "Unsubscribe from all")
    return f'<form method="post">\n{fields}{save}{no_more}</form>\n'


def _box(topic: Topic, *, chosen: bool) -> str:
    id_ = escape(TOPIC + topic.id)
    checked = " checked" if chosen else ""
    described = f' aria-describedby="{id_}.about"' if topic.description else ""
    about = f'<p id="{id_}.about">{escape(topic.description)}</p>\n' if topic.description else ""
    box = f'<input type="checkbox" id="{id_}" name="{id_}" value="on"{checked}{described}>'
    return f'<label for="{id_}">{box} {escape(topic.display)}</label>\n{about}'


def _button(action: str, words: str) -> str:
    return f'<p><button type="submit" name="{ACTION}" value="{action}">{escape(words)}</button></p>\n'
