"""First start: the account, key, credentials file, certificate and provider key that an installation begins with.

Every step looks first: a second start changes nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from mailstead.app.credentials_file import write_credentials
from mailstead.config import Settings
from mailstead.net import tls
from mailstead.proto.sigv4 import smtp_password
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import credentials, dkim_keys
from mailstead.store.port import Transaction

FIRST_ACCOUNT = "000000000000"


async def prepare(runtime: Runtime, settings: Settings) -> None:
    """Make what is missing."""
    await _account(runtime, settings)
    await _provider_key(runtime, settings)


async def _account(runtime: Runtime, settings: Settings) -> None:
    """Account 000000000000 with one key, told in ``DIR/credentials``, if there is no account at all."""
    place = settings.data / "credentials"

    async def body(tx: Transaction) -> None:
        if await accounts.list_all(tx):
            return
        await accounts.create(tx, FIRST_ACCOUNT)
        for region in settings.regions:
            await accounts.ensure_region(tx, FIRST_ACCOUNT, region, settings.quota.new_account)
        made, secret = await credentials.create(tx, runtime.vault, FIRST_ACCOUNT)
        # Inside the transaction: keys that nobody was told of would be worth nothing.
        region = settings.regions[0]
        others = _others(made.access_key, secret, region)
        write_credentials(place, access_key=made.access_key, secret=secret, region=region, others=others)

    await runtime.db.run(body)


def _others(access_key: str, secret: str, region: str) -> dict[str, str]:
    return {
        "smtp_username": access_key,
        "smtp_password": smtp_password(secret, region),
        "capture_user": "capture",
        "capture_password": secrets.token_urlsafe(18),
        "console_user": "admin",
        "console_password": secrets.token_urlsafe(18),
    }


async def _provider_key(runtime: Runtime, settings: Settings) -> None:
    """The key of the provider's own signature, if the operator named a domain."""
    domain = settings.provider.domain
    if not settings.provider.is_set:
        return
    known = await runtime.db.read(lambda tx: dkim_keys.provider_keys(tx, domain))
    if known:
        return
    selector = f"m{secrets.token_hex(4)}"
    key = await asyncio.to_thread(dkim_keys.generate, runtime.vault, "", "", domain, selector=selector)

    async def body(tx: Transaction) -> None:
        if not await dkim_keys.provider_keys(tx, domain):  # another node may have been quicker
            await dkim_keys.insert(tx, "", "", domain, key)

    await runtime.db.run(body)


def certificate(runtime: Runtime, settings: Settings, hostname: str) -> tuple[str, str]:
    """Certificate and key of the listeners; a self-signed pair where none is configured."""
    own = settings.data / "tls"
    if Path(settings.tls.certificate) == own / "cert.pem":
        tls.make_self_signed(own, hostname, runtime.clock)
    return settings.tls.certificate, settings.tls.key
