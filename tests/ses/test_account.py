"""Accounts: made, closed, paused, reviewed; each region by itself."""

from __future__ import annotations

import pytest

from mailstead.base.errors import AlreadyExists, Invalid, NotFound
from mailstead.ses import account
from mailstead.ses.account import SANDBOX, WITHOUT_LIMITS, NewAccount

A, B = "111111111111", "222222222222"


def test_an_account_is_made_once(ground):
    made = ground.run(lambda tx: account.create(tx, A))
    assert (made.id, made.subscribed, made.closed, made.created) == (A, True, False, ground.clock.now())
    with pytest.raises(AlreadyExists):
        ground.run(lambda tx: account.create(tx, A))
    assert ground.run(lambda tx: account.ensure(tx, A)) == made


def test_a_new_id_is_twelve_digits(ground):
    made = ground.run(account.create)
    assert len(made.id) == 12
    assert made.id.isdigit()
    assert ground.read(account.list_all) == [made]


@pytest.mark.parametrize("wrong", ["1", "1" * 13, "12345678901x", "１２３４５６７８９０１２"])
def test_other_ids_are_refused(ground, wrong):
    with pytest.raises(Invalid):
        ground.run(lambda tx: account.create(tx, wrong))


def test_close_reopen_and_subscription(ground):
    ground.run(lambda tx: account.create(tx, A))
    ground.run(lambda tx: account.close(tx, A))
    assert ground.read(lambda tx: account.get(tx, A)).closed
    ground.run(lambda tx: account.reopen(tx, A))
    ground.run(lambda tx: account.subscribe(tx, A, subscribed=False))
    found = ground.read(lambda tx: account.get(tx, A))
    assert (found.closed, found.subscribed) == (False, False)


def test_what_is_not_there_cannot_be_closed(ground):
    for verb in (account.close, account.reopen, account.get):
        with pytest.raises(NotFound):
            ground.run(lambda tx, verb=verb: verb(tx, A))
    with pytest.raises(NotFound):
        ground.run(lambda tx: account.ensure_region(tx, A, "us-east-1", SANDBOX))


def test_a_region_comes_with_first_use_and_keeps_its_state(ground):
    ground.run(lambda tx: account.create(tx, A))
    assert ground.read(lambda tx: account.find_region(tx, A, "us-east-1")) is None
    first = ground.run(lambda tx: account.ensure_region(tx, A, "us-east-1", SANDBOX))
    assert (first.max_24h, first.max_rate, first.production_access) == (200, 1.0, False)
    assert (first.sending_enabled, first.enforcement) == (True, "HEALTHY")
    again = ground.run(lambda tx: account.ensure_region(tx, A, "us-east-1", WITHOUT_LIMITS))
    assert again == first


def test_switches_of_one_region_leave_the_other_alone(ground):
    ground.run(lambda tx: account.create(tx, A))
    for region in ("us-east-1", "eu-west-1"):
        ground.run(lambda tx, region=region: account.ensure_region(tx, A, region, SANDBOX))
    ground.run(lambda tx: account.set_sending(tx, A, "us-east-1", enabled=False))
    ground.run(lambda tx: account.pause(tx, A, "us-east-1"))
    here, there = ground.read(lambda tx: account.list_regions(tx, A))[::-1]
    assert (here.region, here.sending_enabled, here.enforcement) == ("us-east-1", False, "SHUTDOWN")
    assert (there.region, there.sending_enabled, there.enforcement) == ("eu-west-1", True, "HEALTHY")
    ground.run(lambda tx: account.resume(tx, A, "us-east-1"))
    assert ground.read(lambda tx: account.find_region(tx, A, "us-east-1")).enforcement == "HEALTHY"


def test_review(ground):
    ground.run(lambda tx: account.create(tx, A))
    ground.run(lambda tx: account.ensure_region(tx, A, "us-east-1", SANDBOX))

    def state():
        found = ground.read(lambda tx: account.find_region(tx, A, "us-east-1"))
        return found.production_access, found.max_24h, found.max_rate

    ground.run(lambda tx: account.review(tx, A, "us-east-1", granted=False))
    assert state() == (False, 200, 1.0)
    ground.run(lambda tx: account.review(tx, A, "us-east-1", granted=True))
    assert state() == (True, 50_000, 14.0)
    ground.run(lambda tx: account.set_quota(tx, A, "us-east-1", max_24h=90_000, max_rate=2.5))
    ground.run(lambda tx: account.review(tx, A, "us-east-1", granted=True))
    assert state() == (True, 90_000, 2.5)
    ground.run(lambda tx: account.review(tx, A, "us-east-1", granted=False))
    assert state() == (False, 200, 1.0)
    ground.run(lambda tx: account.set_quota(tx, A, "us-east-1", max_24h=-1, max_rate=100))
    ground.run(lambda tx: account.review(tx, A, "us-east-1", granted=True))
    assert state() == (True, -1, 100.0)


def test_message_bytes(ground):
    ground.run(lambda tx: account.create(tx, A))
    ground.run(lambda tx: account.ensure_region(tx, A, "us-east-1", SANDBOX))
    ground.run(lambda tx: account.set_message_bytes(tx, A, "us-east-1", 1 << 20))
    assert ground.read(lambda tx: account.find_region(tx, A, "us-east-1")).message_bytes == 1 << 20
    with pytest.raises(NotFound):
        ground.run(lambda tx: account.set_message_bytes(tx, A, "eu-west-1", None))


def test_the_setting_of_new_accounts():
    assert account.new_account("sandbox") == SANDBOX
    assert account.new_account("unlimited") == NewAccount(-1, -1, production=True)
    assert account.new_account("50000/day, 14/s") == NewAccount(50_000, 14.0, production=True)
    assert account.new_account("1000 2.5") == NewAccount(1000, 2.5, production=True)
    for wrong in ("", "lots", "5/s", "-1, 3", "1e9, 1"):
        with pytest.raises(Invalid):
            account.new_account(wrong)
