"""Dedicated addresses below the API: what the operator assigns, limits, and what happens at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import account, account_options, dedicated_ips
from mailstead.ses.dedicated_ips import DEFAULT_POOL, MANAGED, MAX_POOLS, Assigned, DedicatedIp

A, B, R = "111111111111", "222222222222", "us-east-1"
ONE, TWO, SIX = "192.0.2.1", "192.0.2.2", "2001:db8::1"


@pytest.fixture
def here(ground):
    async def fill(tx):
        for one in (A, B):
            await account.create(tx, one)
            await account.ensure_region(tx, one, R, account.PRODUCTION)

    ground.run(fill)
    return ground


def assign(ground, ip, owner=A):
    ground.run(lambda tx: dedicated_ips.assign(tx, owner, R, ip))


def listed(ground, owner=A, **asked):
    return ground.read(lambda tx: dedicated_ips.list_page(tx, owner, R, **asked))


def test_an_address_is_one_accounts(here):
    assign(here, ONE)
    assert listed(here) == [DedicatedIp(ONE, DEFAULT_POOL, managed=False, warmup=0)]
    assert listed(here, B) == []
    for owner in (A, B):
        with pytest.raises(AlreadyExists, match=r"192\.0\.2\.1 is assigned to an account already"):
            assign(here, ONE, owner)
    assert here.read(dedicated_ips.list_assigned) == [Assigned(ONE, A, R, DEFAULT_POOL, 0)]
    here.run(lambda tx: dedicated_ips.release(tx, ONE))
    with pytest.raises(NotFound, match="assigned to no account"):
        here.run(lambda tx: dedicated_ips.release(tx, ONE))
    assign(here, ONE, B)
    assert [one.ip for one in listed(here, B)] == [ONE]


def test_an_address_is_the_same_however_it_is_written(here):
    assign(here, "2001:DB8:0:0:0:0:0:1")
    for text in (SIX, "[2001:db8::1]", "2001:0db8::0001"):
        assert here.read(lambda tx, text=text: dedicated_ips.get(tx, A, R, text)).ip == SIX
    with pytest.raises(AlreadyExists):
        assign(here, SIX)


@pytest.mark.parametrize("text", ["", "192.0.2", "192.0.2.1.5", "mail.example.com", "192.0.2.1/32", "192.0.2.1\0"])
def test_what_is_no_address(here, text):
    with pytest.raises(Invalid, match="is not an IP address"):
        assign(here, text)
    with pytest.raises(NotFound):
        here.read(lambda tx: dedicated_ips.get(tx, A, R, text))


def test_an_account_that_is_not_there_gets_nothing(here):
    with pytest.raises(NotFound, match="333333333333 does not exist in us-east-1"):
        assign(here, ONE, "333333333333")
    assert here.read(dedicated_ips.list_assigned) == []


def test_warm_from_the_beginning_where_warm_up_is_off(here):
    assign(here, ONE)
    here.run(lambda tx: account_options.set_auto_warmup(tx, A, R, enabled=False))
    assign(here, TWO)
    assert [(one.ip, one.warmup_status, one.warmup_percentage) for one in listed(here)] == [
        (ONE, "IN_PROGRESS", 0),
        (TWO, "DONE", 100),
    ]


def test_fifty_pools(here):
    for n in range(MAX_POOLS):
        here.run(lambda tx, n=n: dedicated_ips.create_pool(tx, A, R, f"p{n}"))
    with pytest.raises(LimitExceeded, match="at most 50"):
        here.run(lambda tx: dedicated_ips.create_pool(tx, A, R, "one-more"))
    here.run(lambda tx: dedicated_ips.create_pool(tx, B, R, "one-more"))


def test_an_address_is_never_in_a_pool_that_is_gone(here):
    assign(here, ONE)

    async def scene():
        await here.db.run(lambda tx: dedicated_ips.create_pool(tx, A, R, "mine"))
        await asyncio.gather(
            here.db.run(lambda tx: dedicated_ips.move(tx, A, R, ONE, "mine")),
            here.db.run(lambda tx: dedicated_ips.delete_pool(tx, A, R, "mine")),
            return_exceptions=True,
        )
        return await here.db.read(lambda tx: dedicated_ips.get(tx, A, R, ONE))

    for _ in range(6):
        assert here.loop.run_until_complete(scene()).pool == DEFAULT_POOL


def test_a_pool_becomes_managed_and_its_addresses_with_it(here):
    assign(here, ONE)
    here.run(lambda tx: dedicated_ips.create_pool(tx, A, R, "mine"))
    here.run(lambda tx: dedicated_ips.move(tx, A, R, ONE, "mine"))
    here.run(lambda tx: dedicated_ips.set_scaling_mode(tx, A, R, "mine", MANAGED))
    (found,) = listed(here, pool="mine")
    assert (found.warmup_status, found.warmup_percentage, found.warmup) == ("NOT_APPLICABLE", -1, 0)
    with pytest.raises(Invalid, match="managed pool"):
        here.run(lambda tx: dedicated_ips.set_warmup(tx, A, R, ONE, 50))
    here.run(lambda tx: dedicated_ips.delete_pool(tx, A, R, "mine"))
    (found,) = listed(here)
    assert (found.pool, found.warmup_status) == (DEFAULT_POOL, "IN_PROGRESS")
