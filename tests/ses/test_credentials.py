"""Credentials: keys made, found, switched off; SMTP passwords of each region."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mailstead.base.errors import AlreadyExists, Closed, Invalid, NotFound, Unreachable
from mailstead.proto.sigv4 import smtp_password, smtp_password_v2
from mailstead.ses import account, credentials, principals

A, B = "111111111111", "222222222222"
REGIONS = ("us-east-1", "eu-west-1")
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
# SES: smtp §3, test vectors
PASSWORDS = {
    "us-east-1": "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9",
    "eu-west-1": "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk",
}


@pytest.fixture
def key(ground):
    ground.run(lambda tx: account.create(tx, A))
    made, _ = ground.run(
        lambda tx: credentials.create(tx, ground.vault, A, access_key="AKIAIOSFODNN7EXAMPLE", secret=SECRET)
    )
    return made


def login(ground, username, password, regions=REGIONS, **options):
    return ground.read(lambda tx: credentials.smtp_login(tx, ground.vault, username, password, regions, **options))


def test_a_key_is_made_with_a_root_principal(ground):
    ground.run(lambda tx: account.create(tx, A))
    made, secret = ground.run(lambda tx: credentials.create(tx, ground.vault, A))
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", made.access_key)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", secret)
    assert (made.account, made.name, made.arn) == (A, "root", f"arn:aws:iam::{A}:root")
    assert credentials.secret(ground.vault, made) == secret
    assert secret.encode() not in made.sealed
    assert repr(made.sealed) not in repr(made)


def test_a_user_has_an_arn_of_its_own(ground, key):
    made, _ = ground.run(lambda tx: credentials.create(tx, ground.vault, A, user="shop"))
    assert (made.name, made.arn) == ("shop", f"arn:aws:iam::{A}:user/shop")
    assert [p.name for p in ground.read(lambda tx: principals.list_all(tx, A))] == ["root", "shop"]
    keys = ground.read(lambda tx: credentials.list_all(tx, A))
    assert {k.access_key for k in keys} == {key.access_key, made.access_key}
    with pytest.raises(Invalid):
        ground.run(lambda tx: credentials.create(tx, ground.vault, A, user="a/b"))


def test_keys_are_not_shared(ground, key):
    ground.run(lambda tx: account.create(tx, B))
    with pytest.raises(AlreadyExists):
        ground.run(lambda tx: credentials.create(tx, ground.vault, B, access_key=key.access_key, secret="x"))
    assert ground.read(lambda tx: credentials.list_all(tx, B)) == []
    with pytest.raises(NotFound):
        ground.run(lambda tx: credentials.create(tx, ground.vault, "333333333333"))


@pytest.mark.parametrize(
    ("access_key", "secret"), [("a b", "x"), ("AK", "x"), ("A" * 129, "x"), ("AKIA1", "é"), ("AKIA1", "a\n")]
)
def test_given_values_that_no_client_could_use(ground, key, access_key, secret):
    with pytest.raises(Invalid):
        ground.run(lambda tx: credentials.create(tx, ground.vault, A, access_key=access_key, secret=secret))


def test_delete(ground, key):
    ground.run(lambda tx: credentials.delete(tx, key.access_key))
    assert ground.read(lambda tx: credentials.find(tx, key.access_key)) is None
    with pytest.raises(NotFound):
        ground.run(lambda tx: credentials.delete(tx, key.access_key))


@pytest.mark.parametrize("region", REGIONS)
def test_the_password_says_the_region(ground, key, region):
    caller = login(ground, key.access_key, PASSWORDS[region])
    assert (caller.account, caller.region, caller.name) == (A, region, "root")
    assert (caller.access_key, caller.arn) == (key.access_key, f"arn:aws:iam::{A}:root")


@pytest.mark.parametrize(
    "password",
    ["", SECRET, "B" * 44, PASSWORDS["us-east-1"][:-1], smtp_password(SECRET, "ap-south-1"), "\udcff", "пароль"],
)
def test_other_passwords_are_wrong(ground, key, password):
    assert login(ground, key.access_key, password) is None


def test_unknown_and_inactive_users(ground, key):
    assert login(ground, "AKIAUNKNOWN", smtp_password("0" * 40, "us-east-1")) is None
    assert login(ground, "x\0' OR 1=1", "") is None
    ground.run(lambda tx: credentials.activate(tx, key.access_key, active=False))
    assert login(ground, key.access_key, PASSWORDS["us-east-1"]) is None
    ground.run(lambda tx: credentials.activate(tx, key.access_key, active=True))
    assert login(ground, key.access_key, PASSWORDS["us-east-1"])


def test_not_subscribed_is_told_only_to_who_knows_the_password(ground, key):
    ground.run(lambda tx: account.subscribe(tx, A, subscribed=False))
    with pytest.raises(Closed) as caught:
        login(ground, key.access_key, PASSWORDS["us-east-1"])
    assert (caught.value.kind, str(caught.value)) == ("not-subscribed", "Account not subscribed to SES")
    assert login(ground, key.access_key, "wrong") is None


def test_the_old_form_only_where_it_is_let_in(ground, key):
    assert login(ground, key.access_key, smtp_password_v2(SECRET)) is None
    assert login(ground, key.access_key, smtp_password_v2(SECRET), sigv2=True).region == "us-east-1"


def test_a_secret_does_not_open_in_another_row(ground, key):
    with pytest.raises(Unreachable):
        credentials.secret(ground.vault, replace(key, access_key="AKIAOTHER"))
