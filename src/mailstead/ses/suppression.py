"""Suppression: addresses an account does not want to mail again, each with the reason (SES: sending §7).

A hard bounce or a complaint puts an address on the list, or somebody by hand; it stays until it is taken off.  An
account has one list in a region, and each of its tenants another.  Which list and which reasons count for a message is
said by its configuration set, else by its tenant, else by the account.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from mailstead.base.address import bare
from mailstead.base.errors import Invalid, NotFound
from mailstead.store.port import Row, Transaction

BOUNCE, COMPLAINT = "BOUNCE", "COMPLAINT"
REASONS = (BOUNCE, COMPLAINT)

# SES: events §2. What SES says to the sender instead of trying.
DIAGNOSTIC = (
    "Amazon SES did not send the message to this address because it is on the suppression list for your account. For"
    " more information about removing addresses from the suppression list, see the Amazon SES Developer Guide at"
    " https://docs.aws.amazon.com/ses/latest/DeveloperGuide/sending-email-suppression-list.html"
)
ON_ACCOUNT_LIST = "OnAccountSuppressionList"
"""bounceSubType or complaintSubType of what was not sent (SES: sending §9)."""
TENANT_DIAGNOSTIC = (
    "Amazon SES did not send the message to this address because it is on the suppression list for your tenant."
)
ON_TENANT_LIST = "OnTenantSuppressionList"

ACCOUNT, TENANT = "ACCOUNT", "TENANT"
"""Scopes: whose list counts."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What counts for a message."""

    reasons: tuple[str, ...] = ()
    """Empty: nobody is kept back, nobody noted."""
    tenant: str = ""
    """The id of the tenant whose list it is; empty: the account's."""


NO_RULE = Rule()


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One address on the list."""

    address: str
    reason: str
    """``BOUNCE`` or ``COMPLAINT``."""
    changed: int
    """When it came on the list, or was put there again."""
    message: str = ""
    """The message that bounced or was complained of; empty: put there by hand."""
    feedback: str = ""


def normalise(address: str) -> str:
    """The address as it is stored and compared; an impossible one stays as it is and will not be found."""
    try:
        return bare(address)
    except Invalid:
        return address


_COLUMNS = "address, reason, changed, message, feedback"


def _on(tenant: str) -> str:
    """The table and the condition of a list: account, region and tenant are always the first three arguments."""
    if tenant:
        return "tenant_suppressed WHERE account = $1 AND region = $2 AND tenant = $3"
    return "suppressed WHERE account = $1 AND region = $2 AND $3 = ''"


async def find(tx: Transaction, account: str, region: str, address: str, *, tenant: str = "") -> Suppressed | None:
    """The entry of an address, or None.  ``tenant``, here and below: the id of the one whose list it is."""
    sql = f"SELECT {_COLUMNS} FROM {_on(tenant)} AND address = $4"
    row = await tx.row(sql, account, region, tenant, normalise(address))
    return Suppressed(*row) if row else None


async def get(tx: Transaction, account: str, region: str, address: str, *, tenant: str = "") -> Suppressed:
    """The entry of an address.

    Raises:
        NotFound: it is not on the list.
    """
    found = await find(tx, account, region, address, tenant=tenant)
    if found is None:
        raise missing(address)
    return found


def missing(address: str) -> NotFound:
    """SES's word for an address that is not on the list (SES: wire §9)."""
    return NotFound(f"Email address {address} does not exist on your suppression list.", kind="suppression")


@lru_cache(maxsize=128)
def _among(count: int, tenant: str) -> str:
    places = ", ".join(f"${n}" for n in range(4, count + 4))
    return f"SELECT address, reason FROM {_on(tenant)} AND address IN ({places})"


async def among(tx: Transaction, account: str, region: str, addresses: Iterable[str], *, rule: Rule) -> dict[str, str]:
    """Which of these (bare) addresses are not to be mailed: ``{address: reason}``."""
    wanted = list(addresses)
    if not rule.reasons or not wanted:
        return {}
    rows = await tx.rows(_among(len(wanted), rule.tenant), account, region, rule.tenant, *wanted)
    return {address: reason for address, reason in rows if reason in rule.reasons}


_INSERT = (
    "INSERT INTO {table} (account, region, {owner}address, reason, message, feedback, changed)"
    " VALUES ({places}) ON CONFLICT (account, region, {owner}address) DO UPDATE SET"
    " reason = excluded.reason, message = excluded.message, feedback = excluded.feedback, changed = excluded.changed"
)
_PUT = _INSERT.format(table="suppressed", owner="", places="$1, $2, $3, $4, $5, $6, $7")
_PUT_FOR_TENANT = _INSERT.format(table="tenant_suppressed", owner="tenant, ", places="$1, $2, $3, $4, $5, $6, $7, $8")


