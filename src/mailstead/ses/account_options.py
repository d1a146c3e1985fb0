"""Account options: what an account chooses for warm-up, for insights and for its bill.

Not done: nobody is billed here, so a pricing plan is a word that is kept and told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from mailstead.base.clock import SECOND
from mailstead.base.errors import NotFound
from mailstead.store.port import Transaction

ENABLED, DISABLED = "ENABLED", "DISABLED"


@dataclass(frozen=True, slots=True)
class Vdm:
    """The switches of insights (Virtual Deliverability Manager)."""

    enabled: bool
    engagement_metrics: str = DISABLED
    """``ENABLED`` or ``DISABLED``; a configuration set may have a word of its own."""
    shared_delivery: str = DISABLED


@dataclass(frozen=True, slots=True)
class Plan:
    """A pricing plan: ``NONE``, ``ESSENTIALS``, ``PRO`` or ``ENTERPRISE``."""

    current: str
    coming: str
    """From the beginning of the next month on; empty: it stays as it is."""


@dataclass(frozen=True, slots=True)
class AccountOptions:
    """What an account has chosen in a region."""

    auto_warmup: bool
    """Do addresses that are assigned to it begin cold?"""
    vdm: Vdm | None
    """None: it never said."""
    plan: Plan | None
    """None: it never said."""


async def _change(tx: Transaction, account: str, region: str, what: str, *values: object) -> None:
    """Set columns; the values begin at ``$3``."""
    if not await tx.run(
        f"UPDATE account_regions SET {what} WHERE account = $1 AND region = $2", account, region, *values
    ):
        raise _missing(account, region)


def _missing(account: str, region: str) -> NotFound:
    return NotFound(f"Account {account} does not exist in {region}", kind="account")


async def set_auto_warmup(tx: Transaction, account: str, region: str, *, enabled: bool) -> None:
    """Do addresses that are assigned from now on begin cold?

    Raises:
        NotFound: the account was never used in this region; so for all below.
    """
    await _change(tx, account, region, "auto_warmup = $3", int(enabled))


async def set_vdm(tx: Transaction, account: str, region: str, vdm: Vdm) -> None:
    """Replace the switches of insights."""
    what = "vdm = $3, vdm_engagement = $4, vdm_shared_delivery = $5"
    enabled = ENABLED if vdm.enabled else DISABLED
    await _change(tx, account, region, what, enabled, vdm.engagement_metrics, vdm.shared_delivery)


async def set_plan(tx: Transaction, account: str, region: str, plan: str) -> None:
    """Ask for a pricing plan: the first one counts at once, another one with the next month."""
    found, now = (await get(tx, account, region)).plan, tx.now()
    if found is None or found.current == plan:
        await _change(tx, account, region, "plan = $3, next_plan = '', plan_from = 0", plan)
        return
    what = "plan = $3, next_plan = $4, plan_from = $5"
    await _change(tx, account, region, what, found.current, plan, next_month(now))


def next_month(now: int) -> int:
    """The beginning of the month after this time, in UTC."""
    moment = datetime.fromtimestamp(now // SECOND, UTC)
    later = moment.replace(year=moment.year + moment.month // 12, month=moment.month % 12 + 1, day=1)
    return int(later.replace(hour=0, minute=0, second=0).timestamp()) * SECOND


_SELECT = (
    "SELECT auto_warmup, vdm, vdm_engagement, vdm_shared_delivery, plan, next_plan, plan_from FROM account_regions"
    " WHERE account = $1 AND region = $2"
)


async def get(tx: Transaction, account: str, region: str) -> AccountOptions:
    """What an account has chosen."""
    row = await tx.row(_SELECT, account, region)
    if row is None:
        raise _missing(account, region)
    auto_warmup, vdm, engagement, shared, plan, coming, since = row
    if coming and tx.now() >= since:
        plan, coming = coming, ""
    return AccountOptions(
        bool(auto_warmup),
        Vdm(vdm == ENABLED, engagement, shared) if vdm else None,
        Plan(plan, coming) if plan else None,
    )
