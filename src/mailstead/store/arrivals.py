"""Arrivals: messages that came in, one row a message and account, until they are dealt with.

Every function runs inside the caller's transaction.  A row is made once: the same id again is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailstead.store import work
from mailstead.store.port import Transaction

TABLE = "arrivals"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that came in."""

    id: str
    account: str
    region: str
    sender: str
    """The reverse-path; empty is the null one."""
    recipients_json: str
    """A JSON list of addresses."""
    message: str
    """The message of ours it is a report about; empty if it is none."""
    size: int
    blob: str
    source_json: str
    """How it came: a JSON object."""
    state: str = "queued"
    """``queued``; ``done`` or ``kept`` (nothing is left to do)."""
    due: int | None = None
    attempts: int = 0
    reason: str = ""
    created: int = 0


_COLUMNS = (
    "id, account, region, sender, recipients_json, message, size, blob, source_json, state, due, attempts, reason,"
    " created"
)


async def put(tx: Transaction, arrival: Arrival) -> bool:
    """Store an arrival, due at once; False: it is here already."""
    made = await tx.run(
        "INSERT INTO arrivals (id, account, region, sender, recipients_json, message, size, blob, source_json, due,"
        " created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) ON CONFLICT DO NOTHING",
        arrival.id,
        arrival.account,
        arrival.region,
        arrival.sender,
        arrival.recipients_json,
        arrival.message,
        arrival.size,
        arrival.blob,
        arrival.source_json,
        arrival.created,
    )
    return made > 0


async def read(tx: Transaction, arrival: str) -> Arrival | None:
    """One arrival, or None."""
    row = await tx.row(f"SELECT {_COLUMNS} FROM arrivals WHERE id = $1", arrival)
    return Arrival(*row) if row else None


async def of_message(tx: Transaction, message: str) -> list[Arrival]:
    """What came back about a message of ours, oldest first."""
    rows = await tx.rows(f"SELECT {_COLUMNS} FROM arrivals WHERE message = $1 ORDER BY created, id", message)
    return [Arrival(*row) for row in rows]


async def list_all(tx: Transaction, *, account: str = "", state: str = "", limit: int = 1000) -> list[Arrival]:
    """Arrivals, the newest first; of one account and in one state where these are given."""
    rows = await tx.rows(
        f"SELECT {_COLUMNS} FROM arrivals WHERE ($1 = '' OR account = $1) AND ($2 = '' OR state = $2)"
        " ORDER BY created DESC, id LIMIT $3",
        account,
        state,
        limit,
    )
    return [Arrival(*row) for row in rows]


async def anything_due(tx: Transaction, now: int) -> bool:
    """Is an arrival free and due?  Cheap enough to ask every second."""
    return bool(
        await tx.value("SELECT 1 FROM arrivals WHERE due IS NOT NULL AND worker IS NULL AND due <= $1 LIMIT 1", now)
    )


async def claim(tx: Transaction, *, worker: str, now: int, limit: int) -> list[Arrival]:
    """Lease arrivals that are due."""
    rows = await work.claim(tx, TABLE, worker=worker, now=now, limit=limit, columns=_COLUMNS)
    return [Arrival(*row) for row in rows]


async def settle(tx: Transaction, arrival: str, state: str) -> bool:
    """Nothing is left to do for it; False: that was so before."""
    changed = await tx.run(
        "UPDATE arrivals SET state = $2, due = NULL, worker = NULL, reason = '' WHERE id = $1 AND due IS NOT NULL",
        arrival,
        state,
    )
    return changed > 0


async def sender_of(tx: Transaction, message: str) -> tuple[str, str, str] | None:
    """``(account, region, return path)`` of a message that we sent, or None: we did not, or have forgotten it."""
    row = await tx.row("SELECT account, region, return_path FROM messages WHERE id = $1", message)
    return (str(row[0]), str(row[1]), str(row[2])) if row else None
