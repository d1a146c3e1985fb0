"""SQLite: one file, one writer that puts many transactions into one commit (``group_commit.py``), readers beside it.

A body is driven by hand, so it can await nothing but its transaction. What ``run`` returned from is on the disk (WAL,
synchronous=FULL).
Careful: one server process a file. Commands may open the same file beside it: the write lock is waited for.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import apsw

from mailstead.base.clock import Clock
from mailstead.base.errors import Unreachable
from mailstead.store import editions
from mailstead.store.group_commit import AWAY, BUSY_MS, GroupCommit, away
from mailstead.store.port import Duplicate, Row, Transaction

T = TypeVar("T")
Body = Callable[[Transaction], Awaitable[Any]]

SCANNERS = 2
_STATEMENTS = 500

_PRAGMAS = f"""
PRAGMA busy_timeout = {BUSY_MS};
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 4000;
PRAGMA mmap_size = 0;
PRAGMA foreign_keys = ON;
PRAGMA temp_store = MEMORY;
"""

_TAKEN = frozenset((apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID))


class _Texts(dict[str, tuple[str, bool]]):
    """Statements as SQLite wants them, ``?1`` for ``$1`` (its own ``$1`` counts by first appearance); is it news?"""

    _parameter = re.compile(r"\$(\d+)")

    def __missing__(self, sql: str) -> tuple[str, bool]:
        if len(self) >= 4 * _STATEMENTS:
            self.clear()
        found = self[sql] = (self._parameter.sub(r"?\1", sql), editions.makes_new(sql))
        return found


class _Transaction:
    """A connection as a body sees it; used by one body at a time."""

    __slots__ = ("_changes", "_clock", "_cursor", "_execute", "_texts", "_writes", "connection", "failed", "news")

    kind = "sqlite"

    def __init__(self, connection: apsw.Connection, clock: Clock, *, writes: bool) -> None:
        self.connection = connection
        self.failed = False
        self.news = False
        """Was more than mail written since this was last set?"""
        self._cursor = connection.cursor()
        self._execute = self._cursor.execute
        self._changes = connection.changes
        self._texts = _Texts()
        self._clock = clock
        self._writes = writes

    def now(self) -> int:
        return self._clock.now()

    async def rows(self, sql: str, *args: Any) -> list[Row]:
        return self._do(sql, args)

    async def row(self, sql: str, *args: Any) -> Row | None:
        rows = self._do(sql, args)
        return rows[0] if rows else None

    async def value(self, sql: str, *args: Any) -> Any:
        rows = self._do(sql, args)
        return rows[0][0] if rows else None

    async def run(self, sql: str, *args: Any) -> int:
        self._do(sql, args)
        return self._changes()

    async def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        text, news = self._texts[sql]
        self.news |= news
        try:
            self._cursor.executemany(text, rows).fetchall()
        except apsw.Error as error:
            self._fail(error)

    def _do(self, sql: str, args: Sequence[Any]) -> list[Row]:
        text, news = self._texts[sql]
        if news:
            self.news = True
        try:
            return self._execute(text, args).fetchall()  # always: half read, a statement would keep its snapshot open
        except apsw.Error as error:
            self._fail(error)

    def drive(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run a body to its end, which it must reach without waiting."""
        self.failed = False
        running: Any = body(self)
        try:
            running.send(None)
        except StopIteration as end:
            if self.failed:
                raise RuntimeError("the body of a transaction went on after a statement had failed") from None
            value: T = end.value
            return value
        running.close()
        raise RuntimeError("the body of a transaction awaited something other than its transaction")

    def _fail(self, error: apsw.Error) -> NoReturn:
        self.failed = True
        if isinstance(error, apsw.ConstraintError) and getattr(error, "extendedresult", 0) in _TAKEN:
            raise Duplicate(str(error)) from error
        if isinstance(error, AWAY) and (self._writes or not isinstance(error, apsw.ReadOnlyError)):
            raise away(error) from error
        raise error


