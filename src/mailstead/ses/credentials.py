"""Credentials: access keys of the API, and the SMTP passwords that follow from them (SES: smtp §3).

Secrets are stored sealed under the master key.  The SMTP user name is the access key; its password is derived from the
secret and the region, so the password says which region a session is for.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from mailstead.base.errors import AlreadyExists, Closed, Invalid, NotFound, Unreachable
from mailstead.proto.sigv4 import smtp_password, smtp_password_v2
from mailstead.ses import account as accounts
from mailstead.ses import principals
from mailstead.ses.principals import ROOT, Caller
from mailstead.store.port import Transaction
from mailstead.store.vault import Vault

NOT_SUBSCRIBED = "Account not subscribed to SES"

_KEY = re.compile(r"[A-Za-z0-9_]{4,128}")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key, its owner and its sealed secret."""

    access_key: str
    account: str
    name: str
    """The principal's name."""
    arn: str
    sealed: bytes
    active: bool
    subscribed: bool
    closed: bool
    policy_json: str
    created: int

    def __repr__(self) -> str:
        return f"Credential({self.access_key!r}, {self.account!r}, {self.name!r})"


def _context(access_key: str) -> str:
    return f"access_keys/{access_key}"


def new_access_key() -> str:
    """``AKIA`` and 16 characters of base32."""
    return "AKIA" + base64.b32encode(os.urandom(10)).decode()


def new_secret() -> str:
    """40 characters, as long and of the same letters as Amazon's."""
    return "".join(secrets.choice(_LETTERS) for _ in range(40))


async def create(
    tx: Transaction,
    vault: Vault,
    account: str,
    *,
    user: str = ROOT,
    access_key: str | None = None,
    secret: str | None = None,
) -> tuple[Credential, str]:
    """Make a key for an account (and its principal, if new); its secret is returned this once.

    Raises:
        NotFound: there is no such account.
        AlreadyExists: the access key is taken.
        Invalid: a given key or secret cannot be one.
    """
    key, plain = access_key or new_access_key(), secret or new_secret()
    _check(key, plain)
    await accounts.get(tx, account)
    principal = await principals.ensure(tx, account, user)
    made = await tx.run(
        "INSERT INTO access_keys (access_key, account, principal, secret, created) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        key,
        account,
        principal.name,
        vault.seal(plain.encode(), _context(key)),
        tx.now(),
    )
    if not made:
        raise AlreadyExists(f"Access key {key} already exists", kind="access-key")
    return await get(tx, key), plain


def _check(key: str, secret: str) -> None:
    if not _KEY.fullmatch(key):
        raise Invalid("An access key is 4 to 128 letters, digits or _", kind="access-key")
    if not (1 <= len(secret) <= 128 and secret.isascii() and secret.isprintable()):
        raise Invalid("A secret key is 1 to 128 printable ASCII characters", kind="access-key")


_SELECT = (
    "SELECT k.access_key, k.account, k.principal, p.arn, k.secret, k.active, a.subscribed, a.closed, p.policy_json,"
    " k.created FROM access_keys k JOIN principals p ON p.account = k.account AND p.name = k.principal"
    " JOIN accounts a ON a.id = k.account WHERE "
)
_BY_KEY = _SELECT + "k.access_key = $1"
_BY_ACCOUNT = _SELECT + "k.account = $1 ORDER BY k.created, k.access_key"


def _credential(row: tuple[str, str, str, str, bytes, int, int, int, str, int]) -> Credential:
    key, account, name, arn, sealed, active, subscribed, closed, policy, created = row
    return Credential(
        key, account, name, arn, bytes(sealed), bool(active), bool(subscribed), bool(closed), policy, created
    )


async def find(tx: Transaction, access_key: str) -> Credential | None:
    """The key, active or not, or None."""
    row = await tx.row(_BY_KEY, access_key)
    return _credential(row) if row else None


async def get(tx: Transaction, access_key: str) -> Credential:
    """The key.

    Raises:
        NotFound: there is none.
    """
    found = await find(tx, access_key)
    if found is None:
        raise NotFound(f"Access key {access_key} does not exist", kind="access-key")
    return found


async def list_all(tx: Transaction, account: str) -> list[Credential]:
    """The keys of an account, oldest first."""
    return [_credential(row) for row in await tx.rows(_BY_ACCOUNT, account)]


async def any_key(tx: Transaction) -> bool:
    """Is there a key at all, so a secret that the master key seals?"""
    return await tx.value("SELECT 1 FROM access_keys LIMIT 1") is not None


async def delete(tx: Transaction, access_key: str) -> None:
    """Forget a key.

    Raises:
        NotFound: there is none.
    """
    if not await tx.run("DELETE FROM access_keys WHERE access_key = $1", access_key):
        raise NotFound(f"Access key {access_key} does not exist", kind="access-key")


async def activate(tx: Transaction, access_key: str, *, active: bool) -> None:
    """Let a key work, or not.

    Raises:
        NotFound: there is none.
    """
    if not await tx.run("UPDATE access_keys SET active = $2 WHERE access_key = $1", access_key, int(active)):
        raise NotFound(f"Access key {access_key} does not exist", kind="access-key")


def secret(vault: Vault, credential: Credential) -> str:
    """The secret access key.

    Raises:
        Unreachable: it does not open. That is our fault, so no caller is told that the key is wrong.
    """
    try:
        return vault.open(credential.sealed, _context(credential.access_key)).decode()
    except Invalid as error:
        raise Unreachable(f"the secret of access key {credential.access_key} cannot be used: {error}") from None


def caller(credential: Credential, region: str) -> Caller:
    """Who acts with this key; the door adds where from and how."""
    return Caller(
        credential.account,
        region,
        credential.access_key,
        credential.arn,
        credential.name,
        policy="" if credential.name == ROOT else credential.policy_json,
    )


async def smtp_login(
    tx: Transaction,
    vault: Vault,
    username: str,
    password: str,
    regions: Sequence[str],
    *,
    sigv2: bool = False,
) -> Caller | None:
    """Check an SMTP user name and password; the caller's region is the one the password was derived for.

    Unknown and inactive keys cost what known ones cost, and every region is compared, so the time tells nothing.

    Args:
        sigv2: the old password form, which knows no region, is let in for the first region.

    Returns:
        Who it is, or None if the credentials are wrong.

    Raises:
        Closed: the password is right, but the account is not subscribed (kind ``not-subscribed``).
    """
    found = await find(tx, username) if _KEY.fullmatch(username) else None
    plain = _secret_or_dummy(vault, found)
    region = _matching_region(plain, password, regions, sigv2=sigv2)
    if found is None or not found.active or region is None:
        return None
    if not found.subscribed:
        raise Closed(NOT_SUBSCRIBED, kind="not-subscribed")
    return caller(found, region)


def _secret_or_dummy(vault: Vault, found: Credential | None) -> str:
    if found is not None:
        return secret(vault, found)
    vault.seal(b"0" * 40, "dummy")  # sealing takes as long as opening
    return "0" * 40


def _matching_region(plain: str, password: str, regions: Sequence[str], *, sigv2: bool) -> str | None:
    given = password.encode(errors="backslashreplace")
    matching = None
    expected = [(region, smtp_password(plain, region)) for region in regions]
    if sigv2 and regions:
        expected.append((regions[0], smtp_password_v2(plain)))
    for region, wanted in expected:  # no early exit
        if hmac.compare_digest(given, wanted.encode()):
            matching = region
    return matching
