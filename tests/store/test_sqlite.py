"""SQLite: one commit for many, refusals that harm nobody else, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from mailstead.base.clock import ManualClock, SystemClock
from mailstead.base.errors import Unreachable
from mailstead.store.group_commit import BATCH, CAREFUL
from mailstead.store.migrate import migrate
from mailstead.store.port import Duplicate, Transaction
from mailstead.store.sqlite import SqliteDatabase


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[SqliteDatabase]:
    db = SqliteDatabase(path / "mailstead.db", ManualClock())
    try:
        await migrate(db)
        yield db
    finally:
        await db.close()


def _scene(path: Path, scene: Callable[[SqliteDatabase], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with _opened(path) as db:
            await scene(db)

    asyncio.run(whole())


def _putting(key: str, value: str = "v") -> Callable[[Transaction], Awaitable[int]]:
    async def body(tx: Transaction) -> int:
        return await tx.run("INSERT INTO settings (key, value) VALUES ($1, $2)", key, value)

    return body


async def _count(tx: Transaction) -> int:
    return int(await tx.value("SELECT count(*) FROM settings"))


class _Lock:
    """Another process that holds the write lock until told."""

    def __init__(self, path: Path) -> None:
        self._other = apsw.Connection(str(path / "mailstead.db"))
        self._other.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._other.execute("ROLLBACK")
        self._other.close()


def test_the_file_is_ours_alone_and_safe(tmp_path: Path) -> None:
    async def scene(db: SqliteDatabase) -> None:
        async def settings(tx: Transaction) -> list[object]:
            names = ("journal_mode", "synchronous", "foreign_keys", "mmap_size", "busy_timeout", "temp_store")
            return [await tx.value(f"PRAGMA {name}") for name in names]

        assert await db.run(settings) == ["wal", 2, 1, 0, 0, 2]
        assert {name.stat().st_mode & 0o777 for name in tmp_path.iterdir()} == {0o600}

    _scene(tmp_path, scene)
    assert [name.name for name in tmp_path.iterdir()] == ["mailstead.db"]


def test_many_transactions_share_a_commit(tmp_path: Path) -> None:
    async def scene(db: SqliteDatabase) -> None:
        lock, before = _Lock(tmp_path), db.commits
        waiting = [asyncio.create_task(db.run(_putting(str(n)))) for n in range(BATCH + 43)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)  # the loop goes on while another process has the lock
        lock.release()
        await asyncio.gather(*waiting)
        assert 2 <= db.commits - before < 20  # a batch is bounded, in number and in time
        assert await db.read(_count) == BATCH + 43

    _scene(tmp_path, scene)


def test_a_body_that_waits_is_refused_alone(tmp_path: Path) -> None:
    async def waits(tx: Transaction) -> None:
        await tx.run("INSERT INTO settings (key, value) VALUES ('waits', '')")
        await asyncio.sleep(0)

    async def scene(db: SqliteDatabase) -> None:
        ends = await asyncio.gather(db.run(_putting("a")), db.run(waits), db.run(_putting("b")), return_exceptions=True)
        assert ends[::2] == [1, 1]
        assert isinstance(ends[1], RuntimeError)
        with pytest.raises(RuntimeError, match="awaited something other"):
            await db.read(lambda tx: asyncio.sleep(0))
        assert await db.read(_count) == 2

    _scene(tmp_path, scene)


def test_a_body_that_fails_undoes_itself_alone(tmp_path: Path) -> None:
    """With others in its batch, which run again, and in the batches after it."""
    runs: list[str] = []

    def counted(key: str) -> Callable[[Transaction], Awaitable[int]]:
        async def body(tx: Transaction) -> int:
            runs.append(key)
            return await _putting(key)(tx)

        return body

    async def fails(tx: Transaction) -> None:
        runs.append("fails")
        await _putting("half")(tx)
        raise Unreachable("for a test")

    async def scene(db: SqliteDatabase) -> None:
        before = db.commits
        for _ in range(2):
            runs.clear()
            keys = [f"{db.commits}-{n}" for n in range(3)]
            bodies = [db.run(counted(keys[0])), db.run(counted(keys[1])), db.run(fails), db.run(counted(keys[2]))]
            ends = await asyncio.gather(*bodies, return_exceptions=True)
            assert [ends[0], ends[1], ends[3]] == [1, 1, 1]
            assert isinstance(ends[2], Unreachable)
            assert runs.count("fails") == 1
        assert len(runs) == 4  # the second time nobody had to run again
        assert db.commits == before + 2
        assert await db.read(_count) == 6

    _scene(tmp_path, scene)


def test_savepoints_end_when_nothing_fails_any_more(tmp_path: Path) -> None:
    statements: list[str] = []

    async def scene(db: SqliteDatabase) -> None:
        def see(cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
            statements.append(sql)
            return True

        with pytest.raises(Duplicate):
            await db.run(_putting("a")) and await db.run(_putting("a"))
        db._writer.connection.exec_trace = see
        for n in range(CAREFUL + 1):
            await db.run(_putting(str(n)))
        assert statements.count("SAVEPOINT body") == CAREFUL - 1  # one batch told of the failure

    _scene(tmp_path, scene)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async def scene(db: SqliteDatabase) -> None:
        for way in (db.read, db.scan):
            with pytest.raises(apsw.ReadOnlyError):
                await way(_putting("a"))
        assert await db.read(_count) == 0

    _scene(tmp_path, scene)


def test_parameters_count_by_number_and_not_by_place(tmp_path: Path) -> None:
    async def body(tx: Transaction) -> object:
        return await tx.row("SELECT $2, $1, $2, $10 || $9", *range(1, 11))

    async def scene(db: SqliteDatabase) -> None:
        assert await db.read(body) == (2, 1, 2, "109")

    _scene(tmp_path, scene)


def test_a_lock_held_by_others_is_unreachable_for_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.store.sqlite._PRAGMAS", "PRAGMA busy_timeout = 50; PRAGMA journal_mode = WAL")

    async def scene(db: SqliteDatabase) -> None:
        other = apsw.Connection(str(db.path))
        other.execute("BEGIN IMMEDIATE")
        ends = await asyncio.gather(*(db.run(_putting(str(n))) for n in range(5)), return_exceptions=True)
        assert {type(end) for end in ends} == {Unreachable}
        assert await db.read(_count) == 0
        other.execute("ROLLBACK")
        other.close()
        await db.run(_putting("later"))
        assert await db.read(_count) == 1

    _scene(tmp_path, scene)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "mailstead.db").write_bytes(b"From: somebody\r\n" * 100)
    with pytest.raises(Unreachable, match="cannot be opened"):
        SqliteDatabase(tmp_path / "mailstead.db", ManualClock())
    with pytest.raises(Unreachable, match="cannot be opened"):
        SqliteDatabase(tmp_path / "missing" / "mailstead.db", ManualClock())


def test_a_full_database_undoes_the_batch_and_recovers(tmp_path: Path) -> None:
    async def scene(db: SqliteDatabase) -> None:
        await db.run(_putting("before"))

        async def limit(tx: Transaction) -> None:
            pages = await tx.value("PRAGMA page_count")
            await tx.rows(f"PRAGMA max_page_count = {pages + 20}")

        async def free(tx: Transaction) -> None:
            await tx.rows("PRAGMA max_page_count = 1000000")

        await db.run(limit)
        ends = await asyncio.gather(
            *(db.run(_putting(str(n), "x" * 30_000)) for n in range(10)), return_exceptions=True
        )
        assert Unreachable in {type(end) for end in ends}
        assert {type(end) for end in ends} <= {Unreachable, int}
        assert await db.read(_count) == 1 + sum(isinstance(end, int) for end in ends)
        await db.run(free)
        await db.run(_putting("after", "x" * 300_000))

    _scene(tmp_path, scene)


def test_a_full_disk_fails_the_commit_and_loses_nothing(tmp_path: Path) -> None:
    async def scene(db: SqliteDatabase) -> None:
        acknowledged = 0
        await db.run(_putting("first"))
        size = (tmp_path / "mailstead.db-wal").stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100_000, hard))  # the log may not grow: EFBIG
        try:
            for n in range(10):
                try:
                    await db.run(_putting(str(n), "x" * 30_000))
                    acknowledged += 1
                except Unreachable:
                    continue
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert 0 < acknowledged < 10
        assert await db.read(_count) == 1 + acknowledged
        await db.run(_putting("after", "x" * 300_000))
        assert await db.read(_count) == 2 + acknowledged

    _scene(tmp_path, scene)


def test_closing_finishes_what_was_handed_in(tmp_path: Path) -> None:
    async def scene() -> None:
        async with _opened(tmp_path) as db:
            tasks = [asyncio.create_task(db.run(_putting(str(n)))) for n in range(30)]
            await asyncio.sleep(0)
            await db.close()
            assert await asyncio.gather(*tasks) == [1] * 30
            for way in (db.run, db.read, db.scan):
                with pytest.raises(Unreachable):
                    await way(_count)
            await db.close()
        async with _opened(tmp_path) as db:
            assert await db.read(_count) == 30

    asyncio.run(scene())


def test_closing_ends_although_nothing_can_be_begun(tmp_path: Path) -> None:
    async def scene() -> None:
        db = SqliteDatabase(tmp_path / "mailstead.db", ManualClock())
        await migrate(db)
        waiting = asyncio.create_task(db.run(_putting("a")))
        await asyncio.sleep(0)
        db._writer.connection.close(True)  # what a disk that is gone looks like to the next BEGIN
        async with asyncio.timeout(5):
            await db.close()
        with pytest.raises(Unreachable):
            await waiting

    asyncio.run(scene())


def test_a_loop_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "mailstead.db", ManualClock())
    asyncio.run(migrate(db))
    lock = _Lock(tmp_path)

    async def leave() -> None:
        held = asyncio.create_task(db.run(_putting("b")))
        for _ in range(10):
            await asyncio.sleep(0)
        held.cancel()

    asyncio.run(leave())
    threading.Timer(0.1, lock.release).start()
    assert asyncio.run(db.run(_putting("a"))) == 1
    asyncio.run(db.close())


def test_a_process_that_forgets_to_close_ends(tmp_path: Path) -> None:
    script = (
        "import asyncio; from mailstead.base.clock import SystemClock\n"
        "from mailstead.store.sqlite import SqliteDatabase; from mailstead.store.migrate import migrate\n"
        f"db = SqliteDatabase({str(tmp_path / 'mailstead.db')!r}, SystemClock())\n"
        "asyncio.run(migrate(db)); asyncio.run(db.scan(lambda tx: tx.value('SELECT 1'))); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path, seeds: range) -> None:
    path = tmp_path / "mailstead.db"
    script = Path(__file__).with_name("acknowledge.py")
    said: set[str] = set()
    for seed in seeds:
        process = subprocess.Popen(
            [sys.executable, str(script), str(path), str(seed * 1_000_000)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        enough = random.Random(seed).randint(1, 3000)
        lines = [process.stdout.readline() for _ in range(enough)]
        process.kill()
        rest = process.stdout.read()
        process.stdout.close()
        assert process.wait(10) == -9
        acknowledged = b"".join(lines) + rest
        said.update(acknowledged[: acknowledged.rfind(b"\n")].decode().split())
        assert len(said) >= enough

    async def keys(tx: Transaction) -> tuple[set[str], set[str], str]:
        blobs = {key for (key,) in await tx.rows("SELECT key FROM blobs")}
        return (
            blobs,
            {key for (key,) in await tx.rows("SELECT key FROM settings")},
            await tx.value("PRAGMA quick_check"),
        )

    async def look() -> None:
        db = SqliteDatabase(path, SystemClock())
        blobs, settings, check = await db.scan(keys)
        await db.close()
        assert check == "ok"
        assert blobs == settings  # all of a transaction or nothing
        assert said <= settings
        assert len(settings - said) <= 2 * BATCH * len(seeds)  # what was in hand

    asyncio.run(look())
    assert os.path.getsize(path) > 0
