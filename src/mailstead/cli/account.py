"""``mailstead account``: who sends here, how much, and the operator's switches."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import click

from mailstead.base.errors import Invalid
from mailstead.cli.frame import Frame, common, in_fields, in_rows, in_transaction, when
from mailstead.config import ConfigError, Settings
from mailstead.config.values import boolean, size
from mailstead.ses import account as accounts
from mailstead.ses import quota as quotas
from mailstead.ses.account import Account, AccountRegion, NewAccount
from mailstead.store.port import Transaction

region_option = click.option("--region", metavar="REGION", help="In this region [the first one].")


@click.group("account")
def command() -> None:
    """Accounts: who sends here, and how much."""


def region_of(settings: Settings, region: str | None) -> str:
    """The region that is meant.

    Raises:
        ConfigError: it is not served here.
    """
    if region is not None and not settings.serves(region):
        raise ConfigError(f"region {region} is not served here; regions = {','.join(settings.regions)}")
    return region or settings.regions[0]


@command.command("create")
@click.argument("account", metavar="[ID]", required=False)
@click.option("--quota", metavar="QUOTA", help="sandbox, production, unlimited or 50000/day,14/s [quota.new_account].")
@region_option
@common
def create(frame: Frame, account: str | None, quota: str | None, region: str | None) -> None:
    """Add an account, under an id of 12 digits or a new one.

    \b
    mailstead account create --quota production
    """
    settings = frame.settings()
    limits = accounts.new_account(quota) if quota else settings.quota.new_account
    place = region_of(settings, region)

    async def body(tx: Transaction) -> dict[str, Any]:
        made = await accounts.create(tx, account)
        await accounts.ensure_region(tx, made.id, place, limits)
        return await _described(tx, made)

    _answer(frame, in_transaction(settings, body, new=True))


@command.command("list")
@common
def list_(frame: Frame) -> None:
    """All accounts.

    \b
    mailstead account list --json
    """

    async def body(tx: Transaction) -> list[dict[str, Any]]:
        return [
            {"account": one.id, "state": _state(one), "regions": await _names(tx, one.id), "created": when(one.created)}
            for one in await accounts.list_all(tx)
        ]

    in_rows(frame, in_transaction(frame.settings(), body), empty="no accounts")


async def _names(tx: Transaction, account: str) -> list[str]:
    return [place.region for place in await accounts.list_regions(tx, account)]


def _state(account: Account) -> str:
    if account.closed:
        return "closed"
    return "open" if account.subscribed else "not subscribed"


@command.command("show")
@click.argument("account", metavar="ID")
@common
def show(frame: Frame, account: str) -> None:
    """One account in every region it was used in.

    \b
    mailstead account show 000000000000
    """

    async def body(tx: Transaction) -> dict[str, Any]:
        return await _described(tx, await accounts.get(tx, account))

    _answer(frame, in_transaction(frame.settings(), body))


def _answer(frame: Frame, described: dict[str, Any]) -> None:
    if frame.json:
        in_fields(frame, described)
        return
    in_fields(frame, {name: value for name, value in described.items() if name != "regions"})
    # What an account says of itself may be long: it is in the JSON.
    rows = [{name: value for name, value in place.items() if name != "details"} for place in described["regions"]]
    in_rows(frame, rows, empty="not used in any region yet")


async def _described(tx: Transaction, account: Account) -> dict[str, Any]:
    places = await accounts.list_regions(tx, account.id)
    return {
        "account": account.id,
        "state": _state(account),
        "created": when(account.created),
        "regions": [await _place(tx, place) for place in places],
    }


async def _place(tx: Transaction, place: AccountRegion) -> dict[str, Any]:
    quota = await quotas.read(tx, place.account, place.region, tx.now())
    asked = await accounts.review_of(tx, place.account, place.region)
    return {
        "region": place.region,
        "sending_enabled": place.sending_enabled,
        "enforcement": place.enforcement,
        "production": place.production_access,
        "max_24h": quota.max_24h,
        "max_rate": quota.max_rate,
        "sent_24h": quota.sent_last_24h,
        "message_bytes": place.message_bytes,
        "review": asked.status.lower() if asked is not None else "",
        "details": asdict(asked.details) if asked is not None else None,
    }


# -- set ---------------------------------------------------------------------------------------------------------------

Setter = Callable[[Transaction, str, str, str], Awaitable[None]]


async def _subscribed(tx: Transaction, account: str, region: str, value: str) -> None:
    await accounts.subscribe(tx, account, subscribed=boolean.read(value))


async def _sending(tx: Transaction, account: str, region: str, value: str) -> None:
    await accounts.set_sending(tx, account, region, enabled=boolean.read(value))


async def _production(tx: Transaction, account: str, region: str, value: str) -> None:
    await accounts.review(tx, account, region, granted=boolean.read(value))


async def _quota(tx: Transaction, account: str, region: str, value: str) -> None:
    wanted: NewAccount = accounts.new_account(value)
    await accounts.review(tx, account, region, granted=wanted.production)
    await accounts.set_quota(tx, account, region, max_24h=wanted.max_24h, max_rate=wanted.max_rate)


async def _message_bytes(tx: Transaction, account: str, region: str, value: str) -> None:
    limit = None if value in {"", "default"} else size.read(value)
    await accounts.set_message_bytes(tx, account, region, limit)


SETTABLE: dict[str, tuple[Setter, str]] = {
    "subscribed": (_subscribed, "true or false"),
    "sending_enabled": (_sending, "true or false"),
    "production": (_production, "true or false"),
    "quota": (_quota, "sandbox, production, unlimited or 50000/day,14/s"),
    "message_bytes": (_message_bytes, "a size like 10MiB, or default"),
}


@command.command("set")
@click.argument("account", metavar="ID")
@click.argument("changes", metavar="NAME=VALUE...", nargs=-1, required=True)
@region_option
@common
def set_(frame: Frame, account: str, changes: tuple[str, ...], region: str | None) -> None:
    """Change an account: subscribed, sending_enabled, production, quota, message_bytes.

    \b
    mailstead account set 000000000000 subscribed=false
    mailstead account set 000000000000 quota=100000/day,50/s --region eu-west-1
    """
    _change(frame, account, region, [_setter(change) for change in changes])


def _setter(change: str) -> tuple[str, str, Setter]:
    name, equals, value = change.partition("=")
    if not equals:
        raise Invalid(f"{change}: write it as name=value")
    if name not in SETTABLE:
        near = difflib.get_close_matches(name, SETTABLE, 1, cutoff=0.4)
        raise Invalid(f"unknown member {name} of an account" + (f"; did you mean {near[0]}?" if near else ""))
    return name, value, SETTABLE[name][0]


def _change(frame: Frame, account: str, region: str | None, setters: list[tuple[str, str, Setter]]) -> None:
    settings = frame.settings()
    place = region_of(settings, region)

    async def body(tx: Transaction) -> dict[str, Any]:
        await accounts.ensure_region(tx, account, place, settings.quota.new_account)
        for name, value, setter in setters:
            try:
                await setter(tx, account, place, value.strip())
            except ValueError:
                raise Invalid(f"{name}: {value!r} is not allowed; allowed: {SETTABLE[name][1]}") from None
        return await _described(tx, await accounts.get(tx, account))

    _answer(frame, in_transaction(settings, body))


# -- switches ----------------------------------------------------------------------------------------------------------


@command.command("review")
@click.argument("account", metavar="ID")
@click.option("--grant/--deny", "granted", required=True, help="Production access, or the sandbox.")
@region_option
@common
def review(frame: Frame, account: str, granted: bool, region: str | None) -> None:
    """Answer a request for production access.

    \b
    mailstead account review 000000000000 --grant
    """
    _change(frame, account, region, [("production", str(granted), _production)])


async def _pause(tx: Transaction, account: str, region: str, value: str) -> None:
    await accounts.pause(tx, account, region)


async def _resume(tx: Transaction, account: str, region: str, value: str) -> None:
    await accounts.resume(tx, account, region)


async def _close(tx: Transaction, account: str, region: str, value: str) -> None:
    await accounts.close(tx, account)


async def _reopen(tx: Transaction, account: str, region: str, value: str) -> None:
    await accounts.reopen(tx, account)


@command.command("pause")
@click.argument("account", metavar="ID")
@region_option
@common
def pause(frame: Frame, account: str, region: str | None) -> None:
    """Pause an account's sending in a region, as SES's enforcement does.

    \b
    mailstead account pause 123456789012 --region us-east-1
    """
    _change(frame, account, region, [("", "", _pause)])


@command.command("resume")
@click.argument("account", metavar="ID")
@region_option
@common
def resume(frame: Frame, account: str, region: str | None) -> None:
    """End a pause.

    \b
    mailstead account resume 123456789012
    """
    _change(frame, account, region, [("", "", _resume)])


@command.command("close")
@click.argument("account", metavar="ID")
@common
def close(frame: Frame, account: str) -> None:
    """The last word: nothing is sent any more, in no region; reading stays.

    \b
    mailstead account close 123456789012
    """
    _change(frame, account, None, [("", "", _close)])


@command.command("reopen")
@click.argument("account", metavar="ID")
@common
def reopen(frame: Frame, account: str) -> None:
    """Take a closing back.

    \b
    mailstead account reopen 123456789012
    """
    _change(frame, account, None, [("", "", _reopen)])
