"""Statistics: what was sent, bounced, complained of and rejected, in windows of 15 minutes (SES: sending §2).

No fact is counted twice: ``roll`` moves a cursor through the events in the order they were written and adds them up in
the same transaction; what the cursor has not reached is counted from the events themselves when somebody asks.  The
cursor keeps a distance to now, since a transaction may commit a moment after the time its ids carry.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from mailstead.base.clock import DAY, MINUTE
from mailstead.ses.events import BOUNCE, COMPLAINT, REJECT, SEND
from mailstead.store.port import Transaction

WINDOW = 15 * MINUTE
KEPT = 14 * DAY
LAG = MINUTE
BATCH = 2_000
"""Events in one step at most (about)."""

CURSOR = "statistics.cursor"
"""Milliseconds: events written before are in the table ``statistics``."""


@dataclass(frozen=True, slots=True)
class DataPoint:
    """One window with traffic."""

    timestamp: int
    delivery_attempts: int
    bounces: int
    complaints: int
    rejects: int


def _bound(at: int) -> str:
    """Every event id written at ``at`` or later is not below this."""
    return f"{max(0, at):012x}"


async def _cursor(tx: Transaction) -> int | None:
    value = await tx.value("SELECT value FROM settings WHERE key = $1", CURSOR)
    return None if value is None else int(value)


async def _move(tx: Transaction, old: int | None, new: int) -> bool:
    """Set the cursor if nobody else has: the loser of a race has nothing to add."""
    if old is None:
        sql = "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"
        return bool(await tx.run(sql, CURSOR, str(new)))
    sql = "UPDATE settings SET value = $2 WHERE key = $1 AND value = $3"
    return bool(await tx.run(sql, CURSOR, str(new), str(old)))


async def roll(tx: Transaction) -> bool:
    """Add up the next events. Is there more to do? Called every few seconds; twice is harmless."""
    old = await _cursor(tx)
    start, end = old or 0, tx.now() - LAG
    if end <= start:
        return False
    last = await tx.value(
        "SELECT id FROM events WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1 OFFSET $3",
        _bound(start),
        _bound(end),
        BATCH,
    )
    stop = max(int(last[:12], 16), start + 1) if last else end
    if not await _move(tx, old, stop):
        return False
    await tx.run(
        "INSERT INTO statistics (account, region, slice, kind, n)"
        " SELECT account, region, at / $3, kind, CAST(sum(recipients) AS BIGINT) FROM events"
        " WHERE id >= $1 AND id < $2 AND recipients > 0 GROUP BY account, region, at / $3, kind"
        " ON CONFLICT (account, region, slice, kind) DO UPDATE SET n = statistics.n + excluded.n",
        _bound(start),
        _bound(stop),
        WINDOW,
    )
    return last is not None


async def forget_old(tx: Transaction) -> int:
    """Delete windows that nobody asks for any more; how many."""
    return await tx.run("DELETE FROM statistics WHERE slice < $1", (tx.now() - KEPT) // WINDOW)


async def counts(tx: Transaction, account: str, region: str, *, since: int) -> dict[int, dict[str, int]]:
    """Recipients by window (its number) and event kind, from the window of ``since`` on."""
    first = since // WINDOW
    found: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    rolled = await tx.rows(
        "SELECT slice, kind, n FROM statistics WHERE account = $1 AND region = $2 AND slice >= $3",
        account,
        region,
        first,
    )
    tail = await tx.rows(
        "SELECT at / $4, kind, CAST(sum(recipients) AS BIGINT) FROM events"
        " WHERE account = $1 AND region = $2 AND id >= $3 AND recipients > 0 GROUP BY at / $4, kind",
        account,
        region,
        _bound(await _cursor(tx) or 0),
        WINDOW,
    )
    for window, kind, n in [*rolled, *(row for row in tail if row[0] >= first)]:
        found[window][kind] += n
    return found


async def send_statistics(tx: Transaction, account: str, region: str, now: int) -> list[DataPoint]:
    """The windows of the last 14 days that have traffic, oldest first."""
    points = []
    for window, by_kind in sorted((await counts(tx, account, region, since=now - KEPT)).items()):
        figures = [by_kind.get(kind, 0) for kind in (SEND, BOUNCE, COMPLAINT, REJECT)]
        if any(figures):
            points.append(DataPoint(window * WINDOW, *figures))
    return points
