"""SMTP shell: the socket around the server engine, the same for submission and for receiving.

Bytes go to the engine, its events to the visit (what the door decides for one session), replies back.  A decision that
is there at once is answered inline; one that takes time is a task, and the client's further commands wait for it.

Careful: ``proto/smtp/server.py`` throws away what came in the clear behind STARTTLS; here nothing is read between its
220 and the handshake, so what arrives while switching has come through TLS.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mailstead.proto.sasl import Credentials
from mailstead.proto.smtp.command import Mail, Quit, Rcpt
from mailstead.proto.smtp.dialogue import Offer
from mailstead.proto.smtp.reply import Reply
from mailstead.proto.smtp.server import Content, ServerEngine, TlsWanted
from mailstead.servers.listener import HANDSHAKE, LAST_WORDS, SHUTDOWN, Address, Crowd, Listener

log = logging.getLogger(__name__)

READ_AHEAD = 64 * 1024
"""Octets of further commands that are kept while a decision is awaited."""

Decision = Reply | Coroutine[Any, Any, Reply]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take, in seconds."""

    idle: float
    """Without a command, or in content without an octet."""
    content: float = 1800.0
    """For the content of one message, however steadily it drips in."""
    fruitless: float = 300.0
    """Without a message, of a client that did not log in, however busy it is; ``idle`` if that is more."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end."""

    ip: str
    port: int


class Visit(Protocol):
    """One session as its door sees it: what is decided about the client's wishes."""

    offer: Offer
    """What this client is offered."""
    trusted: bool
    """Does the operator trust the network it is in?"""

    @property
    def known(self) -> bool:
        """Has it shown who it is? Then it may stay without bringing mail."""
        ...

    greeting: str
    trouble: Reply
    """What to say when we failed and do not know why."""
    crowded: Reply
    """What to say of a message that was not kept because others fill the memory."""

    def begin(self, engine: ServerEngine) -> None:
        """The session has an engine now: it knows EHLO name and TLS."""
        ...

    def secured(self) -> None:
        """TLS is on: what the client said before does not count."""
        ...

    def login(self, event: Credentials) -> Decision: ...

    def mail(self, event: Mail) -> Decision: ...

    def rcpt(self, event: Rcpt) -> Decision: ...

    def content(self, event: Content) -> Decision: ...

    def end(self) -> None:
        """The client is gone. Called once."""
        ...


_DECIDE: Mapping[type, Callable[[Visit, Any], Decision]] = {
    Mail: lambda visit, event: visit.mail(event),
    Rcpt: lambda visit, event: visit.rcpt(event),
    Content: lambda visit, event: visit.content(event),
    Credentials: lambda visit, event: visit.login(event),
}


@dataclass(frozen=True, slots=True)
class Door:
    """What all connections of one door share."""

    name: str
    hostname: str
    crowd: Crowd
    patience: Patience
    visit: Callable[[Peer], Visit]
    """Begins a session."""
    tls: ssl.SSLContext | None = None
    """Offered with STARTTLS, or spoken from the first octet by a server that is ``implicit``."""


