"""Parts: what a server is made of, built in order and wired by hand; each starts when all it needs is there."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address

from mailstead.app import first_start, health, jobs, pages
from mailstead.app.house import House
from mailstead.aws import dev, job_files, operations
from mailstead.aws.gateway import Gateway
from mailstead.aws.handlers import Known, PlainHandler
from mailstead.base.clock import SECOND, SystemClock
from mailstead.config import Listen
from mailstead.inbound.agent import LocalAgent
from mailstead.inbound.processing import Processing
from mailstead.inbound.reception import Reception
from mailstead.inbound.recipients import Places
from mailstead.net import tls
from mailstead.net.smtp import Timeouts
from mailstead.outbound.agents import Agent
from mailstead.outbound.capture import CaptureAgent
from mailstead.outbound.composition import provider_host
from mailstead.outbound.delivery import Deliveries
from mailstead.outbound.handed_in import Terms
from mailstead.outbound.notices import Office
from mailstead.outbound.pacing import PacingSettings
from mailstead.outbound.routing import Router, RoutingSettings
from mailstead.outbound.scheduler import Scheduler
from mailstead.outbound.settlement import Settlement
from mailstead.outbound.signing import Signing
from mailstead.outbound.simulator import SimulatorAgent
from mailstead.outbound.smtp_agent import SmtpAgent, SmtpSettings
from mailstead.outbound.sources import Sources
from mailstead.outbound.submission import Submissions
from mailstead.outbound.verification_mail import NO_PLACE, Links, VerificationMail
from mailstead.runtime import Runtime
from mailstead.servers.http import HttpServer, Place
from mailstead.servers.mx import MxSettings, Receiving
from mailstead.servers.smtp import SmtpServer
from mailstead.servers.submission import SubmissionSettings, Submitting, Trusted
from mailstead.servers.tracking import KEEP_ALIVE, Tracking
from mailstead.ses import credentials, quota
from mailstead.ses.account import NewAccount
from mailstead.upkeep import addresses, retention
from mailstead.upkeep.verification import Ours, Verification
from mailstead.worker import every, keep_alive

log = logging.getLogger(__name__)

CERTIFICATES = 60.0
"""Seconds between looks at the certificate's files."""


@dataclass(slots=True)
class Fault:
    """A part that was told to fail so many times (``/_mailstead/fault``)."""

    left: int = 0

    def fail_next(self, count: int) -> None:
        """Let the next ``count`` uses fail."""
        self.left = count

    def due(self) -> bool:
        """Does this use fail?"""
        if self.left <= 0:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class Faults:
    """The doors' own faults; storage and DNS have theirs."""

    doors: dict[str, Fault] = field(default_factory=lambda: {"auth": Fault(), "receive": Fault(), "accept": Fault()})

    def due(self, part: str) -> bool:
        """Does this use of the part fail?"""
        fault = self.doors.get(part)
        return fault is not None and fault.due()


async def start(house: House) -> None:
    """Build and start everything this process plays a role in."""
    settings, runtime = house.settings, house.runtime
    faults, own = Faults(), set[tuple[str, int]]()
    pair = first_start.certificate(runtime, settings, house.hostname)
    context = tls.server_context(*pair)
    places = _places(house)
    reception = Reception(runtime, house.hostname)
    router = _router(house, own)
    scheduler = await _delivery(house, router, LocalAgent(runtime, reception, places, house.hostname))
    limiter = quota.RateLimiter()
    submissions = _submissions(house, router, limiter, faults)
    house.run("certificates", every(CERTIFICATES, "certificates", partial(_renew, pair)))
    house.run("heartbeat", keep_alive(runtime.db, runtime.worker, house.register))
    _verification(house)
    jobs.start(house)
    await _submission(house, submissions, context, faults)
    await _mx(house, reception, places, context=context, faults=faults, own=own)
    await _tracking(house, context)  # before those who write links to it
    _say_if_no_links(house)
    await _api(house, router, submissions, context, _test_double(house, scheduler, limiter, faults))


async def _renew(pair: tuple[str, str]) -> None:
    """A certificate that was replaced on the disk is used for the next handshake."""
    tls.server_context(*pair)


# -- mail that leaves --------------------------------------------------------------------------------------------------


def _provider(house: House) -> str:
    """The provider's domain if the operator set one, else empty: then nobody signs for it."""
    return house.settings.provider.domain if house.settings.provider.is_set else ""


def _router(house: House, own: set[tuple[str, int]]) -> Router:
    settings = house.settings
    routing = RoutingSettings(
        mode=settings.delivery.mode,
        provider=settings.provider.domain,
        hosted=frozenset(hosted.domain for hosted in settings.hosted.domains),
        smarthost=settings.delivery.smarthost,
        port=settings.delivery.port,
        hostname=house.hostname,
        allow_private_hosts=settings.delivery.allow_private_hosts,
    )
    return Router(routing, house.runtime.dns, own, house.runtime.clock)


