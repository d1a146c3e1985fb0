"""Quota: the day is exact, also under many at once; the rate lets bursts pass."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.base.clock import DAY, HOUR, MINUTE
from mailstead.base.errors import NotFound, Throttled
from mailstead.ses import account, quota
from mailstead.ses.account import NewAccount
from mailstead.ses.quota import Quota, RateLimiter

A, B, R = "111111111111", "222222222222", "us-east-1"


@pytest.fixture
def ten(ground):
    """Account A may send ten a day in two regions; account B too."""

    async def body(tx):
        for one in (A, B):
            await account.create(tx, one)
            for region in (R, "eu-west-1"):
                await account.ensure_region(tx, one, region, NewAccount(10, 1, production=True))

    ground.run(body)
    return ground


def reserve(ground, n, account=A, region=R):
    ground.run(lambda tx: quota.reserve(tx, account, region, n, tx.now()))


def sent(ground, account=A, region=R):
    return ground.read(lambda tx: quota.read(tx, account, region, tx.now())).sent_last_24h


def used(ground):
    return ground.read(lambda tx: tx.value("SELECT used FROM account_regions WHERE account = $1 AND region = $2", A, R))


def test_up_to_the_last_recipient(ten):
    reserve(ten, 4)
    reserve(ten, 6)
    with pytest.raises(Throttled) as caught:
        reserve(ten, 1)
    assert (str(caught.value), caught.value.kind) == ("Daily message quota exceeded.", "daily")
    assert sent(ten) == 10
    assert ten.read(lambda tx: quota.read(tx, A, R, tx.now())) == Quota(10, 1.0, 10)


def test_all_or_none(ten):
    reserve(ten, 8)
    with pytest.raises(Throttled):
        reserve(ten, 3)
    assert sent(ten) == 8
    reserve(ten, 2)


def test_simulator_mail_takes_no_room(ten):
    reserve(ten, 10)
    reserve(ten, 0)
    assert sent(ten) == 10


def test_accounts_and_regions_by_themselves(ten):
    reserve(ten, 10)
    reserve(ten, 10, account=B)
    reserve(ten, 10, region="eu-west-1")
    assert (sent(ten), sent(ten, account=B), sent(ten, region="eu-west-1")) == (10, 10, 10)


def test_a_day_later_there_is_room_again(ten):
    reserve(ten, 10)
    ten.clock.advance(DAY - 5 * MINUTE - 1)
    with pytest.raises(Throttled):
        reserve(ten, 1)
    ten.clock.advance(5 * MINUTE + 1)
    assert sent(ten) == 0
    reserve(ten, 10)
    assert (sent(ten), used(ten)) == (10, 10)


def test_the_window_rolls_slice_by_slice(ten):
    reserve(ten, 3)
    ten.clock.advance(6 * HOUR)
    reserve(ten, 4)
    ten.clock.advance(18 * HOUR)
    assert sent(ten) == 4
    reserve(ten, 6)
    with pytest.raises(Throttled):
        reserve(ten, 1)
    ten.clock.advance(30 * DAY)
    reserve(ten, 1)
    assert (sent(ten), used(ten)) == (1, 1)
    assert ten.read(lambda tx: tx.value("SELECT count(*) FROM quota_slices WHERE account = $1", A)) == 1


def test_given_back(ten):
    reserve(ten, 10)
    at = ten.clock.now()
    ten.run(lambda tx: quota.give_back(tx, A, R, 4, at))
    assert (sent(ten), used(ten)) == (6, 6)
    reserve(ten, 4)
    ten.clock.advance(2 * DAY)
    reserve(ten, 1)
    ten.run(lambda tx: quota.give_back(tx, A, R, 4, at))
    assert (sent(ten), used(ten)) == (1, 1)


def test_no_limit(ground):
    ground.run(lambda tx: account.create(tx, A))
    ground.run(lambda tx: account.ensure_region(tx, A, R, account.WITHOUT_LIMITS))
    reserve(ground, 1_000_000)
    assert ground.read(lambda tx: quota.read(tx, A, R, tx.now())) == Quota(-1, -1.0, 1_000_000)


def test_an_account_that_is_not_there(ground):
    with pytest.raises(NotFound):
        reserve(ground, 1)
    with pytest.raises(NotFound):
        sent(ground)


def test_exact_when_many_ask_at_once(ten):
    async def one():
        try:
            await ten.db.run(lambda tx: quota.reserve(tx, A, R, 1, tx.now()))
        except Throttled:
            return 0
        return 1

    async def all_of_them():
        return sum(await asyncio.gather(*(one() for _ in range(40))))

    assert ten.loop.run_until_complete(all_of_them()) == 10
    assert (sent(ten), used(ten)) == (10, 10)


def test_a_refusal_inside_a_transaction_that_goes_on(ten):
    async def body(tx):
        await quota.reserve(tx, A, R, 9, tx.now())
        with pytest.raises(Throttled):
            await quota.reserve(tx, A, R, 2, tx.now())
        await quota.reserve(tx, A, R, 1, tx.now())

    ten.run(body)
    assert (sent(ten), used(ten)) == (10, 10)


def test_rate_lets_a_burst_pass_then_holds():
    limiter, now = RateLimiter(), 1_000_000
    for _ in range(5):
        limiter.take(A, R, 1.0, 1, now)
    with pytest.raises(Throttled) as caught:
        limiter.take(A, R, 1.0, 1, now + 999)
    assert (str(caught.value), caught.value.kind) == ("Maximum sending rate exceeded.", "rate")
    limiter.take(A, R, 1.0, 1, now + 1000)
    limiter.take(B, R, 1.0, 5, now)
    limiter.take(A, "eu-west-1", 1.0, 5, now)


def test_rate_of_fourteen_a_second():
    limiter, now = RateLimiter(), 0
    limiter.take(A, R, 14.0, 70, now)
    with pytest.raises(Throttled):
        limiter.take(A, R, 14.0, 15, now + 1000)
    limiter.take(A, R, 14.0, 14, now + 1000)


def test_a_message_wider_than_the_bucket_passes_and_is_paid_off():
    limiter, now = RateLimiter(), 0
    limiter.take(A, R, 1.0, 50, now)
    with pytest.raises(Throttled):
        limiter.take(A, R, 1.0, 1, now + 45_000)
    limiter.take(A, R, 1.0, 1, now + 46_000)


def test_no_rate_and_a_clock_that_goes_back():
    limiter = RateLimiter()
    for _ in range(1000):
        limiter.take(A, R, -1, 50, 0)
    limiter.take(B, R, 1.0, 5, 10_000)
    with pytest.raises(Throttled):
        limiter.take(B, R, 1.0, 1, 0)
