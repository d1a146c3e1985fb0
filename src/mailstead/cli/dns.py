"""``mailstead dns``: what to publish, as lines of a zone file; and whether it is published (cli/dns_check.py)."""

from __future__ import annotations

from collections.abc import Iterable

import click

from mailstead.base.address import ascii_domain, is_domain
from mailstead.base.errors import Invalid, NotFound
from mailstead.cli.dns_check import check
from mailstead.cli.frame import Frame, common, in_json, in_transaction
from mailstead.config import KEYS, Settings
from mailstead.outbound.composition import provider_host
from mailstead.ses import account as accounts
from mailstead.ses import dkim_keys, identities, mail_from
from mailstead.ses.dkim_keys import Record
from mailstead.ses.identities import Identity
from mailstead.store.port import Transaction

TTL = 3600
PIECE = 255  # RFC 1035 §3.3


@click.group("dns")
def command() -> None:
    """What to publish in DNS, and whether it is."""


command.add_command(check)


@command.command("records")
@click.argument("domain", metavar="DOMAIN")
@common
def records(frame: Frame, domain: str) -> None:
    """The records that DOMAIN's zone needs, as lines of a zone file: of an identity, of a hosted domain, of our own.

    \b
    mailstead dns records example.com >> example.com.zone
    """
    settings, name = frame.settings(), ascii_domain(domain.rstrip("."))
    if not is_domain(name):
        raise Invalid(f"{domain} is not a domain")

    async def body(tx: Transaction) -> list[Record]:
        return [
            *await _of_identity(tx, settings, name),
            *await _of_provider(tx, settings, name),
            *_of_hosted(settings, name),
        ]

    found = list(dict.fromkeys(in_transaction(settings, body, new=True)))
    if not found:
        raise NotFound(
            f"{name} is no identity, hosted domain or provider.domain here (mailstead identity verify {name})"
        )
    if frame.json:
        in_json([{"name": record.name, "ttl": TTL, "type": record.type, "data": record.data} for record in found])
    else:
        print("\n".join(map(zone_line, found)))


def _served(settings: Settings) -> bool:
    """Do we serve the provider's zone, where CNAMEs would lead?"""
    return bool(settings.listen.dns) and not KEYS["listen.dns"].unused


async def _of_identity(tx: Transaction, settings: Settings, name: str) -> list[Record]:
    """DKIM (a TXT counts like the CNAME, which needs our own zone served), the token that proves it, MAIL FROM."""
    served, provider = _served(settings), settings.provider.domain
    found: list[Record] = []
    for account in await accounts.list_all(tx):
        for place in await accounts.list_regions(tx, account.id):
            identity = await identities.find(tx, account.id, place.region, name)
            if identity is not None:
                if served and identity.dkim_origin == identities.EASY_DKIM:
                    found += dkim_keys.easy_dkim_records(name, identity.dkim_tokens, provider)
                else:
                    found += dkim_keys.key_records(await dkim_keys.list_keys(tx, account.id, place.region, name))
                found.append(Record(f"_amazonses.{name}", "TXT", identity.token))
                found += _mail_from(settings, identity, served=served)
    return found


def _mail_from(settings: Settings, identity: Identity, *, served: bool) -> list[Record]:
    """Exactly one MX and an SPF record (SES: sending §1.4); without a zone of ours they name our host."""
    domain, provider, hostname = identity.mail_from_domain, settings.provider.domain, settings.server.hostname
    if not domain:
        return []
    host = mail_from.feedback_host(identity.region, provider) if served else hostname
    spf = f"include:{provider_host(identity.region, provider)}" if served else f"a:{hostname}"
    return [Record(domain, "MX", f"10 {host}"), Record(domain, "TXT", f"v=spf1 {spf} ~all")]


async def _of_provider(tx: Transaction, settings: Settings, name: str) -> list[Record]:
    if name != settings.provider.domain:
        return []
    found = dkim_keys.key_records(await dkim_keys.provider_keys(tx, name))
    for host in sorted({provider_host(region, name) for region in settings.regions}):
        found += [_mx(settings, host), Record(host, "TXT", f"v=spf1 a:{settings.server.hostname} ~all")]
    return found


def _of_hosted(settings: Settings, name: str) -> list[Record]:
    hosted = any(domain.domain == name for domain in settings.hosted.domains)
    return [_mx(settings, name)] if hosted else []


def _mx(settings: Settings, name: str) -> Record:
    return Record(name, "MX", f"10 {settings.server.hostname}")


def zone_line(record: Record) -> str:
    """``name TTL IN TYPE data``; a TXT in quoted pieces of at most 255 bytes."""
    data = _quoted(record.data) if record.type == "TXT" else f"{record.data}."
    return f"{record.name}. {TTL} IN {record.type} {data}"


def _quoted(text: str) -> str:
    return " ".join(f'"{piece}"' for piece in _pieces(text))


def _pieces(text: str) -> Iterable[str]:
    for start in range(0, max(len(text), 1), PIECE):
        yield text[start : start + PIECE].replace("\\", "\\\\").replace('"', '\\"')
