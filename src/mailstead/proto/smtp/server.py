"""SMTP server engine: bytes in, events and bytes out, for submission and for receiving alike (RFC 5321).

``receive`` what came, ask ``next_event`` until it is None, ``answer`` what waits, write ``output``.  What needs no
decision is answered here; what a door must decide is an event.  Nothing here waits, reads a clock or a socket.

Careful: after ``TlsWanted`` was answered with 220 everything that came in the clear is thrown away, and the client
starts anew after the handshake (RFC 3207 §4.2, CVE-2011-0411).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mailstead.proto import sasl
from mailstead.proto.errors import LocalProtocolError
from mailstead.proto.newlines import has_bare_newline, normalize
from mailstead.proto.sasl import Credentials
from mailstead.proto.smtp import command as cmd
from mailstead.proto.smtp.command import Bdat, Mail, Quit, Rcpt
from mailstead.proto.smtp.content import ChunkReader, DataReader, has_long_line, unstuff
from mailstead.proto.smtp.dialogue import Offer, about
from mailstead.proto.smtp.reply import Reply, harmless


@dataclass(frozen=True, slots=True)
class TlsWanted:
    """The client said STARTTLS. Answer with ``words.ready_for_tls`` and shake hands, or with a refusal."""


@dataclass(frozen=True, slots=True)
class Content:
    """A whole message, dots unstuffed, every newline CRLF. ``params`` are those of MAIL."""

    data: bytes
    params: Mapping[str, str]


Event = TlsWanted | Credentials | Mail | Rcpt | Content | Quit

# What may come when, and where it leads if it succeeds.
_AGAIN = {cmd.Ehlo: "ready", cmd.Helo: "ready", cmd.Rset: "ready"}
STEPS: Mapping[str, Mapping[type, str]] = {
    "start": {cmd.Ehlo: "ready", cmd.Helo: "ready", cmd.Rset: "start"},
    "ready": {**_AGAIN, cmd.StartTls: "start", cmd.Auth: "ready", Mail: "mail"},
    "mail": {**_AGAIN, Rcpt: "rcpt"},
    "rcpt": {**_AGAIN, Rcpt: "rcpt", cmd.Data: "ready", Bdat: "chunks"},
    "chunks": {**_AGAIN, Bdat: "chunks"},
}
_ANY_TIME = frozenset({cmd.Noop, Quit, cmd.Vrfy, cmd.Expn, cmd.Help, cmd.Unknown})
_MAY = {state: _ANY_TIME | steps.keys() for state, steps in STEPS.items()}
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
        "_chunk_refusal",
        "_chunks",
        "_data",
        "_errors",
        "_event",
        "_exchange",
        "_idle",
        "_in",
        "_mail",
        "_open",
        "_out",
        "_pending",
        "_position",
        "_read",
        "_received",
        "_recipients",
        "_sorry",
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
        self._pending = 0
        """Octets in ``_received``."""
        self._in = b""
        self._position = 0
        self._out: list[bytes] = []
        self._event: Event | None = None
        self._waiting: Event | None = None
        self._read: Callable[[ServerEngine], bool] = ServerEngine._read_nothing
        self._state = "start"
        self._errors = 0
        self._idle = 0
        self._exchange: sasl.Exchange | None = None
        self._data = _NO_DATA
        self._chunk_refusal: Reply | None = None
        self._chunks = _NO_CHUNKS
        self._mail = _NO_MAIL
        self._recipients = 0
        self._sorry: Reply | None = None
        """Why the content at hand is not kept, if it is not for its size."""
        self._open = False
        self._admit()

    # --- what the shell calls

    def greet(self, greeting: str = "") -> None:
        """Say the greeting, the offer's or this session's own; commands are read from now on."""
        self._out.append(f"220 {harmless(greeting or self.offer.greeting)}\r\n".encode())
        self._read = ServerEngine._read_line

    def refuse(self, reply: Reply) -> None:
        """Say this and close."""
        self._say(reply)
        self._close()

    def timed_out(self) -> bytes:
        """The client was silent for too long: the last words, all that is left to be written."""
        self.refuse(self._words.timeout)
        return self.output()

    def drop_content(self, reply: Reply) -> None:
        """Keep nothing of the message that is coming in; at its end this is said."""
        self._sorry = reply
        if self._data is not _NO_DATA:
            self._data.drop()
        if self._chunks is not _NO_CHUNKS:
            self._chunks.drop()

    def receive(self, data: bytes) -> None:
        """Take bytes from the network."""
        if self.closed:
            return
        if self._position == len(self._in):  # the usual case: nothing is left of what came before
            self._in, self._position = data, 0
        else:
            self._received.append(data)
            self._pending += len(data)

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
    def in_content(self) -> bool:
        """Is a message on its way in: DATA or a chunk begun and not ended?"""
        return self._read is ServerEngine._read_content or self._read is ServerEngine._read_chunk

    @property
    def held(self) -> int:
        """Octets of content kept so far, of a message that is not whole."""
        return self._data.held + self._chunks.held

    @property
    def buffered(self) -> int:
        """Octets received and not looked at yet."""
        return len(self._in) - self._position + self._pending

    def next_event(self) -> Event | None:
        """The next thing to decide; None: more bytes are needed, or an answer is due, or the session is over."""
        if self._waiting is not None or self.closed:
            return None
        if self._received:
            self._join_input()
        while self._event is None and self._position < len(self._in) and self._read(self):
            pass
        event = self._event
        if event is None:
            return None
        self._event = None
        if type(event) is not Quit:
            self._waiting = event
        return event

    def _join_input(self) -> None:
        self._in = b"".join((self._in[self._position :], *self._received))
        self._position = 0
        self._received.clear()
        self._pending = 0

    def answer(self, reply: Reply) -> None:
        """Answer the event that waits.

        Raises:
            LocalProtocolError: none does.
        """
        event, self._waiting = self._waiting, None
        if event is None:
            raise LocalProtocolError("nothing to answer")
        self._out.append(reply.to_bytes())
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
            self._read = ServerEngine._read_line

    # --- reading: each takes what it can from the input; False: it needs more

    def _read_nothing(self) -> bool:
        return False

    def _read_handshake(self) -> bool:
        self._drop_input()
        return False

    def _read_line(self) -> bool:
        """A command, or the response to an AUTH challenge."""
        start = self._position
        end = self._in.find(b"\n", start)
        length = (end if end >= 0 else len(self._in)) - start
        if length > cmd.MAX_LINE and length > self._line_limit():
            self._exchange = None
            self._fail(self._words.line_too_long)
            self._read = ServerEngine._read_rest_of_line
            return True
        if end < 0:
            return False
        self._position = end + 1
        line = self._in[start:end].removesuffix(b"\r")
        if b"\r" in line:
            self._exchange = None
            self._fail(self._words.bad_line)
        elif self._exchange is not None:
            self._respond(self._exchange, line)
        else:
            self._command(line)
        return True

    def _line_limit(self) -> int:
        auth = self._exchange is not None or self._in[self._position : self._position + 5].upper() == b"AUTH "
        return cmd.MAX_AUTH_LINE if auth else cmd.MAX_LINE

    def _read_content(self) -> bool:
        data = self._in[self._position :] if self._position else self._in
        if not data:
            return False
        after = self._data.take(data)
        if after < 0:
            self._drop_buffer()
            return False
        self._position += after
        self._read = ServerEngine._read_line
        self._end_of_data(self._data)
        return True

    def _read_chunk(self) -> bool:
        piece = self._in[self._position : self._position + self._chunks.left]
        self._position += len(piece)
        self._chunks.take(piece)
        if self._chunks.left:
            return False
        self._read = ServerEngine._read_line
        self._end_of_chunk()
        return True

    def _read_rest_of_line(self) -> bool:
        end = self._in.find(b"\n", self._position)
        if end < 0:
            self._drop_buffer()
            return False
        self._position = end + 1
        self._read = ServerEngine._read_line
        return True

    def _drop_buffer(self) -> None:
        self._in, self._position = b"", 0

    def _drop_input(self) -> None:
        self._drop_buffer()
        self._received.clear()
        self._pending = 0

    # --- commands

    def _command(self, line: bytes) -> None:
        try:
            command = cmd.parse(line)
        except cmd.CommandError as error:
            kind = _KINDS.get(error.verb)
            self._fail((kind and self._unmet(kind)) or self._wrong(error))
            return
        kind = type(command)
        refusal = None if self._open else self._unmet(kind)
        if refusal is None and kind not in _MAY[self._state]:
            refusal = self._words.bad_sequence
        if type(command) is Bdat:
            self._bdat(command, refusal)
        elif refusal is not None:
            self._fail(refusal)
        else:
            _DO[kind](self, command)

    def _unmet(self, kind: type) -> Reply | None:
        """What the door asks for before it takes such a command."""
        if kind in _AFTER_TLS and self.offer.require_tls and self.tls is None:
            return self._words.tls_first
        if kind in _AFTER_AUTH and self.offer.require_auth and not self.authenticated:
            return self._words.auth_first
        return None

    def _wrong(self, error: cmd.CommandError) -> Reply:
        if error.address is None:
            return self._words.syntax
        if error.verb == "RCPT":
            return about(self._words.recipient_invalid, address=error.address)
        nowhere = bool(error.address) and "@" not in error.address
        words = self._words
        return about(words.sender_unusable if nowhere else words.sender_invalid, address=error.address)

    def _ehlo(self, command: cmd.Ehlo) -> None:
        self._hello(command.name, esmtp=True)
        self._out.append(self.offer.ehlo_secure if self.tls else self.offer.ehlo_clear)
        self._count_idle()

    def _helo(self, command: cmd.Helo) -> None:
        self._hello(command.name, esmtp=False)
        self._idly(Reply(250, self.offer.hostname))

    def _hello(self, name: str, *, esmtp: bool) -> None:
        self.helo, self.esmtp = name, esmtp
        self._state = "ready"
        self._forget_transaction()

    def _rset(self, _: cmd.Rset) -> None:
        self._state = STEPS[self._state][cmd.Rset]
        self._forget_transaction()
        self._idly(self._words.ok)

    def _noop(self, _: cmd.Noop) -> None:
        self._idly(self._words.ok)

    def _vrfy(self, _: cmd.Vrfy) -> None:
        self._idly(self._words.not_verified)

    def _help(self, _: cmd.Help) -> None:
        self._idly(self._words.help)

    def _expn(self, _: cmd.Expn) -> None:
        self._fail(self._words.not_implemented)

    def _unknown(self, command: cmd.Unknown) -> None:
        if command.verb.upper() in _FOREIGN:
            self.refuse(self._words.too_many_errors)
        else:
            self._fail(self._words.unknown)

    def _quit(self, command: Quit) -> None:
        self._event = command
        self.refuse(self._words.bye)

    def _starttls(self, _: cmd.StartTls) -> None:
        if self.tls is not None:
            self._fail(self._words.bad_sequence)
        elif not self.offer.starttls:
            self._fail(self._words.not_implemented)
        else:
            self._event = TlsWanted()

    def _settle_tls(self, _: TlsWanted, reply: Reply) -> None:
        if reply.code == 220:
            self._drop_input()
            self._read = ServerEngine._read_handshake

    # --- AUTH (RFC 4954)

    def _auth(self, command: cmd.Auth) -> None:
        if not self.offer.auth:
            self._fail(self._words.not_implemented)
        elif self.authenticated:
            self._fail(self._words.auth_twice)
        elif command.mechanism not in self.offer.auth:
            self._fail(self._words.auth_mechanism)
        else:
            self._exchange = sasl.exchange(command.mechanism)
            self._begin_exchange(command.initial)

    def _begin_exchange(self, initial: bytes | None) -> None:
        if self._exchange is None:
            self._fail(self._words.auth_mechanism)
        elif initial is None:
            self._say(Reply(334, self._exchange.challenge()))
        else:
            self._respond(self._exchange, b"" if initial == b"=" else initial)  # RFC 4954 §4

    def _respond(self, exchange: sasl.Exchange, line: bytes) -> None:
        self._exchange = None
        if line == b"*":
            self._fail(self._words.auth_cancelled)
            return
        try:
            credentials = exchange.respond(sasl.decode(line))
        except sasl.MalformedResponse:
            self._fail(self._words.auth_malformed)
            return
        if credentials is None:
            self._exchange = exchange
            self._say(Reply(334, exchange.challenge()))
        else:
            self._event = credentials

    def _settle_credentials(self, event: Credentials, reply: Reply) -> None:
        if reply.code == 235:
            self.authenticated, self.username = True, event.username
            self._admit()
        elif reply.permanent:
            self._count_error()

    # --- the transaction

    def _mail_from(self, command: Mail) -> None:
        refusal = self._mail_refusal(command) if command.params or not command.address.isascii() else None
        if refusal is not None:
            self._fail(refusal)
        else:
            self._event = command

    def _mail_refusal(self, command: Mail) -> Reply | None:
        params, words = command.params, self._words
        if not params.keys() <= _MAIL_PARAMS or ("SMTPUTF8" in params and not self.offer.smtputf8):
            return words.parameter
        if params.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME"):  # RFC 6152 §2
            return words.parameter
        if not command.address.isascii() and "SMTPUTF8" not in params:  # RFC 6531 §3.3
            return about(words.sender_not_ascii, address=command.address)
        if int(params.get("SIZE") or 0) > self.offer.max_message:  # RFC 1870 §6.1
            return words.too_large
        return None

    def _settle_mail(self, event: Mail, reply: Reply) -> None:
        if reply.positive:
            self._mail = event
            self._state = "mail"

    def _rcpt_to(self, command: Rcpt) -> None:
        if not command.params.keys() <= _RCPT_PARAMS:
            self._fail(self._words.parameter)
        elif not command.address.isascii() and "SMTPUTF8" not in self._mail.params:
            self._fail(about(self._words.recipient_not_ascii, address=command.address))
        elif self._recipients >= self.offer.max_recipients:
            self._idly(self._words.too_many_recipients)
        else:
            self._event = command

    def _settle_rcpt(self, _: Rcpt, reply: Reply) -> None:
        if reply.positive:
            self._recipients += 1
            self._state = "rcpt"

    def _start_data(self, _: cmd.Data) -> None:
        # What is on the wire may be longer than the content (stuffed dots) or shorter (bare newlines).
        self._data = DataReader(self.offer.max_message + self.offer.max_message // 2 + 1024)
        self._read = ServerEngine._read_content
        self._out.append(self._words.start_data.to_bytes())

    def _end_of_data(self, data: DataReader) -> None:
        self._data = _NO_DATA
        if data.overflow:
            self._finish(self._sorry or self._words.too_large)
            return
        raw = data.raw()
        bare = has_bare_newline(raw)
        self._judge(unstuff(raw, bare=bare) if bare or data.dotted else raw, bare=bare)

    def _judge(self, content: bytes, *, bare: bool) -> None:
        """Refuse what no door takes, else hand the content over."""
        if bare:
            if self.offer.bare_newline == "refuse":
                self._finish(self._words.bare_newline)
                return
            content = normalize(content)
        if len(content) > self.offer.max_message:
            self._finish(self._words.too_large)
        elif has_long_line(content, self.offer.max_line):
            self._finish(self._words.content_line_too_long)
        else:
            self._event = Content(content, self._mail.params)

    def _settle_content(self, _: Content, reply: Reply) -> None:
        self._state = "ready"
        self._idle = 0
        self._forget_transaction()

    def _finish(self, reply: Reply) -> None:
        """The transaction is over without the door being asked."""
        self._say(reply)
        self._state = "ready"
        self._forget_transaction()

    # --- BDAT (RFC 3030): the chunk is read in any case, so that its bytes are never taken for commands

    def _bdat(self, command: Bdat, refusal: Reply | None) -> None:
        if not self.offer.chunking:
            refusal = self._words.not_implemented
        self._chunk_refusal = refusal
        if self._chunks is _NO_CHUNKS:
            self._chunks = ChunkReader(self.offer.max_message)
        self._chunks.begin(command.size, last=command.last, keep=refusal is None)
        if refusal is None:
            self._state = "chunks"
        if command.size:
            self._read = ServerEngine._read_chunk
        else:
            self._end_of_chunk()

    def _end_of_chunk(self) -> None:
        chunks = self._chunks
        if self._chunk_refusal is not None:
            self._fail(self._chunk_refusal)
        elif chunks.last and chunks.overflow:
            self._finish(self._sorry or self._words.too_large)
        elif chunks.last:
            content = chunks.raw()
            self._judge(content, bare=has_bare_newline(content))
        else:
            self._say(
                (self._sorry or self._words.too_large)
                if chunks.overflow
                else about(self._words.chunk_ok, size=chunks.size)
            )
            if chunks.begun < _TINY_CHUNK:
                self._count_idle()

    # --- small things

    def _say(self, reply: Reply) -> None:
        self._out.append(reply.to_bytes())

    def _fail(self, reply: Reply) -> None:
        self._say(reply)
        self._count_error()

    def _count_error(self) -> None:
        self._errors += 1
        if self._errors >= self.offer.max_errors:
            self.refuse(self._words.too_many_errors)

    def _idly(self, reply: Reply) -> None:
        """Answer what leads nowhere."""
        self._say(reply)
        self._count_idle()

    def _count_idle(self) -> None:
        self._idle += 1
        if self._idle > self.offer.max_idle:
            self.refuse(self._words.too_many_errors)

    def _close(self) -> None:
        self.closed = True
        self._drop_input()
        self._data = _NO_DATA
        self._chunks = _NO_CHUNKS

    def _forget_transaction(self) -> None:
        self._mail = _NO_MAIL
        self._recipients = 0
        self._sorry = None
        self._chunks = _NO_CHUNKS

    def _admit(self) -> None:
        """Is everything met that the door asks for before MAIL?"""
        secure = self.tls is not None or not self.offer.require_tls
        self._open = secure and (self.authenticated or not self.offer.require_auth)


_NO_MAIL = Mail("", {})
_NO_DATA, _NO_CHUNKS = DataReader(0), ChunkReader(0)  # nothing is ever put into these
_TINY_CHUNK = 1024  # octets: smaller ones in great number are no message

_DO: Mapping[type, Callable[[ServerEngine, Any], None]] = {
    cmd.Ehlo: ServerEngine._ehlo,
    cmd.Helo: ServerEngine._helo,
    cmd.StartTls: ServerEngine._starttls,
    cmd.Auth: ServerEngine._auth,
    Mail: ServerEngine._mail_from,
    Rcpt: ServerEngine._rcpt_to,
    cmd.Data: ServerEngine._start_data,
    cmd.Rset: ServerEngine._rset,
    cmd.Noop: ServerEngine._noop,
    Quit: ServerEngine._quit,
    cmd.Vrfy: ServerEngine._vrfy,
    cmd.Expn: ServerEngine._expn,
    cmd.Help: ServerEngine._help,
    cmd.Unknown: ServerEngine._unknown,
}

_SETTLE: Mapping[type, Callable[[ServerEngine, Any, Reply], None]] = {
    TlsWanted: ServerEngine._settle_tls,
    Credentials: ServerEngine._settle_credentials,
    Mail: ServerEngine._settle_mail,
    Rcpt: ServerEngine._settle_rcpt,
    Content: ServerEngine._settle_content,
}
