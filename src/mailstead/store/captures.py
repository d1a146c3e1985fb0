"""Captures: mail for the outside that stays here, signed as it would have left, and what was handed in for it."""

from __future__ import annotations

from dataclasses import dataclass

from mailstead.store.port import Row, Transaction


@dataclass(frozen=True, slots=True)
class Capture:
    """One captured message."""

    message: str
    account: str
    region: str
    recipients_json: str
    """The envelope's recipients that were captured, a JSON list."""
    blob: str
    """The signed content."""
    created: int


async def keep(tx: Transaction, capture: Capture) -> None:
    """Store a capture; twice is harmless."""
    await tx.run(
        "INSERT INTO captures (message, account, region, recipients_json, blob, created)"
        " VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (message) DO UPDATE SET recipients_json = excluded.recipients_json",
        capture.message,
        capture.account,
        capture.region,
        capture.recipients_json,
        capture.blob,
        capture.created,
    )


async def find(tx: Transaction, message: str) -> Capture | None:
    """The capture of a message, or None."""
    row = await tx.row(
        "SELECT message, account, region, recipients_json, blob, created FROM captures WHERE message = $1", message
    )
    return Capture(*row) if row else None


async def keep_submitted(
    tx: Transaction, message: str, content: bytes, *, template: str = "", template_data: str = ""
) -> None:
    """Keep what was handed in, byte for byte (``RawData`` of ``/_aws/ses``), and what its template was filled with."""
    await tx.run(
        "INSERT INTO submitted (message, content, template, template_data) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (message) DO NOTHING",
        message,
        content,
        template,
        template_data,
    )


_SUBMITTED = (
    "SELECT m.id, m.region, m.mail_json, s.content, m.created, s.template, s.template_data"
    " FROM submitted s JOIN messages m ON m.id = s.message"
)


async def submitted(tx: Transaction, *, message: str = "", limit: int = 10_000) -> list[Row]:
    """``(message, region, mail_json, content, created, template, template_data)`` of all handed in, oldest first."""
    if message:
        return await tx.rows(_SUBMITTED + " WHERE m.id = $1", message)
    return await tx.rows(_SUBMITTED + " ORDER BY m.id LIMIT $1", limit)


async def forget(tx: Transaction, *, message: str = "") -> list[str]:
    """Drop captures, one or all; references of blobs that have to go."""
    if message:
        rows = await tx.rows("DELETE FROM captures WHERE message = $1 RETURNING blob", message)
        await tx.run("DELETE FROM submitted WHERE message = $1", message)
    else:
        rows = await tx.rows("DELETE FROM captures RETURNING blob")
        await tx.run("DELETE FROM submitted")
    return [str(row[0]) for row in rows]
