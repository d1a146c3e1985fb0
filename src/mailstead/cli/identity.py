"""``mailstead identity``: what accounts may send as; the operator vouches."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from mailstead.app.first_start import FIRST_ACCOUNT
from mailstead.cli.account import region_of, region_option
from mailstead.cli.frame import Frame, common, in_fields, in_rows, in_runtime, in_transaction, when
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import identities
from mailstead.ses.identities import Identity
from mailstead.store.port import Transaction

PAGE = 1000


@click.group("identity")
def command() -> None:
    """Addresses and domains that accounts send as."""


@command.command("list")
@click.option("--account", metavar="ID", help="Only this account's.")
@click.option("--region", metavar="REGION", help="Only in this region.")
@common
def list_(frame: Frame, account: str | None, region: str | None) -> None:
    """Identities and what is verified of them.

    \b
    mailstead identity list --account 000000000000
    """

    async def body(tx: Transaction) -> list[dict[str, Any]]:
        if account is not None:
            await accounts.get(tx, account)
        owners = [account] if account else [one.id for one in await accounts.list_all(tx)]
        places = [(owner, place.region) for owner in owners for place in await accounts.list_regions(tx, owner)]
        return [
            _row(found) for owner, place in places if region in (None, place) for found in await _all(tx, owner, place)
        ]

    in_rows(frame, in_transaction(frame.settings(), body), empty="no identities")


async def _all(tx: Transaction, account: str, region: str) -> list[Identity]:
    found: list[Identity] = []
    while True:
        page = await identities.list_page(tx, account, region, after=found[-1].name if found else "", limit=PAGE)
        found += page
        if len(page) < PAGE:
            return found


def _row(identity: Identity) -> dict[str, Any]:
    return {
        "identity": identity.name,
        "account": identity.account,
        "region": identity.region,
        "status": identity.status,
        "dkim": identity.dkim_status if identity.dkim_enabled else "off",
        "checked": when(identity.last_checked),
        "error": identity.check_error,
    }


@command.command("verify")
@click.argument("name", metavar="IDENTITY")
@click.option("--account", metavar="ID", default=FIRST_ACCOUNT, help=f"Of this account [{FIRST_ACCOUNT}].")
@region_option
@common
def verify(frame: Frame, name: str, account: str, region: str | None) -> None:
    """Vouch for an address or a domain: verified without DNS or mail; added if the account does not have it yet.

    \b
    mailstead identity verify example.com
    mailstead identity verify ann@example.org --account 123456789012
    """
    settings = frame.settings()
    place, wanted = region_of(settings, region), identities.normalise(name)

    async def work(runtime: Runtime) -> Identity:
        async def known(tx: Transaction) -> bool:
            await accounts.ensure_region(tx, account, place, settings.quota.new_account)
            return await identities.find(tx, account, place, wanted) is not None

        signing = None
        if not await runtime.db.run(known) and identities.kind_of(wanted) == identities.DOMAIN:
            signing = await asyncio.to_thread(identities.easy_dkim, runtime.vault, account, place, wanted)

        async def body(tx: Transaction) -> Identity:
            if await identities.find(tx, account, place, wanted) is None:
                await identities.create(tx, account, place, wanted, dkim=signing)
            return await identities.vouch(tx, account, place, wanted)

        return await runtime.db.run(body)

    in_fields(frame, _row(in_runtime(settings, work, new=True)))
    if not frame.json and identities.kind_of(wanted) == identities.DOMAIN:
        print(f"publish its DKIM key: mailstead dns records {wanted}")
