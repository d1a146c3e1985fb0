"""Suppression at work: who is on the list is not mailed and that is told; hard bounces put themselves on it."""

from __future__ import annotations

import email
import email.policy

import msgspec
import pytest

from mailstead.outbound import suppressing
from mailstead.outbound.composition import Options
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import account as accounts
from mailstead.ses import configuration_sets, events, quota, statistics, suppression
from mailstead.ses.configuration_sets import Suppression
from mailstead.ses.suppression import BOUNCE, COMPLAINT, Suppressed
from mailstead.store import spool
from peers.yard import ACCOUNT, PROVIDER, REGION, SENDER, Yard

GONE = Reply(550, "user unknown", "5.1.1")
TEXT = (
    "Amazon SES did not send the message to this address because it is on the suppression list for your account. For"
    " more information about removing addresses from the suppression list, see the Amazon SES Developer Guide at"
    " https://docs.aws.amazon.com/ses/latest/DeveloperGuide/sending-email-suppression-list.html"
)


def suppress(yard: Yard, **reasons: str) -> None:
    """``anna="BOUNCE"`` is anna@example.net."""
    for name, reason in reasons.items():
        yard.run(
            lambda tx, name=name, reason=reason: suppression.put(tx, ACCOUNT, REGION, f"{name}@example.net", reason)
        )


def listed(yard: Yard) -> list[Suppressed]:
    return yard.ground.read(lambda tx: suppression.list_page(tx, ACCOUNT, REGION))


def documents(yard: Yard, name: str) -> list[dict[str, object]]:
    message = yard.ground.read(lambda tx: spool.read(tx, name))
    assert message is not None
    mail = msgspec.json.decode(message.mail_json)
    return [events.document(event, mail) for event in yard.events(name)]


def allow(yard: Yard, name: str, reasons: tuple[str, ...] | None) -> Options:
    """A configuration set with reasons of its own."""
    options = configuration_sets.Options(suppression=Suppression(reasons))
    yard.run(lambda tx: configuration_sets.create(tx, ACCOUNT, REGION, name, options))
    return Options(configuration_set=name)


def test_who_bounced_before_is_not_mailed(yard: Yard) -> None:
    suppress(yard, anna=BOUNCE)
    message = yard.submit("John <anna@EXAMPLE.net>", "bert@example.net")
    assert yard.states(message) == [("anna@EXAMPLE.net", "suppressed"), ("bert@example.net", "queued")]
    sent, bounce = documents(yard, message)
    assert sent["eventType"] == "Send"
    told = bounce["bounce"]
    assert isinstance(told, dict)
    assert told.pop("feedbackId") != message
    assert told == {
        "bounceType": "Permanent",
        "bounceSubType": "OnAccountSuppressionList",
        "bouncedRecipients": [
            {
                "emailAddress": "John <anna@EXAMPLE.net>",
                "action": "failed",
                "status": "5.1.1",
                "diagnosticCode": TEXT,
            }
        ],
        "timestamp": events.iso(yard.clock.now()),
        "reportingMTA": f"dns; {PROVIDER}",
    }
    yard.deliver()
    assert sorted(yard.script.tried) == ["bert@example.net", SENDER]
    assert yard.states(message) == [("anna@EXAMPLE.net", "suppressed"), ("bert@example.net", "delivered")]
    assert yard.open(message) == 0
    assert [event.kind for event in yard.events(message)] == ["Send", "Bounce", "Delivery"]


def test_the_sender_is_told_by_mail(yard: Yard) -> None:
    suppress(yard, anna=BOUNCE)
    yard.submit("anna@example.net")
    ((to, content),) = yard.notices()
    notice = email.message_from_bytes(content, policy=email.policy.default)
    assert (to, notice.get_content_type()) == (SENDER, "multipart/report")
    assert notice["From"].addresses[0].addr_spec == f"MAILER-DAEMON@{PROVIDER}"
    report = list(notice.iter_parts())[1].as_string()
    assert "Final-Recipient: rfc822; anna@example.net" in report
    assert "Status: 5.1.1" in report
    assert "Subject: hello" in list(notice.iter_parts())[2].as_string()
    yard.deliver()
    assert yard.script.tried == [SENDER]


def test_who_complained_before_is_not_mailed(yard: Yard) -> None:
    suppress(yard, anna=COMPLAINT)
    message = yard.submit("anna@example.net")
    assert yard.states(message) == [("anna@example.net", "suppressed")]
    complaint = documents(yard, message)[1]
    told = complaint["complaint"]
    assert isinstance(told, dict)
    assert told.pop("feedbackId")
    assert told == {
        "complaintSubType": "OnAccountSuppressionList",
        "complainedRecipients": [{"emailAddress": "anna@example.net"}],
        "timestamp": events.iso(yard.clock.now()),
    }
    assert yard.notices() == []


def test_nobody_left(yard: Yard) -> None:
    """It is over at once, and its content is not kept, small or large."""
    suppress(yard, anna=BOUNCE, bert=COMPLAINT, carl=BOUNCE)
    raw = b"From: a@example.com\r\nReturn-Path: <>\r\nSubject: x\r\n\r\n" + b"x" * 10_000
    message = yard.submit("anna@example.net", "bert@example.net", "carl@example.net", raw=raw)
    kinds = [event.kind for event in yard.events(message)]
    assert kinds == ["Send", "Bounce", "Complaint"]
    assert yard.open(message) == 0
    assert yard.rows("SELECT done FROM messages WHERE id = $1", message) == [(yard.clock.now(),)]
    assert yard.files() == []
    assert yard.lane("example.net") is None
    bounced = documents(yard, message)[1]["bounce"]
    assert isinstance(bounced, dict)
    assert [one["emailAddress"] for one in bounced["bouncedRecipients"]] == ["anna@example.net", "carl@example.net"]


