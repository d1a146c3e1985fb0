"""Quota, statistics, state and identity of an account, as boto3 reads them."""

from __future__ import annotations

from mailstead.base.clock import MINUTE
from mailstead.ses import account, credentials, events, quota

A, B = "111111111111", "222222222222"


def test_a_new_account_in_the_sandbox(cloud):
    here = cloud()
    answer = here.client("ses").get_send_quota()
    assert {name: answer[name] for name in ("Max24HourSend", "MaxSendRate", "SentLast24Hours")} == {
        "Max24HourSend": 200.0,
        "MaxSendRate": 1.0,
        "SentLast24Hours": 0.0,
    }
    found = here.client("sesv2").get_account()
    assert found["SendQuota"] == {"Max24HourSend": 200.0, "MaxSendRate": 1.0, "SentLast24Hours": 0.0}
    assert (found["ProductionAccessEnabled"], found["SendingEnabled"]) == (False, True)
    assert found["EnforcementStatus"] == "HEALTHY"


def test_what_was_sent_counts_for_its_account_and_region_alone(cloud):
    here = cloud()
    here.client("ses").get_send_quota()
    here.ground.run(lambda tx: quota.reserve(tx, A, "us-east-1", 7, tx.now()))
    assert here.client("ses").get_send_quota()["SentLast24Hours"] == 7.0
    assert here.client("sesv2").get_account()["SendQuota"]["SentLast24Hours"] == 7.0
    assert here.client("ses", B).get_send_quota()["SentLast24Hours"] == 0.0
    assert here.client("ses", A, "eu-west-1").get_send_quota()["SentLast24Hours"] == 0.0


def test_no_limits_and_a_granted_review(cloud):
    here = cloud(new_account=account.WITHOUT_LIMITS)
    found = here.client("sesv2").get_account()
    assert found["SendQuota"]["Max24HourSend"] == -1.0
    assert found["ProductionAccessEnabled"] is True


def test_switches_and_enforcement_show(cloud):
    here = cloud()
    v2 = here.client("sesv2")
    v2.get_account()
    here.ground.run(lambda tx: account.set_sending(tx, A, "us-east-1", enabled=False))
    here.ground.run(lambda tx: account.pause(tx, A, "us-east-1"))
    found = v2.get_account()
    assert (found["SendingEnabled"], found["EnforcementStatus"]) == (False, "SHUTDOWN")
    here.ground.run(lambda tx: account.resume(tx, A, "us-east-1"))
    here.ground.run(lambda tx: account.close(tx, A))
    assert v2.get_account()["EnforcementStatus"] == "SHUTDOWN"


def test_statistics(cloud):
    here = cloud()
    assert here.client("ses").get_send_statistics()["SendDataPoints"] == []

    async def body(tx):
        for kind, n in ((events.SEND, 4), (events.BOUNCE, 1)):
            await events.emit(
                tx, account=A, region="us-east-1", message="m", kind=kind, at=tx.now(), detail={}, recipients=n
            )

    here.ground.run(body)
    (point,) = here.client("ses").get_send_statistics()["SendDataPoints"]
    start = here.ground.clock.now() // (15 * MINUTE) * 15 * MINUTE
    assert point.pop("Timestamp").timestamp() * 1000 == start
    assert point == {"DeliveryAttempts": 4, "Bounces": 1, "Complaints": 0, "Rejects": 0}
    assert here.client("ses", B).get_send_statistics()["SendDataPoints"] == []


def test_who_am_i(cloud):
    here = cloud()
    answer = here.client("sts").get_caller_identity()
    assert (answer["UserId"], answer["Account"], answer["Arn"]) == (A, A, f"arn:aws:iam::{A}:root")
    vault = here.ground.vault
    here.ground.run(
        lambda tx: credentials.create(tx, vault, A, user="shop", access_key="AKIASHOP", secret="secret-of-shop")
    )
    shop = here.client("sts", keys=("AKIASHOP", "secret-of-shop")).get_caller_identity()
    assert (shop["Account"], shop["Arn"]) == (A, f"arn:aws:iam::{A}:user/shop")
    assert shop["UserId"].startswith("AIDA")
