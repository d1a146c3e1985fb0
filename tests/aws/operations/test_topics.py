"""Topics and subscriptions of SNS through boto3."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from mailstead.base.clock import DAY
from mailstead.ses import topic_subscriptions, topics

A, B = "111111111111", "222222222222"
HERE = "us-east-1"
ARN = f"arn:aws:sns:{HERE}:{A}:news"
QUEUE = f"arn:aws:sqs:{HERE}:{A}:queue"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


GONE = ("NotFound", "Topic does not exist", 404)
NO_SUBSCRIPTION = ("NotFound", "Subscription does not exist", 404)


@pytest.fixture
def here(cloud):
    return cloud()


@pytest.fixture
def sns(here):
    return here.client("sns")


@pytest.fixture
def topic(sns):
    return sns.create_topic(Name="news")["TopicArn"]


def token_of(here, arn):
    found = here.ground.read(lambda tx: topic_subscriptions.get(tx, A, HERE, arn))
    return topic_subscriptions.token(here.ground.vault, found)


# -- topics ------------------------------------------------------------------------------------------------------------


def test_the_life_of_a_topic(sns):
    assert sns.create_topic(Name="news", Attributes={"DisplayName": "The News"})["TopicArn"] == ARN
    assert sns.list_topics()["Topics"] == [{"TopicArn": ARN}]
    found = sns.get_topic_attributes(TopicArn=ARN)["Attributes"]
    policy, delivery = json.loads(found.pop("Policy")), json.loads(found.pop("EffectiveDeliveryPolicy"))
    assert policy["Statement"][0]["Condition"] == {"StringEquals": {"AWS:SourceOwner": A}}
    assert delivery["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    assert found == {
        "TopicArn": ARN,
        "Owner": A,
        "DisplayName": "The News",
        "SubscriptionsConfirmed": "0",
        "SubscriptionsPending": "0",
        "SubscriptionsDeleted": "0",
    }
    sns.delete_topic(TopicArn=ARN)
    sns.delete_topic(TopicArn=ARN)
    assert refused(sns.get_topic_attributes, TopicArn=ARN) == GONE
    assert sns.list_topics()["Topics"] == []


def test_making_a_topic_twice_is_harmless_if_the_same_is_meant(sns):
    wanted = {"Name": "news", "Attributes": {"DisplayName": "x"}, "Tags": [{"Key": "k", "Value": "v"}]}
    assert sns.create_topic(**wanted)["TopicArn"] == sns.create_topic(**wanted)["TopicArn"] == ARN
    assert sns.create_topic(Name="news")["TopicArn"] == ARN
    other = refused(sns.create_topic, Name="news", Attributes={"DisplayName": "y"})
    text = "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
    assert other == ("InvalidParameter", text, 400)
    other = refused(sns.create_topic, Name="news", Tags=[{"Key": "k", "Value": "w"}])
    text = "Invalid parameter: Tags Reason: Topic already exists with different tags"
    assert other == ("InvalidParameter", text, 400)


@pytest.mark.parametrize("name", ["", "a b", "ü", "x" * 257, "news.fifo", "a:b"])
def test_names_that_no_topic_has(sns, name):
    code, text, status = refused(sns.create_topic, Name=name)
    assert (code, status) == ("InvalidParameter", 400)
    assert text.startswith("Invalid parameter: Topic Name")


def test_attributes_are_set_and_taken_back(sns, topic):
    for name, value in (
        ("DisplayName", "Grüße <&>"),
        ("Policy", '{"Version": "2012-10-17", "Statement": []}'),
        ("DeliveryPolicy", '{"http": {}}'),
        ("SignatureVersion", "2"),
    ):
        sns.set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=value)
        assert sns.get_topic_attributes(TopicArn=topic)["Attributes"][name] == value
    found = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert found["EffectiveDeliveryPolicy"] == '{"http": {}}'
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue="")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName")
    found = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert json.loads(found["Policy"])["Id"] == "__default_policy_ID"
    assert (found["DisplayName"], found["SignatureVersion"]) == ("", "2")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DisplayName", "x" * 101),
        ("DisplayName", "a\nb"),
        ("Policy", "{"),
        ("Policy", "[]"),
        ("Policy", json.dumps({"x": "y" * 40_000})),
        ("Policy", "[" * 20_000),
        ("SignatureVersion", "3"),
        ("KmsMasterKeyId", "alias/aws/sns"),
        ("FifoTopic", "true"),
        ("Owner", B),
    ],
)
def test_attributes_that_no_topic_has(sns, topic, name, value):
    call = {"TopicArn": topic, "AttributeName": name, "AttributeValue": value}
    assert refused(sns.set_topic_attributes, **call)[0] == "InvalidParameter"
    assert refused(sns.create_topic, Name="other", Attributes={name: value})[0] == "InvalidParameter"
    assert sns.list_topics()["Topics"] == [{"TopicArn": topic}]


def test_what_is_no_topic(sns, topic):
    for arn in ("", "x", f"{topic}:x", "arn:aws:sqs:us-east-1:111111111111:news"):
        for call in (sns.get_topic_attributes, sns.delete_topic, sns.list_subscriptions_by_topic):
            assert refused(call, TopicArn=arn)[:2] == ("InvalidParameter", "Invalid parameter: TopicArn")
    none = f"arn:aws:sns:{HERE}:{A}:none"
    assert refused(sns.set_topic_attributes, TopicArn=none, AttributeName="DisplayName", AttributeValue="x") == GONE
    assert refused(sns.subscribe, TopicArn=none, Protocol="sqs", Endpoint=QUEUE) == GONE
    assert refused(sns.list_subscriptions_by_topic, TopicArn=none) == GONE
    assert refused(sns.confirm_subscription, TopicArn=none, Token="00") == GONE


def test_lists_have_pages(sns, monkeypatch):
    monkeypatch.setattr(topics, "PAGE", 2)
    made = [sns.create_topic(Name=f"n{n}")["TopicArn"] for n in range(5)]
    pages = [[one["TopicArn"] for one in page["Topics"]] for page in sns.get_paginator("list_topics").paginate()]
    assert pages == [made[:2], made[2:4], made[4:]]
    assert refused(sns.list_topics, NextToken="x")[:2] == ("InvalidParameter", "Invalid parameter: NextToken")


def test_tags(sns, topic):
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "a", "Value": "2"}])
    tagged = sns.list_tags_for_resource(ResourceArn=topic)["Tags"]
    assert tagged == [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": ""}]
    sns.untag_resource(ResourceArn=topic, TagKeys=["a", "none"])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "b", "Value": ""}]
    assert refused(sns.tag_resource, ResourceArn=topic, Tags=[{"Key": "aws:x", "Value": ""}])[0] == "InvalidParameter"
    none = ("ResourceNotFound", "Resource does not exist", 404)
    for arn in (f"arn:aws:sns:{HERE}:{A}:none", f"arn:aws:sns:{HERE}:{B}:news", "x"):
        assert refused(sns.list_tags_for_resource, ResourceArn=arn) == none
        assert refused(sns.untag_resource, ResourceArn=arn, TagKeys=["a"]) == none
    sns.delete_topic(TopicArn=topic)
    sns.create_topic(Name="news")
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == []


# -- subscriptions -----------------------------------------------------------------------------------------------------


def test_the_life_of_a_subscription(here, sns, topic):
    told = sns.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://example.com/hook?a=b")
    assert told["SubscriptionArn"] == "pending confirmation"
    summary = {
        "SubscriptionArn": "PendingConfirmation",
        "Owner": A,
        "Protocol": "https",
        "Endpoint": "https://example.com/hook?a=b",
        "TopicArn": topic,
    }
    assert sns.list_subscriptions()["Subscriptions"] == [summary]
    call = {"TopicArn": topic, "Protocol": "https", "Endpoint": "https://example.com/hook?a=b"}
    arn = sns.subscribe(**call, ReturnSubscriptionArn=True)["SubscriptionArn"]
    assert arn.startswith(f"{topic}:")
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"] == {
        "SubscriptionArn": arn,
        "TopicArn": topic,
        "Owner": A,
        "Protocol": "https",
        "Endpoint": "https://example.com/hook?a=b",
        "PendingConfirmation": "true",
        "ConfirmationWasAuthenticated": "false",
        "RawMessageDelivery": "false",
    }
    token = token_of(here, arn)
    for _ in range(2):
        confirmed = sns.confirm_subscription(TopicArn=topic, Token=token, AuthenticateOnUnsubscribe="true")
        assert confirmed["SubscriptionArn"] == arn
    found = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (found["PendingConfirmation"], found["ConfirmationWasAuthenticated"]) == ("false", "true")
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert listed == [summary | {"SubscriptionArn": arn}]
    sns.unsubscribe(SubscriptionArn=arn)
    sns.unsubscribe(SubscriptionArn=arn)
    assert refused(sns.get_subscription_attributes, SubscriptionArn=arn) == NO_SUBSCRIPTION
    found = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert [found[f"Subscriptions{name}"] for name in ("Confirmed", "Pending", "Deleted")] == ["0", "0", "1"]


def test_queues_and_functions_of_the_account_need_no_confirmation(sns, topic):
    function = f"arn:aws:lambda:{HERE}:{A}:function:hook"
    for protocol, endpoint in (("sqs", QUEUE), ("lambda", function)):
        arn = sns.subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint)["SubscriptionArn"]
        found = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
        assert (found["PendingConfirmation"], found["Endpoint"]) == ("false", endpoint)
    other = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE.replace(A, B))
    assert other["SubscriptionArn"] == "pending confirmation"
    found = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (found["SubscriptionsConfirmed"], found["SubscriptionsPending"]) == ("2", "1")


@pytest.mark.parametrize(
    ("protocol", "endpoint", "text"),
    [
        ("sms", "+15550100", "Invalid parameter: Amazon SNS does not support this protocol string: sms"),
        ("", "x", "Invalid parameter: Amazon SNS does not support this protocol string: "),
        ("http", "https://example.com/", "Invalid parameter: URL"),
        ("https", "http://example.com/", "Invalid parameter: URL"),
        ("http", "http://", "Invalid parameter: URL"),
        ("http", "http://example.com:99999/", "Invalid parameter: URL"),
        ("http", "http://[::1/", "Invalid parameter: URL"),
        ("http", "http://example.com/a b", "Invalid parameter: URL"),
        ("http", "http://example.com/a\r\nb", "Invalid parameter: URL"),
        ("http", "http://example.com/" + "x" * 3000, "Invalid parameter: URL"),
        ("email", "nobody", "Invalid parameter: Email address"),
        ("email-json", "a@b\r\nTo: c@d", "Invalid parameter: Email address"),
        ("sqs", "https://sqs.example.com/queue", "Invalid parameter: SQS endpoint ARN"),
        ("lambda", QUEUE, "Invalid parameter: LAMBDA endpoint ARN"),
    ],
)
def test_endpoints_that_cannot_be_told(sns, topic, protocol, endpoint, text):
    call = {"TopicArn": topic, "Protocol": protocol, "Endpoint": endpoint}
    assert refused(sns.subscribe, **call) == ("InvalidParameter", text, 400)
    assert sns.list_subscriptions()["Subscriptions"] == []


def test_attributes_of_a_subscription(sns, topic):
    wanted = {"RawMessageDelivery": "true", "FilterPolicy": '{"eventType": ["Bounce"]}'}
    call = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": QUEUE}
    arn = sns.subscribe(**call, Attributes=wanted)["SubscriptionArn"]
    found = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert {name: found[name] for name in wanted} == wanted
    assert sns.subscribe(**call, Attributes=wanted)["SubscriptionArn"] == arn
    text = "Invalid parameter: Attributes Reason: Subscription already exists with different attributes"
    again = refused(sns.subscribe, **call, Attributes={"RawMessageDelivery": "false"})
    assert again == ("InvalidParameter", text, 400)
    sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue="")
    sns.set_subscription_attributes(
        SubscriptionArn=arn, AttributeName="FilterPolicyScope", AttributeValue="MessageBody"
    )
    found = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert "FilterPolicy" not in found
    assert (found["FilterPolicyScope"], found["RawMessageDelivery"]) == ("MessageBody", "true")
    for name, value in (
        ("RawMessageDelivery", "maybe"),
        ("FilterPolicy", "x"),
        ("FilterPolicyScope", "x"),
        ("RedrivePolicy", "{}"),
        ("PendingConfirmation", "false"),
    ):
        bad = {"SubscriptionArn": arn, "AttributeName": name, "AttributeValue": value}
        assert refused(sns.set_subscription_attributes, **bad)[0] == "InvalidParameter"
    mail = {"TopicArn": topic, "Protocol": "email", "Endpoint": "a@example.com"}
    raw = refused(sns.subscribe, **mail, Attributes={"RawMessageDelivery": "true"})
    assert raw == ("InvalidParameter", "Invalid parameter: RawMessageDelivery", 400)


def test_a_token_confirms_its_own_subscription_and_no_other(here, sns, topic):
    other_topic = sns.create_topic(Name="other")["TopicArn"]
    call = {"Protocol": "email", "Endpoint": "a@example.com", "ReturnSubscriptionArn": True}
    arn = sns.subscribe(TopicArn=topic, **call)["SubscriptionArn"]
    token = token_of(here, arn)
    bad = ("InvalidParameter", "Invalid token", 400)
    assert refused(sns.confirm_subscription, TopicArn=other_topic, Token=token) == bad
    for wrong in ("", "x", "00", token[:-2], token[:-2] + "00", "ü", "0" * 5000):
        assert refused(sns.confirm_subscription, TopicArn=topic, Token=wrong) == bad
    stranger = here.client("sns", B)
    stranger.create_topic(Name="news")
    theirs = f"arn:aws:sns:{HERE}:{B}:news"
    assert refused(stranger.confirm_subscription, TopicArn=theirs, Token=token) == bad
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["PendingConfirmation"] == "true"
    sns.unsubscribe(SubscriptionArn=arn)
    assert refused(sns.confirm_subscription, TopicArn=topic, Token=token) == bad


def test_who_does_not_confirm_in_two_days_is_forgotten(here, sns, topic):
    call = {"TopicArn": topic, "Protocol": "email", "Endpoint": "a@example.com", "ReturnSubscriptionArn": True}
    first = sns.subscribe(**call)["SubscriptionArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE)
    token = token_of(here, first)
    here.ground.clock.advance(2 * DAY)
    assert refused(sns.get_subscription_attributes, SubscriptionArn=first) == NO_SUBSCRIPTION
    assert refused(sns.confirm_subscription, TopicArn=topic, Token=token)[1] == "Invalid token"
    assert [one["Protocol"] for one in sns.list_subscriptions()["Subscriptions"]] == ["sqs"]
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsPending"] == "0"
    second = sns.subscribe(**call)["SubscriptionArn"]
    assert second != first
    here.ground.clock.advance(2 * DAY)
    now = here.ground.clock.now()
    assert here.ground.run(lambda tx: topic_subscriptions.forget_pending(tx, before=now)) == 1
    assert here.ground.run(lambda tx: topic_subscriptions.forget_pending(tx, before=now)) == 0


def test_pages_of_subscriptions(sns, topic, monkeypatch):
    monkeypatch.setattr(topic_subscriptions, "PAGE", 2)
    other = sns.create_topic(Name="other")["TopicArn"]
    for n in range(5):
        sns.subscribe(TopicArn=topic if n else other, Protocol="sqs", Endpoint=f"{QUEUE}{n}")
    every = [page["Subscriptions"] for page in sns.get_paginator("list_subscriptions").paginate()]
    assert sorted(one["Endpoint"] for page in every for one in page) == [f"{QUEUE}{n}" for n in range(5)]
    assert [len(page) for page in every] == [2, 2, 1]
    paginator = sns.get_paginator("list_subscriptions_by_topic")
    pages = [page["Subscriptions"] for page in paginator.paginate(TopicArn=topic)]
    assert [len(page) for page in pages] == [2, 2]
    assert {one["TopicArn"] for page in pages for one in page} == {topic}
    token = sns.list_subscriptions()["NextToken"]
    assert refused(sns.list_subscriptions_by_topic, TopicArn=topic, NextToken=token)[0] == "InvalidParameter"


def test_a_topic_takes_its_subscriptions_with_it(sns, topic):
    arn = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE)["SubscriptionArn"]
    sns.delete_topic(TopicArn=topic)
    assert sns.list_subscriptions()["Subscriptions"] == []
    sns.create_topic(Name="news")
    assert refused(sns.get_subscription_attributes, SubscriptionArn=arn) == NO_SUBSCRIPTION


def test_limits(sns, topic, monkeypatch):
    monkeypatch.setattr(topics, "MAX_TOPICS", 1)
    monkeypatch.setattr(topic_subscriptions, "MAX_SUBSCRIPTIONS", 1)
    assert refused(sns.create_topic, Name="other") == ("TopicLimitExceeded", "Topic limit exceeded", 403)
    sns.create_topic(Name="news")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE)
    over = refused(sns.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=f"{QUEUE}2")
    assert over == ("SubscriptionLimitExceeded", "Subscription limit exceeded", 403)


def test_accounts_and_regions_are_apart(here, sns, topic):
    arn = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=QUEUE)["SubscriptionArn"]
    for other in (here.client("sns", B), here.client("sns", A, "eu-west-1")):
        assert other.list_topics()["Topics"] == other.list_subscriptions()["Subscriptions"] == []
        assert refused(other.get_topic_attributes, TopicArn=topic) == GONE
        assert refused(other.subscribe, TopicArn=topic, Protocol="sqs", Endpoint=QUEUE) == GONE
        assert refused(other.list_subscriptions_by_topic, TopicArn=topic) == GONE
        assert refused(other.get_subscription_attributes, SubscriptionArn=arn) == NO_SUBSCRIPTION
        change = {"SubscriptionArn": arn, "AttributeName": "FilterPolicy", "AttributeValue": "{}"}
        assert refused(other.set_subscription_attributes, **change) == NO_SUBSCRIPTION
        other.unsubscribe(SubscriptionArn=arn)
        other.delete_topic(TopicArn=topic)
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["TopicArn"] == topic


def test_what_is_not_built_says_so(sns, topic):
    assert refused(sns.publish, TopicArn=topic, Message="x") == (
        "UnsupportedOperation",
        "Mailstead does not offer Publish yet.",
        400,
    )
    assert refused(sns.list_platform_applications)[0] == "UnsupportedOperation"
    assert refused(sns.create_topic, Name="x", DataProtectionPolicy="{}")[0] == "InvalidParameter"
    tags = [{"Key": "x" * 200, "Value": ""}]
    assert refused(sns.tag_resource, ResourceArn=topic, Tags=tags)[0] == "InvalidParameter"
