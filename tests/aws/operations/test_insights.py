"""Metrics and insights through boto3, of mail that was accepted and told of."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from botocore.exceptions import ClientError

from mailstead.base.clock import DAY, MINUTE
from mailstead.base.ids import message_id
from mailstead.net.dns import DnsResolver
from mailstead.ses import events, metrics, suppression
from mailstead.ses.events import Failed
from mailstead.store import spool

A, B = "111111111111", "222222222222"
EAST = "us-east-1"
TO = "Anna <anna@gmail.com>"


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


def moment(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


@pytest.fixture
def here(cloud):
    return cloud()


@pytest.fixture
def v2(here):
    return here.client("sesv2")


def send(here, *told, account=A, subject="hello"):
    """A message to one recipient with these events; its id."""
    now = here.ground.clock.now()
    name = message_id(EAST, now)
    mail = {
        "source": "Shop <shop@example.com>",
        "destination": [TO],
        "commonHeaders": {"subject": subject} if subject else {},
        "tags": {"ses:operation": ["SendEmail"], "campaign": ["spring", "sale"]},
    }
    row = spool.Message(
        name, account, EAST, "submission", "shop@example.com", "x@mail.test", "example.com", "", 0, 10, "db:x",
        msgspec.json.encode(mail).decode(), now,
    )  # fmt: skip

    async def body(tx):
        await spool.put(tx, row, [spool.Recipient("anna@gmail.com", "gmail.com", now + DAY)])
        for kind, detail in ((events.SEND, {}), *told):
            await events.emit(
                tx, account=account, region=EAST, message=name, kind=kind, at=tx.now(), detail=detail, recipients=1
            )

    here.ground.run(body)
    return name


def bounced(sub_type="General", diagnostic="smtp; 550 5.1.1 user unknown", bounce_type="Permanent"):
    failed = Failed(TO, "failed", "5.1.1", diagnostic)
    detail = events.bounce(feedback_id="f", bounce_type=bounce_type, sub_type=sub_type, recipients=[failed], at=0)
    return events.BOUNCE, detail


def complained(**given):
    return events.COMPLAINT, events.complaint(feedback_id="f", recipients=["anna@gmail.com"], at=0, **given)


def ask(here, metric="SEND", name="q", start=-DAY, end=DAY, **dimensions):
    now = here.ground.clock.now()
    query = {"Id": name, "Namespace": "VDM", "Metric": metric}
    more = {"Dimensions": dimensions} if dimensions else {}
    return {**query, "StartDate": moment(now + start), "EndDate": moment(now + end), **more}


# -- one message


def test_the_story_of_a_message(here, v2):
    name = send(here, bounced())
    told = v2.get_message_insights(MessageId=name)
    told.pop("ResponseMetadata")
    then = moment(here.ground.clock.now())
    bounce = {
        "BounceType": "PERMANENT",
        "BounceSubType": "General",
        "DiagnosticCode": "smtp; 550 5.1.1 user unknown",
    }
    assert told == {
        "MessageId": name,
        "FromEmailAddress": "Shop <shop@example.com>",
        "Subject": "hello",
        "EmailTags": [
            {"Name": "ses:operation", "Value": "SendEmail"},
            {"Name": "campaign", "Value": "spring"},
            {"Name": "campaign", "Value": "sale"},
        ],
        "Insights": [
            {
                "Destination": TO,
                "Isp": "Gmail",
                "Events": [
                    {"Timestamp": then, "Type": "SEND"},
                    {"Timestamp": then, "Type": "BOUNCE", "Details": {"Bounce": bounce}},
                ],
            }
        ],
    }


def test_complaints(here, v2):
    name = send(here, complained(feedback_type="abuse"), complained(sub_type="OnAccountSuppressionList"))
    (story,) = v2.get_message_insights(MessageId=name)["Insights"]
    assert [event.get("Details") for event in story["Events"]] == [
        None,
        {"Complaint": {"ComplaintFeedbackType": "abuse"}},
        {"Complaint": {"ComplaintSubType": "OnAccountSuppressionList"}},
    ]


def test_what_is_absent(here, v2):
    name = send(here, bounced(diagnostic=""), subject="")
    told = v2.get_message_insights(MessageId=name)
    assert "Subject" not in told
    assert told["Insights"][0]["Events"][1]["Details"]["Bounce"].keys() == {"BounceType", "BounceSubType"}


def test_not_somebody_elses(here, v2):
    name = send(here, account=B)
    for one in (name, "nothing", "a/b"):
        text = f"Message {one} does not exist."
        assert refused(v2.get_message_insights, MessageId=one) == ("NotFoundException", text)
    west = here.client("sesv2", B, "eu-west-1")
    assert refused(west.get_message_insights, MessageId=name)[0] == "NotFoundException"
    assert here.client("sesv2", B).get_message_insights(MessageId=name)["MessageId"] == name


# -- metrics


def test_queries_are_answered_one_by_one(here, v2):
    send(here, bounced())
    send(here, (events.DELIVERY, {}))
    send(here, bounced(bounce_type="Transient"))
    send(here, account=B)
    day = moment(here.ground.clock.now() // DAY * DAY)
    asked = [
        ask(here, name="all"),
        ask(here, "PERMANENT_BOUNCE", "gone"),
        ask(here, "TRANSIENT_BOUNCE", "later"),
        ask(here, "DELIVERY", "there", EMAIL_IDENTITY="example.com", ISP="Gmail", CONFIGURATION_SET="*"),
        ask(here, "DELIVERY", "elsewhere", ISP="Yahoo"),
        ask(here, "COMPLAINT", "none"),
        ask(here, name="before", end=-DAY, start=-3 * DAY),
        ask(here, "DELIVERY_OPEN", "unknown"),
    ]
    expected = {"all": 3, "gone": 1, "later": 1, "there": 1}
    for _ in range(2):
        answer = v2.batch_get_metric_data(Queries=asked)
        results = {one["Id"]: (one["Timestamps"], one["Values"]) for one in answer["Results"]}
        counted = {name: ([day], [n]) for name, n in expected.items()}
        assert results == counted | dict.fromkeys(("elsewhere", "none", "before"), ([], []))
        assert answer["Errors"] == [
            {
                "Id": "unknown",
                "Code": "INTERNAL_FAILURE",
                "Message": "Mailstead does not count DELIVERY_OPEN yet.",
            }
        ]
        here.ground.clock.advance(2 * MINUTE)
        here.ground.run(metrics.roll)


def test_queries_that_are_none(here, v2):
    assert refused(v2.batch_get_metric_data, Queries=[ask(here, start=DAY, end=0)]) == (
        "BadRequestException",
        "EndDate must not be before StartDate.",
    )
    assert refused(v2.batch_get_metric_data, Queries=[ask(here, ISP="")])[0] == "BadRequestException"
    with pytest.raises(Exception, match="Queries"):
        v2.batch_get_metric_data(Queries=[])
    assert refused(v2.batch_get_metric_data, Queries=[ask(here)] * 11)[0] == "BadRequestException"
    assert refused(v2.batch_get_metric_data, Queries=[ask(here, "OPENS")])[0] == "BadRequestException"
    nothing = v2.batch_get_metric_data(Queries=[ask(here)] * 10)
    assert [one["Values"] for one in nothing["Results"]] == [[]] * 10


# -- one address


def test_what_is_known_of_an_address(cloud, ground, dns):
    dns.set("good.example", "@ MX 10 mx\nmx A 127.0.0.2")
    v2 = cloud(dns=DnsResolver(dns.address, ground.clock, timeout=2)).client("sesv2")

    def verdicts(address):
        told = v2.get_email_address_insights(EmailAddress=address)["MailboxValidation"]
        found = {name: verdict["ConfidenceVerdict"] for name, verdict in told["Evaluations"].items()}
        return {"IsValid": told["IsValid"]["ConfidenceVerdict"], **found}

    usual = {
        "IsValid": "MEDIUM",
        "HasValidSyntax": "HIGH",
        "HasValidDnsRecords": "HIGH",
        "MailboxExists": "MEDIUM",
        "IsRoleAddress": "HIGH",
        "IsDisposable": "LOW",
        "IsRandomInput": "LOW",
    }
    assert verdicts("info@good.example") == usual
    assert verdicts("info@nowhere.example") == {
        **usual,
        "IsValid": "LOW",
        "HasValidDnsRecords": "LOW",
        "MailboxExists": "LOW",
    }
    assert verdicts("nobody") == dict.fromkeys(usual, "LOW")
    ground.run(lambda tx: suppression.put(tx, A, EAST, "info@good.example", "BOUNCE"))
    assert verdicts("info@good.example") == {**usual, "IsValid": "LOW", "MailboxExists": "LOW"}
