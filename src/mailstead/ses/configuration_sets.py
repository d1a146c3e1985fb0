"""Configuration sets: named options of sending (SES: sending §3).

An option group that was never set is empty here; what counts then is said beside each.  Deleting a set takes its event
destinations and tags along; an identity that names it as its default goes on naming it, and sending as it fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import dedicated_ips, identities, tags, tenant_resources
from mailstead.store.port import Row, Transaction

MAX_SETS = 10_000  # SES: operations, limits
MAX_DELIVERY = (300, 50_400)
"""Seconds (SES: operations, limits)."""

OPTIONAL, REQUIRE = "OPTIONAL", "REQUIRE"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LIKE = re.compile(r"[%_!]")


@dataclass(frozen=True, slots=True)
class Delivery:
    """How its mail is delivered."""

    tls_policy: str = OPTIONAL
    """``REQUIRE``: not at all without TLS."""
    sending_pool: str = ""
    """Empty: none is named (ses/dedicated_ips.py)."""
    max_delivery: int | None = None
    """Seconds a delivery is tried for; None: as long as all mail."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where the links of its mail lead over."""

    redirect_domain: str = ""
    """Empty: our own."""
    https_policy: str = ""
    """``REQUIRE``, ``REQUIRE_OPEN_ONLY``, ``OPTIONAL``, or empty, which counts as the last."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """Whom its mail does not go to."""

    reasons: tuple[str, ...] | None = None
    """Entries of the account's list that count: ``BOUNCE``, ``COMPLAINT``; None: those the account says."""
    scope: str = ""
    validation: str = ""
    """``DISABLED``, or empty."""


@dataclass(frozen=True, slots=True)
class Vdm:
    """What insights it takes part in: ``ENABLED``, ``DISABLED``, or empty for what the account says."""

    engagement_metrics: str = ""
    shared_delivery: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """All option groups."""

    sending_enabled: bool = True
    reputation_metrics: bool = False
    fresh_start: int | None = None
    """When reputation began afresh: the last time sending was switched on again."""
    delivery: Delivery = Delivery()
    tracking: Tracking = Tracking()
    suppression: Suppression = Suppression()
    vdm: Vdm = Vdm()


DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class ConfigurationSet:
    """A configuration set of an account in a region."""

    name: str
    options: Options
    created: int


def arn_of(region: str, account: str, name: str) -> str:
    """``arn:aws:ses:REGION:ACCOUNT:configuration-set/NAME``."""
    return f"arn:aws:ses:{region}:{account}:{_resource(name)}"


def _resource(name: str) -> str:
    return tags.resource(tags.CONFIGURATION_SET, name)


def check_name(name: str) -> str:
    """The name, if it may be one.

    Raises:
        Invalid: it is not 1 to 64 letters, digits, ``_`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"Invalid configuration set name <{name[:256]}>: only alphanumeric ASCII characters, '_', and '-' are"
            " allowed, at most 64 of them.",
            kind="configuration-set",
        )
    return name


def missing(name: str) -> NotFound:
    """SES's word for a set that is not there; the angle brackets are its own (SES: wire §9)."""
    return NotFound(f"Configuration set <{name[:256]}> does not exist.", kind="configuration-set")


_COLUMNS = (
    "name, sending_enabled, reputation_metrics, fresh_start, tls_policy, sending_pool, max_delivery, redirect_domain,"
    " https_policy, suppressed_reasons_json, suppression_scope, validation, engagement_metrics, shared_delivery,"
    " created"
)
_ONE = f"SELECT {_COLUMNS} FROM configuration_sets WHERE account = $1 AND region = $2 AND name = $3"
_CHANGE = "UPDATE configuration_sets SET {} WHERE account = $1 AND region = $2 AND name = $3"

_reasons = msgspec.json.Decoder(tuple[str, ...]).decode


def _written(reasons: Iterable[str] | None) -> str | None:
    return None if reasons is None else msgspec.json.encode(sorted(set(reasons))).decode()


def _found(row: Row) -> ConfigurationSet:
    reasons = None if row[9] is None else _reasons(row[9])
    return ConfigurationSet(
        name=row[0],
        options=Options(
            sending_enabled=bool(row[1]),
            reputation_metrics=bool(row[2]),
            fresh_start=row[3],
            delivery=Delivery(row[4], row[5], row[6]),
            tracking=Tracking(row[7], row[8]),
            suppression=Suppression(reasons, row[10], row[11]),
            vdm=Vdm(row[12], row[13]),
        ),
        created=row[14],
    )


