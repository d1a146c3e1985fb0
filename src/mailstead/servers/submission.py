"""Submission: the SMTP interface of SES (SES: smtp §2, §4, §10).

Who it is comes from AUTH or from a trusted network; a well-formed MAIL and RCPT is 250, and every check of policy is
made behind the final dot, with SES's replies.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import randbytes

from mailstead.base.clock import MINUTE
from mailstead.base.errors import Closed, MailsteadError, Unreachable
from mailstead.outbound.handed_in import Submission
from mailstead.proto import received
from mailstead.proto.received import Hop
from mailstead.proto.sasl import Credentials
from mailstead.proto.smtp.command import Mail, Rcpt
from mailstead.proto.smtp.dialogue import SUBMISSION_WORDS, Offer, about, submission_offer
from mailstead.proto.smtp.reply import Reply
from mailstead.proto.smtp.server import Content, ServerEngine
from mailstead.runtime import Runtime
from mailstead.servers.listener import Crowd, Limits
from mailstead.servers.refusals import TEMPORARY, refusal
from mailstead.servers.smtp import Decision, Door, Patience, Peer
from mailstead.ses import account as accounts
from mailstead.ses import credentials
from mailstead.ses.principals import ROOT, Caller, arn_of
from mailstead.store.port import Transaction

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Submit = Callable[[Submission], Awaitable[str]]

FREE_TRIES = 3
"""Wrong passwords of one connection that are answered at once; each further one waits twice as long."""
LONGEST_WAIT = 16.0
KNOWN_CALLERS = 10_000
"""Addresses whose answer to "is this one trusted?" is remembered."""
LIMIT_KNOWN = 10.0
"""Seconds for which an account's own message size is not looked up again."""

_words = SUBMISSION_WORDS
NOT_RECEIVED = Reply(454, "Temporary service failure")
NOT_SUBSCRIBED = Reply(535, credentials.NOT_SUBSCRIBED)


