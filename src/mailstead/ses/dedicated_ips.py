"""Dedicated addresses: IP addresses that an account has for itself, in pools that its configuration sets name.

The addresses are the installation's (``delivery.sources``); the operator assigns one to an account in a region.  An
address that is in no pool of the account's own stands in the default pool, which is nobody's to change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import tags
from mailstead.store.port import Transaction

SHARED_POOL = "ses-shared-pool"
"""The addresses that all mail leaves from which has none of its own."""
DEFAULT_POOL = "ses-default-dedicated-pool"
"""The account's addresses that are in no other pool."""
GIVEN = (SHARED_POOL, DEFAULT_POOL)

STANDARD, MANAGED = "STANDARD", "MANAGED"
MAX_POOLS = 50
"""Of an account in a region (unverified)."""

IN_PROGRESS, DONE, NOT_APPLICABLE = "IN_PROGRESS", "DONE", "NOT_APPLICABLE"
WARM = 100
UNTOLD = -1
"""The percentage that SES tells of an address in a managed pool."""

# Lower case alone: the pools of SES are said to refuse anything else.
_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
_OWN = "account = $1 AND region = $2"


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of an account in a region."""

    name: str
    scaling_mode: str
    """``STANDARD``, or ``MANAGED``: its warm-up is ours."""


@dataclass(frozen=True, slots=True)
class DedicatedIp:
    """An address of an account in a region."""

    ip: str
    pool: str
    managed: bool
    warmup: int
    """Percent, as it was set last."""

    @property
    def warmup_status(self) -> str:
        """``IN_PROGRESS``, ``DONE``, or ``NOT_APPLICABLE`` in a managed pool."""
        if self.managed:
            return NOT_APPLICABLE
        return DONE if self.warmup == WARM else IN_PROGRESS

    @property
    def warmup_percentage(self) -> int:
        """As an answer tells it; -1 in a managed pool."""
        return UNTOLD if self.managed else self.warmup


# -- pools -------------------------------------------------------------------------------------------------------------


def no_pool(name: str) -> NotFound:
    """SES's word for a pool that is not there; the angle brackets are its own."""
    return NotFound(f"The requested pool <{name[:256]}> does not exist.", kind="pool")


async def create_pool(tx: Transaction, account: str, region: str, name: str, *, scaling_mode: str = STANDARD) -> None:
    """Add a pool, which is empty.

    Raises:
        Invalid: the name may not be so.
        AlreadyExists: it is there.
        LimitExceeded: the account has 50.
    """
    _not_given(name)
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"Invalid pool name <{name[:256]}>: only lower case letters, digits, '.', '_' and '-' are allowed, at most"
            " 64 of them.",
            kind="pool",
        )
    count = await tx.value(f"SELECT count(*) FROM dedicated_ip_pools WHERE {_OWN}", account, region)
    if count >= MAX_POOLS:
        raise LimitExceeded(f"An account has at most {MAX_POOLS} dedicated IP pools.", kind="pool")
    made = await tx.run(
        "INSERT INTO dedicated_ip_pools (account, region, name, scaling_mode, created) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        account,
        region,
        name,
        scaling_mode,
        tx.now(),
    )
    if not made:
        raise AlreadyExists(f"The pool <{name}> already exists.", kind="pool")


def _not_given(name: str) -> None:
    """Not one of the two pools that everybody has; the text is SES's own."""
    if name in GIVEN:
        raise Invalid("Pool name describes either a shared or default dedicated ip pool", kind="pool")


def _check_own(name: str) -> None:
    """A name that a pool of an account's own can have."""
    _not_given(name)
    if not _NAME.fullmatch(name):
        raise no_pool(name)


async def find_pool(tx: Transaction, account: str, region: str, name: str) -> Pool | None:
    """The account's own pool of this name, or None."""
    sql = f"SELECT name, scaling_mode FROM dedicated_ip_pools WHERE {_OWN} AND name = $3"
    row = await tx.row(sql, account, region, name) if _NAME.fullmatch(name) else None
    return Pool(*row) if row else None


async def get_pool(tx: Transaction, account: str, region: str, name: str) -> Pool:
    """The account's own pool of this name.

    Raises:
        NotFound: there is none.
        Invalid: it is one of the two that everybody has.
    """
    _check_own(name)
    found = await find_pool(tx, account, region, name)
    if found is None:
        raise no_pool(name)
    return found