async def find(tx: Transaction, account: str, region: str, name: str) -> ConfigurationSet | None:
    """The set of this name, or None."""
    if not _NAME.fullmatch(name):
        return None
    row = await tx.row(_ONE, account, region, name)
    return _found(row) if row else None


async def get(tx: Transaction, account: str, region: str, name: str) -> ConfigurationSet:
    """The set.

    Raises:
        NotFound: there is none.
    """
    found = await find(tx, account, region, name)
    if found is None:
        raise missing(name)
    return found


async def hold(tx: Transaction, account: str, region: str, name: str) -> None:
    """Let nobody else delete the set, or add to it, until the transaction ends.

    Raises:
        NotFound: there is none.
    """
    await _change(tx, account, region, name, "created = created")


async def list_names(
    tx: Transaction, account: str, region: str, *, after: str = "", limit: int = 1000, contains: str = ""
) -> list[str]:
    """Names in order, those behind ``after``; with this in them, where given."""
    pattern = "%" + _LIKE.sub(r"!\g<0>", contains.lower()) + "%"
    rows = await tx.rows(
        "SELECT name FROM configuration_sets WHERE account = $1 AND region = $2 AND name > $3"
        " AND lower(name) LIKE $4 ESCAPE '!' ORDER BY name LIMIT $5",
        account,
        region,
        after,
        pattern,
        limit,
    )
    return [str(row[0]) for row in rows]


async def create(tx: Transaction, account: str, region: str, name: str, options: Options = DEFAULTS) -> None:
    """Add a set.

    Raises:
        Invalid: the name, or an option that may not be so.
        AlreadyExists: it is there.
        LimitExceeded: the account has 10,000.
    """
    check_name(name)
    await _check_delivery(tx, account, region, options.delivery)
    await _check_tracking(tx, account, region, options.tracking)
    count = await tx.value(
        "SELECT count(*) FROM configuration_sets WHERE account = $1 AND region = $2", account, region
    )
    if count >= MAX_SETS:
        raise LimitExceeded(f"An account has at most {MAX_SETS} configuration sets.", kind="configuration-set")
    made = await tx.run(
        f"INSERT INTO configuration_sets (account, region, {_COLUMNS})"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING",
        account,
        region,
        name,
        int(options.sending_enabled),
        int(options.reputation_metrics),
        options.fresh_start,
        options.delivery.tls_policy,
        options.delivery.sending_pool,
        options.delivery.max_delivery,
        options.tracking.redirect_domain,
        options.tracking.https_policy,
        _written(options.suppression.reasons),
        options.suppression.scope,
        options.suppression.validation,
        options.vdm.engagement_metrics,
        options.vdm.shared_delivery,
        tx.now(),
    )
    if not made:
        raise AlreadyExists(f"Configuration set <{name}> already exists.", kind="configuration-set")


async def delete(tx: Transaction, account: str, region: str, name: str) -> None:
    """Forget a set, its event destinations and its tags.

    Raises:
        NotFound: there is none.
        Invalid: a tenant may use it.
    """
    sql = "DELETE FROM configuration_sets WHERE account = $1 AND region = $2 AND name = $3"
    if not _NAME.fullmatch(name) or not await tx.run(sql, account, region, name):
        raise missing(name)
    await tenant_resources.check_free(tx, account, region, _resource(name))
    sql = "DELETE FROM event_destinations WHERE account = $1 AND region = $2 AND configuration_set = $3"
    await tx.run(sql, account, region, name)
    await tags.forget(tx, account, region, _resource(name))


async def _change(tx: Transaction, account: str, region: str, name: str, what: str, *values: object) -> None:
    """Set columns of a set; the values begin at ``$4``."""
    if not _NAME.fullmatch(name) or not await tx.run(_CHANGE.format(what), account, region, name, *values):
        raise missing(name)


async def set_sending(tx: Transaction, account: str, region: str, name: str, *, enabled: bool) -> None:
    """Switch sending with a set; switching it on again begins its reputation afresh.

    Raises:
        NotFound: there is none; so for all below.
    """
    fresh = "fresh_start = CASE WHEN sending_enabled = 0 AND $4 = 1 THEN $5 ELSE fresh_start END"
    await _change(tx, account, region, name, f"{fresh}, sending_enabled = $4", int(enabled), tx.now())


