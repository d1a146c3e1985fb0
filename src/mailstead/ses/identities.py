"""Identities: the addresses and domains an account has proved to be its own, and may send as (SES: sending §1).

Names are kept as they are compared: domains in lower case and A-labels, local parts as written.  A verified domain
covers its subdomains and every address below; a verified address covers ``local+label@domain``.  The deepest rules.

Domains get three Easy DKIM tokens.  Only the first has a key at once (making one takes tenths of a second); the keys of
the others are made when a rotation needs them.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from mailstead.base.address import ascii_domain, bare, check_address, is_domain
from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.base.ids import token32
from mailstead.proto.dkim_keys import load_key
from mailstead.ses import address_proofs, dkim_keys, notifications, recommendations, tags, tenant_resources
from mailstead.ses.dkim_keys import NewKey, SigningKey
from mailstead.store.port import Row, Transaction
from mailstead.store.vault import Vault

EMAIL_ADDRESS = "EMAIL_ADDRESS"
DOMAIN = "DOMAIN"

NOT_STARTED = "NOT_STARTED"
PENDING = "PENDING"
SUCCESS = "SUCCESS"
FAILED = "FAILED"
TEMPORARY_FAILURE = "TEMPORARY_FAILURE"

USABLE = (SUCCESS, TEMPORARY_FAILURE)
"""What is verified may be used; so may, for three days, what was and has lost its records (SES: sending §1)."""

MAX_IDENTITIES = 10_000  # SES: sending §1
MAX_LABELS = 20
"""Labels of a domain that are looked at for a covering identity."""

MAX_OWN_BITS = 2048  # SES: sending §1.3

EASY_DKIM = "AWS_SES"
OWN_KEY = "EXTERNAL"


@dataclass(frozen=True, slots=True)
class Identity:
    """An address or a domain of an account in a region."""

    account: str
    region: str
    name: str
    kind: str
    """``EMAIL_ADDRESS`` or ``DOMAIN``."""
    status: str
    """``PENDING``, ``SUCCESS``, ``FAILED``, ``TEMPORARY_FAILURE`` or ``NOT_STARTED``."""
    token: str
    """For ``_amazonses.DOMAIN TXT``; empty for addresses."""
    dkim_enabled: bool
    dkim_status: str
    dkim_origin: str
    """``AWS_SES`` (our keys) or ``EXTERNAL`` (the customer's)."""
    dkim_tokens: tuple[str, ...]
    dkim_key_length: str
    dkim_generated: int | None
    feedback_forwarding: bool
    configuration_set: str
    mail_from_domain: str
    mail_from_status: str
    mail_from_on_failure: str
    last_checked: int | None
    last_success: int | None
    check_error: str
    created: int
    dkim_off: bool
    """Of an address: it wants no signature, although its domain has one."""

    @property
    def verified(self) -> bool:
        """May the account send as this?"""
        return self.status in USABLE

    @property
    def arn(self) -> str:
        """``arn:aws:ses:REGION:ACCOUNT:identity/NAME``."""
        return arn_of(self.region, self.account, self.name)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs for a header From: the identity's domain (``d=``) and its keys."""

    domain: str
    keys: tuple[SigningKey, ...]


@dataclass(frozen=True, slots=True)
class DkimSetup:
    """The signing of a new domain: made before the transaction, since a key takes time."""

    tokens: tuple[str, ...]
    key: NewKey
    origin: str
    key_length: str


def timer_of(account: str, region: str, name: str) -> str:
    """The timer of its checks (ses/verification.py)."""
    return f"identity/{account}/{region}/{name}"


def arn_of(region: str, account: str, name: str) -> str:
    """The ARN of an identity."""
    return f"arn:aws:ses:{region}:{account}:identity/{name}"


def kind_of(name: str) -> str:
    """``EMAIL_ADDRESS`` if there is an at-sign, else ``DOMAIN``."""
    return EMAIL_ADDRESS if "@" in name else DOMAIN


def normalise(name: str) -> str:
    """The name as it is stored and compared.

    Raises:
        Invalid: neither an address nor a domain of two labels or more.
    """
    return _address(name) if "@" in name else _domain(name)


def _address(name: str) -> str:
    try:
        check_address(name)
    except Invalid:
        raise Invalid(f"Invalid email address<{name}>.", kind="identity") from None
    return bare(name)


def _domain(name: str) -> str:
    domain = ascii_domain(name) if name else ""
    # One label is a whole top-level domain: nobody's to verify.
    if "." not in domain or domain.startswith("[") or not is_domain(domain):
        raise Invalid(f"Invalid domain name: {name}", kind="identity")
    return domain


def easy_dkim(vault: Vault, account: str, region: str, domain: str, *, key_length: str = "RSA_2048_BIT") -> DkimSetup:
    """Three tokens, and a key for the first. Slow: tenths of a second."""
    tokens = (token32(), token32(), token32())
    key = dkim_keys.generate(vault, account, region, domain, selector=tokens[0], bits=dkim_keys.BITS[key_length])
    return DkimSetup(tokens, key, EASY_DKIM, key_length)


def own_key(vault: Vault, account: str, region: str, domain: str, *, selector: str, private: str) -> DkimSetup:
    """The customer's key (BYODKIM).

    Raises:
        Invalid: it cannot be read, or is not RSA of 1024 to 2048 bits (SES: sending §1.3).
    """
    loaded = load_key(private)
    if not isinstance(loaded, RSAPrivateKey) or loaded.key_size > MAX_OWN_BITS:
        raise Invalid(f"The private key must be RSA of 1024 to {MAX_OWN_BITS} bits", kind="identity")
    key = dkim_keys.seal(vault, account, region, domain, selector=selector, private=loaded)
    return DkimSetup((selector,), key, OWN_KEY, "")


_COLUMNS = (
    "account, region, name, kind, status, token, dkim_enabled, dkim_status, dkim_origin, dkim_tokens_json,"
    " dkim_key_length, dkim_generated, feedback_forwarding, configuration_set, mail_from_domain, mail_from_status,"
    " mail_from_on_failure, last_checked, last_success, check_error, created, dkim_off"
)
_ALL = f"SELECT {_COLUMNS} FROM identities WHERE account = $1 AND region = $2"
_ONE = _ALL + " AND name = $3"

_LIKE = re.compile(r"[%_!]")

_tokens = msgspec.json.Decoder(tuple[str, ...]).decode


def _identity(row: Row) -> Identity:
    values = [*row]
    values[6], values[9], values[12], values[21] = bool(row[6]), _tokens(row[9]), bool(row[12]), bool(row[21])
    return Identity(*values)


async def find(tx: Transaction, account: str, region: str, name: str) -> Identity | None:
    """The identity of this name (in its stored form), or None."""
    row = await tx.row(_ONE, account, region, name)
    return _identity(row) if row else None


async def get(tx: Transaction, account: str, region: str, name: str) -> Identity:
    """The identity.

    Raises:
        NotFound: there is none.
    """
    found = await find(tx, account, region, name)
    if found is None:
        raise NotFound(f"Email identity {name} does not exist.", kind="identity")
    return found


async def list_page(
    tx: Transaction,
    account: str,
    region: str,
    *,
    after: str = "",
    limit: int = 1000,
    kind: str = "",
    status: str = "",
    contains: str = "",
) -> list[Identity]:
    """Identities by name, those behind ``after``; of one kind or status, or with this in their name, where given."""
    conditions, args = ["name > $3"], [account, region, after]
    pattern = "%" + _LIKE.sub(r"!\g<0>", contains.lower()) + "%" if contains else ""
    for condition, wanted in (
        ("kind = ${}", kind),
        ("status = ${}", status),
        ("lower(name) LIKE ${} ESCAPE '!'", pattern),
    ):
        if wanted:
            args.append(wanted)
            conditions.append(condition.format(len(args)))
    sql = f"{_ALL} AND {' AND '.join(conditions)} ORDER BY name LIMIT ${len(args) + 1}"
    return [_identity(row) for row in await tx.rows(sql, *args, limit)]


async def create(
    tx: Transaction,
    account: str,
    region: str,
    name: str,
    *,
    verified: bool = False,
    dkim: DkimSetup | None = None,
    configuration_set: str = "",
) -> Identity:
    """Add an identity, to be verified.

    Args:
        name: as ``normalise`` gives it.
        verified: it is known to be the account's own (``verification = auto``).
        dkim: how a domain is signed.

    Raises:
        AlreadyExists: it is there.
        LimitExceeded: the account has 10,000.
    """
    await _room(tx, account, region)
    status = SUCCESS if verified else PENDING
    made = await tx.run(
        "INSERT INTO identities (account, region, name, kind, status, token, dkim_enabled, dkim_status, dkim_origin,"
        " dkim_tokens_json, dkim_key_length, dkim_generated, configuration_set, last_success, created, vouched,"
        " dkim_vouched) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
        " ON CONFLICT DO NOTHING",
        account,
        region,
        name,
        kind_of(name),
        status,
        base64.b64encode(os.urandom(32)).decode() if kind_of(name) == DOMAIN else "",
        int(dkim is not None),
        status if dkim else NOT_STARTED,
        dkim.origin if dkim else EASY_DKIM,
        msgspec.json.encode(dkim.tokens if dkim else ()).decode(),
        dkim.key_length if dkim else "RSA_2048_BIT",
        tx.now() if dkim and dkim.origin == EASY_DKIM else None,
        configuration_set,
        tx.now() if verified else None,
        tx.now(),
        int(verified),
        int(verified),
    )
    if not made:
        raise AlreadyExists(f"Email identity {name} already exist.", kind="identity")  # the missing s is SES's
    if dkim is not None:
        await dkim_keys.insert(tx, account, region, name, dkim.key)
    return await get(tx, account, region, name)


async def _room(tx: Transaction, account: str, region: str) -> None:
    count = await tx.value("SELECT count(*) FROM identities WHERE account = $1 AND region = $2", account, region)
    if count >= MAX_IDENTITIES:
        raise LimitExceeded(f"An account has at most {MAX_IDENTITIES} identities in a region.", kind="identity")


async def restart(tx: Transaction, account: str, region: str, name: str) -> None:
    """Ask for verification again: what failed or never began is pending, what is verified stays so."""
    await tx.run(
        "UPDATE identities SET status = $4, status_since = $7"
        " WHERE account = $1 AND region = $2 AND name = $3 AND status IN ($5, $6)",
        account,
        region,
        name,
        PENDING,
        FAILED,
        NOT_STARTED,
        tx.now(),
    )


async def vouch(tx: Transaction, account: str, region: str, name: str) -> Identity:
    """The operator says it is theirs: verified, and signed where it has a key, whatever DNS shows now or later.

    Raises:
        NotFound: there is none.
    """
    await tx.run(
        "UPDATE identities SET status = $4, status_since = $5, last_success = $5, check_error = '', vouched = 1,"
        " dkim_vouched = dkim_enabled, dkim_since = $5,"
        " dkim_status = CASE WHEN dkim_enabled = 1 THEN $4 ELSE dkim_status END"
        " WHERE account = $1 AND region = $2 AND name = $3",
        account,
        region,
        name,
        SUCCESS,
        tx.now(),
    )
    found = await get(tx, account, region, name)
    coming = await tx.value(
        "SELECT next_selector FROM identities WHERE account = $1 AND region = $2 AND name = $3", account, region, name
    )
    if coming:
        await promote(tx, found, coming)
    return found


async def promote(tx: Transaction, identity: Identity, selector: str) -> None:
    """The key that was to come (ses/dkim_changes.py) is there: it signs from now on, its predecessor no more."""
    await dkim_keys.promote(tx, identity.account, identity.region, identity.name, selector)
    await tx.run(
        "UPDATE identities SET dkim_key_length = CASE WHEN next_key_length = '' THEN dkim_key_length"
        " ELSE next_key_length END, next_selector = '', next_key_length = ''"
        " WHERE account = $1 AND region = $2 AND name = $3 AND next_selector = $4",
        identity.account,
        identity.region,
        identity.name,
        selector,
    )


async def hold(tx: Transaction, account: str, region: str, name: str) -> Identity | None:
    """The identity, which nobody else changes until the transaction ends."""
    where = "WHERE account = $1 AND region = $2 AND name = $3"
    row = await tx.row(f"UPDATE identities SET name = name {where} RETURNING {_COLUMNS}", account, region, name)
    return _identity(row) if row else None


async def mark(
    tx: Transaction,
    identity: Identity,
    *,
    status: str | None = None,
    dkim_status: str | None = None,
    mail_from_status: str | None = None,
    error: str = "",
) -> None:
    """Note what a check found (upkeep): the new states, or None for unchanged; ``error`` is SES's ErrorType."""
    good = SUCCESS in (status, dkim_status)
    await tx.run(
        "UPDATE identities SET status = $4, dkim_status = $5, mail_from_status = $6, last_checked = $7,"
        " status_since = CASE WHEN status = $4 THEN status_since ELSE $7 END,"
        " dkim_since = CASE WHEN dkim_status = $5 THEN dkim_since ELSE $7 END,"
        " mail_from_since = CASE WHEN mail_from_status = $6 THEN mail_from_since ELSE $7 END,"
        " last_success = $8, check_error = $9 WHERE account = $1 AND region = $2 AND name = $3",
        identity.account,
        identity.region,
        identity.name,
        status or identity.status,
        dkim_status or identity.dkim_status,
        mail_from_status or identity.mail_from_status,
        tx.now(),
        tx.now() if good else identity.last_success,
        error,
    )


async def delete(tx: Transaction, account: str, region: str, name: str) -> bool:
    """Forget an identity and all that belongs to it. Was there one?

    Raises:
        Invalid: a tenant may use it.
    """
    await dkim_keys.delete_all(tx, account, region, name)
    await notifications.forget(tx, account, region, name)
    await address_proofs.void(tx, account, region, name)
    await tx.run("DELETE FROM timers WHERE id = $1", timer_of(account, region, name))
    await tags.forget(tx, account, region, tags.resource(tags.IDENTITY, name))
    await recommendations.forget(tx, account, region, name)
    sql = "DELETE FROM identities WHERE account = $1 AND region = $2 AND name = $3"
    there = bool(await tx.run(sql, account, region, name))
    await tenant_resources.check_free(tx, account, region, tags.resource(tags.IDENTITY, name))
    return there


async def set_configuration_set(tx: Transaction, account: str, region: str, name: str, configuration_set: str) -> None:
    """The configuration set of mail that names none; empty: none."""
    sql = "UPDATE identities SET configuration_set = $4 WHERE account = $1 AND region = $2 AND name = $3"
    await tx.run(sql, account, region, name, configuration_set)


async def set_forwarding(tx: Transaction, account: str, region: str, name: str, *, enabled: bool) -> None:
    """Tell bounces and complaints by mail, or not."""
    sql = "UPDATE identities SET feedback_forwarding = $4 WHERE account = $1 AND region = $2 AND name = $3"
    await tx.run(sql, account, region, name, int(enabled))


def _domains(domain: str) -> list[str]:
    """A domain and the parents that may be identities, deepest first."""
    labels = domain.split(".")[-MAX_LABELS:]
    return [".".join(labels[i:]) for i in range(len(labels) - 1)]


def candidates(address: str) -> list[str]:
    """Names that would cover an address (or a domain), most specific first."""
    if "@" not in address:
        return _domains(ascii_domain(address))
    local, _, domain = address.rpartition("@")
    domain = ascii_domain(domain)
    names = [f"{local}@{domain}"]
    base, plus, _ = local.partition("+")
    if plus and base:
        names.append(f"{base}@{domain}")
    return names + _domains(domain)


@lru_cache(maxsize=64)
def _among(count: int, select: str) -> str:
    places = ", ".join(f"${n}" for n in range(3, count + 3))
    return f"{select} AND name IN ({places}) AND status IN ('SUCCESS', 'TEMPORARY_FAILURE')"


async def _found(tx: Transaction, account: str, region: str, names: Sequence[str], *, select: str) -> list[Row]:
    """The verified ones of these names, in the order of the names (the third column)."""
    rows = await tx.rows(_among(len(names), select), account, region, *names)
    return rows if len(rows) < 2 else sorted(rows, key=lambda row: names.index(row[2]))


async def covering(tx: Transaction, account: str, region: str, address: str) -> Identity | None:
    """The most specific verified identity of an address (or domain): what may send as it, and whose settings rule."""
    names = candidates(address)
    if not names:
        return None
    rows = await _found(tx, account, region, names, select=_ALL)
    return _identity(rows[0]) if rows else None


_SIGNS = (
    "SELECT account, region, name, dkim_enabled, dkim_status, EXISTS (SELECT 1 FROM dkim_keys WHERE active = 1"
    " AND dkim_keys.account = identities.account AND dkim_keys.region = identities.region AND domain = name)"
    " FROM identities WHERE account = $1 AND region = $2"
)


async def signing_domain(tx: Transaction, account: str, region: str, from_domain: str) -> str:
    """Which domain signs for a header From at this domain, empty for none: the deepest verified one with DKIM verified.

    ``a@sub.example.com`` below the identity ``example.com`` is signed ``d=example.com``, which DMARC takes as aligned
    (RFC 7489 §3.1.1).  A deeper domain whose DKIM is switched off means: no signature; one whose DKIM is not yet
    verified leaves it to its parent.  Empty also for what only an address identity covers: that is not DMARC-aligned.
    """
    names = _domains(ascii_domain(from_domain))
    if not names:
        return ""
    for _, _, name, enabled, status, has_key in await _found(tx, account, region, names, select=_SIGNS):
        if not enabled:
            return ""
        if status in USABLE:
            return name if has_key else ""
    return ""


async def signing_identity(tx: Transaction, account: str, region: str, from_domain: str) -> Signer | None:
    """The domain that ``signing_domain`` names, with its keys."""
    domain = await signing_domain(tx, account, region, from_domain)
    return Signer(domain, tuple(await dkim_keys.active(tx, account, region, domain))) if domain else None
