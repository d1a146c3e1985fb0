"""Yard: the outbound core on a real database, with lanes by domain and an agent that says what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from mailstead.base.clock import HOUR
from mailstead.base.ids import message_id
from mailstead.outbound.agents import Attempt, Parcel, Route
from mailstead.outbound.delivery import Deliveries
from mailstead.outbound.handed_in import LANES, Submission, Terms
from mailstead.outbound.notices import Office
from mailstead.outbound.scheduler import Scheduler
from mailstead.outbound.settlement import Settlement
from mailstead.outbound.signing import Signing
from mailstead.outbound.sources import Sources
from mailstead.outbound.submission import Submissions
from mailstead.proto.dns import DnsError
from mailstead.proto.smtp.reply import Reply
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import events, identities, quota
from mailstead.ses.account import NewAccount
from mailstead.ses.principals import Caller
from mailstead.store import queue, spool, work
from mailstead.store.files import FileBlobs
from mailstead.store.signal import LocalSignal
from peers.database import Ground

T = TypeVar("T")

ACCOUNT = "111122223333"
REGION = "us-east-1"
PROVIDER = "mailstead.test"
RETRY_FOR = 14 * HOUR
SENDER = "sender@example.com"
CALLER = Caller(ACCOUNT, REGION, "AKIAIOSFODNN7EXAMPLE", f"arn:aws:iam::{ACCOUNT}:root", "root", source_ip="192.0.2.10")
RAW = b"From: Sender <sender@example.com>\r\nTo: r@example.net\r\nSubject: hello\r\n\r\nbody\r\n"
OK = Reply(250, "OK", "2.0.0")
HOST = "mx.example.net [192.0.2.7]:25"
PATIENCE = 10.0
"""Seconds that a scenario waits for anything."""
TURN = 0.002


class ByDomain:
    """Lanes and routes: a lane a domain, all by the scripted agent unless said otherwise."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        """Lanes that DNS cannot tell of now."""
        self.refusals: dict[str, Reply] = {}
        self.way = Route("scripted", "")
        """Of every lane, but for its site and its refusal."""

    def lane_for(self, recipient: str) -> str:
        return recipient.rpartition("@")[2].lower()

    async def route(self, lane: str) -> Route:
        if lane in self.unknown:
            raise DnsError(f"Unable to lookup DNS for {lane}")
        return replace(self.way, site=lane, refusal=self.refusals.get(lane))


@dataclass
class Script:
    """An agent: what it says by recipient, which lanes it does not reach, and what it was given."""

    replies: dict[str, Reply] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    raises: dict[str, Exception] = field(default_factory=dict)
    """By lane: what an attempt ends in."""
    parcels: list[Parcel] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    """The way each of them went."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: attempts wait until it is set."""
    closed_lanes: set[str] = field(default_factory=set)
    """Attempts of these wait for ever."""
    under_way: int = 0
    most: int = 0
    most_bytes: int = 0
    carried: int = 0
    cut_off: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    async def attempt(self, route: Route, parcel: Parcel) -> Attempt:
        self.parcels.append(parcel)
        self.routes.append(route)
        size = len(parcel.head) + len(parcel.body)
        self.under_way += 1
        self.carried += size
        self.most, self.most_bytes = max(self.most, self.under_way), max(self.most_bytes, self.carried)
        try:
            await self.open.wait()
            if route.site in self.closed_lanes:
                await asyncio.Event().wait()
            return self._answer(route.site, parcel)
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        finally:
            self.under_way -= 1
            self.carried -= size

    def _answer(self, lane: str, parcel: Parcel) -> Attempt:
        if lane in self.raises:
            raise self.raises[lane]
        if lane in self.away:
            gone = Reply(421, f"Failed to establish connection to {lane}", "4.4.1")
            return Attempt(dict.fromkeys(parcel.recipients, gone), reached=False)
        replies = {recipient: self.replies.get(recipient, OK) for recipient in parcel.recipients}
        return Attempt(replies, HOST, "192.0.2.7", "192.0.2.99", "TLSv1.3 TLS_AES_256_GCM_SHA384")

    @property
    def tried(self) -> list[str]:
        """Recipients in the order they were tried."""
        return [recipient for parcel in self.parcels for recipient in parcel.recipients]


