"""``mailstead ip``: addresses of this machine that accounts have for themselves."""

from __future__ import annotations

from typing import Any

import click

from mailstead.app.first_start import FIRST_ACCOUNT
from mailstead.base.errors import NotFound
from mailstead.cli.account import region_of, region_option
from mailstead.cli.frame import Frame, common, in_fields, in_rows, in_transaction
from mailstead.config import Settings
from mailstead.ses import account as accounts
from mailstead.ses import dedicated_ips
from mailstead.ses.dedicated_ips import Assigned
from mailstead.store.port import Transaction


@click.group("ip")
def command() -> None:
    """Addresses that accounts have for themselves."""


@command.command("list")
@common
def list_(frame: Frame) -> None:
    """Every address of delivery.sources, and whose it is.

    \b
    mailstead ip list
    """
    settings = frame.settings()
    assigned = in_transaction(settings, dedicated_ips.list_assigned)
    in_rows(frame, _rows(settings, assigned), empty="no addresses: name them in delivery.sources")


def _rows(settings: Settings, assigned: list[Assigned]) -> list[dict[str, Any]]:
    """Configured addresses first, in their order; then assigned ones that are not configured any more."""
    taken = {one.ip: one for one in assigned}
    configured = {source.address: source for source in settings.delivery.sources}
    rows = []
    for address in [*configured, *(ip for ip in taken if ip not in configured)]:
        source, owner = configured.get(address), taken.get(address)
        rows.append(
            {
                "address": address,
                "hostname": source.hostname if source else "not in delivery.sources",
                "source_pool": source.pool if source else "",
                "account": owner.account if owner else "",
                "region": owner.region if owner else "",
                "pool": owner.pool if owner else "",
                "warmup": owner.warmup if owner else None,
            }
        )
    return rows


@command.command("assign")
@click.argument("address", metavar="ADDRESS")
@click.option("--account", metavar="ID", default=FIRST_ACCOUNT, help=f"To this account [{FIRST_ACCOUNT}].")
@region_option
@common
def assign(frame: Frame, address: str, account: str, region: str | None) -> None:
    """Give an address of delivery.sources to an account; only its mail leaves from it.

    \b
    mailstead ip assign 192.0.2.25 --account 123456789012
    """
    settings = frame.settings()
    place, wanted = region_of(settings, region), dedicated_ips.normalise(address)
    if wanted not in {source.address for source in settings.delivery.sources}:
        raise NotFound(f"{wanted} is none of delivery.sources: name it there first, with the server's EHLO name")

    async def body(tx: Transaction) -> list[Assigned]:
        await accounts.ensure_region(tx, account, place, settings.quota.new_account)
        await dedicated_ips.assign(tx, account, place, wanted)
        return await dedicated_ips.list_assigned(tx)

    _answer(frame, settings, wanted, in_transaction(settings, body))


@command.command("release")
@click.argument("address", metavar="ADDRESS")
@common
def release(frame: Frame, address: str) -> None:
    """Take an address back from whoever has it.

    \b
    mailstead ip release 192.0.2.25
    """
    settings, wanted = frame.settings(), dedicated_ips.normalise(address)

    async def body(tx: Transaction) -> list[Assigned]:
        await dedicated_ips.release(tx, wanted)
        return await dedicated_ips.list_assigned(tx)

    _answer(frame, settings, wanted, in_transaction(settings, body))


def _answer(frame: Frame, settings: Settings, address: str, assigned: list[Assigned]) -> None:
    for row in _rows(settings, assigned):
        if row["address"] == address:
            in_fields(frame, row)
            return
    in_fields(frame, {"address": address, "hostname": "not in delivery.sources"})
