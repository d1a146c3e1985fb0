"""``mailstead check``: looks for what is wrong before mail does, one line each: ok, warn or FAIL."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from mailstead.base.clock import SystemClock
from mailstead.base.errors import MailsteadError
from mailstead.cli.frame import Frame, common, in_json, in_transaction, printable
from mailstead.config import KEYS, Listen, Settings, running
from mailstead.net.dns import DnsResolver
from mailstead.proto.dns import Answer, DnsError
from mailstead.store.port import Transaction
from mailstead.store.vault import Vault

OK, WARN, FAIL = "ok", "warn", "FAIL"

LOW_SHARE, LOW_BYTES, FULL_BYTES = 0.05, 1 << 30, 100 << 20
RENEW = timedelta(days=14)
DNS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: str
    part: str
    text: str


@click.command("check")
@common
def command(frame: Frame) -> int:
    """Look for what is wrong: configuration, data, master key, certificates, ports, disk, DNS. Exit 1 if something is.

    \b
    mailstead check --config /etc/mailstead.toml
    """
    findings = list(_findings(frame))
    if frame.json:
        in_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.level:<5} {finding.part:<13} {printable(finding.text)}")
    return int(any(finding.level == FAIL for finding in findings))


def _findings(frame: Frame) -> Iterator[Finding]:
    try:
        settings = frame.settings()
    except MailsteadError as error:
        yield Finding(FAIL, "configuration", error.message)
        return
    looks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        _configuration, _data, _disk, _master_key, _database, _certificate, _ports, _links, _sources, _dns,
    )  # fmt: skip
    for look in looks:
        yield from look(settings)


# -- configuration and data --------------------------------------------------------------------------------------------


def _configuration(settings: Settings) -> Iterator[Finding]:
    yield Finding(OK, "configuration", f"{settings.config or 'no file'}; delivery.mode = {settings.delivery.mode}")
    for warning in settings.warnings:
        yield Finding(WARN, "configuration", warning)
    for key in settings.unused:
        yield Finding(WARN, "configuration", f"{key} is set, but not used yet")


def _data(settings: Settings) -> Iterator[Finding]:
    if not settings.data.exists():
        yield Finding(WARN, "data", f"{settings.data} does not exist yet: the first start makes it")
        return
    try:
        with tempfile.TemporaryFile(dir=settings.data):
            yield Finding(OK, "data", f"{settings.data} is writable")
    except OSError as error:
        yield Finding(FAIL, "data", f"{settings.data} is not writable: {error.strerror}")
    if settings.data.stat().st_mode & 0o007:
        yield Finding(WARN, "data", f"{settings.data} can be entered by everybody: chmod 700")


def _existing(path: Path) -> Path:
    """The path, or the nearest of its parents that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _disk(settings: Settings) -> Iterator[Finding]:
    usage = shutil.disk_usage(_existing(settings.data))
    text = f"{usage.free / (1 << 30):.1f} GiB free ({usage.free * 100 // max(usage.total, 1)} %)"
    low = usage.free < LOW_BYTES or usage.free < usage.total * LOW_SHARE
    yield Finding(FAIL if usage.free < FULL_BYTES else WARN if low else OK, "disk", text)


def _master_key(settings: Settings) -> Iterator[Finding]:
    place = settings.data / "master.key"
    try:
        if settings.secrets.master_key:
            Vault.from_text(settings.secrets.master_key)
            yield Finding(OK, "master key", "secrets.master_key")
        elif not place.exists():
            yield _no_master_key(settings, place)
        else:
            Vault.from_text(place.read_text())
            open_to_others = place.stat().st_mode & 0o077
            text = f"{place} can be read by others: chmod 600" if open_to_others else str(place)
            yield Finding(FAIL if open_to_others else OK, "master key", text)
    except MailsteadError as error:
        yield Finding(FAIL, "master key", error.message)
    except (OSError, UnicodeDecodeError) as error:
        yield Finding(FAIL, "master key", f"{place} cannot be read: {error}")


def _no_master_key(settings: Settings, place: Path) -> Finding:
    if _installed(settings):
        return Finding(FAIL, "master key", f"{place} is gone: what it sealed (secrets, signing keys) cannot be opened")
    return Finding(OK, "master key", "made at the first start")


def _installed(settings: Settings) -> bool:
    place = settings.storage.database
    return not place.startswith("sqlite:") or Path(place.removeprefix("sqlite:")).exists()


