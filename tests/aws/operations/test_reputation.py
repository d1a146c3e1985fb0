"""Reputation entities through boto3: told, listed, switched."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from mailstead.base.clock import HOUR

A, B = "111111111111", "222222222222"
POLICY = "arn:aws:ses:us-east-1:aws:reputation-policy/"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


def entity(reference):
    return {"ReputationEntityType": "RESOURCE", "ReputationEntityReference": reference}


@pytest.fixture
def here(cloud):
    return cloud()


@pytest.fixture
def v2(here):
    return here.client("sesv2")


def test_a_life(here, v2):
    reference = v2.create_tenant(TenantName="t")["TenantArn"]
    fresh = {
        **entity(reference),
        "ReputationManagementPolicy": POLICY + "standard",
        "AwsSesManagedStatus": {"Status": "ENABLED"},
        "SendingStatusAggregate": "ENABLED",
    }
    assert v2.get_reputation_entity(**entity(reference))["ReputationEntity"] == fresh
    for status in ("DISABLED", "REINSTATED", "ENABLED"):
        here.ground.clock.advance(HOUR)
        v2.update_reputation_entity_customer_managed_status(**entity(reference), SendingStatus=status)
        told = v2.get_reputation_entity(**entity(reference))["ReputationEntity"]
        then = datetime.fromtimestamp(here.ground.clock.now() / 1000, UTC)
        said = {"Status": status, "Cause": "Status manually updated.", "LastUpdatedTimestamp": then}
        assert told == {**fresh, "CustomerManagedStatus": said, "SendingStatusAggregate": status}
        assert v2.get_tenant(TenantName="t")["Tenant"]["SendingStatus"] == status
    for policy in ("none", "strict", "standard"):
        v2.update_reputation_entity_policy(**entity(reference), ReputationEntityPolicy=POLICY + policy)
        told = v2.get_reputation_entity(**entity(reference))["ReputationEntity"]
        assert told["ReputationManagementPolicy"] == POLICY + policy
    v2.delete_tenant(TenantName="t")
    v2.create_tenant(TenantName="t")
    assert refused(v2.get_reputation_entity, **entity(reference))[0] == "NotFoundException"


@pytest.mark.parametrize(
    "policy",
    [
        "strict",
        POLICY + "lax",
        POLICY + "Strict",
        "arn:aws:ses:eu-west-1:aws:reputation-policy/none",
        POLICY + "none\n",
    ],
)
def test_policies_that_are_none(v2, policy):
    reference = v2.create_tenant(TenantName="t")["TenantArn"]
    said = refused(v2.update_reputation_entity_policy, **entity(reference), ReputationEntityPolicy=policy)
    assert said == ("BadRequestException", f"Invalid reputation policy <{policy}>.")


def test_what_is_not_there(here, v2):
    theirs = here.client("sesv2", B).create_tenant(TenantName="t")["TenantArn"]
    elsewhere = here.client("sesv2", A, "eu-west-1").create_tenant(TenantName="t")["TenantArn"]
    v2.create_tenant(TenantName="t")
    ours = f"arn:aws:ses:us-east-1:{A}:tenant/"
    for reference in (theirs, elsewhere, ours, ours + "t", ours + "t/tn-0", ours[:-7] + "identity/x.org", "x"):
        text = f"Reputation entity <{reference}> does not exist."
        assert refused(v2.get_reputation_entity, **entity(reference)) == ("NotFoundException", text)
        switch = v2.update_reputation_entity_customer_managed_status
        assert refused(switch, **entity(reference), SendingStatus="DISABLED") == ("BadRequestException", text)
        change = v2.update_reputation_entity_policy
        wanted = {"ReputationEntityPolicy": POLICY + "none"}
        assert refused(change, **entity(reference), **wanted) == ("BadRequestException", text)


def test_lists_by_page_and_filter(here, v2):
    arns = {name: v2.create_tenant(TenantName=name)["TenantArn"] for name in ("shop", "shopping", "news", "n_ws")}
    here.client("sesv2", B).create_tenant(TenantName="theirs")
    v2.update_reputation_entity_customer_managed_status(**entity(arns["news"]), SendingStatus="DISABLED")

    def listed(**wanted):
        pages = v2.get_paginator("list_reputation_entities").paginate(
            **({"Filter": wanted} if wanted else {}), PaginationConfig={"PageSize": 1}
        )
        found = [one["ReputationEntityReference"] for page in pages for one in page["ReputationEntities"]]
        return {reference.split("/")[1] for reference in found}

    ours = f"arn:aws:ses:us-east-1:{A}:tenant/"
    assert listed() == listed(ENTITY_TYPE="RESOURCE") == set(arns)
    assert listed(SENDING_STATUS="DISABLED") == {"news"}
    assert listed(ENTITY_REFERENCE_PREFIX="arn:aws:ses:us") == set(arns)
    assert listed(ENTITY_REFERENCE_PREFIX=ours + "shop") == {"shop", "shopping"}
    assert listed(ENTITY_REFERENCE_PREFIX=ours + "shop/tn-") == {"shop"}
    assert listed(ENTITY_REFERENCE_PREFIX=arns["news"]) == {"news"}
    assert listed(ENTITY_REFERENCE_PREFIX=ours + "n_") == {"n_ws"}
    assert listed(ENTITY_REFERENCE_PREFIX=f"arn:aws:ses:us-east-1:{B}:tenant/") == set()
    assert listed(REPUTATION_IMPACT="HIGH") == set()
    for wanted in ({"ENTITY_TYPE": "x"}, {"REPUTATION_IMPACT": "x"}, {"SENDING_STATUS": "x"}):
        assert refused(v2.list_reputation_entities, Filter=wanted)[0] == "BadRequestException"
