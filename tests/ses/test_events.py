"""Events: written, listed, and told in SES's words."""

from __future__ import annotations

import json

import pytest

from mailstead.ses import events
from mailstead.ses.events import Failed

A, B, R = "111111111111", "222222222222", "us-east-1"
AT = 1_501_893_662_669  # 2017-08-05T00:41:02.669Z

MAIL = {
    "timestamp": "2017-08-05T00:40:02.012Z",
    "source": "Sender Name <sender@example.com>",
    "sourceArn": "arn:aws:ses:us-east-1:123456789012:identity/sender@example.com",
    "sendingAccountId": "123456789012",
    "messageId": "01000157c44e17f2-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000",
    "destination": ["recipient@example.com"],
    "headersTruncated": False,
    "headers": [{"name": "From", "value": "Sender Name <sender@example.com>"}],
    "commonHeaders": {"from": ["Sender Name <sender@example.com>"], "subject": "Message sent from Amazon SES"},
    "tags": {"ses:operation": ["SendEmail"], "ses:source-ip": ["192.0.2.0"]},
}
FEEDBACK = "01000157c44f053b-61b59c11-9236-11e6-8f96-7be8a0000000-000000"


def put(ground, kind, detail, *, account=A, message="m1", at=AT, recipients=1):
    return ground.run(
        lambda tx: events.emit(
            tx, account=account, region=R, message=message, kind=kind, at=at, detail=detail, recipients=recipients
        )
    )


def listed(ground, **options):
    return ground.read(lambda tx: events.list_events(tx, A, R, **options))


def test_times():
    assert events.iso(1476421336645) == "2016-10-14T05:02:16.645Z"
    assert events.iso(0) == "1970-01-01T00:00:00.000Z"
    assert events.iso(1_000_000_000_007) == "2001-09-09T01:46:40.007Z"


# Documents as SES: events §3.1 gives them.
BOUNCE = {
    "eventType": "Bounce",
    "bounce": {
        "feedbackId": FEEDBACK,
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "bouncedRecipients": [
            {
                "emailAddress": "recipient@example.com",
                "action": "failed",
                "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1 user unknown",
            }
        ],
        "timestamp": "2017-08-05T00:41:02.669Z",
        "reportingMTA": "dns; a8-70.smtp-out.amazonses.com",
    },
    "mail": MAIL,
}


def test_a_bounce_as_ses_tells_it(ground):
    who = Failed("recipient@example.com", "failed", "5.1.1", "smtp; 550 5.1.1 user unknown")
    detail = events.bounce(
        feedback_id=FEEDBACK,
        bounce_type="Permanent",
        sub_type="General",
        recipients=[who],
        at=AT,
        reporting_mta="dns; a8-70.smtp-out.amazonses.com",
    )
    put(ground, events.BOUNCE, detail)
    (event,) = listed(ground)
    assert json.dumps(events.document(event, MAIL)) == json.dumps(BOUNCE)


def test_a_bounce_without_a_report_tells_less():
    detail = events.bounce(
        feedback_id=FEEDBACK, bounce_type="Undetermined", sub_type="Undetermined", recipients=[Failed("a@b.c")], at=AT
    )
    assert detail["bouncedRecipients"] == [{"emailAddress": "a@b.c"}]
    assert not {"reportingMTA", "remoteMtaIp", "tags"} & detail.keys()


def test_a_delivery_with_the_address_it_left_from(ground):
    detail = events.delivery(
        at=1476919264133,
        accepted=1476919252240,
        recipients=["recipient@example.com"],
        reply="250 2.6.0 Message received",
        reporting_mta="a8-77.smtp-out.amazonses.com",
        tags=events.outgoing_tags(ip="192.0.2.9", tls="TLSv1.3"),
    )
    put(ground, events.DELIVERY, detail)
    document = events.document(listed(ground)[0], MAIL)
    assert list(document) == ["eventType", "mail", "delivery"]
    assert document["delivery"] == {
        "timestamp": "2016-10-19T23:21:04.133Z",
        "processingTimeMillis": 11893,
        "recipients": ["recipient@example.com"],
        "smtpResponse": "250 2.6.0 Message received",
        "reportingMTA": "a8-77.smtp-out.amazonses.com",
    }
    assert document["mail"]["tags"] == MAIL["tags"] | {
        "ses:outgoing-ip": ["192.0.2.9"],
        "ses:outgoing-tls-version": ["TLSv1.3"],
    }
    assert "ses:outgoing-ip" not in MAIL["tags"]


def test_a_delay():
    who = Failed("recipient@example.com", "delayed", "4.4.1", "smtp; 421 4.4.1 Unable to connect to remote host")
    assert events.delivery_delay(
        delay_type="TransientCommunicationFailure", recipients=[who], at=1592267140095, expires=1592317000914
    ) == {
        "timestamp": "2020-06-16T00:25:40.095Z",
        "delayType": "TransientCommunicationFailure",
        "expirationTime": "2020-06-16T14:16:40.914Z",
        "delayedRecipients": [
            {
                "emailAddress": "recipient@example.com",
                "status": "4.4.1",
                "diagnosticCode": "smtp; 421 4.4.1 Unable to connect to remote host",
            }
        ],
    }


def test_a_complaint_always_has_a_sub_type():
    detail = events.complaint(
        feedback_id=FEEDBACK, recipients=["a@b.c"], at=AT, user_agent="x", feedback_type="abuse", arrived=AT
    )
    assert detail == {
        "feedbackId": FEEDBACK,
        "complaintSubType": None,
        "complainedRecipients": [{"emailAddress": "a@b.c"}],
        "timestamp": "2017-08-05T00:41:02.669Z",
        "userAgent": "x",
        "complaintFeedbackType": "abuse",
        "arrivalDate": "2017-08-05T00:41:02.669Z",
    }


def test_send_and_reject_without_what_feedback_alone_tells(ground):
    put(ground, events.SEND, events.send())
    put(ground, events.REJECT, events.reject())
    mail = MAIL | {"sourceIp": "127.0.3.0", "callerIdentity": "root"}
    sent, rejected = (events.document(event, mail) for event in sorted(listed(ground), key=lambda e: e.kind)[::-1])
    assert sent == {"eventType": "Send", "mail": MAIL, "send": {}}
    assert rejected["reject"] == {"reason": "Bad content"}


def test_lists_in_the_order_written_with_filters(ground):
    ids = []
    for n in range(6):
        kind = events.SEND if n % 2 == 0 else events.DELIVERY
        ids.append(put(ground, kind, {"n": n}, message=f"m{n // 2}", at=AT - n))
        ground.clock.advance(1)
    put(ground, events.SEND, {}, account=B)
    assert [event.id for event in listed(ground)] == ids
    assert [event.id for event in listed(ground, after=ids[1], limit=2)] == ids[2:4]
    assert [event.detail["n"] for event in listed(ground, message="m1")] == [2, 3]
    assert [event.detail["n"] for event in listed(ground, kind=events.DELIVERY, after=ids[1])] == [3, 5]
    assert listed(ground)[2].at == AT - 2


def test_only_known_kinds(ground):
    with pytest.raises(AssertionError):
        put(ground, "Sent", {})