def _network(house: House) -> SmtpSettings:
    delivery = house.settings.delivery
    return SmtpSettings(
        hostname=house.hostname,
        ca_file=house.settings.tls.ca_file or None,
        timeouts=Timeouts.of(
            delivery.timeout_connect / SECOND, delivery.timeout_command / SECOND, delivery.timeout_final / SECOND
        ),
        pacing=PacingSettings(connections=delivery.connections, connection_messages=delivery.connection_messages),
    )


async def _delivery(house: House, router: Router, local: LocalAgent) -> Scheduler:
    settings, runtime = house.settings, house.runtime
    signing = Signing(runtime, _provider(house))
    smtp = SmtpAgent(_network(house), runtime.clock)
    agents: dict[str, Agent] = {
        "smtp": smtp,
        "local": local,
        "capture": CaptureAgent(runtime),
        "simulator": SimulatorAgent(),
    }
    retry_for = settings.delivery.retry_for
    office = Office(house.hostname, settings.provider.domain, retry_for)
    settlement = Settlement(runtime, office, router, signing.forget)
    sources = Sources(runtime, {source.address: source.hostname for source in settings.delivery.sources})
    deliveries = Deliveries(runtime, router, agents, signing, settlement, sources=sources)
    scheduler = Scheduler(runtime, deliveries)
    if house.plays("delivery"):
        house.run("deliveries", scheduler.run())
    if house.plays("upkeep"):
        house.run("upkeep", retention.run(runtime, deliveries, kept=settings.retention.messages))

    async def close(grace: float) -> None:
        await scheduler.stop(grace)
        await smtp.close(grace)
        await signing.close()

    house.closing.append(close)
    return scheduler


def _say_if_no_links(house: House) -> None:
    if house.settings.verification == "dns" and not pages.links(house):
        log.warning("no place for links: %s", NO_PLACE)


def _verification(house: House) -> None:
    """The duties that look at DNS for domains (not where they verify by themselves), and at links for addresses."""
    if house.plays("upkeep"):
        house.run("addresses", addresses.run(house.runtime))
    if house.plays("upkeep") and house.settings.verification == "dns":
        duty = Verification(house.runtime, Ours(house.settings.provider.domain, house.hostname))
        house.run("verification", duty.run())
        house.closing.append(duty.stop)


def _submissions(house: House, router: Router, limiter: quota.RateLimiter, faults: Faults) -> Submissions:
    settings = house.settings
    terms = Terms(
        provider=settings.provider.domain,
        retry_for=settings.delivery.retry_for,
        new_account=_new_account(house),
        keep_submitted=settings.dev.enabled,
        links=partial(pages.links, house),
    )
    return Submissions(house.runtime, router, terms, limiter, faults.due)


def _new_account(house: House) -> NewAccount:
    """What a first use gets; ``--dev`` makes accounts as they are named."""
    return replace(house.settings.quota.new_account, make_account=house.settings.dev.enabled)


# -- doors -------------------------------------------------------------------------------------------------------------


def _addresses(listens: Sequence[Listen]) -> list[tuple[str, int]]:
    return [(listen.host, listen.port) for listen in listens]


async def _begin(house: House, name: str, server: SmtpServer | HttpServer) -> list[str]:
    """Start a listener, note where it is, and let it be closed before what stands behind it."""
    at = await server.start()
    house.endpoints[name] = at[0] if len(at) == 1 else at
    house.closing.insert(0, server.stop)
    return at


async def _submission(house: House, submissions: Submissions, context: ssl.SSLContext, faults: Faults) -> None:
    settings = house.settings
    if not house.plays("submission"):
        return
    door = Submitting(
        house.runtime,
        submissions.submit,
        SubmissionSettings(
            hostname=house.hostname,
            regions=settings.regions,
            max_message=settings.limits.message_bytes,
            idle=settings.limits.submission_idle,
            connections=settings.limits.submission_connections,
            connections_per_account=settings.limits.submission_connections_per_account,
            connections_per_address=settings.limits.connections_per_address,
            trusted=tuple(Trusted(trusted.network, trusted.account) for trusted in settings.submission.trusted),
            sigv2=settings.submission.sigv2_passwords,
            open_door=settings.dev.account if settings.dev.enabled else "",
            bare_newline=settings.limits.bare_newline,
        ),
        fault=faults.due,
    ).door(context)
    for name, listens, implicit in (
        ("submission", settings.listen.submission, False),
        ("submissions", settings.listen.submissions, True),
    ):
        if listens:
            await _begin(house, name, SmtpServer(name, _addresses(listens), door, implicit=implicit))


def _places(house: House) -> Places:
    settings = house.settings
    domain = settings.provider.domain
    return Places(
        hosted={hosted.domain: hosted.account or first_start.FIRST_ACCOUNT for hosted in settings.hosted.domains},
        return_hosts=frozenset(provider_host(region, domain) for region in settings.regions),
        own=frozenset({house.hostname.lower()}),
        account=first_start.FIRST_ACCOUNT,
        region=settings.regions[0],
    )


