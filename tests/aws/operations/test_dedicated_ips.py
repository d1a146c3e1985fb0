"""Dedicated addresses and their pools through boto3."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from mailstead.ses import account, dedicated_ips
from mailstead.ses.dedicated_ips import MAX_POOLS

A, B = "111111111111", "222222222222"
ONE, TWO, THREE = "192.0.2.1", "192.0.2.2", "192.0.2.3"
DEFAULT = "ses-default-dedicated-pool"
GIVEN = "Pool name describes either a shared or default dedicated ip pool"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


def no_pool(name):
    return "NotFoundException", f"The requested pool <{name}> does not exist."


def no_address(ip):
    return "NotFoundException", f"Could not find dedicated IP <{ip}> under this account."


@pytest.fixture
def here(cloud):
    made = cloud(new_account=account.PRODUCTION)
    made.client("sesv2").get_account()  # the first use of the region makes it
    return made


@pytest.fixture
def v2(here):
    return here.client("sesv2")


def assign(here, *ips):
    for ip in ips:
        here.ground.run(lambda tx, ip=ip: dedicated_ips.assign(tx, A, "us-east-1", ip))


def test_the_life_of_a_pool(v2):
    v2.create_dedicated_ip_pool(PoolName="news")
    v2.create_dedicated_ip_pool(PoolName="bulk.1_x-y", ScalingMode="MANAGED")
    assert v2.list_dedicated_ip_pools()["DedicatedIpPools"] == ["bulk.1_x-y", "news"]
    assert v2.get_dedicated_ip_pool(PoolName="news")["DedicatedIpPool"] == {
        "PoolName": "news",
        "ScalingMode": "STANDARD",
    }
    assert refused(v2.create_dedicated_ip_pool, PoolName="news") == (
        "AlreadyExistsException",
        "The pool <news> already exists.",
    )
    v2.put_dedicated_ip_pool_scaling_attributes(PoolName="news", ScalingMode="STANDARD")
    v2.put_dedicated_ip_pool_scaling_attributes(PoolName="news", ScalingMode="MANAGED")
    v2.put_dedicated_ip_pool_scaling_attributes(PoolName="news", ScalingMode="MANAGED")
    assert v2.get_dedicated_ip_pool(PoolName="news")["DedicatedIpPool"]["ScalingMode"] == "MANAGED"
    assert refused(v2.put_dedicated_ip_pool_scaling_attributes, PoolName="news", ScalingMode="STANDARD") == (
        "BadRequestException",
        "The ScalingMode parameter is invalid.",
    )
    v2.delete_dedicated_ip_pool(PoolName="news")
    assert refused(v2.delete_dedicated_ip_pool, PoolName="news") == no_pool("news")
    assert refused(v2.get_dedicated_ip_pool, PoolName="news") == no_pool("news")
    assert refused(v2.put_dedicated_ip_pool_scaling_attributes, PoolName="news", ScalingMode="MANAGED") == no_pool(
        "news"
    )
    assert v2.list_dedicated_ip_pools()["DedicatedIpPools"] == ["bulk.1_x-y"]


@pytest.mark.parametrize("name", ["", "Upper", "two words", "a" * 65, "ä", "a\nb", "a/b"])
def test_names_that_no_pool_can_have(v2, name):
    code, text = refused(v2.create_dedicated_ip_pool, PoolName=name)
    assert code == "BadRequestException"
    assert f"<{name}>: only lower case letters" in text
    if name:  # botocore itself refuses an empty one in a path
        assert refused(v2.get_dedicated_ip_pool, PoolName=name) == no_pool(name)
        assert refused(v2.delete_dedicated_ip_pool, PoolName=name) == no_pool(name)


@pytest.mark.parametrize("name", [DEFAULT, "ses-shared-pool"])
def test_the_pools_that_everybody_has_are_nobodys_to_change(v2, name):
    for call, more in (
        (v2.create_dedicated_ip_pool, {}),
        (v2.get_dedicated_ip_pool, {}),
        (v2.delete_dedicated_ip_pool, {}),
        (v2.put_dedicated_ip_pool_scaling_attributes, {"ScalingMode": "MANAGED"}),
    ):
        assert refused(call, PoolName=name, **more) == ("BadRequestException", GIVEN)


def test_too_many_pools(v2):
    for n in range(MAX_POOLS):
        v2.create_dedicated_ip_pool(PoolName=f"p{n}")
    assert refused(v2.create_dedicated_ip_pool, PoolName="more")[0] == "LimitExceededException"


def test_an_address_changes_pools_and_gets_warm(here, v2):
    assign(here, ONE)
    cold = {"Ip": ONE, "WarmupStatus": "IN_PROGRESS", "WarmupPercentage": 0, "PoolName": DEFAULT}
    assert v2.get_dedicated_ip(Ip=ONE)["DedicatedIp"] == cold
    v2.create_dedicated_ip_pool(PoolName="news")
    v2.put_dedicated_ip_in_pool(Ip=ONE, DestinationPoolName="news")
    v2.put_dedicated_ip_warmup_attributes(Ip=ONE, WarmupPercentage=42)
    assert v2.get_dedicated_ip(Ip=ONE)["DedicatedIp"] == {**cold, "WarmupPercentage": 42, "PoolName": "news"}
    v2.put_dedicated_ip_warmup_attributes(Ip=ONE, WarmupPercentage=100)
    assert v2.get_dedicated_ip(Ip=ONE)["DedicatedIp"]["WarmupStatus"] == "DONE"
    v2.put_dedicated_ip_pool_scaling_attributes(PoolName="news", ScalingMode="MANAGED")
    managed = v2.get_dedicated_ip(Ip=ONE)["DedicatedIp"]
    assert (managed["WarmupStatus"], managed["WarmupPercentage"]) == ("NOT_APPLICABLE", -1)
    assert refused(v2.put_dedicated_ip_warmup_attributes, Ip=ONE, WarmupPercentage=1)[0] == "BadRequestException"
    v2.put_dedicated_ip_in_pool(Ip=ONE, DestinationPoolName=DEFAULT)
    assert v2.get_dedicated_ips(PoolName="news")["DedicatedIps"] == []
    v2.put_dedicated_ip_in_pool(Ip=ONE, DestinationPoolName="news")
    v2.delete_dedicated_ip_pool(PoolName="news")
    assert v2.get_dedicated_ip(Ip=ONE)["DedicatedIp"]["PoolName"] == DEFAULT


def test_what_is_refused_of_addresses(here, v2):
    assign(here, ONE)
    for ip in (TWO, "no address", "2001:db8::1"):
        assert refused(v2.get_dedicated_ip, Ip=ip) == no_address(ip)
        assert refused(v2.put_dedicated_ip_in_pool, Ip=ip, DestinationPoolName="none") == no_address(ip)
        assert refused(v2.put_dedicated_ip_warmup_attributes, Ip=ip, WarmupPercentage=1) == no_address(ip)
    for pool in ("none", "ses-shared-pool", "No\0Name"):
        assert refused(v2.put_dedicated_ip_in_pool, Ip=ONE, DestinationPoolName=pool) == no_pool(pool)
        assert refused(v2.get_dedicated_ips, PoolName=pool) == no_pool(pool)
    for percentage in (-1, 101, 2**31 - 1):
        assert refused(v2.put_dedicated_ip_warmup_attributes, Ip=ONE, WarmupPercentage=percentage) == (
            "BadRequestException",
            "Warmup Percentage must be between 0 and 100.",
        )


def test_pages(here, v2):
    names = [f"p{n}" for n in range(5)]
    for name in names:
        v2.create_dedicated_ip_pool(PoolName=name)
    assign(here, ONE, TWO, THREE)
    v2.put_dedicated_ip_in_pool(Ip=TWO, DestinationPoolName="p1")

    def walk(call, member, **asked):
        found, token = [], {}
        while True:
            page = call(**asked, **token)
            found.append(page[member])
            if "NextToken" not in page:
                return found
            token = {"NextToken": page["NextToken"]}

    assert walk(v2.list_dedicated_ip_pools, "DedicatedIpPools", PageSize=2) == [names[:2], names[2:4], names[4:]]
    pages = walk(v2.get_dedicated_ips, "DedicatedIps", PageSize=1)
    assert [[one["Ip"] for one in page] for page in pages] == [[ONE], [TWO], [THREE]]
    pages = walk(v2.get_dedicated_ips, "DedicatedIps", PageSize=1, PoolName=DEFAULT)
    assert [[one["Ip"] for one in page] for page in pages] == [[ONE], [THREE]]
    token = v2.get_dedicated_ips(PageSize=1, PoolName=DEFAULT)["NextToken"]
    for call, more in ((v2.get_dedicated_ips, {}), (v2.list_dedicated_ip_pools, {}), (v2.get_dedicated_ips, {"x": 1})):
        given = {"NextToken": "AAAA" if more else token}
        assert refused(call, **given) == ("BadRequestException", "The specified next token is invalid.")


def test_accounts_and_regions_are_apart(here, v2):
    assign(here, ONE)
    v2.create_dedicated_ip_pool(PoolName="news")
    for other in (here.client("sesv2", B), here.client("sesv2", A, "eu-west-1")):
        assert other.list_dedicated_ip_pools()["DedicatedIpPools"] == []
        assert other.get_dedicated_ips()["DedicatedIps"] == []
        assert refused(other.get_dedicated_ip_pool, PoolName="news") == no_pool("news")
        assert refused(other.delete_dedicated_ip_pool, PoolName="news") == no_pool("news")
        assert refused(other.get_dedicated_ip, Ip=ONE) == no_address(ONE)
        assert refused(other.put_dedicated_ip_in_pool, Ip=ONE, DestinationPoolName=DEFAULT) == no_address(ONE)
        assert refused(other.put_dedicated_ip_warmup_attributes, Ip=ONE, WarmupPercentage=1) == no_address(ONE)
        other.create_dedicated_ip_pool(PoolName="news")
        other.delete_dedicated_ip_pool(PoolName="news")
    assert v2.get_dedicated_ip_pool(PoolName="news")


def test_configuration_sets_name_pools_that_are_there(here, v2):
    name = {"ConfigurationSetName": "mine"}
    nothing = ("BadRequestException", "SendingPool <news> doesn't exist")
    options = {"SendingPoolName": "news"}
    assert refused(v2.create_configuration_set, **name, DeliveryOptions=options) == nothing
    v2.create_configuration_set(**name)
    assert refused(v2.put_configuration_set_delivery_options, **name, **options) == nothing
    here.client("sesv2", B).create_dedicated_ip_pool(PoolName="news")
    assert refused(v2.put_configuration_set_delivery_options, **name, **options) == nothing
    v2.create_dedicated_ip_pool(PoolName="news")
    for pool in ("news", DEFAULT, "ses-shared-pool"):
        v2.put_configuration_set_delivery_options(**name, SendingPoolName=pool)
        assert v2.get_configuration_set(**name)["DeliveryOptions"]["SendingPoolName"] == pool
    v2.create_configuration_set(ConfigurationSetName="other", DeliveryOptions=options)


def test_the_switch_of_warm_up(here, v2):
    assert v2.get_account()["DedicatedIpAutoWarmupEnabled"] is True
    v2.put_account_dedicated_ip_warmup_attributes(AutoWarmupEnabled=False)
    assert v2.get_account()["DedicatedIpAutoWarmupEnabled"] is False
    assign(here, ONE)
    v2.put_account_dedicated_ip_warmup_attributes(AutoWarmupEnabled=True)
    assign(here, TWO)
    assert [one["WarmupStatus"] for one in v2.get_dedicated_ips()["DedicatedIps"]] == ["DONE", "IN_PROGRESS"]
    v2.put_account_dedicated_ip_warmup_attributes()
    assert v2.get_account()["DedicatedIpAutoWarmupEnabled"] is False
    assert here.client("sesv2", B).get_account()["DedicatedIpAutoWarmupEnabled"] is True
