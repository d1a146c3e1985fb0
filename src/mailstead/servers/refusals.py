"""Refusals: what submission says behind the final dot when a message is not taken (SES: smtp §4)."""

from __future__ import annotations

import logging

from mailstead.base.errors import (
    Closed,
    Denied,
    Invalid,
    MailFromNotVerified,
    MailsteadError,
    NotFound,
    Paused,
    Rejected,
    Throttled,
    TooLarge,
    Unreachable,
)
from mailstead.outbound.admission import NotVerified
from mailstead.proto.smtp.dialogue import SUBMISSION_WORDS
from mailstead.proto.smtp.reply import Reply

log = logging.getLogger(__name__)

MAX_REPLY = 512  # RFC 5321 §4.5.3.1.5, with code and CRLF

TEMPORARY = Reply(451, "Temporary service failure")

# The error → code and what stands before its text. The first that fits.
REFUSALS: tuple[tuple[type[MailsteadError], int, str], ...] = (
    (Throttled, 454, "Throttling failure: "),
    (Denied, 554, "Access denied: "),
    (Rejected, 554, "Message rejected: "),
    (MailFromNotVerified, 554, "Message rejected: "),
    (Paused, 554, "Message rejected: "),
    (Closed, 554, "Message rejected: "),
    (NotFound, 554, "Message rejected: "),
    (Invalid, 554, "Transaction failed: "),
)


def refusal(error: MailsteadError) -> Reply:
    """The reply behind the final dot, in one line of at most 512 octets."""
    if isinstance(error, TooLarge):
        return SUBMISSION_WORDS.too_large
    if isinstance(error, Unreachable):
        return TEMPORARY
    for kind, code, beginning in REFUSALS:
        if isinstance(error, kind):
            room = MAX_REPLY - len("554 \r\n") - len(beginning)
            return Reply(code, beginning + _within(error, room))
    log.error("no reply for %s: %s", type(error).__name__, error.message)
    return TEMPORARY


def _within(error: MailsteadError, room: int) -> str:
    if isinstance(error, NotVerified):
        return error.within(room)
    text = error.message
    octets = text.encode()
    return text if len(octets) <= room else octets[: room - 3].decode("utf-8", "ignore") + "..."
