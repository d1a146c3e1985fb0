"""Scheduler: the deliveries duty.  A lane is claimed as a whole; its holder pulls what is due and sends it on its way.

A message's recipients in one lane travel together.  A lane whose hosts cannot be reached waits as a whole, so a dead
host moves one row, whatever waits behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from random import random
from typing import Protocol

from mailstead.base.clock import DAY, MINUTE, SECOND
from mailstead.base.errors import NotFound, Unreachable
from mailstead.outbound import settlement
from mailstead.outbound.agents import Agent, Attempt, Parcel, Route
from mailstead.outbound.composition import MAX_RECIPIENTS
from mailstead.outbound.retry import next_due
from mailstead.outbound.settlement import Case, Settlement, Verdict
from mailstead.outbound.signing import Signing
from mailstead.outbound.submission import LANES
from mailstead.proto.dns import DnsError
from mailstead.proto.message import Message
from mailstead.proto.smtp.reply import Reply
from mailstead.runtime import Runtime
from mailstead.store import spool, work
from mailstead.store.port import Transaction
from mailstead.store.spool import Waiting
from mailstead.worker import Duty, Loop

log = logging.getLogger(__name__)

HEALTHY_LANES = 400
KNOWN_LANES = 100
SLOW_LANES = 1000
FAILING_LANES = 100
"""Lanes worked on at once, each kind in places of its own.  Known ones have answered not long ago; slow ones have never
failed but do not answer; failing ones failed last time.  None of them can take the places of the others."""
PLACES = HEALTHY_LANES + KNOWN_LANES + SLOW_LANES + FAILING_LANES
SLOW_AFTER = 1.0
"""Seconds without an answer after which a lane is slow."""
KNOWN = 10_000
"""Names of lanes that answered, kept in memory: their mail need not stand in line behind the unknown."""
WINDOW = 40
"""Parcels of one lane under way at once."""
PROBE = 4
"""The same while nobody has answered there."""
REFILL = 10
"""So much of the window must be free before more is looked for: a look costs as much for one parcel as for ten."""
IN_MEMORY = 18 << 20
"""Bytes of message content under way at once in all lanes that answer; one message alone may be larger."""
PROBING_IN_MEMORY = 8 << 20
"""The same for lanes of which nobody knows whether they answer: large mail for the dead leaves the living alone."""
LANE_IN_MEMORY = IN_MEMORY // 3
"""The same for one lane."""
LINGER = 1.0
"""Seconds a lane is kept after its last delivery: the next message finds it open."""
LOOK = 1.0
"""Seconds after which a busy lane is looked at although nobody called: what a command or another process left there."""
AWAY = 2.0
"""Seconds to wait when the database takes nothing."""
FAULT = 10 * SECOND
"""How long a delivery waits that our own storage kept from being tried."""
ABANDONED = 30.0
"""Seconds between looks for lanes that are leased to us and that nobody here works on."""

INTERNAL = Reply(451, "Internal failure, see the log", "4.3.0")
NOTHING = Message.parse(b"\r\n")
GONE = Reply(451, "The content of this message is not there", "4.3.0")

Lane = tuple[str, int]
"""Name, and how often in a row nobody was reached."""


class Router(Protocol):
    """Finds the way of a lane (outbound/routing.py)."""

    async def route(self, lane: str) -> Route:
        """Where it goes now.

        Raises:
            DnsError: that cannot be told now.
        """
        ...


class Budget:
    """So many bytes at once; who asks first is served first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait for room."""
        if not self._turn.locked() and self._fits(size):
            self._taken += size
            return
        async with self._turn:
            while not self._fits(size):
                self._room.clear()
                await self._room.wait()
            self._taken += size

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Take it and give it back."""
        await self.take(size)
        try:
            yield
        finally:
            self.give(size)

    def _fits(self, size: int) -> bool:
        return self._taken == 0 or self._taken + size <= self._size

    def give(self, size: int) -> None:
        """Make room."""
        self._taken -= size
        self._room.set()


