"""Three recipients at two domains, one refused: two deliveries, one bounce with a report, and exactly those events."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import datetime
from typing import Any

import pytest

from peers.town import HOSTNAME, PROVIDER, SENDER, Arrived, Town, id_of, speak

pytestmark = pytest.mark.slow
MESSAGE = (
    b"From: Shop <shop@sender.test>\r\nTo: ann@one.test, nobody@one.test, carol@two.test\r\n"
    b"Subject: =?utf-8?b?7JWI64WV?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Message-ID: <order-7@sender.test>\r\n\r\n\xec\x95\x88\xeb\x85\x95\r\n"
)
REASON = "550 5.1.1 <nobody@one.test>: Recipient address rejected: User unknown in virtual mailbox table"


@pytest.fixture(scope="module")
def statistics_before(town: Town) -> dict[str, int]:
    return statistics(town)


@pytest.fixture(scope="module")
def message(town: Town, statistics_before: dict[str, int]) -> str:
    """Sent once for the whole scenario."""
    with town.smtp() as client:
        to = ["ann@one.test", "nobody@one.test", "carol@two.test"]
        sent = id_of(speak(client, SENDER, to, MESSAGE))
    town.ended(sent)
    return sent


@pytest.fixture(scope="module")
def notice(town: Town, message: str) -> Arrived:
    return town.notice(SENDER, message)


def statistics(town: Town) -> dict[str, int]:
    """GetSendStatistics added up."""
    points = town.server.ses().get_send_statistics()["SendDataPoints"]
    return {name: sum(p[name] for p in points) for name in ("DeliveryAttempts", "Bounces", "Complaints", "Rejects")}


def test_two_get_it(town: Town, message: str) -> None:
    for box in ("ann@one.test", "carol@two.test"):
        assert town.arrived(box, message).parsed.get_content().strip() == "안녕"


def test_the_sender_gets_a_delivery_status_notification(town: Town, message: str, notice: Arrived) -> None:
    assert notice.reverse_path == ""
    parsed = notice.parsed
    assert parsed["From"].addresses[0].addr_spec == f"MAILER-DAEMON@{PROVIDER}"
    assert parsed["To"].addresses[0].addr_spec == SENDER
    assert parsed["Subject"] == "Delivery Status Notification (Failure)"
    assert parsed["Auto-Submitted"].startswith("auto-replied")
    assert (parsed.get_content_type(), parsed.get_param("report-type")) == ("multipart/report", "delivery-status")
    assert not parsed.defects
    text, report, original = parsed.iter_parts()

    assert text.get_content_type() == "text/plain"
    assert "nobody@one.test" in text.get_content()
    assert "ann@one.test" not in text.get_content()

    assert report.get_content_type() == "message/delivery-status"
    whole, *each = report.get_payload()
    assert whole["Reporting-MTA"] == f"dns; {HOSTNAME}"
    assert whole["Arrival-Date"]
    (failed,) = each
    assert failed["Final-Recipient"].lower().replace(" ", "") == "rfc822;nobody@one.test"
    assert failed["Action"] == "failed"
    assert failed["Status"] == "5.1.1"
    assert failed["Remote-MTA"] == "dns; mx.one.test"
    assert " ".join(failed["Diagnostic-Code"].split()) == f"smtp; {REASON}"
    assert failed["Last-Attempt-Date"]

    assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers")
    (returned,) = original.iter_parts()
    assert returned["Message-ID"] == f"<{message}@email.{PROVIDER}>"
    assert returned.get_content().strip() == "안녕"


def test_the_notice_is_signed_by_us(town: Town, notice: Arrived) -> None:
    assert town.signers(notice.content) == [PROVIDER]


def test_exactly_the_right_events(town: Town, message: str, notice: Arrived) -> None:
    events = town.events(message)
    assert sorted(event["kind"] for event in events) == ["Bounce", "Delivery", "Delivery", "Send"]
    assert events[0]["kind"] == "Send"
    assert events[0]["detail"] == {}
    assert {(event["account"], event["region"]) for event in events} == {("000000000000", "us-east-1")}
    deliveries = [event["detail"] for event in events if event["kind"] == "Delivery"]
    assert sorted(one["recipients"] for one in deliveries) == [["ann@one.test"], ["carol@two.test"]]
    for one in deliveries:
        check_delivery(one)
    (bounced,) = (event["detail"] for event in events if event["kind"] == "Bounce")
    check_bounce(bounced)
    assert not town.events(notice.parsed["Message-ID"].strip("<>").partition("@")[0]), "notices make no events"


def check_delivery(detail: dict[str, Any]) -> None:
    """SES: events §2, delivery."""
    check_times(detail["timestamp"])
    assert 0 <= detail["processingTimeMillis"] < 60_000
    assert detail["smtpResponse"].startswith("250 2.0.0 Ok: queued as ")
    assert detail["reportingMTA"] == HOSTNAME
    assert (
        detail["remoteMtaIp"] == {"ann@one.test": "127.0.0.2", "carol@two.test": "127.0.0.3"}[detail["recipients"][0]]
    )
    assert re.fullmatch(r"127\.\d+\.\d+\.\d+", detail["tags"]["ses:outgoing-ip"][0])


def check_bounce(detail: dict[str, Any]) -> None:
    """SES: events §2, bounce."""
    check_times(detail["timestamp"])
    assert (detail["bounceType"], detail["bounceSubType"]) == ("Permanent", "General")
    assert detail["bouncedRecipients"] == [
        {"emailAddress": "nobody@one.test", "action": "failed", "status": "5.1.1", "diagnosticCode": f"smtp; {REASON}"}
    ]
    assert detail["reportingMTA"] == f"dns; {HOSTNAME}"
    assert detail["remoteMtaIp"] == "127.0.0.2"
    assert re.fullmatch(r"0100[0-9a-f]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-000000", detail["feedbackId"])


def check_times(text: str) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    datetime.fromisoformat(text)


def test_the_trace_shows_it_all(town: Town, message: str) -> None:
    trace = town.trace(message)
    assert {one["recipient"]: one["state"] for one in trace["deliveries"]} == {
        "ann@one.test": "delivered", "nobody@one.test": "bounced", "carol@two.test": "delivered",
    }  # fmt: skip
    (refused,) = (one for one in trace["deliveries"] if one["state"] == "bounced")
    assert (refused["attempts"], refused["reply"]) == (1, REASON)
    assert trace["dmarc_aligned"] is True
    assert [signature.split()[0] for signature in trace["signatures"]] == ["d=sender.test", f"d={PROVIDER}"]
    told = town.server.cli("trace", message).stdout
    for word in ("ann@one.test: delivered", "nobody@one.test: bounced", "carol@two.test: delivered", REASON, "Bounce"):
        assert word in told
    assert not [row for row in town.server.cli_json("queue", "list") if row["destination"] in ("one.test", "two.test")]


def test_statistics_count_recipients(town: Town, statistics_before: dict[str, int], message: str) -> None:
    after = statistics(town)
    assert {name: after[name] - before for name, before in statistics_before.items()} == {
        "DeliveryAttempts": 3, "Bounces": 1, "Complaints": 0, "Rejects": 0,
    }  # fmt: skip
    assert town.server.ses().get_send_quota()["SentLast24Hours"] >= 3


def test_nobody_is_told_about_a_notice_that_is_refused(town: Town) -> None:
    """A bounce to a sender who does not exist ends there (RFC 5321 §6.1)."""
    sent = id_of(town.submit(MESSAGE, "ghost@sender.test", "nobody@one.test"))
    trace = town.ended(sent)
    assert trace["deliveries"][0]["state"] == "bounced"
    assert not [text for text in town.mx.messages(SENDER) if b"ghost@sender.test" in text]


def test_several_refused_at_one_domain_are_one_bounce(town: Town) -> None:
    with town.smtp() as client:
        sent = id_of(speak(client, SENDER, ["x@one.test", "y@one.test"], MESSAGE))
    notice = town.notice(SENDER, sent)
    report = list(notice.parsed.iter_parts())[1]
    assert [part["Action"] for part in report.get_payload()[1:]] == ["failed", "failed"]
    bounces = [event for event in town.events(sent) if event["kind"] == "Bounce"]
    assert [[who["emailAddress"] for who in one["detail"]["bouncedRecipients"]] for one in bounces] == [
        ["x@one.test", "y@one.test"]
    ]


def test_the_report_has_an_ascii_header_and_short_lines(notice: Arrived) -> None:
    """Older mail programs read 7-bit text of at most 998 octets a line."""
    head = notice.head
    assert head.isascii()
    assert all(len(line) <= 998 for line in notice.content.split(b"\r\n"))
    assert email.message_from_bytes(notice.content, policy=email.policy.SMTP).is_multipart()