class Connection(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_active",
        "_ahead",
        "_busy",
        "_closing",
        "_content_since",
        "_door",
        "_engine",
        "_eof",
        "_fruit",
        "_gone",
        "_held",
        "_judged",
        "_loop",
        "_switching",
        "_task",
        "_transport",
        "_visit",
        "_weight",
        "_writable",
    )

    _transport: asyncio.Transport
    _engine: ServerEngine
    _visit: Visit

    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._active = 0.0
        """When the client last got on, by the loop's clock."""
        self._fruit = 0.0
        """When it came, or brought its last message."""
        self._content_since = 0.0
        self._closing = 0.0
        """When we wanted to close; 0: not yet."""
        self._ahead: list[bytes] = []
        """What came through TLS before we were told that it is on."""
        self._switching = False
        self._busy = False
        self._held = False
        self._weight = 0
        """Octets of content that count against the crowd's share of memory."""
        self._judged = 0
        """Octets of a whole message that is being decided on."""
        self._writable = True
        self._eof = False
        self._gone = False
        self._task: asyncio.Task[None] | None = None

    # --- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none by inheritance
        self._active = self._fruit = self._loop.time()
        peer = _peer(transport)
        self._visit = visit = self._door.visit(peer)
        self._engine = ServerEngine(visit.offer)
        visit.begin(self._engine)
        room = self._door.crowd.enter(self, "" if visit.trusted else peer.ip)
        if transport.get_extra_info("ssl_object") is not None:
            self._secured()
        if room:
            self._engine.greet(visit.greeting)
            self._write()
        else:
            self._engine.refuse(visit.offer.words.too_many_connections)
            self._write()
            self._close()

    def data_received(self, data: bytes) -> None:
        if self._switching:
            self._ahead.append(data)
            return
        engine = self._engine
        engine.receive(data)
        if not self._busy:
            self._advance()
            if self._weight or (engine.in_content and engine.held):
                self._weigh()
        elif engine.buffered > READ_AHEAD:
            self._hold()

    def eof_received(self) -> bool:
        """The client says no more, but may want to hear the answers."""
        self._eof = True
        if not self._busy:
            self._close()
        return self._engine.tls is None  # TLS ends both ways at once

    def connection_lost(self, exc: Exception | None) -> None:
        if self._gone:
            return
        self._gone = True
        if self._weight:
            self._weigh()
        self._door.crowd.leave(self)
        self._visit.end()
        if self._switching and self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client does not read what we say: then it is not listened to either."""
        self._writable = False
        self._hold()

    def resume_writing(self) -> None:
        self._writable = True
        if not self._busy:
            self._advance()

    # --- events

    def _advance(self) -> None:
        """Go through what the client wants, until it is done or something takes time; then write what there is."""
        engine, visit = self._engine, self._visit
        while self._writable and (event := engine.next_event()) is not None:
            kind = type(event)
            if kind is TlsWanted:
                self._start_tls()
                return
            if kind is Quit:
                break
            try:
                decision = _DECIDE[kind](visit, event)
            except Exception:
                decision = self._failed()
            if type(decision) is Reply:
                engine.answer(decision)
            else:
                self._write()
                self._busy = True
                self._judged = len(event.data) if type(event) is Content else 0
                self._task = self._loop.create_task(self._finish(decision))  # type: ignore[arg-type]
                return
        self._write()
        if engine.closed or self._eof:
            self._close()
        elif self._door.crowd.leaving and not engine.in_content:
            self.leave_soon()
        elif self._held and self._writable:
            self._resume()

    async def _finish(self, decision: Coroutine[Any, Any, Reply]) -> None:
        """Await the decision, answer, go on."""
        try:
            reply = await decision
        except Exception:
            reply = self._failed()
        self._busy = False
        self._task = None
        self._active = self._loop.time()
        if self._judged:
            self._fruit = self._active
            self._judged = 0
        if not self._gone:
            self._engine.answer(reply)
            self._advance()
        if self._weight:
            self._weigh()

    def _weigh(self) -> None:
        """Tell the crowd what this message holds; where all together hold too much, a large one is sent away."""
        weight = self._judged or (0 if self._gone else self._engine.held)
        more, self._weight = weight - self._weight, weight
        if not self._door.crowd.weigh(more, weight) and self._engine.in_content and not self._busy:
            log.warning("%s: too many large messages at once", self._door.name)
            # Not a 421 now: closed while it sends, the client would see a reset and no reply.
            self._engine.drop_content(self._visit.crowded)
            self._weigh()

    def _failed(self) -> Reply:
        """What nobody expected: it is our fault, so the client may come again."""
        log.exception("%s: a decision failed", self._door.name)
        return self._visit.trouble

    def _write(self) -> None:
        engine = self._engine
        out = engine.output()
        if out:
            self._active = self._loop.time()
            self._content_since = 0.0
            if not self._gone:
                self._transport.write(out)
        elif engine.in_content:
            self._active = self._loop.time()

    def _hold(self) -> None:
        if not self._held and not self._gone:
            self._held = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._held = False
        if not self._gone and not self._transport.is_closing():
            self._transport.resume_reading()

    def _close(self) -> None:
        if not self._closing:
            self._closing = self._loop.time()
        if not self._gone:
            self._transport.close()

    # --- TLS

    def _start_tls(self) -> None:
        self._engine.answer(self._visit.offer.words.ready_for_tls)
        self._write()
        self._transport.pause_reading()  # what is on its way belongs to the handshake
        self._switching = self._busy = True
        self._task = self._loop.create_task(self._handshake())

    async def _handshake(self) -> None:
        transport = self._transport
        if self._gone or transport.is_closing():
            return
        assert self._door.tls is not None
        try:
            secure = await self._loop.start_tls(
                transport,
                self,
                self._door.tls,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE,
                ssl_shutdown_timeout=SHUTDOWN,
            )
        except (OSError, RuntimeError) as error:
            log.info("%s: TLS handshake failed: %s", self._door.name, error or type(error).__name__)
            self._switching = False
            transport.abort()
            self.connection_lost(None)
            return
        self._switching = self._busy = self._held = False
        self._task = None
        if secure is None or self._gone:
            self.connection_lost(None)
            return
        self._transport = secure
        self._secured()
        ahead, self._ahead = self._ahead, []
        for data in ahead:
            self._engine.receive(data)
        self._advance()

    def _secured(self) -> None:
        info = self._transport.get_extra_info("ssl_object")
        cipher = info.cipher()
        self._engine.tls_started(info.version() or "", cipher[0] if cipher else "")
        self._visit.secured()
        self._active = self._loop.time()

    # --- what the crowd asks

    def look(self, now: float) -> None:
        """Once a second: has the client been silent for too long?"""
        engine = self._engine
        if self._closing:
            if now - self._closing > LAST_WORDS:
                self.abort()  # it does not even read our good-bye
            return
        if self._busy:
            return
        patience = self._door.patience
        late = now - self._active > patience.idle
        if engine.in_content:
            self._content_since = self._content_since or now
            late = late or now - self._content_since > patience.content
        elif now - self._fruit > max(patience.fruitless, patience.idle):
            late = late or not self._visit.known
        if late:
            self._transport.write(engine.timed_out())
            self._close()

    def leave_soon(self) -> None:
        if self._busy or self._engine.in_content or self._closing:
            return
        text = f"{self._door.hostname} Service not available, closing transmission channel"  # RFC 5321 §3.8
        self._engine.refuse(Reply(421, text, "4.3.2" if self._visit.offer.enhanced_codes else ""))
        self._write()
        self._close()

    def abort(self) -> None:
        if not self._gone:
            self._transport.abort()


def _peer(transport: asyncio.BaseTransport) -> Peer:
    name = transport.get_extra_info("peername") or ("", 0)
    return Peer(str(name[0]).removeprefix("::ffff:"), int(name[1]))


class SmtpServer:
    """One listener of a door: started and stopped by ``app``."""

    def __init__(self, name: str, addresses: Sequence[Address], door: Door, *, implicit: bool = False) -> None:
        self._crowd = door.crowd
        self._listener = Listener(name, addresses, lambda: Connection(door), tls=door.tls if implicit else None)

    async def start(self) -> list[str]:
        """Listen; the real addresses as ``host:port``.

        Raises:
            Conflict: an address cannot be had.
        """
        return await self._listener.start()

    async def stop(self, grace: float) -> None:
        """Accept no more, let messages in hand be finished within ``grace`` seconds, send the others away."""
        self._listener.close()
        await self._crowd.disperse(grace)