async def list_pools(tx: Transaction, account: str, region: str, *, after: str = "", limit: int = 1000) -> list[str]:
    """Names of the account's own pools in order, those behind ``after``."""
    sql = f"SELECT name FROM dedicated_ip_pools WHERE {_OWN} AND name > $3 ORDER BY name LIMIT $4"
    return [str(row[0]) for row in await tx.rows(sql, account, region, after, limit)]


async def set_scaling_mode(tx: Transaction, account: str, region: str, name: str, mode: str) -> None:
    """Make a pool managed; there is no way back.

    Raises:
        NotFound: there is no such pool.
        Invalid: it is managed already and should be standard, or it is one of the two that everybody has.
    """
    _check_own(name)
    sql = f"UPDATE dedicated_ip_pools SET scaling_mode = $4 WHERE {_OWN} AND name = $3 AND scaling_mode IN ($4, $5)"
    if not await tx.run(sql, account, region, name, mode, STANDARD):
        await get_pool(tx, account, region, name)
        raise Invalid("The ScalingMode parameter is invalid.", kind="pool")


async def delete_pool(tx: Transaction, account: str, region: str, name: str) -> None:
    """Forget a pool and its tags; its addresses go back to the default pool.

    Configuration sets that name it go on naming it, and what is sent with them is refused.

    Raises:
        NotFound: there is no such pool.
        Invalid: it is one of the two that everybody has.
    """
    _check_own(name)
    if not await tx.run(f"DELETE FROM dedicated_ip_pools WHERE {_OWN} AND name = $3", account, region, name):
        raise no_pool(name)
    sql = f"UPDATE dedicated_ips SET pool = $4 WHERE {_OWN} AND pool = $3"
    await tx.run(sql, account, region, name, DEFAULT_POOL)
    await tags.forget(tx, account, region, tags.resource(tags.DEDICATED_IP_POOL, name))


async def usable(tx: Transaction, account: str, region: str, name: str) -> bool:
    """May a configuration set name this pool?"""
    return name in GIVEN or await find_pool(tx, account, region, name) is not None


# -- addresses ---------------------------------------------------------------------------------------------------------


def normalise(ip: str) -> str:
    """An address as it is stored and compared.

    Raises:
        Invalid: it is none.
    """
    try:
        return str(ip_address(ip.strip("[]")))
    except ValueError:
        raise Invalid(f"{ip[:64]} is not an IP address.", kind="dedicated-ip") from None


def _stored(ip: str) -> str:
    """The same; empty for what is none, which nobody has."""
    try:
        return normalise(ip)
    except Invalid:
        return ""


def missing(ip: str) -> NotFound:
    """SES's word for an address that is not the account's; the angle brackets are its own."""
    return NotFound(f"Could not find dedicated IP <{ip[:64]}> under this account.", kind="dedicated-ip")


_SELECT = (
    "SELECT i.ip, i.pool, CASE WHEN p.scaling_mode = 'MANAGED' THEN 1 ELSE 0 END, i.warmup FROM dedicated_ips i"
    " LEFT JOIN dedicated_ip_pools p ON p.account = i.account AND p.region = i.region AND p.name = i.pool"
    " WHERE i.account = $1 AND i.region = $2"
)


async def get(tx: Transaction, account: str, region: str, ip: str) -> DedicatedIp:
    """An address of the account.

    Raises:
        NotFound: it is not the account's in this region.
    """
    row = await tx.row(f"{_SELECT} AND i.ip = $3", account, region, _stored(ip))
    if row is None:
        raise missing(ip)
    return DedicatedIp(row[0], row[1], bool(row[2]), row[3])


async def list_page(
    tx: Transaction, account: str, region: str, *, pool: str = "", after: str = "", limit: int = 1000
) -> list[DedicatedIp]:
    """The account's addresses in the order of their text, those behind ``after``; only of a pool, where given.

    Raises:
        NotFound: there is no such pool.
    """
    where, args = "i.ip > $3", [account, region, after]
    if pool:
        if pool != DEFAULT_POOL and await find_pool(tx, account, region, pool) is None:
            raise no_pool(pool)
        where, args = f"{where} AND i.pool = $4", [*args, pool]
    rows = await tx.rows(f"{_SELECT} AND {where} ORDER BY i.ip LIMIT ${len(args) + 1}", *args, limit)
    return [DedicatedIp(row[0], row[1], bool(row[2]), row[3]) for row in rows]