class SqliteDatabase:
    """A database in one file. Made at once; ``migrate`` gives it its tables.

    Raises:
        Unreachable: the file cannot be opened or is not a database.
    """

    kind = "sqlite"

    def __init__(self, path: str | os.PathLike[str], clock: Clock) -> None:
        self.path = Path(path)
        self._clock = clock
        self._failing = 0
        self._closed = False
        self._read_lock = threading.RLock()
        self._scan_lock = threading.Lock()
        self._mine = threading.local()
        self._scanning: list[_Transaction] = []
        try:
            _create(self.path)
            self._writer = self._open(writes=True, cache_kib=12_000)
            self._reader = self._open(writes=False, cache_kib=4_000)
        except (apsw.Error, OSError) as error:
            raise Unreachable(f"The database {self.path} cannot be opened: {error}") from error
        self._scanners = ThreadPoolExecutor(SCANNERS, "mailstead-scan")
        self._writing = GroupCommit(self._writer, clock)
        atexit.register(self._stop)

    # -- what everybody calls

    async def run(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``Database.run``. A cancelled wait leaves open whether the body happened."""
        if self._failing:
            self._failing -= 1
            raise Unreachable("The database cannot be used now: a fault was asked for")
        if self._closed:
            raise Unreachable("The database is closed")
        value: T = await self._writing.run(body)
        return value

    async def read(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``Database.read``: here and now, in the calling thread; it sees the latest commit."""
        with self._read_lock:
            return self._reader.drive(body)

    async def scan(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``Database.scan``: in one of two reader threads."""
        if self._closed:
            raise Unreachable("The database is closed")
        return await asyncio.get_running_loop().run_in_executor(self._scanners, self._scan, body)

    async def close(self) -> None:
        """Let what was handed in end, then close the file."""
        if self._closed:
            return
        self._closed = True
        await self._writing.settled()
        await asyncio.get_running_loop().run_in_executor(None, self._stop)

    @property
    def commits(self) -> int:
        """How many commits there were: fewer than transactions, when many came at once."""
        return self._writing.commits

    @property
    def edition(self) -> int:
        """See ``Database.edition``."""
        return self._writing.edition

    def fail_next(self, count: int) -> None:
        """Make the next ``count`` transactions raise Unreachable (``/_mailstead/fault``)."""
        self._failing = count

    # -- opening and closing

    def _open(self, *, writes: bool, cache_kib: int) -> _Transaction:
        connection = apsw.Connection(
            os.fspath(self.path),
            flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOMUTEX,
            statementcachesize=_STATEMENTS,
        )
        # "x" is a name on PostgreSQL, never a text: here too.
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
        # A plan is made once: else a statement with a range is compiled again for each new value.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.execute(_PRAGMAS).fetchall()  # to the last statement
        connection.execute(f"PRAGMA cache_size = -{cache_kib}").fetchall()
        if not writes:
            connection.execute("PRAGMA query_only = ON").fetchall()
        return _Transaction(connection, self._clock, writes=writes)

    def _stop(self) -> None:
        self._closed = True
        atexit.unregister(self._stop)
        self._writing.stop()
        self._scanners.shutdown()
        with self._read_lock:
            for transaction in (*self._scanning, self._reader, self._writer):
                transaction.connection.close(True)

    # -- reader threads

    def _scan(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        transaction: _Transaction | None = getattr(self._mine, "transaction", None)
        if transaction is None:
            try:
                transaction = self._open(writes=False, cache_kib=4_000)
            except apsw.Error as error:
                raise away(error) from error
            self._mine.transaction = transaction
            with self._scan_lock:
                self._scanning.append(transaction)
        return transaction.drive(body)


def _create(path: Path) -> None:
    """Make an empty file that only we may read; its -wal and -shm get the same mode from SQLite."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