async def set_reputation_metrics(tx: Transaction, account: str, region: str, name: str, *, enabled: bool) -> None:
    """Are bounces and complaints counted for the set alone?"""
    await _change(tx, account, region, name, "reputation_metrics = $4", int(enabled))


async def set_delivery(tx: Transaction, account: str, region: str, name: str, delivery: Delivery) -> None:
    """Replace the delivery options.

    Raises:
        Invalid: a pool that is not there, a time out of its range.
    """
    await get(tx, account, region, name)
    await _check_delivery(tx, account, region, delivery)
    what = "tls_policy = $4, sending_pool = $5, max_delivery = $6"
    values = (delivery.tls_policy, delivery.sending_pool, delivery.max_delivery)
    await _change(tx, account, region, name, what, *values)


async def set_tls_policy(tx: Transaction, account: str, region: str, name: str, policy: str) -> None:
    """Replace the TLS policy alone (v1 knows of nothing else)."""
    await _change(tx, account, region, name, "tls_policy = $4", policy)


async def _check_delivery(tx: Transaction, account: str, region: str, delivery: Delivery) -> None:
    """A pool is there, a time is in its range."""
    pool = delivery.sending_pool
    if pool and not await dedicated_ips.usable(tx, account, region, pool):
        raise Invalid(no_sending_pool(pool), kind="delivery-options")
    least, most = MAX_DELIVERY
    if delivery.max_delivery is not None and not least <= delivery.max_delivery <= most:
        raise Invalid(f"MaxDeliverySeconds must be between {least} and {most}.", kind="delivery-options")


def no_sending_pool(name: str) -> str:
    """SES's word for a pool of a configuration set that is not there; the angle brackets are its own."""
    return f"SendingPool <{name[:256]}> doesn't exist"


async def set_tracking(
    tx: Transaction, account: str, region: str, name: str, tracking: Tracking, *, exists: bool | None = None
) -> None:
    """Replace the tracking options; an empty domain is our own.

    Args:
        exists: True: there must be a domain already, False: there must be none (v1 tells create from update).

    Raises:
        AlreadyExists, NotFound: it is otherwise.
        Invalid: the domain is none that the account has verified.
    """
    found = await get(tx, account, region, name)
    if exists is not None:
        _check_exists(found, wanted=exists)
    await _check_tracking(tx, account, region, tracking)
    what = "redirect_domain = $4, https_policy = $5"
    await _change(tx, account, region, name, what, tracking.redirect_domain, tracking.https_policy)


async def clear_tracking(tx: Transaction, account: str, region: str, name: str) -> None:
    """Take the tracking options away.

    Raises:
        NotFound: there is no such set, or it has none.
    """
    _check_exists(await get(tx, account, region, name), wanted=True)
    await _change(tx, account, region, name, "redirect_domain = '', https_policy = ''")


def _check_exists(found: ConfigurationSet, *, wanted: bool) -> None:
    there = bool(found.options.tracking.redirect_domain)
    if there and not wanted:
        raise AlreadyExists(f"Configuration set <{found.name}> already has tracking options.", kind="tracking-options")
    if wanted and not there:
        raise NotFound(f"Configuration set <{found.name}> has no tracking options.", kind="tracking-options")


async def _check_tracking(tx: Transaction, account: str, region: str, tracking: Tracking) -> None:
    """A redirect domain is one that the account has verified, or below one (SES: sending §3)."""
    domain = tracking.redirect_domain
    if not domain:
        return
    try:
        known = "@" not in domain and await identities.covering(tx, account, region, identities.normalise(domain))
    except Invalid:
        known = False
    if not known:
        raise Invalid(f"Custom redirect domain <{domain[:256]}> is not verified.", kind="tracking-options")


async def set_suppression(tx: Transaction, account: str, region: str, name: str, suppression: Suppression) -> None:
    """Replace the suppression options."""
    what = "suppressed_reasons_json = $4, suppression_scope = $5, validation = $6"
    values = (_written(suppression.reasons), suppression.scope, suppression.validation)
    await _change(tx, account, region, name, what, *values)


async def set_vdm(tx: Transaction, account: str, region: str, name: str, vdm: Vdm) -> None:
    """Replace the options of insights."""
    what = "engagement_metrics = $4, shared_delivery = $5"
    await _change(tx, account, region, name, what, vdm.engagement_metrics, vdm.shared_delivery)
