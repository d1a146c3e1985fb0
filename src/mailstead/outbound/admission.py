"""Admission: may this account send this, now?  Each reason to refuse is one function that raises it.

All of it reads committed state; the day's quota is counted later, inside the transaction that accepts (ses/quota.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mailstead.base.errors import Closed, Denied, Invalid, NotFound, Paused, Rejected
from mailstead.outbound.composition import Draft, Options
from mailstead.outbound.simulator import is_simulator
from mailstead.proto.addresses import Mailbox
from mailstead.ses import account as accounts
from mailstead.ses import configuration_sets, dedicated_ips, identities, mail_from, suppression
from mailstead.ses.account import AccountRegion, Standing
from mailstead.ses.configuration_sets import ConfigurationSet
from mailstead.ses.identities import Identity
from mailstead.ses.principals import Caller
from mailstead.store.port import Transaction

INBOX = "For more information, please check the inbox of the email address associated with your AWS account."


class NotVerified(Rejected):
    """Identities that failed the check; a door with short lines may cut the list (SES: wire §9, smtp §4)."""

    def __init__(self, region: str, failed: Iterable[str]) -> None:
        self.failed = tuple(failed)
        self.beginning = (
            f"Email address is not verified. The following identities failed the check in region {region.upper()}: "
        )
        super().__init__(self.beginning + ", ".join(self.failed), kind="identity")

    def within(self, room: int) -> str:
        """The text in at most ``room`` octets: whole identities, then ``...``."""
        if len(self.message.encode()) <= room:
            return self.message
        text = self.beginning
        for name in self.failed:
            longer = f"{text}{name}, "
            if len(longer.encode()) + 3 > room:
                break
            text = longer
        return text + "..."


@dataclass(frozen=True, slots=True)
class Grant:
    """What admission found out on the way, for those who go on."""

    region: AccountRegion
    identity: str
    """The most specific verified identity of the From address: whose settings rule."""
    signing_domain: str
    """``d=`` of the identity's signature; empty: an address alone is verified, the mail is not DMARC-aligned."""
    configuration_set: ConfigurationSet | None = None
    """The options it is sent with."""
    reasons: tuple[str, ...] = ()
    """Those of the suppression list that count (ses/suppression.py)."""
    suppressed: Mapping[str, str] = field(default_factory=dict)
    """Recipients that are not to be mailed, bare, with the reason."""
    mail_from: str = ""
    """The customer's own domain for the reverse-path; empty: ours (ses/mail_from.py)."""


async def admit(tx: Transaction, caller: Caller, draft: Draft, *, action: str = "SendRawEmail") -> Grant:
    """Let this through, or raise why not.  ``action``: what IAM calls it (SES: wire §4).

    Raises:
        Closed, Paused, Denied, Invalid, NotFound, NotVerified, MailFromNotVerified: with SES's texts.
    """
    standing = await _open_account(tx, caller)
    _may_act(caller, draft.options, action)
    _offered(draft.options)
    identity = await _verified(tx, caller, draft, sandbox=not standing.region.production_access)
    chosen = await _configuration_set(tx, caller, draft.options.configuration_set or identity.configuration_set)
    signing = ""
    if not identity.dkim_off:
        signing = await identities.signing_domain(tx, caller.account, caller.region, draft.from_domain)
    own = chosen.options.suppression.reasons if chosen is not None else None
    reasons = standing.suppressed_reasons if own is None else own
    kept_back = await suppressed(tx, caller, draft, reasons)
    own_domain = mail_from.domain_of(identity)
    return Grant(standing.region, identity.name, signing, chosen, reasons, kept_back, own_domain)


async def suppressed(tx: Transaction, caller: Caller, draft: Draft, reasons: Collection[str]) -> dict[str, str]:
    """Recipients that are not to be mailed, bare, with the reason, of which ``reasons`` count."""
    recipients = [suppression.normalise(recipient.address) for recipient in draft.recipients]
    return await suppression.among(tx, caller.account, caller.region, recipients, reasons=reasons)


async def _open_account(tx: Transaction, caller: Caller) -> Standing:
    """The account is there, open, subscribed and not paused."""
    standing = await accounts.standing(tx, caller.account, caller.region)
    if standing is None:
        raise NotFound(f"Account {caller.account} does not exist", kind="account")
    if standing.closed or not standing.subscribed:
        kind = "closed" if standing.closed else "not-subscribed"
        raise Closed(f"Sending suspended for this account. {INBOX}", kind=kind)
    if standing.region.enforcement == "SHUTDOWN":
        raise Paused(f"Sending paused for this account. {INBOX}", kind="enforcement")
    if not standing.region.sending_enabled:
        raise Paused(f"Sending paused for this account. {INBOX}", kind="account")
    return standing


async def _configuration_set(tx: Transaction, caller: Caller, name: str) -> ConfigurationSet | None:
    """The set a message is sent with: the one it names, else its identity's, else none (SES: sending §3)."""
    if not name:
        return None
    found = await configuration_sets.get(tx, caller.account, caller.region, name)
    if not found.options.sending_enabled:
        raise Paused(f"Sending paused for configuration set <{name}>. {INBOX}", kind="configuration-set")
    pool = found.options.delivery.sending_pool
    if pool and not await dedicated_ips.usable(tx, caller.account, caller.region, pool):
        raise NotFound(configuration_sets.no_sending_pool(pool), kind="sending-pool")
    return found


def _may_act(caller: Caller, options: Options, action: str) -> None:
    """Identities of other accounts need their policy, which nobody can give yet."""
    for arn in (options.source_arn, options.from_arn, options.return_path_arn):
        if arn and not arn.startswith(f"arn:aws:ses:{caller.region}:{caller.account}:identity/"):
            raise Denied(
                f"User `{caller.arn}' is not authorized to perform `ses:{action}' on resource `{arn}'",
                kind="identity",
            )


def _offered(options: Options) -> None:
    """Options that have no effect yet are refused: they must not seem to work."""
    if options.list_management:
        raise Invalid("List management is not offered yet.")
    if options.tenant:
        raise Invalid("Tenants are not offered yet.")


async def _verified(tx: Transaction, caller: Caller, draft: Draft, *, sandbox: bool) -> Identity:
    """Everybody the message claims to be from is verified, in the sandbox its recipients too; the From's identity."""
    asked: list[Mailbox] = list(draft.claims)
    if sandbox:
        claimed = {mailbox.address for mailbox in asked}
        asked += [m for m in draft.recipients if m.address not in claimed and not is_simulator(m.address)]
    failed: list[str] = []
    first: Identity | None = None
    for mailbox in asked:
        covering = await identities.covering(tx, caller.account, caller.region, mailbox.address)
        if covering is None:
            failed.append(mailbox.text if mailbox.text != f"<{mailbox.address}>" else mailbox.address)
        elif first is None:
            first = covering
    if failed or first is None:
        raise NotVerified(caller.region, failed)
    return first