def _no_fault(part: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Trusted:
    """Clients of this network submit for this account without TLS and AUTH."""

    network: Network
    account: str


@dataclass(frozen=True, slots=True)
class SubmissionSettings:
    """What the operator decided about the submission listeners."""

    hostname: str
    regions: tuple[str, ...]
    """The first is that of trusted networks."""
    max_message: int = 10 * 1024 * 1024
    idle: int = MINUTE
    """Milliseconds."""
    connections: int = 500
    connections_per_account: int = 50
    connections_per_address: int = 100
    """Clients of trusted networks are not counted."""
    trusted: tuple[Trusted, ...] = ()
    sigv2: bool = False
    """Let the old form of passwords in."""
    open_door: str = ""
    """``--dev``: the account that unknown keys get; empty: they are refused."""
    bare_newline: str = "normalize"


class Submitting:
    """The door: what all its sessions share.

    Args:
        submit: takes responsibility for a message; raises base.errors.
        fault: is this use of a part (``auth``, ``receive``) to fail (``/_mailstead/fault``)?
    """

    def __init__(
        self,
        runtime: Runtime,
        submit: Submit,
        settings: SubmissionSettings,
        *,
        fault: Callable[[str], bool] = _no_fault,
    ) -> None:
        self.runtime = runtime
        self.submit = submit
        self.settings = settings
        self.fault = fault
        self.crowd = Crowd(
            Limits(settings.connections, settings.connections_per_account, settings.connections_per_address)
        )
        offer = submission_offer(settings.hostname, settings.hostname, max_message=settings.max_message)
        refuse = settings.bare_newline == "refuse"
        self.offer = replace(offer, bare_newline="refuse" if refuse else "normalize")
        self.offer_trusted = replace(self.offer, require_tls=False, require_auth=False)
        self._limits: dict[tuple[str, str], tuple[int, float]] = {}
        """Octets a message of this account may have, and until when that is not looked up again."""
        self._callers: dict[str, Caller | None] = {}

    def door(self, tls: ssl.SSLContext | None) -> Door:
        """For the servers of ``submission`` and ``submissions``: they share the limits. None: no TLS is to be had."""
        if tls is None:
            self.offer = replace(self.offer, starttls=False)
            self.offer_trusted = replace(self.offer_trusted, starttls=False)
        patience = Patience(self.settings.idle / 1000)
        return Door("submission", self.settings.hostname, self.crowd, patience, self._visit, tls)

    def _visit(self, peer: Peer) -> SubmissionVisit:
        return SubmissionVisit(self, peer, self._trusted(peer.ip) if self.settings.trusted else None)

    def _trusted(self, ip: str) -> Caller | None:
        """Who submits from there without AUTH."""
        known = self._callers
        if ip in known:
            return known[ip]
        if len(known) > KNOWN_CALLERS:
            known.clear()
        account = self._trusted_account(ip)
        region = self.settings.regions[0]
        known[ip] = replace(root_of(account, region, ""), source_ip=ip, operation="SMTP") if account else None
        return known[ip]

    def _trusted_account(self, ip: str) -> str:
        try:
            address = ipaddress.ip_address(ip.partition("%")[0])
        except ValueError:
            return ""
        return next((trusted.account for trusted in self.settings.trusted if address in trusted.network), "")

    async def look_up(self, tx: Transaction, username: str, password: str) -> Caller | None:
        """Who logs in; see ``credentials.smtp_login``."""
        settings = self.settings
        if settings.open_door and await credentials.find(tx, username) is None:
            own = len(username) == 12 and username.isascii() and username.isdigit()
            return root_of(username if own else settings.open_door, settings.regions[0], username)
        return await credentials.smtp_login(
            tx, self.runtime.vault, username, password, settings.regions, sigv2=settings.sigv2
        )

    def known_limit(self, account: str, region: str) -> int | None:
        """Octets a message of this account may have, if it was looked up lately."""
        limit, until = self._limits.get((account, region), (0, 0.0))
        return limit if self.runtime.clock.monotonic() < until else None

    async def find_limit(self, account: str, region: str) -> int:
        """The account's own limit of message size, else the door's.

        Raises:
            Unreachable: the database cannot be asked.
        """
        row = await self.runtime.db.read(lambda tx: accounts.find_region(tx, account, region))
        limit = (row.message_bytes if row else None) or self.settings.max_message
        if len(self._limits) > 10_000:
            self._limits.clear()
        self._limits[account, region] = (limit, self.runtime.clock.monotonic() + LIMIT_KNOWN)
        return limit


def root_of(account: str, region: str, access_key: str) -> Caller:
    """The account itself, where no key of its own says who acts."""
    return Caller(account, region, access_key, arn_of(account, ROOT), ROOT)


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz01"
_UPPER = bytes(ord(_ALPHABET[byte % 36]) for byte in range(256))
_ANY = bytes(ord(_ALPHABET[byte % 62]) for byte in range(256))


class SubmissionVisit:
    """One session with a sender."""

    __slots__ = (
        "_base",
        "_counted",
        "_door",
        "_ended",
        "_engine",
        "_failures",
        "_peer",
        "_recipients",
        "_sender",
        "caller",
        "crowded",
        "greeting",
        "number",
        "offer",
        "server",
        "trouble",
        "trusted",
    )

    _engine: ServerEngine

    def __init__(self, door: Submitting, peer: Peer, trusted: Caller | None) -> None:
        self._door = door
        self._peer = peer
        self.trouble = TEMPORARY
        self.crowded = NOT_RECEIVED
        self.offer: Offer = door.offer_trusted if trusted else door.offer
        dice = randbytes(29)  # noqa: S311 — names a session in logs and Received, no secret
        self.server = f"SimpleEmailService-d-{dice[:9].translate(_UPPER).decode()}"
        self.number = dice[9:].translate(_ANY).decode()
        self.greeting = f"{door.settings.hostname} ESMTP {self.server} {self.number}"
        self.trusted = trusted is not None
        self._base = trusted
        """Whom the session is for without AUTH."""
        self.caller = trusted
        self._counted = ""
        """The account whose limit counts this session."""
        self._ended = False
        self._failures = 0
        self._sender = ""
        self._recipients: list[str] = []

    def begin(self, engine: ServerEngine) -> None:
        self._engine = engine

    def secured(self) -> None:
        self._uncount()
        tls = self._engine.tls
        self.caller = replace(self._base, tls=tls[0]) if self._base and tls else self._base

    def end(self) -> None:
        self._ended = True
        self._uncount()

    # --- who it is

    @property
    def known(self) -> bool:
        """Has it logged in?"""
        return self.caller is not None and not self.trusted

    async def login(self, event: Credentials) -> Reply:
        """Check a password. After some wrong ones each further answer takes twice as long, right or wrong."""
        if self._failures >= FREE_TRIES:
            wait = min(2.0 ** (self._failures - FREE_TRIES), LONGEST_WAIT)
            await asyncio.sleep(wait)  # guessing must not be cheap
        door = self._door
        try:
            if door.fault("auth"):
                return _words.auth_unavailable
            found = await door.runtime.db.read(lambda tx: door.look_up(tx, event.username, event.password))
        except Closed:
            return NOT_SUBSCRIBED
        except Unreachable as error:
            log.warning("submission: cannot check a password: %s", error)
            return _words.auth_unavailable
        if found is None or event.authzid not in ("", event.username):
            self._failures += 1
            log.info("submission: wrong password ip=%s failures=%d", self._peer.ip, self._failures)
            return _words.auth_failed
        return self._welcome(found)

    def _welcome(self, found: Caller) -> Reply:
        if not self._count(found.account):
            log.info("submission: too many connections account=%s", found.account)
            return _words.too_many_connections
        tls = self._engine.tls
        self.caller = replace(found, source_ip=self._peer.ip, operation="SMTP", tls=tls[0] if tls else "")
        return _words.auth_ok

    def _count(self, account: str) -> bool:
        self._uncount()
        # A client that hung up while its password was checked must not be counted: nobody would count it out.
        if self._ended or not self._door.crowd.enter_account(account):
            return False
        self._counted = account
        return True

    def _uncount(self) -> None:
        if self._counted:
            self._door.crowd.leave_account(self._counted)
            self._counted = ""

    # --- the message

    def mail(self, event: Mail) -> Decision:
        if not event.address:
            return _words.sender_unusable  # SES takes no null sender
        self._sender = event.address
        self._recipients = []
        caller = self.caller
        if caller is None:
            return _words.auth_first
        if not self._counted and not self._count(caller.account):  # a trusted client: its account shows only now
            return _words.too_many_connections
        limit = self._door.known_limit(caller.account, caller.region)
        if limit is None:
            return self._mail_with_limit(event, caller)
        return self._mail_within(event, limit)

    async def _mail_with_limit(self, event: Mail, caller: Caller) -> Reply:
        try:
            limit = await self._door.find_limit(caller.account, caller.region)
        except Unreachable:
            limit = self._door.settings.max_message  # what is wrong shows behind the dot, with SES's reply
        return self._mail_within(event, limit)

    def _mail_within(self, event: Mail, limit: int) -> Reply:
        engine = self._engine
        if engine.offer.max_message != limit:
            engine.offer = replace(engine.offer, max_message=limit)
            if int(event.params.get("SIZE") or 0) > limit:
                return _words.too_large
        return _words.sender_ok

    def rcpt(self, event: Rcpt) -> Decision:
        if "@" not in event.address:
            return about(_words.recipient_invalid, address=event.address)
        self._recipients.append(event.address)
        return _words.recipient_ok

    async def content(self, event: Content) -> Reply:
        caller = self.caller
        if caller is None:
            return _words.auth_first
        if self._door.fault("receive"):
            return NOT_RECEIVED
        submission = Submission(
            caller=caller,
            operation="SMTP",
            limit=self._engine.offer.max_message,
            source=self._sender,
            destinations=tuple(self._recipients),
            raw=event.data,
            crlf=True,
            received=self._received(),
        )
        try:
            message_id = await self._door.submit(submission)
        except MailsteadError as error:
            reply = refusal(error)
            log.info("submission: refused account=%s reply=%d kind=%s", caller.account, reply.code, error.kind)
            return reply
        return Reply(250, f"Ok {message_id}")

    def _received(self) -> str:
        """What SES notes about the way the message came (SES: smtp §6.1)."""
        recipient = self._recipients[0] if len(self._recipients) == 1 else ""
        hop = Hop(
            self._engine.helo,
            self._peer.ip,
            self._door.settings.hostname,
            "SMTP",
            self.number,
            recipient,
            self.server,
        )
        return received.value(hop, self._door.runtime.clock.now())
