"""Verification: what DNS has to show of an identity, what follows from what it shows, when to look again.

SES: sending §1. A domain is proved by its ``_amazonses`` token or by the record of a DKIM key: the key that signs, or
the one that is to sign next; the places of the other Easy DKIM tokens may be empty. One timer an identity.

Careful: no answer is never "gone": only a definite answer takes anything away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from mailstead.base.clock import DAY, HOUR, MINUTE, SECOND
from mailstead.ses import dkim_keys, identities
from mailstead.ses.identities import (
    DOMAIN,
    EASY_DKIM,
    FAILED,
    PENDING,
    SUCCESS,
    TEMPORARY_FAILURE,
    USABLE,
    Identity,
)
from mailstead.store import work
from mailstead.store.port import Transaction

KIND = "identity"
QUICK, QUICK_FOR = 10 * SECOND, 10 * MINUTE
SLOWEST = 2 * HOUR
GRACE = 72 * HOUR
"""How long records may be missing: at first, or when they were there once."""
EVERY = DAY
"""Between looks at what is verified."""

_HERE = " WHERE account = $1 AND region = $2 AND name = $3"


class Verdict(Enum):
    """What a look at a zone brought."""

    FOUND = "found"
    GONE = "gone"
    """There is a definite answer, and it is not what it should be."""
    UNKNOWN = "unknown"
    """No answer could be had."""


NO_HOST, NO_TYPE, WRONG, NO_ANSWER = "HOST_NOT_FOUND", "TYPE_NOT_FOUND", "INVALID_VALUE", "DNS_SERVER_ERROR"
_TELLING = ("", NO_HOST, NO_TYPE, WRONG, NO_ANSWER)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one place of a zone."""

    verdict: Verdict
    error: str = ""
    """SES's ErrorType; empty if it was found."""
    seen: tuple[str, ...] = ()
    alias: bool = False
    """It is the CNAME that is right; whether there is a key behind it was not seen."""

    @property
    def found(self) -> bool:
        """Is it as it should be?"""
        return self.verdict is Verdict.FOUND


UNKNOWN = Look(Verdict.UNKNOWN, NO_ANSWER)


