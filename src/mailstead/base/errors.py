"""Errors: what can be wrong with a request, in words that every door translates into its own codes.

A message given here is SES's own text where SES has one (SES: wire §9): doors add the code, never a text.
"""

from __future__ import annotations


class MailsteadError(Exception):
    """Anything we tell a caller about. ``str(error)`` is a text for the caller: no secret, no internals."""

    def __init__(self, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        """What the error is about (``identity``, ``configuration-set``, ``template``…): doors choose a code by it."""


class NotFound(MailsteadError):
    """The named thing does not exist for this account and region."""


class AlreadyExists(MailsteadError):
    """The named thing exists already."""


class Invalid(MailsteadError):
    """The caller's value breaks a rule; the text says which."""


class LimitExceeded(MailsteadError):
    """A limit of the account or of the service is reached; trying again without a change does not help."""


class Throttled(MailsteadError):
    """Too fast or over the daily quota; trying again later helps.  ``kind`` is ``rate`` or ``daily``."""


class Denied(MailsteadError):
    """The caller may not do this."""


class Conflict(MailsteadError):
    """The state of the thing does not allow this now."""


class Paused(MailsteadError):
    """Sending is paused.  ``kind`` is ``account`` (its own switch), ``enforcement`` (ours) or ``configuration-set``."""


class Closed(MailsteadError):
    """The account is closed by the operator, or not subscribed (``kind`` ``not-subscribed``)."""


class Rejected(MailsteadError):
    """SES's MessageRejected: the message as such is refused."""


class MailFromNotVerified(MailsteadError):
    """The custom MAIL FROM domain is not verified and its policy says to reject."""


class TooLarge(MailsteadError):
    """The message is longer than the limit of its door."""


class Unreachable(MailsteadError):
    """Something we depend on (database, DNS, disk) cannot be used now: temporary by definition."""
