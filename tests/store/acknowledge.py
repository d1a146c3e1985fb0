"""A process to be killed: writes rows from many tasks and says each key on stdout after its ``run`` has returned."""

from __future__ import annotations

import asyncio
import os
import sys

from mailstead.base.clock import SystemClock
from mailstead.store.migrate import migrate
from mailstead.store.port import Transaction
from mailstead.store.sqlite import SqliteDatabase


async def main(path: str, first: int) -> None:
    db = SqliteDatabase(path, SystemClock())
    await migrate(db)
    keys = iter(range(first, first + 1_000_000))

    async def one() -> None:
        for n in keys:

            async def body(tx: Transaction, n: int = n) -> None:
                await tx.run("INSERT INTO blobs (key, content) VALUES ($1, $2)", str(n), b"x" * 3000)
                await tx.run("INSERT INTO settings (key, value) VALUES ($1, $2)", str(n), "v")

            await db.run(body)
            os.write(1, b"%d\n" % n)

    await asyncio.gather(*(one() for _ in range(20)))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
