"""SMTP out: one connection to a mail server: the client engine, a socket, and a limit for every wait.

A plain Protocol, without streams and tasks: a message costs its callbacks. Careful: callbacks run inside
``data_received``; they must not raise.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from mailstead.base.errors import MailsteadError
from mailstead.net.tls import describe
from mailstead.proto.errors import RemoteProtocolError
from mailstead.proto.smtp.client import (
    ClientEngine,
    Closed,
    Ready,
    Refused,
    TlsReady,
)
from mailstead.proto.smtp.reply import Reply, harmless
from mailstead.proto.smtp.transaction import Transaction, TransactionDone

SLICE = 128 << 10  # so much of a long message is handed to the socket at once
HIGH_WATER = 64 << 10

INTERNAL = Reply(451, "Internal failure, see the log", "4.3.0")

_TLS: Mapping[str, Literal["never", "opportunistic", "required"]] = {
    "none": "never",
    "implicit": "never",
    "opportunistic": "opportunistic",
    "require": "required",
}
_WAITING = {
    "greeting": "waiting for the greeting",
    "ehlo": "waiting for the reply to EHLO",
    "starttls": "starting TLS",
    "auth": "waiting for the reply to AUTH",
    "mail": "waiting for the reply to MAIL FROM",
    "rcpt": "waiting for the reply to RCPT TO",
    "data": "waiting for the reply to DATA",
    "content": "sending message content",
    "dot": "waiting for the reply to the end of the message",
    "rset": "waiting for the reply to RSET",
    "quit": "waiting for the reply to QUIT",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait, as in RFC 5321 §4.5.3.2, where shorter ones do."""

    connect: float = 30
    greeting: float = 60
    ehlo: float = 60
    starttls: float = 60
    auth: float = 60
    mail: float = 120
    rcpt: float = 120
    data: float = 120
    content: float = 180
    """For each block of the message to leave."""
    dot: float = 600
    rset: float = 60
    quit: float = 5
    transaction: float = 3600
    """For all of a transaction: who takes a byte a minute does not keep us for days."""

    @classmethod
    def of(cls, connect: float, command: float, final: float) -> Timeouts:
        """From the three that an operator sets."""
        longest = dict.fromkeys(("greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "rset"), command)
        return cls(connect=connect, dot=final, **longest)


@dataclass(frozen=True, slots=True)
class Place:
    """A mail server's address; ``mx1.example.net [192.0.2.7]:25``."""

    name: str
    address: str
    port: int

    def __str__(self) -> str:
        name = "" if self.name == self.address else f"{self.name} "
        return f"{name}[{self.address}]:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """How we introduce ourselves, and what we insist on."""

    hostname: str
    """For EHLO."""
    tls: str = "opportunistic"
    """``opportunistic``, ``require``, ``implicit`` or ``none``."""
    context: ssl.SSLContext | None = None
    """Needed unless ``tls`` is ``none``."""
    username: str = ""
    password: str = field(default="", repr=False)
    source_ip: str = ""
    """Leave from this address; empty: the system chooses."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction."""

    replies: Mapping[str, Reply]
    """A reply for every recipient; where the connection gave none, one of ours (4xx)."""
    untouched: bool = False
    """The connection ended before the server heard any of the content: another connection may do better."""


class ConnectFailed(MailsteadError):
    """No session. ``reached``: the server spoke; ``broken_tls``: and starting TLS failed, in the clear it may work."""

    def __init__(self, stage: str, reply: Reply, *, host: str = "", reached: bool = False) -> None:
        super().__init__(str(reply))
        self.host = host
        self.stage = stage
        self.reply = reply
        self.reached = reached
        self.broken_tls = stage == "starttls" and reached


async def connect(place: Place, login: Login, timeouts: Timeouts) -> SmtpConnection:
    """Connect, greet, start TLS and log in.

    Raises:
        ConnectFailed: why not; its reply is 4xx or what the server said.
    """
    loop = asyncio.get_running_loop()
    connection = SmtpConnection(place, login, timeouts, loop)
    try:
        await _open(loop, connection, login)
        await connection.introduce()
    except BaseException:
        connection.abort()
        raise
    return connection


async def _open(loop: asyncio.AbstractEventLoop, connection: SmtpConnection, login: Login) -> None:
    implicit = login.tls == "implicit"
    place = connection.place
    try:
        async with asyncio.timeout(connection.timeouts.connect):
            await loop.create_connection(
                lambda: connection,
                place.address,
                place.port,
                ssl=login.context if implicit else None,
                server_hostname=place.name if implicit else None,
                local_addr=(login.source_ip, 0) if login.source_ip else None,
            )
    except TimeoutError:
        raise connection.failure("connect", _unable(place, "Connection timed out")) from None
    except ssl.SSLError as error:
        raise connection.failure("starttls", _tls_failed(place, error)) from None
    except (OSError, UnicodeError) as error:
        raise connection.failure("connect", _unable(place, _said(error))) from None


class SmtpConnection(asyncio.Protocol):
    """A session with one server. Made by ``connect``."""

    __slots__ = (
        "_backlog",
        "_busy",
        "_context",
        "_deadline",
        "_engine",
        "_loop",
        "_offset",
        "_overall",
        "_paused",
        "_step",
        "_timer",
        "_transport",
        "_waiting",
        "closed",
        "gone",
        "on_close",
        "place",
        "remote_ip",
        "served",
        "source_ip",
        "timeouts",
        "tls",
    )

    def __init__(self, place: Place, login: Login, timeouts: Timeouts, loop: asyncio.AbstractEventLoop) -> None:
        self.place = place
        self.timeouts = timeouts
        self.remote_ip = place.address
        self.source_ip = ""
        self.tls = ""
        """``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty in clear."""
        self.served = 0
        """Transactions that ended here."""
        self.closed = False
        self.on_close: Callable[[], None] | None = None
        """Called once, when nothing can be sent here any more."""
        self._context = login.context
        self._loop = loop
        self._engine = ClientEngine(
            login.hostname,
            tls=_TLS[login.tls],
            secure=login.tls == "implicit",
            username=login.username,
            password=login.password,
            auth_in_clear=login.tls != "require",
        )
        self._transport: asyncio.Transport | None = None
        self.gone: asyncio.Future[None] = loop.create_future()
        """Done when the socket is free."""
        self._step: asyncio.Future[bool] | None = loop.create_future()
        self._waiting: deque[Callable[[Outcome], None]] = deque()
        self._busy = False
        self._paused = False
        self._backlog: bytes | None = None
        self._offset = 0
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._overall = 0.0

    # -- what the owner calls

    async def introduce(self) -> None:
        """From the greeting to where transactions can be sent.

        Raises:
            ConnectFailed: why that does not come to pass.
        """
        while await self._stepped():
            await self._shake_hands()

    @property
    def idle(self) -> bool:
        """Is nothing on its way?"""
        return not self._waiting

    @property
    def can_take(self) -> bool:
        """May ``send`` be called? One transaction may run and, where the server pipelines, one wait behind it."""
        if self.closed or not self._engine.can_send:
            return False
        return not self._waiting or (len(self._waiting) == 1 and "PIPELINING" in self._engine.extensions)

    def send(self, transaction: Transaction, done: Callable[[Outcome], None]) -> None:
        """Send a transaction; ``done`` hears what became of it, always and once."""
        self._engine.send(transaction)
        self._waiting.append(done)
        if len(self._waiting) == 1:
            self._overall = self._loop.time() + self.timeouts.transaction
        if not self._busy:
            self._flush()
            self._watch()

    def quit(self) -> None:
        """End politely; only when idle."""
        if self.closed:
            return
        self._end(farewell=True)

    def abort(self) -> None:
        """End at once, also where QUIT was said and the server does not close."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def failure(self, stage: str, reply: Reply, *, reached: bool = False) -> ConnectFailed:
        """Why there is no session."""
        return ConnectFailed(stage, reply, host=str(self.place), reached=reached)

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport to isinstance.
        self._use(cast("asyncio.Transport", transport))
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        self.source_ip = local[0] if local else ""
        self.remote_ip = remote[0] if remote else self.place.address
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self._busy = True
        try:
            self._engine.receive(data)
            self._take_events()
        except RemoteProtocolError as error:
            self._fail(Reply(451, f"Protocol error from {self.place}: {harmless(str(error))}", "4.5.0"))
        except Exception:
            _log.exception("smtp.failed place=%s", self.place)
            self._fail(INTERNAL)
        finally:
            self._busy = False
        if not self.closed:
            self._flush()
            if b"\n" in data:  # half a line is no progress
                self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        if not self.closed:
            self._fail(Reply(421, f"Connection lost (while {_doing(self._engine.stage)})", "4.4.2"))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._backlog is not None and not self.closed:
            self._drain()
            self._watch()

    # -- inside

    def _use(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._transport = transport
        self.tls = describe(transport.get_extra_info("ssl_object"))

    async def _stepped(self) -> bool:
        """Wait for the next step of the introduction; is it a handshake?"""
        assert self._step
        return await self._step

    async def _shake_hands(self) -> None:
        assert self._transport
        assert self._context
        self._step = None
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                self._context,
                server_hostname=self.place.name,
                ssl_handshake_timeout=self.timeouts.starttls,
            )
        except (OSError, UnicodeError) as error:
            raise self.failure("starttls", _tls_failed(self.place, error), reached=True) from None
        if transport is None or self.closed:
            lost = Reply(421, f"Connection lost (while {_doing('starttls')})", "4.4.2")
            raise self.failure("starttls", lost, reached=True)
        self._step = self._loop.create_future()
        self._use(transport)
        self._engine.tls_started()
        self._flush()
        self._watch()

    def _take_events(self) -> None:
        while not self.closed and (event := self._engine.next_event()) is not None:
            if isinstance(event, TransactionDone):
                self._done(event)
            elif isinstance(event, Ready | TlsReady):
                self._resolve(tls=isinstance(event, TlsReady))
            elif isinstance(event, Refused):
                self._refused(event)
            else:
                self._end()

    def _done(self, event: TransactionDone) -> None:
        self.served += not event.closing
        done = self._waiting.popleft()
        if self._waiting:
            self._overall = self._loop.time() + self.timeouts.transaction
        if event.closing and not self._waiting:
            # The owner must not send again here: it hears of the end before it hears of the outcome.
            self._close_transport()
        done(Outcome(event.replies, untouched=event.closing and all(r.code == 421 for r in event.replies.values())))

    def _resolve(self, *, tls: bool) -> None:
        if self._step is not None and not self._step.done():
            self._step.set_result(tls)

    def _refused(self, event: Refused) -> None:
        if self._step is not None and not self._step.done():
            self._step.set_exception(self.failure(event.stage, event.reply, reached=True))
        self._end(farewell=not event.closing)

    def _fail(self, reply: Reply) -> None:
        """The session is over, and not because we wanted it."""
        stage = self._engine.stage
        lost = self._engine.connection_lost()
        if self._step is not None and not self._step.done():
            self._step.set_exception(self.failure(stage, reply, reached=stage != "greeting"))
        self._close_transport()
        self._tell(lost, reply, untouched=stage in ("mail", "rcpt", "data", "rset", "idle"))

    def _tell(self, lost: Closed, reply: Reply, *, untouched: bool) -> None:
        unsent = len(lost.unsent)
        while self._waiting:
            done = self._waiting.popleft()
            if len(self._waiting) >= unsent:  # the one that was under way
                done(Outcome({**lost.replies, **dict.fromkeys(lost.in_flight, reply)}, untouched=untouched))
            else:
                transaction = lost.unsent[unsent - len(self._waiting) - 1]
                done(Outcome(dict.fromkeys(transaction.recipients, reply), untouched=True))

    def _end(self, *, farewell: bool = False) -> None:
        """Our own end. Whoever still waits (there should be none) hears of it."""
        if self.closed:
            return
        lost = self._engine.connection_lost()
        self._close_transport(farewell=farewell)
        self._tell(lost, Reply(421, "Connection closed by us", "4.4.2"), untouched=True)

    def _close_transport(self, *, farewell: bool = False) -> None:
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is None:
            self.gone.set_result(None)
        elif farewell and not self._paused and self._backlog is None:
            # Nobody waits for the reply; the server closes when it has given it.
            self._transport.write(b"QUIT\r\n")
            self._loop.call_later(self.timeouts.quit, self._transport.abort)
        else:
            self._transport.abort()
        self._backlog = None
        if self.on_close is not None:
            self.on_close()

    # -- writing

    def _flush(self) -> None:
        data = self._engine.output()
        if not data:
            return
        if self._backlog is not None:  # the rest of a message is still here
            self._backlog = self._backlog[self._offset :] + data
            self._offset = 0
        elif self._paused or len(data) > SLICE:
            self._backlog, self._offset = data, 0
        else:
            assert self._transport
            self._transport.write(data)
            self._engine.flushed()
            return
        self._drain()

    def _drain(self) -> None:
        """Hand over as much as the socket takes: a long message is not copied into its buffer at once."""
        assert self._transport
        while self._backlog is not None and not self._paused and not self.closed:
            end = self._offset + SLICE
            self._transport.write(memoryview(self._backlog)[self._offset : end])
            if self._transport.is_closing():  # it swallows what comes now, and nothing of it has left
                return
            self._offset = end
            if end >= len(self._backlog):
                self._backlog = None
                self._engine.flushed()

    # -- time

    def _watch(self) -> None:
        """There was progress: from now on the next step has its time."""
        if self.closed:
            return
        limit = getattr(self.timeouts, self._engine.stage, None)
        if limit is None:
            self._deadline = 0.0
            return
        deadline = self._loop.time() + limit
        self._deadline = min(deadline, self._overall) if self._waiting else deadline
        # One timer that looks again later is cheaper than a new one for every reply.
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._late)

    def _late(self) -> None:
        self._timer = None
        if self.closed or not self._deadline:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._late)
            return
        self._fail(Reply(421, f"Connection timed out (while {_doing(self._engine.stage)})", "4.4.2"))


def _doing(stage: str) -> str:
    return _WAITING.get(stage, "idle")


def _said(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else harmless(str(error)) or "failed"


def _unable(place: Place, why: str) -> Reply:
    return Reply(421, f"Unable to connect to {place}: {why}", "4.4.1")


def _tls_failed(place: Place, error: Exception) -> Reply:
    why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or str(error) or "connection lost"
    return Reply(454, f"TLS handshake with {place} failed: {harmless(str(why))}", "4.7.5")
