"""Tenants: parts of an account that send apart, each with what it may use and with reasons of its own not to mail.

A tenant has a name, which is free again once it is deleted, and an id, which is not; what hangs on a tenant hangs on
the id.  Texts are SES's (seen) unless it is said that they are ours.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import tags
from mailstead.store.port import Row, Transaction

MAX_TENANTS = 10_000
"""Of an account in a region (unverified)."""
MAX_NAME = 64

ENABLED, DISABLED, REINSTATED = "ENABLED", "DISABLED", "REINSTATED"
POLICIES = ("none", "standard", "strict")
"""Reputation policies (SES: sending §10); a new tenant has the standard one."""

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LIKE = re.compile(r"[%_!]")
_OWN = "account = $1 AND region = $2"


@dataclass(frozen=True, slots=True)
class Suppression:
    """Whose suppression list counts for a tenant's mail, and which reasons of it."""

    scope: str
    """``TENANT`` or ``ACCOUNT``."""
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of an account in a region."""

    name: str
    id: str
    """``tn-`` and 30 hexadecimal digits."""
    status: str
    """What the account said of its sending: ``ENABLED``, ``DISABLED``, ``REINSTATED``; empty: nothing yet."""
    status_changed: int | None
    policy: str
    suppression: Suppression | None
    """None: what the account says."""
    created: int

    @property
    def sending_status(self) -> str:
        """What counts."""
        return self.status or ENABLED


def arn_of(region: str, account: str, tenant: Tenant) -> str:
    """``arn:aws:ses:REGION:ACCOUNT:tenant/NAME/ID``."""
    return f"arn:aws:ses:{region}:{account}:tenant/{tenant.name}/{tenant.id}"


def check_name(name: str) -> str:
    """The name, if it may be one.

    Raises:
        Invalid: it is not 1 to 64 letters, digits, ``_`` and ``-``.
    """
    if not name.strip():
        raise Invalid("TenantName cannot be empty", kind="tenant")
    if len(name) > MAX_NAME:
        raise Invalid(f"TenantName cannot exceed {MAX_NAME} characters.", kind="tenant")
    if not _NAME.fullmatch(name):
        text = f"Invalid tenant name <{name}>: only alphanumeric ASCII characters, '_', and '-' are allowed."
        raise Invalid(text, kind="tenant")
    return name


def check_suppression(scope: str | None, reasons: Collection[str] | None) -> Suppression | None:
    """Both of them or neither; none: what the account says.

    Raises:
        Invalid: one alone, or a reason twice.
    """
    if reasons is not None and len(set(reasons)) < len(reasons):
        raise Invalid("Each suppressed reason can only be specified at most once", kind="tenant")
    if reasons is not None and scope is None:
        lacking = "SuppressionScope is required when SuppressedReasons are provided. Valid values are: TENANT, ACCOUNT"
        alone = "SuppressedReasons cannot be specified without SuppressionScope."
        raise Invalid(alone if reasons else lacking, kind="tenant")
    if scope is None:
        return None
    if reasons is None:
        raise Invalid("SuppressionScope cannot be specified without SuppressedReasons.", kind="tenant")
    return Suppression(scope, tuple(sorted(reasons)))


def _missing(name: str) -> NotFound:
    return NotFound(f"The requested tenant <{name[:256]}> does not exist.", kind="tenant")


_SELECT = (
    "SELECT name, id, sending_status, status_changed, reputation_policy, suppression_scope, suppressed_reasons_json,"
    f" created FROM tenants WHERE {_OWN}"
)
_reasons = msgspec.json.Decoder(tuple[str, ...]).decode


def _tenant(row: Row) -> Tenant:
    name, key, status, changed, policy, scope, reasons, created = row
    own = Suppression(scope, _reasons(reasons)) if scope else None
    return Tenant(name, key, status, changed, policy, own, created)


async def find(tx: Transaction, account: str, region: str, name: str) -> Tenant | None:
    """The tenant of this name, or None."""
    if not _NAME.fullmatch(name):
        return None
    row = await tx.row(f"{_SELECT} AND name = $3", account, region, name)
    return _tenant(row) if row else None


async def get(tx: Transaction, account: str, region: str, name: str) -> Tenant:
    """The tenant.

    Raises:
        Invalid: it is no name.
        NotFound: there is none.
    """
    found = await find(tx, account, region, check_name(name))
    if found is None:
        raise _missing(name)
    return found


async def by_id(tx: Transaction, account: str, region: str, key: str) -> Tenant | None:
    """The tenant of this id, or None."""
    row = await tx.row(f"{_SELECT} AND id = $3", account, region, key)
    return _tenant(row) if row else None


async def hold(tx: Transaction, account: str, region: str, name: str) -> Tenant:
    """The tenant, which nobody else may delete until the transaction ends.

    Raises:
        Invalid: it is no name.
        NotFound: there is none.
    """
    sql = f"UPDATE tenants SET name = name WHERE {_OWN} AND name = $3"
    if not await tx.run(sql, account, region, check_name(name)):
        raise _missing(name)
    return await get(tx, account, region, name)


async def create(
    tx: Transaction, account: str, region: str, name: str, *, suppression: Suppression | None = None
) -> Tenant:
    """Add a tenant.

    Raises:
        Invalid: the name.
        AlreadyExists: the account has one of this name here.
        LimitExceeded: it has 10,000.
    """
    check_name(name)
    if await tx.value(f"SELECT count(*) FROM tenants WHERE {_OWN}", account, region) >= MAX_TENANTS:
        raise LimitExceeded(f"An account has at most {MAX_TENANTS} tenants.", kind="tenant")
    made = Tenant(name, f"tn-{secrets.token_hex(15)}", "", None, "standard", suppression, tx.now())
    changed = await tx.run(
        "INSERT INTO tenants (account, region, name, id, suppression_scope, suppressed_reasons_json, created)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account, region, name) DO NOTHING",
        account,
        region,
        name,
        made.id,
        *_written(suppression),
        made.created,
    )
    if not changed:
        raise AlreadyExists(f"Tenant with name {name} already exists in account {account}", kind="tenant")
    return made


def _written(suppression: Suppression | None) -> tuple[str, str]:
    if suppression is None:
        return "", "[]"
    return suppression.scope, msgspec.json.encode(suppression.reasons).decode()


async def set_suppression(
    tx: Transaction, account: str, region: str, name: str, suppression: Suppression | None
) -> None:
    """Replace what a tenant says of suppression; None: what the account says counts.

    Raises:
        Invalid: it is no name.
        NotFound: there is none.
    """
    sql = f"UPDATE tenants SET suppression_scope = $4, suppressed_reasons_json = $5 WHERE {_OWN} AND name = $3"
    if not await tx.run(sql, account, region, check_name(name), *_written(suppression)):
        raise _missing(name)


async def set_status(tx: Transaction, account: str, region: str, key: str, status: str) -> bool:
    """Let the tenant of this id send, or not. Is there one?"""
    sql = f"UPDATE tenants SET sending_status = $4, status_changed = $5 WHERE {_OWN} AND id = $3"
    return bool(await tx.run(sql, account, region, key, status, tx.now()))


async def set_policy(tx: Transaction, account: str, region: str, key: str, policy: str) -> bool:
    """Choose the reputation policy of the tenant of this id. Is there one?"""
    sql = f"UPDATE tenants SET reputation_policy = $4 WHERE {_OWN} AND id = $3"
    return bool(await tx.run(sql, account, region, key, policy))


async def list_page(
    tx: Transaction,
    account: str,
    region: str,
    *,
    after: str = "",
    limit: int = 1000,
    contains: str = "",
    beginning: str = "",
    status: str = "",
) -> list[Tenant]:
    """Tenants by name, those behind ``after``.

    Args:
        contains: what their names have in them, in any case of letters.
        beginning: what ``NAME/ID`` begins with, letter by letter.
        status: the sending status that counts for them; empty: any.
    """
    rows = await tx.rows(
        f"{_SELECT} AND name > $3 AND lower(name) LIKE $4 ESCAPE '!' AND name || '/' || id LIKE $5 ESCAPE '!'"
        " AND $6 IN ('', CASE sending_status WHEN '' THEN 'ENABLED' ELSE sending_status END) ORDER BY name LIMIT $7",
        account,
        region,
        after,
        f"%{_literal(contains.lower())}%",
        f"{_literal(beginning)}%",
        status,
        limit,
    )
    return [_tenant(row) for row in rows]


def _literal(text: str) -> str:
    return _LIKE.sub(r"!\g<0>", text)


async def delete(tx: Transaction, account: str, region: str, name: str) -> None:
    """Forget a tenant, its associations, its suppression list and its tags; what it used stays.

    Raises:
        Invalid: it is no name.
        NotFound: there is none.
    """
    found = await hold(tx, account, region, name)
    for table in ("tenant_resources", "tenant_suppressed"):
        await tx.run(f"DELETE FROM {table} WHERE {_OWN} AND tenant = $3", account, region, found.id)
    await tx.run(f"DELETE FROM tenants WHERE {_OWN} AND name = $3", account, region, name)
    await tags.forget(tx, account, region, tags.resource(tags.TENANT, found.id))


async def of_send(tx: Transaction, account: str, region: str, name: str) -> Tenant:
    """The tenant that a send names.

    Raises:
        NotFound: there is none, in the words that sends have for it.
    """
    found = await find(tx, account, region, name)
    if found is None:
        raise NotFound(f"Tenant {name[:256]} for AwsAccountId {account} not found.", kind="tenant")
    return found
