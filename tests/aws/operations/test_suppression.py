"""The suppression list through boto3."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from mailstead.base.clock import HOUR
from mailstead.ses import account, suppression

A, B = "111111111111", "222222222222"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


@pytest.fixture
def here(cloud):
    return cloud(new_account=account.PRODUCTION)


@pytest.fixture
def v2(here):
    return here.client("sesv2")


def moment(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def test_a_life(here, v2):
    v2.put_suppressed_destination(EmailAddress="Anna@Example.COM", Reason="BOUNCE")
    found = v2.get_suppressed_destination(EmailAddress="Anna@EXAMPLE.com")["SuppressedDestination"]
    time = moment(here.ground.clock.now())
    assert found == {"EmailAddress": "Anna@example.com", "Reason": "BOUNCE", "LastUpdateTime": time}
    here.ground.clock.advance(HOUR)
    v2.put_suppressed_destination(EmailAddress="Anna@example.com", Reason="COMPLAINT")
    (listed,) = v2.list_suppressed_destinations()["SuppressedDestinationSummaries"]
    assert listed == {
        "EmailAddress": "Anna@example.com",
        "Reason": "COMPLAINT",
        "LastUpdateTime": moment(here.ground.clock.now()),
    }
    v2.delete_suppressed_destination(EmailAddress="Anna@example.com")
    text = "Email address Anna@example.com does not exist on your suppression list."
    for call in (v2.get_suppressed_destination, v2.delete_suppressed_destination):
        assert refused(call, EmailAddress="Anna@example.com") == ("NotFoundException", text)
    assert v2.list_suppressed_destinations()["SuppressedDestinationSummaries"] == []


def test_what_put_it_there_is_told(here, v2):
    here.ground.run(
        lambda tx: suppression.put(tx, A, "us-east-1", "a@example.com", "BOUNCE", message="m-1", feedback="f-1")
    )
    found = v2.get_suppressed_destination(EmailAddress="a@example.com")["SuppressedDestination"]
    assert found["Attributes"] == {"MessageId": "m-1", "FeedbackId": "f-1"}


def test_accounts_and_regions_are_apart(here, v2):
    v2.put_suppressed_destination(EmailAddress="a@example.com", Reason="BOUNCE")
    for other in (here.client("sesv2", B), here.client("sesv2", A, "eu-west-1")):
        assert other.list_suppressed_destinations()["SuppressedDestinationSummaries"] == []
        assert refused(other.get_suppressed_destination, EmailAddress="a@example.com")[0] == "NotFoundException"
        assert refused(other.delete_suppressed_destination, EmailAddress="a@example.com")[0] == "NotFoundException"
    assert v2.get_suppressed_destination(EmailAddress="a@example.com")


def test_pages_and_filters(here, v2):
    start = here.ground.clock.now()
    for n in range(7):
        v2.put_suppressed_destination(EmailAddress=f"a{n}@example.com", Reason=("BOUNCE", "COMPLAINT")[n % 2])
        here.ground.clock.advance(HOUR)

    def listed(**asked):
        found, token = [], {}
        while True:
            page = v2.list_suppressed_destinations(**asked, **token)
            found += [one["EmailAddress"][1] for one in page["SuppressedDestinationSummaries"]]
            if "NextToken" not in page:
                return "".join(found)
            token = {"NextToken": page["NextToken"]}

    assert listed() == "0123456"
    assert listed(PageSize=2) == "0123456"
    assert listed(PageSize=2, Reasons=["COMPLAINT"]) == "135"
    assert listed(Reasons=["COMPLAINT", "BOUNCE"]) == "0123456"
    assert listed(StartDate=moment(start + 2 * HOUR)) == "23456"
    assert listed(EndDate=moment(start + 2 * HOUR)) == "012"
    assert listed(StartDate=moment(start + HOUR), EndDate=moment(start + 4 * HOUR), PageSize=1) == "1234"
    assert refused(v2.list_suppressed_destinations, NextToken="x")[0] == "InvalidNextTokenException"
    token = v2.list_suppressed_destinations(PageSize=1)["NextToken"]
    # A token belongs to its list.
    assert refused(v2.list_suppressed_destinations, Reasons=["BOUNCE"], NextToken=token)[0] == (
        "InvalidNextTokenException"
    )


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("nobody", "Missing final '@domain'"),
        ("a b@example.com", "Local address contains control or whitespace"),
        ("a@", "Missing domain"),
        ("x" * 65 + "@example.com", "Illegal address"),
    ],
)
def test_what_is_no_address(v2, address, text):
    assert refused(v2.put_suppressed_destination, EmailAddress=address, Reason="BOUNCE") == (
        "BadRequestException",
        text,
    )
    assert refused(v2.get_suppressed_destination, EmailAddress=address)[0] == "NotFoundException"


def test_tenants_have_lists_of_their_own(here, v2):
    for name in ("t", "u"):
        v2.create_tenant(TenantName=name)
    v2.put_suppressed_destination(EmailAddress="all@x.org", Reason="BOUNCE")
    v2.put_suppressed_destination(EmailAddress="a@x.org", Reason="BOUNCE", TenantName="t")
    v2.put_suppressed_destination(EmailAddress="b@x.org", Reason="COMPLAINT", TenantName="t")
    found = v2.get_suppressed_destination(EmailAddress="a@x.org", TenantName="t")["SuppressedDestination"]
    assert (found["Reason"], found["TenantName"]) == ("BOUNCE", "t")

    def listed(**asked):
        page = v2.list_suppressed_destinations(**asked)
        return [one["EmailAddress"] for one in page["SuppressedDestinationSummaries"]]

    assert listed() == ["all@x.org"]
    assert listed(TenantName="t") == ["a@x.org", "b@x.org"]
    assert listed(TenantName="t", Reasons=["COMPLAINT"]) == ["b@x.org"]
    assert listed(TenantName="u") == []
    token = v2.list_suppressed_destinations(TenantName="t", PageSize=1)["NextToken"]
    assert listed(TenantName="t", PageSize=1, NextToken=token) == ["b@x.org"]
    for other in ({}, {"TenantName": "u"}):
        assert refused(v2.list_suppressed_destinations, NextToken=token, **other)[0] == "InvalidNextTokenException"
        for call in (v2.get_suppressed_destination, v2.delete_suppressed_destination):
            assert refused(call, EmailAddress="a@x.org", **other)[0] == "NotFoundException"
    v2.delete_suppressed_destination(EmailAddress="a@x.org", TenantName="t")
    assert listed(TenantName="t") == ["b@x.org"]
    v2.delete_tenant(TenantName="t")
    v2.create_tenant(TenantName="t")
    assert (listed(TenantName="t"), listed()) == ([], ["all@x.org"])


def test_no_such_tenant(here, v2):
    here.client("sesv2", B).create_tenant(TenantName="t")
    expected = ("NotFoundException", "The requested tenant <t> does not exist.")
    assert refused(v2.put_suppressed_destination, EmailAddress="a@x.org", Reason="BOUNCE", TenantName="t") == expected
    assert refused(v2.get_suppressed_destination, EmailAddress="a@x.org", TenantName="t") == expected
    assert refused(v2.list_suppressed_destinations, TenantName="t") == expected
    assert refused(v2.delete_suppressed_destination, EmailAddress="a@x.org", TenantName="t") == expected


def test_not_in_the_sandbox(cloud):
    v2 = cloud().client("sesv2")
    code, text = refused(v2.put_suppressed_destination, EmailAddress="a@example.com", Reason="BOUNCE")
    assert code == "BadRequestException"
    assert "sandbox" in text
