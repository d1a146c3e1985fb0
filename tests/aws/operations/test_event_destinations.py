"""Event destinations through boto3: every target, v1 and v2 on one store, and what SES does not take."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

A, B = "111111111111", "222222222222"
TOPIC = f"arn:aws:sns:us-east-1:{A}:mail-events"
ROLE, STREAM = f"arn:aws:iam::{A}:role/ses/write", f"arn:aws:firehose:us-east-1:{A}:deliverystream/mail"
BUS = f"arn:aws:events:us-east-1:{A}:event-bus/default"
SET = {"ConfigurationSetName": "mine"}
NONE = "No EventDestination found for mine"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


@pytest.fixture
def v2(cloud):
    client = cloud().client("sesv2")
    client.create_configuration_set(**SET)
    return client


@pytest.fixture
def both(cloud):
    here = cloud()
    here.client("ses").create_configuration_set(ConfigurationSet={"Name": "mine"})
    return here.client("ses"), here.client("sesv2")


def dimensions(source, name="campaign", default="none"):
    return {"DimensionName": name, "DimensionValueSource": source, "DefaultDimensionValue": default}


def seen(v1, v2):
    described = v1.describe_configuration_set(**SET, ConfigurationSetAttributeNames=["eventDestinations"])
    return described["EventDestinations"], v2.get_configuration_set_event_destinations(**SET)["EventDestinations"]


V1 = [
    {
        "Name": "a-firehose",
        "Enabled": False,
        "MatchingEventTypes": ["bounce", "send"],
        "KinesisFirehoseDestination": {"IAMRoleARN": ROLE, "DeliveryStreamARN": STREAM},
    },
    {
        "Name": "b-metrics",
        "Enabled": True,
        "MatchingEventTypes": ["open", "renderingFailure"],
        "CloudWatchDestination": {
            "DimensionConfigurations": [
                dimensions("messageTag"),
                dimensions("emailHeader", "X-List", "a@b.c"),
                dimensions("linkTag", "link"),
            ]
        },
    },
    {
        "Name": "c_topic",
        "Enabled": True,
        "MatchingEventTypes": ["bounce", "click", "complaint", "delivery", "reject"],
        "SNSDestination": {"TopicARN": TOPIC},
    },
]
V2 = [
    {
        "Name": "a-firehose",
        "Enabled": False,
        "MatchingEventTypes": ["BOUNCE", "SEND"],
        "KinesisFirehoseDestination": {"IamRoleArn": ROLE, "DeliveryStreamArn": STREAM},
    },
    {
        "Name": "b-metrics",
        "Enabled": True,
        "MatchingEventTypes": ["OPEN", "RENDERING_FAILURE"],
        "CloudWatchDestination": {
            "DimensionConfigurations": [
                dimensions("MESSAGE_TAG"),
                dimensions("EMAIL_HEADER", "X-List", "a@b.c"),
                dimensions("LINK_TAG", "link"),
            ]
        },
    },
    {
        "Name": "c_topic",
        "Enabled": True,
        "MatchingEventTypes": ["BOUNCE", "CLICK", "COMPLAINT", "DELIVERY", "REJECT"],
        "SnsDestination": {"TopicArn": TOPIC},
    },
]


def test_made_in_v1_seen_in_both(both):
    v1, v2 = both
    for one in V1:
        shuffled = {**one, "MatchingEventTypes": one["MatchingEventTypes"][::-1]}
        v1.create_configuration_set_event_destination(**SET, EventDestination=shuffled)
    assert seen(v1, v2) == (V1, V2)


def test_made_in_v2_seen_in_both(both):
    v1, v2 = both
    for one in V2:
        definition = {name: value for name, value in one.items() if name != "Name"}
        v2.create_configuration_set_event_destination(
            **SET, EventDestinationName=one["Name"], EventDestination=definition
        )
    assert seen(v1, v2) == (V1, V2)


def test_what_only_v2_knows(both):
    v1, v2 = both
    types = ["SUBSCRIPTION", "DELIVERY_DELAY", "SEND"]
    definition = {"Enabled": True, "MatchingEventTypes": types, "EventBridgeDestination": {"EventBusArn": BUS}}
    v2.create_configuration_set_event_destination(**SET, EventDestinationName="bus", EventDestination=definition)
    in_v1, in_v2 = seen(v1, v2)
    assert in_v2 == [{"Name": "bus", **definition, "MatchingEventTypes": sorted(types)}]
    assert in_v1 == [{"Name": "bus", "Enabled": True, "MatchingEventTypes": ["send"]}]


def test_replaced_and_deleted(both):
    v1, v2 = both
    for one in V1[:2]:
        v1.create_configuration_set_event_destination(**SET, EventDestination=one)
    again = refused(v1.create_configuration_set_event_destination, **SET, EventDestination=V1[0])
    assert again == ("EventDestinationAlreadyExists", "EventDestination a-firehose already exists for mine")
    target = {"MatchingEventTypes": ["SEND"], "SnsDestination": {"TopicArn": TOPIC}}
    by_name = {**SET, "EventDestinationName": "a-firehose"}
    assert refused(v2.create_configuration_set_event_destination, **by_name, EventDestination=target)[0] == (
        "AlreadyExistsException"
    )
    v2.update_configuration_set_event_destination(**by_name, EventDestination=target)
    assert seen(v1, v2)[1][0] == {"Name": "a-firehose", "Enabled": False, **target}
    v1.update_configuration_set_event_destination(**SET, EventDestination=V1[0])
    assert seen(v1, v2)[0][0] == V1[0]
    v1.delete_configuration_set_event_destination(**by_name)
    v2.delete_configuration_set_event_destination(**SET, EventDestinationName="b-metrics")
    assert seen(v1, v2) == ([], [])
    gone = ("EventDestinationDoesNotExist", NONE)
    assert refused(v1.delete_configuration_set_event_destination, **by_name) == gone
    assert refused(v1.update_configuration_set_event_destination, **SET, EventDestination=V1[0]) == gone
    gone = ("NotFoundException", NONE)
    assert refused(v2.delete_configuration_set_event_destination, **by_name) == gone
    assert refused(v2.update_configuration_set_event_destination, **by_name, EventDestination=target) == gone


def test_a_set_takes_its_destinations_along(both):
    v1, v2 = both
    v1.create_configuration_set_event_destination(**SET, EventDestination=V1[2])
    v2.delete_configuration_set(**SET)
    v2.create_configuration_set(**SET)
    assert seen(v1, v2) == ([], [])


def test_no_set(both):
    v1, v2 = both
    none, text = {"ConfigurationSetName": "none"}, "Configuration set <none> does not exist."
    name, target = (
        {"EventDestinationName": "d"},
        {"MatchingEventTypes": ["SEND"], "SnsDestination": {"TopicArn": TOPIC}},
    )
    for call, more in [
        (v1.create_configuration_set_event_destination, {"EventDestination": V1[0]}),
        (v1.update_configuration_set_event_destination, {"EventDestination": V1[0]}),
        (v1.delete_configuration_set_event_destination, name),
    ]:
        assert refused(call, **none, **more) == ("ConfigurationSetDoesNotExist", text)
    for call, more in [
        (v2.create_configuration_set_event_destination, {**name, "EventDestination": target}),
        (v2.update_configuration_set_event_destination, {**name, "EventDestination": target}),
        (v2.delete_configuration_set_event_destination, name),
        (v2.get_configuration_set_event_destinations, {}),
    ]:
        assert refused(call, **none, **more) == ("NotFoundException", text)


def test_ten_at_most(both):
    v1, v2 = both
    for n in range(10):
        v1.create_configuration_set_event_destination(**SET, EventDestination={**V1[2], "Name": f"d{n}"})
    assert refused(v1.create_configuration_set_event_destination, **SET, EventDestination=V1[2])[0] == "LimitExceeded"
    target = {"MatchingEventTypes": ["SEND"], "SnsDestination": {"TopicArn": TOPIC}}
    code = refused(
        v2.create_configuration_set_event_destination, **SET, EventDestinationName="x", EventDestination=target
    )[0]
    assert code == "LimitExceededException"


def topic(arn):
    return {"SNSDestination": {"TopicARN": arn}}


def metrics(*found):
    return {"CloudWatchDestination": {"DimensionConfigurations": list(found)}}


@pytest.mark.parametrize(
    ("target", "code", "text"),
    [
        (topic("nonsense"), "InvalidSNSDestination", "SNS topic <nonsense> not found."),
        (topic(TOPIC + ".fifo"), "InvalidSNSDestination", f"SNS topic <{TOPIC}.fifo> not found."),
        (topic(TOPIC.replace("us-east-1", "eu-west-1")), "InvalidSNSDestination", "not found."),
        (
            {"KinesisFirehoseDestination": {"IAMRoleARN": "me", "DeliveryStreamARN": STREAM}},
            "InvalidFirehoseDestination",
            "role",
        ),
        (
            {"KinesisFirehoseDestination": {"IAMRoleARN": ROLE, "DeliveryStreamARN": TOPIC}},
            "InvalidFirehoseDestination",
            "stream",
        ),
        (metrics(), "InvalidCloudWatchDestination", "1 to 10"),
        (
            metrics(*(dimensions("messageTag", f"d{n}") for n in range(11))),
            "InvalidCloudWatchDestination",
            "1 to 10",
        ),
        (metrics(dimensions("emailHeader", "Received")), "InvalidCloudWatchDestination", "<Received>"),
        (metrics(dimensions("messageTag", "a b")), "InvalidCloudWatchDestination", "<a b>"),
        (metrics(dimensions("messageTag", "x" * 256)), "InvalidCloudWatchDestination", "name"),
        (metrics(dimensions("messageTag", default="a b")), "InvalidCloudWatchDestination", "default"),
        (metrics(dimensions("messageTag"), dimensions("linkTag")), "InvalidCloudWatchDestination", "twice"),
        ({}, "InvalidParameterValue", "exactly one"),
        ({**topic(TOPIC), **metrics(dimensions("linkTag"))}, "InvalidParameterValue", "exactly one"),
        ({**topic(TOPIC), "MatchingEventTypes": []}, "InvalidParameterValue", "At least one"),
        ({**topic(TOPIC), "Name": "a.b"}, "InvalidParameterValue", "<a.b>"),
        ({**topic(TOPIC), "Name": "x" * 65}, "InvalidParameterValue", "64"),
        ({**topic(TOPIC), "MatchingEventTypes": ["spam"]}, "ValidationError", "enum"),
    ],
)
def test_what_v1_does_not_take(both, target, code, text):
    v1, v2 = both
    given = {"Name": "d", "MatchingEventTypes": ["send"], **target}
    found = refused(v1.create_configuration_set_event_destination, **SET, EventDestination=given)
    assert found[0] == code
    assert text in found[1]
    assert seen(v1, v2) == ([], [])


@pytest.mark.parametrize(
    ("target", "code", "text"),
    [
        ({"EventBridgeDestination": {"EventBusArn": BUS.replace("default", "mine")}}, "BadRequestException", "default"),
        ({"EventBridgeDestination": {"EventBusArn": BUS.replace(A, B)}}, "BadRequestException", "default"),
        ({"PinpointDestination": {"ApplicationArn": "x"}}, "UnsupportedOperation", "Pinpoint"),
        ({"SnsDestination": {"TopicArn": "x"}}, "BadRequestException", "SNS topic <x> not found."),
        ({}, "BadRequestException", "exactly one"),
        ({"SnsDestination": {"TopicArn": TOPIC}, "MatchingEventTypes": []}, "BadRequestException", "At least one"),
    ],
)
def test_what_v2_does_not_take(v2, target, code, text):
    found = refused(
        v2.create_configuration_set_event_destination,
        **SET,
        EventDestinationName="d",
        EventDestination={"MatchingEventTypes": ["SEND"], **target},
    )
    assert found[0] == code
    assert text in found[1]
    assert v2.get_configuration_set_event_destinations(**SET)["EventDestinations"] == []
