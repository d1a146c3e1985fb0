"""DKIM changes: signing turned on and off, switched to another method, rotated to a key of another length.

A new key signs only when its record is seen (ses/verification.py). After a switch nobody signs for the domain until
then; in a rotation the old key goes on signing (SES: sending §1.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from mailstead.base.clock import DAY
from mailstead.base.errors import Invalid
from mailstead.ses import dkim_keys, identities
from mailstead.ses.dkim_keys import NewKey
from mailstead.ses.identities import DOMAIN, EASY_DKIM, PENDING, SUCCESS, DkimSetup, Identity
from mailstead.store.port import Transaction

_HERE = " WHERE account = $1 AND region = $2 AND name = $3"


@dataclass(frozen=True, slots=True)
class Coming:
    """The key that will sign next."""

    selector: str
    """Empty: none."""
    key_length: str
    """Empty: as now."""
    changed: int | None
    """When another length was last asked for."""


async def coming(tx: Transaction, identity: Identity) -> Coming:
    """What will change as soon as it is published."""
    sql = "SELECT next_selector, next_key_length, key_length_changed FROM identities" + _HERE
    row = await tx.row(sql, identity.account, identity.region, identity.name)
    return Coming(*row) if row else Coming("", "", None)


async def set_enabled(tx: Transaction, identity: Identity, *, enabled: bool) -> None:
    """Sign, or do not: for a domain, or for one address of it.

    Raises:
        Invalid: there is nothing to sign with.
    """
    place, value = "dkim_enabled", enabled
    if identity.kind != DOMAIN:
        place, value = "dkim_off", not enabled
        signer = await parent(tx, identity)
        if enabled and (signer is None or not signer.dkim_tokens):
            raise Invalid(f"DKIM is not set up for the domain of {identity.name}.", kind="identity")
    elif enabled and not identity.dkim_tokens:
        raise Invalid(f"DKIM is not set up for {identity.name}.", kind="identity")
    await tx.run(
        f"UPDATE identities SET {place} = $4{_HERE}", identity.account, identity.region, identity.name, int(value)
    )


async def parent(tx: Transaction, identity: Identity) -> Identity | None:
    """The domain identity that an address belongs to, verified or not; the deepest."""
    for name in identities.candidates(identity.name.rpartition("@")[2]):
        found = await identities.find(tx, identity.account, identity.region, name)
        if found is not None:
            return found
    return None


async def switch(tx: Transaction, identity: Identity, setup: DkimSetup, *, verified: bool) -> None:
    """Sign by other means, once they are seen; ``verified``: at once."""
    place = (identity.account, identity.region, identity.name)
    await dkim_keys.forget_retired(tx, *place)
    await dkim_keys.insert(tx, *place, setup.key, active=False)
    await tx.run(
        "UPDATE identities SET dkim_origin = $4, dkim_tokens_json = $5, dkim_key_length = $6, dkim_generated = $7,"
        " dkim_status = $8, dkim_since = $9, dkim_vouched = 0, next_selector = $10, next_key_length = '',"
        " dkim_enabled = CASE WHEN dkim_tokens_json = '[]' THEN 1 ELSE dkim_enabled END" + _HERE,
        *place,
        setup.origin,
        msgspec.json.encode(setup.tokens).decode(),
        setup.key_length,
        tx.now() if setup.origin == EASY_DKIM else None,
        PENDING,
        tx.now(),
        setup.key.selector,
    )
    if verified:
        await identities.promote(tx, identity, setup.key.selector)
        await _vouch(tx, identity)


async def _vouch(tx: Transaction, identity: Identity) -> None:
    await tx.run(
        "UPDATE identities SET dkim_status = $4, dkim_vouched = 1" + _HERE,
        identity.account,
        identity.region,
        identity.name,
        SUCCESS,
    )


def next_token(identity: Identity, selector: str) -> str:
    """The token whose place a new key takes: the one behind that which signs now."""
    tokens = identity.dkim_tokens
    return tokens[(tokens.index(selector) + 1) % len(tokens)] if selector in tokens else tokens[0]


def check_rotation(identity: Identity, now: Coming, key_length: str, at: int) -> None:
    """May the length be changed to this?

    Raises:
        Invalid: it is that already, or was changed within a day (SES: sending §1.3).
    """
    if key_length == (now.key_length or identity.dkim_key_length):
        raise Invalid(f"The DKIM signing key length of {identity.name} is {key_length} already.", kind="identity")
    if now.changed is not None and at - now.changed < DAY:
        raise Invalid("The DKIM signing key length can be changed only once in 24 hours.", kind="identity")


async def rotate(tx: Transaction, identity: Identity, key: NewKey, key_length: str, *, verified: bool) -> None:
    """Sign with this key of another length, once it is seen; ``verified``: at once."""
    place = (identity.account, identity.region, identity.name)
    await dkim_keys.insert(tx, *place, key, active=False)
    await tx.run(
        "UPDATE identities SET next_selector = $4, next_key_length = $5, key_length_changed = $6, dkim_generated = $6"
        + _HERE,
        *place,
        key.selector,
        key_length,
        tx.now(),
    )
    if verified:
        await identities.promote(tx, identity, key.selector)


async def restart(tx: Transaction, identity: Identity) -> None:
    """Look for the records again, if that was given up or never begun."""
    await tx.run(
        "UPDATE identities SET dkim_status = $4, dkim_since = $5"
        + _HERE
        + " AND dkim_status IN ('FAILED', 'NOT_STARTED')",
        identity.account,
        identity.region,
        identity.name,
        PENDING,
        tx.now(),
    )
