"""Quota, statistics, state and identity of an account, as boto3 reads them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from mailstead.base.clock import DAY, MINUTE
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


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_the_sending_switch_is_one_in_both_versions(cloud):
    here = cloud()
    v1, v2 = here.client("ses"), here.client("sesv2")
    assert v1.get_account_sending_enabled()["Enabled"] is True
    v1.update_account_sending_enabled(Enabled=False)
    assert v2.get_account()["SendingEnabled"] is False
    v2.put_account_sending_attributes(SendingEnabled=True)
    assert v1.get_account_sending_enabled()["Enabled"] is True
    v2.put_account_sending_attributes()
    assert v1.get_account_sending_enabled()["Enabled"] is False
    assert here.client("ses", B).get_account_sending_enabled()["Enabled"] is True
    assert here.client("ses", A, "eu-west-1").get_account_sending_enabled()["Enabled"] is True


def test_suppression_attributes(cloud):
    here = cloud()
    v2 = here.client("sesv2")

    def kept(client=v2):
        return client.get_account()["SuppressionAttributes"]

    assert kept() == {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}
    v2.put_account_suppression_attributes(SuppressedReasons=["COMPLAINT"])
    assert kept() == {"SuppressedReasons": ["COMPLAINT"]}
    v2.put_account_suppression_attributes(SuppressedReasons=[])
    assert kept() == {"SuppressedReasons": []}
    off = {"ConditionThreshold": {"ConditionThresholdEnabled": "DISABLED"}}
    v2.put_account_suppression_attributes(ValidationAttributes=off)
    assert kept() == {"SuppressedReasons": [], "ValidationAttributes": off}
    on = {"ConditionThreshold": {"ConditionThresholdEnabled": "ENABLED"}}
    assert refused(v2.put_account_suppression_attributes, ValidationAttributes=on)[0] == "UnsupportedOperation"
    assert kept(here.client("sesv2", B)) == {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}


DETAILS = {
    "MailType": "TRANSACTIONAL",
    "WebsiteURL": "https://shop.example/?a=b#c",
    "ContactLanguage": "JA",
    "UseCaseDescription": "Orders & invoices — 注文",
    "AdditionalContactEmailAddresses": ["ops@shop.example", "boss@shop.example"],
}


def test_production_access_is_asked_for_and_granted(cloud):
    here = cloud()
    v2 = here.client("sesv2")
    assert "Details" not in v2.get_account()
    v2.put_account_details(**DETAILS, ProductionAccessEnabled=True)
    found = v2.get_account()
    review = found["Details"].pop("ReviewDetails")
    assert found["Details"] == DETAILS
    assert (review["Status"], review["CaseId"].isdigit()) == ("PENDING", True)
    assert found["ProductionAccessEnabled"] is False
    assert refused(v2.put_account_details, **DETAILS) == ("ConflictException", 409)
    assert "Details" not in here.client("sesv2", B).get_account()
    here.ground.run(lambda tx: account.review(tx, A, "us-east-1", granted=False))
    assert v2.get_account()["Details"]["ReviewDetails"]["Status"] == "DENIED"
    v2.put_account_details(MailType="MARKETING", WebsiteURL="shop.example")
    found = v2.get_account()["Details"]
    assert (found["MailType"], found["ReviewDetails"]["Status"]) == ("MARKETING", "PENDING")
    assert "UseCaseDescription" not in found
    here.ground.run(lambda tx: account.review(tx, A, "us-east-1", granted=True))
    found = v2.get_account()
    assert (found["ProductionAccessEnabled"], found["Details"]["ReviewDetails"]["Status"]) == (True, "GRANTED")
    # Who has it may tell of a change without a review.
    v2.put_account_details(**DETAILS, ProductionAccessEnabled=True)
    found = v2.get_account()["Details"]
    assert (found["MailType"], found["ReviewDetails"]["Status"]) == ("TRANSACTIONAL", "GRANTED")


def test_details_without_a_request(cloud):
    v2 = cloud().client("sesv2")
    v2.put_account_details(MailType="MARKETING", WebsiteURL="shop.example", ProductionAccessEnabled=False)
    assert v2.get_account()["Details"] == {"MailType": "MARKETING", "WebsiteURL": "shop.example"}
    v2.put_account_details(**DETAILS, ProductionAccessEnabled=False)
    assert v2.get_account()["Details"] == DETAILS
    assert refused(v2.put_account_details, MailType="SPAM", WebsiteURL="x") == ("BadRequestException", 400)


def test_the_switches_of_insights(cloud):
    here = cloud()
    v2 = here.client("sesv2")
    assert "VdmAttributes" not in v2.get_account()
    v2.put_account_vdm_attributes(VdmAttributes={"VdmEnabled": "DISABLED"})
    assert v2.get_account()["VdmAttributes"] == {"VdmEnabled": "DISABLED"}
    v2.put_account_vdm_attributes(
        VdmAttributes={"VdmEnabled": "ENABLED", "DashboardAttributes": {"EngagementMetrics": "ENABLED"}}
    )
    assert v2.get_account()["VdmAttributes"] == {
        "VdmEnabled": "ENABLED",
        "DashboardAttributes": {"EngagementMetrics": "ENABLED"},
        "GuardianAttributes": {"OptimizedSharedDelivery": "DISABLED"},
    }
    v2.put_account_vdm_attributes(
        VdmAttributes={"VdmEnabled": "ENABLED", "GuardianAttributes": {"OptimizedSharedDelivery": "ENABLED"}}
    )
    assert v2.get_account()["VdmAttributes"]["DashboardAttributes"] == {"EngagementMetrics": "DISABLED"}
    assert refused(v2.put_account_vdm_attributes, VdmAttributes={"VdmEnabled": "ON"})[0] == "BadRequestException"
    assert "VdmAttributes" not in here.client("sesv2", "222222222222").get_account()


def test_a_pricing_plan(cloud):
    here = cloud()
    v2 = here.client("sesv2")
    assert "PricingAttributes" not in v2.get_account()
    v2.put_account_pricing_attributes(Plan="PRO")
    assert v2.get_account()["PricingAttributes"] == {"CurrentPlan": "PRO"}
    v2.put_account_pricing_attributes(Plan="NONE")
    assert v2.get_account()["PricingAttributes"] == {"CurrentPlan": "PRO", "NextPlan": "NONE"}
    here.ground.clock.advance(31 * DAY)
    assert v2.get_account()["PricingAttributes"] == {"CurrentPlan": "NONE"}
    assert refused(v2.put_account_pricing_attributes, Plan="GOLD")[0] == "BadRequestException"
