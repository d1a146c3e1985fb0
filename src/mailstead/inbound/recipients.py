"""Recipients: what is this address to us? A return path of mail we sent, postmaster or abuse of a domain here, nothing.

Not done: mailboxes, aliases and receipt rules come later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mailstead.base.address import ascii_domain
from mailstead.base.errors import Invalid
from mailstead.proto import verp
from mailstead.proto.smtp.reply import Reply
from mailstead.store import arrivals
from mailstead.store.port import Transaction

ROLES = frozenset({"postmaster", "abuse"})  # RFC 5321 §4.5.1, RFC 2142 §2, §4

NO_MAILBOX = Reply(550, "Requested action not taken: mailbox unavailable", "5.1.1")  # SES: receiving §9
NO_RELAY = Reply(550, "Relaying denied: this server does not receive mail for that domain", "5.7.1")


@dataclass(frozen=True, slots=True)
class Places:
    """Which domains are here."""

    hosted: Mapping[str, str]
    """Domain (lower case, A-labels) to account."""
    return_hosts: frozenset[str]
    """Where the return paths of mail we sent live: the provider's domain, with and without a region before it."""
    own: frozenset[str]
    """Further names of ours, which have a postmaster: the host's name."""
    account: str
    """Whom mail to the postmaster of our own names belongs to."""
    region: str
    """The region of what has none of its own: the first."""


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """The address that a message of ours was sent with."""

    address: str
    account: str
    region: str
    message: str


@dataclass(frozen=True, slots=True)
class Role:
    """Somebody every domain has to have."""

    address: str
    account: str
    region: str
    name: str
    """``postmaster`` or ``abuse``."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody of this name at a domain of ours."""

    reply: Reply = NO_MAILBOX


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A domain that is not ours."""

    reply: Reply = NO_RELAY


Known = ReturnPath | Role
Meaning = Known | Unknown | Elsewhere

UNKNOWN = Unknown()
ELSEWHERE = Elsewhere()


async def _return_path(tx: Transaction, places: Places, address: str, domain: str) -> Meaning | None:
    """A return path of a message of ours, at our domain or at a customer's MAIL FROM domain; None: no such form."""
    message = verp.named(address)
    if message is None:
        return None
    sent = await arrivals.sender_of(tx, message)
    if sent is not None and (domain in places.return_hosts or sent[2].lower() == f"{message}@{domain}"):
        return ReturnPath(address, sent[0], sent[1], message)
    return UNKNOWN if domain in places.return_hosts else None


async def resolve(tx: Transaction, places: Places, address: str) -> Meaning:
    """What the address is. ``postmaster`` without a domain is that of our own host (RFC 5321 §4.5.1)."""
    local, at, domain = address.rpartition("@")
    if not at:
        local, domain = domain, ""
    try:
        domain = ascii_domain(domain)
    except Invalid:
        return ELSEWHERE
    returned = await _return_path(tx, places, address, domain)
    if returned is not None:
        return returned
    account = places.hosted.get(domain)
    if account is None and domain and domain not in places.own and domain not in places.return_hosts:
        return ELSEWHERE
    if local.lower() in ROLES:
        return Role(address, account or places.account, places.region, local.lower())
    return UNKNOWN
