"""Configuration sets through boto3: each option group, made in one version and seen in the other; every error."""

from __future__ import annotations

import datetime

import pytest
from botocore.exceptions import ClientError

from mailstead.ses import configuration_sets, identities

A, B, R = "111111111111", "222222222222", "us-east-1"
MISSING = "Configuration set <none> does not exist."
REDIRECT = "links.example.com"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def bare(answer):
    answer.pop("ResponseMetadata")
    return answer


@pytest.fixture
def here(cloud):
    made = cloud()
    made.ground.run(lambda tx: identities.create(tx, A, R, "example.com", verified=True))
    return made


@pytest.fixture
def v1(here):
    return here.client("ses")


@pytest.fixture
def v2(here):
    return here.client("sesv2")


def test_a_life_in_v1_seen_from_v2(v1, v2):
    v1.create_configuration_set(ConfigurationSet={"Name": "mine"})
    assert bare(v2.get_configuration_set(ConfigurationSetName="mine")) == {
        "ConfigurationSetName": "mine",
        "DeliveryOptions": {"TlsPolicy": "OPTIONAL"},
        "ReputationOptions": {"ReputationMetricsEnabled": False},
        "SendingOptions": {"SendingEnabled": True},
        "Tags": [],
    }
    assert refused(v1.create_configuration_set, ConfigurationSet={"Name": "mine"}) == (
        "ConfigurationSetAlreadyExists",
        "Configuration set <mine> already exists.",
        400,
    )
    assert refused(v2.create_configuration_set, ConfigurationSetName="mine")[0] == "AlreadyExistsException"
    v1.put_configuration_set_delivery_options(ConfigurationSetName="mine", DeliveryOptions={"TlsPolicy": "Require"})
    v1.update_configuration_set_reputation_metrics_enabled(ConfigurationSetName="mine", Enabled=True)
    v1.update_configuration_set_sending_enabled(ConfigurationSetName="mine", Enabled=False)
    v1.create_configuration_set_tracking_options(
        ConfigurationSetName="mine", TrackingOptions={"CustomRedirectDomain": REDIRECT}
    )
    assert bare(v2.get_configuration_set(ConfigurationSetName="mine")) == {
        "ConfigurationSetName": "mine",
        "TrackingOptions": {"CustomRedirectDomain": REDIRECT},
        "DeliveryOptions": {"TlsPolicy": "REQUIRE"},
        "ReputationOptions": {"ReputationMetricsEnabled": True},
        "SendingOptions": {"SendingEnabled": False},
        "Tags": [],
    }
    v1.delete_configuration_set(ConfigurationSetName="mine")
    assert refused(v2.get_configuration_set, ConfigurationSetName="mine")[2] == 404
    text = "Configuration set <mine> does not exist."
    assert refused(v1.delete_configuration_set, ConfigurationSetName="mine") == (
        "ConfigurationSetDoesNotExist",
        text,
        400,
    )
    assert refused(v2.delete_configuration_set, ConfigurationSetName="mine") == ("NotFoundException", text, 404)


def test_a_life_in_v2_seen_from_v1(here, v1, v2):
    began = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    given = {
        "ConfigurationSetName": "full_Set-1",
        "TrackingOptions": {"CustomRedirectDomain": REDIRECT, "HttpsPolicy": "REQUIRE_OPEN_ONLY"},
        "DeliveryOptions": {"TlsPolicy": "REQUIRE", "SendingPoolName": "ses-shared-pool", "MaxDeliverySeconds": 300},
        "ReputationOptions": {"ReputationMetricsEnabled": True, "LastFreshStart": began},
        "SendingOptions": {"SendingEnabled": False},
        "Tags": [{"Key": "team", "Value": "shop"}],
        "SuppressionOptions": {
            "SuppressedReasons": ["COMPLAINT"],
            "SuppressionScope": "ACCOUNT",
            "ValidationOptions": {"ConditionThreshold": {"ConditionThresholdEnabled": "DISABLED"}},
        },
        "VdmOptions": {
            "DashboardOptions": {"EngagementMetrics": "ENABLED"},
            "GuardianOptions": {"OptimizedSharedDelivery": "DISABLED"},
        },
    }
    v2.create_configuration_set(**given)
    assert bare(v2.get_configuration_set(ConfigurationSetName="full_Set-1")) == given
    every = ["eventDestinations", "trackingOptions", "deliveryOptions", "reputationOptions"]
    described = v1.describe_configuration_set(ConfigurationSetName="full_Set-1", ConfigurationSetAttributeNames=every)
    assert bare(described) == {
        "ConfigurationSet": {"Name": "full_Set-1"},
        "EventDestinations": [],
        "TrackingOptions": {"CustomRedirectDomain": REDIRECT},
        "DeliveryOptions": {"TlsPolicy": "Require"},
        "ReputationOptions": {"SendingEnabled": False, "ReputationMetricsEnabled": True, "LastFreshStart": began},
    }
    assert bare(v1.describe_configuration_set(ConfigurationSetName="full_Set-1")) == {
        "ConfigurationSet": {"Name": "full_Set-1"}
    }
    v2.put_configuration_set_sending_options(ConfigurationSetName="full_Set-1", SendingEnabled=True)
    described = v1.describe_configuration_set(
        ConfigurationSetName="full_Set-1", ConfigurationSetAttributeNames=["reputationOptions"]
    )
    fresh = described["ReputationOptions"]
    assert fresh["SendingEnabled"] is True
    assert fresh["LastFreshStart"].timestamp() * 1000 == here.ground.clock.now()


