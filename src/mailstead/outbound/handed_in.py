"""Handed in: a message as a door took it, and the terms on which mail leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mailstead.outbound.composition import Options, Simple, Templated
from mailstead.ses.account import NewAccount
from mailstead.ses.principals import Caller

NO_OPTIONS = Options()
LANES = "lanes"
"""Topic of the signal: this lane has mail."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One message as a door took it in."""

    caller: Caller
    operation: str
    """``SendEmail``, ``SendRawEmail``, or ``SMTP``."""
    limit: int
    """Bytes this door takes."""
    source: str | None = None
    """The sender as given; None: what the message's header says."""
    destinations: tuple[str, ...] | None = None
    """Recipients of the envelope as given; None: what the message's header says."""
    raw: bytes | None = field(default=None, repr=False)
    """A whole message, or…"""
    crlf: bool = False
    """Has the door seen to it that every newline of ``raw`` is CRLF?"""
    simple: Simple | None = field(default=None, repr=False)
    """…what to build one from, with the next three, or…"""
    templated: Templated | None = field(default=None, repr=False)
    """…a template to fill for it."""
    failure: str = ""
    """Why the template could not be filled: the message is taken and told, and goes to nobody."""
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    return_path: str | None = None
    options: Options = NO_OPTIONS
    received: str = ""
    """The Received field that events show for mail by SMTP (SES: smtp §6)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator decided about mail that leaves."""

    provider: str
    """Our own domain, in the place of amazonses.com."""
    retry_for: int
    """Milliseconds a delivery is tried for."""
    new_account: NewAccount
    keep_submitted: bool = False
    """Keep what was handed in as it was, for ``/_aws/ses`` (the test double)."""
    links: Callable[[], str] = str
    """Tells what links to the tracking listener begin with; empty: there is nowhere they could lead to."""


class Lanes(Protocol):
    """Names the lane of a recipient (outbound/routing.py)."""

    def lane_for(self, recipient: str) -> str:
        """The lane; quick, no look-up."""
        ...
