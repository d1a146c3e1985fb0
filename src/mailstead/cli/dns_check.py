"""``mailstead dns check``: what a zone shows against what it should show, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import click

from mailstead.base.address import ascii_domain, is_domain
from mailstead.base.errors import Invalid, NotFound
from mailstead.cli.frame import Frame, common, in_json, in_runtime, printable
from mailstead.config import Settings
from mailstead.outbound.composition import provider_host
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import dkim_keys, verification
from mailstead.ses.verification import WRONG, Look, Plan, Verdict
from mailstead.store.port import Transaction
from mailstead.upkeep import published
from mailstead.upkeep.published import Ask
from mailstead.upkeep.verification import Ours, asking

OK, MISSING, FALSE, UNKNOWN = "ok", "missing", "wrong", "unknown"
SHOWN = 100
"""Characters of a record in a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One place of a zone."""

    level: str
    name: str
    type: str
    wanted: str
    found: tuple[str, ...]
    note: str = ""
    needed: bool = True


def line(look: Look, name: str, kind: str, wanted: str, *, note: str = "", needed: bool = True) -> Line:
    """What a look says for people."""
    level = (
        OK if look.found else UNKNOWN if look.verdict is Verdict.UNKNOWN else FALSE if look.error == WRONG else MISSING
    )
    return Line(level, name, "CNAME" if look.alias else kind, wanted, look.seen, note, needed)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an installation wants of a domain."""

    plans: tuple[Plan, ...] = ()
    provider_keys: tuple[tuple[str, str], ...] = ()
    hosts: tuple[str, ...] = ()
    """Return-path hosts of ours: an MX and an SPF record each."""
    hosted: bool = False

    @property
    def nothing(self) -> bool:
        """Is the domain none of ours?"""
        return not (self.plans or self.hosts or self.hosted)


@click.command("check")
@click.argument("domain", metavar="DOMAIN")
@common
def check(frame: Frame, domain: str) -> int:
    """Compare what DNS shows of DOMAIN with what it should show: ok, missing, wrong, unknown. Exit 1 if one is not ok.

    \b
    mailstead dns check example.com
    """
    settings, name = frame.settings(), ascii_domain(domain.rstrip("."))
    if not is_domain(name):
        raise Invalid(f"{domain} is not a domain")

    async def work(runtime: Runtime) -> list[Line]:
        wanted = await runtime.db.run(lambda tx: _wanted(tx, settings, name))
        if wanted.nothing:
            raise NotFound(
                f"{name} is no identity, hosted domain or provider.domain here (mailstead identity verify {name})"
            )
        return list(dict.fromkeys(await _look(asking(runtime.dns), settings, name, wanted)))

    lines = in_runtime(settings, work)
    if frame.json:
        in_json([asdict(one) for one in lines])
    else:
        print("\n".join(map(_shown, lines)))
    return int(any(one.needed and one.level != OK for one in lines))


async def _wanted(tx: Transaction, settings: Settings, name: str) -> Wanted:
    plans: list[Plan] = []
    for account in await accounts.list_all(tx):
        for place in await accounts.list_regions(tx, account.id):
            found = await verification.plan(tx, account.id, place.region, name)
            plans += [found] if found else []
    hosted = any(domain.domain == name for domain in settings.hosted.domains)
    if name != settings.provider.domain:
        return Wanted(tuple(plans), hosted=hosted)
    keys = await dkim_keys.provider_keys(tx, name)
    hosts = sorted({provider_host(region, name) for region in settings.regions})
    return Wanted(tuple(plans), tuple((key.selector, key.public) for key in keys), tuple(hosts), hosted)


async def _look(ask: Ask, settings: Settings, name: str, wanted: Wanted) -> list[Line]:
    ours = Ours(settings.provider.domain, settings.server.hostname)
    lines = [one for plan in wanted.plans for one in await _identity(ask, ours, plan)]
    for selector, public in wanted.provider_keys:
        look = await published.key(ask, name, selector, public)
        lines.append(line(look, f"{selector}._domainkey.{name}", "TXT", public))
    hostname = settings.server.hostname.lower()
    for host in wanted.hosts:
        lines.append(await _mx(ask, host, (hostname,)))
        look = await published.spf(ask, host, (f"a:{hostname}",))
        lines.append(line(look, host, "TXT", f"v=spf1 a:{hostname} ~all"))
    if wanted.hosted and name not in wanted.hosts:
        lines.append(await _mx(ask, name, (hostname,), others=True))
    return lines


async def _identity(ask: Ask, ours: Ours, plan: Plan) -> list[Line]:
    lines: list[Line] = []
    for selector, public in plan.keys:
        lines += await _key(ask, ours, plan, selector, public)
    proved = any(one.level == OK for one in lines)
    note = "not needed: the DKIM key proves the domain" if proved else "or a DKIM key, which proves the domain too"
    token = await published.token(ask, plan.name, plan.token)
    lines.append(line(token, f"_amazonses.{plan.name}", "TXT", plan.token, note=note, needed=not proved))
    if plan.mail_from:
        lines.append(await _mx(ask, plan.mail_from, ours.exchanges(plan.region)))
        terms = ours.spf_terms(plan.region)
        spf = await published.spf(ask, plan.mail_from, terms)
        lines.append(line(spf, plan.mail_from, "TXT", f"v=spf1 {terms[0]} ~all", note=_or(terms[1:])))
    return lines


async def _key(ask: Ask, ours: Ours, plan: Plan, selector: str, public: str) -> list[Line]:
    """The record of a key; where there is a CNAME, also what is behind it, which receivers need."""
    name, target = f"{selector}._domainkey.{plan.name}", ours.target(selector)
    note = "the next key" if selector == plan.coming else ""
    look = await published.key(ask, plan.name, selector, public, target=target if plan.easy else "")
    lines = [line(look, name, "TXT", target if look.alias else public, note=note)]
    if look.alias:
        behind = await published.look(
            ask, target, "TXT", lambda texts: any(published.same_key(t, public) for t in texts)
        )
        lines.append(line(behind, target, "TXT", public, note="behind the CNAME"))
    return lines


async def _mx(ask: Ask, name: str, hosts: Sequence[str], *, others: bool = False) -> Line:
    """``others``: there may be further exchanges."""
    if others:
        wanted = {host.lower() for host in hosts}
        look = await published.look(ask, name, "MX", lambda seen: any(one.partition(" ")[2] in wanted for one in seen))
    else:
        look = await published.exchange(ask, name, hosts)
    return line(look, name, "MX", f"10 {hosts[0]}", note=_or(hosts[1:]))


def _or(others: Iterable[str]) -> str:
    return "".join(f"or {other} " for other in others).rstrip()


def _shown(one: Line) -> str:
    level = one.level if one.needed or one.level == OK else "-"
    text = f"{level:<8} {one.name} {one.type}"
    if one.level != OK:
        text += f"  should be {_short(one.wanted)}" + (f" ({one.note})" if one.note else "")
    if one.found:
        text += f"  is {' | '.join(map(_short, one.found))}"
    return printable(text)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
