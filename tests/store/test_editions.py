"""Editions: mail makes none, all else does, on both databases."""

from __future__ import annotations

import pytest

from mailstead.ses import account as accounts
from mailstead.ses import events, quota, suppression
from mailstead.ses.account import NewAccount
from mailstead.store import spool
from mailstead.store.editions import makes_new
from mailstead.store.files import put_small
from mailstead.store.port import Transaction
from peers.database import Ground

ACCOUNT, REGION = "111122223333", "us-east-1"


def _message(now: int) -> spool.Message:
    words = ("m1", ACCOUNT, REGION, "submission", "s@x", "r@x", "x", "x")
    return spool.Message(*words, eight_bit=0, size=1, blob="db:m1", mail_json="{}", created=now)


def test_mail_makes_no_edition_and_all_else_does(ground: Ground) -> None:
    async def furnish(tx: Transaction) -> None:
        await accounts.create(tx, ACCOUNT)
        await accounts.ensure_region(tx, ACCOUNT, REGION, NewAccount(-1, -1, production=True))

    async def mail(tx: Transaction) -> None:
        now = tx.now()
        await quota.reserve(tx, ACCOUNT, REGION, 1, now)
        await put_small(tx, "m1", b"x")
        await spool.put(tx, _message(now), [spool.Recipient("r@x", "x", now + 1)])
        await events.emit(tx, account=ACCOUNT, region=REGION, message="m1", kind=events.SEND, at=now, detail={})
        await spool.finish(tx, "m1", [(0, spool.Try("delivered", "250 OK"))], now)
        await spool.count_down(tx, "m1", 1, now)
        await spool.let_go(tx, "x", "w", now)
        await suppression.put(tx, ACCOUNT, REGION, "r@x", suppression.BOUNCE)
        await quota.give_back(tx, ACCOUNT, REGION, 1, now)

    before = ground.db.edition
    ground.run(furnish)
    furnished = ground.db.edition
    assert furnished != before
    ground.run(mail)
    ground.read(lambda tx: accounts.standing(tx, ACCOUNT, REGION))
    assert ground.db.edition == furnished
    ground.run(lambda tx: accounts.set_sending(tx, ACCOUNT, REGION, enabled=False))
    assert ground.db.edition != furnished


def test_many_rows_at_once_make_one_too(ground: Ground) -> None:
    before = ground.db.edition
    ground.run(lambda tx: tx.many("INSERT INTO settings (key, value) VALUES ($1, $2)", [("a", "1"), ("b", "2")]))
    assert ground.db.edition != before


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE account_regions SET used = 0, max_24h = 5 WHERE account = $1",
        "UPDATE account_regions SET sending_enabled = 0 WHERE used = 1",
        "WITH gone AS (DELETE FROM identities RETURNING name) DELETE FROM messages WHERE id IN (SELECT name FROM gone)",
        "INSERT INTO messages_of_tomorrow (id) VALUES ($1)",
        "INSERT INTO blobs (key) VALUES ($1) ON CONFLICT DO UPDATE SET key = key; DROP TABLE accounts",
        "INSERT OR REPLACE INTO messages (id) VALUES ($1)",
        "delete from accounts",
        "ALTER TABLE messages ADD COLUMN x BIGINT",
    ],
)
def test_in_doubt_it_is_one(sql: str) -> None:
    assert makes_new(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM identities WHERE name = $1",
        "SELECT lane FROM lanes FOR UPDATE SKIP LOCKED",
        "WITH due AS MATERIALIZED (SELECT lane FROM lanes) UPDATE lanes SET worker = $1 WHERE lane IN (SELECT 1)",
        "PRAGMA page_count",
    ],
)
def test_mail_and_reading_are_none(sql: str) -> None:
    assert not makes_new(sql)
