"""Migrations happen once, whoever starts first, and never backwards."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mailstead.base.clock import ManualClock
from mailstead.base.errors import Conflict
from mailstead.store.migrate import migrate, migrations, statements
from mailstead.store.port import Database, Row, Transaction
from mailstead.store.postgres import PostgresDatabase
from mailstead.store.sqlite import SqliteDatabase
from peers.database import Ground
from peers.ground import ROOT


async def _open(url: str) -> Database:
    if url.startswith("sqlite:"):
        return SqliteDatabase(url.removeprefix("sqlite:"), ManualClock())
    return await PostgresDatabase.open(url, ManualClock(), connections=2)


async def _applied(tx: Transaction) -> list[Row]:
    return await tx.rows("SELECT name, applied FROM schema_migrations ORDER BY name")


def test_once(ground: Ground) -> None:
    assert ground.read(_applied) == [(name, ground.clock.now()) for name in migrations()]
    ground.clock.advance(1000)
    assert ground.loop.run_until_complete(migrate(ground.db)) == []
    assert {row[1] for row in ground.read(_applied)} == {ground.clock.now() - 1000}


def test_several_start_at_once(database_url: str) -> None:
    async def scene() -> None:
        databases = [await _open(database_url) for _ in range(4)]
        done = await asyncio.gather(*(migrate(db) for db in databases))
        assert sorted(name for names in done for name in names) == migrations()
        for db in databases:
            await db.close()

    asyncio.run(scene())


def test_a_newer_database_is_refused(ground: Ground) -> None:
    async def newer(tx: Transaction, name: str) -> None:
        await tx.run("INSERT INTO schema_migrations (name, applied) VALUES ($1, 1)", name)

    ground.run(lambda tx: newer(tx, "9998_pre_column"))
    assert ground.loop.run_until_complete(migrate(ground.db)) == []  # old code lives with every "pre"
    ground.run(lambda tx: newer(tx, "9999_post_column"))
    with pytest.raises(Conflict, match=r"newer Mailstead \(9999_post_column\)"):
        ground.loop.run_until_complete(migrate(ground.db))


def test_phases() -> None:
    assert migrations("pre") + migrations("post") == sorted(migrations("pre") + migrations("post"))
    assert "0001_pre_foundation" in migrations("pre")
    assert "0001_pre_foundation" not in migrations("post")
    with pytest.raises(ValueError, match="later"):
        migrations("later")


def test_statements_are_cut_at_semicolons() -> None:
    assert statements("-- a; b\nCREATE TABLE t (a TEXT DEFAULT '');  -- c\n\nDROP TABLE t;\n") == [
        "CREATE TABLE t (a TEXT DEFAULT '')",
        "DROP TABLE t",
    ]
    with pytest.raises(AssertionError, match="inside a text"):
        statements("INSERT INTO t VALUES ('a;b')")


@pytest.mark.slow
def test_a_wheel_brings_them(tmp_path: Path) -> None:
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        names = wheel.namelist()
    assert [f"mailstead/store/migrations/{name}.sql" in names for name in migrations()] == [True] * len(migrations())
