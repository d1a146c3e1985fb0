"""Quota: how many recipients an account may reach in 24 hours, and how many a second (SES: sending §2).

The day is kept in the database and counted inside the transaction that accepts the message, so it is exact however many
processes accept.  It is a window of 24 hours in slices of five minutes: what a slice counted comes free when the window
has passed its beginning.  The rate is kept in memory: short bursts are tolerated.

Simulator mail counts for the rate but not for the day: the caller passes the number to count.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailstead.base.clock import DAY, MINUTE, SECOND
from mailstead.base.errors import NotFound, Throttled
from mailstead.store.port import Transaction

SLICE = 5 * MINUTE
WINDOW = DAY // SLICE
"""Slices in the window."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What GetSendQuota tells."""

    max_24h: int
    """-1: no limit."""
    max_rate: float
    sent_last_24h: int


def _oldest(now: int) -> int:
    """The first slice that still counts."""
    return now // SLICE - WINDOW + 1


_RESERVE = (
    "UPDATE account_regions SET used = used + $3"
    " WHERE account = $1 AND region = $2 AND (max_24h < 0 OR used + $3 <= max_24h)"
)
_COUNT = (
    "INSERT INTO quota_slices (account, region, slice, recipients) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT (account, region, slice) DO UPDATE SET recipients = quota_slices.recipients + excluded.recipients"
    " RETURNING recipients"
)


async def reserve(tx: Transaction, account: str, region: str, recipients: int, now: int) -> None:
    """Count so many recipients for the day.

    Raises:
        Throttled: the day has no room for all of them; nothing is counted.
        NotFound: the account was never used in this region.
    """
    if recipients <= 0:
        return
    if not await tx.run(_RESERVE, account, region, recipients):
        # What is older than a day may not have been given back yet; it matters only now.
        await _expire(tx, account, region, now)
        if not await tx.run(_RESERVE, account, region, recipients):
            await _refuse(tx, account, region)
    counted = await tx.value(_COUNT, account, region, now // SLICE, recipients)
    if counted == recipients:  # the first of its slice: time has gone on
        await _expire(tx, account, region, now)


async def _refuse(tx: Transaction, account: str, region: str) -> None:
    if await tx.row("SELECT 1 FROM account_regions WHERE account = $1 AND region = $2", account, region) is None:
        raise NotFound(f"Account {account} does not exist in {region}", kind="account")
    raise Throttled("Daily message quota exceeded.", kind="daily")


async def _expire(tx: Transaction, account: str, region: str, now: int) -> None:
    """Give back what the window has passed."""
    gone = await tx.rows(
        "DELETE FROM quota_slices WHERE account = $1 AND region = $2 AND slice < $3 RETURNING recipients",
        account,
        region,
        _oldest(now),
    )
    if gone:
        await tx.run(
            "UPDATE account_regions SET used = CASE WHEN used > $3 THEN used - $3 ELSE 0 END"
            " WHERE account = $1 AND region = $2",
            account,
            region,
            sum(row[0] for row in gone),
        )


async def give_back(tx: Transaction, account: str, region: str, recipients: int, at: int) -> None:
    """Take back what was counted at ``at`` for a message that was not sent after all."""
    # The account's row first, as reserve does: two transactions then wait for each other in one order only.
    changed = await tx.run(
        "UPDATE account_regions SET used = CASE WHEN used > $4 THEN used - $4 ELSE 0 END"
        " WHERE account = $1 AND region = $2 AND EXISTS (SELECT 1 FROM quota_slices"
        " WHERE account = $1 AND region = $2 AND slice = $3 AND recipients >= $4)",
        account,
        region,
        at // SLICE,
        recipients,
    )
    if changed:  # else the slice has come free as a whole
        await tx.run(
            "UPDATE quota_slices SET recipients = recipients - $4 WHERE account = $1 AND region = $2 AND slice = $3",
            account,
            region,
            at // SLICE,
            recipients,
        )


async def read(tx: Transaction, account: str, region: str, now: int) -> Quota:
    """The limits, and what was sent in the last 24 hours.

    Raises:
        NotFound: the account was never used in this region.
    """
    row = await tx.row(
        "SELECT max_24h, max_rate, (SELECT CAST(coalesce(sum(recipients), 0) AS BIGINT) FROM quota_slices"
        " WHERE account = $1 AND region = $2 AND slice >= $3) FROM account_regions WHERE account = $1 AND region = $2",
        account,
        region,
        _oldest(now),
    )
    if row is None:
        raise NotFound(f"Account {account} does not exist in {region}", kind="account")
    return Quota(*row)


MAX_BUCKETS = 10_000


class RateLimiter:
    """Token buckets in memory, one for an account in a region: ``max(5, 5 × rate)`` recipients deep."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], tuple[float, int]] = {}

    def take(self, account: str, region: str, rate: float, recipients: int, now: int) -> None:
        """Let so many recipients pass now.

        A message with more recipients than the bucket is deep passes when the bucket is full, and is paid off after.

        Args:
            rate: recipients a second; negative: no limit.
            now: milliseconds.

        Raises:
            Throttled: too fast.
        """
        if rate < 0:
            return
        depth = max(5.0, 5 * rate)
        tokens = self._level(account, region, rate, depth, now)
        if tokens < min(recipients, depth):
            raise Throttled("Maximum sending rate exceeded.", kind="rate")
        self._buckets[account, region] = (tokens - recipients, now)

    def _level(self, account: str, region: str, rate: float, depth: float, now: int) -> float:
        bucket = self._buckets.get((account, region))
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                self._buckets.clear()  # at worst one more burst each
            return depth
        tokens, then = bucket
        return min(depth, tokens + max(0, now - then) * rate / SECOND)

    def forget(self) -> None:
        """Start afresh (``/_mailstead/reset``)."""
        self._buckets.clear()
