"""Outcomes: only a definite refusal ends a delivery."""

from __future__ import annotations

import pytest

from mailstead.outbound.outcomes import (
    BOUNCED,
    DEFERRED,
    DELIVERED,
    expired,
    judge,
    refuses_address,
    status_of,
    tells_full,
)
from mailstead.proto.smtp.reply import Reply


@pytest.mark.parametrize(
    ("reply", "state", "bounce", "delay"),
    [
        (Reply(250, "OK", "2.0.0"), DELIVERED, ("", ""), ""),
        (Reply(251, "forwarded"), DELIVERED, ("", ""), ""),
        (Reply(550, "user unknown", "5.1.1"), BOUNCED, ("Permanent", "General"), ""),
        (Reply(550, "no"), BOUNCED, ("Permanent", "General"), ""),
        (Reply(554, "spam", "5.7.1"), BOUNCED, ("Transient", "General"), ""),
        (Reply(552, "too big", "5.3.4"), BOUNCED, ("Transient", "MessageTooLarge"), ""),
        (Reply(554, "bad content", "5.6.0"), BOUNCED, ("Transient", "ContentRejected"), ""),
        (Reply(552, "full", "5.2.2"), DEFERRED, ("", ""), "MailboxFull"),
        (Reply(452, "full", "4.2.2"), DEFERRED, ("", ""), "MailboxFull"),
        (Reply(552, "exceeded storage allocation"), DEFERRED, ("", ""), "MailboxFull"),
        (Reply(421, "no connection", "4.4.1"), DEFERRED, ("", ""), "TransientCommunicationFailure"),
        (Reply(450, "greylisted"), DEFERRED, ("", ""), "General"),
        (Reply(421, "too many", "4.7.0"), DEFERRED, ("", ""), "IPFailure"),
    ],
)
def test_judge(reply: Reply, state: str, bounce: tuple[str, str], delay: str) -> None:
    outcome = judge(reply)
    assert outcome.state == state
    assert (outcome.bounce_type, outcome.sub_type) == bounce
    assert outcome.delay_type == delay


def test_an_expired_delivery_tells_the_last_reply() -> None:
    reply = expired("421 4.4.1 Failed to establish connection", minutes=840)
    text = "Message expired: unable to deliver in 840 minutes.<421 4.4.1 Failed to establish connection>"
    assert str(reply) == f"550 4.4.7 {text}"
    assert str(expired("", minutes=5)) == "550 4.4.7 Message expired: unable to deliver in 5 minutes."


@pytest.mark.parametrize(
    ("last", "full"),
    [
        (Reply(452, "full", "4.2.2"), True),
        (Reply(552, "full", "5.2.2"), True),
        (Reply(552, "exceeded storage allocation"), True),
        (Reply(552, "5 is too big", "5.3.4"), False),
        (Reply(450, "4.2.2 is what others say", "4.2.1"), False),
        (Reply(450, "later"), False),
    ],
)
def test_a_full_mailbox_is_known_by_the_reply_that_was_kept(last: Reply, full: bool) -> None:
    assert tells_full(str(last)) is full
    assert not tells_full("")


def test_status_without_an_enhanced_code_is_its_class() -> None:
    assert status_of(Reply(550, "no")) == "5.0.0"
    assert status_of(Reply(451, "later")) == "4.0.0"


@pytest.mark.parametrize(
    ("reply", "nobody"),
    [
        (Reply(550, "user unknown", "5.1.1"), True),
        (Reply(550, "moved", "5.1.6"), True),
        (Reply(550, "The account is disabled", "5.2.1"), True),
        (Reply(550, "No such user here"), True),
        (Reply(550, "Recipient <a@b.c> not found"), True),
        (Reply(551, "mailbox does not exist"), True),
        (Reply(550, "Requested action not taken: mailbox unavailable"), False),
        (Reply(550, "Domain nowhere.example does not exist", "5.1.2"), False),
        (Reply(550, "user unknown or blocked", "5.7.1"), False),
        (Reply(554, "no such user"), False),
        (Reply(450, "user unknown", "4.1.1"), False),
        (Reply(250, "no such user, but fine", "2.1.5"), False),
        (Reply(550, "user " + "x" * 100 + " unknown"), False),
    ],
)
def test_where_nobody_lives(reply: Reply, nobody: bool) -> None:
    assert refuses_address(reply) is nobody
