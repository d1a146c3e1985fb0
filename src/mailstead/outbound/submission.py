"""Submission: the one door for mail that leaves, behind the API, the SMTP interface and the command line.

render → draft → admit → finish → durable rows, in one commit → the MessageId is the caller's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec

from mailstead.base.clock import SECOND
from mailstead.base.errors import NotFound, Throttled, Unreachable
from mailstead.base.ids import message_id as new_id
from mailstead.outbound import composition, notices, suppressing
from mailstead.outbound.admission import Grant
from mailstead.outbound.composition import Draft, Options, Simple, Templated
from mailstead.outbound.grants import Grants
from mailstead.outbound.notices import Notice, Office
from mailstead.outbound.simulator import is_simulator
from mailstead.proto import event_headers, verp
from mailstead.proto.addresses import Mailbox
from mailstead.proto.handlebars import OutOfSteps
from mailstead.proto.message import Message
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import events, identities, quota, templates
from mailstead.ses.account import NewAccount
from mailstead.ses.configuration_sets import REQUIRE
from mailstead.ses.principals import Caller
from mailstead.store import captures, spool
from mailstead.store.port import Transaction

log = logging.getLogger(__name__)

HEAVY = 256 * 1024
"""Octets above which a message is read in a thread: one made to be slow must not keep everybody else waiting."""
QUICK = 5_000
"""Steps of a template, some milliseconds, that are done on the event loop; what takes more begins again in a thread."""
SMALL = 16 * 1024
"""Characters of a template; a larger one is compiled and filled in a thread."""
NO_OPTIONS = Options()
LANES = "lanes"
"""Topic of the signal: this lane has mail."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One message as a door took it in."""

    caller: Caller
    operation: str
    """``SendEmail``, ``SendRawEmail``, or ``SMTP``."""
    limit: int
    """Bytes this door takes."""
    source: str | None = None
    """The sender as given; None: what the message's header says."""
    destinations: tuple[str, ...] | None = None
    """Recipients of the envelope as given; None: what the message's header says."""
    raw: bytes | None = field(default=None, repr=False)
    """A whole message, or…"""
    crlf: bool = False
    """Has the door seen to it that every newline of ``raw`` is CRLF?"""
    simple: Simple | None = field(default=None, repr=False)
    """…what to build one from, with the next three, or…"""
    templated: Templated | None = field(default=None, repr=False)
    """…a template to fill for it."""
    failure: str = ""
    """Why the template could not be filled: the message is taken and told, and goes to nobody."""
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    return_path: str | None = None
    options: Options = NO_OPTIONS
    received: str = ""
    """The Received field that events show for mail by SMTP (SES: smtp §6)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator decided about mail that leaves."""

    provider: str
    """Our own domain, in the place of amazonses.com."""
    retry_for: int
    """Milliseconds a delivery is tried for."""
    new_account: NewAccount
    keep_submitted: bool = False
    """Keep what was handed in as it was, for ``/_aws/ses`` (the test double)."""


class Lanes(Protocol):
    """Names the lane of a recipient (outbound/routing.py)."""

    def lane_for(self, recipient: str) -> str:
        """The lane; quick, no look-up."""
        ...


def _no_fault(part: str) -> bool:
    return False


def _size(submission: Submission) -> int:
    """Octets or characters that have to be read, about."""
    simple = submission.simple
    if simple is None:
        return len(submission.raw or b"")
    texts = [simple.subject, simple.text or ("", None), simple.html or ("", None)]
    named = [*(value for _, value in simple.headers), *(text for text, _ in texts)]
    return sum(map(len, named)) + sum(len(file.content) for file in simple.attachments)


async def _rendered(submission: Submission) -> Submission:
    """The submission with the content that its template makes, or with the reason why that could not be made."""
    if submission.templated is None:
        return submission
    templated, room = submission.templated, submission.limit
    if templates.size(templated.content) <= SMALL:
        with suppress(OutOfSteps):
            return _filled(submission, *composition.fill(templated, room, steps=QUICK))
    return _filled(submission, *await asyncio.to_thread(composition.fill, templated, room))


def _filled(submission: Submission, simple: Simple, failure: str) -> Submission:
    return replace(submission, simple=simple, failure=failure)


def _reached(submission: Submission, draft: Draft) -> tuple[Mailbox, ...]:
    """Whom the message goes to."""
    return () if submission.failure else draft.recipients


def _facts(submission: Submission) -> list[tuple[str, events.Detail]]:
    """What is told of the acceptance: Send, and what the template failed at."""
    if submission.templated is None:
        return [(events.SEND, events.send())]
    told = [(events.SEND, events.send(rendered=False))]
    if submission.failure:
        failure = events.rendering_failure(submission.templated.name, submission.failure)
        told.append((events.RENDERING_FAILURE, failure))
    return told