def test_every_group_is_replaced_as_a_whole(v2):
    name = {"ConfigurationSetName": "mine"}
    v2.create_configuration_set(**name)

    def group(member):
        return v2.get_configuration_set(**name).get(member)

    v2.put_configuration_set_delivery_options(**name, TlsPolicy="REQUIRE", MaxDeliverySeconds=50400)
    assert group("DeliveryOptions") == {"TlsPolicy": "REQUIRE", "MaxDeliverySeconds": 50400}
    v2.put_configuration_set_delivery_options(**name, SendingPoolName="ses-shared-pool")
    assert group("DeliveryOptions") == {"TlsPolicy": "OPTIONAL", "SendingPoolName": "ses-shared-pool"}
    v2.put_configuration_set_suppression_options(**name, SuppressedReasons=["COMPLAINT", "BOUNCE", "BOUNCE"])
    assert group("SuppressionOptions") == {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}
    v2.put_configuration_set_suppression_options(**name, SuppressedReasons=[])
    assert group("SuppressionOptions") == {"SuppressedReasons": []}
    v2.put_configuration_set_suppression_options(**name)
    assert group("SuppressionOptions") is None
    v2.put_configuration_set_tracking_options(**name, CustomRedirectDomain=REDIRECT, HttpsPolicy="REQUIRE")
    assert group("TrackingOptions") == {"CustomRedirectDomain": REDIRECT, "HttpsPolicy": "REQUIRE"}
    v2.put_configuration_set_tracking_options(**name)
    assert group("TrackingOptions") is None
    v2.put_configuration_set_vdm_options(**name, VdmOptions={"DashboardOptions": {"EngagementMetrics": "DISABLED"}})
    assert group("VdmOptions") == {"DashboardOptions": {"EngagementMetrics": "DISABLED"}}
    v2.put_configuration_set_vdm_options(**name)
    assert group("VdmOptions") is None
    v2.put_configuration_set_reputation_options(**name, ReputationMetricsEnabled=True)
    assert group("ReputationOptions") == {"ReputationMetricsEnabled": True}
    v2.put_configuration_set_reputation_options(**name)
    assert group("ReputationOptions") == {"ReputationMetricsEnabled": False}
    v2.put_configuration_set_sending_options(**name)
    assert group("SendingOptions") == {"SendingEnabled": False}
    v2.update_configuration_set(**name, MessageSecurityOptions={"SigningScheme": {"DefaultScheme": {}}})


def test_tracking_options_of_v1(v1):
    name = {"ConfigurationSetName": "mine"}
    domain = {"TrackingOptions": {"CustomRedirectDomain": REDIRECT}}
    v1.create_configuration_set(ConfigurationSet={"Name": "mine"})
    none = ("TrackingOptionsDoesNotExistException", "Configuration set <mine> has no tracking options.", 400)
    assert refused(v1.update_configuration_set_tracking_options, **name, **domain) == none
    assert refused(v1.delete_configuration_set_tracking_options, **name) == none
    v1.create_configuration_set_tracking_options(**name, **domain)
    assert refused(v1.create_configuration_set_tracking_options, **name, **domain)[0] == (
        "TrackingOptionsAlreadyExistsException"
    )
    other = {"TrackingOptions": {"CustomRedirectDomain": "example.com"}}
    v1.update_configuration_set_tracking_options(**name, **other)
    shown = v1.describe_configuration_set(**name, ConfigurationSetAttributeNames=["trackingOptions"])
    assert shown["TrackingOptions"] == {"CustomRedirectDomain": "example.com"}
    v1.delete_configuration_set_tracking_options(**name)
    shown = v1.describe_configuration_set(**name, ConfigurationSetAttributeNames=["trackingOptions"])
    assert "TrackingOptions" not in shown
    for wrong in ("other.org", "a@example.com", "com", "-", ""):
        code, _, status = refused(
            v1.create_configuration_set_tracking_options, **name, TrackingOptions={"CustomRedirectDomain": wrong}
        )
        assert (code, status) == ("InvalidTrackingOptions", 400)


