"""Dead mail: deferred deliveries put into a server's queue through the store's own functions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from mailstead.base.clock import HOUR, MINUTE, SECOND, SystemClock
from mailstead.store import work
from mailstead.store.port import Transaction
from mailstead.store.sqlite import SqliteDatabase
from peers.server import Server

_CONTENT = b"From: load@sender.test\r\nTo: someone@dead.test\r\nSubject: nobody reads this\r\n\r\n" + b"gone\r\n" * 200
_MESSAGE = (
    "id", "account", "region", "origin", "sender", "return_path", "identity", "signing_domain", "eight_bit", "size",
    "blob", "open", "mail_json", "created",
)  # fmt: skip
_DELIVERY = ("message", "n", "recipient", "lane", "state", "due", "expires", "attempts", "reply", "changed")
BATCH = 2000


def bury(server: Server, count: int, domains: Sequence[str], *, fresh: bool = False) -> None:
    """Put ``count`` deliveries into a server's queue.

    They have failed three times and come due all through the next two minutes; ``fresh``: never tried, due at once.
    """
    asyncio.run(_bury(server, count, domains, fresh=fresh))


async def _bury(server: Server, count: int, domains: Sequence[str], *, fresh: bool) -> None:
    clock = SystemClock()
    db = SqliteDatabase(server.data / "mailstead.db", clock)
    dice = random.Random(1)
    try:
        for start in range(0, count, BATCH):
            numbers = range(start, min(count, start + BATCH))
            await db.run(lambda tx, numbers=numbers: _some(tx, numbers, domains, clock.now(), fresh=fresh))
        now = clock.now()
        lanes = [
            (
                one,
                now if fresh else now + dice.randrange(2 * MINUTE),
                0 if fresh else 3,
                "" if fresh else "421 4.4.1 dead",
            )
            for one in domains
        ]
        await db.run(lambda tx: work.insert_many(tx, "lanes", ("lane", "due", "failures", "reason"), lanes))
    finally:
        await db.close()


async def _some(tx: Transaction, numbers: range, domains: Sequence[str], now: int, *, fresh: bool) -> None:
    ids = [(f"dead-{n:06}", domains[n % len(domains)]) for n in numbers]
    mail = '{"timestamp": "2026-01-01T00:00:00.000Z", "source": "load@sender.test", "destination": [], "tags": {}}'
    message = ("000000000000", "us-east-1", "submission", "load@sender.test", "x@provider.test", "sender.test")
    state = (
        ("queued", now, now + 14 * HOUR, 0, "") if fresh else ("deferred", now + SECOND, now + 12 * HOUR, 3, "421 dead")
    )
    await work.insert_many(tx, "blobs", ("key", "content"), [(id, _CONTENT) for id, _ in ids])
    await work.insert_many(
        tx, "messages", _MESSAGE, [(id, *message, "", 0, len(_CONTENT), f"db:{id}", 1, mail, now) for id, _ in ids]
    )
    await work.insert_many(
        tx, "deliveries", _DELIVERY, [(id, 0, f"someone@{domain}", domain, *state, now) for id, domain in ids]
    )
