"""Submission: the one door for mail that leaves, behind the API, the SMTP interface and the command line.

render → draft → admit → durable rows, in one commit (acceptance.py) → the MessageId is the caller's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from mailstead.base.errors import NotFound, Throttled, TooLarge, Unreachable
from mailstead.outbound import composition
from mailstead.outbound.acceptance import Registrar
from mailstead.outbound.admission import Grant
from mailstead.outbound.composition import Draft, Options, Simple, Templated
from mailstead.outbound.grants import Grants
from mailstead.outbound.handed_in import LANES, Lanes, Submission, Terms
from mailstead.outbound.unsubscribe_links import ATTRIBUTE, PLACE
from mailstead.proto.handlebars import OutOfSteps
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import quota, templates
from mailstead.ses.principals import Caller

log = logging.getLogger(__name__)

HEAVY = 256 * 1024
"""Octets above which a message is read in a thread: one made to be slow must not keep everybody else waiting."""
QUICK = 5_000
"""Steps of a template, some milliseconds, that are done on the event loop; what takes more begins again in a thread."""
SMALL = 16 * 1024
"""Characters of a template; a larger one is compiled and filled in a thread."""


def _no_fault(part: str) -> bool:
    return False


def _size(submission: Submission) -> int:
    """Octets or characters that have to be read, about."""
    simple = submission.simple
    if simple is None:
        return len(submission.raw or b"")
    texts = [simple.subject, simple.text or ("", None), simple.html or ("", None)]
    named = [*(value for _, value in simple.headers), *(text for text, _ in texts)]
    return sum(map(len, named)) + sum(len(file.content) for file in simple.attachments)


async def _rendered(submission: Submission) -> Submission:
    """The submission with the content that its template makes, or with the reason why that could not be made."""
    if submission.templated is None:
        return submission
    templated, room = _placed(submission.templated, submission.options), submission.limit
    if templates.size(templated.content) <= SMALL:
        with suppress(OutOfSteps):
            return _filled(submission, *composition.fill(templated, room, steps=QUICK))
    return _filled(submission, *await asyncio.to_thread(composition.fill, templated, room))


def _placed(templated: Templated, options: Options) -> Templated:
    """In list mail the place of the unsubscribe link outlives the filling of the template (SES: sending §6)."""
    if options.list_management is None:
        return templated
    return replace(templated, data={ATTRIBUTE: PLACE, **templated.data})


def _filled(submission: Submission, simple: Simple, failure: str) -> Submission:
    return replace(submission, simple=simple, failure=failure)


def _check_size(draft: Draft, grant: Grant) -> None:
    """The account's own limit may be smaller than the door's."""
    own = grant.region.message_bytes
    if own is not None and len(draft.message.content) > own:
        raise TooLarge("Message is too long.")


class Submissions:
    """The door."""

    def __init__(
        self,
        runtime: Runtime,
        lanes: Lanes,
        terms: Terms,
        limiter: quota.RateLimiter,
        fault: Callable[[str], bool] = _no_fault,
    ) -> None:
        self._runtime = runtime
        self._terms = terms
        self._limiter = limiter
        self._grants = Grants(runtime.db, runtime.clock)
        self._registrar = Registrar(runtime.blobs, runtime.vault, lanes, terms)
        self._fault = fault
        """Is this use of ``accept`` to fail (``/_mailstead/fault``)?"""

    async def submit(self, submission: Submission) -> str:
        """Take responsibility for a message; its MessageId.  When this returns, the message is on stable storage.

        Raises:
            TooLarge, Invalid, Closed, Paused, Denied, NotFound, Rejected, Throttled: why not, in SES's words.
            Unreachable: not now.
        """
        submission = await self._with_own_limit(await _rendered(submission))
        if _size(submission) > HEAVY:
            draft = await asyncio.to_thread(self._draft, submission)
        else:
            draft = self._draft(submission)
        grant = await self._admit(submission, draft)
        _check_size(draft, grant)
        self._take_rate(submission.caller, draft, grant)
        if self._fault("accept"):
            raise Unreachable("Temporary service failure: a fault was asked for")
        return await self._accept(submission, draft, grant)

    async def _with_own_limit(self, submission: Submission) -> Submission:
        """An account may have a larger limit than the door's; it is looked up for who needs it."""
        if _size(submission) <= submission.limit:
            return submission
        caller = submission.caller
        region = await self._runtime.db.read(lambda tx: accounts.find_region(tx, caller.account, caller.region))
        own = region.message_bytes if region is not None else None
        return submission if own is None else replace(submission, limit=max(own, submission.limit))

    def _draft(self, submission: Submission) -> Draft:
        content = submission.raw
        destinations: Sequence[str] | None = submission.destinations
        if submission.simple is not None:
            content = composition.build(
                submission.source or "",
                to=submission.to,
                cc=submission.cc,
                reply_to=submission.reply_to,
                simple=submission.simple,
                now=self._runtime.clock.now(),
            )
            destinations = (*submission.to, *submission.cc, *submission.bcc)
        return composition.draft(
            composition.read(content or b"", submission.limit, crlf=submission.crlf),
            source=submission.source,
            return_path=submission.return_path,
            destinations=destinations,
            options=submission.options,
        )

    async def _admit(self, submission: Submission, draft: Draft) -> Grant:
        caller = submission.caller
        action = "SendRawEmail" if submission.operation == "SMTP" else submission.operation
        template = submission.templated.name if submission.templated is not None else ""
        try:
            return await self._grants.admit(caller, draft, action=action, template=template)
        except NotFound as error:
            if error.kind != "account":
                raise
        # The account's first use of this region, or there is none.
        new = self._terms.new_account
        await self._runtime.db.run(lambda tx: accounts.ensure_region(tx, caller.account, caller.region, new))
        return await self._grants.admit(caller, draft, action=action, template=template)

    def _take_rate(self, caller: Caller, draft: Draft, grant: Grant) -> None:
        count, rate, now = len(draft.recipients), grant.region.max_rate, self._runtime.clock.now()
        self._limiter.take(caller.account, caller.region, rate, count, now)

    async def _accept(self, submission: Submission, draft: Draft, grant: Grant) -> str:
        now, prepare = self._runtime.clock.now(), self._registrar.prepare
        if grant.listing is not None and len(draft.message.content) > HEAVY:  # its texts are looked through
            acceptance = await asyncio.to_thread(prepare, submission, draft, grant, now)
        else:
            acceptance = prepare(submission, draft, grant, now)
        message = acceptance.message
        if acceptance.leaves:
            await self._runtime.blobs.put(message.blob, acceptance.content)
        try:
            await self._runtime.db.run(lambda tx: self._registrar.store(tx, submission, draft, acceptance))
        except Throttled:  # nothing was stored: an account over its quota must not fill the disk
            await self._runtime.blobs.delete(message.blob)
            raise
        for lane in self._registrar.lanes_of(acceptance):
            self._runtime.signal.wake(LANES, lane)
        count = len(acceptance.recipients)
        log.info("accepted %s account=%s recipients=%d size=%d", message.id, message.account, count, message.size)
        return message.id
