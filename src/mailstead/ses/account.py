"""Accounts: who sends here, and what each may do in a region (sandbox, quota, switches, enforcement).

An account is made by the operator; its row for a region appears when it is first used there, with the quota that new
accounts get.  ``subscribed`` off is SES's "not subscribed"; ``closed`` is the operator's last word: no sending, reading
stays; ``SHUTDOWN`` is a pause by enforcement; the sending switch is the customer's own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from mailstead.base.errors import AlreadyExists, Conflict, Invalid, NotFound
from mailstead.store.port import Transaction

UNLIMITED = -1

HEALTHY = "HEALTHY"
PROBATION = "PROBATION"
SHUTDOWN = "SHUTDOWN"

REVIEW_PENDING, GRANTED, DENIED = "PENDING", "GRANTED", "DENIED"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What a new account gets in a region (``quota.new_account``)."""

    max_24h: int
    """Recipients a day; -1: no limit."""
    max_rate: float
    """Recipients a second; -1: no limit."""
    production: bool
    """False is the sandbox: verified recipients only."""
    make_account: bool = False
    """An account that does not exist is made with its first use of a region (``--dev``)."""


SANDBOX = NewAccount(200, 1, production=False)
PRODUCTION = NewAccount(50_000, 14, production=True)
WITHOUT_LIMITS = NewAccount(UNLIMITED, UNLIMITED, production=True)
NAMED = {"sandbox": SANDBOX, "production": PRODUCTION, "unlimited": WITHOUT_LIMITS}

_FIGURES = re.compile(r"(\d{1,12})(?:/day)?\s*[, ]\s*(\d{1,6}(?:\.\d{1,3})?)(?:/s)?")


def new_account(text: str) -> NewAccount:
    """The setting ``quota.new_account``: ``sandbox``, ``production``, ``unlimited``, or figures ``50000/day, 14/s``.

    Raises:
        Invalid: none of these.
    """
    if text in NAMED:
        return NAMED[text]
    figures = _FIGURES.fullmatch(text.strip())
    if figures is None:
        raise Invalid(f"{text!r} is none of sandbox, production, unlimited, or figures like 50000/day, 14/s")
    return NewAccount(int(figures[1]), float(figures[2]), production=True)


@dataclass(frozen=True, slots=True)
class Account:
    """An account, whatever the region."""

    id: str
    """12 digits."""
    subscribed: bool
    closed: bool
    created: int


@dataclass(frozen=True, slots=True)
class AccountRegion:
    """An account in one region."""

    account: str
    region: str
    sending_enabled: bool
    enforcement: str
    """``HEALTHY``, ``PROBATION`` (under review) or ``SHUTDOWN`` (paused)."""
    production_access: bool
    max_24h: int
    """-1: no limit."""
    max_rate: float
    message_bytes: int | None
    """The account's own limit of message size; None: the limit of the door."""
    created: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether an account may send, in one look."""

    subscribed: bool
    closed: bool
    region: AccountRegion
    suppressed_reasons: tuple[str, ...]
    """Reasons on its suppression list that keep mail back."""


@dataclass(frozen=True, slots=True)
class Details:
    """What an account says of itself when it asks for production access."""

    mail_type: str
    """``MARKETING`` or ``TRANSACTIONAL``."""
    website: str
    language: str = ""
    """``EN``, ``JA``, or empty."""
    use_case: str = ""
    contacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """How far a request for production access has come."""

    details: Details
    status: str
    """``PENDING``, ``GRANTED``, ``DENIED``, or empty: nothing was asked for."""
    case: str


@dataclass(frozen=True, slots=True)
class Attributes:
    """Which reasons put an address on the account's suppression list and keep mail from it."""

    suppressed_reasons: tuple[str, ...]
    validation: str = ""
    """``DISABLED``, or empty."""


def check_id(account: str) -> str:
    """The id, if it is one.

    Raises:
        Invalid: not 12 digits.
    """
    if len(account) != 12 or not (account.isascii() and account.isdigit()):
        raise Invalid(f"An account id is 12 digits, not {account!r}", kind="account")
    return account


async def create(tx: Transaction, account: str | None = None) -> Account:
    """Add an account, under the given id or a new one.

    Raises:
        Invalid: the id is not 12 digits.
        AlreadyExists: the id is taken.
    """
    chosen = check_id(account) if account else f"{secrets.randbelow(9 * 10**11) + 10**11}"
    made = await tx.run("INSERT INTO accounts (id, created) VALUES ($1, $2) ON CONFLICT DO NOTHING", chosen, tx.now())
    if not made:
        raise AlreadyExists(f"Account {chosen} already exists", kind="account")
    return await get(tx, chosen)


async def ensure(tx: Transaction, account: str) -> Account:
    """The account, made if it is not there (first start; unknown keys in ``--dev``)."""
    found = await find(tx, account)
    return found or await create(tx, account)


