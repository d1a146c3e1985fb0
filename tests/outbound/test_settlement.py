"""Settlement: replies become states, events and one notice in one commit; twice changes nothing."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from email.message import EmailMessage
from typing import cast

import msgspec
import pytest

from mailstead.base.clock import HOUR, MINUTE
from mailstead.base.errors import Unreachable
from mailstead.outbound import settlement
from mailstead.outbound.agents import Attempt
from mailstead.outbound.settlement import Case
from mailstead.proto.message import Message
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import events
from mailstead.store import queue, spool
from mailstead.store.spool import Waiting
from peers.yard import ACCOUNT, HOST, OK, PROVIDER, RAW, REGION, RETRY_FOR, Yard, replies

GONE = Reply(550, "user unknown", "5.1.1")
LATER = Reply(450, "try later", "4.2.1")
FULL = Reply(452, "mailbox full", "4.2.2")
SPAM = Reply(554, "spam", "5.7.1")
BIG = Reply(552, "too big", "5.3.4")
BAD = Reply(554, "bad content", "5.6.0")


def take(yard: Yard, name: str, lane: str = "example.net") -> list[Waiting]:
    """What the scheduler would pull."""
    now = yard.clock.now()
    rows = yard.ground.read(lambda tx: spool.pull(tx, lane, now, 100))
    return [row for row in rows if row.message == name]


def case(yard: Yard, name: str, said: dict[str, Reply], *, failing: bool = False) -> Case:
    message = yard.ground.read(lambda tx: spool.read(tx, name))
    assert message is not None
    attempt = Attempt(said, HOST, "192.0.2.7", "192.0.2.99", "TLSv1.3 TLS_AES_256_GCM_SHA384")
    return Case(message, Message.parse(yard.wait(yard.blobs.get(message.blob))), attempt, "example.net", failing)


def judge(yard: Yard, group: Sequence[Waiting], over: Case) -> list[settlement.Verdict]:
    return settlement.judge(group, over.attempt, now=yard.clock.now(), retry_for=RETRY_FOR, dice=0.5)


def settle(yard: Yard, name: str, said: dict[str, Reply], *, times: int = 1) -> Case:
    over = case(yard, name, said)
    verdicts = judge(yard, take(yard, name), over)
    for _ in range(times):
        yard.wait(yard.settlement.settle(over, verdicts))
    return over


def documents(yard: Yard, name: str) -> list[dict[str, object]]:
    message = yard.ground.read(lambda tx: spool.read(tx, name))
    assert message is not None
    mail = msgspec.json.decode(message.mail_json)
    return [events.document(event, mail) for event in yard.events(name)]


def everything(yard: Yard) -> dict[str, object]:
    """All rows that a settlement may touch."""
    tables = ("messages", "deliveries", "lanes", "attempts", "events", "blobs", "statistics")
    return {table: sorted(yard.rows(f"SELECT * FROM {table}"), key=repr) for table in tables}


# -- states


@pytest.mark.parametrize(
    ("reply", "state", "kinds"),
    [
        (OK, "delivered", ["Delivery"]),
        (Reply(251, "forwarded"), "delivered", ["Delivery"]),
        (GONE, "bounced", ["Bounce"]),
        (SPAM, "bounced", ["Bounce"]),
        (BIG, "bounced", ["Bounce"]),
        (BAD, "bounced", ["Bounce"]),
        (LATER, "deferred", ["DeliveryDelay"]),
        (FULL, "deferred", ["DeliveryDelay"]),
        (Reply(552, "quota", "5.2.2"), "deferred", ["DeliveryDelay"]),
        (Reply(421, "go away"), "deferred", ["DeliveryDelay"]),
    ],
)
def test_a_reply_and_its_state(yard: Yard, reply: Reply, state: str, kinds: list[str]) -> None:
    name = yard.put("r@example.net")
    settle(yard, name, {"r@example.net": reply})
    assert yard.states(name) == [("r@example.net", state)]
    assert [event.kind for event in yard.events(name)] == kinds
    assert yard.open(name) == (state == "deferred")
    (view,) = yard.deliveries(name)
    assert (view.reply, view.host, view.attempts) == (str(reply), HOST, 1)
    assert view.due == (yard.clock.now() + MINUTE if state == "deferred" else None)


@pytest.mark.parametrize(
    ("reply", "kind", "sub"),
    [
        (GONE, "Permanent", "General"),
        (SPAM, "Transient", "General"),
        (BIG, "Transient", "MessageTooLarge"),
        (BAD, "Transient", "ContentRejected"),
    ],
)
def test_the_document_of_a_bounce(yard: Yard, reply: Reply, kind: str, sub: str) -> None:
    name = yard.put("r@example.net")
    yard.clock.advance(1500)
    settle(yard, name, {"r@example.net": reply})
    (document,) = documents(yard, name)
    feedback = cast("dict[str, str]", document["bounce"]).pop("feedbackId")
    assert feedback != name
    assert len(feedback) == len(name)
    assert document == {
        "eventType": "Bounce",
        "bounce": {
            "bounceType": kind,
            "bounceSubType": sub,
            "bouncedRecipients": [
                {
                    "emailAddress": "r@example.net",
                    "action": "failed",
                    "status": reply.enhanced,
                    "diagnosticCode": f"smtp; {reply}",
                }
            ],
            "timestamp": events.iso(yard.clock.now()),
            "remoteMtaIp": "192.0.2.7",
            "reportingMTA": "dns; mail.example.org",
        },
        "mail": {
            "messageId": name,
            "tags": {"ses:outgoing-ip": ["192.0.2.99"], "ses:outgoing-tls-version": ["TLSv1.3"]},
        },
    }


def test_the_document_of_a_delivery(yard: Yard) -> None:
    name = yard.put("a@example.net", "b@example.net")
    yard.clock.advance(1500)
    settle(yard, name, replies(["a@example.net", "b@example.net"], OK))
    assert documents(yard, name) == [
        {
            "eventType": "Delivery",
            "mail": {
                "messageId": name,
                "tags": {"ses:outgoing-ip": ["192.0.2.99"], "ses:outgoing-tls-version": ["TLSv1.3"]},
            },
            "delivery": {
                "timestamp": events.iso(yard.clock.now()),
                "processingTimeMillis": 1500,
                "recipients": ["a@example.net", "b@example.net"],
                "smtpResponse": "250 2.0.0 OK",
                "remoteMtaIp": "192.0.2.7",
                "reportingMTA": "mail.example.org",
            },
        }
    ]


def test_the_document_of_a_delay(yard: Yard) -> None:
    name = yard.put("r@example.net")
    settle(yard, name, {"r@example.net": FULL})
    assert documents(yard, name) == [
        {
            "eventType": "DeliveryDelay",
            "mail": {"messageId": name},
            "deliveryDelay": {
                "timestamp": events.iso(yard.clock.now()),
                "delayType": "MailboxFull",
                "expirationTime": events.iso(yard.clock.now() + RETRY_FOR),
                "delayedRecipients": [
                    {
                        "emailAddress": "r@example.net",
                        "status": "4.2.2",
                        "diagnosticCode": "smtp; 452 4.2.2 mailbox full",
                    }
                ],
                "reportingMTA": "mail.example.org",
            },
        }
    ]


def test_siblings_with_replies_of_their_own(yard: Yard) -> None:
    said = {f"{n}@example.net": reply for n, reply in enumerate([OK, GONE, LATER, SPAM, OK, Reply(250, "other")])}
    name = yard.put(*said)
    settle(yard, name, said)
    assert [state for _, state in yard.states(name)] == [
        "delivered", "bounced", "deferred", "bounced", "delivered", "delivered",
    ]  # fmt: skip
    assert yard.open(name) == 1
    told = sorted((event.kind, event.recipients) for event in yard.events(name))
    assert told == [("Bounce", 1), ("Bounce", 1), ("Delivery", 1), ("Delivery", 2), ("DeliveryDelay", 1)]


def test_delays_of_a_kind_are_told_together(yard: Yard) -> None:
    said = {"a@example.net": LATER, "b@example.net": FULL, "c@example.net": LATER}
    name = yard.put(*said)
    settle(yard, name, said)
    told = {
        event.detail["delayType"]: [one["emailAddress"] for one in event.detail["delayedRecipients"]]
        for event in yard.events(name)
    }
    assert told == {"General": ["a@example.net", "c@example.net"], "MailboxFull": ["b@example.net"]}


def test_a_delay_is_told_once(yard: Yard) -> None:
    name = yard.put("r@example.net")
    for _ in range(3):
        settle(yard, name, {"r@example.net": LATER})
        yard.clock.advance(HOUR)
    assert [event.kind for event in yard.events(name)] == ["DeliveryDelay"]
    tries = yard.rows("SELECT attempt, reply, host FROM attempts ORDER BY attempt")
    assert tries == [(n, "450 4.2.1 try later", HOST) for n in (1, 2, 3)]


def test_the_simulator_is_kept_out_of_the_statistics(yard: Yard) -> None:
    to = "bounce@simulator.amazonses.com"
    name = yard.put(to)
    over = case(yard, name, {to: GONE})
    yard.wait(yard.settlement.settle(over, judge(yard, take(yard, name, "simulator.amazonses.com"), over)))
    assert [(event.kind, event.recipients) for event in yard.events(name)] == [("Bounce", 0)]


# -- twice, half, never


@pytest.mark.parametrize("reply", [OK, GONE, LATER], ids=["delivered", "bounced", "deferred"])
def test_twice_is_harmless(yard: Yard, reply: Reply) -> None:
    name = yard.put("a@example.net", "b@example.net", content=RAW + b"x" * 5000)
    said = replies(["a@example.net", "b@example.net"], reply)
    over = case(yard, name, said)
    verdicts = judge(yard, take(yard, name), over)
    yard.wait(yard.settlement.settle(over, verdicts))
    once = everything(yard)
    yard.clock.advance(5)
    yard.wait(yard.settlement.settle(over, verdicts))
    assert everything(yard) == once
    assert yard.open(name) == (2 if reply is LATER else 0)


def test_a_crash_before_the_commit_changes_nothing(yard: Yard) -> None:
    name = yard.put("a@example.net", "b@example.net")
    before = everything(yard)
    over = case(yard, name, {"a@example.net": OK, "b@example.net": GONE})
    verdicts = judge(yard, take(yard, name), over)
    yard.ground.db.fail_next(1)  # type: ignore[attr-defined]
    with pytest.raises(Unreachable):
        yard.wait(yard.settlement.settle(over, verdicts))
    assert everything(yard) == before
    assert [waiting.recipient for waiting in take(yard, name)] == ["a@example.net", "b@example.net"]
    assert yard.notices() == []


def test_a_notice_that_cannot_be_stored_takes_the_settlement_back(yard: Yard) -> None:
    name = yard.put("r@example.net")
    before = everything(yard)
    over = case(yard, name, {"r@example.net": GONE})
    verdicts = judge(yard, take(yard, name), over)
    yard.blobs.fail_next(1)
    with pytest.raises(Unreachable):
        yard.wait(yard.settlement.settle(over, verdicts))
    assert everything(yard) == before


def test_what_the_operator_deleted_meanwhile_stays_deleted(yard: Yard) -> None:
    name = yard.put("a@example.net", "b@example.net")
    over = case(yard, name, {"a@example.net": GONE, "b@example.net": GONE})
    verdicts = judge(yard, take(yard, name), over)
    yard.run(lambda tx: queue.delete(tx, queue.Selection(recipient="a@example.net"), yard.clock.now()))
    yard.wait(yard.settlement.settle(over, verdicts))
    assert yard.states(name) == [("a@example.net", "deleted"), ("b@example.net", "bounced")]
    assert yard.open(name) == 0
    ((_, notice),) = yard.notices()
    assert b"a@example.net" not in notice


def test_what_is_held_meanwhile_stays_held(yard: Yard) -> None:
    name = yard.put("a@example.net", "b@example.net")
    over = case(yard, name, {"a@example.net": LATER, "b@example.net": OK})
    verdicts = judge(yard, take(yard, name), over)
    yard.run(lambda tx: queue.hold(tx, queue.Selection(message=name), yard.clock.now()))
    yard.wait(yard.settlement.settle(over, verdicts))
    assert yard.states(name) == [("a@example.net", "held"), ("b@example.net", "delivered")]


# -- the end of a message


@pytest.mark.parametrize("content", [RAW, RAW + b"x" * 10_000], ids=["row", "file"])
def test_the_last_delivery_takes_the_body_along(yard: Yard, content: bytes) -> None:
    name = yard.put("a@example.net", "b@example.net", content=content)
    settle(yard, name, {"a@example.net": OK, "b@example.net": LATER})
    assert yard.files() + [key for (key,) in yard.rows("SELECT key FROM blobs")] == [name]
    yard.clock.advance(HOUR)
    settle(yard, name, {"b@example.net": OK})
    assert yard.files() == []
    assert yard.rows("SELECT key FROM blobs") == []
    assert yard.rows("SELECT open, done FROM messages") == [(0, yard.clock.now())]


def test_somebody_reached_forgets_the_failures_of_the_lane(yard: Yard) -> None:
    name = yard.put("r@example.net")
    yard.run(lambda tx: tx.run("UPDATE lanes SET failures = 4, reason = 'away'"))
    over = case(yard, name, {"r@example.net": LATER}, failing=True)
    yard.wait(yard.settlement.settle(over, judge(yard, take(yard, name), over)))
    assert yard.rows("SELECT failures, reason FROM lanes") == [(0, "")]


# -- expiry


@pytest.mark.parametrize(("last", "sub"), [(LATER, "General"), (FULL, "MailboxFull")])
def test_what_was_tried_for_too_long_expires(yard: Yard, last: Reply, sub: str) -> None:
    name = yard.put("r@example.net", age=RETRY_FOR)
    settle(yard, name, {"r@example.net": last})
    assert yard.states(name) == [("r@example.net", "expired")]
    (document,) = documents(yard, name)
    bounce = cast("dict[str, object]", document["bounce"])
    assert (bounce["bounceType"], bounce["bounceSubType"]) == ("Transient", sub)
    said = f"550 4.4.7 Message expired: unable to deliver in 840 minutes.<{last}>"
    assert bounce["bouncedRecipients"] == [
        {"emailAddress": "r@example.net", "action": "failed", "status": "4.4.7", "diagnosticCode": f"smtp; {said}"}
    ]
    assert len(yard.notices()) == 1


def test_the_last_try_falls_together_with_the_end(yard: Yard) -> None:
    name = yard.put("r@example.net", age=RETRY_FOR - 1000)
    settle(yard, name, {"r@example.net": LATER})
    (view,) = yard.deliveries(name)
    assert view.due == view.expires == yard.clock.now() + 1000


# -- the notice


def parse(content: bytes) -> tuple[EmailMessage, list[EmailMessage]]:
    report = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(report, EmailMessage)
    return report, cast("list[EmailMessage]", list(report.iter_parts()))


def test_one_notice_with_everybody_who_failed(yard: Yard) -> None:
    said = {"a@example.net": GONE, "b@example.net": OK, "c@example.net": SPAM, "d@example.net": LATER}
    name = yard.put(*said)
    settle(yard, name, said)
    ((to, content),) = yard.notices()
    assert to == "sender@example.com"
    report, (_, status, original) = parse(content)
    assert report["From"].addresses[0].addr_spec == f"MAILER-DAEMON@{PROVIDER}"
    assert report["To"] == "sender@example.com"
    assert report["Subject"] == "Delivery Status Notification (Failure)"
    assert report.get_content_type() == "multipart/report"
    assert status.get_content_type() == "message/delivery-status"
    head, *recipients = cast("list[EmailMessage]", status.get_payload())
    assert head["Reporting-MTA"] == "dns; mail.example.org"
    assert [(one["Final-Recipient"], one["Action"], one["Status"], one["Diagnostic-Code"]) for one in recipients] == [
        ("rfc822; a@example.net", "failed", "5.1.1", "smtp; 550 5.1.1 user unknown"),
        ("rfc822; c@example.net", "failed", "5.7.1", "smtp; 554 5.7.1 spam"),
    ]
    assert recipients[0]["Remote-MTA"] == "dns; mx.example.net"
    assert b"Subject: hello" in original.as_bytes()


def test_a_notice_travels_with_the_null_reverse_path_and_is_no_submission(yard: Yard) -> None:
    name = yard.put("r@example.net")
    settle(yard, name, {"r@example.net": GONE})
    row = yard.rows(
        "SELECT m.sender, m.return_path, m.account, m.region, m.open, d.lane, d.due, d.expires FROM messages m"
        " JOIN deliveries d ON d.message = m.id WHERE m.origin = 'notice'"
    )
    now = yard.clock.now()
    assert row == [("", "", ACCOUNT, REGION, 1, "example.com", now, now + RETRY_FOR)]
    assert yard.lane("example.com") == (now, None, 0, "")


@pytest.mark.parametrize("reply", [OK, GONE, LATER])
def test_nobody_is_told_of_a_notice(yard: Yard, reply: Reply) -> None:
    name = yard.put("r@example.net", sender="", origin="notice")
    settle(yard, name, {"r@example.net": reply})
    assert yard.events(name) == []
    assert yard.rows("SELECT count(*) FROM messages") == [(1,)]


def test_a_null_sender_gets_no_notice_but_events(yard: Yard) -> None:
    name = yard.put("r@example.net", sender="")
    settle(yard, name, {"r@example.net": GONE})
    assert yard.notices() == []
    assert [event.kind for event in yard.events(name)] == ["Bounce"]


def test_a_long_original_comes_back_as_its_header(yard: Yard) -> None:
    name = yard.put("r@example.net", content=RAW + b"z" * 70_000 + b"\r\n")
    settle(yard, name, {"r@example.net": GONE})
    ((_, content),) = yard.notices()
    assert len(content) < 10_000
    assert b"Subject: hello" in content
    assert b"zzz" not in content


def test_a_reply_cannot_write_into_the_notice(yard: Yard) -> None:
    nasty = Reply(550, "no\r\nBcc: x@example.org\r\n\r\nevil \xff \u202e", "5.1.1")
    name = yard.put("r@example.net")
    settle(yard, name, {"r@example.net": nasty})
    ((_, content),) = yard.notices()
    _, (_, status, _) = parse(content)
    _, one = cast("list[EmailMessage]", status.get_payload())
    assert "Bcc" not in one
    assert "evil" in one["Diagnostic-Code"]
