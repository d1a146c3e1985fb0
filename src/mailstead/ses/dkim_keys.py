"""DKIM keys: which private keys sign for a domain, and what its zone must publish (SES: sending §1.3).

Private keys are stored sealed under the master key.  The provider's own key has account and region ``''``.
Making an RSA key takes tenths of a second: ``generate`` belongs in a thread, before the transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mailstead.proto import dkim, dkim_keys
from mailstead.proto.dkim_keys import PrivateKey
from mailstead.store.port import Transaction
from mailstead.store.vault import Vault

BITS = {"RSA_1024_BIT": 1024, "RSA_2048_BIT": 2048}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is not stored yet."""

    selector: str
    algorithm: str
    """``rsa-sha256`` or ``ed25519-sha256``."""
    sealed: bytes
    public: str
    """The TXT record's text."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A stored key."""

    account: str
    region: str
    domain: str
    selector: str
    algorithm: str
    sealed: bytes
    public: str
    active: bool
    created: int


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a zone."""

    name: str
    type: str
    data: str
    """A CNAME's target, or the whole text of a TXT record, not yet cut into strings."""


def _context(account: str, region: str, domain: str, selector: str) -> str:
    return f"dkim_keys/{account}/{region}/{domain}/{selector}"


def seal(vault: Vault, account: str, region: str, domain: str, *, selector: str, private: PrivateKey) -> NewKey:
    """Make a private key ready to be stored for this place."""
    plain = dkim_keys.dump_key(private).encode()
    sealed = vault.seal(plain, _context(account, region, domain, selector))
    algorithm = dkim.DkimKey(domain, selector, private).algorithm
    return NewKey(selector, algorithm, sealed, dkim_keys.public_record(private))


def generate(vault: Vault, account: str, region: str, domain: str, *, selector: str, bits: int = 2048) -> NewKey:
    """Make an RSA key. Slow: tenths of a second."""
    return seal(vault, account, region, domain, selector=selector, private=dkim_keys.generate_rsa(bits))


def open_key(vault: Vault, key: SigningKey) -> dkim.DkimKey:
    """The key as the signer takes it."""
    plain = vault.open(key.sealed, _context(key.account, key.region, key.domain, key.selector))
    return dkim.DkimKey(key.domain, key.selector, dkim_keys.load_key(plain.decode(), trusted=True))


async def insert(tx: Transaction, account: str, region: str, domain: str, key: NewKey, *, active: bool = True) -> None:
    """Store a key, which signs from now on if it is active; the same selector again replaces it."""
    await tx.run(
        "INSERT INTO dkim_keys (account, region, domain, selector, algorithm, private, public, created, active)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (account, region, domain, selector) DO UPDATE SET"
        " algorithm = excluded.algorithm, private = excluded.private, public = excluded.public,"
        " active = excluded.active, created = excluded.created",
        account,
        region,
        domain,
        key.selector,
        key.algorithm,
        key.sealed,
        key.public,
        tx.now(),
        int(active),
    )


_SELECT = (
    "SELECT account, region, domain, selector, algorithm, private, public, active, created FROM dkim_keys"
    " WHERE account = $1 AND region = $2 AND domain = $3"
)
_ORDER = " ORDER BY created, selector"


def _key(row: tuple[str, str, str, str, str, bytes, str, int, int]) -> SigningKey:
    account, region, domain, selector, algorithm, sealed, public, active, created = row
    return SigningKey(account, region, domain, selector, algorithm, bytes(sealed), public, bool(active), created)


async def list_keys(tx: Transaction, account: str, region: str, domain: str) -> list[SigningKey]:
    """All keys of a domain, oldest first."""
    return [_key(row) for row in await tx.rows(_SELECT + _ORDER, account, region, domain)]


async def active(tx: Transaction, account: str, region: str, domain: str) -> list[SigningKey]:
    """The keys that sign for a domain: the newest RSA key first, then the newest Ed25519 key if there is one.

    RSA first: what cannot read Ed25519 (RFC 8463 §5.1) may look at the first signature only.
    """
    newest: dict[str, SigningKey] = {}
    for row in await tx.rows(_SELECT + " AND active = 1" + _ORDER, account, region, domain):
        newest[row[4]] = _key(row)
    return [newest[algorithm] for algorithm in ("rsa-sha256", "ed25519-sha256") if algorithm in newest]


async def provider_keys(tx: Transaction, domain: str) -> list[SigningKey]:
    """The keys of the provider's own signature."""
    return await active(tx, "", "", domain)


async def retire(tx: Transaction, account: str, region: str, domain: str, selector: str) -> bool:
    """Sign no more with this key; it stays, to be published while mail is under way. Was there one?"""
    sql = "UPDATE dkim_keys SET active = 0 WHERE account = $1 AND region = $2 AND domain = $3 AND selector = $4"
    return bool(await tx.run(sql, account, region, domain, selector))


async def promote(tx: Transaction, account: str, region: str, domain: str, selector: str) -> None:
    """Sign with this key and with none of the others of its sort; those stay, see ``retire``."""
    await tx.run(
        "UPDATE dkim_keys SET active = CASE WHEN selector = $4 THEN 1 ELSE 0 END"
        " WHERE account = $1 AND region = $2 AND domain = $3 AND algorithm = 'rsa-sha256'",
        account,
        region,
        domain,
        selector,
    )


async def forget_retired(tx: Transaction, account: str, region: str, domain: str) -> None:
    """Forget the keys that do not sign."""
    sql = "DELETE FROM dkim_keys WHERE account = $1 AND region = $2 AND domain = $3 AND active = 0"
    await tx.run(sql, account, region, domain)


async def delete_all(tx: Transaction, account: str, region: str, domain: str) -> int:
    """Forget every key of a domain."""
    sql = "DELETE FROM dkim_keys WHERE account = $1 AND region = $2 AND domain = $3"
    return await tx.run(sql, account, region, domain)


def key_records(keys: Iterable[SigningKey]) -> list[Record]:
    """The TXT records of keys, at ``SELECTOR._domainkey.DOMAIN`` (RFC 6376 §3.6.2.1)."""
    return [Record(f"{key.selector}._domainkey.{key.domain}", "TXT", key.public) for key in keys]


def easy_dkim_records(domain: str, tokens: Iterable[str], provider: str) -> list[Record]:
    """The CNAMEs of Easy DKIM, which point into the provider's zone."""
    return [Record(f"{token}._domainkey.{domain}", "CNAME", f"{token}.dkim.{provider}") for token in tokens]


def provider_zone_records(tokens: Iterable[str], keys: Iterable[SigningKey], provider: str) -> list[Record]:
    """What those CNAMEs point at: a token's key, or an empty one (RFC 6376 §3.6.1) where it has none yet."""
    known = {key.selector: key.public for key in keys}
    return [Record(f"{token}.dkim.{provider}", "TXT", known.get(token, "v=DKIM1; k=rsa; p=")) for token in tokens]