async def put(
    tx: Transaction,
    account: str,
    region: str,
    address: str,
    reason: str,
    *,
    message: str = "",
    feedback: str = "",
    tenant: str = "",
) -> None:
    """Put an address on the list, or give it another reason."""
    owner = (account, region, tenant) if tenant else (account, region)
    entry = (normalise(address), reason, message, feedback, tx.now())
    await tx.run(_PUT_FOR_TENANT if tenant else _PUT, *owner, *entry)


async def delete(tx: Transaction, account: str, region: str, address: str, *, tenant: str = "") -> None:
    """Take an address off the list.

    Raises:
        NotFound: it is not there.
    """
    sql = f"DELETE FROM {_on(tenant)} AND address = $4"
    if not await tx.run(sql, account, region, tenant, normalise(address)):
        raise missing(address)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries a list shows."""

    reasons: tuple[str, ...] = ()
    """Empty: all."""
    since: int | None = None
    """Changed at this time or later, milliseconds…"""
    until: int | None = None
    """…and not after this one."""


EVERYTHING = Selection()


async def list_page(
    tx: Transaction,
    account: str,
    region: str,
    *,
    after: str = "",
    limit: int = 1000,
    wanted: Selection = EVERYTHING,
    tenant: str = "",
) -> list[Suppressed]:
    """Entries by address, those behind ``after``."""
    conditions: list[str] = ["address > $4"]
    args: list[str | int] = [account, region, tenant, after]

    def also(condition: str, value: str | int) -> None:
        args.append(value)
        conditions.append(condition.format(f"${len(args)}"))

    if len(set(wanted.reasons)) == 1:  # both are all
        also("reason = {}", wanted.reasons[0])
    if wanted.since is not None:
        also("changed >= {}", wanted.since)
    if wanted.until is not None:
        also("changed <= {}", wanted.until)
    sql = f"SELECT {_COLUMNS} FROM {_on(tenant)} AND {' AND '.join(conditions)} ORDER BY address"
    return [_entry(row) for row in await tx.rows(f"{sql} LIMIT ${len(args) + 1}", *args, limit)]


def _entry(row: Row) -> Suppressed:
    return Suppressed(*row)


_reasons = msgspec.json.Decoder(tuple[str, ...]).decode


def settled(said: Iterable[tuple[str, tuple[str, ...] | None]], *, account: tuple[str, ...], tenant: str = "") -> Rule:
    """What counts for a message.

    Args:
        said: scope (empty: none) and reasons (None: none) that its configuration set has, then its tenant; each of the
            two is that of the first who has one.
        account: the account's reasons.
        tenant: the id of its tenant; empty: it has none.
    """
    heard = tuple(said)
    scope = next((scope for scope, _ in heard if scope), ACCOUNT)
    reasons = next((reasons for _, reasons in heard if reasons is not None), account)
    return Rule(reasons, tenant if scope == TENANT else "")


async def rule_of(tx: Transaction, account: str, region: str, configuration_set: str = "", tenant: str = "") -> Rule:
    """What counts for mail of an account with this configuration set, sent through the tenant of this name."""
    row = await tx.row(
        "SELECT r.suppressed_reasons_json, c.suppression_scope, c.suppressed_reasons_json,"
        " t.suppression_scope, t.suppressed_reasons_json, t.id FROM account_regions r"
        " LEFT JOIN configuration_sets c ON c.account = r.account AND c.region = r.region AND c.name = $3"
        " LEFT JOIN tenants t ON t.account = r.account AND t.region = r.region AND t.name = $4"
        " WHERE r.account = $1 AND r.region = $2",
        account,
        region,
        configuration_set,
        tenant,
    )
    if row is None:
        return NO_RULE
    account_wide, set_scope, of_set, tenant_scope, of_tenant, key = row
    said = [
        (set_scope or "", None if of_set is None else _reasons(of_set)),
        (tenant_scope or "", _reasons(of_tenant) if tenant_scope else None),
    ]
    return settled(said, account=_reasons(account_wide), tenant=key or "")


async def note(
    tx: Transaction,
    account: str,
    region: str,
    reason: str,
    addresses: Iterable[str],
    *,
    message: str,
    feedback: str,
    configuration_set: str = "",
    tenant: str = "",
) -> None:
    """A message bounced for good or was complained of: put its addresses on the list, if the sender wants that.

    Args:
        feedback: the id of the event that tells of it.
        configuration_set: that of the message.
        tenant: the name of the one it was sent through.
    """
    wanted = sorted(addresses)  # in one order: nobody waits for each other
    if not wanted:
        return
    rule = await rule_of(tx, account, region, configuration_set, tenant)
    if reason not in rule.reasons:
        return
    for address in wanted:
        await put(tx, account, region, address, reason, message=message, feedback=feedback, tenant=rule.tenant)
