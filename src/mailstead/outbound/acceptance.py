"""Acceptance: all that is true once a message is taken: its row, its deliveries, what is told of it; in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from mailstead.base.clock import SECOND
from mailstead.base.ids import message_id as new_id
from mailstead.outbound import composition, notices, suppressing, unsubscribe_links
from mailstead.outbound.admission import Grant
from mailstead.outbound.composition import Draft
from mailstead.outbound.handed_in import Lanes, Submission, Terms
from mailstead.outbound.notices import Notice, Office
from mailstead.outbound.simulator import is_simulator
from mailstead.proto import event_headers, verp
from mailstead.proto.addresses import Mailbox
from mailstead.proto.message import Message
from mailstead.ses import contacts, events, identities, quota
from mailstead.ses.configuration_sets import REQUIRE
from mailstead.ses.list_management import Listing
from mailstead.store import captures, spool
from mailstead.store.port import BlobStore, Transaction
from mailstead.store.vault import Vault

Fact = tuple[str, events.Detail, int]
"""Kind of event, its object, and how many recipients count for statistics."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A message ready to be stored."""

    message: spool.Message
    content: bytes = field(repr=False)
    """As it will leave, but for its signatures."""
    recipients: tuple[spool.Recipient, ...]
    counted: int
    """Recipients that count for the day's quota."""
    facts: tuple[Fact, ...]
    notice: Notice | None
    """What the sender is told by mail of those who are not mailed."""
    joined: Listing | None
    """The contact list that its recipients come on."""

    @property
    def leaves(self) -> bool:
        """Is there anybody it goes to?  Else nobody needs its content."""
        return any(not recipient.kept_back for recipient in self.recipients)


class Registrar:
    """Prepares acceptances and stores them."""

    def __init__(self, blobs: BlobStore, vault: Vault, lanes: Lanes, terms: Terms) -> None:
        self._blobs = blobs
        self._vault = vault
        self._lanes = lanes
        self._terms = terms
        # Nobody else was asked: the provider itself says so (SES: events §2).
        self._office = Office(terms.provider, terms.provider, terms.retry_for)

    def prepare(self, submission: Submission, draft: Draft, grant: Grant, now: int) -> Acceptance:
        """Everything that will be written; nothing is written yet."""
        caller = submission.caller
        message_id = new_id(caller.region, now)
        content = composition.finish(
            self._linked(draft, grant, message_id),
            message_id=message_id,
            region=caller.region,
            account=caller.account,
            provider=self._terms.provider,
            now=now,
        )
        message = self._row(submission, draft, grant, message_id, content=content, now=now)
        reached = () if submission.failure else draft.recipients
        counted = sum(not is_simulator(mailbox.address) for mailbox in draft.recipients)
        kept_back = suppressing.facts(
            suppressing.held(grant), reached, region=message.region, provider=self._terms.provider, now=now
        )
        facts = [(kind, detail, counted) for kind, detail in _facts(submission)]
        return Acceptance(
            message=message,
            content=content,
            recipients=tuple(self._deliveries(reached, grant, message)),
            counted=counted,
            facts=(*facts, *((kind, detail, 0) for kind, detail in kept_back)),
            notice=self._notice(reached, grant, message, content),
            joined=grant.listing if reached else None,
        )

    def _linked(self, draft: Draft, grant: Grant, message_id: str) -> Message:
        """The message with the link by which its reader gets out of a contact list, where it is of one."""
        ticket = unsubscribe_links.ticket_of(grant.listing, draft, message_id)
        if ticket is None:
            return draft.message
        return unsubscribe_links.linked(draft.message, unsubscribe_links.link(self._vault, self._terms.links(), ticket))

    def lanes_of(self, acceptance: Acceptance) -> set[str]:
        """The lanes that have mail once it is stored."""
        lanes = {recipient.lane for recipient in acceptance.recipients if not recipient.kept_back}
        if acceptance.notice is not None:
            lanes.add(self._lanes.lane_for(acceptance.notice.to))
        return lanes

    async def store(self, tx: Transaction, submission: Submission, draft: Draft, acceptance: Acceptance) -> None:
        """Write it.

        Raises:
            Throttled: the day's quota is used up.
        """
        message, now = acceptance.message, acceptance.message.created
        await quota.reserve(tx, message.account, message.region, acceptance.counted, now)
        if acceptance.leaves:
            await self._blobs.put_in(tx, message.blob, acceptance.content)
        if self._terms.keep_submitted:
            await captures.keep_submitted(tx, message.id, draft.message.content, **_template_of(submission))
        await spool.put(tx, message, acceptance.recipients)
        if acceptance.joined is not None:
            await contacts.ensure(tx, acceptance.joined.list, acceptance.joined.new)
        for kind, detail, counted in acceptance.facts:
            await events.emit(
                tx,
                account=message.account,
                region=message.region,
                message=message.id,
                kind=kind,
                at=now,
                detail=detail,
                recipients=counted,
            )
        if acceptance.notice is not None:
            lane = self._lanes.lane_for(acceptance.notice.to)
            await notices.post(tx, self._blobs, self._office, acceptance.notice, lane)

    def _deliveries(self, reached: Sequence[Mailbox], grant: Grant, message: spool.Message) -> list[spool.Recipient]:
        """A delivery for everybody; of those who are not to be mailed it is over."""
        life = self._terms.retry_for if message.max_delivery is None else message.max_delivery * SECOND
        not_mailed = suppressing.replies(suppressing.held(grant), reached)
        return [
            spool.Recipient(
                mailbox.address,
                self._lanes.lane_for(mailbox.address),
                message.created + life,
                not_mailed.get(mailbox.address, ""),
            )
            for mailbox in reached
        ]

    def _notice(
        self, reached: Sequence[Mailbox], grant: Grant, message: spool.Message, content: bytes
    ) -> Notice | None:
        failures = suppressing.failures(suppressing.held(grant), reached)
        if not failures or not notices.wants_bounce(message):
            return None
        return notices.bounce(self._office, message, Message.parse(content), failures, now=message.created)

    def _row(
        self,
        submission: Submission,
        draft: Draft,
        grant: Grant,
        message_id: str,
        *,
        content: bytes,
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
            blob=self._blobs.plan(message_id, content),
            mail_json=msgspec.json.encode(mail_of(submission, draft, grant, message_id, now=now)).decode(),
            created=now,
            configuration_set=chosen.name if chosen is not None else "",
            require_tls=int(delivery is not None and delivery.tls_policy == REQUIRE),
            max_delivery=limit if limit is not None and limit * SECOND < self._terms.retry_for else None,
            tenant=grant.tenant,
        )


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
        **({"ses:tenant-name": [grant.tenant]} if grant.tenant else {}),
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