def _template_of(submission: Submission) -> dict[str, str]:
    """What the test double tells of a templated send."""
    templated = submission.templated
    if templated is None:
        return {}
    return {"template": templated.name, "template_data": msgspec.json.encode(templated.data).decode()}


class Submissions:
    """The door."""

    def __init__(
        self,
        runtime: Runtime,
        lanes: Lanes,
        terms: Terms,
        limiter: quota.RateLimiter,
        fault: Callable[[str], bool] = _no_fault,
    ) -> None:
        self._runtime = runtime
        self._lanes = lanes
        self._terms = terms
        self._limiter = limiter
        self._grants = Grants(runtime.db, runtime.clock)
        # Nobody else was asked: the provider itself says so (SES: events §2).
        self._office = Office(terms.provider, terms.provider, terms.retry_for)
        self._fault = fault
        """Is this use of ``accept`` to fail (``/_mailstead/fault``)?"""

    async def submit(self, submission: Submission) -> str:
        """Take responsibility for a message; its MessageId.  When this returns, the message is on stable storage.

        Raises:
            TooLarge, Invalid, Closed, Paused, Denied, NotFound, Rejected, Throttled: why not, in SES's words.
            Unreachable: not now.
        """
        submission = await _rendered(submission)
        if _size(submission) > HEAVY:
            draft = await asyncio.to_thread(self._draft, submission)
        else:
            draft = self._draft(submission)
        grant = await self._admit(submission, draft)
        self._take_rate(submission.caller, draft, grant)
        if self._fault("accept"):
            raise Unreachable("Temporary service failure: a fault was asked for")
        return await self._accept(submission, draft, grant)

    def _draft(self, submission: Submission) -> Draft:
        content = submission.raw
        destinations: Sequence[str] | None = submission.destinations
        if submission.simple is not None:
            content = composition.build(
                submission.source or "",
                to=submission.to,
                cc=submission.cc,
                reply_to=submission.reply_to,
                simple=submission.simple,
                now=self._runtime.clock.now(),
            )
            destinations = (*submission.to, *submission.cc, *submission.bcc)
        return composition.draft(
            composition.read(content or b"", submission.limit, crlf=submission.crlf),
            source=submission.source,
            return_path=submission.return_path,
            destinations=destinations,
            options=submission.options,
        )

    async def _admit(self, submission: Submission, draft: Draft) -> Grant:
        caller = submission.caller
        action = "SendRawEmail" if submission.operation == "SMTP" else submission.operation
        try:
            return await self._grants.admit(caller, draft, action=action)
        except NotFound as error:
            if error.kind != "account":
                raise
        # The account's first use of this region, or there is none.
        new = self._terms.new_account
        await self._runtime.db.run(lambda tx: accounts.ensure_region(tx, caller.account, caller.region, new))
        return await self._grants.admit(caller, draft, action=action)

    def _take_rate(self, caller: Caller, draft: Draft, grant: Grant) -> None:
        count, rate, now = len(draft.recipients), grant.region.max_rate, self._runtime.clock.now()
        self._limiter.take(caller.account, caller.region, rate, count, now)

    async def _accept(self, submission: Submission, draft: Draft, grant: Grant) -> str:
        caller, now = submission.caller, self._runtime.clock.now()
        message_id = new_id(caller.region, now)
        content = composition.finish(
            draft.message,
            message_id=message_id,
            region=caller.region,
            account=caller.account,
            provider=self._terms.provider,
            now=now,
        )
        blob = self._runtime.blobs.plan(message_id, content)
        message = self._row(submission, draft, grant, message_id=message_id, content=content, blob=blob, now=now)
        reached = _reached(submission, draft)
        recipients = self._deliveries(reached, grant, message)
        waiting = [recipient for recipient in recipients if not recipient.kept_back]
        counted = sum(not is_simulator(mailbox.address) for mailbox in draft.recipients)
        told = [(kind, detail, counted) for kind, detail in _facts(submission)]
        told += [(kind, detail, 0) for kind, detail in self._kept_back(reached, grant, message)]
        notice = self._notice(reached, grant, message, content)
        lanes = {recipient.lane for recipient in waiting}
        if notice is not None:
            lanes.add(self._lanes.lane_for(notice.to))

        async def store(tx: Transaction) -> None:
            await quota.reserve(tx, caller.account, caller.region, counted, now)
            if waiting:
                await self._runtime.blobs.put_in(tx, blob, content)
            if self._terms.keep_submitted:
                await captures.keep_submitted(tx, message_id, draft.message.content, **_template_of(submission))
            await spool.put(tx, message, recipients)
            for kind, detail, about in told:
                await events.emit(
                    tx,
                    account=caller.account,
                    region=caller.region,
                    message=message_id,
                    kind=kind,
                    at=now,
                    detail=detail,
                    recipients=about,
                )
            if notice is not None:
                lane = self._lanes.lane_for(notice.to)
                await notices.post(tx, self._runtime.blobs, self._office, notice, lane)

        if waiting:  # what goes to nobody needs no content
            await self._runtime.blobs.put(blob, content)
        try:
            await self._runtime.db.run(store)
        except Throttled:  # nothing was stored: an account over its quota must not fill the disk
            await self._runtime.blobs.delete(blob)
            raise
        for lane in lanes:
            self._runtime.signal.wake(LANES, lane)
        log.info(
            "accepted %s account=%s recipients=%d size=%d", message_id, caller.account, len(recipients), len(content)
        )
        return message_id

    def _deliveries(self, reached: Sequence[Mailbox], grant: Grant, message: spool.Message) -> list[spool.Recipient]:
        """A delivery for everybody; of those who are not to be mailed it is over."""
        life = self._terms.retry_for if message.max_delivery is None else message.max_delivery * SECOND
        not_mailed = {mailbox.address for mailbox in suppressing.kept_back(grant.suppressed, reached)}
        return [
            spool.Recipient(
                mailbox.address,
                self._lanes.lane_for(mailbox.address),
                message.created + life,
                str(suppressing.REPLY) if mailbox.address in not_mailed else "",
            )
            for mailbox in reached
        ]

    def _kept_back(
        self, reached: Sequence[Mailbox], grant: Grant, message: spool.Message
    ) -> list[tuple[str, events.Detail]]:
        provider, now = self._terms.provider, message.created
        return suppressing.facts(grant.suppressed, reached, region=message.region, provider=provider, now=now)

    def _notice(
        self, reached: Sequence[Mailbox], grant: Grant, message: spool.Message, content: bytes
    ) -> Notice | None:
        """What the sender is told by mail of those who are not mailed."""
        failures = suppressing.failures(grant.suppressed, reached)
        if not failures or not notices.wants_bounce(message):
            return None
        return notices.bounce(self._office, message, Message.parse(content), failures, now=message.created)

    def _row(
        self,
        submission: Submission,
        draft: Draft,
        grant: Grant,
        *,
        message_id: str,
        content: bytes,
        blob: str,
        now: int,
    ) -> spool.Message:
        caller, chosen = submission.caller, grant.configuration_set
        delivery = chosen.options.delivery if chosen is not None else None
        limit = delivery.max_delivery if delivery is not None else None
        return spool.Message(
            id=message_id,
            account=caller.account,
            region=caller.region,
            origin="submission",
            sender=draft.sender,
            return_path=verp.return_path(
                message_id, grant.mail_from or composition.provider_host(caller.region, self._terms.provider)
            ),
            identity=grant.identity,
            signing_domain=grant.signing_domain,
            eight_bit=int(not content.isascii()),
            size=len(content),
            blob=blob,
            mail_json=msgspec.json.encode(mail_of(submission, draft, grant, message_id, now=now)).decode(),
            created=now,
            configuration_set=chosen.name if chosen is not None else "",
            require_tls=int(delivery is not None and delivery.tls_policy == REQUIRE),
            max_delivery=limit if limit is not None and limit * SECOND < self._terms.retry_for else None,
        )


