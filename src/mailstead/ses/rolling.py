"""Rolling up: a cursor that moves through the events in the order they were written, so that each is counted once.

Whoever counts moves the cursor and adds up what it passed, in one transaction.  The cursor keeps a distance to now,
since a transaction may commit a moment after the time its ids carry; what it has not reached is counted from the events
themselves when somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailstead.base.clock import MINUTE
from mailstead.store.port import Transaction

LAG = MINUTE
BATCH = 2_000
"""Events in one step at most (about)."""


@dataclass(frozen=True, slots=True)
class Span:
    """Events to be added up: their ids are not below ``low`` and below ``high``."""

    low: str
    high: str
    more: bool
    """Are there others behind them?"""


def bound(at: int) -> str:
    """Every event id written at ``at`` or later is not below this."""
    return f"{max(0, at):012x}"


async def _reached(tx: Transaction, cursor: str) -> int | None:
    value = await tx.value("SELECT value FROM settings WHERE key = $1", cursor)
    return None if value is None else int(value)


async def beyond(tx: Transaction, cursor: str) -> str:
    """Events whose ids are not below this are not added up yet."""
    return bound(await _reached(tx, cursor) or 0)


async def advance(tx: Transaction, cursor: str, *, batch: int = BATCH) -> Span | None:
    """The events that are to be added up now, in this transaction; None: there are none, or another takes them.

    Args:
        cursor: a key of the table ``settings``; it holds milliseconds.
    """
    old = await _reached(tx, cursor)
    start, end = old or 0, tx.now() - LAG
    if end <= start:
        return None
    sql = "SELECT id FROM events WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1 OFFSET $3"
    last = await tx.value(sql, bound(start), bound(end), batch)
    stop = max(int(last[:12], 16), start + 1) if last else end
    if not await _move(tx, cursor, old, stop):
        return None
    return Span(bound(start), bound(stop), last is not None)


async def _move(tx: Transaction, cursor: str, old: int | None, new: int) -> bool:
    """Set the cursor if nobody else has: the loser of a race has nothing to add."""
    if old is None:
        sql = "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"
        return bool(await tx.run(sql, cursor, str(new)))
    sql = "UPDATE settings SET value = $2 WHERE key = $1 AND value = $3"
    return bool(await tx.run(sql, cursor, str(new), str(old)))
