"""Migrations: brings a database's tables to what this code expects.

``migrations/NNNN_{pre,post}_what.sql``, one text for both databases. ``pre`` runs before new code starts and old code
must live with it; ``post`` runs when no old code is left.
"""

from __future__ import annotations

import re
from importlib.resources import files

from mailstead.base.errors import Conflict
from mailstead.store.port import Database, Transaction

_NAME = re.compile(r"(\d{4}_(pre|post)_[a-z0-9_]+)\.sql")
_COMMENT = re.compile(r"--[^\n]*")
_LOCK = 6245_4783_2301  # any number that nobody else takes


def migrations(phase: str = "all") -> list[str]:
    """The names this code knows, in order; ``phase`` is ``all``, ``pre`` or ``post``."""
    if phase not in ("all", "pre", "post"):
        raise ValueError(phase)
    found = (_NAME.fullmatch(entry.name) for entry in (files("mailstead.store") / "migrations").iterdir())
    return sorted(match[1] for match in found if match and phase in ("all", match[2]))


async def migrate(db: Database, phase: str = "all") -> list[str]:
    """Apply what is missing, each migration in a transaction of its own; the names that were applied now.

    Two processes may do so at once: each migration happens once.

    Raises:
        Conflict: newer code has finished an upgrade of this database (a ``post`` migration that we do not know).
    """
    return [name for name in migrations(phase) if await db.run(_Step(name))] or await _looked_at(db)


async def _looked_at(db: Database) -> list[str]:
    async def body(tx: Transaction) -> None:
        await _begin(tx)

    await db.run(body)
    return []


class _Step:
    """The transaction of one migration; True if it was missing."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, tx: Transaction) -> bool:
        if self.name in await _begin(tx):
            return False
        for statement in statements((files("mailstead.store") / "migrations" / f"{self.name}.sql").read_text("utf-8")):
            await tx.run(statement)
        await tx.run("INSERT INTO schema_migrations (name, applied) VALUES ($1, $2)", self.name, tx.now())
        return True


async def _begin(tx: Transaction) -> set[str]:
    """Wait until we are the only one, and look what was applied before."""
    if tx.kind == "postgres":  # SQLite has one writer anyway
        await tx.value("SELECT pg_advisory_xact_lock($1)", _LOCK)
    await tx.run("CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, applied BIGINT NOT NULL)")
    applied = {name for (name,) in await tx.rows("SELECT name FROM schema_migrations")}
    unknown = sorted(name for name in applied.difference(migrations()) if "_post_" in name)
    if unknown:
        raise Conflict(f"The database belongs to a newer Mailstead ({unknown[-1]}): install that one")
    return applied


def statements(script: str) -> list[str]:
    """The statements of a migration. Our files have no semicolon and no ``--`` inside a text."""
    found = [statement for part in _COMMENT.sub("", script).split(";") if (statement := part.strip())]
    for statement in found:
        assert statement.count("'") % 2 == 0, f"a semicolon or comment inside a text: {statement}"
    return found
