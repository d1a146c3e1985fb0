"""Addresses: ends the wait for verification links that nobody opened, and forgets old ones (SES: sending §1.1)."""

from __future__ import annotations

import logging
from functools import partial

from mailstead.runtime import Runtime
from mailstead.ses import address_proofs, address_verification
from mailstead.worker import every

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between looks."""
BATCH = 100


async def give_up(runtime: Runtime) -> None:
    """Fail the addresses whose last link ran out; forget links that ended long ago."""
    now = runtime.clock.now()
    while await runtime.db.read(partial(address_proofs.any_over, now=now)):
        for account, region, name in await runtime.db.run(partial(address_verification.give_up, limit=BATCH)):
            log.info("identity account=%s region=%s of=%s status=FAILED", account, region, name.rpartition("@")[2])
    while await runtime.db.read(partial(address_proofs.any_old, now=now)):
        await runtime.db.run(partial(address_proofs.forget_old, limit=BATCH))


async def run(runtime: Runtime) -> None:
    """All of it, until cancelled."""
    await every(EVERY, "addresses", lambda: give_up(runtime))
