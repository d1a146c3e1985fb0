"""Unsubscribe links: how the reader of list mail gets out of it, in its header and where its sender put the place.

Only mail to one recipient has them: the link is that recipient's (SES: sending §6).  Mail that its sender signed is
left as it is.  Both fields are among those that DKIM covers (``proto/dkim.py``; RFC 8058 §4).
"""

from __future__ import annotations

from html import escape

from mailstead.base.address import bare
from mailstead.base.errors import Invalid
from mailstead.outbound.composition import Draft
from mailstead.proto.message import Message
from mailstead.proto.mime_edit import edit_texts
from mailstead.ses.list_management import Listing
from mailstead.ses.subscriptions import Ticket, seal
from mailstead.store.vault import Vault

PATH = "/unsubscribe"
"""Of the page that a link leads to (servers/unsubscribe.py)."""
ATTRIBUTE = "amazonSESUnsubscribeUrl"
PLACE = "{{" + ATTRIBUTE + "}}"
"""Where a sender wants the link; in a template too, which leaves it as it is."""
PLACES = 2
"""Of a text, those that are filled; further ones stay (SES: sending §6)."""
FIELDS = ("List-Unsubscribe", "List-Unsubscribe-Post")

NO_PLACE = (
    "List management needs a place for its links: the tracking listener is off and tracking.public_url is not set."
)


def ticket_of(listing: Listing | None, draft: Draft, message_id: str) -> Ticket | None:
    """What the link of a message is good for; None: it has none."""
    if listing is None or len(draft.recipients) != 1 or draft.message.first("DKIM-Signature") is not None:
        return None
    topic = listing.topic.id if listing.topic is not None else ""
    return Ticket(listing.list.id, topic, bare(draft.recipients[0].address), message_id)


def link(vault: Vault, base: str, ticket: Ticket) -> str:
    """The address of a ticket's page.

    Raises:
        Invalid: there is nowhere it could be.
    """
    if not base:
        raise Invalid(NO_PLACE)
    return f"{base.rstrip('/')}{PATH}/{seal(vault, ticket)}"


def linked(message: Message, address: str) -> Message:
    """The message with this link in it; what its sender wrote into these fields goes (RFC 2369 §3.2, RFC 8058 §3.1)."""

    def fill(kind: str, text: bytes) -> bytes:
        written = escape(address) if kind == "text/html" else address
        return text.replace(PLACE.encode(), written.encode(), PLACES)

    fields = f"List-Unsubscribe: <{address}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    filled = Message.parse(edit_texts(message, fill))
    return Message.parse(filled.edit(remove=FIELDS, append=fields.encode()))
