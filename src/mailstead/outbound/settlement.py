"""Settlement: what a try told us becomes state, events and a notice to the sender, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from mailstead.base.clock import MINUTE
from mailstead.base.errors import Unreachable
from mailstead.base.ids import message_id as new_id
from mailstead.outbound import notices, outcomes
from mailstead.outbound.agents import Attempt
from mailstead.outbound.handed_in import LANES, Lanes
from mailstead.outbound.notices import Failure, Office
from mailstead.outbound.outcomes import Outcome
from mailstead.outbound.retry import next_due
from mailstead.outbound.simulator import is_simulator
from mailstead.proto.message import Message
from mailstead.proto.smtp.reply import Reply
from mailstead.runtime import Runtime
from mailstead.ses import events, suppression
from mailstead.ses.events import Failed
from mailstead.store import spool
from mailstead.store.port import Transaction
from mailstead.store.spool import Try, Waiting

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one delivery of an attempt comes to."""

    waiting: Waiting
    reply: Reply
    outcome: Outcome
    next_due: int | None = None


@dataclass(slots=True)
class Ended:
    """What a settlement leaves to be done after the commit."""

    blob: str | None = None
    lanes: list[str] = field(default_factory=list)


def judge(group: Sequence[Waiting], attempt: Attempt, *, now: int, retry_for: int, dice: float) -> list[Verdict]:
    """A verdict for every delivery of the group; what may not wait any longer has expired."""
    verdicts = []
    for waiting in group:
        reply = attempt.replies[waiting.recipient]
        outcome = outcomes.judge(reply)
        if outcome.state != outcomes.DEFERRED:
            verdicts.append(Verdict(waiting, reply, outcome))
        elif now >= waiting.expires:
            verdicts.append(expire(waiting, str(reply), retry_for=retry_for))
        else:
            due = next_due(waiting.attempts + 1, now, dice=dice, expires=waiting.expires)
            verdicts.append(Verdict(waiting, reply, outcome, due))
    return verdicts


