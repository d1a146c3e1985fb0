"""Our PostgreSQL starts, also as root, and gives each test a database of its own."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from peers.postgres import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.postgres]


async def _once(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def test_databases_are_apart(postgres: Postgres) -> None:
    first, second = postgres.fresh_database(), postgres.fresh_database()
    asyncio.run(_once(first, "CREATE TABLE t (a int)"))
    assert asyncio.run(_once(first, "SELECT count(*) FROM t")) == 0
    with pytest.raises(asyncpg.UndefinedTableError):
        asyncio.run(_once(second, "SELECT count(*) FROM t"))
    postgres.drop_database(first)
    postgres.drop_database(second)
    gone = tuple(url.rpartition("/")[2] for url in (first, second))  # others of the session may still be there
    assert postgres.sql(f"SELECT count(*) FROM pg_database WHERE datname IN {gone}") == "0"


def test_a_template_is_copied(postgres: Postgres) -> None:
    model = postgres.fresh_database()
    asyncio.run(_once(model, "CREATE TABLE t AS SELECT 7 AS a"))
    copy = postgres.fresh_database(template=model.rpartition("/")[2])
    assert asyncio.run(_once(copy, "SELECT a FROM t")) == 7
    postgres.drop_database(copy)
    postgres.drop_database(model)


def test_the_fixture_gives_both_engines(database_url: str) -> None:
    assert database_url.startswith(("sqlite:", "postgresql://"))
