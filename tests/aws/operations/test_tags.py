"""Tags through boto3: on everything that has them, gone with it, and nobody else's."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

A, B = "111111111111", "222222222222"
ARN = f"arn:aws:ses:us-east-1:{A}:"
MINE = ARN + "configuration-set/mine"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


@pytest.fixture
def here(cloud):
    return cloud(auto_verify=True)


MAKE = {
    "identity/a@example.com": ("create_email_identity", "delete_email_identity", {"EmailIdentity": "a@example.com"}),
    "configuration-set/mine": (
        "create_configuration_set",
        "delete_configuration_set",
        {"ConfigurationSetName": "mine"},
    ),
    "dedicated-ip-pool/mine": ("create_dedicated_ip_pool", "delete_dedicated_ip_pool", {"PoolName": "mine"}),
    "multi-region-endpoint/mine": (
        "create_multi_region_endpoint",
        "delete_multi_region_endpoint",
        {"EndpointName": "mine"},
    ),
}
MORE = {"create_multi_region_endpoint": {"Details": {"RoutesDetails": [{"Region": "eu-west-1"}]}}}


@pytest.mark.parametrize("resource", MAKE)
def test_a_life(here, resource):
    make, delete, name = MAKE[resource]
    more = MORE.get(make, {})
    v2, arn = here.client("sesv2"), ARN + resource

    def found():
        return v2.list_tags_for_resource(ResourceArn=arn)["Tags"]

    getattr(v2, make)(**name, **more, Tags=tags(team="shop", stage="test"))
    assert found() == tags(stage="test", team="shop")
    v2.tag_resource(ResourceArn=arn, Tags=tags(team="ship", empty="", **{"k:/=+-@._ é": "가 나"}))
    assert found() == tags(empty="", **{"k:/=+-@._ é": "가 나"}, stage="test", team="ship")
    v2.untag_resource(ResourceArn=arn, TagKeys=["team", "empty", "never there"])
    assert found() == tags(**{"k:/=+-@._ é": "가 나"}, stage="test")
    getattr(v2, delete)(**name)
    gone = ("NotFoundException", f"Resource {arn} does not exist.")
    assert refused(v2.list_tags_for_resource, ResourceArn=arn) == gone
    assert refused(v2.tag_resource, ResourceArn=arn, Tags=tags(a="b")) == gone
    assert refused(v2.untag_resource, ResourceArn=arn, TagKeys=["a"]) == gone
    getattr(v2, make)(**name, **more)
    assert found() == []


def test_nobody_elses(here):
    v2 = here.client("sesv2")
    v2.create_configuration_set(ConfigurationSetName="mine", Tags=tags(a="1"))
    for client in (here.client("sesv2", B), here.client("sesv2", A, "eu-west-1")):
        client.create_configuration_set(ConfigurationSetName="mine")
        for call, more in [
            (client.list_tags_for_resource, {}),
            (client.tag_resource, {"Tags": tags(a="2")}),
            (client.untag_resource, {"TagKeys": ["a"]}),
        ]:
            assert refused(call, ResourceArn=MINE, **more) == (
                "NotFoundException",
                f"Resource {MINE} does not exist.",
            )
    assert v2.list_tags_for_resource(ResourceArn=MINE)["Tags"] == tags(a="1")


@pytest.mark.parametrize(
    "arn", ["x", ARN + "configuration-set/none", ARN + "spaceship/mine", ARN + "configuration-set", "arn:aws:sns:x"]
)
def test_no_such_thing(here, arn):
    assert refused(here.client("sesv2").list_tags_for_resource, ResourceArn=arn)[0] == "NotFoundException"


@pytest.mark.parametrize(
    "wrong",
    [
        tags(**{"aws:x": "1"}),
        tags(**{"": "1"}),
        tags(**{"k" * 129: "1"}),
        tags(k="v" * 257),
        tags(k="a\nb"),
        tags(**{"a;b": "1"}),
        tags(a="1") * 2,
        tags(**{f"k{n}": "v" for n in range(51)}),
    ],
)
def test_tags_that_may_not_be(here, wrong):
    v2 = here.client("sesv2")
    v2.create_configuration_set(ConfigurationSetName="mine", Tags=tags(was="there"))
    assert refused(v2.tag_resource, ResourceArn=MINE, Tags=wrong)[0] == "BadRequestException"
    assert v2.list_tags_for_resource(ResourceArn=MINE)["Tags"] == tags(was="there")


def test_fifty_at_most(here):
    v2 = here.client("sesv2")
    v2.create_configuration_set(ConfigurationSetName="mine", Tags=tags(**{f"k{n:02}": "v" for n in range(49)}))
    v2.tag_resource(ResourceArn=MINE, Tags=tags(k00="w", one="more"))
    code, text = refused(v2.tag_resource, ResourceArn=MINE, Tags=tags(too="much"))
    assert (code, text) == ("BadRequestException", "A resource has at most 50 tags.")
    assert len(v2.list_tags_for_resource(ResourceArn=MINE)["Tags"]) == 50
