"""Statistics: what was sent, bounced, complained of and rejected, in windows of 15 minutes (SES: sending §2).

Events are rolled up into a row a window and kind (ses/rolling.py); those not yet rolled up are counted as they are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from mailstead.base.clock import DAY, MINUTE
from mailstead.ses import rolling
from mailstead.ses.events import BOUNCE, COMPLAINT, REJECT, SEND
from mailstead.store.port import Transaction

WINDOW = 15 * MINUTE
KEPT = 14 * DAY
BATCH = rolling.BATCH

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


async def roll(tx: Transaction) -> bool:
    """Add up the next events. Is there more to do? Called every few seconds; twice is harmless."""
    span = await rolling.advance(tx, CURSOR, batch=BATCH)
    if span is None:
        return False
    await tx.run(
        "INSERT INTO statistics (account, region, slice, kind, n)"
        " SELECT account, region, at / $3, kind, CAST(sum(recipients) AS BIGINT) FROM events"
        " WHERE id >= $1 AND id < $2 AND recipients > 0 GROUP BY account, region, at / $3, kind"
        " ON CONFLICT (account, region, slice, kind) DO UPDATE SET n = statistics.n + excluded.n",
        span.low,
        span.high,
        WINDOW,
    )
    return span.more


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
        await rolling.beyond(tx, CURSOR),
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
