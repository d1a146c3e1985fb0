"""Metric exports: an account's figures as a table, a row for each day that had traffic (SES v2: MetricsDataSource).

Each combination of the dimensions' values is a series of each metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from mailstead.base.errors import Invalid
from mailstead.ses import events, metrics
from mailstead.ses.metrics import Query
from mailstead.store.port import Transaction

PAGE = 100
"""Series looked at at a time."""
MAX_ROWS = 100_000
"""Of a file."""

VOLUME, RATE = "VOLUME", "RATE"
COLUMNS = ("Date", *metrics.DIMENSIONS, "Metric", "Aggregation", "Value")
"""Members of a row of the file; a dimension that was not asked for is empty. (unverified)"""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of one combination of dimensions."""

    query: Query
    aggregation: str

    @property
    def base(self) -> Query:
        """What a rate is relative to: the mail that was sent."""
        return Query("SEND", self.query.start, self.query.end, self.query.dimensions)


def plan(source: Mapping[str, Any]) -> list[Series]:
    """The series that are asked for.

    Raises:
        Invalid: a metric that is not counted, a dimension without a value, an end before the start.
    """
    wanted = [_metric(one) for one in source["Metrics"]]
    values = [[(name, value) for value in _values(name, given)] for name, given in source["Dimensions"].items()]
    return [
        Series(Query(metric, source["StartDate"], source["EndDate"], dimensions), aggregation)
        for dimensions in product(*values)
        for metric, aggregation in wanted
    ]


def _metric(given: Mapping[str, Any]) -> tuple[str, str]:
    name = given.get("Name")
    if name is None:
        raise Invalid("Each of Metrics must have a Name.")
    if name not in metrics.OFFERED:
        raise Invalid(f"Mailstead does not count {name} yet.", kind="not-offered")
    return str(name), str(given.get("Aggregation") or VOLUME)


def _values(name: str, given: Sequence[str]) -> list[str]:
    if not all(given):
        raise Invalid(f"Invalid value of the dimension {name}.")
    return list(dict.fromkeys(given))


async def page(tx: Transaction, account: str, region: str, *, series: Sequence[Series]) -> list[tuple[str, ...]]:
    """The rows of some series: each by day."""
    asked = [query for one in series for query in (one.query, one.base)]
    figures = await metrics.read(tx, account, region, asked)
    return [
        _row(one, day, _value(one.aggregation, n, sent))
        for one, counted, sends in zip(series, figures[::2], figures[1::2], strict=True)
        for day, n, sent in ((day, n, sends.get(day, 0)) for day, n in counted.items())
    ]


def _value(aggregation: str, n: int, sent: int) -> str:
    """The figure; of a rate, empty on a day when nothing was sent that it could be relative to."""
    if aggregation == VOLUME:
        return str(n)
    return f"{n / sent:.6f}" if sent else ""


def _row(series: Series, day: int, value: str) -> tuple[str, ...]:
    said = dict(series.query.dimensions)
    dimensions = (said.get(name, "") for name in metrics.DIMENSIONS)
    return (events.iso(day)[:10], *dimensions, series.query.metric, series.aggregation, value)
