"""PostgreSQL: a pool of connections; for more than one process or node.

``run`` is one READ COMMITTED transaction, tried again when the server asks for it or was lost before COMMIT. Every
wait is bounded; a server that is away is ``Unreachable``. The time is the handed clock corrected by the server's: the
difference is measured twice a minute, which costs less than asking for it in each transaction.
Careful: a connection that is lost within COMMIT leaves open whether it happened; it is not tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from random import random
from typing import Any, NoReturn, TypeVar

from mailstead.base.clock import Clock, SystemClock
from mailstead.base.errors import Invalid, Unreachable
from mailstead.store import editions
from mailstead.store.port import Duplicate, Row, Transaction

T = TypeVar("T")

CONNECT_SECONDS = 5.0
WAIT_SECONDS = 10.0
"""How long a transaction waits for a free connection."""
COMMAND_SECONDS = 30.0
TRIES = 4
SKEW_SECONDS = 30.0
_SCANNERS = 2

# SQLSTATE classes that are not the statement's fault: connection, resources, operator, system, internal error;
# 25006 is a server that became a standby, 55P03 a lock that was not given.
_AWAY = ("08", "53", "57", "58", "XX", "25006", "55P03")
# Serialisation failure, deadlock.
_AGAIN = ("40001", "40P01")


class _Again(Unreachable):
    """Nothing of the transaction happened and it may be tried again at once."""


_makes_new = lru_cache(maxsize=2000)(editions.makes_new)


class _Transaction:
    """A connection as a body sees it."""

    __slots__ = ("_connection", "_db", "news")

    kind = "postgres"

    def __init__(self, db: PostgresDatabase, connection: Any) -> None:
        self._db = db
        self._connection = connection
        self.news = False
        """Was more than mail written?"""

    def now(self) -> int:
        return self._db.now()

    async def rows(self, sql: str, *args: Any) -> list[Row]:
        self._note(sql)
        try:
            return [tuple(record) for record in await self._connection.fetch(sql, *args)]
        except Exception as error:
            self._db.fail(error)

    async def row(self, sql: str, *args: Any) -> Row | None:
        self._note(sql)
        try:
            record = await self._connection.fetchrow(sql, *args)
        except Exception as error:
            self._db.fail(error)
        return None if record is None else tuple(record)

    async def value(self, sql: str, *args: Any) -> Any:
        self._note(sql)
        try:
            return await self._connection.fetchval(sql, *args)
        except Exception as error:
            self._db.fail(error)

    async def run(self, sql: str, *args: Any) -> int:
        self._note(sql)
        try:
            status: str = await self._connection.execute(sql, *args)
        except Exception as error:
            self._db.fail(error)
        count = status.rpartition(" ")[2]  # "INSERT 0 1", "UPDATE 3", "CREATE TABLE"
        return int(count) if count.isdecimal() else 0

    async def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._note(sql)
        try:
            await self._connection.executemany(sql, rows)
        except Exception as error:
            self._db.fail(error)

    def _note(self, sql: str) -> None:
        if not self.news:
            self.news = _makes_new(sql)


class PostgresDatabase:
    """A database on a PostgreSQL server; ``open`` makes one. The driver comes with the extra ``cluster``."""

    kind = "postgres"

    def __init__(self, url: str, clock: Clock, *, connections: int = 16, prepared: bool = True) -> None:
        self._driver: Any = import_module("asyncpg")  # only here, and only for those who use it
        self._url = url
        self._clock = clock
        self._most = connections
        self._prepared = prepared
        self.edition = 0
        """See ``Database.edition``."""
        self._failing = 0
        self._skew = 0
        self._measured: float | None = None
        self._pool: Any = None
        self._scanners: Any = None

    @classmethod
    async def open(cls, url: str, clock: Clock, *, connections: int = 16, prepared: bool = True) -> PostgresDatabase:
        """Connect. ``connections`` is the most that writing and short reading use; two more read long.

        ``prepared=False`` for a PgBouncer that pools by transaction.

        Raises:
            Unreachable: no server answers there, or it does not let us in.
        """
        db = cls(url, clock, connections=connections, prepared=prepared)
        db._pool = await db._make_pool(least=1, most=connections)
        db._scanners = await db._make_pool(least=0, most=_SCANNERS)
        async with db._connection(db._pool):
            return db

    async def run(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``Database.run``."""
        if self._failing:
            self._failing -= 1
            raise Unreachable("The database cannot be used now: a fault was asked for")
        tried = 1
        while True:
            try:
                async with self._connection(self._pool) as connection:
                    return await self._transaction(connection, body)
            except _Again:
                if tried >= TRIES:
                    raise
            await asyncio.sleep(0.02 * tried * (1 + random()))  # noqa: S311 — so that two losers do not meet again
            tried += 1

    async def read(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``Database.read``."""
        return await self._reading(self._pool, body)

    async def scan(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``Database.scan``: on connections of its own."""
        return await self._reading(self._scanners, body)

    async def close(self) -> None:
        """Let running transactions end (bounded), then disconnect."""
        for pool in (self._pool, self._scanners):
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    def fail_next(self, count: int) -> None:
        """Make the next ``count`` transactions raise Unreachable (``/_mailstead/fault``)."""
        self._failing = count

    def now(self) -> int:
        """The server's time in milliseconds, moved by the test offset."""
        return self._clock.now() + self._skew

    def fail(self, error: Exception) -> NoReturn:
        """Raise what ``error`` of the driver means to a caller."""
        if isinstance(error, Duplicate | Unreachable):
            raise error
        state: str = getattr(error, "sqlstate", None) or ""
        if state == "23505":
            raise Duplicate(str(error)) from error
        if state == "22021":  # SQLite would keep it
            raise Invalid("A text holds a NUL character.") from error
        text = f"The database cannot be used now: {error or type(error).__name__}"
        # A plan made before a migration; a lost connection ("08", OSError, "closed"): nothing was committed.
        if state in _AGAIN or state.startswith("08") or isinstance(error, self._stale()):
            raise _Again(text) from error
        if state.startswith(_AWAY) or isinstance(error, TimeoutError):
            raise Unreachable(text) from error
        raise error

    # -- connections

    def _stale(self) -> tuple[type[Exception], ...]:
        driver = self._driver
        return (
            OSError,
            driver.ConnectionDoesNotExistError,
            driver.InvalidCachedStatementError,
            driver.OutdatedSchemaCacheError,
            driver.AdminShutdownError,
            driver.CrashShutdownError,
        )

    async def _make_pool(self, *, least: int, most: int) -> Any:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await self._driver.create_pool(
                    self._url,
                    min_size=least,
                    max_size=most,
                    timeout=CONNECT_SECONDS,
                    command_timeout=COMMAND_SECONDS,
                    statement_cache_size=500 if self._prepared else 0,
                    init=_plain_types,
                    reset=_nothing,
                    server_settings={"application_name": "mailstead"},
                )
        except (OSError, TimeoutError, self._driver.PostgresError, self._driver.InterfaceError) as error:
            raise Unreachable(f"The database cannot be used now: {error or type(error).__name__}") from error

    @contextlib.asynccontextmanager
    async def _connection(self, pool: Any) -> AsyncIterator[Any]:
        """A connection of the pool, within a bounded wait."""
        try:
            connection = await pool.acquire(timeout=WAIT_SECONDS)
        except (OSError, TimeoutError, self._driver.PostgresError, self._driver.InterfaceError) as error:
            raise Unreachable(f"The database cannot be used now: {error or type(error).__name__}") from error
        try:
            if self._measured is None or self._clock.monotonic() - self._measured > SKEW_SECONDS:
                await self._measure(connection)
            yield connection
        except Exception as error:
            if _gone(connection) and not isinstance(error, Unreachable):
                raise _Again(f"The database cannot be used now: {error}") from error
            raise
        except BaseException:
            # Cut off in the middle of something: the server rolls back what it does not hear the end of.
            _cut(connection)
            raise
        finally:
            with contextlib.suppress(Exception):  # a broken one is thrown away
                await pool.release(connection)

    async def _measure(self, connection: Any) -> None:
        """How far the server's clock is ahead of ours. A clock that is not the machine's (a test's) is believed."""
        self._measured = self._clock.monotonic()
        if not isinstance(self._clock, SystemClock):
            return
        before = self._clock.wall()
        try:
            there = await connection.fetchval("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")
        except Exception as error:
            self._measured = None
            self.fail(error)
        self._skew = there - (before + self._clock.wall()) // 2

    # -- transactions

    async def _transaction(self, connection: Any, body: Callable[[Transaction], Awaitable[T]]) -> T:
        try:
            await connection.execute("BEGIN")
        except Exception as error:
            self.fail(error)
        transaction = _Transaction(self, connection)
        try:
            value = await body(transaction)
        except Exception:
            await self._roll_back(connection)
            raise
        try:
            await self._commit(connection)
        finally:  # an error may leave open whether it happened
            self.edition += transaction.news
        return value

    async def _commit(self, connection: Any) -> None:
        try:
            status = await connection.execute("COMMIT")
        except Exception as error:
            await self._roll_back(connection)
            state: str = getattr(error, "sqlstate", None) or ""
            if state in _AGAIN or state == "23505":  # the server has said that it did not commit
                self.fail(error)
            raise Unreachable(f"The database went away while it committed: {error or type(error).__name__}") from error
        if status != "COMMIT":  # the server's way to say that a statement had failed
            raise RuntimeError("the body of a transaction went on after a statement had failed")

    async def _roll_back(self, connection: Any) -> None:
        if _gone(connection):
            return
        try:
            await connection.execute("ROLLBACK", timeout=CONNECT_SECONDS)
        except Exception:
            _cut(connection)

    async def _reading(self, pool: Any, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """A body that only reads: once more when its connection turns out to be dead."""
        for last in (False, True):
            try:
                async with self._connection(pool) as connection:
                    if self._prepared:
                        return await body(_Transaction(self, connection))
                    # PgBouncer may change the server between two statements, but not within a transaction.
                    return await self._transaction(connection, body)
            except _Again:
                if last:
                    raise
        raise AssertionError("not reached")


def _gone(connection: Any) -> bool:
    """Is it lost? The pool takes a lost one away from us, after which it answers no question at all."""
    try:
        return bool(connection.is_closed())
    except Exception:
        return True


def _cut(connection: Any) -> None:
    """Drop a connection at once."""
    with contextlib.suppress(Exception):  # it is gone already
        connection.terminate()


async def _plain_types(connection: Any) -> None:
    """Whole numbers and truth values as SQLite gives them: sum() of a BIGINT is NUMERIC, a comparison is BOOLEAN."""
    for name, encode, decode in (("numeric", str, _number), ("bool", _letter, _digit)):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encode, decoder=decode, format="text")


async def _nothing(connection: Any) -> None:
    """Bodies leave nothing behind in a session: no settings, no locks, no cursors."""


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _letter(value: object) -> str:
    return "t" if value else "f"


def _digit(text: str) -> int:
    return int(text == "t")
