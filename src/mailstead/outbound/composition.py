"""Composition: what was handed in (fields of a form, or a raw message) becomes one message ready to leave.

A raw message keeps the sender's bytes: only whole header fields are taken out or added (SES: smtp §5, §6).
Everything here is pure: it reads no database, and the time and the id are handed in.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from mailstead.base.address import bare, check_address
from mailstead.base.errors import Invalid, TooLarge
from mailstead.proto import mime
from mailstead.proto.addresses import Mailbox, parse_list, parse_one
from mailstead.proto.handlebars import MAX_STEPS, OutOfSteps, Unrenderable
from mailstead.proto.message import Message
from mailstead.proto.newlines import normalize
from mailstead.proto.smtp.content import has_long_line
from mailstead.ses import list_management, message_tags, templates
from mailstead.ses.list_management import Managed

MAX_RECIPIENTS = 50  # SES: smtp §7
MAX_HOPS = 100  # RFC 5321 §6.3: a loop is assumed at a hundred Received fields
_ADDRESSED = frozenset({b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"return-path"})
MAX_LINE = 998  # RFC 5322 §2.1.1
_CONFUSING = frozenset("@<>,;:")
MAX_ADDRESSED = 128 * 1024  # octets of all these fields: some four thousand addresses

OPTIONS = {
    "configuration_set": "X-SES-CONFIGURATION-SET",
    "tags": "X-SES-MESSAGE-TAGS",
    "source_arn": "X-SES-SOURCE-ARN",
    "from_arn": "X-SES-FROM-ARN",
    "return_path_arn": "X-SES-RETURN-PATH-ARN",
    "list_management": "X-SES-LIST-MANAGEMENT-OPTIONS",
    "tenant": "X-SES-TENANT",
}
"""Options of a send that a header may carry instead of the API (SES: smtp §5)."""
_IN_HEADER = frozenset(name.lower().encode() for name in OPTIONS.values())

# What never leaves as the caller wrote it: ours to write, private to the caller, or a claim only a receiver may make.
REMOVED = (
    *OPTIONS.values(),
    "Bcc",
    "Resent-Bcc",
    "Return-Path",
    "Message-ID",
    "Date",
    "Feedback-ID",
    "X-SES-Outgoing",
    "Authentication-Results",
)


@dataclass(frozen=True, slots=True)
class Simple:
    """The content of a formatted send: texts with the charset they are to be sent in (None: the default)."""

    subject: tuple[str, str | None]
    text: tuple[str, str | None] | None = None
    html: tuple[str, str | None] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[mime.Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Templated:
    """The content of a templated send: a template and what to fill it with."""

    content: templates.Content
    data: templates.Data
    name: str = ""
    """Of the stored template; empty: it came with the send."""
    headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[mime.Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """What a send asks for besides its content. An option of the API wins over its header."""

    configuration_set: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    source_arn: str | None = None
    from_arn: str | None = None
    return_path_arn: str | None = None
    list_management: Managed | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A message understood, not yet changed."""

    message: Message
    source: str
    """The sender as given, with a display name if there was one."""
    sender: str
    """The bare address bounces are told to."""
    recipients: tuple[Mailbox, ...]
    """Of the envelope, each address once."""
    claims: tuple[Mailbox, ...]
    """Who the message claims to be from: From, Source, Sender, Return-Path in this order, each address once."""
    from_domain: str
    options: Options


def _once(mailboxes: Iterable[Mailbox]) -> tuple[Mailbox, ...]:
    """Each address once, the first writing of it; nobody (``<>``) left out."""
    found: dict[str, Mailbox] = {}
    for mailbox in mailboxes:
        if mailbox.address:
            found.setdefault(bare(mailbox.address), mailbox)
    return tuple(found.values())


def _in_fields(message: Message, name: str, *, null: bool = False) -> list[Mailbox]:
    """The mailboxes of every field of this name."""
    fields = message.all(name)
    return [mailbox for field in fields for mailbox in parse_list(message.content[field.value : field.end], null=null)]


def authors(message: Message) -> list[Mailbox]:
    """The mailboxes of From."""
    return _in_fields(message, "From")


def _option(message: Message, name: str) -> str | None:
    return message.header(OPTIONS[name])


