"""Multi-region endpoints through boto3, and sends that name one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from mailstead.ses import account

A, B = "111111111111", "222222222222"
DETAILS = {"RoutesDetails": [{"Region": "eu-west-1"}]}


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


def missing(name):
    return "NotFoundException", f"Multi-region endpoint <{name}> does not exist."


@pytest.fixture
def here(cloud):
    return cloud(new_account=account.PRODUCTION)


@pytest.fixture
def v2(here):
    return here.client("sesv2")


def test_a_life(here, v2):
    made = v2.create_multi_region_endpoint(EndpointName="both_of-them", Details=DETAILS)
    assert made["Status"] == "READY"
    told = v2.get_multi_region_endpoint(EndpointName="both_of-them")
    then = datetime.fromtimestamp(here.ground.clock.now() / 1000, UTC)
    common = {
        "EndpointName": "both_of-them",
        "EndpointId": made["EndpointId"],
        "Status": "READY",
        "CreatedTimestamp": then,
        "LastUpdatedTimestamp": then,
    }
    told.pop("ResponseMetadata")
    assert told == {**common, "Routes": [{"Region": "us-east-1"}, {"Region": "eu-west-1"}]}
    (listed,) = v2.list_multi_region_endpoints()["MultiRegionEndpoints"]
    assert listed == {**common, "Regions": ["us-east-1", "eu-west-1"]}
    assert refused(v2.create_multi_region_endpoint, EndpointName="both_of-them", Details=DETAILS) == (
        "AlreadyExistsException",
        "Multi-region endpoint <both_of-them> already exists.",
    )
    assert v2.delete_multi_region_endpoint(EndpointName="both_of-them")["Status"] == "DELETING"
    assert refused(v2.get_multi_region_endpoint, EndpointName="both_of-them") == missing("both_of-them")
    assert refused(v2.delete_multi_region_endpoint, EndpointName="both_of-them") == missing("both_of-them")
    assert v2.list_multi_region_endpoints()["MultiRegionEndpoints"] == []


@pytest.mark.parametrize(
    ("name", "regions"),
    [
        ("two words", ["eu-west-1"]),
        ("x" * 65, ["eu-west-1"]),
        ("mine", []),
        ("mine", ["us-east-1"]),
        ("mine", ["eu-west-1", "ap-south-1"]),
        ("mine", ["somewhere"]),
    ],
)
def test_what_is_refused(v2, name, regions):
    details = {"RoutesDetails": [{"Region": region} for region in regions]}
    assert refused(v2.create_multi_region_endpoint, EndpointName=name, Details=details)[0] == "BadRequestException"
    assert v2.list_multi_region_endpoints()["MultiRegionEndpoints"] == []


def test_twenty(v2):
    for n in range(20):
        v2.create_multi_region_endpoint(EndpointName=f"e{n}", Details=DETAILS)
    assert refused(v2.create_multi_region_endpoint, EndpointName="more", Details=DETAILS)[0] == "LimitExceededException"


def test_pages_by_botocores_own_paginator(v2):
    names = [f"e{n}" for n in range(5)]
    for name in names:
        v2.create_multi_region_endpoint(EndpointName=name, Details=DETAILS)
    pages = v2.get_paginator("list_multi_region_endpoints").paginate(PaginationConfig={"PageSize": 2})
    assert [[one["EndpointName"] for one in page["MultiRegionEndpoints"]] for page in pages] == [
        names[:2],
        names[2:4],
        names[4:],
    ]
    assert refused(v2.list_multi_region_endpoints, NextToken="AAAA")[0] == "BadRequestException"


def test_accounts_and_regions_are_apart(here, v2):
    v2.create_multi_region_endpoint(EndpointName="both", Details=DETAILS)
    for other in (here.client("sesv2", B), here.client("sesv2", A, "eu-west-1")):
        assert other.list_multi_region_endpoints()["MultiRegionEndpoints"] == []
        assert refused(other.get_multi_region_endpoint, EndpointName="both") == missing("both")
        assert refused(other.delete_multi_region_endpoint, EndpointName="both") == missing("both")


CONTENT = {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}}
SINGLE = ("/v2/email/outbound-emails", {"FromEmailAddress": "a@example.com", "Content": CONTENT})
BULK = (
    "/v2/email/outbound-bulk-emails",
    {
        "FromEmailAddress": "a@example.com",
        "DefaultContent": {"Template": {"TemplateContent": {"Subject": "s", "Text": "t"}, "TemplateData": "{}"}},
        "BulkEmailEntries": [{"Destination": {"ToAddresses": ["b@example.net"]}}],
    },
)


def post(here, path, body, keys=("AKIAAAAAAAAAAAAAAAAA", "secret-of-a"), region="us-east-1"):
    """A call with SigV4: SDKs take SigV4A where they see an EndpointId, and need a library of AWS's for it."""
    request = AWSRequest("POST", f"http://localhost:4579{path}", data=json.dumps(body))
    SigV4Auth(Credentials(*keys), "ses", region).add_auth(request)
    answer = here._send(request.prepare())
    return answer.status_code, json.loads(answer.content)


@pytest.mark.parametrize("call", [SINGLE, BULK])
def test_a_send_names_an_endpoint(here, v2, call):
    made = v2.create_multi_region_endpoint(EndpointName="both", Details=DETAILS)["EndpointId"]
    path, body = call
    for region in ("us-east-1", "eu-west-1"):
        status, answer = post(here, path, {**body, "EndpointId": made}, region=region)
        assert status == 200, answer
    assert len(here.door.submissions) == 2
    gone = (404, {"message": missing("abcdefgh.ijk")[1]})
    assert post(here, path, {**body, "EndpointId": "abcdefgh.ijk"}) == gone
    stranger = ("AKIABBBBBBBBBBBBBBBB", "secret-of-b")
    assert post(here, path, {**body, "EndpointId": made}, stranger) == (404, {"message": missing(made)[1]})
    v2.delete_multi_region_endpoint(EndpointName="both")
    assert post(here, path, {**body, "EndpointId": made})[0] == 404
    assert len(here.door.submissions) == 2
