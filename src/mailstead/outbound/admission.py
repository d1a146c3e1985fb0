"""Admission: may this account send this, now?  Each reason to refuse is one function that raises it.

All of it reads committed state; the day's quota is counted later, inside the transaction that accepts (ses/quota.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mailstead.base.errors import Closed, Denied, NotFound, Paused, Rejected
from mailstead.outbound import permission
from mailstead.outbound.composition import Draft, Options
from mailstead.outbound.simulator import is_simulator
from mailstead.proto.addresses import Mailbox
from mailstead.ses import account as accounts
from mailstead.ses import (
    configuration_sets,
    dedicated_ips,
    identities,
    list_management,
    mail_from,
    permissions,
    suppression,
    tenant_resources,
    tenants,
)
from mailstead.ses.account import AccountRegion, Standing
from mailstead.ses.configuration_sets import ConfigurationSet
from mailstead.ses.identities import Identity
from mailstead.ses.list_management import Listing
from mailstead.ses.principals import Caller
from mailstead.ses.suppression import NO_RULE, Rule
from mailstead.ses.tags import CONFIGURATION_SET, IDENTITY, TEMPLATE, resource
from mailstead.ses.tenants import Tenant
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
    rule: Rule = NO_RULE
    """Whose suppression list counts, and which reasons of it."""
    suppressed: Mapping[str, str] = field(default_factory=dict)
    """Recipients that are not to be mailed, bare, with the reason."""
    mail_from: str = ""
    """The customer's own domain for the reverse-path; empty: ours (ses/mail_from.py)."""
    tenant: str = ""
    """The one it is sent through, by name; empty: none."""
    listing: Listing | None = None
    """The contact list it belongs to, and who does not want it; None: none."""
    by_policy: bool = False
    """Did the principal's policy decide?  It looks at each message anew."""


async def admit(
    tx: Transaction, caller: Caller, draft: Draft, *, action: str = "SendRawEmail", template: str = ""
) -> Grant:
    """Let this through, or raise why not.

    Args:
        action: what IAM calls it (SES: wire §4).
        template: the stored one it was made from; empty: none.

    Raises:
        Closed, Paused, Denied, Invalid, NotFound, NotVerified, MailFromNotVerified: with SES's texts.
    """
    standing = await _open_account(tx, caller)
    _may_act(caller, draft.options, action)
    tenant = await _tenant(tx, caller, draft.options.tenant)
    identity = await _verified(tx, caller, draft, sandbox=not standing.region.production_access)
    chosen = await _configuration_set(tx, caller, draft.options.configuration_set or identity.configuration_set)
    signing = ""
    if not identity.dkim_off:
        signing = await identities.signing_domain(tx, caller.account, caller.region, draft.from_domain)
    used = {IDENTITY: identity.name, CONFIGURATION_SET: _name(chosen), TEMPLATE: template}
    by_policy = await permission.check(tx, caller, draft, action, used)
    await _may_send(tx, caller, tenant, used)
    rule = _rule(standing, chosen, tenant)
    kept_back = await suppressed(tx, caller, draft, rule)
    own_domain = mail_from.domain_of(identity)
    listing = await _listing(tx, caller, draft)
    through = tenant.name if tenant else ""
    return Grant(
        standing.region, identity.name, signing, chosen, rule, kept_back, own_domain, through, listing, by_policy
    )


async def suppressed(tx: Transaction, caller: Caller, draft: Draft, rule: Rule) -> dict[str, str]:
    """Recipients that are not to be mailed, bare, with the reason."""
    return await suppression.among(tx, caller.account, caller.region, _bare(draft), rule=rule)


async def _listing(tx: Transaction, caller: Caller, draft: Draft) -> Listing | None:
    """The contact list and topic that a message names, which must be there, and who does not want its mail."""
    managed = draft.options.list_management
    return await list_management.look(tx, caller.account, caller.region, managed, _bare(draft)) if managed else None


def _bare(draft: Draft) -> list[str]:
    return [suppression.normalise(recipient.address) for recipient in draft.recipients]


def _rule(standing: Standing, chosen: ConfigurationSet | None, tenant: Tenant | None) -> Rule:
    """Whose suppression list counts, and for what: the configuration set has the first word, then the tenant."""
    said: list[tuple[str, tuple[str, ...] | None]] = []
    if chosen is not None:
        said.append((chosen.options.suppression.scope, chosen.options.suppression.reasons))
    if tenant is not None and tenant.suppression is not None:
        said.append((tenant.suppression.scope, tenant.suppression.reasons))
    return suppression.settled(said, account=standing.suppressed_reasons, tenant=tenant.id if tenant else "")


async def check_bulk(tx: Transaction, caller: Caller, options: Options, sender: Mailbox, template: str) -> None:
    """A bulk send through a tenant that may not go out is refused as a whole; its messages are admitted one by one.

    Raises:
        NotFound, Denied, Paused: with SES's texts.
    """
    tenant = await _tenant(tx, caller, options.tenant)
    identity = await identities.covering(tx, caller.account, caller.region, sender.address)
    if identity is not None:  # else each message tells
        chosen = options.configuration_set or identity.configuration_set
        used = {IDENTITY: identity.name, CONFIGURATION_SET: chosen, TEMPLATE: template}
        await _may_send(tx, caller, tenant, used)


async def _tenant(tx: Transaction, caller: Caller, name: str | None) -> Tenant | None:
    """The tenant that a message names, which may be switched off."""
    return await tenants.of_send(tx, caller.account, caller.region, name) if name else None


async def _may_send(tx: Transaction, caller: Caller, tenant: Tenant | None, used: Mapping[str, str]) -> None:
    """What a message of a tenant uses belongs to the tenant, which is not switched off (SES: operations, Tenants)."""
    if tenant is None:
        return
    resources = [resource(kind, name) for kind, name in used.items() if name]
    await tenant_resources.check_uses(tx, caller.account, caller.region, tenant.id, resources)
    if tenant.sending_status == tenants.DISABLED:  # the text is ours
        raise Paused(f"Sending paused for tenant <{tenant.name}>. {INBOX}", kind="tenant")


def _name(chosen: ConfigurationSet | None) -> str:
    return chosen.name if chosen is not None else ""


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
            raise Denied(permissions.not_authorized(caller, action, arn), kind="identity")


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