@dataclass(frozen=True, slots=True)
class Timer:
    """A check that was claimed."""

    id: str
    account: str
    region: str
    name: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to look for."""

    account: str
    region: str
    name: str
    token: str
    """At ``_amazonses.NAME``; empty for an address."""
    easy: bool
    """A CNAME to the provider's zone will do."""
    keys: tuple[tuple[str, str], ...]
    """Selector and public record of the key that signs, and of the one that is to."""
    coming: str
    """The selector of the latter; empty: there is none."""
    mail_from: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen."""

    token: Look = UNKNOWN
    keys: Mapping[str, Look] = field(default_factory=dict)
    mail_from: Look = UNKNOWN


@dataclass(frozen=True, slots=True)
class _Since:
    vouched: bool
    dkim_vouched: bool
    status: int
    dkim: int
    mail_from: int
    rotation: int


# -- timers ------------------------------------------------------------------------------------------------------------


async def watch(tx: Transaction, account: str, region: str, name: str) -> None:
    """Look at this identity now, and again as long as there is something to see."""
    await tx.run(
        "INSERT INTO timers (id, kind, account, region, subject, due) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (id) DO UPDATE SET due = excluded.due",
        identities.timer_of(account, region, name),
        KIND,
        account,
        region,
        name,
        tx.now(),
    )


async def watch_all(tx: Transaction) -> int:
    """Give a timer to every identity that should have one and has none; how many."""
    return await tx.run(
        "INSERT INTO timers (id, kind, account, region, subject, due)"
        " SELECT 'identity/' || account || '/' || region || '/' || name, $1, account, region, name, $2"
        " FROM identities WHERE mail_from_domain <> '' OR (kind = 'DOMAIN' AND (vouched = 0 OR dkim_vouched = 0))"
        " ON CONFLICT DO NOTHING",
        KIND,
        tx.now(),
    )


async def anything_due(tx: Transaction, now: int) -> bool:
    """Is there a check to do?"""
    sql = "SELECT 1 FROM timers WHERE due <= $1 AND worker IS NULL AND kind = $2 LIMIT 1"
    return await tx.value(sql, now, KIND) is not None


async def claim(tx: Transaction, *, worker: str, now: int, limit: int) -> list[Timer]:
    """Lease checks that are due."""
    rows = await work.claim(
        tx,
        "timers",
        worker=worker,
        now=now,
        limit=limit,
        where=f"kind = '{KIND}'",
        columns="id, account, region, subject, attempts",
    )
    return [Timer(*row) for row in rows]


# -- what to look for --------------------------------------------------------------------------------------------------


async def plan(tx: Transaction, account: str, region: str, name: str) -> Plan | None:
    """What to look for; None: the identity is gone."""
    found = await identities.find(tx, account, region, name)
    return await _plan(tx, found) if found else None


async def _plan(tx: Transaction, identity: Identity) -> Plan:
    place = (identity.account, identity.region, identity.name)
    coming = str(await tx.value("SELECT next_selector FROM identities" + _HERE, *place))
    keys = await dkim_keys.list_keys(tx, *place) if identity.kind == DOMAIN else []
    return Plan(
        *place,
        identity.token,
        identity.dkim_origin == EASY_DKIM,
        tuple((key.selector, key.public) for key in keys if key.active or key.selector == coming),
        coming,
        identity.mail_from_domain,
    )


# -- what follows ------------------------------------------------------------------------------------------------------


def after(state: str, since: int, look: Look, now: int) -> str:
    """The state that follows from a look."""
    if look.found:
        return SUCCESS
    if look.verdict is Verdict.UNKNOWN:
        return state
    if state == SUCCESS:
        return TEMPORARY_FAILURE
    if state in (PENDING, TEMPORARY_FAILURE) and now - since >= GRACE:
        return FAILED
    return state


def next_look(state: str, since: int, now: int) -> int | None:
    """When to look again at what is in this state since then; None: never."""
    if state == SUCCESS:
        return now + EVERY
    if state not in (PENDING, TEMPORARY_FAILURE):
        return None
    age = now - since
    if age < QUICK_FOR:
        return now + QUICK
    if age >= GRACE:  # nobody answers: no reason to give up, none to hurry
        return now + SLOWEST
    return min(now + min(age // 10, SLOWEST), since + GRACE)


def all_of(looks: Iterable[Look]) -> Look:
    """Everything must be found; else the look that tells most of why not."""
    return max(looks, key=lambda look: _TELLING.index(look.error))


def any_of(looks: Iterable[Look]) -> Look:
    """One of them is enough."""
    every = tuple(looks)
    return next((look for look in every if look.found), None) or all_of(every)


def _dkim(found: Plan, evidence: Evidence, status: str) -> tuple[str, Look]:
    """The selector that may sign from now on (empty: no change), and the look that decides on DKIM.

    In a rotation the new key itself must be seen: the old one is good as long as it is not.
    """
    looks = evidence.keys
    new = looks.get(found.coming, UNKNOWN) if found.coming else UNKNOWN
    if new.found and not (new.alias and status in USABLE):
        return found.coming, new
    if found.coming and status not in USABLE:
        return "", new
    signing = [look for selector, look in looks.items() if selector != found.coming]
    return "", all_of(signing) if signing else UNKNOWN


async def settle(tx: Transaction, timer: Timer, looked: Plan, evidence: Evidence) -> dict[str, str]:
    """Note what was seen, and when to look again; the states that changed: ``{"status": "SUCCESS"}``."""
    identity = await identities.hold(tx, timer.account, timer.region, timer.name)
    if identity is None:
        await work.done(tx, "timers", timer.id)
        return {}
    if await _plan(tx, identity) != looked:  # changed meanwhile: what was seen is about something else
        await work.again(tx, "timers", timer.id, tx.now(), "")
        return {}
    since, now = await _since(tx, identity), tx.now()
    token, domain = identity.token, any_of([evidence.token, *evidence.keys.values()])
    selector, dkim = _dkim(looked, evidence, identity.dkim_status)
    if selector:
        await identities.promote(tx, identity, selector)
    states = {
        "status": after(identity.status, since.status, domain, now) if token and not since.vouched else identity.status,
        "dkim_status": identity.dkim_status
        if since.dkim_vouched or not looked.keys
        else after(identity.dkim_status, since.dkim, dkim, now),
        "mail_from_status": after(identity.mail_from_status, since.mail_from, evidence.mail_from, now)
        if identity.mail_from_domain
        else "",
    }
    await identities.mark(tx, identity, error=domain.error if token else "", **states)
    due = _due(identity, await _since(tx, identity), states, coming=bool(looked.coming and not selector), now=now)
    if due is None:
        await work.done(tx, "timers", timer.id)
    else:
        await work.again(tx, "timers", timer.id, due, domain.error if token else evidence.mail_from.error)
    before = {
        "status": identity.status,
        "dkim_status": identity.dkim_status,
        "mail_from_status": identity.mail_from_status,
    }
    changed = {name: state for name, state in states.items() if state != before[name]}
    return changed | {"selector": selector} if selector else changed


async def _since(tx: Transaction, identity: Identity) -> _Since:
    row = await tx.row(
        "SELECT vouched, dkim_vouched, COALESCE(status_since, created), COALESCE(dkim_since, created),"
        " COALESCE(mail_from_since, created), COALESCE(key_length_changed, created) FROM identities" + _HERE,
        identity.account,
        identity.region,
        identity.name,
    )
    assert row is not None
    return _Since(bool(row[0]), bool(row[1]), *row[2:])


def _due(identity: Identity, since: _Since, states: Mapping[str, str], *, coming: bool, now: int) -> int | None:
    dues: list[int | None] = []
    if identity.token and not since.vouched:
        dues.append(next_look(states["status"], since.status, now))
    if identity.token and not since.dkim_vouched:
        dues.append(next_look(states["dkim_status"], since.dkim, now))
    if identity.mail_from_domain:
        dues.append(next_look(states["mail_from_status"], since.mail_from, now))
    if coming:
        dues.append(next_look(PENDING, since.rotation, now) if now - since.rotation < GRACE else now + EVERY)
    return min((due for due in dues if due is not None), default=None)
