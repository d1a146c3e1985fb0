"""Outcomes: what a reply means for a delivery, and how events tell it.

Only a definite refusal ends a delivery; mailbox full is soft whatever its code (SES: sending §9, §13).
The full classification with its table of patterns comes with the issue "Sending well"; here is what codes alone say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from mailstead.proto.smtp.reply import Reply

T = TypeVar("T")

DELIVERED = "delivered"
DEFERRED = "deferred"
BOUNCED = "bounced"
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reply came to."""

    state: str
    bounce_type: str = ""
    sub_type: str = ""
    delay_type: str = ""


# Enhanced code, or its first two parts: (bounceType, bounceSubType).  SES: sending §9.
BOUNCES = {
    "5.1.1": ("Permanent", "General"),
    "5.2.3": ("Transient", "MessageTooLarge"),
    "5.3.4": ("Transient", "MessageTooLarge"),
    "5.6": ("Transient", "ContentRejected"),
    "5.7": ("Transient", "General"),
}
FULL = frozenset({"5.2.2", "4.2.2"})
NOBODY = frozenset({"5.1.1", "5.1.6", "5.2.1"})
"""RFC 3463 §3.2, §3.3: no such mailbox, moved without a trace, switched off.  Not 5.1.2: DNS may err for a while."""
_NOBODY = re.compile(
    r"(?:user|mailbox|recipient|address|account)\b.{0,40}\b(?:unknown|not found|does ?n[o']t exist)"
    r"|(?:unknown|no such) (?:user|mailbox|recipient|address|account)",
    re.IGNORECASE,
)
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")

# SES: events §2, deliveryDelay.
DELAYS = {
    "4.2.2": "MailboxFull",
    "5.2.2": "MailboxFull",
    "4.4.1": "TransientCommunicationFailure",
    "4.4.2": "TransientCommunicationFailure",
    "4.4.0": "TransientCommunicationFailure",
    "4.3": "RecipientServerError",
    "4.7": "IPFailure",
}


def _look_up(table: Mapping[str, T], enhanced: str) -> T | None:
    return table.get(enhanced) or table.get(enhanced.rpartition(".")[0])


def judge(reply: Reply) -> Outcome:
    """What a final reply to a recipient means.  Unknown means temporary."""
    if reply.positive:
        return Outcome(DELIVERED)
    # RFC 5321 §4.2.3: 552 without more is "exceeded storage allocation": full, not gone.
    full = reply.enhanced in FULL or (reply.code == 552 and not reply.enhanced)
    if reply.permanent and not full:
        bounce_type, sub_type = _look_up(BOUNCES, reply.enhanced) or ("Permanent", "General")
        return Outcome(BOUNCED, bounce_type, sub_type)
    delay = "MailboxFull" if full else _look_up(DELAYS, reply.enhanced)
    return Outcome(DEFERRED, delay_type=delay or "General")


def refuses_address(reply: Reply) -> bool:
    """Is it certain that nobody lives at this address?  Then it is not written to again (SES: sending §7)."""
    if not reply.permanent:
        return False
    if reply.enhanced:
        return reply.enhanced in NOBODY
    return reply.code in (550, 551, 553) and _NOBODY.search(reply.text) is not None


def tells_full(last: str) -> bool:
    """Was the last reply, as a delivery keeps it, about a full mailbox?"""
    code, _, text = last.partition(" ")
    enhanced = text.partition(" ")[0]
    return enhanced in FULL or (code == "552" and not _ENHANCED.fullmatch(enhanced))


def expired(last: str, *, minutes: int) -> Reply:
    """What is said when a delivery was tried for too long (SES: events §2); ``last`` is the last reply."""
    behind = f"<{last}>" if last else ""
    return Reply(550, f"Message expired: unable to deliver in {minutes} minutes.{behind}", "4.4.7")


def status_of(reply: Reply) -> str:
    """The status of a delivery report: the enhanced code, or what the class of the code says (RFC 3463 §2)."""
    return reply.enhanced or f"{reply.code // 100}.0.0"


def diagnostic_of(reply: Reply) -> str:
    """``smtp; 550 5.1.1 user unknown``."""
    return f"smtp; {reply}"
