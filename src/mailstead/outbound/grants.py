"""Grants: what admission granted holds for the next message too, for half a second, while nothing but mail is written.

Accounts send many messages alike; to read their account, identities and configuration set anew for each takes longer
than all else that the door reads.  Refusals are not kept, nor what was granted in the sandbox, by a policy or
under other names.
"""

from __future__ import annotations

from dataclasses import replace

from mailstead.base.clock import Clock
from mailstead.outbound import admission
from mailstead.outbound.admission import Grant
from mailstead.outbound.composition import Draft
from mailstead.ses.principals import Caller
from mailstead.store.port import Database, Transaction

KEPT_SECONDS = 0.5
"""What another process changes is noticed after that at the latest; what this one changes, at once."""
MAX_KEPT = 1000
MAX_CLAIMS = 8

Key = tuple[str, ...]


class Grants:
    """Asks admission, or remembers what it said."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._kept: dict[Key, Grant] = {}
        self._edition = -1
        self._until = 0.0

    async def admit(self, caller: Caller, draft: Draft, *, action: str, template: str = "") -> Grant:
        """See ``admission.admit``, of which this is a shorter way to the same answer."""

        async def ask(tx: Transaction) -> Grant:
            return await admission.admit(tx, caller, draft, action=action, template=template)

        if not _usual(draft):
            return await self._db.read(ask)
        key, kept = _key(caller, draft, action, template), self._fresh()
        known = kept.get(key)
        if known is not None:
            suppressed = await self._db.read(lambda tx: admission.suppressed(tx, caller, draft, known.rule))
            return replace(known, suppressed=suppressed) if suppressed else known
        grant = await self._db.read(ask)
        if grant.region.production_access and not grant.by_policy:
            kept[key] = replace(grant, suppressed={})
        return grant

    def _fresh(self) -> dict[Key, Grant]:
        """What still holds.  Whoever reads for it while it ends writes into one that nobody asks any more."""
        now = self._clock.monotonic()
        if self._edition != self._db.edition or now >= self._until or len(self._kept) >= MAX_KEPT:
            self._kept, self._edition, self._until = {}, self._db.edition, now + KEPT_SECONDS
        return self._kept


def _usual(draft: Draft) -> bool:
    """Is what admission looks at, besides the database, in the key?"""
    asked = draft.options
    others = asked.source_arn or asked.from_arn or asked.return_path_arn or asked.list_management
    return not others and len(draft.claims) <= MAX_CLAIMS


def _key(caller: Caller, draft: Draft, action: str, template: str) -> Key:
    asked, names = draft.options, [claim.address for claim in draft.claims]
    # What a template is made of is no matter for who may send it, unless it is sent through a tenant.
    through = (asked.tenant, template) if asked.tenant else ("", "")
    chosen = asked.configuration_set or ""
    return (caller.account, caller.region, caller.arn, action, chosen, *through, draft.from_domain, *names)
