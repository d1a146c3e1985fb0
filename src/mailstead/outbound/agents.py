"""Agents: what takes mail to its next place (the network, a local mailbox, the capture), and what a try told us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mailstead.proto.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Host:
    """One server that takes mail for a destination."""

    name: str
    """Host name, or an address literal without brackets."""
    port: int
    addresses: tuple[str, ...] = ()
    """IP addresses to try, in order; empty: look ``name`` up."""


@dataclass(frozen=True, slots=True)
class Source:
    """An address of ours that an account has for itself."""

    ip: str
    hostname: str
    """For EHLO."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a destination's mail goes."""

    agent: str
    """``smtp``, ``local``, ``capture`` or ``simulator``."""
    site: str
    """What shares limits: domains with the same best hosts are one site."""
    hosts: tuple[Host, ...] = ()
    """In the order they are to be tried (RFC 5321 §5.1)."""
    refusal: Reply | None = None
    """Known without a connection: no such domain, null MX (RFC 7505), a loop back to ourselves."""
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: str = "opportunistic"
    """``opportunistic``, ``require``, ``implicit`` or ``none``."""
    source: Source | None = None
    """Where it leaves from; None: the agent's own address."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message and the recipients that one attempt takes along."""

    message: str
    account: str
    sender: str
    """The reverse-path; empty is the null one."""
    recipients: tuple[str, ...]
    signatures: bytes
    """DKIM-Signature fields, each with its CRLF."""
    head: bytes
    """The header as stored, with its last CRLF and without the blank line."""
    body: bytes
    """The blank line and everything behind it."""
    date: str
    """``2026.03.27``: the day in X-SES-Outgoing; empty for notices, which do not carry it."""
    eight_bit: bool = False
    utf8: bool = False
    """Does an address or the header need SMTPUTF8 (RFC 6531)?"""

    def pieces(self, source_ip: str) -> list[bytes]:
        """The bytes to send, uncopied; ``source_ip`` is the address they leave from (SES: smtp §6)."""
        outgoing = f"X-SES-Outgoing: {self.date}-{source_ip}\r\n".encode() if self.date else b""
        return [self.signatures, self.head, outgoing, self.body]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one try told us: a reply for every recipient of the parcel."""

    replies: Mapping[str, Reply]
    host: str = ""
    """``mx1.example.net [192.0.2.7]:25``."""
    remote_ip: str = ""
    source_ip: str = ""
    tls: str = ""
    """``TLSv1.3 TLS_AES_256_GCM_SHA384``, empty in clear."""
    reached: bool = True
    """False: no server of the destination talked to us; then the whole destination waits, not only this message."""
    alone: bool = False
    """True: it left from an account's own address; then what was not reached says nothing for the mail of others."""


class Agent(Protocol):
    """Takes parcels to their next place."""

    async def attempt(self, route: Route, parcel: Parcel) -> Attempt:
        """Try once. Never raises for what the other side does; whatever cannot be told apart is a 4xx reply."""
        ...
