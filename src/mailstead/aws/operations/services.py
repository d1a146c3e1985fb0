"""Services: what the operations work with, as one value that ``app`` builds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mailstead.outbound.handed_in import Submission
from mailstead.outbound.verification_mail import VerificationMail
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses.account import AccountRegion, NewAccount
from mailstead.ses.principals import Caller

SES, SESV2, STS, SNS = "ses", "sesv2", "sts", "sns"

Params = Mapping[str, Any]


class Request(Protocol):
    """What a handler needs of a request; the gateway has checked signature and constraints."""

    @property
    def caller(self) -> Caller:
        """Who asks, for which account and region."""
        ...

    @property
    def params(self) -> Params:
        """The members of the operation's input: times in milliseconds, blobs as bytes; absent ones are not there."""
        ...

    @property
    def clock_now(self) -> int:
        """Milliseconds since 1970, from the clock that tests may move."""
        ...

    @property
    def base(self) -> str:
        """How the caller reaches us: ``http://host:port``."""
        ...

    def page(self, *more: str) -> tuple[str, ...]:
        """What a page token of this call belongs to; ``more``: filters of the list."""
        ...


Answer = dict[str, Any] | None
"""The members of the operation's output, absent ones left out; None if there are none."""

Handler = Callable[[Any], Awaitable[Answer]]
"""Takes a ``Request``; raises the errors of ``base.errors``, which the gateway puts into codes."""

Handlers = dict[tuple[str, str], Handler]
"""(service, operation): its handler."""


class Door(Protocol):
    """Where mail leaves (outbound/submission.py)."""

    async def submit(self, submission: Submission) -> str:
        """Take responsibility for a message; its MessageId."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the operations work with."""

    runtime: Runtime
    door: Door
    verification_mail: VerificationMail
    new_account: NewAccount
    """What an account gets in a region it has not used before."""
    provider: str
    """Our own domain, in the place of amazonses.com."""
    auto_verify: bool = False
    """New identities are verified at once (``verification = auto``)."""
    v1_message_bytes: int = 10 << 20
    v2_message_bytes: int = 40 << 20
    blocklists: tuple[str, ...] = ()
    """Domains of public lists of bad addresses (ses/blocklists.py)."""

    @property
    def zone(self) -> str:
        """Where the CNAMEs of Easy DKIM lead: ``SigningHostedZone``."""
        return f"dkim.{self.provider}"

    async def region_of(self, caller: Caller) -> AccountRegion:
        """The caller's account in its region; a first use makes it.

        Raises:
            NotFound: there is no such account.
        """
        account, region = caller.account, caller.region
        found = await self.runtime.db.read(lambda tx: accounts.find_region(tx, account, region))
        if found is not None:
            return found
        return await self.runtime.db.run(lambda tx: accounts.ensure_region(tx, account, region, self.new_account))
