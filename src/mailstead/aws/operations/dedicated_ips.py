"""Dedicated addresses: pools of them, and how warm each is (v2 alone has them)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from mailstead.aws import paging
from mailstead.aws.operations.services import SESV2, Handlers, Request, Services
from mailstead.aws.operations.tags import pairs_of
from mailstead.ses import account_options, dedicated_ips, tags
from mailstead.ses.dedicated_ips import STANDARD, DedicatedIp
from mailstead.store.port import Transaction

T = TypeVar("T")

HANDLED = frozenset(
    {
        (SESV2, "CreateDedicatedIpPool"),
        (SESV2, "GetDedicatedIpPool"),
        (SESV2, "ListDedicatedIpPools"),
        (SESV2, "DeleteDedicatedIpPool"),
        (SESV2, "PutDedicatedIpPoolScalingAttributes"),
        (SESV2, "GetDedicatedIp"),
        (SESV2, "GetDedicatedIps"),
        (SESV2, "PutDedicatedIpInPool"),
        (SESV2, "PutDedicatedIpWarmupAttributes"),
        (SESV2, "PutAccountDedicatedIpWarmupAttributes"),
    }
)

MAX_PAGE = 1000


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _DedicatedIps(services)
    return {
        (SESV2, "CreateDedicatedIpPool"): operations.create_pool,
        (SESV2, "GetDedicatedIpPool"): operations.get_pool,
        (SESV2, "ListDedicatedIpPools"): operations.list_pools,
        (SESV2, "DeleteDedicatedIpPool"): operations.delete_pool,
        (SESV2, "PutDedicatedIpPoolScalingAttributes"): operations.put_scaling,
        (SESV2, "GetDedicatedIp"): operations.get,
        (SESV2, "GetDedicatedIps"): operations.list_page,
        (SESV2, "PutDedicatedIpInPool"): operations.put_in_pool,
        (SESV2, "PutDedicatedIpWarmupAttributes"): operations.put_warmup,
        (SESV2, "PutAccountDedicatedIpWarmupAttributes"): operations.put_auto_warmup,
    }


class _DedicatedIps:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db

    # Pools

    async def create_pool(self, request: Request) -> dict[str, Any]:
        caller, params = request.caller, request.params
        name, mode, tagged = params["PoolName"], params.get("ScalingMode") or STANDARD, pairs_of(params.get("Tags"))

        async def body(tx: Transaction) -> None:
            await dedicated_ips.create_pool(tx, caller.account, caller.region, name, scaling_mode=mode)
            await tags.put(tx, caller.account, caller.region, tags.resource(tags.DEDICATED_IP_POOL, name), tagged)

        await self._db.run(body)
        return {}

    async def get_pool(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["PoolName"]
        found = await self._db.read(lambda tx: dedicated_ips.get_pool(tx, caller.account, caller.region, name))
        return {"DedicatedIpPool": {"PoolName": found.name, "ScalingMode": found.scaling_mode}}

    async def list_pools(self, request: Request) -> dict[str, Any]:
        caller = request.caller
        names, token = await self._page(
            request,
            lambda tx, after, limit: dedicated_ips.list_pools(
                tx, caller.account, caller.region, after=after, limit=limit
            ),
            key=str,
        )
        return {"DedicatedIpPools": names, **token}

    async def _page(
        self,
        request: Request,
        rows_of: Callable[[Transaction, str, int], Awaitable[list[T]]],
        *more: str,
        key: Callable[[T], str],
    ) -> tuple[Sequence[T], dict[str, str]]:
        """A page of a list in the order of ``key``, and its ``NextToken`` where there is more."""
        belongs = request.page(*more)
        start = paging.position(belongs, request.params.get("NextToken"))
        size = paging.page_size(request.params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
        after = str(start[0]) if start else ""
        rows = await self._db.scan(lambda tx: rows_of(tx, after, size + 1))
        if len(rows) <= size:
            return rows, {}
        return rows[:size], {"NextToken": paging.token(belongs, [key(rows[size - 1])])}

    async def delete_pool(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["PoolName"]
        await self._db.run(lambda tx: dedicated_ips.delete_pool(tx, caller.account, caller.region, name))
        return {}

    async def put_scaling(self, request: Request) -> dict[str, Any]:
        caller, name, mode = request.caller, request.params["PoolName"], request.params["ScalingMode"]
        await self._db.run(lambda tx: dedicated_ips.set_scaling_mode(tx, caller.account, caller.region, name, mode))
        return {}

    # Addresses

    async def get(self, request: Request) -> dict[str, Any]:
        caller, ip = request.caller, request.params["Ip"]
        found = await self._db.read(lambda tx: dedicated_ips.get(tx, caller.account, caller.region, ip))
        return {"DedicatedIp": _shown(found)}

    async def list_page(self, request: Request) -> dict[str, Any]:
        caller, pool = request.caller, request.params.get("PoolName") or ""
        found, token = await self._page(
            request,
            lambda tx, after, limit: dedicated_ips.list_page(
                tx, caller.account, caller.region, pool=pool, after=after, limit=limit
            ),
            pool,
            key=lambda one: one.ip,
        )
        return {"DedicatedIps": [_shown(one) for one in found], **token}

    async def put_in_pool(self, request: Request) -> dict[str, Any]:
        caller, ip, pool = request.caller, request.params["Ip"], request.params["DestinationPoolName"]
        await self._db.run(lambda tx: dedicated_ips.move(tx, caller.account, caller.region, ip, pool))
        return {}

    async def put_warmup(self, request: Request) -> dict[str, Any]:
        caller, ip, percentage = request.caller, request.params["Ip"], request.params["WarmupPercentage"]
        await self._db.run(lambda tx: dedicated_ips.set_warmup(tx, caller.account, caller.region, ip, percentage))
        return {}

    async def put_auto_warmup(self, request: Request) -> dict[str, Any]:
        caller, enabled = request.caller, request.params.get("AutoWarmupEnabled", False)
        await self._services.region_of(caller)
        await self._db.run(
            lambda tx: account_options.set_auto_warmup(tx, caller.account, caller.region, enabled=enabled)
        )
        return {}


def _shown(found: DedicatedIp) -> dict[str, Any]:
    return {
        "Ip": found.ip,
        "WarmupStatus": found.warmup_status,
        "WarmupPercentage": found.warmup_percentage,
        "PoolName": found.pool,
    }