class Drain:
    """One lane in our hands."""

    def __init__(self, lane: str, failures: int, since: float) -> None:
        self.lane = lane
        self.failures = failures
        self.since = since
        """When we took it, in seconds of the clock that only grows."""
        self.answered = False
        """Has anybody been reached since?"""
        self.budget = Budget(LANE_IN_MEMORY)
        self.under_way: set[tuple[str, int]] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.unreached: Reply | None = None
        """Set when no host of the lane could be reached: nothing more is begun."""
        self.stuck = False
        """Set when the database takes nothing about it: it is looked at again, but not at once."""
        self.poked = asyncio.Event()

    @property
    def window(self) -> int:
        """Parcels that may be under way at once.

        Who has not answered is asked with few, who failed last time with one: the others need not all hear that nobody
        is there, nor fill the memory while they wait for it.
        """
        if self.answered:
            return WINDOW
        return 1 if self.failures else PROBE

    def ended(self, task: asyncio.Task[None]) -> None:
        """A parcel has been settled."""
        self.tasks.discard(task)
        self.poked.set()

    async def settled(self) -> None:
        """Wait for what is under way."""
        if self.tasks:
            await asyncio.wait(self.tasks)

    def cut_off(self) -> None:
        """The grace is over: what is under way ends here, unsettled."""
        for task in self.tasks:
            task.cancel()