class Yard:
    """An account with the identity example.com, the door, the scheduler."""

    def __init__(self, ground: Ground, folder: Path, *, provider: str = "", production: bool = True) -> None:
        self.ground = ground
        self.clock = ground.clock
        self.router = ByDomain()
        self.script = Script()
        # Larger than this many octets is a file.
        self.blobs = FileBlobs(folder / "blobs", ground.db, small=4096)
        self.folder = folder / "blobs"
        self.runtime = Runtime(
            db=ground.db,
            blobs=self.blobs,
            clock=ground.clock,
            dns=Silent(),
            signal=LocalSignal(),
            vault=ground.vault,
            worker="yard",
        )
        self.office = Office("mail.example.org", PROVIDER, RETRY_FOR)
        self.signing = Signing(self.runtime, provider)
        self.settlement = Settlement(self.runtime, self.office, self.router, self.signing.forget)
        self.sources: dict[str, str] = {}
        """Addresses that accounts may have for themselves, with their names."""
        self.limiter = quota.RateLimiter()
        self.terms = Terms(PROVIDER, RETRY_FOR, NewAccount(200, 1, production=False))
        self.submissions = Submissions(self.runtime, self.router, self.terms, self.limiter)
        self.scheduler = self.new_scheduler()
        self.run(lambda tx: self._furnish(tx, production=production))

    async def _furnish(self, tx: object, *, production: bool) -> None:
        await work.register(tx, "yard", "here", 1)  # type: ignore[arg-type]
        await accounts.create(tx, ACCOUNT)  # type: ignore[arg-type]
        new = NewAccount(-1, -1, production=True) if production else NewAccount(200, 1, production=False)
        await accounts.ensure_region(tx, ACCOUNT, REGION, new)  # type: ignore[arg-type]
        await identities.create(tx, ACCOUNT, REGION, "example.com", verified=True)  # type: ignore[arg-type]

    def new_scheduler(self) -> Scheduler:
        agents = {"scripted": self.script, "smtp": self.script}
        sources = Sources(self.runtime, self.sources)
        self.deliverer = Deliveries(self.runtime, self.router, agents, self.signing, self.settlement, sources=sources)
        return Scheduler(self.runtime, self.deliverer)

    def close(self) -> None:
        self.ground.loop.run_until_complete(self.signing.close())
        self.ground.loop.run_until_complete(self.blobs.close())

    # -- rows

    def run(self, body: Callable[..., Awaitable[T]]) -> T:
        """A transaction."""
        return self.ground.run(body)

    def wait(self, work: Awaitable[T]) -> T:
        """Run it to its end."""
        return self.ground.loop.run_until_complete(asyncio.wait_for(work, PATIENCE))

    def files(self) -> list[str]:
        """Names of the bodies that are files."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())

    def states(self, message: str) -> list[tuple[str, str]]:
        """``(recipient, state)`` of all deliveries."""
        views = self.ground.read(lambda tx: queue.of_message(tx, message))
        return [(view.recipient, view.state) for view in views]

    def deliveries(self, message: str) -> list[queue.DeliveryView]:
        return self.ground.read(lambda tx: queue.of_message(tx, message))

    def rows(self, sql: str, *args: object) -> list[tuple[object, ...]]:
        return self.ground.read(lambda tx: tx.rows(sql, *args))

    def lane(self, name: str) -> tuple[object, ...] | None:
        """``(due, worker, failures, reason)``."""
        found = self.rows("SELECT due, worker, failures, reason FROM lanes WHERE lane = $1", name)
        return found[0] if found else None

    def open(self, message: str) -> int:
        return int(self.rows("SELECT open FROM messages WHERE id = $1", message)[0][0])  # type: ignore[call-overload]

    def events(self, message: str) -> list[events.Event]:
        return self.ground.read(lambda tx: events.latest(tx, message=message))

    def notices(self) -> list[tuple[str, bytes]]:
        """``(recipient, content)`` of the notices that wait."""
        rows = self.rows(
            "SELECT d.recipient, m.blob FROM messages m JOIN deliveries d ON d.message = m.id"
            " WHERE m.origin = 'notice' ORDER BY m.id"
        )
        return [(str(to), self.wait(self.blobs.get(str(blob)))) for to, blob in rows]

    # -- mail

    def submit(self, *to: str, raw: bytes = RAW, caller: Caller = CALLER, **given: object) -> str:
        """Hand a message in at the door; its id."""
        return self.wait(self.submitting(*to, raw=raw, caller=caller, **given))

    async def submitting(self, *to: str, raw: bytes = RAW, caller: Caller = CALLER, **given: object) -> str:
        fields: dict[str, object] = {"source": SENDER, "destinations": to, "raw": raw, **given}
        operation = str(fields.pop("operation", "SendRawEmail"))
        limit = int(fields.pop("limit", 10 << 20))  # type: ignore[call-overload]
        submission = Submission(caller, operation, limit, **fields)  # type: ignore[arg-type]
        return await self.submissions.submit(submission)

    def put(
        self, *to: str, content: bytes = RAW, age: int = 0, sender: str = SENDER, origin: str = "submission"
    ) -> str:
        """A message that was accepted ``age`` milliseconds ago, without the door."""
        return self.wait(self.putting(*to, content=content, age=age, sender=sender, origin=origin))

    async def putting(
        self, *to: str, content: bytes = RAW, age: int = 0, sender: str = SENDER, origin: str = "submission"
    ) -> str:
        now = self.clock.now() - age
        name = message_id(REGION, now)
        blob = self.blobs.plan(name, content)
        message = spool.Message(
            name, ACCOUNT, REGION, origin, sender, f"{name}@{PROVIDER}", "example.com", "", 0, len(content), blob,
            '{"messageId":"' + name + '"}', now,
        )  # fmt: skip
        recipients = [spool.Recipient(one, self.router.lane_for(one), now + RETRY_FOR) for one in to]
        await self.blobs.put(blob, content)

        async def body(tx: object) -> None:
            await self.blobs.put_in(tx, blob, content)  # type: ignore[arg-type]
            await spool.put(tx, message, recipients)  # type: ignore[arg-type]

        await self.runtime.db.run(body)
        for recipient in recipients:
            self.runtime.signal.wake(LANES, recipient.lane)
        return name

    # -- life

    def play(self, scenario: Callable[[], Awaitable[T]], *, grace: float = 2) -> T:
        """Run a scenario beside a running scheduler, which is stopped after it."""

        async def both() -> T:
            running = asyncio.create_task(self.scheduler.run())
            try:
                return await asyncio.wait_for(scenario(), PATIENCE)
            finally:
                self.script.open.set()
                await self.scheduler.stop(grace)
                await running

        return self.ground.loop.run_until_complete(both())

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the others run until this holds."""
        while not condition():
            await asyncio.sleep(TURN)

    async def asked(self, sql: str, *args: object) -> object:
        """One value, from inside a scenario."""
        return await self.runtime.db.read(lambda tx: tx.value(sql, *args))

    async def until_asked(self, wanted: object, sql: str, *args: object) -> None:
        """Let the others run until the database says so."""
        while await self.asked(sql, *args) != wanted:
            await asyncio.sleep(TURN)

    async def until_quiet(self) -> None:
        """Nothing is due now, and no lane is held."""
        now = self.clock.now()
        await self.until_asked(0, "SELECT count(*) FROM deliveries WHERE due IS NOT NULL AND due <= $1", now)
        await self.until_asked(0, "SELECT count(*) FROM lanes WHERE worker IS NOT NULL")

    def deliver(self) -> None:
        """Let the scheduler do all that is due now."""
        self.play(self.until_quiet)
        self.scheduler = self.new_scheduler()


class Silent:
    """DNS that nobody should ask: routes come from the test."""

    async def query(self, name: str, kind: str) -> object:
        raise AssertionError(f"asked for {kind} of {name}")


def replies(wanted: Sequence[str], reply: Reply) -> dict[str, Reply]:
    """The same reply for each."""
    return dict.fromkeys(wanted, reply)
