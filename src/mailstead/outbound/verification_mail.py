"""Verification mail: asks whoever reads an address whether an account may send as it (SES: sending §1.1).

It is mail of our own, from the provider's ``no-reply``: it makes no events and counts on nobody's quota.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from html import escape

from mailstead.base.errors import Closed, Conflict
from mailstead.base.ids import message_id as new_id
from mailstead.outbound import composition
from mailstead.outbound.composition import Simple
from mailstead.outbound.handed_in import LANES, Lanes
from mailstead.proto import mail_html, mime, verp
from mailstead.proto.message import Message
from mailstead.ses import account as accounts
from mailstead.ses import address_proofs, custom_verification
from mailstead.ses.identities import Identity
from mailstead.store import spool
from mailstead.store.port import BlobStore, Signal, Transaction

log = logging.getLogger(__name__)

PATH = "/verify"
"""Of the page that a link leads to (servers/verify.py)."""

NO_PLACE = (
    "No verification link can be made: the tracking listener is off and tracking.public_url is not set."
    " The operator may vouch for an address instead: mailstead identity verify ADDRESS"
)

_SUBJECT = "Email Address Verification Request in region {region}"
_TEXT = """\
Hello,

somebody who sends mail through {provider} asks to use this address as a sender:

    {name}
    (account {account}, region {region})

If that was you, open this link within 24 hours to confirm it:

{link}

If it was not, you need do nothing: without the link nobody can send as you through us.
This message was written by a program, and nobody reads replies to it.
"""

_BELOW = (
    "You get this mail because {sender} asked whether this is your address. The link is good for 24 hours."
    " If you did not ask for it, you need do nothing."
)

_END = re.compile(r"</body\s*+>\s*+(?:</html\s*+>\s*+)?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Links:
    """Where links to the tracking listener begin."""

    base: str
    """``https://host``; empty: nowhere."""

    def verify(self, token: str) -> str:
        """The link of a proof."""
        return f"{self.base}{PATH}?token={token}"

    def check(self) -> None:
        """Can there be links at all?

        Raises:
            Conflict: no; the text says what the operator can do.
        """
        if not self.base:
            raise Conflict(NO_PLACE, kind="no-links")


def custom(template: custom_verification.Template, link: str) -> Simple:
    """The mail that an account wrote itself, with the link and a word on why it comes (SES: sending §1.2).

    Slow for a large one: it is read from end to end.
    """
    html, pictures = mail_html.pictures(template.html)
    below, shown = _BELOW.format(sender=template.sender), escape(link)
    added = f'<p><a href="{shown}">{shown}</a></p><p><small>{escape(below)}</small></p>'
    end = _END.search(html)
    at = end.start() if end is not None else len(html)
    whole = html[:at] + added + html[at:]
    text = f"{template.subject}\r\n\r\n{link}\r\n\r\n{below}\r\n"
    return Simple((template.subject, "UTF-8"), (text, "UTF-8"), (whole, "UTF-8"), attachments=pictures)


class VerificationMail:
    """Writes it into the spool."""

    def __init__(
        self, blobs: BlobStore, signal: Signal, lanes: Lanes, links: Links, *, provider: str, retry_for: int
    ) -> None:
        self.links = links
        self._blobs = blobs
        self._signal = signal
        self._lanes = lanes
        self._provider = provider
        self._retry_for = retry_for

    async def ask(self, tx: Transaction, identity: Identity) -> str:
        """Mail a new link to an address; its message id. Whoever commits calls ``leave``.

        Raises:
            Conflict: there is no place that a link could lead to.
            Closed: the account is closed: nothing more goes out for it.
            Throttled: the address was asked too often.
        """
        self.links.check()
        owner = await accounts.find(tx, identity.account)
        if owner is not None and owner.closed:
            raise Closed("Sending suspended for this account.", kind="closed")
        token = await address_proofs.issue(tx, identity.account, identity.region, identity.name)
        message, content = self._written(identity, token, tx.now())
        await self._blobs.put_in(tx, message.blob, content)
        expires = message.created + min(self._retry_for, address_proofs.LIFE)  # later it would be no use
        lane = self._lanes.lane_for(identity.name)
        await spool.put(tx, message, [spool.Recipient(identity.name, lane, expires)])
        return message.id

    def leave(self, identity: Identity, message: str) -> None:
        """It is committed: let it go."""
        domain = identity.name.rpartition("@")[2]
        log.info("verification_mail %s account=%s region=%s of=%s", message, identity.account, identity.region, domain)
        self._signal.wake(LANES, self._lanes.lane_for(identity.name))

    def _written(self, identity: Identity, token: str, now: int) -> tuple[spool.Message, bytes]:
        message_id, host = new_id(identity.region, now), composition.provider_host(identity.region, self._provider)
        about = {"name": identity.name, "account": identity.account, "region": identity.region}
        text = _TEXT.format(**about, provider=self._provider, link=self.links.verify(token))
        built = mime.build_simple(
            f"no-reply@{self._provider}",
            to=[identity.name],
            subject=(_SUBJECT.format(region=identity.region), "UTF-8"),
            text=(text.replace("\n", "\r\n"), "UTF-8"),
            headers=(("Auto-Submitted", "auto-generated"),),  # RFC 3834 §5
            boundary_seed=now,
        )
        content = composition.finish(
            Message.parse(built),
            message_id=message_id,
            region=identity.region,
            account=identity.account,
            provider=self._provider,
            now=now,
        )
        message = spool.Message(
            id=message_id,
            account=identity.account,
            region=identity.region,
            origin="notice",
            sender="",
            return_path=verp.return_path(message_id, host),  # not the null one: SPF and DMARC look at it
            identity="",
            signing_domain="",
            eight_bit=int(not content.isascii()),
            size=len(content),
            blob=f"db:{message_id}",  # short: it lives in the database, in the same commit
            mail_json="{}",
            created=now,
        )
        return message, content
