"""Recommendations through boto3: what upkeep noted, by page and filter."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from mailstead.base.clock import HOUR
from mailstead.ses import identities, recommendations
from mailstead.ses.recommendations import NO_DKIM, NO_DMARC, NO_MAIL_FROM

A, B = "111111111111", "222222222222"
EAST = "us-east-1"
HERE = f"arn:aws:ses:{EAST}:{A}:identity/"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"]


def moment(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@pytest.fixture
def here(cloud):
    made = cloud()

    async def fill(tx):
        for name in ("a.example", "b.example"):
            await identities.create(tx, A, EAST, name, verified=True)
            found = {"DKIM": NO_DKIM, "SPF": NO_MAIL_FROM, "DMARC": NO_DMARC}
            await recommendations.note(tx, A, EAST, name, found)
        await recommendations.note(tx, B, EAST, "theirs.example", {"DKIM": NO_DKIM})

    made.ground.run(fill)
    made.ground.clock.advance(HOUR)
    made.ground.run(lambda tx: recommendations.note(tx, A, EAST, "b.example", {"DKIM": None, "DMARC": NO_DMARC}))
    return made


@pytest.fixture
def v2(here):
    return here.client("sesv2")


def test_what_is_told(here, v2):
    now = here.ground.clock.now()
    told = v2.list_recommendations(Filter={"RESOURCE_ARN": HERE + "b.example", "TYPE": "DKIM"})["Recommendations"]
    assert told == [
        {
            "ResourceArn": HERE + "b.example",
            "Type": "DKIM",
            "Description": NO_DKIM.description,
            "Status": "FIXED",
            "CreatedTimestamp": moment(now - HOUR),
            "LastUpdatedTimestamp": moment(now),
            "Impact": "HIGH",
        }
    ]


def test_by_page_and_filter(here, v2):
    def listed(size=100, **wanted):
        found, token = [], {}
        given = {"Filter": wanted} if wanted else {}
        while True:
            page = v2.list_recommendations(PageSize=size, **given, **token)
            found += [f"{one['ResourceArn'][len(HERE)]}{one['Type']}" for one in page["Recommendations"]]
            if "NextToken" not in page:
                return " ".join(found)
            token = {"NextToken": page["NextToken"]}

    assert listed() == listed(1) == listed(4) == "aDKIM aDMARC aSPF bDKIM bDMARC bSPF"
    assert listed(STATUS="FIXED") == "bDKIM"
    assert listed(1, STATUS="OPEN", IMPACT="HIGH") == "aDKIM aDMARC bDMARC"
    assert listed(IMPACT="LOW") == "aSPF bSPF"
    assert listed(TYPE="BIMI") == ""
    assert listed(RESOURCE_ARN=HERE + "a.example") == "aDKIM aDMARC aSPF"
    token = v2.list_recommendations(PageSize=1)["NextToken"]
    assert refused(v2.list_recommendations, NextToken=token, Filter={"STATUS": "OPEN"}) == "BadRequestException"


def test_what_is_wrong(here, v2):
    for wanted in ({"TYPE": "x"}, {"IMPACT": "NONE"}, {"STATUS": "open"}):
        assert refused(v2.list_recommendations, Filter=wanted) == "BadRequestException"
    for arn in (HERE + "c.example", f"arn:aws:ses:{EAST}:{B}:identity/theirs.example", "x"):
        assert refused(v2.list_recommendations, Filter={"RESOURCE_ARN": arn}) == "NotFoundException"
    assert here.client("sesv2", A, "eu-west-1").list_recommendations()["Recommendations"] == []
