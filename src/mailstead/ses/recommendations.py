"""Recommendations: what an account should do for its domains, so that receivers trust their mail (SES v2: VDM advisor).

Upkeep notes what it sees of a verified domain each time it looks at DNS.  A finding that is gone stays, as FIXED; one
that comes back is open again.  Of what DNS cannot tell now nothing is noted.  The texts are ours.

Not done: BIMI, and what receivers say (complaints, bounces, block lists).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailstead.ses import tags
from mailstead.store.port import Transaction

DKIM, SPF, DMARC = "DKIM", "SPF", "DMARC"
TYPES = (DKIM, DMARC, SPF, "BIMI", "COMPLAINT", "BOUNCE", "FEEDBACK_3P", "IP_LISTING")
"""Those that SES knows; the first three are found here."""
LOW, HIGH = "LOW", "HIGH"
OPEN, FIXED = "OPEN", "FIXED"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should be otherwise."""

    impact: str
    """``LOW`` or ``HIGH``."""
    description: str


NO_DKIM = Finding(HIGH, "The DKIM record of the domain was not found, so its mail is not signed by it.")
NO_SPF = Finding(HIGH, "The MX or SPF record of the MAIL FROM domain was not found.")
NO_MAIL_FROM = Finding(LOW, "The domain has no MAIL FROM domain of its own, so SPF does not align with it.")
NO_DMARC = Finding(HIGH, "The domain has no DMARC record.")


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A finding of a resource, and whether it is still so."""

    resource: str
    """``identity/NAME``."""
    type: str
    impact: str
    description: str
    status: str
    created: int
    """When it was found first."""
    changed: int


async def note(tx: Transaction, account: str, region: str, identity: str, found: Mapping[str, Finding | None]) -> None:
    """Note what was seen of a domain: by type, what should be otherwise, or None if it is as it should be."""
    resource = tags.resource(tags.IDENTITY, identity)
    for kind, finding in sorted(found.items()):
        if finding is None:
            await tx.run(
                "UPDATE recommendations SET status = 'FIXED', changed = $5 WHERE account = $1 AND region = $2"
                " AND resource = $3 AND type = $4 AND status = 'OPEN'",
                account,
                region,
                resource,
                kind,
                tx.now(),
            )
        else:
            await _open(tx, (account, region, resource, kind), finding)


async def _open(tx: Transaction, place: tuple[str, str, str, str], finding: Finding) -> None:
    """Tell of it, unless that is told already."""
    await tx.run(
        "INSERT INTO recommendations (account, region, resource, type, impact, description, status, created, changed)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'OPEN', $7, $7) ON CONFLICT (account, region, resource, type) DO UPDATE SET"
        " impact = excluded.impact, description = excluded.description, status = 'OPEN', changed = excluded.changed"
        " WHERE recommendations.status <> 'OPEN' OR recommendations.description <> excluded.description",
        *place,
        finding.impact,
        finding.description,
        tx.now(),
    )


async def list_page(
    tx: Transaction,
    account: str,
    region: str,
    *,
    after: tuple[str, str] = ("", ""),
    limit: int = 100,
    wanted: Mapping[str, str],
) -> list[Recommendation]:
    """Recommendations by resource and type, those behind ``after``; ``wanted``: columns with the value that counts."""
    also = "".join(f" AND {column} = ${place}" for place, column in enumerate(wanted, 6))
    rows = await tx.rows(
        "SELECT resource, type, impact, description, status, created, changed FROM recommendations"
        " WHERE account = $1 AND region = $2 AND (resource > $3 OR (resource = $3 AND type > $4))"
        f"{also} ORDER BY resource, type LIMIT $5",
        account,
        region,
        *after,
        limit,
        *wanted.values(),
    )
    return [Recommendation(*row) for row in rows]


async def forget(tx: Transaction, account: str, region: str, identity: str) -> None:
    """The identity is gone."""
    sql = "DELETE FROM recommendations WHERE account = $1 AND region = $2 AND resource = $3"
    await tx.run(sql, account, region, tags.resource(tags.IDENTITY, identity))