def test_nothing_can_be_done_to_what_is_not_there(v1, v2):
    name = {"ConfigurationSetName": "none"}
    tracking = {"TrackingOptions": {"CustomRedirectDomain": REDIRECT}}
    for call, more in [
        (v1.describe_configuration_set, {}),
        (v1.delete_configuration_set, {}),
        (v1.create_configuration_set_tracking_options, tracking),
        (v1.update_configuration_set_tracking_options, tracking),
        (v1.delete_configuration_set_tracking_options, {}),
        (v1.put_configuration_set_delivery_options, {}),
        (v1.update_configuration_set_reputation_metrics_enabled, {"Enabled": True}),
        (v1.update_configuration_set_sending_enabled, {"Enabled": True}),
    ]:
        assert refused(call, **name, **more) == ("ConfigurationSetDoesNotExist", MISSING, 400)
    for call in [
        v2.get_configuration_set,
        v2.update_configuration_set,
        v2.delete_configuration_set,
        v2.put_configuration_set_delivery_options,
        v2.put_configuration_set_reputation_options,
        v2.put_configuration_set_sending_options,
        v2.put_configuration_set_suppression_options,
        v2.put_configuration_set_tracking_options,
        v2.put_configuration_set_vdm_options,
    ]:
        assert refused(call, **name) == ("NotFoundException", MISSING, 404)


@pytest.mark.parametrize(
    ("given", "code", "part"),
    [
        ({"ConfigurationSetName": "a b"}, "BadRequestException", "<a b>: only alphanumeric"),
        ({"ConfigurationSetName": "x" * 65}, "BadRequestException", "only alphanumeric"),
        ({"ConfigurationSetName": "é"}, "BadRequestException", "only alphanumeric"),
        ({"DeliveryOptions": {"SendingPoolName": "mine"}}, "BadRequestException", "SendingPool <mine> doesn't exist"),
        ({"DeliveryOptions": {"MaxDeliverySeconds": 50401}}, "BadRequestException", "less than or equal to 50400"),
        ({"TrackingOptions": {"CustomRedirectDomain": "x.org"}}, "BadRequestException", "<x.org> is not verified"),
        (
            {
                "SuppressionOptions": {
                    "ValidationOptions": {"ConditionThreshold": {"ConditionThresholdEnabled": "ENABLED"}}
                }
            },
            "UnsupportedOperation",
            "Validation",
        ),
        (
            {
                "ArchivingOptions": {
                    "ArchiveArn": f"arn:aws:ses:us-east-1:{A}:mailmanager-archive/a-abcdefghijklmnopqrstuvwxyz"
                }
            },
            "UnsupportedOperation",
            "Archiving is not offered",
        ),
        (
            {"MessageSecurityOptions": {"SigningScheme": {"SmimeScheme": {"SignatureFormat": "DETACHED"}}}},
            "UnsupportedOperation",
            "S/MIME",
        ),
        ({"Tags": [{"Key": "a", "Value": "b"}, {"Key": "a", "Value": "c"}]}, "BadRequestException", "Duplicate"),
    ],
)
def test_what_cannot_be_made(v2, given, code, part):
    found = refused(v2.create_configuration_set, **{"ConfigurationSetName": "mine"} | given)
    assert found[0] == code
    assert part in found[1]
    assert v2.list_configuration_sets()["ConfigurationSets"] == []


def test_v1_name_and_declined(v1, v2):
    assert refused(v1.create_configuration_set, ConfigurationSet={"Name": "a b"})[0] == "InvalidConfigurationSet"
    code, text, status = refused(v2.put_configuration_set_archiving_options, ConfigurationSetName="mine")
    assert (code, status) == ("UnsupportedOperation", 400)
    assert "archives of Amazon SES Mail Manager" in text


@pytest.mark.parametrize("name", ["a\0b", "é\ud7ff", "x" * 5000, "a/b?c#d%", "\r\n"])
def test_names_that_no_set_can_have(v1, v2, name):
    """They are not there, on both databases."""
    for call in (v2.get_configuration_set, v2.delete_configuration_set, v2.get_configuration_set_event_destinations):
        code, text, _ = refused(call, ConfigurationSetName=name)
        assert (code, text) == ("NotFoundException", f"Configuration set <{name[:256]}> does not exist.")
    assert refused(v1.delete_configuration_set, ConfigurationSetName=name)[0] == "ConfigurationSetDoesNotExist"
    arn = f"arn:aws:ses:{R}:{A}:configuration-set/{name}"
    assert refused(v2.list_tags_for_resource, ResourceArn=arn)[2] in (400, 404)
    assert refused(v2.get_suppressed_destination, EmailAddress=name)[2] in (400, 404)
    v2.list_configuration_sets(Filter={"CONFIGURATION_SET_NAME_CONTAINS": name.replace("\0", "")})


