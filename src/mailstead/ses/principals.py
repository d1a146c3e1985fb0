"""Principals: who may act for an account, and the caller of one request as admission and audit see it.

The first key of an account is its root, ``arn:aws:iam::ACCOUNT:root``; a named principal is
``arn:aws:iam::ACCOUNT:user/NAME`` and may carry a policy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mailstead.base.errors import AlreadyExists, Invalid, NotFound
from mailstead.store.port import Transaction

ROOT = "root"
ROOT_POLICY = "The root principal may do everything in its account; it takes no policy"

_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, for which account and region, from where: one value from the door to the audit record."""

    account: str
    """12 digits."""
    region: str
    access_key: str
    arn: str
    name: str
    """What events call ``ses:caller-identity``: the principal's name."""
    source_ip: str = ""
    user_agent: str = ""
    operation: str = ""
    tls: str = ""
    """TLS version of the connection, ``TLSv1.3``; empty in clear."""
    api: str = "1"
    """What policies call ``ses:ApiVersion``."""
    policy: str = field(default="", repr=False)
    """The IAM policy that it had when it showed its key; empty: everything is allowed."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with keys of their own."""

    account: str
    name: str
    arn: str
    policy_json: str
    """An IAM policy; empty: everything is allowed."""
    created: int


def arn_of(account: str, name: str) -> str:
    """The ARN of a principal."""
    return f"arn:aws:iam::{account}:root" if name == ROOT else f"arn:aws:iam::{account}:user/{name}"


async def create(tx: Transaction, account: str, name: str, *, policy_json: str = "") -> Principal:
    """Add a principal.

    Raises:
        Invalid: no name for a user, or a policy for the root.
        AlreadyExists: the account has one of this name.
    """
    if name == ROOT and policy_json:
        raise Invalid(ROOT_POLICY, kind="principal")
    if not _NAME.fullmatch(name):
        raise Invalid(f"User name {name!r} must be 1 to 64 letters, digits or any of +=,.@-_", kind="principal")
    made = await tx.run(
        "INSERT INTO principals (account, name, arn, policy_json, created) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        account,
        name,
        arn_of(account, name),
        policy_json,
        tx.now(),
    )
    if not made:
        raise AlreadyExists(f"User {name} already exists", kind="principal")
    return await get(tx, account, name)


async def ensure(tx: Transaction, account: str, name: str) -> Principal:
    """The principal, made if it is not there."""
    found = await find(tx, account, name)
    return found or await create(tx, account, name)


async def find(tx: Transaction, account: str, name: str) -> Principal | None:
    """The principal, or None."""
    row = await tx.row(
        "SELECT account, name, arn, policy_json, created FROM principals WHERE account = $1 AND name = $2",
        account,
        name,
    )
    return Principal(*row) if row else None


async def get(tx: Transaction, account: str, name: str) -> Principal:
    """The principal.

    Raises:
        NotFound: there is none of this name.
    """
    found = await find(tx, account, name)
    if found is None:
        raise NotFound(f"User {name} does not exist", kind="principal")
    return found


async def set_policy(tx: Transaction, account: str, name: str, policy_json: str) -> Principal:
    """Give a principal a policy in the place of the one it has.

    Raises:
        NotFound: there is none of this name.
        Invalid: it is the root, which may do everything.
    """
    if name == ROOT:
        raise Invalid(ROOT_POLICY, kind="principal")
    sql = "UPDATE principals SET policy_json = $3 WHERE account = $1 AND name = $2"
    await tx.run(sql, account, name, policy_json)
    return await get(tx, account, name)


async def list_all(tx: Transaction, account: str) -> list[Principal]:
    """The principals of an account, by name."""
    rows = await tx.rows(
        "SELECT account, name, arn, policy_json, created FROM principals WHERE account = $1 ORDER BY name", account
    )
    return [Principal(*row) for row in rows]