class Scheduler:
    """Claims lanes and drains them."""

    def __init__(
        self,
        runtime: Runtime,
        router: Router,
        agents: Mapping[str, Agent],
        signing: Signing,
        settling: Settlement,
    ) -> None:
        self._runtime = runtime
        self._router = router
        self._agents = agents
        self._signing = signing
        self._settlement = settling
        self._drains: dict[str, Drain] = {}
        self._known: OrderedDict[str, None] = OrderedDict()
        self._called: set[str] = set()
        """Known lanes that got mail since the last claim."""
        self._budget = Budget(IN_MEMORY)
        self._probing = Budget(PROBING_IN_MEMORY)
        self._stopping = False
        self._unwritten = 0
        """Settlements that wait for the database: until they are written, nothing more is sent."""
        self.loop: Loop[Lane] = Loop(Duty("deliveries", self._claim, self._drain, self._failed, PLACES))

    # -- the duty

    async def run(self) -> None:
        """Work until ``stop``."""
        unlisten = self._runtime.signal.listen(LANES, self._hear)
        watch = asyncio.create_task(self._watch())
        try:
            await self.loop.run()
        finally:
            watch.cancel()
            unlisten()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; let what is under way end within ``grace`` seconds."""
        self._stopping = True
        for drain in self._drains.values():
            drain.poked.set()
        await self.loop.stop(grace)

    def _hear(self, lane: str) -> None:
        drain = self._drains.get(lane)
        if drain is not None:
            drain.poked.set()
            return
        if lane in self._known:
            self._called.add(lane)
        self.loop.wake()

    async def _claim(self, places: int) -> list[Lane]:
        now = self._runtime.clock.now()
        if self._unwritten or not await self._runtime.db.read(lambda tx: spool.anything_due(tx, now)):
            return []
        healthy, slow, failing = self._census()
        called = sorted(self._called)[: max(0, HEALTHY_LANES + KNOWN_LANES - healthy)]
        self._called.clear()
        healthy_places = min(places, HEALTHY_LANES - healthy, HEALTHY_LANES + SLOW_LANES - healthy - slow)
        failing_places = min(places, FAILING_LANES - failing)
        if not called and healthy_places <= 0 and failing_places <= 0:
            return []
        lanes = await self._runtime.db.run(
            lambda tx: work.claim_lanes(
                tx,
                worker=self._runtime.worker,
                now=now,
                named=called,
                healthy=max(0, healthy_places - len(called)),
                failing=max(0, failing_places),
            )
        )
        since = self._runtime.clock.monotonic()
        for lane, failures in lanes:
            self._drains[lane] = Drain(lane, failures, since)
        return lanes

    def _census(self) -> tuple[int, int, int]:
        """How many lanes in our hands are healthy, slow, failing."""
        before = self._runtime.clock.monotonic() - SLOW_AFTER
        drains = self._drains.values()
        failing = sum(drain.failures > 0 for drain in drains)
        slow = sum(not drain.answered and not drain.failures and drain.since < before for drain in drains)
        return len(drains) - failing - slow, slow, failing

    async def _failed(self, claimed: Lane, error: Exception) -> None:
        lane, failures = claimed
        now = self._runtime.clock.now()
        due = next_due(failures + 1, now, dice=random())  # noqa: S311 — jitter, no secret
        reason = "451 4.3.0 internal failure, see the log"
        await self._wait_until(lane, due, reason, now)

    # -- one lane

    async def _drain(self, claimed: Lane) -> None:
        drain = self._drains[claimed[0]]
        try:
            try:
                await self._work(drain)
            except Exception:
                await drain.settled()  # else the lane's next holder would send what is under way once more
                raise
            await drain.settled()
            await self._release(drain)
        finally:
            drain.cut_off()
            # Between our commit and here the lane may have been claimed again: that drain is not ours to end.
            if self._drains.get(drain.lane) is drain:
                del self._drains[drain.lane]
            # What was poked since our last look, and whoever waits for this place.
            self.loop.wake()

    async def _work(self, drain: Drain) -> None:
        """Pull and send until nothing is due, the hosts are away, or we stop."""
        while not self._stopping and drain.unreached is None:
            drain.poked.clear()
            try:
                begun = await self._begin(drain)
            except Unreachable as error:
                log.warning("lane %s cannot be looked at: %s", drain.lane, error)
                drain.stuck = True
            if drain.stuck:
                drain.stuck = False
                await asyncio.sleep(AWAY)
                continue
            if begun:
                continue
            if not await self._rest(drain) and not drain.tasks:
                return

    async def _begin(self, drain: Drain) -> bool:
        """Start what is due, as far as the window has room. Is there more to look for at once?"""
        room = drain.window - len(drain.tasks)
        if self._unwritten or drain.stuck or room < (REFILL if drain.answered else 1):
            return False
        now = self._runtime.clock.now()
        limit = len(drain.under_way) + room + MAX_RECIPIENTS
        rows = await self._runtime.db.read(lambda tx: spool.pull(tx, drain.lane, now, limit))
        fresh = (row for row in rows if (row.message, row.n) not in drain.under_way)
        groups = [tuple(siblings) for _, siblings in groupby(fresh, key=lambda row: row.message)]
        full = len(rows) == limit
        if full:
            groups.pop()  # some of its siblings may stand behind the limit
        for group in groups[:room]:
            task = asyncio.create_task(self._deliver(drain, group))
            drain.under_way.update((row.message, row.n) for row in group)
            drain.tasks.add(task)
            task.add_done_callback(drain.ended)
        return full and bool(groups)

    async def _rest(self, drain: Drain) -> bool:
        """Wait for news; False if none came for a while, or if others wait for the place."""
        if not drain.tasks and self._crowded():
            return False
        try:
            async with asyncio.timeout(LOOK if drain.tasks else LINGER):
                await drain.poked.wait()
        except TimeoutError:
            return False
        return True

    def _crowded(self) -> bool:
        return len(self._drains) >= HEALTHY_LANES and self._census()[0] >= HEALTHY_LANES

    async def _release(self, drain: Drain) -> None:
        """Give the lane back. Where the database does not take that now, keep it until it does."""
        while True:
            try:
                await self._give_back(drain)
            except Unreachable as error:
                if self._stopping:
                    raise
                log.warning("lane %s is kept: %s", drain.lane, error)
                await asyncio.sleep(AWAY)
            else:
                return

    async def _give_back(self, drain: Drain) -> None:
        now = self._runtime.clock.now()
        if drain.unreached is None:
            await self._let_go(drain.lane)
            return
        reason = str(drain.unreached)
        due = next_due(drain.failures + 1, now, dice=random())  # noqa: S311 — jitter, no secret
        log.info("unreachable lane=%s failures=%d reason=%s", drain.lane, drain.failures + 1, reason)
        await self._wait_until(drain.lane, due, reason, now)

    async def _wait_until(self, lane: str, due: int, reason: str, now: int) -> None:
        worker = self._runtime.worker
        await self._runtime.db.run(
            lambda tx: spool.unreachable(tx, lane, worker=worker, due=due, reason=reason, now=now)
        )

    async def _let_go(self, lane: str) -> None:
        worker, now = self._runtime.worker, self._runtime.clock.now()
        await self._runtime.db.run(lambda tx: spool.let_go(tx, lane, worker, now))

    # -- one parcel

    async def _deliver(self, drain: Drain, group: Sequence[Waiting]) -> None:
        try:
            message = await self._runtime.db.read(lambda tx: spool.read(tx, group[0].message))
            if message is None:
                raise NotFound(f"message {group[0].message} has no row")
            known = drain.answered or drain.lane in self._known
            everybodys = self._budget if known else self._probing
            async with drain.budget.room(message.size), everybodys.room(message.size):
                await self._attempt(drain, message, group)
        except Unreachable as error:
            log.warning("%s lane=%s put off: %s", group[0].message, drain.lane, error)
            await self._put_off(drain, group, Reply(451, error.message, "4.3.0"), wait=FAULT)
        except Exception:
            log.exception("%s lane=%s: the delivery failed in a way nobody expected", group[0].message, drain.lane)
            await self._put_off(drain, group)
        finally:
            drain.under_way.difference_update((row.message, row.n) for row in group)

    async def _attempt(self, drain: Drain, message: spool.Message, group: Sequence[Waiting]) -> None:
        now = self._runtime.clock.now()
        try:
            original = Message.parse(await self._runtime.blobs.get(message.blob))
        except NotFound:
            log.error("%s lane=%s: its content %s is not there", message.id, drain.lane, message.blob)
            await self._without_content(drain, message, group, now)
            return
        late = [waiting for waiting in group if waiting.expires <= now]
        if late:
            await self.expire(message, original, late, drain.lane)
            group = [waiting for waiting in group if waiting.expires > now]
        if not group:
            return
        attempt = await self._try(drain.lane, message, original, group)
        verdicts = settlement.judge(
            group,
            attempt,
            now=self._runtime.clock.now(),
            retry_for=group[0].expires - message.created,
            dice=random(),  # noqa: S311 — jitter, no secret
        )
        failing = drain.failures > 0
        if attempt.reached:
            drain.failures = 0
            self._answered(drain)
        else:
            drain.unreached = next(iter(attempt.replies.values()))
            self._known.pop(drain.lane, None)
        await self._settle(Case(message, original, attempt, drain.lane, failing), verdicts)

    def _answered(self, drain: Drain) -> None:
        drain.answered = True
        self._known[drain.lane] = None
        self._known.move_to_end(drain.lane)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    async def _without_content(self, drain: Drain, message: spool.Message, group: Sequence[Waiting], now: int) -> None:
        """Nothing can be sent; an operator may still bring the content back until the message is too old."""
        late = [waiting for waiting in group if waiting.expires <= now]
        if late:
            await self.expire(message, NOTHING, late, drain.lane)
        if len(late) < len(group):
            await self._put_off(drain, [waiting for waiting in group if waiting.expires > now], GONE)

    async def _settle(self, case: Case, verdicts: Sequence[Verdict]) -> None:
        """What was sent is written down, however long the database takes: else it would be sent again."""
        waits = 0
        try:
            while True:
                try:
                    await self._settlement.settle(case, verdicts)
                    return
                except Unreachable as error:
                    if self._stopping:
                        raise
                    log.warning("%s lane=%s cannot be settled now: %s", case.message.id, case.lane, error)
                except Exception:
                    # A bug in what we tell of it must not send it again every minute.
                    await self._settlement.note_delivered(case, verdicts)
                    raise
                self._unwritten += 1 - waits
                waits = 1
                await asyncio.sleep(AWAY)
        finally:
            self._unwritten -= waits

    async def _try(self, lane: str, message: spool.Message, original: Message, group: Sequence[Waiting]) -> Attempt:
        recipients = tuple(waiting.recipient for waiting in group)
        try:
            route = await self._router.route(lane)
        except DnsError as error:
            return unreached(recipients, Reply(421, error.message, "4.4.0"))
        if route.refusal is not None:
            # A definite one is the domain's own answer; "cannot be told now" is nobody's.
            return Attempt(dict.fromkeys(recipients, route.refusal), reached=not route.refusal.transient)
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
        return await self._agents[route.agent].attempt(route, parcel)

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
        self, drain: Drain, group: Sequence[Waiting], reply: Reply = INTERNAL, *, wait: int = MINUTE
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
            drain.stuck = True
            log.warning("%s stays due: %s", group[0].message, error)

    async def _watch(self) -> None:
        """Never stuck: a lane leased to us that nobody here drains is let go."""
        before: set[str] = set()
        while True:
            await asyncio.sleep(ABANDONED)
            try:
                leased = await self._runtime.db.read(lambda tx: spool.leased(tx, self._runtime.worker))
                # Seen twice: one that was leased this instant has no drain yet.
                lost = {lane for lane in leased if lane not in self._drains}
                for lane in lost & before:
                    log.warning("lane %s was abandoned; letting it go", lane)
                    await self._let_go(lane)
                    self.loop.wake()
                before = lost - before
            except Unreachable as error:
                log.warning("looking for abandoned lanes: %s", error)
            except Exception:
                log.exception("looking for abandoned lanes")


def unreached(recipients: Sequence[str], reply: Reply) -> Attempt:
    """Nobody was there to ask."""
    return Attempt(dict.fromkeys(recipients, reply), reached=False)


@lru_cache(maxsize=2)
def _day(days: int) -> str:
    return f"{datetime.fromtimestamp(days * DAY // SECOND, UTC):%Y.%m.%d}"
