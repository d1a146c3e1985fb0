"""Scripted MX: a destination that behaves as badly as a test asks, and writes down what it saw.

It speaks just enough SMTP; each reply may be changed, delayed, never given, or followed by a closed connection.
Runs in a thread of its own, so the program under test may block as it likes.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from peers.ground import free_port

HANG = b"*hang*"
"""In place of a reply: nothing, ever; the connection stays open."""
DROP = b"*drop*"
"""In place of a reply: the connection is reset."""
GARBAGE = b"*garbage*"
"""In place of the reply to STARTTLS: 220, then bytes that are not TLS."""


@dataclass(slots=True)
class Script:
    """What to answer.

    Steps: ``connect`` (DROP closes before the banner), ``banner``, ``EHLO``, ``HELO``, ``STARTTLS``, ``MAIL``,
    ``RCPT``, ``DATA``, ``body`` (after the final dot), ``RSET``, ``NOOP``, ``QUIT``.
    """

    replies: Mapping[str, bytes] = field(default_factory=dict)
    """Step → reply line(s) without CRLF at the end, or HANG, DROP, GARBAGE."""
    recipients: Mapping[str, bytes] = field(default_factory=dict)
    """Recipient address → its reply, before ``replies["RCPT"]``."""
    delays: Mapping[str, float] = field(default_factory=dict)
    """Step → seconds to wait before the reply."""
    drop_body_after: int | None = None
    """Reset the connection after so many bytes of the content."""
    hang_body_after: int | None = None
    """Stop reading after so many bytes of the content."""
    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8", "SIZE 50000000")
    close_after: frozenset[str] = frozenset({"QUIT"})
    """Steps after whose reply the connection is closed (a reply of 421 always closes)."""
    tls: ssl.SSLContext | None = None
    """Offers STARTTLS with this; replies["STARTTLS"] offers it too."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that was answered 250."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    """Lines ended by CRLF, dots unstuffed."""
    tls: bool


_DEFAULT = {
    "banner": b"220 scripted.test ESMTP",
    "HELO": b"250 scripted.test",
    "MAIL": b"250 2.1.0 Ok",
    "RCPT": b"250 2.1.5 Ok",
    "DATA": b"354 go on",
    "body": b"250 2.0.0 Ok: queued",
    "STARTTLS": b"220 2.0.0 go ahead",
    "RSET": b"250 2.0.0 Ok",
    "NOOP": b"250 2.0.0 Ok",
    "QUIT": b"221 2.0.0 Bye",
}


class _Gone(Exception):
    """This side has ended the connection, as the script says."""


class ScriptedMX:
    """``with ScriptedMX(Script(replies={"RCPT": b"451 4.3.0 later"}), host="127.0.0.4", port=port) as mx: …``.

    ``script`` may be replaced while it runs (new connections and next replies use it).
    """

    def __init__(self, script: Script | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.script = script or Script()
        self.host = host
        self.port = port or free_port(host)
        self.messages: list[Taken] = []
        self.log: list[str] = []
        """Every command line as it came, ``connect`` for each connection."""
        self.connections = 0
        self.open = 0
        self.most_open = 0
        """The most connections that were open at one time."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"scripted-mx-{host}", daemon=True)
        self._ready = threading.Event()
        self._failed: OSError | None = None

    def __enter__(self) -> ScriptedMX:
        self._thread.start()
        self._ready.wait(10)
        if self._failed:
            raise self._failed
        return self

    def __exit__(self, *raised: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        self._sessions: set[asyncio.Task[None]] = set()
        try:
            server = await asyncio.start_server(self._session, self.host, self.port, limit=1 << 20)
        except OSError as error:
            self._failed = error
            self._ready.set()
            return
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in self._sessions:
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await server.wait_closed()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._sessions.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        self.log.append("connect")
        try:
            await _Session(self, reader, writer).run()
        except (_Gone, OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            self._sessions.discard(task)
            writer.transport.abort()


class _Session:
    def __init__(self, mx: ScriptedMX, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._mx, self._reader, self._writer = mx, reader, writer
        self._tls = False
        self._sender = ""
        self._recipients: list[str] = []

    @property
    def _script(self) -> Script:
        return self._mx.script

    async def run(self) -> None:
        if self._script.replies.get("connect") == DROP:
            raise _Gone
        await self._answer("banner")
        while line := await self._reader.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self._mx.log.append(text)
            await self._command(text)

    async def _command(self, text: str) -> None:
        verb = text.split(" ", 1)[0].upper()
        if verb == "EHLO":
            await self._ehlo()
        elif verb == "MAIL":
            self._sender, self._recipients = _path(text), []
            await self._answer("MAIL")
        elif verb == "RCPT":
            reply = await self._answer("RCPT", self._script.recipients.get(_path(text).lower()))
            if reply.startswith(b"2"):
                self._recipients.append(_path(text))
        elif verb == "DATA":
            if not self._recipients:
                await self._send(b"554 5.5.1 no valid recipients")
            elif (await self._answer("DATA")).startswith(b"354"):
                await self._content()
        elif verb == "STARTTLS":
            await self._starttls()
        elif verb in _DEFAULT or verb in self._script.replies:
            await self._answer(verb)
        else:
            await self._send(b"500 5.5.2 what?")

    async def _ehlo(self) -> None:
        words = ["scripted.test", *self._script.extensions]
        if not self._tls and (self._script.tls or "STARTTLS" in self._script.replies):
            words.append("STARTTLS")
        lines = [f"250{'-' if word is not words[-1] else ' '}{word}".encode() for word in words]
        await self._answer("EHLO", self._script.replies.get("EHLO", b"\r\n".join(lines)))

    async def _content(self) -> None:
        content = bytearray()
        while (line := await self._reader.readline()) != b".\r\n":
            if not line:
                raise _Gone
            content += line[1:] if line.startswith(b".") else line
            if self._script.drop_body_after is not None and len(content) >= self._script.drop_body_after:
                raise _Gone
            if self._script.hang_body_after is not None and len(content) >= self._script.hang_body_after:
                await asyncio.sleep(3600)
        taken = Taken(self._sender, tuple(self._recipients), bytes(content), self._tls)
        reply = self._script.replies.get("body", _DEFAULT["body"])
        if reply.startswith(b"2"):
            self._mx.messages.append(taken)
        self._sender, self._recipients = "", []
        await self._answer("body")

    async def _starttls(self) -> None:
        reply = await self._answer("STARTTLS")
        if reply == GARBAGE:
            await self._send(_DEFAULT["STARTTLS"])
            await self._reader.read(100)
            await self._send(b"this is not TLS at all")
            raise _Gone
        if reply.startswith(b"220") and self._script.tls:
            await self._writer.start_tls(self._script.tls)
            self._tls = True

    async def _answer(self, step: str, reply: bytes | None = None) -> bytes:
        await asyncio.sleep(self._script.delays.get(step, 0))
        if reply is None:
            reply = self._script.replies.get(step, _DEFAULT.get(step, b"250 2.0.0 Ok"))
        if reply == HANG:
            await asyncio.sleep(3600)
        if reply == DROP:
            raise _Gone
        if reply != GARBAGE:
            await self._send(reply)
            if step in self._script.close_after or reply.startswith(b"421"):
                self._writer.close()
                raise _Gone
        return reply

    async def _send(self, line: bytes) -> None:
        self._writer.write(line + b"\r\n")
        await self._writer.drain()


def _path(text: str) -> str:
    """The address between the angle brackets."""
    return text.partition("<")[2].partition(">")[0]