def _managed(message: Message) -> Managed | None:
    written = _option(message, "list_management")
    return list_management.parse_header(written) if written else None


def options_of(message: Message, given: Options) -> Options:
    """The options of the API, each completed by its header where the API gave none (SES: smtp §5)."""
    tags = given.tags
    if _IN_HEADER.isdisjoint(message.named):
        message_tags.check(tags)
        return given
    if not tags:
        written = _option(message, "tags")
        tags = message_tags.parse_header(written) if written else ()
    return Options(
        configuration_set=given.configuration_set or _option(message, "configuration_set"),
        tags=message_tags.check(tags),
        source_arn=given.source_arn or _option(message, "source_arn"),
        from_arn=given.from_arn or _option(message, "from_arn"),
        return_path_arn=given.return_path_arn or _option(message, "return_path_arn"),
        list_management=given.list_management or _managed(message),
        tenant=given.tenant or _option(message, "tenant"),
    )


def build(
    source: str, *, to: Sequence[str], cc: Sequence[str], reply_to: Sequence[str], simple: Simple, now: int
) -> bytes:
    """The message of a formatted send; ``now`` goes into the boundary, as SES's does."""
    return mime.build_simple(
        from_=source,
        to=to,
        cc=cc,
        reply_to=reply_to,
        subject=simple.subject,
        text=simple.text,
        html=simple.html,
        headers=simple.headers,
        attachments=simple.attachments,
        boundary_seed=now,
    )


def fill(templated: Templated, room: int, *, steps: int = MAX_STEPS) -> tuple[Simple, str]:
    """The content of a templated send, at most ``room`` characters a part, and why it could not be made, else empty.

    What could not be made is empty: such mail is taken, told and never sent (SES: sending §5).

    Raises:
        OutOfSteps: it takes more than ``steps``, which are fewer than a template may take.
    """
    try:
        return _filled(templated, templates.render(templated.content, templated.data, room, steps=steps)), ""
    except Unrenderable as error:
        if isinstance(error, OutOfSteps) and steps < MAX_STEPS:
            raise
        return Simple(("", None), text=("", None)), error.message


def _filled(templated: Templated, parts: templates.Content) -> Simple:
    return Simple(
        (parts.subject, None),
        text=None if parts.text is None else (parts.text, None),
        html=None if parts.html is None else (parts.html, None),
        headers=templated.headers,
        attachments=templated.attachments,
    )


def preview(templated: Templated, *, room: int, message_id: str, region: str, provider: str, now: int) -> str:
    """The message that a send of this would be, as text, without those it is from and to.

    Raises:
        Unrenderable: it would not be.
    """
    simple = _filled(templated, templates.render(templated.content, templated.data, room))
    content = build(f"preview@{provider}", to=(), cc=(), reply_to=(), simple=simple, now=now)
    ours = f"Date: {date(now)}\r\nMessage-ID: <{message_id}@{host_of(region, provider)}>\r\n"
    return Message.parse(content).edit(remove=("From",), prepend=ours.encode()).decode()


def read(content: bytes, limit: int, *, crlf: bool = False) -> Message:
    """A message as handed in, its rules checked (SES: smtp §7).

    Args:
        content: all of it.
        limit: octets.
        crlf: is it known that each of its lines ends in CRLF, and that no other CR or LF is in it?

    Raises:
        TooLarge: longer than ``limit`` bytes.
        Invalid: it breaks a rule; the text says which.
    """
    if len(content) > limit:
        raise TooLarge("Message is too long.")
    message = Message.parse(content if crlf else normalize(content))
    if has_long_line(message.content[: message.header_end], MAX_LINE):
        raise Invalid("Line too long")
    twice = mime.duplicate_header(message)
    if twice:
        raise Invalid(f"Duplicate header '{twice}'.")
    if not message.first("From"):
        raise Invalid("Missing required header 'From'.")
    if message.header_end > MAX_ADDRESSED and _addressed(message) > MAX_ADDRESSED:
        raise Invalid("The header of the message is too long")
    if len(message.all("Received")) >= MAX_HOPS:
        raise Invalid("Too many hops: the message is in a loop.")
    mime.check_attachments(message)
    return message


