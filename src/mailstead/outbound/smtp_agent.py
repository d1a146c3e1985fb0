"""The network: takes parcels to mail servers over connections that a destination's parcels share.

A pool (``pool.py``) serves one list of hosts; pools of the same site share its pace. Here it is decided which pool a
parcel belongs to, and how a connection is opened.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from mailstead.base.clock import Clock
from mailstead.net.smtp import INTERNAL, ConnectFailed, Login, Place, SmtpConnection, Timeouts, connect
from mailstead.net.tls import client_context
from mailstead.outbound.agents import Attempt, Parcel, Route, Source
from mailstead.outbound.pacing import MAX_REMEMBERED, HostMemory, Pace, PacingSettings
from mailstead.outbound.pool import CLOSING, Pool
from mailstead.proto.smtp.reply import Reply

MAX_RECIPIENTS = 100  # of one transaction: RFC 5321 §4.5.3.1.8, what every server takes
MAX_PLACES = 8  # addresses tried for one connection

NO_HOSTS = Reply(451, "The route has no hosts", "4.4.4")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """How we go out."""

    hostname: str
    """For EHLO."""
    ca_file: str | None = None
    source_ip: str = ""
    """Leave from this address; empty: the system chooses."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    pacing: PacingSettings = field(default_factory=PacingSettings)


class SmtpAgent:
    """Takes parcels over the network. Needs a running loop."""

    def __init__(self, settings: SmtpSettings, clock: Clock) -> None:
        self.settings = settings
        self.memory = HostMemory(clock)
        self.closing = False
        self._clock = clock
        self._pools: dict[object, Pool] = {}
        self._paces: OrderedDict[str, Pace] = OrderedDict()
        self._sockets: set[SmtpConnection] = set()

    @property
    def pacing(self) -> PacingSettings:
        """How fast each site is served."""
        return self.settings.pacing

    async def attempt(self, route: Route, parcel: Parcel) -> Attempt:
        """Try once; the replies say what came of it. Never raises for what the other side does."""
        recipients = parcel.recipients
        refusal = route.refusal or (None if route.hosts else NO_HOSTS) or (CLOSING if self.closing else None)
        if refusal is not None or not recipients:
            return Attempt(dict.fromkeys(recipients, refusal or INTERNAL))
        pool = self._pool(route)
        if len(recipients) <= MAX_RECIPIENTS:
            return await pool.put(parcel)
        parts = [
            replace(parcel, recipients=recipients[start : start + MAX_RECIPIENTS])
            for start in range(0, len(recipients), MAX_RECIPIENTS)
        ]
        return _together(await asyncio.gather(*map(pool.put, parts)))

    async def close(self, grace: float) -> None:
        """Take nothing more, say QUIT where nothing is under way, wait ``grace`` seconds for the rest."""
        self.closing = True
        opening = [task for pool in list(self._pools.values()) for task in pool.close()]
        await self._until_gone(opening, grace)
        for connection in list(self._sockets):
            connection.abort()
        await self._until_gone([], 1)

    async def _until_gone(self, tasks: Iterable[asyncio.Future[None]], patience: float) -> None:
        left = [*tasks, *(connection.gone for connection in self._sockets)]
        if left:
            await asyncio.wait(left, timeout=patience)

    @property
    def connections(self) -> int:
        """Open connections."""
        return sum(len(pool.lines) for pool in self._pools.values())

    @property
    def pools(self) -> int:
        """Sites that are served or were a moment ago."""
        return len(self._pools)

    def _pool(self, route: Route) -> Pool:
        hosts = tuple((h.name, h.port) for h in route.hosts)
        key = (route.site, route.tls, route.username, route.password, route.source, hosts)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(self, key, self._pace(_seen_from(route, route.site)))
        pool.route = route
        return pool

    def _pace(self, site: str) -> Pace:
        pace = self._paces.get(site)
        if pace is None:
            pace = self._paces[site] = Pace(self.settings.pacing, self._clock)
            if len(self._paces) > MAX_REMEMBERED:
                self._paces.popitem(last=False)
        self._paces.move_to_end(site)
        return pace

    def watch(self, connection: SmtpConnection) -> None:
        """Know of it until its socket is free."""
        self._sockets.add(connection)
        connection.gone.add_done_callback(lambda _: self._sockets.discard(connection))

    def drop(self, pool: Pool) -> None:
        """Nobody needs this pool any more."""
        self._pools.pop(pool.key, None)

    # -- connecting

    async def open(self, route: Route) -> SmtpConnection:
        """A session with the first host that wants one.

        Raises:
            ConnectFailed: what the last one came to.
        """
        failure: ConnectFailed | None = None
        for place in self._places(route):
            address = _seen_from(route, place.address)
            known = self.memory.refusal(address, place.port)
            if known is not None:
                failure = failure or ConnectFailed("connect", known)
                continue
            try:
                connection = await self._connect(route, place)
            except ConnectFailed as error:
                failure = error
                if not error.reached:
                    self.memory.failed(address, place.port, error.reply)
                _log.info("smtp.no_session place=%s stage=%s reply=%s", place, error.stage, error.reply)
            else:
                self.memory.worked(address, place.port)
                return connection
        raise failure or ConnectFailed("connect", NO_HOSTS)

    def _places(self, route: Route) -> list[Place]:
        """In the order of the route, those that failed lately behind the others."""
        places = [
            Place(host.name, ip, host.port)
            for host in route.hosts
            for ip in host.addresses or (host.name,)
            if _reaches(route.source, ip)
        ]

        def is_bad(place: Place) -> bool:
            return self.memory.is_bad(_seen_from(route, place.address), place.port)

        return sorted(places, key=is_bad)[:MAX_PLACES]

    async def _connect(self, route: Route, place: Place) -> SmtpConnection:
        timeouts = self.settings.timeouts
        opportunistic = route.tls == "opportunistic"
        if opportunistic and self.memory.in_clear(place.address, place.port):
            return await connect(place, self._login(route, place, tls="none"), timeouts)
        try:
            return await connect(place, self._login(route, place, tls=route.tls), timeouts)
        except ConnectFailed as error:
            if not (opportunistic and error.broken_tls):
                raise
        self.memory.tls_broke(place.address, place.port)
        _log.info("smtp.in_clear place=%s reason=broken-tls", place)
        return await connect(place, self._login(route, place, tls="none"), timeouts)

    def _login(self, route: Route, place: Place, *, tls: str) -> Login:
        # Who gets our password must prove to be the one it is for.
        verify = bool(route.username) and tls in ("require", "implicit") and not _loopback(place.address)
        source = route.source or Source(self.settings.source_ip, self.settings.hostname)
        return Login(
            hostname=source.hostname,
            tls=tls,
            context=client_context(verify=verify, ca_file=self.settings.ca_file) if tls != "none" else None,
            username=route.username,
            password=route.password,
            source_ip=source.ip,
        )


def _seen_from(route: Route, name: str) -> str:
    """A site or an address as it is known where mail has a source of its own: servers judge each source for itself."""
    return f"{name} from {route.source.ip}" if route.source is not None else name


def _reaches(source: Source | None, address: str) -> bool:
    """Are both of one family?"""
    return source is None or (":" in source.ip) == (":" in address)


def _together(attempts: list[Attempt]) -> Attempt:
    replies = {recipient: reply for attempt in attempts for recipient, reply in attempt.replies.items()}
    best = next((attempt for attempt in attempts if attempt.reached), attempts[0])
    return replace(best, replies=replies)


def _loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