def test_lists_and_pages(here, v1, v2):
    names = [f"set-{n:02}" for n in range(7)] + ["Other_1"]
    for name in names:
        v2.create_configuration_set(ConfigurationSetName=name)
    here.client("sesv2", B).create_configuration_set(ConfigurationSetName="of-b")
    here.client("sesv2", A, "eu-west-1").create_configuration_set(ConfigurationSetName="of-europe")
    assert sorted(v2.list_configuration_sets()["ConfigurationSets"]) == sorted(names)
    assert "NextToken" not in v1.list_configuration_sets()
    pages = v1.get_paginator("list_configuration_sets").paginate(PaginationConfig={"PageSize": 3})
    found = [[one["Name"] for one in page["ConfigurationSets"]] for page in pages]
    assert [len(page) for page in found] == [3, 3, 2]
    assert sorted(name for page in found for name in page) == sorted(names)
    seen, token = [], {}
    while True:
        page = v2.list_configuration_sets(PageSize=2, Filter={"CONFIGURATION_SET_NAME_CONTAINS": "SET-"}, **token)
        seen += page["ConfigurationSets"]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(seen) == names[:7]
    assert v2.list_configuration_sets(Filter={"CONFIGURATION_SET_NAME_CONTAINS": "_"})["ConfigurationSets"] == [
        "Other_1"
    ]
    assert refused(v2.list_configuration_sets, NextToken="!")[0] == "BadRequestException"
    assert refused(v1.list_configuration_sets, NextToken="!")[0] == "InvalidParameterValue"


def test_accounts_and_regions_are_apart(here, v1, v2):
    v2.create_configuration_set(ConfigurationSetName="mine", Tags=[{"Key": "a", "Value": "1"}])
    v1.create_configuration_set_event_destination(
        ConfigurationSetName="mine",
        EventDestination={
            "Name": "d",
            "MatchingEventTypes": ["send"],
            "SNSDestination": {"TopicARN": f"arn:aws:sns:us-east-1:{A}:t"},
        },
    )
    for client in (here.client("sesv2", B), here.client("sesv2", A, "eu-west-1")):
        assert refused(client.get_configuration_set, ConfigurationSetName="mine")[2] == 404
        client.create_configuration_set(ConfigurationSetName="mine")
        client.put_configuration_set_sending_options(ConfigurationSetName="mine", SendingEnabled=False)
        client.delete_configuration_set(ConfigurationSetName="mine")
    found = v2.get_configuration_set(ConfigurationSetName="mine")
    assert found["SendingOptions"] == {"SendingEnabled": True}
    assert found["Tags"] == [{"Key": "a", "Value": "1"}]
    assert len(v2.get_configuration_set_event_destinations(ConfigurationSetName="mine")["EventDestinations"]) == 1


def test_a_limit(here, v2, monkeypatch):
    monkeypatch.setattr(configuration_sets, "MAX_SETS", 2)
    for name in ("one", "two"):
        v2.create_configuration_set(ConfigurationSetName=name)
    assert refused(v2.create_configuration_set, ConfigurationSetName="three")[0] == "LimitExceededException"
    code = refused(here.client("ses").create_configuration_set, ConfigurationSet={"Name": "three"})[0]
    assert code == "LimitExceeded"


def test_the_default_set_of_an_identity(v2):
    v2.create_configuration_set(ConfigurationSetName="mine")
    default = v2.put_email_identity_configuration_set_attributes
    assert "ConfigurationSetName" not in v2.get_email_identity(EmailIdentity="example.com")
    default(EmailIdentity="EXAMPLE.com", ConfigurationSetName="mine")
    assert v2.get_email_identity(EmailIdentity="example.com")["ConfigurationSetName"] == "mine"
    assert refused(default, EmailIdentity="example.com", ConfigurationSetName="none") == (
        "NotFoundException",
        MISSING,
        404,
    )
    assert refused(default, EmailIdentity="x.org", ConfigurationSetName="mine")[1] == (
        "Email identity x.org does not exist."
    )
    default(EmailIdentity="example.com")
    assert "ConfigurationSetName" not in v2.get_email_identity(EmailIdentity="example.com")
    v2.create_email_identity(EmailIdentity="a@example.org", ConfigurationSetName="mine")
    assert v2.get_email_identity(EmailIdentity="a@example.org")["ConfigurationSetName"] == "mine"
