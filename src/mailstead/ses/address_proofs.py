"""Address proofs: links that were mailed to addresses; who opens one in time has shown that the address is his.

A link carries ``ID.SECRET``: the id finds the row, the secret is compared in constant time with its digest, which is
all that is kept.  Rows outlive their identity: an old link must never prove a later identity of the same name, and
whoever deletes an identity cannot start counting mails anew.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from mailstead.base.clock import DAY
from mailstead.base.errors import Throttled
from mailstead.store.port import Transaction

LIFE = DAY  # SES: sending §1.1
KEPT = 30 * DAY
"""After its end a link is still told from a made-up one."""
MAX_A_DAY = 20
"""Mails to one address for one account: asking again is easy, flooding somebody is not."""

OPEN, USED, OVER, VOID = "open", "used", "over", "void"

_TOKEN = re.compile(r"([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{43})")
_COLUMNS = "id, account, region, name, secret, state, success_url, failure_url, created, expires"


@dataclass(frozen=True, slots=True)
class Proof:
    """A link that was mailed."""

    id: str
    account: str
    region: str
    name: str
    secret: str
    """Its SHA-256, in hex."""
    state: str
    """``open``, ``used``, ``over`` or ``void``."""
    success_url: str
    """Where whoever opened it goes on to, and where if it is too late; empty: to pages of ours."""
    failure_url: str
    created: int
    expires: int


async def issue(
    tx: Transaction, account: str, region: str, name: str, *, success_url: str = "", failure_url: str = ""
) -> str:
    """A new link's token for an address; older ones stay good for their time.

    Raises:
        Throttled: this address got as many mails as it may today.
    """
    now = tx.now()
    sent = await tx.value(
        "SELECT count(*) FROM address_proofs WHERE account = $1 AND region = $2 AND name = $3 AND created > $4",
        account,
        region,
        name,
        now - DAY,
    )
    if sent >= MAX_A_DAY:
        raise Throttled("Too many verification emails to this address, try again tomorrow.", kind="rate")
    id, secret = secrets.token_urlsafe(12), secrets.token_urlsafe(32)
    await tx.run(
        f"INSERT INTO address_proofs ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        id,
        account,
        region,
        name,
        _digest(secret),
        OPEN,
        success_url,
        failure_url,
        now,
        now + LIFE,
    )
    return f"{id}.{secret}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def find(tx: Transaction, token: str) -> Proof | None:
    """The link of this token, whatever became of it; None: nobody was ever sent this one, or long ago."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    row = await tx.row(f"SELECT {_COLUMNS} FROM address_proofs WHERE id = $1", match[1])
    found = Proof(*row) if row else None
    known = found.secret if found is not None else _digest("")
    return found if hmac.compare_digest(known, _digest(match[2])) else None


async def take(tx: Transaction, proof: Proof) -> bool:
    """Use the link: once, and only in its time."""
    sql = "UPDATE address_proofs SET state = $2 WHERE id = $1 AND state = $3 AND expires > $4"
    return bool(await tx.run(sql, proof.id, USED, OPEN, tx.now()))


async def withdraw(tx: Transaction, token: str) -> None:
    """The mail could not be sent after all: forget its link."""
    await tx.run("DELETE FROM address_proofs WHERE id = $1", token.partition(".")[0])


async def void(tx: Transaction, account: str, region: str, name: str) -> None:
    """The identity is gone: its links prove nothing any more."""
    await tx.run(
        "UPDATE address_proofs SET state = $4 WHERE account = $1 AND region = $2 AND name = $3 AND state <> $4",
        account,
        region,
        name,
        VOID,
    )


async def any_over(tx: Transaction, now: int) -> bool:
    """Has the time of an open link run out?"""
    sql = "SELECT 1 FROM address_proofs WHERE state = 'open' AND expires <= $1 LIMIT 1"
    return await tx.value(sql, now) is not None


async def close_over(tx: Transaction, limit: int) -> list[tuple[str, str, str]]:
    """Close links whose time has run out; account, region and name of those addresses that have none open now."""
    rows = await tx.rows(
        "UPDATE address_proofs SET state = $1 WHERE id IN (SELECT id FROM address_proofs WHERE state = 'open'"
        " AND expires <= $2 ORDER BY expires LIMIT $3) RETURNING account, region, name",
        OVER,
        tx.now(),
        limit,
    )
    waiting = "SELECT 1 FROM address_proofs WHERE account = $1 AND region = $2 AND name = $3 AND state = 'open' LIMIT 1"
    places = sorted({(str(account), str(region), str(name)) for account, region, name in rows})
    return [place for place in places if await tx.value(waiting, *place) is None]


async def any_old(tx: Transaction, now: int) -> bool:
    """Is there a link that ended long ago?"""
    sql = "SELECT 1 FROM address_proofs WHERE expires < $1 AND state <> 'open' LIMIT 1"
    return await tx.value(sql, now - KEPT) is not None


async def forget_old(tx: Transaction, limit: int) -> int:
    """Forget links that ended long ago; how many."""
    return await tx.run(
        "DELETE FROM address_proofs WHERE id IN (SELECT id FROM address_proofs WHERE expires < $1 AND state <> 'open'"
        " ORDER BY expires LIMIT $2)",
        tx.now() - KEPT,
        limit,
    )
