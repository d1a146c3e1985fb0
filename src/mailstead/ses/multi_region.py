"""Multi-region endpoints: one address of the service for two regions.

An endpoint stands in the region where it was made, and is there under its name and its id.  Careful: mail that names it
goes the way of the region it is sent in; one installation has nothing to fail over to.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import tags
from mailstead.store.port import Row, Transaction

MAX_ENDPOINTS = 20
"""Of an account in a region (unverified)."""
READY = "READY"

_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{1,20}){1,3}-[0-9]{1,2}")
_SIGNS = string.ascii_lowercase + string.digits
_OWN = "account = $1 AND region = $2"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of an account."""

    name: str
    id: str
    """``abcdef12.g3h``."""
    regions: tuple[str, str]
    """The one that it stands in, and the other."""
    created: int


def missing(name: str) -> NotFound:
    """The word for an endpoint that is not there (the text is ours)."""
    return NotFound(f"Multi-region endpoint <{name[:256]}> does not exist.", kind="multi-region-endpoint")


def _new_id() -> str:
    """SES: wire §8 (unverified)."""
    drawn = "".join(secrets.choice(_SIGNS) for _ in range(11))
    return f"{drawn[:8]}.{drawn[8:]}"


async def create(tx: Transaction, account: str, region: str, name: str, others: Collection[str]) -> Endpoint:
    """Add an endpoint; it is ready at once.

    Args:
        name: 1 to 64 letters, digits, ``-`` and ``_``.
        others: the second region, alone; it need not be served here.

    Raises:
        Invalid: not one other region.
        AlreadyExists: the account has an endpoint of this name here.
        LimitExceeded: it has 20.
    """
    other = _checked(region, others)
    count = await tx.value(f"SELECT count(*) FROM multi_region_endpoints WHERE {_OWN}", account, region)
    if count >= MAX_ENDPOINTS:
        raise LimitExceeded(f"An account has at most {MAX_ENDPOINTS} multi-region endpoints.", kind="endpoint")
    made = Endpoint(name, _new_id(), (region, other), tx.now())
    changed = await tx.run(
        "INSERT INTO multi_region_endpoints (account, region, name, id, other, created)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, region, name) DO NOTHING",
        account,
        region,
        name,
        made.id,
        other,
        made.created,
    )
    if not changed:
        raise AlreadyExists(f"Multi-region endpoint <{name}> already exists.", kind="multi-region-endpoint")
    return made


def _checked(region: str, others: Collection[str]) -> str:
    if len(others) != 1:
        raise Invalid("Details must have exactly one route.", kind="multi-region-endpoint")
    (other,) = others
    if other == region:
        raise Invalid("The secondary region must differ from the primary region.", kind="multi-region-endpoint")
    if not _REGION.fullmatch(other):
        raise Invalid(f"Region {other[:64]} is not valid.", kind="multi-region-endpoint")
    return other


_SELECT = f"SELECT name, id, region, other, created FROM multi_region_endpoints WHERE {_OWN}"


def _endpoint(row: Row) -> Endpoint:
    return Endpoint(row[0], row[1], (row[2], row[3]), row[4])


async def get(tx: Transaction, account: str, region: str, name: str) -> Endpoint:
    """The endpoint of this name.

    Raises:
        NotFound: there is none.
    """
    row = await tx.row(f"{_SELECT} AND name = $3", account, region, name)
    if row is None:
        raise missing(name)
    return _endpoint(row)


async def check_id(tx: Transaction, account: str, region: str, endpoint: str) -> None:
    """Does the account have an endpoint of this id, here or as the second region of one made elsewhere?

    Raises:
        NotFound: it has none.
    """
    sql = "SELECT account, region, other FROM multi_region_endpoints WHERE id = $1"
    row = await tx.row(sql, endpoint)
    if row is None or row[0] != account or region not in row[1:]:
        raise missing(endpoint)


async def list_page(
    tx: Transaction, account: str, region: str, *, after: str = "", limit: int = 1000
) -> list[Endpoint]:
    """Endpoints by name, those behind ``after``."""
    sql = f"{_SELECT} AND name > $3 ORDER BY name LIMIT $4"
    return [_endpoint(row) for row in await tx.rows(sql, account, region, after, limit)]


async def delete(tx: Transaction, account: str, region: str, name: str) -> None:
    """Forget an endpoint and its tags.

    Raises:
        NotFound: there is none.
    """
    if not await tx.run(f"DELETE FROM multi_region_endpoints WHERE {_OWN} AND name = $3", account, region, name):
        raise missing(name)
    await tags.forget(tx, account, region, tags.resource(tags.MULTI_REGION_ENDPOINT, name))
