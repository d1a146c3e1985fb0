"""Tags: key and value on anything of an account that has an ARN.

A resource is written as it stands in its ARN behind the account: ``configuration-set/NAME``.  Whoever deletes one calls
``forget``, so that a later one of the same name begins without tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mailstead.base.errors import Invalid, NotFound
from mailstead.store.port import Transaction

MAX_TAGS = 50  # SES: operations, Tags
MAX_KEY = 128
MAX_VALUE = 256

IDENTITY = "identity"
CONFIGURATION_SET = "configuration-set"
TEMPLATE = "template"
DEDICATED_IP_POOL = "dedicated-ip-pool"
MULTI_REGION_ENDPOINT = "multi-region-endpoint"
TENANT = "tenant"
CONTACT_LIST = "contact-list"
CUSTOM_VERIFICATION = "custom-verification-email-template"

# Type of a resource: the table that holds it, under account, region and name.
TABLES = {
    IDENTITY: "identities",
    CONFIGURATION_SET: "configuration_sets",
    TEMPLATE: "templates",
    DEDICATED_IP_POOL: "dedicated_ip_pools",
    MULTI_REGION_ENDPOINT: "multi_region_endpoints",
    CONTACT_LIST: "contact_lists",
    TENANT: "tenants",
    CUSTOM_VERIFICATION: "custom_verification_templates",
}

_ARN = re.compile(r"arn:aws:ses:([a-z0-9-]{1,40}):(\d{12}):([a-z-]{1,60})/(.{1,1024})", re.ASCII)
_SIGNS = "_.:/=+-@"


def resource(kind: str, name: str) -> str:
    """``configuration-set/NAME``."""
    return f"{kind}/{name}"


async def by_arn(tx: Transaction, account: str, region: str, arn: str, *, hold: bool = False) -> str:
    """The resource that an ARN names, if it is there for this account and region.

    ``hold``: nobody else may delete it until the transaction ends.

    Raises:
        NotFound: it is not; another account's or region's is never there.
    """
    match = _ARN.fullmatch(arn)
    if match is not None and (match[1], match[2]) == (region, account) and match[3] in TABLES:
        kind, name, column = match[3], match[4], "name"
        if kind == TENANT:  # "tenant/NAME/ID": the id alone counts (seen)
            name, column = name.rpartition("/")[2], "id"
        table, where = TABLES[kind], f"WHERE account = $1 AND region = $2 AND {column} = $3"
        sql = f"UPDATE {table} SET name = name {where} RETURNING 1" if hold else f"SELECT 1 FROM {table} {where}"
        if await tx.value(sql, account, region, name) is not None:
            return resource(kind, name)
    raise NotFound(f"Resource {arn} does not exist.", kind="resource")


def check(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The tags, if all of them are good.

    Raises:
        Invalid: a key twice, too long, of other signs than letters, digits, blanks and ``_.:/=+-@``, or ours.
    """
    checked: dict[str, str] = {}
    for key, value in pairs:
        if not 1 <= len(key) <= MAX_KEY or not _plain(key) or key.lower().startswith("aws:"):
            raise Invalid(f"Invalid tag key: {key[:MAX_KEY]}", kind="resource-tag")
        if len(value) > MAX_VALUE or not _plain(value):
            raise Invalid(f"Invalid value of the tag {key}.", kind="resource-tag")
        if key in checked:
            raise Invalid(f"Duplicate tag key: {key}", kind="resource-tag")
        checked[key] = value
    if len(checked) > MAX_TAGS:
        raise Invalid(f"A resource has at most {MAX_TAGS} tags.", kind="resource-tag")
    return checked


def _plain(text: str) -> bool:
    return all(c.isalnum() or c == " " or c in _SIGNS for c in text)


async def put(tx: Transaction, account: str, region: str, resource: str, tags: Mapping[str, str]) -> None:
    """Add tags; a key that is there gets the new value.

    Raises:
        Invalid: there would be more than fifty.
    """
    for key, value in sorted(tags.items()):
        await tx.run(
            "INSERT INTO resource_tags (account, region, resource, key, value) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (account, region, resource, key) DO UPDATE SET value = excluded.value",
            account,
            region,
            resource,
            key,
            value,
        )
    if tags and len(await of(tx, account, region, resource)) > MAX_TAGS:
        raise Invalid(f"A resource has at most {MAX_TAGS} tags.", kind="resource-tag")


async def remove(tx: Transaction, account: str, region: str, resource: str, keys: Iterable[str]) -> None:
    """Take tags away; keys that are not there are gone already."""
    sql = "DELETE FROM resource_tags WHERE account = $1 AND region = $2 AND resource = $3 AND key = $4"
    await tx.many(sql, [(account, region, resource, key) for key in sorted(set(keys))])


async def of(tx: Transaction, account: str, region: str, resource: str) -> dict[str, str]:
    """The tags of a resource, by key."""
    sql = "SELECT key, value FROM resource_tags WHERE account = $1 AND region = $2 AND resource = $3 ORDER BY key"
    return {str(key): str(value) for key, value in await tx.rows(sql, account, region, resource)}


async def forget(tx: Transaction, account: str, region: str, resource: str) -> None:
    """The resource is gone."""
    sql = "DELETE FROM resource_tags WHERE account = $1 AND region = $2 AND resource = $3"
    await tx.run(sql, account, region, resource)