def mail_of(submission: Submission, draft: Draft, grant: Grant, message_id: str, *, now: int) -> dict[str, object]:
    """The ``mail`` object of the message's events (SES: events §1), with what feedback notifications add."""
    caller, chosen = submission.caller, grant.configuration_set
    headers, truncated = event_headers.header_list(draft.message)
    if submission.received:
        headers = [{"name": "Received", "value": submission.received}, *headers]
    common = event_headers.common_headers(draft.message)
    common.setdefault("messageId", message_id)
    tags = {
        "ses:operation": ["SendRawEmail" if submission.operation == "SMTP" else submission.operation],
        **({"ses:configuration-set": [chosen.name]} if chosen is not None else {}),
        "ses:source-ip": [caller.source_ip],
        "ses:from-domain": [draft.from_domain],
        "ses:caller-identity": [caller.name],
    }
    if caller.tls:
        tags["ses:source-tls-version"] = [caller.tls]
    for name, value in draft.options.tags:
        tags.setdefault(name, []).append(value)
    return {
        "timestamp": events.iso(now),
        "source": draft.source,
        "sourceArn": identities.arn_of(caller.region, caller.account, grant.identity),
        "sourceIp": caller.source_ip,
        "callerIdentity": caller.name,
        "sendingAccountId": caller.account,
        "messageId": message_id,
        "destination": [mailbox.text for mailbox in draft.recipients],
        "headersTruncated": truncated,
        "headers": headers,
        "commonHeaders": common,
        "tags": tags,
    }
