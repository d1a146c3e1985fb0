"""Suppression list: addresses an account does not want to mail again (v2 alone has it)."""

from __future__ import annotations

from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SESV2, Handlers, Request, Services
from mailstead.base.address import check_address
from mailstead.base.errors import Invalid, NotFound
from mailstead.ses import suppression
from mailstead.ses.suppression import Selection, Suppressed

HANDLED = frozenset(
    {
        (SESV2, "PutSuppressedDestination"),
        (SESV2, "GetSuppressedDestination"),
        (SESV2, "ListSuppressedDestinations"),
        (SESV2, "DeleteSuppressedDestination"),
    }
)

MAX_PAGE = 1000


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Suppression(services)
    return {
        (SESV2, "PutSuppressedDestination"): operations.put,
        (SESV2, "GetSuppressedDestination"): operations.get,
        (SESV2, "ListSuppressedDestinations"): operations.list_page,
        (SESV2, "DeleteSuppressedDestination"): operations.delete,
    }


class _Suppression:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db

    async def put(self, request: Request) -> dict[str, Any]:
        caller, address = request.caller, _own_list(request)["EmailAddress"]
        check_address(address)
        region = await self._services.region_of(caller)
        if not region.production_access:  # SES: sending §2
            raise Invalid("Addresses cannot be put on the suppression list while the account is in the sandbox.")
        reason = request.params["Reason"]
        await self._db.run(lambda tx: suppression.put(tx, caller.account, caller.region, address, reason))
        return {}

    async def get(self, request: Request) -> dict[str, Any]:
        caller, address = request.caller, _own_list(request)["EmailAddress"]
        found = await self._db.read(lambda tx: suppression.get(tx, caller.account, caller.region, address))
        ids = {"MessageId": found.message, "FeedbackId": found.feedback}
        attributes = {name: value for name, value in ids.items() if value}
        shown = {**_summary(found), **({"Attributes": attributes} if attributes else {})}
        return {"SuppressedDestination": shown}

    async def list_page(self, request: Request) -> dict[str, Any]:
        caller, params = request.caller, _own_list(request)
        reasons = tuple(params.get("Reasons") or ())
        wanted = Selection(reasons, params.get("StartDate"), params.get("EndDate"))
        belongs = request.page(",".join(sorted(set(reasons))), str(wanted.since), str(wanted.until))
        start = paging.position(belongs, params.get("NextToken"))
        size = paging.page_size(params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
        after = str(start[0]) if start else ""
        rows = await self._db.scan(
            lambda tx: suppression.list_page(
                tx, caller.account, caller.region, after=after, limit=size + 1, wanted=wanted
            )
        )
        answer: dict[str, Any] = {"SuppressedDestinationSummaries": [_summary(found) for found in rows[:size]]}
        return {**answer, "NextToken": paging.token(belongs, [rows[size - 1].address])} if len(rows) > size else answer

    async def delete(self, request: Request) -> dict[str, Any]:
        caller, address = request.caller, _own_list(request)["EmailAddress"]
        await self._db.run(lambda tx: suppression.delete(tx, caller.account, caller.region, address))
        return {}


def _own_list(request: Request) -> Any:
    """The members of a call about the account's own list.

    Raises:
        NotFound: it is about a tenant's, and there are none yet.
    """
    if (tenant := request.params.get("TenantName")) is not None:
        raise NotFound(f"Tenant {tenant[:256]} does not exist.", kind="tenant")
    return request.params


def _summary(found: Suppressed) -> dict[str, Any]:
    return {"EmailAddress": found.address, "Reason": found.reason, "LastUpdateTime": found.changed}
