"""SQLite: one writer thread that puts many transactions into one commit; readers beside it.

A body runs in the writer thread inside a savepoint of the batch's transaction; it is driven by hand, so it can await
nothing but its transaction. What ``run`` returned from is on the disk (WAL, synchronous=FULL).
Careful: one server process a file. Commands may open the same file beside it: the write lock is waited for.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import re
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NoReturn, TypeVar

import apsw

from mailstead.base.clock import Clock
from mailstead.base.errors import Unreachable
from mailstead.store.port import Duplicate, Row, Transaction

T = TypeVar("T")
Body = Callable[[Transaction], Awaitable[Any]]

BATCH = 256
"""The most transactions of one commit."""
BATCH_SECONDS = 0.02
"""No transaction joins a batch that has been running for longer."""
BUSY_MS = 5000
"""How long another process may hold the write lock."""
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

# Not the statement's fault: the file, the disk or the lock. All of it may be better later.
_AWAY = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.NotADBError,
    apsw.CorruptError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.NoMemError,
    apsw.InterruptError,
    apsw.ConnectionClosedError,
    apsw.CursorClosedError,
)
_TAKEN = frozenset((apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID))


class _Texts(dict[str, str]):
    """Statements as SQLite wants them: ``?1`` for ``$1`` (its own ``$1`` counts by first appearance)."""

    _parameter = re.compile(r"\$(\d+)")

    def __missing__(self, sql: str) -> str:
        if len(self) >= 4 * _STATEMENTS:
            self.clear()
        text = self[sql] = self._parameter.sub(r"?\1", sql)
        return text


def _away(error: BaseException) -> Unreachable:
    return Unreachable(f"The database cannot be used now: {error or type(error).__name__}")


class _Transaction:
    """A connection as a body sees it; used by one body at a time."""

    __slots__ = ("_changes", "_clock", "_cursor", "_execute", "_texts", "_writes", "connection", "failed")

    kind = "sqlite"

    def __init__(self, connection: apsw.Connection, clock: Clock, *, writes: bool) -> None:
        self.connection = connection
        self.failed = False
        self._cursor = connection.cursor()
        self._execute = self._cursor.execute
        self._changes = connection.changes
        self._texts = _Texts()
        self._clock = clock
        self._writes = writes

    def now(self) -> int:
        return self._clock.now()

    # fetchall, always: a statement left half read would keep its snapshot open.
    async def rows(self, sql: str, *args: Any) -> list[Row]:
        try:
            return self._execute(self._texts[sql], args).fetchall()
        except apsw.Error as error:
            self._fail(error)

    async def row(self, sql: str, *args: Any) -> Row | None:
        try:
            rows = self._execute(self._texts[sql], args).fetchall()
        except apsw.Error as error:
            self._fail(error)
        return rows[0] if rows else None

    async def value(self, sql: str, *args: Any) -> Any:
        try:
            rows = self._execute(self._texts[sql], args).fetchall()
        except apsw.Error as error:
            self._fail(error)
        return rows[0][0] if rows else None

    async def run(self, sql: str, *args: Any) -> int:
        try:
            self._execute(self._texts[sql], args).fetchall()
        except apsw.Error as error:
            self._fail(error)
        return self._changes()

    async def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._cursor.executemany(self._texts[sql], rows).fetchall()
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
        if isinstance(error, _AWAY) and (self._writes or not isinstance(error, apsw.ReadOnlyError)):
            raise _away(error) from error
        raise error


class _Job:
    __slots__ = ("body", "error", "future", "loop", "result")

    def __init__(self, body: Body, loop: asyncio.AbstractEventLoop) -> None:
        self.body = body
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None


class SqliteDatabase:
    """A database in one file. Made at once; ``migrate`` gives it its tables.

    Raises:
        Unreachable: the file cannot be opened or is not a database.
    """

    kind = "sqlite"

    def __init__(self, path: str | os.PathLike[str], clock: Clock) -> None:
        self.path = Path(path)
        self.commits = 0
        """How many commits there were: fewer than transactions, when many came at once."""
        self._clock = clock
        self._failing = 0
        self._closed = False
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
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
        # A daemon, so that a process that forgot to close us ends; atexit lets it finish what it has first.
        self._thread = threading.Thread(target=self._write, name="mailstead-writer", daemon=True)
        self._thread.start()
        atexit.register(self._stop)

    # -- what everybody calls

    async def run(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """See ``Database.run``. A cancelled wait leaves open whether the body happened."""
        if self._failing:
            self._failing -= 1
            raise Unreachable("The database cannot be used now: a fault was asked for")
        if self._closed:
            raise Unreachable("The database is closed")
        job = _Job(body, asyncio.get_running_loop())
        self._queue.put(job)
        value: T = await job.future
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
        await asyncio.get_running_loop().run_in_executor(None, self._stop)

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
        self._queue.put(None)
        self._thread.join()
        self._refuse_waiting("the database is closed")
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
                raise _away(error) from error
            self._mine.transaction = transaction
            with self._scan_lock:
                self._scanning.append(transaction)
        return transaction.drive(body)

    # -- the writer thread

    def _write(self) -> None:
        take = self._queue.get
        while (job := take()) is not None:
            if not self._batch(job):
                return

    def _batch(self, first: _Job) -> bool:
        """One commit: ``first`` and those behind it. False when asked to end."""
        try:
            self._writer.connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            # Those who wait behind would only wait as long again.
            _settle([first], _away(error))
            return self._refuse_waiting(str(error))
        jobs, goes_on = self._bodies(first)
        _settle(jobs, self._commit())
        return goes_on

    def _bodies(self, first: _Job) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        seconds, connection, take = self._clock.monotonic, self._writer.connection, self._queue.get_nowait
        end = seconds() + BATCH_SECONDS
        job: _Job | None = first
        while job is not None:
            if not job.future.cancelled():
                self._body(job)
                jobs.append(job)
            if len(jobs) >= BATCH or not connection.in_transaction or seconds() >= end:
                return jobs, True
            try:
                job = take()
            except Empty:
                return jobs, True
        return jobs, False

    def _body(self, job: _Job) -> None:
        execute = self._writer.connection.execute
        try:
            execute("SAVEPOINT body")
            job.result = self._writer.drive(job.body)
            execute("RELEASE body")
        except Exception as error:
            job.error = _away(error) if isinstance(error, _AWAY) else error
            self._undo()
        except BaseException as error:
            job.error = RuntimeError(f"the body of a transaction raised {error!r}")
            self._undo()

    def _undo(self) -> None:
        connection = self._writer.connection
        if not connection.in_transaction:
            return  # a full disk or an I/O error took the whole transaction with it
        try:
            connection.execute("ROLLBACK TO body; RELEASE body")
        except apsw.Error:
            self._roll_back()

    def _commit(self) -> Unreachable | None:
        """Commit the batch; what went wrong if it is undone as a whole."""
        connection = self._writer.connection
        if not connection.in_transaction:
            return Unreachable("The database cannot be used now: the transaction was lost")
        try:
            connection.execute("COMMIT")
        except apsw.Error as error:
            self._roll_back()
            return _away(error)
        self.commits += 1
        return None

    def _roll_back(self) -> None:
        if self._writer.connection.in_transaction:
            with contextlib.suppress(apsw.Error):
                self._writer.connection.execute("ROLLBACK")

    def _refuse_waiting(self, why: str) -> bool:
        """Tell all who wait that it cannot be done now. False when asked to end among them."""
        waiting: list[_Job] = []
        goes_on = True
        with contextlib.suppress(Empty):
            while True:
                if (job := self._queue.get_nowait()) is None:
                    goes_on = False
                else:
                    waiting.append(job)
        _settle(waiting, Unreachable(f"The database cannot be used now: {why}"))
        return goes_on


def _settle(jobs: list[_Job], undone: Unreachable | None) -> None:
    """Tell each job's loop how it ended, all jobs of a loop in one call."""
    if undone is not None:
        for job in jobs:
            if not isinstance(job.error, Unreachable):
                job.error = Unreachable(undone.message)
    loops = {job.loop for job in jobs}
    for loop in loops:
        mine = jobs if len(loops) == 1 else [job for job in jobs if job.loop is loop]
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_tell, mine)


def _tell(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)


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
