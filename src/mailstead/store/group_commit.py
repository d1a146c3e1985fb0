"""Group commit: many transactions in one commit of SQLite, so that one fsync serves all of them.

Bodies run on the event loop, one after the other, inside one transaction; what they write goes into memory.  When one
fails, the batch is undone and the others run again, now each in a savepoint, as do the next batches: savepoints copy
every page they touch, a third of a transaction's time, and few transactions fail.  Only the commit, which waits for the
disk, is in a thread of its own; bodies that come meanwhile make the next batch.  (Bodies in the thread would hand the
interpreter lock to and fro at every statement: see decision 8.)
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol

import apsw

from mailstead.base.clock import Clock
from mailstead.base.errors import Unreachable
from mailstead.store.port import Transaction

Body = Callable[[Transaction], Awaitable[Any]]

BATCH = 128
"""The most transactions of one commit."""
GATHER = 0.001
"""Seconds that a batch waits for more, where the one before was of several: pages and an fsync are written once for all
(as PostgreSQL's ``commit_delay``)."""
SEVERAL = 4
BATCH_SECONDS = 0.005
"""No transaction joins a batch that has been running for longer: the loop has others to serve."""
CAREFUL = 32
"""Batches with savepoints after a body has failed: who fails all the time does not make the others run twice."""
BUSY_MS = 5000
"""How long another process may hold the write lock."""

# Not the statement's fault: the file, the disk or the lock. All of it may be better later.
AWAY = (
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


def away(error: BaseException | str) -> Unreachable:
    """What callers are told when the database cannot be used now."""
    return Unreachable(f"The database cannot be used now: {error or type(error).__name__}")


class Driver(Protocol):
    """A connection that drives bodies (``sqlite.py``)."""

    connection: apsw.Connection
    news: bool
    """Was more than mail written since this was last set?"""

    def drive(self, body: Body) -> Any:
        """Run a body to its end, which it must reach without waiting."""
        ...


class _Job:
    __slots__ = ("body", "error", "future", "result")

    def __init__(self, body: Body, future: asyncio.Future[Any]) -> None:
        self.body = body
        self.future = future
        self.result: Any = None
        self.error: Exception | None = None


class GroupCommit:
    """The one writer of a database file."""

    def __init__(self, writer: Driver, clock: Clock) -> None:
        self.commits = 0
        """How many commits there were: fewer than transactions, when many came at once."""
        self.edition = 0
        """See ``Database.edition``."""
        self._writer = writer
        self._clock = clock
        self._jobs: deque[_Job] = deque()
        self._busy = False
        """Is the connection in the thread's hands?"""
        self._called: asyncio.AbstractEventLoop | None = None
        """The loop that will begin the next batch."""
        self._last = 0
        """How many transactions the last batch had."""
        self._careful = 0
        """So many more batches have savepoints."""
        self._idle: list[asyncio.Future[None]] = []
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        writer.connection.set_busy_timeout(0)
        # A daemon, so that a process that forgot to close us ends.
        self._thread = threading.Thread(target=self._apart, name="mailstead-commit", daemon=True)
        self._thread.start()

    async def run(self, body: Body) -> Any:
        """Run a body in the next batch; its result, once that is on the disk.

        Raises:
            Unreachable: nothing of the batch happened.
        """
        loop = asyncio.get_running_loop()
        job = _Job(body, loop.create_future())
        self._jobs.append(job)
        if not self._busy:
            self._soon(loop)
        return await job.future

    async def settled(self) -> None:
        """Wait until all that was handed in has ended."""
        while self._jobs or self._busy:
            waiter = asyncio.get_running_loop().create_future()
            self._idle.append(waiter)
            await waiter

    def stop(self) -> None:
        """End the thread, when it is done with what it has; nothing may be handed in any more."""
        self._work.put(None)
        self._thread.join()

    # -- on the loop

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a batch, or gather for a moment where many come at a time."""
        if self._called is loop:
            return
        self._called = loop
        if self._last >= SEVERAL:
            loop.call_later(GATHER, self._begin, loop)
        else:
            loop.call_soon(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open a transaction; if another process has the lock, let the thread wait for it."""
        self._called = None
        if self._busy or not self._jobs:
            return
        try:
            self._writer.connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            self._hand_over(partial(self._wait_for_lock, loop))
        except apsw.Error as error:
            self._refuse_all(away(error))
            self._go_on(loop)
        else:
            self._bodies(loop)

    def _hand_over(self, work: Callable[[], None]) -> None:
        self._busy = True
        self._work.put(work)

    def _bodies(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what waits, up to a batch; then the thread commits."""
        jobs: list[_Job] = []
        waiting, connection, seconds = self._jobs, self._writer.connection, self._clock.monotonic
        end = seconds() + BATCH_SECONDS
        while waiting and len(jobs) < BATCH and connection.in_transaction:
            job = waiting.popleft()
            if job.future.cancelled():
                continue
            jobs.append(job)
            if self._careful:
                self._in_savepoint(job)
            elif not self._ended(job):
                self._again(jobs, loop)
                return
            if seconds() >= end:
                break
        self._careful = max(0, self._careful - 1)
        self._last = len(jobs)
        self._hand_over(partial(self._commit, jobs, loop))

    def _ended(self, job: _Job) -> bool:
        """Run a body. False: it failed, and what it wrote has to be undone."""
        try:
            job.result = self._writer.drive(job.body)
        except Exception as error:
            job.error = away(error) if isinstance(error, AWAY) else error
        except BaseException as error:
            job.error = RuntimeError(f"the body of a transaction raised {error!r}")
        return job.error is None

    def _again(self, jobs: list[_Job], loop: asyncio.AbstractEventLoop) -> None:
        """The last of these bodies failed, so that all are undone: the others run again, that one only hears of it."""
        self._roll_back()
        self._careful = CAREFUL
        self._jobs.extendleft(reversed(jobs))
        self._begin(loop)

    def _in_savepoint(self, job: _Job) -> None:
        """Run a body so that it can be undone alone."""
        if job.error is not None:
            return  # it had its turn
        execute = self._writer.connection.execute
        try:
            execute("SAVEPOINT body")
            if self._ended(job):
                execute("RELEASE body")
        except apsw.Error as error:
            job.error = away(error)
        if job.error is not None:
            self._undo()

    def _undo(self) -> None:
        connection = self._writer.connection
        if not connection.in_transaction:
            return  # a full disk or an I/O error took the whole transaction with it
        try:
            connection.execute("ROLLBACK TO body; RELEASE body")
        except apsw.Error:
            self._roll_back()

    def _roll_back(self) -> None:
        if self._writer.connection.in_transaction:
            with contextlib.suppress(apsw.Error):
                self._writer.connection.execute("ROLLBACK")

    def _committed(self, jobs: list[_Job], undone: Unreachable | None, loop: asyncio.AbstractEventLoop) -> None:
        self._busy = False
        if self._writer.news:
            self._writer.news = False
            self.edition += 1
        for job in jobs:
            _tell(job, undone)
        self._go_on(loop)

    def _locked(self, error: Unreachable | None, loop: asyncio.AbstractEventLoop) -> None:
        """The thread has the lock for us, or could not get it: those who wait behind would only wait as long again."""
        self._busy = False
        if error is None:
            self._bodies(loop)
        else:
            self._refuse_all(error)
            self._go_on(loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._jobs:
            self._soon(loop)
        elif not self._busy:
            idle, self._idle = self._idle, []
            for waiter in idle:
                if not waiter.done():
                    waiter.set_result(None)

    def _refuse_all(self, error: Unreachable) -> None:
        jobs, self._jobs = self._jobs, deque()
        for job in jobs:
            _tell(job, error)

    # -- in the thread

    def _apart(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _wait_for_lock(self, loop: asyncio.AbstractEventLoop) -> None:
        connection = self._writer.connection
        failed: Unreachable | None = None
        try:
            connection.set_busy_timeout(BUSY_MS)
            connection.execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            failed = away(error)
        finally:
            connection.set_busy_timeout(0)
        self._call(loop, self._locked, failed, loop)

    def _commit(self, jobs: list[_Job], loop: asyncio.AbstractEventLoop) -> None:
        self._call(loop, self._committed, jobs, self._commit_now(), loop)

    def _commit_now(self) -> Unreachable | None:
        """Commit the batch; what went wrong if it is undone as a whole."""
        connection = self._writer.connection
        if not connection.in_transaction:
            return away("the transaction was lost")
        try:
            connection.execute("COMMIT")
        except apsw.Error as error:
            self._roll_back()
            return away(error)
        self.commits += 1
        return None

    def _call(self, loop: asyncio.AbstractEventLoop, then: Callable[..., None], *args: Any) -> None:
        try:
            loop.call_soon_threadsafe(then, *args)
        except RuntimeError:  # the loop is closed, and nobody there waits any more
            self._roll_back()
            self._busy = False
            self._jobs = deque(job for job in self._jobs if not job.future.get_loop().is_closed())
            for job in list(self._jobs)[:1]:
                other = job.future.get_loop()
                other.call_soon_threadsafe(self._go_on, other)


def _tell(job: _Job, undone: Unreachable | None) -> None:
    if job.future.done():
        return
    error = job.error if undone is None or isinstance(job.error, Unreachable) else undone
    if error is None:
        job.future.set_result(job.result)
    else:
        job.future.set_exception(error)