async def find(tx: Transaction, account: str) -> Account | None:
    """The account, or None."""
    row = await tx.row("SELECT id, subscribed, closed, created FROM accounts WHERE id = $1", account)
    return _account(row) if row else None


async def get(tx: Transaction, account: str) -> Account:
    """The account.

    Raises:
        NotFound: there is none of this id.
    """
    found = await find(tx, account)
    if found is None:
        raise NotFound(f"Account {account} does not exist", kind="account")
    return found


async def list_all(tx: Transaction) -> list[Account]:
    """All accounts, by id."""
    return [_account(row) for row in await tx.rows("SELECT id, subscribed, closed, created FROM accounts ORDER BY id")]


def _account(row: tuple[str, int, int, int]) -> Account:
    return Account(row[0], bool(row[1]), bool(row[2]), row[3])


async def close(tx: Transaction, account: str) -> None:
    """No sending from now on: AccountSuspendedException, SMTP 554; reading stays."""
    await _must(await tx.run("UPDATE accounts SET closed = 1 WHERE id = $1", account), account)


async def reopen(tx: Transaction, account: str) -> None:
    """Take a closing back."""
    await _must(await tx.run("UPDATE accounts SET closed = 0 WHERE id = $1", account), account)


async def subscribe(tx: Transaction, account: str, *, subscribed: bool) -> None:
    """Is the account subscribed to the service?"""
    await _must(await tx.run("UPDATE accounts SET subscribed = $2 WHERE id = $1", account, int(subscribed)), account)


async def _must(changed: int, account: str, region: str = "") -> None:
    if not changed:
        place = f" in {region}" if region else ""
        raise NotFound(f"Account {account} does not exist{place}", kind="account")


_REGION = (
    "SELECT account, region, sending_enabled, enforcement, production_access, max_24h, max_rate, message_bytes, created"
    " FROM account_regions WHERE account = $1"
)
_ONE_REGION = _REGION + " AND region = $2"


async def find_region(tx: Transaction, account: str, region: str) -> AccountRegion | None:
    """The account in this region, or None if it was never used there."""
    row = await tx.row(_ONE_REGION, account, region)
    return _account_region(row) if row else None


async def list_regions(tx: Transaction, account: str) -> list[AccountRegion]:
    """The regions an account was used in."""
    return [_account_region(row) for row in await tx.rows(_REGION + " ORDER BY region", account)]


def _account_region(row: tuple[str, str, int, str, int, int, float, int | None, int]) -> AccountRegion:
    account, region, sending, enforcement, production, max_24h, max_rate, message_bytes, created = row
    return AccountRegion(
        account, region, bool(sending), enforcement, bool(production), max_24h, max_rate, message_bytes, created
    )


async def standing(tx: Transaction, account: str, region: str) -> Standing | None:
    """All that a send has to know of its account; None: it does not exist, or was never used in this region."""
    row = await tx.row(_STANDING, account, region)
    if row is None:
        return None
    return Standing(bool(row[0]), bool(row[1]), _account_region(row[3:]), _reasons(row[2]))


_STANDING = (
    "SELECT a.subscribed, a.closed, r.suppressed_reasons_json, r.account, r.region, r.sending_enabled, r.enforcement,"
    " r.production_access, r.max_24h, r.max_rate, r.message_bytes, r.created FROM account_regions r"
    " JOIN accounts a ON a.id = r.account WHERE r.account = $1 AND r.region = $2"
)
_reasons = msgspec.json.Decoder(tuple[str, ...]).decode


async def ensure_region(tx: Transaction, account: str, region: str, defaults: NewAccount) -> AccountRegion:
    """The account in this region; a first use makes its row with the quota of new accounts.

    Raises:
        NotFound: there is no such account (and ``defaults`` do not say to make it).
    """
    found = await find_region(tx, account, region)
    if found is not None:
        return found
    await (ensure if defaults.make_account else get)(tx, account)
    await tx.run(
        "INSERT INTO account_regions (account, region, production_access, max_24h, max_rate, created)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        account,
        region,
        int(defaults.production),
        defaults.max_24h,
        float(defaults.max_rate),
        tx.now(),
    )
    made = await find_region(tx, account, region)
    assert made is not None
    return made


async def set_sending(tx: Transaction, account: str, region: str, *, enabled: bool) -> None:
    """The customer's own switch: off is AccountSendingPausedException.

    Raises:
        NotFound: the account was never used in this region (``ensure_region`` comes first); so for all below.
    """
    sql = "UPDATE account_regions SET sending_enabled = $3 WHERE account = $1 AND region = $2"
    await _must(await tx.run(sql, account, region, int(enabled)), account, region)


