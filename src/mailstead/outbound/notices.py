"""Notices: mail of our own about mail that did not arrive; always with the null reverse-path (RFC 5321 §6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailstead.base.ids import message_id as new_id
from mailstead.outbound import composition, outcomes
from mailstead.proto import dsn
from mailstead.proto.message import Message
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import notifications
from mailstead.store import spool
from mailstead.store.port import BlobStore, Transaction

ORIGINAL = 64 * 1024
"""Octets up to which the original is returned whole; of a longer one the header alone."""
BOUNCE_SUBJECT = "Delivery Status Notification (Failure)"


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient who did not get the mail."""

    recipient: str
    reply: Reply
    host: str = ""
    """The server that said so, as in ``Attempt.host``; empty: we ourselves."""


@dataclass(frozen=True, slots=True)
class Office:
    """Who writes notices."""

    hostname: str
    provider: str
    retry_for: int
    """Milliseconds a notice is tried for."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice ready to be stored."""

    message: spool.Message
    to: str
    content: bytes
    about: spool.Message


def wants_bounce(message: spool.Message) -> bool:
    """Is there somebody to tell?  Never about a notice: two hosts would tell each other for ever."""
    return message.origin == "submission" and bool(message.sender)


def bounce(
    office: Office, message: spool.Message, original: Message, failures: Sequence[Failure], *, now: int
) -> Notice:
    """The delivery status notification to the reverse-path (RFC 3464; SES: smtp §8)."""
    notice_id = new_id(message.region, now)
    host = composition.host_of(message.region, office.provider)
    content = dsn.write(
        reporting_mta=office.hostname,
        sender=f"MAILER-DAEMON@{composition.provider_host(message.region, office.provider)}",
        to=message.sender,
        subject=BOUNCE_SUBJECT,
        message_id=f"{notice_id}@{host}",
        date=composition.date(now),
        arrival_date=composition.date(message.created),
        original=original.content,
        original_limit=ORIGINAL,
        recipients=[
            dsn.Recipient(
                address=failure.recipient,
                action="failed",
                status=outcomes.status_of(failure.reply),
                diagnostic=str(failure.reply),
                remote_mta=_name(failure.host),
                last_attempt=composition.date(now),
            )
            for failure in failures
        ],
    )
    stored = spool.Message(
        id=notice_id,
        account=message.account,
        region=message.region,
        origin="notice",
        sender="",
        return_path="",
        identity="",
        signing_domain="",
        eight_bit=int(not content.isascii()),
        size=len(content),
        blob="",
        mail_json="{}",
        created=now,
    )
    return Notice(stored, message.sender, content, message)


async def post(tx: Transaction, blobs: BlobStore, office: Office, notice: Notice, lane: str) -> None:
    """Put a notice into the spool like any mail, to wait in this lane; unless the customer hears of it otherwise."""
    about = notice.about
    if not await notifications.by_mail(tx, about.account, about.region, about.identity, about.configuration_set):
        return
    # A notice is cut to a size that always lives in the database: no file could be made safe inside a transaction.
    blob = f"db:{notice.message.id}"
    await blobs.put_in(tx, blob, notice.content)
    expires = notice.message.created + office.retry_for
    await spool.put(tx, replace(notice.message, blob=blob), [spool.Recipient(notice.to, lane, expires)])


def _name(host: str) -> str:
    """The name in ``mx1.example.net [192.0.2.7]:25``; of ``[192.0.2.7]:25``, which has none, the address."""
    name, blank, _ = host.partition(" ")
    return name if blank else name.rpartition(":")[0] or name
