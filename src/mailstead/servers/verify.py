"""Verify: the page behind the link of a verification mail; opening it verifies the address (SES: sending §1.1, §1.2).

A GET does it, as with SES: one click, nothing to press.  A program that follows links on a reader's behalf does it too;
HEAD does not.  The link of an account's own mail leads on to the account's own pages.
"""

from __future__ import annotations

import logging

from mailstead.runtime import Runtime
from mailstead.servers.tracking import Answer, Visit, redirect, told
from mailstead.ses import address_verification
from mailstead.ses.address_verification import Opened, Outcome

log = logging.getLogger(__name__)

VERIFIED = told(
    "Address verified", "Thank you. This address has been confirmed and may now be used to send mail. You can close"
    " this page.",
)  # fmt: skip
EXPIRED = told(
    "Link expired", "This link was good for 24 hours. Please ask for a new verification mail where you asked for this"
    " one.", 410,
)  # fmt: skip
INVALID = told(
    "Link not valid", "This link does not verify any address. It may have been cut off in the mail, or it was"
    " withdrawn. Please copy the whole link, or ask for a new verification mail.", 404,
)  # fmt: skip
WAITING = told("Address verification", "Open this page to verify the address.")

PAGES = {
    Outcome.VERIFIED: VERIFIED,
    Outcome.AGAIN: VERIFIED,
    Outcome.EXPIRED: EXPIRED,
    Outcome.INVALID: INVALID,
}


class Verify:
    """The page."""

    def __init__(self, runtime: Runtime) -> None:
        self._db = runtime.db

    async def show(self, visit: Visit) -> Answer:
        """Use the link, and say what came of it."""
        token = visit.query.get("token", "")
        opened = await self._db.read(lambda tx: address_verification.look(tx, token))
        if opened is None and visit.method == "HEAD":
            return WAITING
        if opened is None:
            opened = await self._db.run(lambda tx: address_verification.confirm(tx, token))
        _tell(opened)
        return _shown(opened)


def _shown(opened: Opened) -> Answer:
    proof, good = opened.proof, opened.outcome in (Outcome.VERIFIED, Outcome.AGAIN)
    onward = (proof.success_url if good else proof.failure_url) if proof is not None else ""
    return redirect(onward) if onward else PAGES[opened.outcome]


def _tell(opened: Opened) -> None:
    if opened.outcome is Outcome.VERIFIED and opened.proof is not None:
        proof = opened.proof
        log.info(
            "identity account=%s region=%s of=%s status=SUCCESS",
            proof.account,
            proof.region,
            proof.name.rpartition("@")[2],
        )