async def enforce(tx: Transaction, account: str, region: str, enforcement: str) -> None:
    """Set the state of enforcement: ``HEALTHY``, ``PROBATION`` or ``SHUTDOWN``."""
    if enforcement not in (HEALTHY, PROBATION, SHUTDOWN):
        raise Invalid(f"{enforcement!r} is none of HEALTHY, PROBATION, SHUTDOWN", kind="account")
    sql = "UPDATE account_regions SET enforcement = $3 WHERE account = $1 AND region = $2"
    await _must(await tx.run(sql, account, region, enforcement), account, region)


async def pause(tx: Transaction, account: str, region: str) -> None:
    """Pause by enforcement."""
    await enforce(tx, account, region, SHUTDOWN)


async def resume(tx: Transaction, account: str, region: str) -> None:
    """End a pause by enforcement."""
    await enforce(tx, account, region, HEALTHY)


async def review(tx: Transaction, account: str, region: str, *, granted: bool) -> None:
    """Answer a request for production access: granted never lowers a quota; denied takes it back to the sandbox.

    Without a request it is the operator's own will, and no review is told of.
    """
    quota = PRODUCTION if granted else SANDBOX
    changed = await tx.run(
        "UPDATE account_regions SET"
        " max_24h = CASE WHEN production_access = $3 OR ($3 = 1 AND (max_24h < 0 OR max_24h > $4)) THEN max_24h"
        " ELSE $4 END,"
        " max_rate = CASE WHEN production_access = $3 OR ($3 = 1 AND (max_rate < 0 OR max_rate > $5)) THEN max_rate"
        " ELSE $5 END,"
        " production_access = $3, review = CASE WHEN review = '' THEN review ELSE $6 END"
        " WHERE account = $1 AND region = $2",
        account,
        region,
        int(granted),
        quota.max_24h,
        float(quota.max_rate),
        GRANTED if granted else DENIED,
    )
    await _must(changed, account, region)


async def set_quota(tx: Transaction, account: str, region: str, *, max_24h: int, max_rate: float) -> None:
    """Set the limits by hand; -1: none."""
    sql = "UPDATE account_regions SET max_24h = $3, max_rate = $4 WHERE account = $1 AND region = $2"
    await _must(await tx.run(sql, account, region, max_24h, float(max_rate)), account, region)


async def set_message_bytes(tx: Transaction, account: str, region: str, limit: int | None) -> None:
    """The account's own limit of message size; None: the limit of the door."""
    sql = "UPDATE account_regions SET message_bytes = $3 WHERE account = $1 AND region = $2"
    await _must(await tx.run(sql, account, region, limit), account, region)


async def set_details(tx: Transaction, account: str, region: str, details: Details, *, request: bool) -> None:
    """Keep what an account says of itself; ``request``: it asks for production access, unless it has it.

    Raises:
        Conflict: an earlier request waits for its answer.
    """
    changed = await tx.run(
        "UPDATE account_regions SET details_json = $3,"
        " review = CASE WHEN $4 = 1 AND production_access = 0 THEN $5 ELSE review END,"
        " review_case = CASE WHEN $4 = 1 AND production_access = 0 THEN $6 ELSE review_case END"
        " WHERE account = $1 AND region = $2 AND review <> $5",
        account,
        region,
        msgspec.json.encode(details).decode(),
        int(request),
        REVIEW_PENDING,
        str(secrets.randbelow(9 * 10**11) + 10**11),
    )
    if not changed:
        await _must(int(await find_region(tx, account, region) is not None), account, region)
        raise Conflict("The account details cannot be changed while a review of them is pending.", kind="review")


async def review_of(tx: Transaction, account: str, region: str) -> Review | None:
    """What an account said of itself and how far its request has come; None: nothing yet."""
    sql = "SELECT details_json, review, review_case FROM account_regions WHERE account = $1 AND region = $2"
    row = await tx.row(sql, account, region)
    if row is None or not row[0]:
        return None
    return Review(msgspec.json.decode(row[0], type=Details), row[1], row[2])


async def set_suppression(
    tx: Transaction, account: str, region: str, *, reasons: Iterable[str] | None, validation: str | None = None
) -> None:
    """Which reasons put an address on the suppression list and keep mail from it; None stays as it is."""
    changed = await tx.run(
        "UPDATE account_regions SET suppressed_reasons_json = coalesce($3, suppressed_reasons_json),"
        " validation = coalesce($4, validation) WHERE account = $1 AND region = $2",
        account,
        region,
        None if reasons is None else msgspec.json.encode(sorted(set(reasons))).decode(),
        validation,
    )
    await _must(changed, account, region)


async def attributes(tx: Transaction, account: str, region: str) -> Attributes:
    """What was set by ``set_suppression``; a new account has both reasons."""
    sql = "SELECT suppressed_reasons_json, validation FROM account_regions WHERE account = $1 AND region = $2"
    row = await tx.row(sql, account, region)
    if row is None:
        raise NotFound(f"Account {account} does not exist in {region}", kind="account")
    return Attributes(_reasons(row[0]), row[1])