async def _mx(
    house: House,
    reception: Reception,
    places: Places,
    *,
    context: ssl.SSLContext,
    faults: Faults,
    own: set[tuple[str, int]],
) -> None:
    settings, runtime = house.settings, house.runtime
    if not house.plays("mx"):
        return
    processing = Processing(runtime)
    house.run("arrivals", processing.run())
    house.closing.append(processing.stop)
    door = Receiving(
        runtime,
        reception,
        places,
        MxSettings(
            hostname=house.hostname,
            max_message=settings.limits.receive_bytes,
            idle=settings.limits.mx_idle,
            connections=settings.limits.mx_connections,
            connections_per_address=settings.limits.connections_per_address,
            bare_newline=settings.limits.bare_newline,
        ),
        fault=faults.due,
    ).door(context)
    if settings.listen.mx:
        at = await _begin(house, "mx", SmtpServer("mx", _addresses(settings.listen.mx), door))
        own.update(_own(at))


def _own(at: Sequence[str]) -> list[tuple[str, int]]:
    """Where we listen, as the router knows loops by."""
    found = []
    for text in at:
        host, _, port = text.rpartition(":")
        address = ip_address(host.strip("[]"))
        found.append((str(address), int(port)))
    return found


def _handlers(house: House, router: Router, submissions: Submissions) -> operations.Handlers:
    settings, runtime = house.settings, house.runtime
    mail = VerificationMail(
        runtime.blobs,
        runtime.signal,
        router,
        Links(pages.links(house)),
        provider=settings.provider.domain,
        retry_for=settings.delivery.retry_for,
    )
    services = operations.Services(
        runtime=house.runtime,
        door=submissions,
        verification_mail=mail,
        new_account=_new_account(house),
        provider=settings.provider.domain,
        auto_verify=settings.verification == "auto",
        v1_message_bytes=settings.limits.message_bytes,
        v2_message_bytes=settings.limits.v2_message_bytes,
        blocklists=settings.deliverability.blocklists,
    )
    return operations.build(services)


def handlers(house: House) -> operations.Handlers:
    """The API's operations without a server around them: what is sent waits in the spool for the next one."""
    router = _router(house, set())
    return _handlers(house, router, _submissions(house, router, quota.RateLimiter(), Faults()))


async def _tracking(house: House, context: ssl.SSLContext) -> None:
    settings = house.settings
    if not house.plays("tracking") or not settings.listen.tracking:
        return
    server = HttpServer(
        "tracking",
        Tracking(pages.pages(house)),
        [Place((listen.host, listen.port), listen.tls) for listen in settings.listen.tracking],
        tls=context,
        connections=settings.limits.tracking_connections,
        keep_alive=KEEP_ALIVE,
    )
    await _begin(house, "tracking", server)


Routes = dict[tuple[str, str], PlainHandler]


async def _api(house: House, router: Router, submissions: Submissions, context: ssl.SSLContext, routes: Routes) -> None:
    settings, runtime = house.settings, house.runtime
    if not house.plays("api") or not settings.listen.api:
        return

    async def caller_for(access_key: str, region: str) -> Known | None:
        found = await runtime.db.read(lambda tx: credentials.find(tx, access_key))
        if found is None or not found.active:
            return None
        return Known(credentials.caller(found, region), credentials.secret(runtime.vault, found))

    gateway = Gateway(
        _handlers(house, router, submissions),
        caller_for,
        clock=runtime.clock,
        regions=settings.regions,
        open_door=settings.dev.enabled,
        dev_account=settings.dev.account,
        routes={("GET", "/_mailstead/health"): health.route(house), ("GET", job_files.PATH): job_files.route(runtime)}
        | routes,
    )
    places = [Place((listen.host, listen.port), listen.tls) for listen in settings.listen.api]
    server = HttpServer("api", gateway, places, tls=context, connections=settings.limits.api_connections)
    await _begin(house, "api", server)


def _test_double(house: House, scheduler: Scheduler, limiter: quota.RateLimiter, faults: Faults) -> Routes:
    settings, runtime = house.settings, house.runtime
    if not settings.dev.enabled:
        return {}
    assert isinstance(runtime.clock, SystemClock)

    def moved() -> None:
        scheduler.loop.wake()

    parts: dict[str, dev.Failing] = {**faults.doors, **_storage_faults(runtime)}
    stage = dev.Stage(
        runtime=runtime,
        clock=runtime.clock,
        faults=parts,
        account=settings.dev.account,
        region=settings.regions[0],
        moved=moved,
        forget=limiter.forget,
    )
    return dev.routes(stage)


def _storage_faults(runtime: Runtime) -> dict[str, dev.Failing]:
    named = {"database": runtime.db, "blobs": runtime.blobs, "dns": runtime.dns}
    return {name: part for name, part in named.items() if isinstance(part, dev.Failing)}
