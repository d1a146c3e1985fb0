"""SMTP client engine: one connection to a server, any number of transactions on it (RFC 5321, RFC 2920).

``receive`` what came, ask ``next_event`` until it is None, write ``output``.  ``send`` may be called while the last
message is still on its way (one ahead): where the server pipelines, the final dot of one and the commands of the next
leave in one write.

Careful: after ``next_event`` raised, the connection is of no use: call ``connection_lost`` to learn what was in flight.
Not done: BDAT.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mailstead.proto import sasl
from mailstead.proto.errors import LocalProtocolError, RemoteProtocolError
from mailstead.proto.smtp.reply import Reply, ReplyParser
from mailstead.proto.smtp.transaction import Running, Transaction, TransactionDone

Stage = Literal[
    "greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "content", "dot", "rset", "idle", "quit", "closed"
]

NO_TLS = Reply(454, "the server does not offer the TLS that we require", "4.7.4")
NO_AUTH = Reply(454, "the server offers no AUTH mechanism that we may use", "4.7.0")


@dataclass(frozen=True, slots=True)
class Ready:
    """Transactions may be sent. ``extensions``: upper-case keyword to its arguments."""

    extensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TlsReady:
    """The server said 220 to STARTTLS: shake hands now, then call ``tls_started``."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not want to talk to us, said at ``stage``; no transaction was lost by it."""

    reply: Reply
    stage: Stage
    closing: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is gone.

    ``in_flight``: recipients without a final reply, ``replies``: those that have one; both of the message at hand.
    ``unsent``: transactions none of whose content was sent.  At stage ``dot`` the server may have the message.
    """

    stage: Stage
    in_flight: tuple[str, ...] = ()
    replies: Mapping[str, Reply] = field(default_factory=dict)
    unsent: tuple[Transaction, ...] = ()


Event = Ready | TlsReady | TransactionDone | Refused | Closed


class ClientEngine:
    """One connection. Readable: ``stage``, ``extensions``, ``secure``, ``closed``, ``can_send``.

    ``tls``: ``never``, ``opportunistic`` (in the clear if there is none) or ``required``; ``secure`` tells that the
    connection is in TLS already.  Credentials leave in the clear only with ``auth_in_clear``.
    """

    def __init__(
        self,
        hostname: str,
        *,
        tls: Literal["never", "opportunistic", "required"] = "opportunistic",
        secure: bool = False,
        username: str = "",
        password: str = "",
        auth_in_clear: bool = False,
    ) -> None:
        self.hostname = hostname
        self.secure = secure
        self.closed = False
        self.extensions: dict[str, str] = {}
        self._tls = tls
        self._login = (username, password) if username else None
        self._auth_in_clear = auth_in_clear
        self._authenticated = False
        self._parser = ReplyParser()
        self._out: list[bytes] = []
        self._events: deque[Event] = deque()
        self._expected: deque[Stage] = deque(["greeting"])
        self._answers: deque[bytes] = deque()
        self._running: deque[Running] = deque()
        self._old = False
        self._ready = False
        self._unwanted = False
        self._handshake = False
        self._dirty = False
        self._flushed = True

    # --- what the shell calls

    def receive(self, data: bytes) -> None:
        """Take bytes from the network.

        Raises:
            RemoteProtocolError: bytes in the clear between the 220 to STARTTLS and the handshake (CVE-2011-0411).
        """
        if self._handshake and data:
            raise RemoteProtocolError("bytes in the clear after STARTTLS")
        if not self.closed:
            self._parser.feed(data)

    def next_event(self) -> Event | None:
        """What happened next; None: more bytes are needed.

        Raises:
            RemoteProtocolError: the server does not speak SMTP; nothing more can be done on this connection.
        """
        while not self._events and not self.closed:
            reply = self._parser.next_reply()
            if reply is None:
                break
            self._take(reply)
        return self._events.popleft() if self._events else None

    def output(self) -> bytes:
        """Take what is to be written now."""
        out, self._out = self._out, []
        return b"".join(out)

    def flushed(self) -> None:
        """All output has left the machine: from now on a silent server is late with its final reply."""
        self._flushed = True

    @property
    def stage(self) -> Stage:
        """What the conversation waits for; ``content``: for our message to leave (see ``flushed``)."""
        if self._handshake:
            return "starttls"
        if self.closed or not self._expected:
            return "closed" if self.closed else "idle"
        stage = self._expected[0]
        return "content" if stage == "dot" and not self._flushed else stage

    @property
    def can_send(self) -> bool:
        """May ``send`` be called? One message may be on its way, and one more wait."""
        return not self.closed and not self._unwanted and len(self._running) < 2

    def send(self, transaction: Transaction) -> None:
        """Send this when the connection is ready for it.

        Raises:
            LocalProtocolError: the connection is closed, one transaction waits already, or there is no recipient.
        """
        if not self.can_send or "quit" in self._expected:
            raise LocalProtocolError("no transaction can be sent now")
        if not transaction.recipients:
            raise LocalProtocolError("a transaction without recipients")
        self._running.append(Running(transaction))
        if self._ready:
            self._go_on()

    def quit(self) -> None:
        """Say QUIT; only when nothing is on its way."""
        if self._running and self._ready:
            raise LocalProtocolError("QUIT within a transaction")
        if not self.closed and "quit" not in self._expected:
            self._write("quit", b"QUIT\r\n")

    def tls_started(self) -> None:
        """The handshake is done: ask again what the server offers (RFC 3207 §4.2)."""
        self._handshake = False
        self.secure = True
        self.extensions = {}
        self._write_ehlo()

    def connection_lost(self) -> Closed:
        """The connection is gone: what was in flight."""
        stage = self.stage
        self.closed = True
        begun = bool(self._running) and bool(self._running[0].recipients)
        sent = self._running.popleft() if begun else None
        unsent = tuple(one.transaction for one in self._running)
        self._running.clear()
        self._expected.clear()
        if sent is None:
            return Closed(stage, unsent=unsent)
        if sent.failure is not None:
            sent.settle(sent.failure)
        in_flight = tuple(one for one in sent.transaction.recipients if one not in sent.replies)
        return Closed(stage, in_flight, sent.replies, unsent)

    # --- replies

    def _take(self, reply: Reply) -> None:
        if not self._expected:
            if reply.code != 421:
                raise RemoteProtocolError(f"reply to nothing: {reply}")
            self._events.append(Refused(reply, "idle", closing=True))
            self.closed = True
            return
        stage = self._expected.popleft()
        if reply.code == 421 and stage != "quit":
            self._hang_up(stage, reply)
        else:
            _ON_REPLY[stage](self, reply)

    def _hang_up(self, stage: Stage, reply: Reply) -> None:
        """421: whoever has no reply gets this one (RFC 5321 §3.8)."""
        self.closed = True
        if not self._running or not self._ready:
            self._events.append(Refused(reply, stage, closing=True))
            return
        for running in self._running:
            if running.failure is not None:
                running.settle(running.failure)
            running.settle(reply)
            self._events.append(running.done(closing=True))
        self._running.clear()
        self._expected.clear()

    def _refused(self, stage: Stage, reply: Reply) -> None:
        self._unwanted = True
        self._events.append(Refused(reply, stage))

    def _on_greeting(self, reply: Reply) -> None:
        if _yes(reply):
            self._write_ehlo()
        else:
            self._refused("greeting", reply)

    def _write_ehlo(self) -> None:
        self._write("ehlo", f"EHLO {self.hostname}\r\n".encode())

    def _on_ehlo(self, reply: Reply) -> None:
        if _yes(reply):
            self.extensions = _extensions(reply)
            self._after_ehlo()
        elif reply.permanent and not self._old:
            self._old = True  # RFC 5321 §3.2: then it may know HELO
            self._write("ehlo", f"HELO {self.hostname}\r\n".encode())
        else:
            self._refused("ehlo", reply)

    def _after_ehlo(self) -> None:
        if not self.secure and self._tls != "never" and "STARTTLS" in self.extensions:
            self._write("starttls", b"STARTTLS\r\n")
        elif not self.secure and self._tls == "required":
            self._refused("starttls", NO_TLS)
        else:
            self._after_tls()

    def _on_starttls(self, reply: Reply) -> None:
        if reply.code == 220:
            if self._parser.pending:
                raise RemoteProtocolError("bytes in the clear after STARTTLS")
            self._handshake = True
            self._events.append(TlsReady())
        elif self._tls == "required":
            self._refused("starttls", reply)
        else:
            self._after_tls()

    def _after_tls(self) -> None:
        if self._login is None or self._authenticated:
            self._become_ready()
            return
        offered = self.extensions.get("AUTH", "").upper().split()
        username, password = self._login
        if not self.secure and not self._auth_in_clear:
            self._refused("auth", NO_AUTH)
        elif "PLAIN" in offered:
            self._answers.append(sasl.plain(username, password))  # for servers that overlook an initial response
            self._write("auth", b"AUTH PLAIN " + sasl.plain(username, password) + b"\r\n")
        elif "LOGIN" in offered:
            self._answers.extend((sasl.encode(username), sasl.encode(password)))
            self._write("auth", b"AUTH LOGIN\r\n")
        else:
            self._refused("auth", NO_AUTH)

    def _on_auth(self, reply: Reply) -> None:
        if reply.code == 334 and self._answers:
            self._write("auth", self._answers.popleft() + b"\r\n")
        elif reply.code == 235:
            self._authenticated = True
            self._become_ready()
        elif reply.positive:
            raise RemoteProtocolError(f"not an answer to AUTH: {reply}")
        else:
            self._refused("auth", reply)

    def _become_ready(self) -> None:
        self._answers.clear()
        self._ready = True
        self._events.append(Ready(dict(self.extensions)))
        self._go_on()

    # --- transactions

    @property
    def _pipelining(self) -> bool:
        return "PIPELINING" in self.extensions

    def _go_on(self) -> None:
        """Write what may be written: the commands of the first transaction, or behind its dot those of the next."""
        while self._running and not self._expected:
            running = self._running[0]
            if self._dirty:
                self._dirty = False
                self._write("rset", b"RSET\r\n")
                if not self._pipelining:
                    return
            if self._begin(running):
                return
            self._finish(running)
        if len(self._running) == 2 and list(self._expected) == ["dot"] and self._pipelining:
            # RFC 2920 §3.1: a message's content may be the first "command" of a group.
            self._begin(self._running[1])

    def _begin(self, running: Running) -> bool:
        """Write its commands; False: every recipient has a reply already."""
        if not running.recipients and not running.replies:
            running.prepare(self.extensions)
        if not running.recipients:
            return False
        self._write_commands(running)
        return True

    def _write_commands(self, running: Running) -> None:
        while running.commands:
            stage, line = running.commands.popleft()
            self._write(stage, line)
            if not self._pipelining:
                return

    def _on_rset(self, reply: Reply) -> None:
        if not self._expected:
            self._go_on()

    def _on_mail(self, reply: Reply) -> None:
        running = self._running[0]
        if not _yes(reply):
            running.failure = _refusing(reply)
            if not self._pipelining:
                self._finish(running)
                self._go_on()
                return
        else:
            self._dirty = True
        self._write_commands(running)

    def _on_rcpt(self, reply: Reply) -> None:
        running = self._running[0]
        recipient = running.recipients[running.answered]
        running.answered += 1
        if running.failure is not None:
            running.replies[recipient] = running.failure
        elif _yes(reply):
            running.accepted.append(recipient)
        else:
            running.replies[recipient] = _refusing(reply)
        if not self._pipelining and running.commands[0][0] == "data" and not running.accepted:
            self._finish(running)
            self._go_on()
            return
        self._write_commands(running)

    def _on_data(self, reply: Reply) -> None:
        running = self._running[0]
        if reply.code != 354:
            running.settle(running.failure or _refusing(reply))
            self._finish(running)
            self._go_on()
            return
        # RFC 2920 §3.1: a 354 though nobody is left wants an empty message.
        self._out.append(running.content if running.accepted else b"")
        running.content = b""
        self._flushed = False
        self._write("dot", b".\r\n")
        self._go_on()

    def _on_dot(self, reply: Reply) -> None:
        running = self._running[0]
        self._dirty = False
        running.settle(reply if _yes(reply) else _refusing(reply))
        # The commands of the next may stand behind the dot already.
        self._finish(running)
        self._go_on()

    def _finish(self, running: Running) -> None:
        if running.failure is not None:
            running.settle(running.failure)
        self._running.popleft()
        self._events.append(running.done())

    def _on_quit(self, reply: Reply) -> None:
        self.closed = True
        self._events.append(Closed("quit"))

    def _write(self, stage: Stage, line: bytes) -> None:
        self._out.append(line)
        self._expected.append(stage)


def _yes(reply: Reply) -> bool:
    """2xx: a client goes by the first digit (RFC 5321 §4.2)."""
    return 200 <= reply.code < 300


def _refusing(reply: Reply) -> Reply:
    """A reply that is neither yes nor no at this place counts as: later (RFC 5321 §4.3.2 knows none)."""
    return Reply(451, f"unexpected reply: {reply}", "4.5.0") if reply.positive else reply


def _extensions(reply: Reply) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, arguments = line.replace("AUTH=", "AUTH ", 1).strip().partition(" ")
        name = keyword.upper()
        found[name] = f"{found[name]} {arguments}" if name in found else arguments.strip()
    return found


_ON_REPLY: Mapping[Stage, Callable[[ClientEngine, Reply], None]] = {
    "greeting": ClientEngine._on_greeting,
    "ehlo": ClientEngine._on_ehlo,
    "starttls": ClientEngine._on_starttls,
    "auth": ClientEngine._on_auth,
    "rset": ClientEngine._on_rset,
    "mail": ClientEngine._on_mail,
    "rcpt": ClientEngine._on_rcpt,
    "data": ClientEngine._on_data,
    "dot": ClientEngine._on_dot,
    "quit": ClientEngine._on_quit,
}
