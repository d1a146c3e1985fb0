"""Delivery: one parcel on its way: content, route, signature, attempt, settlement.

A message's recipients in one lane travel together.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from random import random
from typing import Protocol

from mailstead.base.clock import DAY, MINUTE, SECOND
from mailstead.base.errors import NotFound, Unreachable
from mailstead.outbound import settlement
from mailstead.outbound.agents import Agent, Attempt, Parcel, Route
from mailstead.outbound.budget import Budget
from mailstead.outbound.settlement import Case, Settlement, Verdict
from mailstead.outbound.signing import Signing
from mailstead.outbound.sources import Sources
from mailstead.proto.dns import DnsError
from mailstead.proto.message import Message
from mailstead.proto.smtp.reply import Reply
from mailstead.runtime import Runtime
from mailstead.store import spool
from mailstead.store.port import Transaction
from mailstead.store.spool import Waiting

log = logging.getLogger(__name__)

KNOWN = 10_000
"""Names of lanes that answered, kept in memory: their mail need not stand in line behind the unknown."""
IN_MEMORY = 18 << 20
"""Bytes of message content under way at once in all lanes that answer; one message alone may be larger."""
PROBING_IN_MEMORY = 8 << 20
"""The same for lanes of which nobody knows whether they answer: large mail for the dead leaves the living alone."""
LANE_IN_MEMORY = IN_MEMORY // 3
"""The same for one lane."""
AWAY = 2.0
"""Seconds to wait when the database takes nothing."""
FAULT = 10 * SECOND
"""How long a delivery waits that our own storage kept from being tried."""

INTERNAL = Reply(451, "Internal failure, see the log", "4.3.0")
NOTHING = Message.parse(b"\r\n")
GONE = Reply(451, "The content of this message is not there", "4.3.0")


class Router(Protocol):
    """Finds the way of a lane (outbound/routing.py)."""

    async def route(self, lane: str) -> Route:
        """Where it goes now.

        Raises:
            DnsError: that cannot be told now.
        """
        ...


class Held:
    """A lane that we hold, as its deliveries find it."""

    __slots__ = ("answered", "budget", "failures", "name", "stuck", "unreached")

    def __init__(self, name: str, failures: int) -> None:
        self.name = name
        self.failures = failures
        """How often in a row nobody was reached."""
        self.answered = False
        """Has anybody been reached since we hold it?"""
        self.budget = Budget(LANE_IN_MEMORY)
        self.unreached: Reply | None = None
        """Set when no host of the lane could be reached: nothing more is begun."""
        self.stuck = False
        """Set when the database takes nothing about it: it is looked at again, but not at once."""


class Deliveries:
    """Brings parcels on their way."""

    def __init__(
        self,
        runtime: Runtime,
        router: Router,
        agents: Mapping[str, Agent],
        signing: Signing,
        settling: Settlement,
        *,
        sources: Sources | None = None,
    ) -> None:
        self._runtime = runtime
        self._router = router
        self._agents = agents
        self._signing = signing
        self._settlement = settling
        self._sources = sources or Sources(runtime, {})
        self._budget = Budget(IN_MEMORY)
        self._probing = Budget(PROBING_IN_MEMORY)
        self.known: OrderedDict[str, None] = OrderedDict()
        """Lanes that answered not long ago."""
        self.stopping = False
        self.unwritten = 0
        """Settlements that wait for the database: until they are written, nothing more is sent."""

    async def deliver(self, lane: Held, group: Sequence[Waiting]) -> None:
        """Try once, and settle what came of it.  Never raises for what a delivery can come to."""
        try:
            message = await self._runtime.db.read(lambda tx: spool.read(tx, group[0].message))
            if message is None:
                raise NotFound(f"message {group[0].message} has no row")
            known = lane.answered or lane.name in self.known
            everybodys = self._budget if known else self._probing
            await lane.budget.take(message.size)
            try:
                await everybodys.take(message.size)
                try:
                    await self._attempt(lane, message, group)
                finally:
                    everybodys.give(message.size)
            finally:
                lane.budget.give(message.size)
        except Unreachable as error:
            log.warning("%s lane=%s put off: %s", group[0].message, lane.name, error)
            await self._put_off(lane, group, Reply(451, error.message, "4.3.0"), wait=FAULT)
        except Exception:
            log.exception("%s lane=%s: the delivery failed in a way nobody expected", group[0].message, lane.name)
            await self._put_off(lane, group)

    async def _attempt(self, lane: Held, message: spool.Message, group: Sequence[Waiting]) -> None:
        now = self._runtime.clock.now()
        try:
            original = Message.parse(await self._runtime.blobs.get(message.blob))
        except NotFound:
            log.error("%s lane=%s: its content %s is not there", message.id, lane.name, message.blob)
            await self._without_content(lane, message, group, now)
            return
        late = [waiting for waiting in group if waiting.expires <= now]
        if late:
            await self.expire(message, original, late, lane.name)
            group = [waiting for waiting in group if waiting.expires > now]
        if not group:
            return
        attempt = await self._try(lane.name, message, original, group)
        verdicts = settlement.judge(
            group,
            attempt,
            now=self._runtime.clock.now(),
            retry_for=group[0].expires - message.created,
            dice=random(),  # noqa: S311 — jitter, no secret
        )
        failing = lane.failures > 0
        if attempt.reached:
            lane.failures = 0
            self._answered(lane)
        elif not attempt.alone:
            lane.unreached = next(iter(attempt.replies.values()))
            self.known.pop(lane.name, None)
        await self._settle(Case(message, original, attempt, lane.name, failing), verdicts)

    def _answered(self, lane: Held) -> None:
        lane.answered = True
        self.known[lane.name] = None
        self.known.move_to_end(lane.name)
        if len(self.known) > KNOWN:
            self.known.popitem(last=False)

    async def _without_content(self, lane: Held, message: spool.Message, group: Sequence[Waiting], now: int) -> None:
        """Nothing can be sent; an operator may still bring the content back until the message is too old."""
        late = [waiting for waiting in group if waiting.expires <= now]
        if late:
            await self.expire(message, NOTHING, late, lane.name)
        if len(late) < len(group):
            await self._put_off(lane, [waiting for waiting in group if waiting.expires > now], GONE)

    async def _settle(self, case: Case, verdicts: Sequence[Verdict]) -> None:
        """What was sent is written down, however long the database takes: else it would be sent again."""
        waits = 0
        try:
            while True:
                try:
                    await self._settlement.settle(case, verdicts)
                    return
                except Unreachable as error:
                    if self.stopping:
                        raise
                    log.warning("%s lane=%s cannot be settled now: %s", case.message.id, case.lane, error)
                except Exception:
                    # A bug in what we tell of it must not send it again every minute.
                    await self._settlement.note_delivered(case, verdicts)
                    raise
                self.unwritten += 1 - waits
                waits = 1
                await asyncio.sleep(AWAY)
        finally:
            self.unwritten -= waits

    async def _try(self, lane: str, message: spool.Message, original: Message, group: Sequence[Waiting]) -> Attempt:
        recipients = tuple(waiting.recipient for waiting in group)
        try:
            route = await self._router.route(lane)
        except DnsError as error:
            return unreached(recipients, Reply(421, error.message, "4.4.0"))
        if route.refusal is not None:
            # A definite one is the domain's own answer; "cannot be told now" is nobody's.
            return Attempt(dict.fromkeys(recipients, route.refusal), reached=not route.refusal.transient)
        route = await self._sources.choose(message, route)
        if route.refusal is not None:
            return replace(unreached(recipients, route.refusal), alone=True)
        if message.require_tls and route.tls == "opportunistic":
            route = replace(route, tls="require")
        signatures = await self._signing.sign(message, original)
        parcel = Parcel(
            message=message.id,
            account=message.account,
            sender=message.return_path,
            recipients=recipients,
            signatures=signatures,
            head=original.content[: original.header_end],
            body=original.content[original.header_end :],
            date=self._today() if message.origin == "submission" else "",
            eight_bit=bool(message.eight_bit),
        )
        attempt = await self._agents[route.agent].attempt(route, parcel)
        return replace(attempt, alone=True) if route.source is not None else attempt

    def _today(self) -> str:
        return _day(self._runtime.clock.now() // DAY)

    async def expire(self, message: spool.Message, original: Message, late: Sequence[Waiting], lane: str) -> None:
        """End deliveries that were tried for too long."""
        reasons = await self._runtime.db.read(lambda tx: spool.last_words(tx, message.id, lane))
        verdicts = [
            settlement.expire(waiting, reasons.get(waiting.n, ""), retry_for=waiting.expires - message.created)
            for waiting in late
        ]
        await self._settlement.settle(Case(message, original, Attempt({}), lane), verdicts)

    async def _put_off(
        self, lane: Held, group: Sequence[Waiting], reply: Reply = INTERNAL, *, wait: int = MINUTE
    ) -> None:
        """Not the other side's fault: try again in a while; the others in the lane need not wait for it."""
        now = self._runtime.clock.now()
        reason = str(reply)

        async def body(tx: Transaction) -> None:
            for waiting in group:
                await spool.postpone(tx, waiting, now + wait, reason, now)

        try:
            await self._runtime.db.run(body)
        except Unreachable as error:
            lane.stuck = True
            log.warning("%s stays due: %s", group[0].message, error)


def unreached(recipients: Sequence[str], reply: Reply) -> Attempt:
    """Nobody was there to ask."""
    return Attempt(dict.fromkeys(recipients, reply), reached=False)


@lru_cache(maxsize=2)
def _day(days: int) -> str:
    return f"{datetime.fromtimestamp(days * DAY // SECOND, UTC):%Y.%m.%d}"
