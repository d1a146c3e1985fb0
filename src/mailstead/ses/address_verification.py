"""Address verification: what becomes of an address when somebody opens its link, or nobody does (SES: sending §1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mailstead.ses import address_proofs, identities
from mailstead.ses.address_proofs import OPEN, OVER, USED, Proof
from mailstead.ses.identities import EMAIL_ADDRESS, FAILED, PENDING, SUCCESS
from mailstead.store.port import Transaction


class Outcome(Enum):
    """What opening a link comes to."""

    VERIFIED = "verified"
    AGAIN = "again"
    """It was used before, and the address is verified: nothing changes."""
    EXPIRED = "expired"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Opened:
    """A link that was opened; no proof: it is none of ours."""

    outcome: Outcome
    proof: Proof | None = None


INVALID = Opened(Outcome.INVALID)


async def look(tx: Transaction, token: str) -> Opened | None:
    """What a link comes to if nothing has to be written; None: it is good, and ``confirm`` may be called."""
    proof = await address_proofs.find(tx, token)
    if proof is None:
        return INVALID
    if proof.state == OPEN and tx.now() < proof.expires:
        return None
    if proof.state in (OPEN, OVER):
        return Opened(Outcome.EXPIRED, proof)
    identity = await identities.find(tx, proof.account, proof.region, proof.name) if proof.state == USED else None
    verified = identity is not None and identity.verified
    return Opened(Outcome.AGAIN if verified else Outcome.INVALID, proof)


async def confirm(tx: Transaction, token: str) -> Opened:
    """Use a link: the address is verified.  Twice is harmless."""
    ended = await look(tx, token)
    if ended is not None:
        return ended
    proof = await address_proofs.find(tx, token)
    if proof is None or not await address_proofs.take(tx, proof):  # somebody opened it at the same moment
        return await look(tx, token) or INVALID
    identity = await identities.hold(tx, proof.account, proof.region, proof.name)
    if identity is None:
        return Opened(Outcome.INVALID, proof)
    await identities.mark(tx, identity, status=SUCCESS)
    return Opened(Outcome.VERIFIED, proof)


async def give_up(tx: Transaction, limit: int) -> list[tuple[str, str, str]]:
    """End the wait for links that nobody opened in time; account, region and name of the addresses that failed."""
    failed = []
    for account, region, name in await address_proofs.close_over(tx, limit):
        sql = (
            "UPDATE identities SET status = $4, status_since = $5, last_checked = $5"
            " WHERE account = $1 AND region = $2 AND name = $3 AND status = $6 AND kind = $7"
        )
        if await tx.run(sql, account, region, name, FAILED, tx.now(), PENDING, EMAIL_ADDRESS):
            failed.append((account, region, name))
    return failed
