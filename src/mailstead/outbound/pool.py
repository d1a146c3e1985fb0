"""Pool: the connections to one list of hosts, and the parcels that wait for them.

Parcels wait in line; a dead site is asked once, and everybody who waits for it hears the same answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from mailstead.net.smtp import INTERNAL, ConnectFailed, Outcome, SmtpConnection
from mailstead.outbound.agents import Attempt, Parcel, Route
from mailstead.outbound.pacing import Pace, PacingSettings
from mailstead.proto.smtp.reply import Reply
from mailstead.proto.smtp.transaction import Transaction

OPENING = 300.0  # seconds, for all places of a connection together
PATIENCE = 900.0  # seconds in line
REST = 5.0  # seconds between a failed connection and the next try, where others still work
AGAIN = 3  # times that a parcel may change connections before it counts as an answer

CLOSING = Reply(421, "Shutting down", "4.3.2")
TOO_LATE = Reply(421, "Waited too long for a connection", "4.4.5")

_log = logging.getLogger(__name__)


class Opener(Protocol):
    """Who opens connections for pools (``smtp_agent.py``)."""

    @property
    def pacing(self) -> PacingSettings: ...

    @property
    def closing(self) -> bool:
        """Is nothing more to be begun?"""
        ...

    async def open(self, route: Route) -> SmtpConnection:
        """A session with the first host that wants one.

        Raises:
            ConnectFailed: what the last one came to.
        """
        ...

    def watch(self, connection: SmtpConnection) -> None:
        """Know of it until its socket is free."""
        ...

    def drop(self, pool: Pool) -> None:
        """Nobody needs this pool any more."""
        ...


class _Job:
    """A parcel in line."""

    __slots__ = ("again", "future", "parcel", "since")

    def __init__(self, parcel: Parcel, future: asyncio.Future[Attempt], since: float) -> None:
        self.parcel = parcel
        self.future = future
        self.since = since
        self.again = 0

    def answer(self, attempt: Attempt) -> None:
        if not self.future.done():
            self.future.set_result(attempt)

    def refuse(self, reply: Reply, *, host: str = "", reached: bool = True) -> None:
        self.answer(Attempt(dict.fromkeys(self.parcel.recipients, reply), host=host, reached=reached))


class _Line:
    """A connection of a pool."""

    __slots__ = ("connection", "given", "host", "rests_since")

    def __init__(self, connection: SmtpConnection, now: float) -> None:
        self.connection = connection
        self.host = str(connection.place)
        self.given = 0
        """Parcels that were put on it."""
        self.rests_since = now


class Pool:
    """The connections to one list of hosts, and the parcels that wait for them."""

    def __init__(self, opener: Opener, key: object, pace: Pace) -> None:
        self.key = key
        self.route = Route("smtp", "")
        self.lines: set[_Line] = set()
        self._opener = opener
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._most = opener.pacing.connection_messages
        self._jobs: deque[_Job] = deque()
        self._resting: list[_Line] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._no_opening_before = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._waker: asyncio.TimerHandle | None = None

    def put(self, parcel: Parcel) -> asyncio.Future[Attempt]:
        """Put a parcel in line."""
        job = _Job(parcel, self._loop.create_future(), self._loop.time())
        self._jobs.append(job)
        self._serve()
        self._sweep_later()
        return job.future

    # -- who goes where

    def _serve(self) -> None:
        """Give work to connections that rest, open more, and then queue behind what is under way."""
        jobs = self._jobs
        while jobs and self._resting and self._may_send():
            self._give(self._resting.pop(), jobs.popleft())
        if jobs and not self._grow() and self.lines:
            for line in list(self.lines):
                while jobs and not line.connection.idle and self._room(line) and self._may_send():
                    self._give(line, jobs.popleft())

    def _room(self, line: _Line) -> bool:
        return line.given < self._most and line.connection.can_take

    def _may_send(self) -> bool:
        wait = self._pace.take()
        if wait and self._waker is None:
            self._waker = self._loop.call_later(wait, self._wake)
        return not wait

    def _wake(self) -> None:
        self._waker = None
        self._serve()

    def _grow(self) -> bool:
        """Open connections, one for each parcel in line. Is one on its way, so that waiting is better than queueing?"""
        while len(self._opening) < len(self._jobs) and self._pace.may_open:
            if self._opener.closing or self._loop.time() < self._no_opening_before:
                break
            if self._opening and not self.lines:
                break  # a site that nobody knows yet is asked once
            self._pace.open += 1
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        return bool(self._opening)

    def _give(self, line: _Line, job: _Job) -> None:
        if job.future.done():  # its owner does not wait any more
            if line.connection.idle:
                self._rest(line)
            return
        line.given += 1
        first = line.given == 1
        parcel, connection = job.parcel, line.connection
        try:
            connection.send(
                Transaction(
                    parcel.sender,
                    parcel.recipients,
                    parcel.pieces(connection.source_ip),
                    parcel.eight_bit,
                    parcel.utf8,
                ),
                lambda outcome: self._done(line, job, outcome, first=first),
            )
        except Exception:
            _log.exception("%s smtp.not_sent host=%s", parcel.message, line.host)
            job.refuse(INTERNAL)
            connection.abort()

    def _done(self, line: _Line, job: _Job, outcome: Outcome, *, first: bool) -> None:
        if outcome.untouched and not first and job.again < AGAIN and not self._opener.closing:
            # The server ended an old connection; that says nothing about this parcel, but how many it takes on one.
            self._most = max(1, min(self._most, line.connection.served))
            job.again += 1
            self._jobs.appendleft(job)
        else:
            self._learn(outcome.replies.values())
            connection = line.connection
            job.answer(Attempt(outcome.replies, line.host, connection.remote_ip, connection.source_ip, connection.tls))
        if self._jobs and self._room(line) and not self._resting and self._may_send():
            self._give(line, self._jobs.popleft())
        elif line.connection.idle:
            self._rest(line)
        if self._jobs:
            self._serve()

    def _learn(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            if reply.code == 421:
                self._pace.refused()
                return
            if reply.positive:
                self._pace.succeeded()
                return

    def _rest(self, line: _Line) -> None:
        """Nothing to do for this connection."""
        if line.connection.closed or line not in self.lines:
            return
        if line.given >= self._most or self._opener.closing:
            line.connection.quit()
            return
        line.rests_since = self._loop.time()
        self._resting.append(line)
        self._sweep_later()

    # -- connections come and go

    async def _open(self) -> None:
        place, reply, reached = "", INTERNAL, False
        try:
            async with asyncio.timeout(OPENING):
                connection = await self._opener.open(self.route)
        except ConnectFailed as error:
            place, reply = _blame(error)
            reached = self._without_tls(error)
        except TimeoutError:
            reply = Reply(421, "Connection timed out (no host answered in time)", "4.4.1")
        except asyncio.CancelledError:
            self._pace.open -= 1
            raise
        except Exception:
            _log.exception("smtp.not_opened site=%s", self.route.site)
        else:
            self._opened(connection)
            return
        self._opening.discard(asyncio.current_task())
        self._pace.open -= 1
        self._not_opened(place, reply, reached=reached)

    def _without_tls(self, error: ConnectFailed) -> bool:
        """Did the server talk, and only not in TLS?  Mail that does not demand TLS gets there: its lane need not wait.

        To a smarthost that wants a password nothing gets there: all of it waits.
        """
        return self.route.tls == "require" and not self.route.username and error.broken_tls

    def _opened(self, connection: SmtpConnection) -> None:
        self._opening.discard(asyncio.current_task())
        line = _Line(connection, self._loop.time())
        self.lines.add(line)
        self._opener.watch(connection)
        connection.on_close = lambda: self._closed(line)
        if connection.closed:
            self._closed(line)
            return
        if self._opener.closing:
            connection.quit()
            return
        self._rest(line)
        self._serve()

    def _not_opened(self, host: str, reply: Reply, *, reached: bool) -> None:
        if not reached:
            self._pace.full()
        self._no_opening_before = self._loop.time() + REST
        if self._opening or self.lines:
            self._serve()
            return
        self._no_opening_before = 0.0
        jobs, self._jobs = self._jobs, deque()
        for job in jobs:
            job.refuse(reply, host=host, reached=reached)

    def _closed(self, line: _Line) -> None:
        if line not in self.lines:
            return
        self.lines.discard(line)
        self._pace.open -= 1
        if line in self._resting:
            self._resting.remove(line)
        # Outcomes of what was on it follow; whoever waits is served after them.
        self._loop.call_soon(self._serve)
        self._sweep_later()

    # -- tidying up

    def _sweep_later(self) -> None:
        if self._sweeper is None and not self._opener.closing:
            self._sweeper = self._loop.call_later(self._opener.pacing.idle, self._sweep)

    def _sweep(self) -> None:
        """Close what rested long enough, answer who waited too long, go when there is nothing left."""
        self._sweeper = None
        now = self._loop.time()
        ended = now - self._opener.pacing.idle * 0.99
        for line in [line for line in self._resting if line.rests_since <= ended]:
            line.connection.quit()
        while self._jobs and (self._jobs[0].since < now - PATIENCE or self._jobs[0].future.done()):
            self._jobs.popleft().refuse(TOO_LATE)
        self._serve()
        if self._jobs or self.lines or self._opening:
            self._sweep_later()
        else:
            self._opener.drop(self)

    def close(self) -> list[asyncio.Task[None]]:
        """Begin to end; the tasks that were connecting."""
        for handle in (self._sweeper, self._waker):
            if handle is not None:
                handle.cancel()
        jobs, self._jobs = self._jobs, deque()
        for job in jobs:
            job.refuse(CLOSING)
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        for line in list(self._resting):
            line.connection.quit()
        return opening


def _blame(error: ConnectFailed) -> tuple[str, Reply]:
    """Who refused, and what the parcels hear. A server that does not talk to us has refused none of them for good."""
    reply = error.reply
    if reply.permanent:
        reply = Reply(451, f"The server refused to talk to us at {error.stage}: {error.reply}", "4.7.0")
    return error.host, reply
