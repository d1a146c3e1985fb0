"""Resources of tenants: the identities, configuration sets and templates that each tenant may send with.

A resource is written as it stands in its ARN behind the account, ``identity/NAME``.  One may belong to several tenants;
as long as it belongs to one it is not deleted.  Texts are SES's (seen).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailstead.base.errors import AlreadyExists, Denied, Invalid
from mailstead.ses import tags, tenants
from mailstead.store.port import Transaction

TYPES = (tags.IDENTITY, tags.CONFIGURATION_SET, tags.TEMPLATE)
"""Types as they are written on the wire (seen; the models have other names)."""

_OWN = "account = $1 AND region = $2"


@dataclass(frozen=True, slots=True)
class Association:
    """A resource that a tenant may use."""

    tenant: str
    """Its name."""
    id: str
    resource: str
    """``identity/NAME``."""
    created: int


def arn_of(region: str, account: str, resource: str) -> str:
    """``arn:aws:ses:REGION:ACCOUNT:identity/NAME``."""
    return f"arn:aws:ses:{region}:{account}:{resource}"


def check_resource(account: str, region: str, arn: str) -> str:
    """The resource that an ARN names, ``identity/NAME``, if it is one that tenants may use; it need not be there.

    Raises:
        Invalid: it is not, or of another region or account.
    """
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        raise Invalid("Provided resource identifier is not an SES resource", kind="tenant-resource")
    if parts[2] != "ses":
        raise Invalid("Provided ARN is not in SES resource ARN format", kind="tenant-resource")
    kind, _, name = parts[5].partition("/")
    if kind not in TYPES:
        raise Invalid(f"Unsupported resource type: {kind[:256]}", kind="tenant-resource")
    if not name:
        raise Invalid("Provided resource identifier is not an SES resource", kind="tenant-resource")
    if parts[3] != region:
        raise Invalid(f"Resource <{arn[:1024]}> must be in the same region", kind="tenant-resource")
    if parts[4] != account:
        raise Invalid(f"Resource <{arn[:1024]}> must be in the same account", kind="tenant-resource")
    return parts[5]


async def associate(tx: Transaction, account: str, region: str, name: str, resource: str) -> None:
    """Let a tenant use a resource (of ``check_resource``).

    Raises:
        Invalid: it is no name.
        NotFound: there is no such tenant, or no such resource.
        AlreadyExists: it may use it already.
    """
    found, arn = await tenants.hold(tx, account, region, name), arn_of(region, account, resource)
    await tags.by_arn(tx, account, region, arn, hold=True)
    changed = await tx.run(
        "INSERT INTO tenant_resources (account, region, tenant, resource, created) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        account,
        region,
        found.id,
        resource,
        tx.now(),
    )
    if not changed:
        text = f"Resources {arn} has already been associated with tenant {name}"
        raise AlreadyExists(text, kind="tenant-resource")


async def dissociate(tx: Transaction, account: str, region: str, name: str, resource: str) -> None:
    """Let a tenant use a resource no longer; twice is harmless.

    Raises:
        Invalid: it is no name.
        NotFound: there is no such tenant.
    """
    found = await tenants.get(tx, account, region, name)
    sql = f"DELETE FROM tenant_resources WHERE {_OWN} AND tenant = $3 AND resource = $4"
    await tx.run(sql, account, region, found.id, resource)


async def list_page(
    tx: Transaction, account: str, region: str, name: str, *, after: str = "", limit: int = 1000, kind: str = ""
) -> list[str]:
    """Resources that a tenant may use, in order, those behind ``after``; of one type, where given.

    Raises:
        Invalid: it is no name.
        NotFound: there is no such tenant.
    """
    found = await tenants.get(tx, account, region, name)
    rows = await tx.rows(
        f"SELECT resource FROM tenant_resources WHERE {_OWN} AND tenant = $3 AND resource > $4 AND resource LIKE $5"
        " ORDER BY resource LIMIT $6",
        account,
        region,
        found.id,
        after,
        f"{kind}/%" if kind else "%",
        limit,
    )
    return [str(row[0]) for row in rows]


async def tenants_of(
    tx: Transaction, account: str, region: str, resource: str, *, after: str = "", limit: int = 1000
) -> list[Association]:
    """Tenants that may use a resource, by id, those behind ``after``."""
    rows = await tx.rows(
        "SELECT t.name, t.id, r.resource, r.created FROM tenant_resources r JOIN tenants t"
        " ON t.account = r.account AND t.region = r.region AND t.id = r.tenant"
        " WHERE r.account = $1 AND r.region = $2 AND r.resource = $3 AND r.tenant > $4 ORDER BY r.tenant LIMIT $5",
        account,
        region,
        resource,
        after,
        limit,
    )
    return [Association(*row) for row in rows]


async def check_uses(tx: Transaction, account: str, region: str, tenant: str, resources: Iterable[str]) -> None:
    """May the tenant of this id use all of these?

    Raises:
        Denied: it may not, with all that are lacking.
    """
    lacking = [resource for resource in resources if not await _uses(tx, account, region, tenant, resource)]
    if lacking:
        named = ", ".join(arn_of(region, account, resource) for resource in lacking)
        raise Denied(f"Tenant not associated with resources [{named}].", kind="tenant")


async def _uses(tx: Transaction, account: str, region: str, tenant: str, resource: str) -> bool:
    sql = f"SELECT 1 FROM tenant_resources WHERE {_OWN} AND tenant = $3 AND resource = $4"
    return await tx.value(sql, account, region, tenant, resource) is not None


async def check_free(tx: Transaction, account: str, region: str, resource: str) -> None:
    """May the resource be deleted?  Asked behind the deletion, which waits for whoever holds the resource.

    Raises:
        Invalid: a tenant may use it.
    """
    sql = f"SELECT 1 FROM tenant_resources WHERE {_OWN} AND resource = $3 LIMIT 1"
    if await tx.value(sql, account, region, resource) is not None:
        arn = arn_of(region, account, resource)
        text = (
            f"Cannot delete <{arn}> because it has tenant associations. Remove all tenant associations and try again."
        )
        raise Invalid(text, kind="tenant-resource")
