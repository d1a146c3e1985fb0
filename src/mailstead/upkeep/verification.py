"""Verification: the duty that looks at DNS for identities, at first and ever after (SES: sending §1).

Questions about one identity go out one after the other: a customer whose name servers are dead takes one place.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from mailstead.base.clock import MINUTE
from mailstead.proto.dns import Resolver
from mailstead.runtime import Runtime
from mailstead.ses import identities, mail_from, recommendations, verification
from mailstead.ses.identities import DOMAIN, SUCCESS, Identity
from mailstead.ses.recommendations import DKIM, DMARC, NO_DKIM, NO_DMARC, NO_MAIL_FROM, NO_SPF, SPF, Finding
from mailstead.ses.verification import UNKNOWN, Evidence, Look, Plan, Timer, Verdict
from mailstead.store import work
from mailstead.store.port import Transaction
from mailstead.upkeep import published
from mailstead.upkeep.published import Ask
from mailstead.worker import Duty, Loop

log = logging.getLogger(__name__)

PLACES = 20
"""Identities looked at at once."""


@dataclass(frozen=True, slots=True)
class Ours:
    """How we are called in the zones of others."""

    provider: str
    hostname: str

    def target(self, selector: str) -> str:
        """Where the CNAME of an Easy DKIM token points to."""
        return f"{selector}.dkim.{self.provider}"

    def exchanges(self, region: str) -> tuple[str, ...]:
        """Names that the MX of a MAIL FROM domain may have; the first is SES's, the other needs no zone of ours."""
        return mail_from.feedback_host(region, self.provider), self.hostname.lower()

    def spf_terms(self, region: str) -> tuple[str, ...]:
        """Terms of an SPF record that mean us."""
        return f"include:{self.provider}", f"include:{region}.{self.provider}", f"a:{self.hostname.lower()}"


def asking(dns: Resolver) -> Ask:
    """Questions to this resolver, past what it remembers where it can do that: somebody waits for a change."""
    fresh: Ask | None = getattr(dns, "fresh", None)
    return fresh or dns.query


class Verification:
    """Runs the duty."""

    def __init__(self, runtime: Runtime, ours: Ours) -> None:
        self._runtime = runtime
        self._ours = ours
        self._begun = False
        self.loop: Loop[Timer] = Loop(Duty("verification", self._claim, self._do, self._failed, PLACES))

    async def run(self) -> None:
        """Work until ``stop``."""
        await self.loop.run()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; let what runs end within ``grace`` seconds."""
        await self.loop.stop(grace)

    async def _claim(self, places: int) -> list[Timer]:
        db, now = self._runtime.db, self._runtime.clock.now()
        if not self._begun:
            await db.run(verification.watch_all)
            self._begun = True
        if not await db.read(partial(verification.anything_due, now=now)):
            return []
        return await db.run(partial(verification.claim, worker=self._runtime.worker, now=now, limit=places))

    async def _do(self, timer: Timer) -> None:
        place = (timer.account, timer.region, timer.name)
        looked = await self._runtime.db.read(lambda tx: verification.plan(tx, *place))
        if looked is None:
            await self._runtime.db.run(lambda tx: work.done(tx, "timers", timer.id))
            return
        evidence = await see(asking(self._runtime.dns), self._ours, looked)

        async def body(tx: Transaction) -> dict[str, str]:
            return await verification.settle(tx, timer, looked, evidence)

        changed = await self._runtime.db.run(body)
        if changed:
            told = " ".join(f"{name}={value}" for name, value in changed.items())
            log.info("identity account=%s region=%s of=%s %s", *place[:2], timer.name.rpartition("@")[2], told)
        await self._recommend(place)

    async def _recommend(self, place: tuple[str, str, str]) -> None:
        """Note what a verified domain should do better."""
        known = await self._runtime.db.read(lambda tx: identities.find(tx, *place))
        if known is None or known.kind != DOMAIN or not known.verified:
            return
        seen = await published.dmarc(asking(self._runtime.dns), known.name)

        async def body(tx: Transaction) -> None:
            identity = await identities.hold(tx, *place)
            if identity is not None:
                await recommendations.note(tx, *place, findings(identity, seen))

        await self._runtime.db.run(body)

    async def _failed(self, timer: Timer, error: Exception) -> None:
        due = self._runtime.clock.now() + MINUTE
        await self._runtime.db.run(lambda tx: work.again(tx, "timers", timer.id, due, type(error).__name__))


async def see(ask: Ask, ours: Ours, plan: Plan) -> Evidence:
    """Look at everything the plan names."""
    token = await published.token(ask, plan.name, plan.token) if plan.token else UNKNOWN
    keys = {
        selector: await published.key(
            ask, plan.name, selector, public, target=ours.target(selector) if plan.easy else ""
        )
        for selector, public in plan.keys
    }
    if not plan.mail_from:
        return Evidence(token, keys)
    mx = await published.exchange(ask, plan.mail_from, ours.exchanges(plan.region))
    spf = await published.spf(ask, plan.mail_from, ours.spf_terms(plan.region))
    return Evidence(token, keys, verification.all_of([mx, spf]))


def findings(identity: Identity, dmarc: Look) -> dict[str, Finding | None]:
    """What of a verified domain should be otherwise, by type; what DNS cannot tell now is left out."""
    found: dict[str, Finding | None] = {DKIM: None if identity.dkim_status == SUCCESS else NO_DKIM}
    if not identity.mail_from_domain:
        found[SPF] = NO_MAIL_FROM
    else:
        found[SPF] = None if identity.mail_from_status == SUCCESS else NO_SPF
    if dmarc.verdict is not Verdict.UNKNOWN:
        found[DMARC] = None if dmarc.found else NO_DMARC
    return found
