"""Sources: which address of this machine a message leaves from.

An account's mail leaves from the addresses of the pool that its configuration set names, else from those that it has in
no pool of its own; who has none shares what the system chooses.  Careful: an address that has gone from the machine
keeps its mail waiting, for to send it from elsewhere would spend another address's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from zlib import crc32

from mailstead.outbound.agents import Route, Source
from mailstead.outbound.routing import RELAY, bindable
from mailstead.proto.smtp.reply import Reply
from mailstead.runtime import Runtime
from mailstead.ses import dedicated_ips
from mailstead.store import spool

LOOK = 10.0
"""Seconds between looks whether this machine has an address."""

GONE = Reply(451, "No address of the pool is on this machine now", "4.3.5")
OTHER_FAMILY = Reply(451, "No address of the pool reaches the addresses of this destination", "4.4.4")


class Sources:
    """Chooses."""

    def __init__(self, runtime: Runtime, hostnames: Mapping[str, str]) -> None:
        self._runtime = runtime
        self._hostnames = hostnames
        """By address: what we call ourselves there.  Addresses that are not in it are not used."""
        self._looked: dict[str, tuple[float, bool]] = {}

    async def choose(self, message: spool.Message, route: Route) -> Route:
        """The route with the source that a message takes; with a refusal of 4xx where it has one and cannot now."""
        # A smarthost decides itself where mail leaves from, and may not be reached from there.
        by_mx = route.agent == "smtp" and not route.site.startswith(RELAY)
        if not self._hostnames or not by_mx or message.origin != "submission":
            return route
        assigned = await self._runtime.db.read(
            lambda tx: dedicated_ips.addresses_for(tx, message.account, message.region, message.configuration_set)
        )
        known = [ip for ip in assigned if ip in self._hostnames]
        if not known:
            return route
        families = {ip_address(ip).version for host in route.hosts for ip in host.addresses}
        fitting = [ip for ip in known if ip_address(ip).version in families]
        here = [ip for ip in fitting if self._is_here(ip)]
        # By message: a server that puts us off at first (greylisting) sees the same address again.
        chosen = here[crc32(message.id.encode()) % len(here)] if here else (fitting or known)[0]
        refusal = None if here else GONE if fitting else OTHER_FAMILY
        return replace(route, source=Source(chosen, self._hostnames[chosen]), refusal=refusal)

    def _is_here(self, ip: str) -> bool:
        now = self._runtime.clock.monotonic()
        looked = self._looked.get(ip)
        if looked is None or now - looked[0] >= LOOK:
            looked = self._looked[ip] = now, bindable(ip)
        return looked[1]
