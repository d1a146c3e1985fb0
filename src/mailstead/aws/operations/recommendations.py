"""Recommendations for an account's domains (v2 alone has them)."""

from __future__ import annotations

from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SESV2, Handlers, Params, Request, Services
from mailstead.base.errors import Invalid
from mailstead.ses import recommendations, tags, tenant_resources
from mailstead.ses.principals import Caller
from mailstead.ses.recommendations import FIXED, HIGH, LOW, OPEN, TYPES, Recommendation
from mailstead.store.port import Transaction

HANDLED = frozenset({(SESV2, "ListRecommendations")})

MAX_PAGE = 100

# Filter: the column it is about, and the values it may have.
FILTERS = {"TYPE": ("type", TYPES), "IMPACT": ("impact", (LOW, HIGH)), "STATUS": ("status", (OPEN, FIXED))}


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    return {(SESV2, "ListRecommendations"): _Recommendations(services).list_page}


class _Recommendations:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def list_page(self, request: Request) -> dict[str, Any]:
        caller, given = request.caller, request.params.get("Filter") or {}
        wanted, arn = _wanted(given), given.get("RESOURCE_ARN")
        belongs = request.page(*(f"{name}={value}" for name, value in sorted(given.items())))
        start = paging.position(belongs, request.params.get("NextToken"))
        size = paging.page_size(request.params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
        after = (str(start[0]), str(start[1])) if start else ("", "")

        async def look(tx: Transaction) -> list[Recommendation]:
            place = (caller.account, caller.region)
            its = {"resource": await tags.by_arn(tx, *place, arn)} if arn is not None else {}
            return await recommendations.list_page(tx, *place, after=after, limit=size + 1, wanted=wanted | its)

        rows = await self._db.scan(look)
        answer: dict[str, Any] = {"Recommendations": [_shown(caller, found) for found in rows[:size]]}
        if len(rows) <= size:
            return answer
        return {**answer, "NextToken": paging.token(belongs, [rows[size - 1].resource, rows[size - 1].type])}


def _wanted(given: Params) -> dict[str, str]:
    """Columns with the value that counts.

    Raises:
        Invalid: a value that none can have (the text is ours).
    """
    wanted = {}
    for name, (column, values) in FILTERS.items():
        if name in given:
            if given[name] not in values:
                raise Invalid(f"Invalid value {given[name]} of the filter {name}.", kind="recommendations")
            wanted[column] = given[name]
    return wanted


def _shown(caller: Caller, found: Recommendation) -> dict[str, Any]:
    return {
        "ResourceArn": tenant_resources.arn_of(caller.region, caller.account, found.resource),
        "Type": found.type,
        "Description": found.description,
        "Status": found.status,
        "CreatedTimestamp": found.created,
        "LastUpdatedTimestamp": found.changed,
        "Impact": found.impact,
    }