def expire(waiting: Waiting, last: str, *, retry_for: int) -> Verdict:
    """A delivery that was tried for too long (SES: sending §9); ``last`` is the last reply to it."""
    reply = outcomes.expired(last, minutes=retry_for // MINUTE)
    sub_type = "MailboxFull" if outcomes.tells_full(last) else "General"
    return Verdict(waiting, reply, Outcome(outcomes.EXPIRED, "Transient", sub_type))


@dataclass(frozen=True, slots=True)
class Case:
    """An attempt that is over, and what it was about."""

    message: spool.Message
    original: Message
    attempt: Attempt
    lane: str
    was_failing: bool = False
    """Had nobody been reached in this lane before?"""


class Settlement:
    """Settles deliveries."""

    def __init__(self, runtime: Runtime, office: Office, lanes: Lanes, forget: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._office = office
        self._lanes = lanes
        self._forget = forget
        """Told when nothing of a message is left to send (its cached signatures)."""

    async def settle(self, case: Case, verdicts: Sequence[Verdict]) -> None:
        """Write what the verdicts say.  Twice is harmless: only deliveries that had not ended count."""
        now = self._runtime.clock.now()

        async def body(tx: Transaction) -> Ended:
            ended = Ended()
            if case.was_failing and case.attempt.reached:
                await spool.reached(tx, case.lane)
            await self._put_off(tx, case, verdicts, now)
            await self._finish(tx, case, verdicts, ended, now=now)
            return ended

        ended = await self._runtime.db.run(body)
        _tell(case, verdicts)
        for woken in ended.lanes:
            self._runtime.signal.wake(LANES, woken)
        if ended.blob is not None:
            self._forget(case.message.id)
            await self._drop(ended.blob)

    async def note_delivered(self, case: Case, verdicts: Sequence[Verdict]) -> None:
        """Write down only that what was taken was taken, when all the rest could not be written."""
        now, attempt = self._runtime.clock.now(), case.attempt
        tries = [
            (v.waiting.n, Try(v.outcome.state, str(v.reply.code), attempt.host, attempt.tls))
            for v in verdicts
            if v.outcome.state == outcomes.DELIVERED
        ]

        async def body(tx: Transaction) -> None:
            numbers = await spool.finish(tx, case.message.id, tries, now)
            blob = await spool.count_down(tx, case.message.id, len(numbers), now) if numbers else None
            if blob is not None:
                await self._runtime.blobs.delete_in(tx, blob)

        if tries:
            await self._runtime.db.run(body)

    async def _drop(self, blob: str) -> None:
        """The content has done its work; that it cannot be removed now is no reason to send it again."""
        try:
            await self._runtime.blobs.delete(blob)
        except Unreachable as error:
            log.warning("%s stays although nobody needs it: %s", blob, error)

    async def _put_off(self, tx: Transaction, case: Case, verdicts: Iterable[Verdict], now: int) -> None:
        first: list[Verdict] = []
        for verdict in verdicts:
            if verdict.next_due is None:
                continue
            last = Try("deferred", str(verdict.reply), case.attempt.host, case.attempt.tls, verdict.next_due)
            if await spool.put_off(tx, verdict.waiting, last, now) and not verdict.waiting.attempts:
                first.append(verdict)
        # Once for a delivery, at the first try that failed; one DeliveryDelay for each kind of it.
        for delay_type, alike in _by(first, lambda v: v.outcome.delay_type):
            detail = events.delivery_delay(
                delay_type=delay_type,
                recipients=[_failed(v, action="delayed") for v in alike],
                at=now,
                expires=alike[0].waiting.expires,
                reporting_mta=self._office.hostname,
            )
            await self._fact(tx, case, events.DELIVERY_DELAY, alike, detail)

    async def _finish(
        self, tx: Transaction, case: Case, verdicts: Iterable[Verdict], ended: Ended, *, now: int
    ) -> None:
        message, attempt = case.message, case.attempt
        over = [_named(message, verdict) for verdict in verdicts if verdict.next_due is None]
        tries = [(v.waiting.n, Try(v.outcome.state, str(v.reply), attempt.host, attempt.tls)) for v in over]
        numbers = set(await spool.finish(tx, message.id, tries, now))
        over = [verdict for verdict in over if verdict.waiting.n in numbers]
        if not over:
            return
        await self._delivered(tx, case, over, now)
        await self._bounced(tx, case, over, now)
        await self._notify(tx, case, over, ended, now=now)
        blob = await spool.count_down(tx, message.id, len(over), now)
        if blob is not None:
            ended.blob = blob
            await self._runtime.blobs.delete_in(tx, blob)

    async def _delivered(self, tx: Transaction, case: Case, over: Sequence[Verdict], now: int) -> None:
        """One Delivery for each last reply."""
        for reply, alike in _by(over, lambda v: str(v.reply) if v.outcome.state == outcomes.DELIVERED else ""):
            detail = events.delivery(
                at=now,
                accepted=case.message.created,
                recipients=[v.waiting.recipient for v in alike],
                reply=reply,
                reporting_mta=self._office.hostname,
                remote_ip=case.attempt.remote_ip,
                tags=_tags(case.attempt),
            )
            await self._fact(tx, case, events.DELIVERY, alike, detail)

    async def _bounced(self, tx: Transaction, case: Case, over: Sequence[Verdict], now: int) -> None:
        """One Bounce for each kind of it."""
        for _, alike in _by(over, lambda v: f"{v.outcome.bounce_type} {v.outcome.sub_type}".strip()):
            feedback_id = new_id(case.message.region, now)
            detail = events.bounce(
                feedback_id=feedback_id,
                bounce_type=alike[0].outcome.bounce_type,
                sub_type=alike[0].outcome.sub_type,
                recipients=[_failed(v, action="failed") for v in alike],
                at=now,
                reporting_mta=f"dns; {self._office.hostname}",
                remote_ip=case.attempt.remote_ip,
                tags=_tags(case.attempt),
            )
            await self._fact(tx, case, events.BOUNCE, alike, detail)
            await self._suppress(tx, case.message, alike, feedback_id)

    async def _suppress(
        self, tx: Transaction, message: spool.Message, alike: Sequence[Verdict], feedback_id: str
    ) -> None:
        """Addresses where nobody lives go on the sender's list."""
        if message.origin != "submission" or alike[0].outcome.bounce_type != "Permanent":
            return
        nobody = [v.waiting.recipient for v in alike if outcomes.refuses_address(v.reply)]
        await suppression.note(
            tx,
            message.account,
            message.region,
            suppression.BOUNCE,
            [address for address in nobody if not is_simulator(address)],
            message=message.id,
            feedback=feedback_id,
            configuration_set=message.configuration_set,
            tenant=message.tenant,
        )

    async def _fact(
        self, tx: Transaction, case: Case, kind: str, alike: Sequence[Verdict], detail: events.Detail
    ) -> None:
        message = case.message
        if message.origin != "submission":
            return
        await events.emit(
            tx,
            account=message.account,
            region=message.region,
            message=message.id,
            kind=kind,
            at=self._runtime.clock.now(),
            detail=detail,
            recipients=sum(not is_simulator(v.waiting.recipient) for v in alike),
        )

    async def _notify(self, tx: Transaction, case: Case, over: Iterable[Verdict], ended: Ended, *, now: int) -> None:
        """The notice to the sender goes into the spool like any mail."""
        failures = [
            Failure(v.waiting.recipient, v.reply, case.attempt.host)
            for v in over
            if v.outcome.state != outcomes.DELIVERED
        ]
        if failures and notices.wants_bounce(case.message):
            notice = notices.bounce(self._office, case.message, case.original, failures, now=now)
            lane = self._lanes.lane_for(notice.to)
            await notices.post(tx, self._runtime.blobs, self._office, notice, lane)
            ended.lanes.append(lane)


def _named(message: spool.Message, verdict: Verdict) -> Verdict:
    """Where the sender's own limit has run out, it is told so (SES: sending §9)."""
    if message.max_delivery is None or verdict.outcome.state != outcomes.EXPIRED:
        return verdict
    return replace(verdict, outcome=replace(verdict.outcome, sub_type="CustomTimeoutExceeded"))


def _tags(attempt: Attempt) -> dict[str, list[str]]:
    return events.outgoing_tags(ip=attempt.source_ip, tls=attempt.tls.partition(" ")[0])


def _tell(case: Case, verdicts: Iterable[Verdict]) -> None:
    for verdict in verdicts:
        log.info(
            "%s %s n=%d host=%s reply=%s",
            verdict.outcome.state,
            case.message.id,
            verdict.waiting.n,
            case.attempt.host or "-",
            verdict.reply.code,
        )


def _failed(verdict: Verdict, *, action: str) -> Failed:
    return Failed(
        verdict.waiting.recipient,
        action,
        outcomes.status_of(verdict.reply),
        outcomes.diagnostic_of(verdict.reply),
    )


def _by(verdicts: Iterable[Verdict], key: Callable[[Verdict], str]) -> list[tuple[str, list[Verdict]]]:
    """Verdicts that are alike; those whose key is empty are left out."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        name = key(verdict)
        if name:
            found.setdefault(name, []).append(verdict)
    return list(found.items())
