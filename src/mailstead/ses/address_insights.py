"""Address insights: what can be said of a mail address without writing to it (SES v2: GetEmailAddressInsights).

Each question is answered with how sure we are that it is so.  We ask DNS, and what this account itself knows: who
bounced, who clicked the link of a verification.  Nobody's mail server is asked whether a mailbox exists, for that would
be taken for harvesting: what nobody knows is MEDIUM.  The rules are ours (SES does not tell its own).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from mailstead.base.address import ascii_domain, bare, is_address
from mailstead.proto.dns import DnsError, Resolver
from mailstead.ses import identities, suppression
from mailstead.store.port import Transaction

LOW, MEDIUM, HIGH = "LOW", "MEDIUM", "HIGH"
"""How sure we are that it is so: hardly, perhaps, very."""

# RFC 2142 §3 to §5, and what else is read by several people or by nobody.
_ROLES = (
    "info marketing sales support abuse noc security postmaster hostmaster usenet news webmaster www uucp ftp"
    " admin administrator root help helpdesk contact office hello team service services billing accounts accounting"
    " invoices orders jobs careers hr press media legal privacy compliance feedback enquiries inquiries mail"
    " mailer-daemon noreply no-reply donotreply do-not-reply newsletter notifications alerts bounce bounces list"
    " subscribe unsubscribe"
)
ROLES = frozenset(_ROLES.split())

_DISPOSABLE = (
    "mailinator.com guerrillamail.com guerrillamail.net guerrillamail.org guerrillamail.biz guerrillamail.de"
    " guerrillamailblock.com sharklasers.com grr.la spam4.me pokemail.net 10minutemail.com 10minutemail.net"
    " 20minutemail.com yopmail.com yopmail.fr yopmail.net trashmail.com trashmail.de trashmail.net trash-mail.com"
    " temp-mail.org tempmail.com tempmail.net tempmailo.com tempr.email throwawaymail.com maildrop.cc mailnesia.com"
    " mailcatch.com mintemail.com mohmal.com getnada.com nada.email dispostable.com discard.email discardmail.com"
    " emailondeck.com fakeinbox.com fakemail.net getairmail.com mytemp.email moakt.com spamgourmet.com spambog.com"
    " spambox.us spamex.com wegwerfmail.de wegwerfmail.net jetable.org burnermail.io incognitomail.org mailsac.com"
    " inboxkitten.com 33mail.com anonbox.net byom.de einrot.com harakirimail.com tempail.com crazymailing.com"
)
DISPOSABLE = frozenset(_DISPOSABLE.split())

_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]+")
_RUN = (6, 7)
"""Consonants in a row that are strange, and very strange."""
_SWITCHES = (4, 5)
"""Changes between letters and digits, the same."""


@dataclass(frozen=True, slots=True)
class Insights:
    """How sure we are of each."""

    syntax: str
    dns: str
    """Does the domain take mail?"""
    mailbox: str
    role: str
    disposable: str
    random: str

    @property
    def valid(self) -> str:
        """All in all: one answer that speaks against it is enough; nothing but knowledge speaks for it."""
        if LOW in (self.syntax, self.dns, self.mailbox) or HIGH in (self.disposable, self.random):
            return LOW
        return HIGH if self.mailbox == HIGH and self.dns == HIGH else MEDIUM


NO_ADDRESS = Insights(LOW, LOW, LOW, LOW, LOW, LOW)


@dataclass(frozen=True, slots=True)
class Known:
    """What an account knows of an address."""

    bounced: bool = False
    """It is on the account's suppression list because nobody lives there."""
    proved: bool = False
    """Somebody there clicked our link, or the operator vouched for it."""


async def known(tx: Transaction, account: str, region: str, address: str) -> Known:
    """What the account knows of an address, from its own list and its own identities."""
    if not is_address(address):
        return Known()
    name = bare(address)
    entry = await suppression.find(tx, account, region, name)
    identity = await identities.find(tx, account, region, name)
    bounced = entry is not None and entry.reason == suppression.BOUNCE
    return Known(bounced, identity is not None and identity.verified)


async def look(resolver: Resolver, address: str, own: Known) -> Insights:
    """What can be said of an address; ``own``: what the account knows of it."""
    if not is_address(address):
        return NO_ADDRESS
    domain = ascii_domain(address.rpartition("@")[2])
    local = address.rpartition("@")[0].partition("+")[0].lower()
    takes_mail = await _takes_mail(resolver, domain)
    return Insights(
        syntax=HIGH,
        dns=takes_mail,
        mailbox=LOW if own.bounced or takes_mail == LOW else HIGH if own.proved else MEDIUM,
        role=HIGH if local in ROLES else LOW,
        disposable=HIGH if _is_disposable(domain) else LOW,
        random=_looks_random(local),
    )


async def _takes_mail(resolver: Resolver, domain: str) -> str:
    """Does the domain take mail (RFC 5321 §5.1)?  Where DNS cannot tell now: perhaps."""
    try:
        found = await resolver.query(domain, "MX")
        if found.records:
            hosts = [record.partition(" ")[2].rstrip(".") for record in found.records]
            return HIGH if any(hosts) else LOW  # RFC 7505 §3: the null MX
        if not found.exists:
            return LOW
        for kind in ("A", "AAAA"):
            if (await resolver.query(domain, kind)).records:
                return MEDIUM
    except DnsError:
        return MEDIUM
    return LOW


def _is_disposable(domain: str) -> bool:
    labels = domain.split(".")
    return any(".".join(labels[n:]) in DISPOSABLE for n in range(len(labels) - 1))


def _looks_random(local: str) -> str:
    """Do the letters look as if nobody had chosen them?"""
    run = max((len(match) for match in _CONSONANTS.findall(local)), default=0)
    signs = [sign.isdigit() for sign in local if sign.isalnum()]
    switches = sum(one != other for one, other in pairwise(signs))
    if run >= _RUN[1] or switches >= _SWITCHES[1]:
        return HIGH
    return MEDIUM if run >= _RUN[0] or switches >= _SWITCHES[0] else LOW
