"""Multi-region endpoints (v2 alone has them): made, told of, and named by sends."""

from __future__ import annotations

from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SESV2, Handlers, Request, Services
from mailstead.aws.operations.tags import pairs_of
from mailstead.ses import multi_region, tags
from mailstead.ses.multi_region import READY, Endpoint
from mailstead.store.port import Database, Transaction

HANDLED = frozenset(
    {
        (SESV2, "CreateMultiRegionEndpoint"),
        (SESV2, "GetMultiRegionEndpoint"),
        (SESV2, "ListMultiRegionEndpoints"),
        (SESV2, "DeleteMultiRegionEndpoint"),
    }
)

MAX_PAGE = 1000


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Endpoints(services)
    return {
        (SESV2, "CreateMultiRegionEndpoint"): operations.create,
        (SESV2, "GetMultiRegionEndpoint"): operations.get,
        (SESV2, "ListMultiRegionEndpoints"): operations.list_page,
        (SESV2, "DeleteMultiRegionEndpoint"): operations.delete,
    }


async def check_endpoint(db: Database, request: Request) -> None:
    """The ``EndpointId`` of a send, if it names one, is an endpoint of the caller's.

    Raises:
        NotFound: it is none.
    """
    caller, endpoint = request.caller, request.params.get("EndpointId")
    if endpoint:
        await db.read(lambda tx: multi_region.check_id(tx, caller.account, caller.region, endpoint))


class _Endpoints:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def create(self, request: Request) -> dict[str, Any]:
        caller, params = request.caller, request.params
        name, tagged = params["EndpointName"], pairs_of(params.get("Tags"))
        others = [route["Region"] for route in params["Details"]["RoutesDetails"]]

        async def body(tx: Transaction) -> Endpoint:
            made = await multi_region.create(tx, caller.account, caller.region, name, others)
            await tags.put(tx, caller.account, caller.region, tags.resource(tags.MULTI_REGION_ENDPOINT, name), tagged)
            return made

        made = await self._db.run(body)
        return {"Status": READY, "EndpointId": made.id}

    async def get(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["EndpointName"]
        found = await self._db.read(lambda tx: multi_region.get(tx, caller.account, caller.region, name))
        return {**_shown(found), "Routes": [{"Region": region} for region in found.regions]}

    async def list_page(self, request: Request) -> dict[str, Any]:
        caller, belongs = request.caller, request.page()
        start = paging.position(belongs, request.params.get("NextToken"))
        size = paging.page_size(request.params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
        after = str(start[0]) if start else ""
        rows = await self._db.scan(
            lambda tx: multi_region.list_page(tx, caller.account, caller.region, after=after, limit=size + 1)
        )
        shown = [{**_shown(found), "Regions": list(found.regions)} for found in rows[:size]]
        if len(rows) <= size:
            return {"MultiRegionEndpoints": shown}
        return {"MultiRegionEndpoints": shown, "NextToken": paging.token(belongs, [rows[size - 1].name])}

    async def delete(self, request: Request) -> dict[str, Any]:
        """Gone at once; ``DELETING`` is what SES says of it."""
        caller, name = request.caller, request.params["EndpointName"]
        await self._db.run(lambda tx: multi_region.delete(tx, caller.account, caller.region, name))
        return {"Status": "DELETING"}


def _shown(found: Endpoint) -> dict[str, Any]:
    """What both answers tell."""
    return {
        "EndpointName": found.name,
        "EndpointId": found.id,
        "Status": READY,
        "CreatedTimestamp": found.created,
        "LastUpdatedTimestamp": found.created,
    }
