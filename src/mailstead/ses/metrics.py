"""Metrics: mail to one recipient, counted for each day (UTC) by who sent it and where it went (SES: sending §12).

Mail to several recipients, mail to the simulator and what a suppression list kept back do not count.  An open and a
click count once for a message.  Upkeep rolls events up into the table ``metrics`` (ses/rolling.py), so that neither
sending nor settling pays for it, and history costs a row for each day and each combination that had traffic; only what
was written in the last minute is counted from the events.

Not done: DELIVERY_OPEN, DELIVERY_CLICK and DELIVERY_COMPLAINT, deliveries of which we would hear more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

from mailstead.base.clock import DAY
from mailstead.base.errors import Invalid
from mailstead.ses import events, rolling
from mailstead.ses.isps import isp_of
from mailstead.store.port import Row, Transaction

CURSOR = "metrics.cursor"
KEPT = 90 * DAY

PERMANENT_BOUNCE, TRANSIENT_BOUNCE = "PERMANENT_BOUNCE", "TRANSIENT_BOUNCE"
METRIC = {
    events.SEND: "SEND",
    events.DELIVERY: "DELIVERY",
    events.COMPLAINT: "COMPLAINT",
    events.OPEN: "OPEN",
    events.CLICK: "CLICK",
}
"""Event type: the metric it counts for; a bounce counts for one of the two."""
OFFERED = frozenset({*METRIC.values(), PERMANENT_BOUNCE, TRANSIENT_BOUNCE})

DIMENSIONS = {
    "EMAIL_IDENTITY": "identity",
    "CONFIGURATION_SET": "configuration_set",
    "TENANT_NAME": "tenant",
    "ISP": "isp",
}
"""Dimension: its column."""
ANY = "*"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for."""

    metric: str
    """One of ``OFFERED``."""
    start: int
    """Milliseconds: the day of this time and those behind it…"""
    end: int
    """…that have begun before this one."""
    dimensions: tuple[tuple[str, str], ...] = ()
    """Keys of ``DIMENSIONS`` with the value that counts; ``*``: any."""

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise Invalid("EndDate must not be before StartDate.", kind="metrics")

    @property
    def days(self) -> range:
        """Numbers of the days."""
        return range(self.start // DAY, -(-self.end // DAY))

    @property
    def wanted(self) -> dict[str, str]:
        """Columns with the value that counts."""
        return {DIMENSIONS[name]: value for name, value in self.dimensions if value != ANY}


@dataclass(frozen=True, slots=True)
class Count:
    """A figure of one day."""

    account: str
    region: str
    metric: str
    day: int
    identity: str
    configuration_set: str
    tenant: str
    isp: str
    n: int

    def fits(self, query: Query) -> bool:
        """Does it belong into the answer?"""
        alike = all(getattr(self, column) == value for column, value in query.wanted.items())
        return alike and self.metric == query.metric and self.day in query.days


# What stands behind the last @: rtrim takes away all signs but it, which leaves what is before.
_DOMAIN = "lower(replace(d.recipient, rtrim(d.recipient, replace(d.recipient, '@', '')), ''))"
# As the encoder of events writes it; in a text of somebody else the quotes have backslashes.
_PERMANENT = "CASE WHEN e.kind = 'Bounce' AND e.detail_json LIKE '%\"bounceType\":\"Permanent\"%' THEN 1 ELSE 0 END"
_KINDS = ", ".join(f"'{kind}'" for kind in (*METRIC, events.BOUNCE))
_COUNTED = (
    "SELECT account, region, kind, permanent, day, identity, configuration_set, tenant, domain,"
    " CAST(count(*) AS BIGINT) FROM (SELECT e.account, e.region, e.kind,"
    f" {_PERMANENT} AS permanent, e.at / {DAY} AS day, m.identity, m.configuration_set, m.tenant, {_DOMAIN} AS domain"
    " FROM events e JOIN messages m ON m.id = e.message"
    " JOIN deliveries d ON d.message = m.id AND d.n = 0"
    f" WHERE {{which}} AND e.recipients > 0 AND e.kind IN ({_KINDS})"
    " AND NOT EXISTS (SELECT 1 FROM deliveries o WHERE o.message = m.id AND o.n = 1)"
    " AND (e.kind NOT IN ('Open', 'Click') OR NOT EXISTS"
    " (SELECT 1 FROM events f WHERE f.message = e.message AND f.kind = e.kind AND f.id < e.id))) AS counted"
    " GROUP BY account, region, kind, permanent, day, identity, configuration_set, tenant, domain"
)
_ROLLED = _COUNTED.format(which="e.id >= $1 AND e.id < $2")
_FRESH = _COUNTED.format(which="e.account = $1 AND e.region = $2 AND e.id >= $3")


def _counts(rows: Sequence[Row]) -> list[Count]:
    """A figure for each combination: several domains may be of one provider."""
    found: dict[Count, int] = defaultdict(int)
    for account, region, kind, permanent, day, identity, chosen, tenant, domain, n in rows:
        metric = METRIC.get(kind) or (PERMANENT_BOUNCE if permanent else TRANSIENT_BOUNCE)
        found[Count(account, region, metric, day, identity, chosen, tenant, isp_of(f"@{domain}"), 0)] += n
    return [replace(count, n=n) for count, n in found.items()]


async def roll(tx: Transaction) -> bool:
    """Add up the next events. Is there more to do? Called every few seconds; twice is harmless."""
    span = await rolling.advance(tx, CURSOR)
    if span is None:
        return False
    await tx.many(
        "INSERT INTO metrics (account, region, metric, day, identity, configuration_set, tenant, isp, n)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (account, region, metric, day, identity, configuration_set, tenant, isp)"
        " DO UPDATE SET n = metrics.n + excluded.n",
        [astuple(count) for count in _counts(await tx.rows(_ROLLED, span.low, span.high))],
    )
    return span.more


async def forget_old(tx: Transaction) -> int:
    """Delete days that are too old; how many rows."""
    return await tx.run("DELETE FROM metrics WHERE day < $1", (tx.now() - KEPT) // DAY)


async def read(tx: Transaction, account: str, region: str, queries: Sequence[Query]) -> list[dict[int, int]]:
    """The figures of each query by day (milliseconds of its beginning), in order; days without traffic are left out."""
    fresh = _counts(await tx.rows(_FRESH, account, region, await rolling.beyond(tx, CURSOR)))
    return [await _figures(tx, account, region, query, fresh) for query in queries]


async def _figures(tx: Transaction, account: str, region: str, query: Query, fresh: Sequence[Count]) -> dict[int, int]:
    by_day: dict[int, int] = defaultdict(int)
    for day, n in await _rolled_up(tx, account, region, query):
        by_day[day] += n
    for count in fresh:
        if count.fits(query):
            by_day[count.day] += count.n
    return {day * DAY: n for day, n in sorted(by_day.items())}


async def _rolled_up(tx: Transaction, account: str, region: str, query: Query) -> Sequence[Row]:
    wanted: Mapping[str, str] = query.wanted
    also = "".join(f" AND {column} = ${place}" for place, column in enumerate(wanted, 6))
    return await tx.rows(
        "SELECT day, CAST(sum(n) AS BIGINT) FROM metrics WHERE account = $1 AND region = $2 AND metric = $3"
        f" AND day >= $4 AND day < $5{also} GROUP BY day",
        account,
        region,
        query.metric,
        query.days.start,
        query.days.stop,
        *wanted.values(),
    )