def test_it_counts_for_the_day_and_in_no_rate(yard: Yard) -> None:
    yard.run(lambda tx: accounts.set_quota(tx, ACCOUNT, REGION, max_24h=100, max_rate=-1))
    suppress(yard, anna=BOUNCE, bert=COMPLAINT)
    yard.submit("anna@example.net", "bert@example.net", "carl@example.net")
    now = yard.clock.now()
    assert yard.ground.read(lambda tx: quota.read(tx, ACCOUNT, REGION, now)).sent_last_24h == 3
    (point,) = yard.ground.read(lambda tx: statistics.send_statistics(tx, ACCOUNT, REGION, now))
    assert (point.delivery_attempts, point.bounces, point.complaints) == (3, 0, 0)


@pytest.mark.parametrize(
    ("account", "own", "kept_back"),
    [
        (("BOUNCE", "COMPLAINT"), None, "ab"),
        (("BOUNCE", "COMPLAINT"), (), ""),
        (("BOUNCE", "COMPLAINT"), ("COMPLAINT",), "b"),
        (("COMPLAINT",), None, "b"),
        (("COMPLAINT",), ("BOUNCE",), "a"),
        ((), None, ""),
        ((), ("BOUNCE", "COMPLAINT"), "ab"),
    ],
)
def test_the_set_has_the_last_word(
    yard: Yard, account: tuple[str, ...], own: tuple[str, ...] | None, kept_back: str
) -> None:
    yard.run(lambda tx: accounts.set_suppression(tx, ACCOUNT, REGION, reasons=account))
    suppress(yard, a=BOUNCE, b=COMPLAINT)
    message = yard.submit("a@example.net", "b@example.net", "c@example.net", options=allow(yard, "mine", own))
    assert "".join(to[0] for to, state in yard.states(message) if state == "suppressed") == kept_back


def test_somebody_elses_list(yard: Yard) -> None:
    yard.run(lambda tx: suppression.put(tx, "999999999999", REGION, "anna@example.net", BOUNCE))
    yard.run(lambda tx: suppression.put(tx, ACCOUNT, "eu-west-1", "anna@example.net", BOUNCE))
    yard.run(lambda tx: suppression.put(tx, ACCOUNT, REGION, "Anna@example.net", BOUNCE))  # another mailbox
    message = yard.submit("anna@example.net")
    assert yard.states(message) == [("anna@example.net", "queued")]


def test_off_the_list_again(yard: Yard) -> None:
    suppress(yard, anna=BOUNCE)
    yard.run(lambda tx: suppression.delete(tx, ACCOUNT, REGION, "anna@example.net"))
    message = yard.submit("anna@example.net")
    yard.deliver()
    assert yard.states(message) == [("anna@example.net", "delivered")]


# -- how addresses come on the list


def test_a_hard_bounce_puts_itself_on_the_list(yard: Yard) -> None:
    yard.script.replies["gone@example.net"] = GONE
    message = yard.submit("gone@example.net", "here@example.net")
    yard.deliver()
    (bounce,) = [event for event in yard.events(message) if event.kind == events.BOUNCE]
    feedback = bounce.detail["feedbackId"]
    assert listed(yard) == [Suppressed("gone@example.net", BOUNCE, yard.clock.now(), message, feedback)]
    again = yard.submit("gone@example.net")
    assert yard.states(again) == [("gone@example.net", "suppressed")]
    assert yard.deliveries(again)[0].reply == str(suppressing.ACCOUNT.reply)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(554, "spam", "5.7.1"),
        Reply(552, "too big", "5.3.4"),
        Reply(550, "no such domain", "5.1.2"),
        Reply(550, "we do not like you"),
        Reply(450, "user unknown just now", "4.1.1"),
    ],
)
def test_other_refusals_do_not(yard: Yard, reply: Reply) -> None:
    yard.script.replies["gone@example.net"] = reply
    yard.submit("gone@example.net")
    yard.deliver()
    assert listed(yard) == []


def test_nor_does_the_simulator(yard: Yard) -> None:
    yard.script.replies["bounce@simulator.amazonses.com"] = GONE
    message = yard.submit("bounce@simulator.amazonses.com")
    yard.deliver()
    assert [event.kind for event in yard.events(message)] == ["Send", "Bounce"]
    assert listed(yard) == []


@pytest.mark.parametrize(
    ("account", "own", "noted"),
    [
        (("COMPLAINT",), None, False),
        (("COMPLAINT",), ("BOUNCE",), True),
        (("BOUNCE", "COMPLAINT"), ("COMPLAINT",), False),
        (("BOUNCE", "COMPLAINT"), None, True),
    ],
)
def test_only_where_the_sender_wants_it(
    yard: Yard, account: tuple[str, ...], own: tuple[str, ...] | None, noted: bool
) -> None:
    yard.run(lambda tx: accounts.set_suppression(tx, ACCOUNT, REGION, reasons=account))
    yard.script.replies["gone@example.net"] = GONE
    yard.submit("gone@example.net", options=allow(yard, "mine", own))
    yard.deliver()
    assert (len(listed(yard)) == 1) is noted


def test_our_own_notices_put_nobody_on_it(yard: Yard) -> None:
    yard.script.replies["gone@example.net"] = GONE
    yard.put("gone@example.net", origin="notice", sender="")
    yard.deliver()
    assert listed(yard) == []
