"""The queue as an operator sees it: what waits where and why, and what may be done about it.

Lists are for the scan connection: they may be long.  Actions come in batches, so that none holds the writer for long:
call again until it says 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailstead.store import spool
from mailstead.store.port import Row, Transaction
from mailstead.store.spool import NEVER

_WILD = re.compile(r"[%_!]")
BATCH = 500
"""Deliveries one call of an action changes at most."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """A destination with mail waiting."""

    lane: str
    waiting: int
    """Deliveries that are not final, held ones among them."""
    held: int
    oldest: int
    """When the oldest of them was accepted or last tried, milliseconds."""
    due: int | None
    """When the destination is tried next; in the past: now, or being tried."""
    failures: int
    """Tries in a row that reached nobody."""
    busy: bool
    """Is a process working on it?"""
    reason: str
    """Why it waits, in one line; empty: it waits for nothing but its turn."""


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One delivery."""

    message: str
    n: int
    recipient: str
    lane: str
    state: str
    due: int | None
    expires: int
    attempts: int
    reply: str
    host: str
    tls: str
    changed: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries an action is about; what is empty selects all."""

    lane: str = ""
    message: str = ""
    recipient: str = ""
    state: str = ""
    account: str = ""
    domain: str = ""
    """Of the recipient, whatever lane it waits in."""

    def where(self, first: int) -> tuple[str, list[str]]:
        """The condition as SQL with parameters from ``$first`` on, and its arguments."""
        parts: list[str] = []
        args: list[str] = []
        for column in ("lane", "message", "recipient", "state"):
            value = getattr(self, column)
            if value:
                parts.append(f"d.{column} = ${first + len(args)}")
                args.append(value)
        if self.account:
            parts.append(f"d.message IN (SELECT id FROM messages WHERE account = ${first + len(args)})")
            args.append(self.account)
        if self.domain:
            parts.append(f"lower(d.recipient) LIKE ${first + len(args)} ESCAPE '!'")
            args.append("%@" + _WILD.sub(r"!\g<0>", self.domain))
        return " AND ".join(["d.due IS NOT NULL", *parts]), args


async def lanes(tx: Transaction, *, limit: int = 1000) -> list[LaneView]:
    """Destinations with mail waiting, the fullest first."""
    rows = await tx.rows(
        "SELECT d.lane, count(*), sum(CASE WHEN d.state = 'held' THEN 1 ELSE 0 END), min(d.changed), min(l.due),"
        " coalesce(max(l.failures), 0), max(CASE WHEN l.worker IS NULL THEN 0 ELSE 1 END),"
        " coalesce(max(l.reason), ''), max(CASE WHEN d.state = 'deferred' THEN d.reply ELSE '' END)"
        " FROM deliveries d LEFT JOIN lanes l ON l.lane = d.lane WHERE d.due IS NOT NULL"
        " GROUP BY d.lane ORDER BY count(*) DESC, d.lane LIMIT $1",
        limit,
    )
    return [_lane(row) for row in rows]


def _lane(row: Row) -> LaneView:
    lane, waiting, held, oldest, due, failures, busy, reason, reply = row
    return LaneView(lane, int(waiting), int(held), oldest, due, int(failures), bool(busy), reason or reply)


_DELIVERY = (
    "SELECT d.message, d.n, d.recipient, d.lane, d.state, d.due, d.expires, d.attempts,"
    " CASE WHEN d.reply <> '' THEN d.reply ELSE coalesce(l.reason, '') END, d.host, d.tls, d.changed"
    " FROM deliveries d LEFT JOIN lanes l ON l.lane = d.lane"
)


async def deliveries(tx: Transaction, selection: Selection, *, limit: int = 100) -> list[DeliveryView]:
    """Waiting deliveries of a selection, those due first before the others."""
    where, args = selection.where(2)
    rows = await tx.rows(f"{_DELIVERY} WHERE {where} ORDER BY d.due, d.message, d.n LIMIT $1", limit, *args)
    return [DeliveryView(*row) for row in rows]


async def of_message(tx: Transaction, message: str) -> list[DeliveryView]:
    """All deliveries of a message, final ones too."""
    return [DeliveryView(*row) for row in await tx.rows(f"{_DELIVERY} WHERE d.message = $1 ORDER BY d.n", message)]


async def attempts_of(tx: Transaction, message: str) -> list[Row]:
    """``(n, attempt, at, host, tls, reply, next_due)`` of the tries that did not end a delivery."""
    return await tx.rows(
        "SELECT n, attempt, at, host, tls, reply, next_due FROM attempts WHERE message = $1 ORDER BY at, n, attempt",
        message,
    )


async def count(tx: Transaction, selection: Selection) -> int:
    """How many deliveries wait (for the progress bar)."""
    where, args = selection.where(1)
    return int(await tx.value(f"SELECT count(*) FROM deliveries d WHERE {where}", *args))


async def _some(tx: Transaction, selection: Selection, extra: str) -> list[tuple[str, int, str]]:
    where, args = selection.where(2)
    rows = await tx.rows(
        f"SELECT d.message, d.n, d.lane FROM deliveries d WHERE {where} AND {extra} LIMIT $1", BATCH, *args
    )
    return [(str(message), int(n), str(lane)) for message, n, lane in rows]


async def retry(tx: Transaction, selection: Selection, now: int) -> int:
    """Let what waits for its next try be tried now; how many.  Held deliveries stay held."""
    found = await _some(tx, selection, f"d.state <> 'held' AND d.due > {now}")
    for message, n, _ in found:
        await tx.run("UPDATE deliveries SET due = $3 WHERE message = $1 AND n = $2 AND due > $3", message, n, now)
    for lane in sorted({lane for _, _, lane in found}):
        await spool.make_due_now(tx, lane, now)
    return len(found)


async def wake_lanes(tx: Transaction, selection: Selection, now: int) -> int:
    """Let the destinations of a selection be tried now although nobody was reached there last time; how many."""
    where, args = selection.where(1)
    found = await tx.rows(
        f"SELECT DISTINCT d.lane FROM deliveries d WHERE {where} AND d.state <> 'held' ORDER BY 1", *args
    )
    for row in found:
        await spool.make_due_now(tx, row[0], now)
    return len(found)


async def hold(tx: Transaction, selection: Selection, now: int) -> int:
    """Keep deliveries from being tried until they are released; how many.  Their age limit goes on."""
    found = await _some(tx, selection, "d.state <> 'held'")
    for message, n, _ in found:
        await tx.run(
            "UPDATE deliveries SET state = 'held', due = $3, changed = $4"
            " WHERE message = $1 AND n = $2 AND due IS NOT NULL",
            message,
            n,
            NEVER,
            now,
        )
    return len(found)


async def release(tx: Transaction, selection: Selection, now: int) -> int:
    """Let held deliveries go on, now; how many."""
    found = await _some(tx, selection, "d.state = 'held'")
    for message, n, _ in found:
        await tx.run(
            "UPDATE deliveries SET state = 'queued', due = $3, changed = $3"
            " WHERE message = $1 AND n = $2 AND state = 'held'",
            message,
            n,
            now,
        )
    for lane in sorted({lane for _, _, lane in found}):
        await spool.make_due_now(tx, lane, now)
    return len(found)


async def delete(tx: Transaction, selection: Selection, now: int) -> tuple[int, list[str]]:
    """Take deliveries out of the queue without telling anybody; how many, and blobs that have to go after commit."""
    found = await _some(tx, selection, "1 = 1")
    blobs = []
    for message, n, _ in found:
        ended = await spool.finish(tx, message, [(n, spool.Try("deleted", "deleted by the operator"))], now)
        blob = await spool.count_down(tx, message, len(ended), now) if ended else None
        if blob:
            blobs.append(blob)
    return len(found), blobs
