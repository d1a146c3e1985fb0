"""Tenants and what they may use (v2 alone has them)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SESV2, Handlers, Params, Request, Services
from mailstead.aws.operations.tags import pairs_of, shown
from mailstead.base.errors import Invalid
from mailstead.ses import tags, tenant_resources, tenants
from mailstead.ses.tenants import Suppression, Tenant
from mailstead.store.port import Transaction

HANDLED = frozenset(
    {
        (SESV2, "CreateTenant"),
        (SESV2, "GetTenant"),
        (SESV2, "ListTenants"),
        (SESV2, "DeleteTenant"),
        (SESV2, "PutTenantSuppressionAttributes"),
        (SESV2, "CreateTenantResourceAssociation"),
        (SESV2, "DeleteTenantResourceAssociation"),
        (SESV2, "ListTenantResources"),
        (SESV2, "ListResourceTenants"),
    }
)

MAX_PAGE = 1000


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Tenants(services)
    return {
        (SESV2, "CreateTenant"): operations.create,
        (SESV2, "GetTenant"): operations.get,
        (SESV2, "ListTenants"): operations.list_page,
        (SESV2, "DeleteTenant"): operations.delete,
        (SESV2, "PutTenantSuppressionAttributes"): operations.put_suppression,
        (SESV2, "CreateTenantResourceAssociation"): operations.associate,
        (SESV2, "DeleteTenantResourceAssociation"): operations.dissociate,
        (SESV2, "ListTenantResources"): operations.list_resources,
        (SESV2, "ListResourceTenants"): operations.list_tenants_of,
    }


class _Tenants:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def create(self, request: Request) -> dict[str, Any]:
        caller, params = request.caller, request.params
        name, tagged = params["TenantName"], pairs_of(params.get("Tags"))
        own = _suppression(params.get("SuppressionAttributes") or {})

        async def body(tx: Transaction) -> Tenant:
            made = await tenants.create(tx, caller.account, caller.region, name, suppression=own)
            await tags.put(tx, caller.account, caller.region, tags.resource(tags.TENANT, made.id), tagged)
            return made

        return _described(request, await self._db.run(body), tagged)

    async def get(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["TenantName"]

        async def look(tx: Transaction) -> tuple[Tenant, Mapping[str, str]]:
            found = await tenants.get(tx, caller.account, caller.region, name)
            resource = tags.resource(tags.TENANT, found.id)
            return found, await tags.of(tx, caller.account, caller.region, resource)

        return {"Tenant": _described(request, *await self._db.read(look))}

    async def list_page(self, request: Request) -> dict[str, Any]:
        caller, wanted = request.caller, request.params.get("Filter") or {}
        contains, status = wanted.get("TENANT_NAME_CONTAINS", ""), wanted.get("SENDING_STATUS", "")
        check_status(status)
        belongs, after, size = page_of(request, contains, status)
        rows = await self._db.scan(
            lambda tx: tenants.list_page(
                tx, caller.account, caller.region, after=after, limit=size + 1, contains=contains, status=status
            )
        )
        answer = {"Tenants": [_summary(request, found) for found in rows[:size]]}
        return {**answer, **paging.following(belongs, rows, size, key=lambda found: found.name)}

    async def delete(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["TenantName"]
        await self._db.run(lambda tx: tenants.delete(tx, caller.account, caller.region, name))
        return {}

    async def put_suppression(self, request: Request) -> dict[str, Any]:
        caller, name, own = request.caller, request.params["TenantName"], _suppression(request.params)
        await self._db.run(lambda tx: tenants.set_suppression(tx, caller.account, caller.region, name, own))
        return {}

    # What they may use

    async def associate(self, request: Request) -> dict[str, Any]:
        caller, name, resource = request.caller, request.params["TenantName"], _resource(request)
        await self._db.run(lambda tx: tenant_resources.associate(tx, caller.account, caller.region, name, resource))
        return {}

    async def dissociate(self, request: Request) -> dict[str, Any]:
        caller, name, resource = request.caller, request.params["TenantName"], _resource(request)
        await self._db.run(lambda tx: tenant_resources.dissociate(tx, caller.account, caller.region, name, resource))
        return {}

    async def list_resources(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["TenantName"]
        kind = (request.params.get("Filter") or {}).get("RESOURCE_TYPE", "")
        if kind and kind not in tenant_resources.TYPES:
            raise Invalid(f"Invalid resource type {kind} specified.", kind="tenant-resource")
        belongs, after, size = page_of(request, name, kind)
        rows = await self._db.scan(
            lambda tx: tenant_resources.list_page(
                tx, caller.account, caller.region, name, after=after, limit=size + 1, kind=kind
            )
        )
        listed = [
            {
                "ResourceType": resource.partition("/")[0],
                "ResourceArn": tenant_resources.arn_of(caller.region, caller.account, resource),
            }
            for resource in rows[:size]
        ]
        return {"TenantResources": listed, **paging.following(belongs, rows, size, key=str)}

    async def list_tenants_of(self, request: Request) -> dict[str, Any]:
        caller, resource = request.caller, _resource(request)
        belongs, after, size = page_of(request, resource)
        rows = await self._db.scan(
            lambda tx: tenant_resources.tenants_of(
                tx, caller.account, caller.region, resource, after=after, limit=size + 1
            )
        )
        listed = [
            {
                "TenantName": found.tenant,
                "TenantId": found.id,
                "ResourceArn": tenant_resources.arn_of(caller.region, caller.account, found.resource),
                "AssociatedTimestamp": found.created,
            }
            for found in rows[:size]
        ]
        return {"ResourceTenants": listed, **paging.following(belongs, rows, size, key=lambda found: found.id)}


def page_of(request: Request, *filters: str) -> tuple[tuple[str, ...], str, int]:
    """What a page of a list belongs to, where it begins, how many rows it has.

    Raises:
        Invalid: the token is none of this list.
    """
    belongs = request.page(*filters)
    start = paging.position(belongs, request.params.get("NextToken"))
    size = paging.page_size(request.params.get("PageSize"), default=MAX_PAGE, most=MAX_PAGE)
    return belongs, str(start[0]) if start else "", size


def check_status(status: str) -> None:
    """Is it a sending status, where a filter asks for one?

    Raises:
        Invalid: it is none (the text is ours).
    """
    if status and status not in (tenants.ENABLED, tenants.DISABLED, tenants.REINSTATED):
        raise Invalid(f"Invalid sending status {status} specified.", kind="tenant")


def _resource(request: Request) -> str:
    """The resource that a call names."""
    caller = request.caller
    return tenant_resources.check_resource(caller.account, caller.region, request.params["ResourceArn"])


def _suppression(given: Params) -> Suppression | None:
    """Scope and reasons, both or neither."""
    return tenants.check_suppression(given.get("SuppressionScope"), given.get("SuppressedReasons"))


def _summary(request: Request, found: Tenant) -> dict[str, Any]:
    """What lists tell of a tenant."""
    return {
        "TenantName": found.name,
        "TenantId": found.id,
        "TenantArn": tenants.arn_of(request.caller.region, request.caller.account, found),
        "CreatedTimestamp": found.created,
        "SendingStatus": found.sending_status,
    }


def _described(request: Request, found: Tenant, tagged: Mapping[str, str]) -> dict[str, Any]:
    """All that is told of a tenant."""
    answer = {**_summary(request, found), "Tags": shown(tagged)}
    if found.suppression is None:
        return answer
    own = {"SuppressedReasons": list(found.suppression.reasons), "SuppressionScope": found.suppression.scope}
    return {**answer, "SuppressionAttributes": own}
