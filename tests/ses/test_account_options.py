"""What an account chooses for itself."""

from __future__ import annotations

import pytest

from mailstead.base.clock import DAY, SECOND
from mailstead.base.errors import NotFound
from mailstead.ses import account, account_options
from mailstead.ses.account_options import AccountOptions, Plan, Vdm, next_month

A, R = "111111111111", "us-east-1"


@pytest.fixture
def here(ground):
    async def fill(tx):
        await account.create(tx, A)
        await account.ensure_region(tx, A, R, account.PRODUCTION)

    ground.run(fill)
    return ground


def chosen(ground):
    return ground.read(lambda tx: account_options.get(tx, A, R))


def test_who_never_said_anything(here):
    assert chosen(here) == AccountOptions(auto_warmup=True, vdm=None, plan=None)


def test_switches(here):
    here.run(lambda tx: account_options.set_auto_warmup(tx, A, R, enabled=False))
    here.run(lambda tx: account_options.set_vdm(tx, A, R, Vdm(True, "ENABLED")))
    assert chosen(here) == AccountOptions(auto_warmup=False, vdm=Vdm(True, "ENABLED", "DISABLED"), plan=None)


def test_the_first_plan_counts_at_once_and_another_with_the_next_month(here):
    def ask(plan):
        here.run(lambda tx: account_options.set_plan(tx, A, R, plan))

    ask("PRO")
    assert chosen(here).plan == Plan("PRO", "")
    ask("ESSENTIALS")
    assert chosen(here).plan == Plan("PRO", "ESSENTIALS")
    ask("PRO")
    assert chosen(here).plan == Plan("PRO", "")
    ask("NONE")
    here.clock.advance(32 * DAY)
    assert chosen(here).plan == Plan("NONE", "")


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (1_785_542_399, 1_785_542_400),  # 2026-07-31T23:59:59Z, 2026-08-01
        (1_785_542_400, 1_788_220_800),  # 2026-08-01, 2026-09-01
        (1_798_000_000, 1_798_761_600),  # 2026-12-23, 2027-01-01
    ],
)
def test_months_end_in_utc(now, then):
    assert next_month(now * SECOND) == then * SECOND


def test_an_account_that_is_not_there(here):
    for call in (
        lambda tx: account_options.get(tx, A, "eu-west-1"),
        lambda tx: account_options.set_auto_warmup(tx, A, "eu-west-1", enabled=True),
    ):
        with pytest.raises(NotFound, match="does not exist in eu-west-1"):
            here.run(call)
