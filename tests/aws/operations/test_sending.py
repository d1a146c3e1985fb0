"""Sending through boto3: what reaches the door, and what is refused before it."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from mailstead.outbound.composition import Simple
from mailstead.proto.mime_part import Attachment
from mailstead.ses.list_management import Managed

A = "111111111111"
RAW = b"From: a@example.com\r\nTo: b@example.net\r\nSubject: raw\r\n\r\n\x00\xffbytes stay\r\n"
MESSAGE_ID = "0100018c1a2b3c4d-21e57d9a-1ab2-416c-bbe1-8ebaa0000000-000000"


@pytest.fixture
def here(cloud):
    return cloud(v1_message_bytes=1000, v2_message_bytes=4000)


def v1(**changes):
    return {
        "Source": "Anna <a@example.com>",
        "Destination": {"ToAddresses": ["b@example.net"]},
        "Message": {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hello"}}},
    } | changes


def v2(content=None, **changes):
    simple = {"Simple": {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hello"}}}}
    return {
        "FromEmailAddress": "Anna <a@example.com>",
        "Destination": {"ToAddresses": ["b@example.net"]},
        "Content": content or simple,
    } | changes


def simple(**changes):
    return {"Simple": {"Subject": {"Data": "Hi"}, "Body": {"Text": {"Data": "Hello"}}} | changes}


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"]


def test_v1_send_email(here):
    answer = here.client("ses").send_email(
        **v1(
            Destination={
                "ToAddresses": ["b@example.net", "c@example.net"],
                "CcAddresses": ["d@x.org"],
                "BccAddresses": ["e@x.org"],
            },
            Message={
                "Subject": {"Data": "한국어", "Charset": "EUC-KR"},
                "Body": {"Text": {"Data": "Hello\r\nyou", "Charset": "UTF-8"}, "Html": {"Data": "<p>Hello</p>"}},
            },
            ReplyToAddresses=["r@example.com"],
            ReturnPath="bounces@example.com",
            Tags=[{"Name": "campaign", "Value": "may"}, {"Name": "campaign", "Value": "june"}],
            ConfigurationSetName="set",
            SourceArn=f"arn:aws:ses:us-east-1:{A}:identity/example.com",
        )
    )
    assert answer["MessageId"] == MESSAGE_ID
    (taken,) = here.door.submissions
    assert (taken.operation, taken.limit, taken.source) == ("SendEmail", 1000, "Anna <a@example.com>")
    assert (taken.to, taken.cc, taken.bcc) == (("b@example.net", "c@example.net"), ("d@x.org",), ("e@x.org",))
    assert (taken.reply_to, taken.return_path, taken.raw) == (("r@example.com",), "bounces@example.com", None)
    assert taken.simple == Simple(("한국어", "EUC-KR"), text=("Hello\r\nyou", "UTF-8"), html=("<p>Hello</p>", None))
    assert taken.options.tags == (("campaign", "may"), ("campaign", "june"))
    assert taken.options.configuration_set == "set"
    assert taken.options.source_arn == f"arn:aws:ses:us-east-1:{A}:identity/example.com"
    assert (taken.caller.account, taken.caller.region, taken.caller.source_ip) == (A, "us-east-1", "192.0.2.1")


def test_v1_send_raw_email(here):
    client = here.client("ses")
    assert client.send_raw_email(RawMessage={"Data": RAW})["MessageId"] == MESSAGE_ID
    client.send_raw_email(RawMessage={"Data": RAW}, Source="s@example.com", Destinations=["x@y.org", "z@y.org"])
    first, second = here.door.submissions
    assert (first.operation, first.raw, first.source, first.destinations) == ("SendRawEmail", RAW, None, None)
    assert (second.source, second.destinations) == ("s@example.com", ("x@y.org", "z@y.org"))


def test_v2_simple(here):
    content = simple(
        Headers=[{"Name": "X-Mailer", "Value": "shop"}, {"Name": "List-Unsubscribe", "Value": "<https://x.org>"}],
        Attachments=[
            {"RawContent": b"\x00\x01", "FileName": "naïve.bin"},
            {
                "RawContent": b"GIF",
                "FileName": "i.gif",
                "ContentType": "image/gif",
                "ContentDisposition": "INLINE",
                "ContentId": "pic",
                "ContentDescription": "a picture",
                "ContentTransferEncoding": "BASE64",
            },
        ],
    )
    answer = here.client("sesv2").send_email(
        **v2(
            content,
            ReplyToAddresses=["r@example.com"],
            FeedbackForwardingEmailAddress="bounces@example.com",
            EmailTags=[{"Name": "n", "Value": "v"}],
        )
    )
    assert answer["MessageId"] == MESSAGE_ID
    (taken,) = here.door.submissions
    assert (taken.operation, taken.limit, taken.to) == ("SendEmail", 4000, ("b@example.net",))
    assert taken.simple.headers == (("X-Mailer", "shop"), ("List-Unsubscribe", "<https://x.org>"))
    first, second = taken.simple.attachments
    assert first == Attachment("naïve.bin", b"\x00\x01")
    assert second == Attachment("i.gif", b"GIF", "image/gif", "inline", "pic", "a picture", "base64")
    assert (taken.return_path, taken.reply_to) == ("bounces@example.com", ("r@example.com",))
    assert taken.options.tags == (("n", "v"),)


def test_v2_raw(here):
    client = here.client("sesv2")
    client.send_email(Content={"Raw": {"Data": RAW}})
    client.send_email(
        Content={"Raw": {"Data": RAW}},
        FromEmailAddress="a@example.com",
        Destination={"ToAddresses": ["x@y.org"], "BccAddresses": ["z@y.org"]},
    )
    first, second = here.door.submissions
    assert (first.operation, first.limit, first.raw, first.destinations) == ("SendRawEmail", 4000, RAW, None)
    assert (second.source, second.destinations) == ("a@example.com", ("x@y.org", "z@y.org"))


def test_the_region_of_the_signature(cloud):
    here = cloud()
    here.client("ses", A, "eu-west-1").send_raw_email(RawMessage={"Data": RAW})
    assert here.door.submissions[0].caller.region == "eu-west-1"


TEXT = {"Text": {"Data": "x"}}


@pytest.mark.parametrize(
    "params",
    [
        v1(Source="a@example.com\r\nBcc: x@y.org"),
        v1(Source="a@example.com\nBcc: x@y.org"),
        v1(Destination={"ToAddresses": ["b@example.net\r\nBcc: x@y.org"]}),
        v1(Destination={"CcAddresses": ["b@example.net\rx"]}),
        v1(Destination={"BccAddresses": ["b@example.net\nx"]}),
        v1(Message={"Subject": {"Data": "a\r\nBcc: x@y.org"}, "Body": TEXT}),
        v1(Message={"Subject": {"Data": "a\nb"}, "Body": TEXT}),
        v1(ReplyToAddresses=["r@example.com\r\nX: y"]),
        v1(ReturnPath="r@example.com\r\nX: y"),
    ],
)
def test_line_breaks_in_v1(here, params):
    assert refused(here.client("ses").send_email, **params)[0] == "InvalidParameterValue"
    assert here.door.submissions == []


@pytest.mark.parametrize(
    "params",
    [
        v2(FromEmailAddress="a@example.com\r\nBcc: x@y.org"),
        v2(FeedbackForwardingEmailAddress="a@example.com\nX: y"),
        v2(simple(Subject={"Data": "a\r\nX: y"})),
        v2(simple(Headers=[{"Name": "X-A", "Value": "b\r\nBcc: x@y.org"}])),
        v2(simple(Headers=[{"Name": "X-A\r\nBcc", "Value": "b"}])),
        v2(simple(Attachments=[{"RawContent": b"x", "FileName": "a\r\nX: y"}])),
        v2(simple(Attachments=[{"RawContent": b"x", "FileName": "a", "ContentType": "text/plain\r\nX: y"}])),
        v2(simple(Attachments=[{"RawContent": b"x", "FileName": "a", "ContentId": "c\r\nX: y"}])),
        v2(simple(Attachments=[{"RawContent": b"x", "FileName": "a", "ContentDescription": "c\nX: y"}])),
        v2(ReplyToAddresses=["x@y.org\r\n"]),
    ],
)
def test_line_breaks_in_v2(here, params):
    assert refused(here.client("sesv2").send_email, **params)[0] == "BadRequestException"
    assert here.door.submissions == []


@pytest.mark.parametrize(
    "name",
    ["From", "Bcc", "subject", "Content-Type", "MESSAGE-ID", "X-SES-CONFIGURATION-SET", "Authentication-Results",
     "Resent-From", "resent-bcc", "Resent-Anything"],
)  # fmt: skip
def test_headers_that_are_not_the_callers(here, name):
    content = simple(Headers=[{"Name": name, "Value": "x"}])
    text = f"Header {name} cannot be set by the Headers member."
    assert refused(here.client("sesv2").send_email, **v2(content)) == ("BadRequestException", text)


def test_more_than_fifty(here):
    many = [f"b{n}@example.net" for n in range(26)]
    destination = {"ToAddresses": many[:25], "CcAddresses": many[:25], "BccAddresses": many[:1]}
    text = "Recipient count exceeds 50."
    assert refused(here.client("ses").send_email, **v1(Destination=destination)) == ("InvalidParameterValue", text)
    assert refused(here.client("sesv2").send_email, **v2(Destination=destination)) == ("BadRequestException", text)
    raw = {"RawMessage": {"Data": RAW}, "Destinations": [*many, *many]}
    assert refused(here.client("ses").send_raw_email, **raw) == ("InvalidParameterValue", text)
    destination["BccAddresses"] = []
    here.client("ses").send_email(**v1(Destination=destination))
    assert len(here.door.submissions[0].to + here.door.submissions[0].cc) == 50


def test_tags(here):
    text = "Invalid tag name <a b>: only alphanumeric ASCII characters, '_',  '-' are allowed."
    tags = [{"Name": "a b", "Value": "v"}]
    assert refused(here.client("ses").send_email, **v1(Tags=tags)) == ("InvalidParameterValue", text)
    assert refused(here.client("sesv2").send_email, **v2(EmailTags=tags)) == ("BadRequestException", text)
    long = [{"Name": "x" * 256, "Value": "v"}]
    assert refused(here.client("sesv2").send_email, **v2(EmailTags=long))[1] == "Tag name cannot exceed 255 characters."


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"ConfigurationOverrides": {"Tracking": {"OpenTrackingEnabled": "ENABLED"}}},
            "Open and click tracking is not offered yet.",
        ),
    ],
)
def test_what_waits_for_later(here, changes, text):
    code, told = refused(here.client("sesv2").send_email, **v2(**changes))
    assert (code, told) == ("UnsupportedOperation", text)
    assert here.door.submissions == []


@pytest.mark.parametrize(
    ("given", "managed"),
    [
        ({"ContactListName": "ours"}, Managed("ours")),
        ({"ContactListName": "ours", "TopicName": "news"}, Managed("ours", "news")),
    ],
)
def test_list_management(here, given, managed):
    here.client("sesv2").send_email(**v2(ListManagementOptions=given))
    assert here.door.submissions[0].options.list_management == managed


@pytest.mark.parametrize(
    ("given", "beginning"),
    [
        ({"ContactListName": "ours; topic=x"}, "ContactListName can contain"),
        ({"ContactListName": "ours", "TopicName": "a b"}, "TopicName can contain"),
    ],
)
def test_list_management_of_no_list(here, given, beginning):
    code, text = refused(here.client("sesv2").send_email, **v2(ListManagementOptions=given))
    assert (code, text.startswith(beginning)) == ("BadRequestException", True)
    assert here.door.submissions == []


def test_tracking_off_is_what_we_do_anyway(here):
    off = {"Tracking": {"OpenTrackingEnabled": "DISABLED", "ClickTrackingEnabled": "DISABLED"}}
    assert here.client("sesv2").send_email(**v2(ConfigurationOverrides=off))["MessageId"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"Raw": {"Data": RAW}, **simple()}, "Content must have exactly one of Simple, Raw and Template."),
        (simple(Body={}), "The message body must have a text or an html part."),
    ],
)
def test_contents_that_are_none(here, content, text):
    assert refused(here.client("sesv2").send_email, **v2(content)) == ("BadRequestException", text)


def test_a_simple_message_needs_a_sender(here):
    params = v2()
    del params["FromEmailAddress"]
    assert refused(here.client("sesv2").send_email, **params)[1] == "FromEmailAddress must be specified."
