"""SMTP server engine: bytes in, events and bytes out, for submission and for receiving alike (RFC 5321).

``receive`` what came, ask ``next_event`` until it is None, ``answer`` what waits, write ``output``.  What needs no
decision is answered here; what a door must decide is an event.  Nothing here waits, reads a clock or a socket.

Careful: after ``TlsWanted`` was answered with 220 everything that came in the clear is thrown away, and the client
starts anew after the handshake (RFC 3207 §4.2, CVE-2011-0411).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from mailstead.proto import sasl
from mailstead.proto.errors import LocalProtocolError
from mailstead.proto.sasl import Credentials
from mailstead.proto.smtp import command as cmd
from mailstead.proto.smtp.command import Bdat, Mail, Quit, Rcpt
from mailstead.proto.smtp.content import DataReader, has_bare_newline, has_long_line, normalize, unstuff
from mailstead.proto.smtp.dialogue import Offer, about
from mailstead.proto.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class TlsWanted:
    """The client said STARTTLS. Answer with ``words.ready_for_tls`` and shake hands, or with a refusal."""


@dataclass(frozen=True, slots=True)
class Content:
    """A whole message, dots unstuffed, every newline CRLF. ``params`` are those of MAIL."""

    data: bytes
    params: Mapping[str, str]


Event = TlsWanted | Credentials | Mail | Rcpt | Content | Quit

# What may come when, and where it leads if it succeeds.  What stands nowhere here may come at any time.
_AGAIN = {cmd.Ehlo: "ready", cmd.Helo: "ready", cmd.Rset: "ready"}
STEPS: Mapping[str, Mapping[type, str]] = {
    "start": {cmd.Ehlo: "ready", cmd.Helo: "ready", cmd.Rset: "start"},
    "ready": {**_AGAIN, cmd.StartTls: "start", cmd.Auth: "ready", Mail: "mail"},
    "mail": {**_AGAIN, Rcpt: "rcpt"},
    "rcpt": {**_AGAIN, Rcpt: "rcpt", cmd.Data: "ready", Bdat: "chunks"},
    "chunks": {**_AGAIN, Bdat: "chunks"},
}
_ORDERED = frozenset(kind for steps in STEPS.values() for kind in steps)
_AFTER_TLS = frozenset({cmd.Auth, Mail, Rcpt, cmd.Data, Bdat})
_AFTER_AUTH = frozenset({Mail, Rcpt, cmd.Data, Bdat})
_KINDS: Mapping[str, type] = {"AUTH": cmd.Auth, "MAIL": Mail, "RCPT": Rcpt, "DATA": cmd.Data, "BDAT": Bdat}
_MAIL_PARAMS = frozenset({"SIZE", "BODY", "SMTPUTF8", "AUTH", "RET", "ENVID"})
_RCPT_PARAMS = frozenset({"NOTIFY", "ORCPT"})
# A browser made to talk to us by a hostile page: its body must not be read as commands.
_FOREIGN = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "HOST:"})


class ServerEngine:
    """One session. Readable at any time: ``helo``, ``esmtp``, ``tls``, ``username``, ``closed``, ``waiting``."""

    __slots__ = (
        "_chunk_last",
        "_chunk_left",
        "_chunk_refusal",
        "_chunks",
        "_chunks_size",
        "_data",
        "_errors",
        "_event",
        "_exchange",
        "_in",
        "_mail",
        "_open",
        "_out",
        "_position",
        "_read",
        "_received",
        "_recipients",
        "_state",
        "_waiting",
        "_words",
        "authenticated",
        "closed",
        "esmtp",
        "helo",
        "offer",
        "tls",
        "username",
    )

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self._words = offer.words
        self.helo = ""
        """The name the client gave; empty before EHLO or HELO."""
        self.esmtp = False
        self.tls: tuple[str, str] | None = None
        """TLS version and cipher, or None in the clear."""
        self.authenticated = False
        self.username = ""
        self.closed = False
        """Write ``output()`` once more, then close."""
        self._received: list[bytes] = []
        self._in = b""
        self._position = 0
        self._out: list[bytes] = []
        self._event: Event | None = None
        self._waiting: Event | None = None
        self._read: Callable[[ServerEngine], bool] = ServerEngine._read_nothing
        self._state = "start"
        self._errors = 0
        self._exchange: sasl.Exchange | None = None
        self._data: DataReader | None = None
        self._chunk_left = 0
        self._chunk_last = False
        self._chunk_refusal: Reply | None = None
        self._forget_transaction()
        self._admit()

    # --- what the shell calls

    def greet(self) -> None:
        """Say the greeting; commands are read from now on."""
        self._say(Reply(220, self.offer.greeting))
        self._read = ServerEngine._read_command

    def refuse(self, reply: Reply) -> None:
        """Say this and close."""
        self._say(reply)
        self._close()

    def timed_out(self) -> bytes:
        """The client was silent for too long: the last words, all that is left to be written."""
        self.refuse(self._words.timeout)
        return self.output()

    def receive(self, data: bytes) -> None:
        """Take bytes from the network."""
        if not self.closed and data:
            self._received.append(data)

    def output(self) -> bytes:
        """Take what is to be written now."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return b"".join(out)

    @property
    def waiting(self) -> bool:
        """Does an event wait for its answer? Then reading on only fills memory."""
        return self._waiting is not None

    @property
    def buffered(self) -> int:
        """Octets received and not looked at yet."""
        return len(self._in) - self._position + sum(map(len, self._received))

    def next_event(self) -> Event | None:
        """The next thing to decide; None: more bytes are needed, or an answer is due, or the session is over."""
        if self._waiting is not None or self.closed:
            return None
        if self._received:
            self._received.insert(0, self._in[self._position :])
            self._in = b"".join(self._received)
            self._position = 0
            self._received.clear()
        while self._event is None and not self.closed and self._read(self):
            pass
        event, self._event = self._event, None
        if type(event) is not Quit:
            self._waiting = event
        return event

    def answer(self, reply: Reply) -> None:
        """Answer the event that waits.

        Raises:
            LocalProtocolError: none does.
        """
        event, self._waiting = self._waiting, None
        if event is None:
            raise LocalProtocolError("nothing to answer")
        self._say(reply)
        _SETTLE[type(event)](self, event, reply)
        if reply.code == 421:  # RFC 5321 §3.8: it announces the end
            self._close()

    def tls_started(self, version: str, cipher: str) -> None:
        """The handshake is done: everything known about the client is forgotten (RFC 3207 §4.2)."""
        self.tls = (version, cipher)
        self.helo, self.esmtp = "", False
        self.authenticated, self.username = False, ""
        self._state = "start"
        self._forget_transaction()
        self._drop_input()
        self._admit()
        if self._read is ServerEngine._read_handshake:
            self._read = ServerEngine._read_command

    # --- reading: each takes what it can from the input; False: it needs more

    def _read_nothing(self) -> bool:
        return False

    def _read_handshake(self) -> bool:
        self._drop_input()
        return False

    def _read_command(self) -> bool:
        line = self._line(self._line_limit)
        if line is None:
            return False
        if line:
            self._command(line)
        else:
            self._fail(self._words.unknown)
        return True

    def _read_response(self) -> bool:
        line = self._line(lambda: cmd.MAX_AUTH_LINE)
        if line is None:
            return False
        self._read = ServerEngine._read_command
        self._respond(line)
        return True

    def _read_content(self) -> bool:
        data = self._in[self._position :] if self._position else self._in
        if not data or self._data is None:
            return False
        after = self._data.take(data)
        if after < 0:
            self._drop_buffer()
            return False
        self._position += after
        self._read = ServerEngine._read_command
        self._end_of_data(self._data)
        return True

    def _read_chunk(self) -> bool:
        piece = self._in[self._position : self._position + self._chunk_left]
        self._position += len(piece)
        self._chunk_left -= len(piece)
        if self._chunk_refusal is None:
            self._keep_piece(piece)
        if self._chunk_left:
            return False
        self._read = ServerEngine._read_command
        self._end_of_chunk()
        return True

    def _read_rest_of_line(self) -> bool:
        end = self._in.find(b"\n", self._position)
        if end < 0:
            self._drop_buffer()
            return False
        self._position = end + 1
        self._read = ServerEngine._read_command
        return True

    def _line_limit(self) -> int:
        auth = self._in[self._position : self._position + 5].upper() == b"AUTH "
        return cmd.MAX_AUTH_LINE if auth else cmd.MAX_LINE

    def _line(self, limit: Callable[[], int]) -> bytes | None:
        """The next line without its end; None if it has not come whole, or was refused."""
        start = self._position
        end = self._in.find(b"\n", start)
        length = (end if end >= 0 else len(self._in)) - start
        if length > cmd.MAX_LINE and length > limit():
            self._fail(self._words.line_too_long)
            self._read = ServerEngine._read_rest_of_line
            return b"" if self._read_rest_of_line() and self._skip() else None
        if end < 0:
            return None
        self._position = end + 1
        line = self._in[start : end - 1] if end > start and self._in[end - 1] == 13 else self._in[start:end]
        if b"\r" in line:
            self._fail(self._words.bad_line)
            return None if self.closed else self._line(limit)
        return line

    def _drop_buffer(self) -> None:
        self._in, self._position = b"", 0

    def _drop_input(self) -> None:
        self._drop_buffer()
        self._received.clear()
