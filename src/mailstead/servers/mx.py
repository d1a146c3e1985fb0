"""MX: the server that mail from outside comes to (RFC 5321, SES: receiving §9).

Each recipient is decided at its RCPT; a message is 250 when it is on the disk.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import randbytes

from mailstead.base.clock import MINUTE
from mailstead.base.errors import Rejected, Unreachable
from mailstead.inbound.reception import Reception, Source
from mailstead.inbound.recipients import Known, Places, ReturnPath, Role, resolve
from mailstead.proto.sasl import Credentials
from mailstead.proto.smtp.command import Mail, Rcpt
from mailstead.proto.smtp.dialogue import MX_WORDS, mx_offer
from mailstead.proto.smtp.reply import Reply
from mailstead.proto.smtp.server import Content, ServerEngine
from mailstead.runtime import Runtime
from mailstead.servers.listener import Crowd, Limits
from mailstead.servers.smtp import Decision, Door, Patience, Peer

log = logging.getLogger(__name__)

AWAY = Reply(451, "Temporary service failure", "4.3.0")
CROWDED = Reply(452, "Insufficient system storage", "4.3.1")  # RFC 5321 §4.2.3
LOOP = Reply(554, "Too many hops, this is a mail loop", "5.4.6")
MAX_REPORTS = 10
"""Return paths of one message: each is an arrival with a copy of its own, and a report is about one message."""
TOO_LARGE = replace(MX_WORDS, too_large=Reply(552, "Message size exceeds fixed limit", "5.3.4"))  # SES: receiving §9


@dataclass(frozen=True, slots=True)
class MxSettings:
    """What the operator decided about the receiving listeners."""

    hostname: str
    max_message: int = 40 * 1024 * 1024
    idle: int = 5 * MINUTE
    """Milliseconds (RFC 5321 §4.5.3.2.7: five minutes)."""
    connections: int = 500
    connections_per_address: int = 100
    bare_newline: str = "normalize"


def _no_fault(part: str) -> bool:
    return False


class Receiving:
    """The door: what all its sessions share. ``fault``: is this use of ``receive`` to fail (``/_mailstead/fault``)?"""

    def __init__(
        self,
        runtime: Runtime,
        reception: Reception,
        places: Places,
        settings: MxSettings,
        *,
        fault: Callable[[str], bool] = _no_fault,
    ) -> None:
        self.runtime = runtime
        self.reception = reception
        self.places = places
        self.settings = settings
        self.fault = fault
        self.crowd = Crowd(Limits(settings.connections, each_address=settings.connections_per_address))
        self.offer = replace(
            mx_offer(settings.hostname, f"{settings.hostname} ESMTP", max_message=settings.max_message),
            words=TOO_LARGE,
            bare_newline="refuse" if settings.bare_newline == "refuse" else "normalize",
        )

    def door(self, tls: ssl.SSLContext | None) -> Door:
        """For the server of ``mx``. None: no TLS is to be had."""
        if tls is None:
            self.offer = replace(self.offer, starttls=False)
        patience = Patience(self.settings.idle / 1000)
        return Door("mx", self.settings.hostname, self.crowd, patience, lambda peer: MxVisit(self, peer), tls)


class MxVisit:
    """One session with another server."""

    __slots__ = ("_door", "_engine", "_peer", "_recipients", "_sender", "crowded", "greeting", "offer", "trouble")

    trusted = False
    known = False
    _engine: ServerEngine

    def __init__(self, door: Receiving, peer: Peer) -> None:
        self._door = door
        self._peer = peer
        self.offer = door.offer
        self.trouble = AWAY
        self.crowded = CROWDED
        number = randbytes(8).hex()  # noqa: S311 — names a session, no secret
        self.greeting = f"{door.settings.hostname} ESMTP SimpleEmailService-{number}"
        self._sender = ""
        self._recipients: list[Known] = []

    def begin(self, engine: ServerEngine) -> None:
        self._engine = engine

    def secured(self) -> None: ...

    def end(self) -> None: ...

    def login(self, event: Credentials) -> Decision:
        return self.offer.words.not_implemented

    def mail(self, event: Mail) -> Decision:
        self._sender = event.address
        self._recipients = []
        return self.offer.words.sender_ok

    async def rcpt(self, event: Rcpt) -> Reply:
        door = self._door
        try:
            meaning = await door.runtime.db.read(lambda tx: resolve(tx, door.places, event.address))
        except Unreachable as error:
            log.warning("mx: cannot look a recipient up: %s", error)
            return AWAY
        if not isinstance(meaning, ReturnPath | Role):
            log.info("mx: recipient refused ip=%s reply=%s", self._peer.ip, meaning.reply.enhanced)
            return meaning.reply
        known = self._recipients
        if isinstance(meaning, ReturnPath) and sum(isinstance(one, ReturnPath) for one in known) >= MAX_REPORTS:
            return self.offer.words.too_many_recipients
        if not any(one.address == meaning.address for one in known):
            known.append(meaning)
        return self.offer.words.recipient_ok

    async def content(self, event: Content) -> Reply:
        if self._door.fault("receive"):
            return AWAY
        engine = self._engine
        protocol = ("ESMTPS" if engine.tls else "ESMTP") if engine.esmtp else "SMTP"
        if "SMTPUTF8" in event.params:
            protocol = "UTF8SMTPS" if engine.tls else "UTF8SMTP"  # RFC 6531 §4.3
        source = Source("mx", self._peer.ip, engine.helo, protocol, " ".join(engine.tls or ()))
        try:
            id = await self._door.reception.receive(self._sender, self._recipients, event.data, source)
        except Rejected:
            return LOOP
        except Unreachable as error:
            log.warning("mx: cannot receive: %s", error)
            return AWAY
        return Reply(250, f"OK {id}", "2.0.0")
