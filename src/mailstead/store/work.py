"""Work tables: who works on a row, until when; and the processes that hold leases.

A row is due (``due`` is not NULL and past), leased (``worker`` is set) or neither. A lease has no end of its own: it
comes free when its row is settled, when its process says good-bye, or when that process stops beating.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from mailstead.store.port import Row, Transaction

TABLES = {"lanes": "lane", "arrivals": "id", "timers": "id", "jobs": "id"}
"""The work tables and their keys."""

_SKIP = {"sqlite": "", "postgres": " FOR UPDATE SKIP LOCKED"}  # SQLite has one writer: nobody to skip
_NAME = re.compile(r"[a-z][a-z0-9_]*")


async def claim(
    tx: Transaction, table: str, *, worker: str, now: int, limit: int, where: str = "", columns: str = "id, attempts"
) -> list[Row]:
    """Lease at most ``limit`` rows that are due, the longest waiting first; their ``columns``, in no certain order.

    ``where`` is one more condition, without parameters. Both are texts of our own code, never of a caller.
    """
    key = TABLES[table]
    if limit <= 0:
        return []
    condition = f" AND {where}" if where else ""
    return await tx.rows(
        f"WITH picked (key) AS MATERIALIZED (SELECT {key} FROM {table}"
        f" WHERE due <= $2 AND worker IS NULL{condition} ORDER BY due LIMIT $3{_SKIP[tx.kind]})"
        f" UPDATE {table} SET worker = $1 WHERE {key} IN (SELECT key FROM picked) RETURNING {columns}",
        worker,
        now,
        limit,
    )


async def claim_lanes(
    tx: Transaction, *, worker: str, now: int, healthy: int, failing: int, named: Sequence[str] = ()
) -> list[tuple[str, int]]:
    """Lease lanes that are due: those ``named``, then ``healthy`` without a failed try, then ``failing`` others."""
    columns = "lane, failures"
    rows: list[Row] = []
    for lane in named:
        rows += await tx.rows(
            "UPDATE lanes SET worker = $1 WHERE lane = $2 AND due <= $3 AND worker IS NULL RETURNING lane, failures",
            worker,
            lane,
            now,
        )
    rows += await claim(tx, "lanes", worker=worker, now=now, limit=healthy, where="failures = 0", columns=columns)
    rows += await claim(tx, "lanes", worker=worker, now=now, limit=failing, where="failures > 0", columns=columns)
    return [(lane, failures) for lane, failures in rows]


async def again(tx: Transaction, table: str, id: str, due: int, reason: str) -> None:
    """Give a row back, to be claimed at ``due``; it counts as one more attempt (lanes count their own failures)."""
    count = "" if table == "lanes" else ", attempts = attempts + 1"
    await tx.run(
        f"UPDATE {table} SET worker = NULL, due = $2, reason = $3{count} WHERE {TABLES[table]} = $1",
        id,
        due,
        reason,
    )


async def done(tx: Transaction, table: str, id: str) -> None:
    """Nothing is left to do for a row. (A lane: only if no delivery of it waits, see ``store/spool.py``.)"""
    await tx.run(f"UPDATE {table} SET worker = NULL, due = NULL WHERE {TABLES[table]} = $1", id)


async def register(tx: Transaction, worker: str, host: str, pid: int) -> None:
    """A process begins to work."""
    await tx.run(
        "INSERT INTO workers (id, host, pid, started, beat) VALUES ($1, $2, $3, $4, $4)"
        " ON CONFLICT (id) DO UPDATE SET host = excluded.host, pid = excluded.pid, beat = excluded.beat",
        worker,
        host,
        pid,
        tx.now(),
    )


async def beat(tx: Transaction, worker: str) -> bool:
    """A process says that it lives. False: it was taken for dead and its leases are gone; it must register again."""
    return await tx.run("UPDATE workers SET beat = $2 WHERE id = $1", worker, tx.now()) > 0


async def release_dead(tx: Transaction, before: int) -> int:
    """Free the leases of processes that have not beaten since ``before`` or are unknown; how many leases."""
    await tx.run("DELETE FROM workers WHERE beat < $1", before)
    return await _free(tx, "worker NOT IN (SELECT id FROM workers)")


async def release_all_but(tx: Transaction, worker: str) -> int:
    """Free the leases of all others: at the start of the one process that SQLite allows."""
    await tx.run("DELETE FROM workers WHERE id <> $1", worker)
    return await _free(tx, "worker <> $1", worker)


async def forget(tx: Transaction, worker: str) -> int:
    """A process ends: its leases come free; how many it still had."""
    await tx.run("DELETE FROM workers WHERE id = $1", worker)
    return await _free(tx, "worker = $1", worker)


async def _free(tx: Transaction, whose: str, *args: Any) -> int:
    freed = 0
    for table in TABLES:
        freed += await tx.run(f"UPDATE {table} SET worker = NULL WHERE worker IS NOT NULL AND {whose}", *args)
    return freed


async def insert_many(
    tx: Transaction, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, ignore: bool = False
) -> None:
    """Insert rows of values for ``columns``; ``ignore`` leaves rows alone whose key is there already.

    Both drivers bind row after row to one prepared statement without waiting between (asyncpg pipelines them).
    """
    await tx.many(_insert(table, tuple(columns), ignore=ignore), rows)


@lru_cache(maxsize=200)
def _insert(table: str, columns: tuple[str, ...], *, ignore: bool) -> str:
    assert all(_NAME.fullmatch(name) for name in (table, *columns)), (table, columns)
    values = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})" + (
        " ON CONFLICT DO NOTHING" if ignore else ""
    )
