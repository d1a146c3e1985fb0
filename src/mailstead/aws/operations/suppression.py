"""Suppression lists: addresses an account or a tenant does not want to mail again (v2 alone has them)."""

from __future__ import annotations

from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SESV2, Handlers, Request, Services
from mailstead.base.address import check_address
from mailstead.base.errors import Invalid
from mailstead.ses import suppression, tenants
from mailstead.ses.suppression import Selection, Suppressed
from mailstead.store.port import Transaction

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
        caller, address = request.caller, request.params["EmailAddress"]
        check_address(address)
        region = await self._services.region_of(caller)
        if not region.production_access:  # SES: sending §2
            raise Invalid("Addresses cannot be put on the suppression list while the account is in the sandbox.")
        reason = request.params["Reason"]

        async def body(tx: Transaction) -> None:
            owner = await _owner(tx, request, hold=True)
            await suppression.put(tx, caller.account, caller.region, address, reason, tenant=owner)

        await self._db.run(body)
        return {}

    async def get(self, request: Request) -> dict[str, Any]:
        address, tenant = request.params["EmailAddress"], request.params.get("TenantName")

        async def look(tx: Transaction) -> Suppressed:
            owner = await _owner(tx, request)
            return await suppression.get(tx, request.caller.account, request.caller.region, address, tenant=owner)

        found = await self._db.read(look)
        ids = {"MessageId": found.message, "FeedbackId": found.feedback}
        attributes = {name: value for name, value in ids.items() if value}
        shown = {**_summary(found), **({"Attributes": attributes} if attributes else {})}
        return {"SuppressedDestination": {**shown, **({"TenantName": tenant} if tenant else {})}}

    async def list_page(self, request: Request) -> dict[str, Any]:
        caller, params = request.caller, request.params
        reasons = tuple(params.get("Reasons") or ())
        wanted = Selection(reasons, params.get("StartDate"), params.get("EndDate"))
        filters = (",".join(sorted(set(reasons))), str(wanted.since), str(wanted.until))
        belongs = request.page(*filters, *([params["TenantName"]] if "TenantName" in params else ()))
        start = paging.position(belongs, params.get("NextToken"))
        size = paging.page_size(params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
        after = str(start[0]) if start else ""

        async def look(tx: Transaction) -> list[Suppressed]:
            owner = await _owner(tx, request)
            return await suppression.list_page(
                tx, caller.account, caller.region, after=after, limit=size + 1, wanted=wanted, tenant=owner
            )

        rows = await self._db.scan(look)
        answer: dict[str, Any] = {"SuppressedDestinationSummaries": [_summary(found) for found in rows[:size]]}
        return {**answer, "NextToken": paging.token(belongs, [rows[size - 1].address])} if len(rows) > size else answer

    async def delete(self, request: Request) -> dict[str, Any]:
        caller, address = request.caller, request.params["EmailAddress"]

        async def body(tx: Transaction) -> None:
            await suppression.delete(tx, caller.account, caller.region, address, tenant=await _owner(tx, request))

        await self._db.run(body)
        return {}


async def _owner(tx: Transaction, request: Request, *, hold: bool = False) -> str:
    """The id of the tenant whose list a call is about; empty: it is about the account's.

    Raises:
        Invalid, NotFound: there is no such tenant.
    """
    name = request.params.get("TenantName")
    if name is None:
        return ""
    find = tenants.hold if hold else tenants.get
    return (await find(tx, request.caller.account, request.caller.region, name)).id


def _summary(found: Suppressed) -> dict[str, Any]:
    return {"EmailAddress": found.address, "Reason": found.reason, "LastUpdateTime": found.changed}