async def move(tx: Transaction, account: str, region: str, ip: str, pool: str) -> None:
    """Put an address into another pool.

    Raises:
        NotFound: the address is not the account's, or there is no such pool.
    """
    await get(tx, account, region, ip)
    if pool != DEFAULT_POOL:
        # Nobody deletes the pool before this is committed.
        hold = f"UPDATE dedicated_ip_pools SET created = created WHERE {_OWN} AND name = $3"
        if not _NAME.fullmatch(pool) or not await tx.run(hold, account, region, pool):
            raise no_pool(pool)
    sql = f"UPDATE dedicated_ips SET pool = $4 WHERE {_OWN} AND ip = $3"
    if not await tx.run(sql, account, region, _stored(ip), pool):
        raise missing(ip)


async def set_warmup(tx: Transaction, account: str, region: str, ip: str, percentage: int) -> None:
    """Say how warm an address is.

    Raises:
        Invalid: not 0 to 100, or the address is in a managed pool.
        NotFound: it is not the account's.
    """
    if not 0 <= percentage <= WARM:
        raise Invalid(f"Warmup Percentage must be between 0 and {WARM}.", kind="dedicated-ip")
    if (await get(tx, account, region, ip)).managed:
        raise Invalid("The warm-up of an address in a managed pool cannot be set.", kind="dedicated-ip")
    sql = f"UPDATE dedicated_ips SET warmup = $4 WHERE {_OWN} AND ip = $3"
    if not await tx.run(sql, account, region, _stored(ip), percentage):
        raise missing(ip)


async def addresses_for(tx: Transaction, account: str, region: str, configuration_set: str) -> list[str]:
    """The addresses that mail with a configuration set (empty: without one) leaves from; none: the shared ones."""
    rows = await tx.rows(
        f"SELECT ip FROM dedicated_ips WHERE {_OWN} AND pool = coalesce((SELECT nullif(sending_pool, '')"
        " FROM configuration_sets WHERE account = $1 AND region = $2 AND name = $3), $4) ORDER BY ip",
        account,
        region,
        configuration_set,
        DEFAULT_POOL,
    )
    return [str(row[0]) for row in rows]


# -- the operator ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assigned:
    """An address and whose it is."""

    ip: str
    account: str
    region: str
    pool: str
    warmup: int


async def assign(tx: Transaction, account: str, region: str, ip: str) -> None:
    """Give an address to an account in a region; it begins cold where the account wants its addresses warmed up.

    Raises:
        Invalid: it is no address.
        NotFound: the account was never used in this region.
        AlreadyExists: it is somebody's already.
    """
    sql = f"SELECT auto_warmup FROM account_regions WHERE {_OWN}"
    auto_warmup = await tx.value(sql, account, region)
    if auto_warmup is None:
        raise NotFound(f"Account {account} does not exist in {region}", kind="account")
    made = await tx.run(
        "INSERT INTO dedicated_ips (ip, account, region, pool, warmup, created) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT DO NOTHING",
        normalise(ip),
        account,
        region,
        DEFAULT_POOL,
        0 if auto_warmup else WARM,
        tx.now(),
    )
    if not made:
        raise AlreadyExists(f"{ip} is assigned to an account already", kind="dedicated-ip")


async def release(tx: Transaction, ip: str) -> None:
    """Take an address back from whoever has it.

    Raises:
        Invalid: it is no address.
        NotFound: it is nobody's.
    """
    if not await tx.run("DELETE FROM dedicated_ips WHERE ip = $1", normalise(ip)):
        raise NotFound(f"{ip} is assigned to no account", kind="dedicated-ip")


async def list_assigned(tx: Transaction) -> list[Assigned]:
    """Every assigned address, whoever has it."""
    rows = await tx.rows("SELECT ip, account, region, pool, warmup FROM dedicated_ips ORDER BY ip")
    return [Assigned(*row) for row in rows]