def _addressed(message: Message) -> int:
    """Octets of the fields that hold addresses."""
    return sum(field.end - field.value for field in message.fields if field.lname in _ADDRESSED)


def draft(
    message: Message,
    *,
    source: str | None,
    return_path: str | None,
    destinations: Sequence[str] | None,
    options: Options,
) -> Draft:
    """Who sends, to whom, as whom.

    Args:
        message: what ``read`` gave.
        source: the envelope sender or the API's Source; None: Return-Path, else From of the message.
        return_path: the API's address for feedback.
        destinations: the envelope's recipients; None: those of To, Cc and Bcc.

    Raises:
        Invalid: an address that is none, no recipient, or more than fifty.
    """
    from_ = authors(message)
    returned = _in_fields(message, "Return-Path", null=True)
    named = parse_one(source) if source is not None else next((m for m in [*returned, *from_] if m.address), None)
    if not from_ or named is None:
        raise Invalid("Missing final '@domain'")
    feedback = parse_one(return_path) if return_path else named
    claims = [*from_, named, *_in_fields(message, "Sender"), feedback, *returned]
    for claim in claims:
        _check_claim(claim.address)
    if destinations is None:
        asked = [mailbox for name in ("To", "Cc", "Bcc") for mailbox in _in_fields(message, name)]
    else:
        asked = [parse_one(address) for address in destinations]
    recipients = _once(asked)
    if not recipients:
        raise Invalid("Missing final '@domain'")
    if len(recipients) > MAX_RECIPIENTS:
        raise Invalid("Recipient count exceeds 50.")
    for recipient in recipients:
        _check_path(recipient.address)
    _check_path(feedback.address)
    return Draft(
        message=message,
        source=named.text,
        sender=bare(feedback.address),
        recipients=recipients,
        claims=_once(claims),
        from_domain=bare(from_[0].address).rpartition("@")[2],
        options=options_of(message, options),
    )


def _check_claim(address: str) -> None:
    """No sender whose quoted local part could be read as an address of its own: ``"ceo@bank.example"@example.com``."""
    if not _CONFUSING.isdisjoint(address.rpartition("@")[0]):
        raise Invalid("Local address contains illegal character")


def _check_path(address: str) -> None:
    """SES takes no local part beyond ASCII in an envelope (SES: smtp §7)."""
    check_address(address)
    if not address.rpartition("@")[0].isascii():
        raise Invalid("Local address contains illegal character")


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def date(now: int) -> str:
    """``Fri, 6 Sep 2019 18:52:14 +0000``, as SES writes it (RFC 5322 §3.3; SES: smtp §6)."""
    return _date(now // 1000)


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    t = datetime.fromtimestamp(seconds, UTC)
    return f"{_DAYS[t.weekday()]}, {t.day} {_MONTHS[t.month - 1]} {t.year} {t:%H:%M:%S} +0000"


@lru_cache(maxsize=1000)
def feedback_id(region: str, account: str) -> str:
    """The value by which complaint loops name the sender; one for all mail of an account (SES: smtp §6)."""
    token = base64.b64encode(sha256(f"mailstead-feedback-id:{account}".encode()).digest()).decode()
    return f"::1.{region}.{token}:AmazonSES"


def host_of(region: str, provider: str) -> str:
    """The host in Message-ID: ``email.PROVIDER`` in us-east-1, else ``REGION.PROVIDER`` (SES: wire §8)."""
    return f"email.{provider}" if region == "us-east-1" else f"{region}.{provider}"


def provider_host(region: str, provider: str) -> str:
    """Where return paths live: ``PROVIDER`` in us-east-1, else ``REGION.PROVIDER`` (SES: smtp §6)."""
    return provider if region == "us-east-1" else f"{region}.{provider}"


def finish(message: Message, *, message_id: str, region: str, account: str, provider: str, now: int) -> bytes:
    """The content to store and sign: private fields gone, Message-ID, Date and Feedback-ID ours."""
    ours = (
        f"Message-ID: <{message_id}@{host_of(region, provider)}>\r\n"
        f"Date: {date(now)}\r\n"
        f"Feedback-ID: {feedback_id(region, account)}\r\n"
    )
    return message.edit(remove=REMOVED, append=ours.encode())