def _database(settings: Settings) -> Iterator[Finding]:
    kind = settings.storage.database.partition(":")[0]
    if not _installed(settings):
        yield Finding(OK, "database", f"{kind}; made at the first start")
        return
    if not settings.secrets.master_key and not (settings.data / "master.key").exists():
        return  # opening it would make another key

    async def count(tx: Transaction) -> int:
        return int(await tx.value("SELECT 1"))

    try:
        in_transaction(settings, count)
        yield Finding(OK, "database", f"{kind} answers")
    except MailsteadError as error:
        yield Finding(FAIL, "database", error.message)


# -- certificates and ports --------------------------------------------------------------------------------------------


def _certificate(settings: Settings) -> Iterator[Finding]:
    place = Path(settings.tls.certificate)
    if "tls.certificate" not in settings.given and not place.exists():
        yield Finding(OK, "certificate", "self-signed, made at the first start")
    else:
        yield _pair(place, settings.tls.key)
    if settings.tls.ca_file:
        try:
            ssl.create_default_context(cafile=settings.tls.ca_file)
            yield Finding(OK, "certificate", f"tls.ca_file {settings.tls.ca_file}")
        except OSError as error:
            yield Finding(FAIL, "certificate", f"tls.ca_file {settings.tls.ca_file}: {error}")


def _pair(certificate: Path, key: str) -> Finding:
    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        return Finding(FAIL, "certificate", f"{certificate} with {key}: {error}")
    left = ends - datetime.fromtimestamp(SystemClock().wall() / 1000, UTC)
    level = FAIL if left <= timedelta() else WARN if left < RENEW else OK
    return Finding(
        level, "certificate", f"{certificate} {'expired' if level == FAIL else 'is good until'} {ends:%Y-%m-%d}"
    )


def _ports(settings: Settings) -> Iterator[Finding]:
    server = running.read(settings.data)
    if server is not None:
        yield Finding(OK, "ports", f"a server runs here (process {server.pid})")
        return
    for key in KEYS.values():
        if key.section == "listen" and not key.unused:
            for address in getattr(settings.listen, key.attribute):
                yield _port(key.attribute, address)


def _links(settings: Settings) -> Iterator[Finding]:
    """Do links in mail lead to a place where those who get it can go?"""
    if settings.tracking.public_url:
        yield Finding(OK, "links", f"lead to {settings.tracking.public_url}")
    elif not settings.listen.tracking:
        yield Finding(
            WARN, "links", "listen.tracking is off and tracking.public_url not set: addresses get no verification mail"
        )
    elif settings.delivery.mode != "capture" and settings.listen.tracking[0].loopback:
        text = f"lead to {settings.listen.tracking[0]}, which is reached from this machine alone"
        yield Finding(WARN, "links", f"{text}: set tracking.public_url")
    else:
        yield Finding(OK, "links", f"lead to listen.tracking = {settings.listen.tracking[0]}")


def _sources(settings: Settings) -> Iterator[Finding]:
    from mailstead.outbound.routing import bindable

    for source in settings.delivery.sources:
        if bindable(source.address):
            yield Finding(OK, "sources", f"{source.address} is on this machine")
        else:
            yield Finding(WARN, "sources", f"{source.address} is not on this machine: mail that leaves from it waits")


def _port(name: str, address: Listen) -> Finding:
    where = f"{name} {address}"
    try:
        family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(place)
            one.listen(1)
        return Finding(OK, "ports", f"{where} is free")
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: "another program has it",
            errno.EACCES: "only root may take it (or CAP_NET_BIND_SERVICE)",
        }
        return Finding(FAIL, "ports", f"{where}: {reasons.get(error.errno or 0, os.strerror(error.errno or 0))}")


# -- DNS ---------------------------------------------------------------------------------------------------------------


def _dns(settings: Settings) -> Iterator[Finding]:
    server = None if settings.dns.resolver == "system" else settings.dns.resolver
    needed = settings.delivery.mode == "direct" or settings.verification == "dns"
    try:
        provider = settings.provider.domain if settings.provider.is_set else "example.com"
        found = asyncio.run(_ask(server, provider))
        yield Finding(OK, "dns", f"resolver {settings.dns.resolver} answers")
    except (DnsError, OSError, ValueError) as error:
        yield Finding(FAIL if needed else WARN, "dns", f"resolver {settings.dns.resolver}: {error}")
        return
    if not settings.provider.is_set:
        yield Finding(
            OK, "provider", "provider.domain is not set: no second signature, return paths at mailstead.invalid"
        )
    elif found.records:
        yield Finding(OK, "provider", f"{provider} has MX {', '.join(found.records)}")
    else:
        text = f"{provider} has no MX record: bounces cannot come back (mailstead dns records {provider})"
        yield Finding(WARN, "provider", text)


async def _ask(server: str | None, name: str) -> Answer:
    return await DnsResolver(server, SystemClock(), timeout=DNS_SECONDS).query(name, "MX")
