"""``mailstead key``: access keys, and the SMTP passwords that follow from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mailstead.base.errors import Invalid
from mailstead.cli.frame import Frame, common, in_fields, in_json, in_rows, in_runtime, in_transaction, when
from mailstead.config import Settings
from mailstead.proto.sigv4 import smtp_password
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import credentials, permissions, principals
from mailstead.store.port import Transaction


@click.group("key")
def command() -> None:
    """Access keys and SMTP passwords."""


@command.command("create")
@click.option("--account", metavar="ID", help="For this account [the first one].")
@click.option("--user", metavar="NAME", default=principals.ROOT, help="For a principal of this name [root].")
@click.option("--access-key", metavar="KEY", help="Take this access key.")
@click.option("--secret", metavar="SECRET", help="Take this secret.")
@click.option(
    "--policy", metavar="FILE", type=click.Path(path_type=Path), help="The new principal's IAM policy (JSON)."
)
@common
def create(frame: Frame, *, account: str | None, user: str, policy: Path | None, **given: str | None) -> None:
    """Make an access key; it is shown this once, with its SMTP password in each region.

    \b
    mailstead key create
    mailstead key create --account 123456789012 --user billing --policy policy.json
    """
    settings = frame.settings()
    if policy is not None and user == principals.ROOT:
        raise Invalid("--policy is for a principal: name it with --user")
    policy_json = "" if policy is None else policy_of(policy)

    async def work(runtime: Runtime) -> dict[str, Any]:
        async def body(tx: Transaction) -> dict[str, Any]:
            owner = account or await first_account(tx)
            await accounts.get(tx, owner)
            if policy_json:
                await principals.create(tx, owner, user, policy_json=policy_json)
            made, plain = await credentials.create(tx, runtime.vault, owner, user=user, **given)
            return _shown(settings, made, plain)

        return await runtime.db.run(body)

    _answer(frame, in_runtime(settings, work, new=True))


async def first_account(tx: Transaction) -> str:
    """The oldest account."""
    return min(await accounts.list_all(tx), key=lambda one: (one.created, one.id)).id


def policy_of(file: Path) -> str:
    """The policy in a file, checked."""
    try:
        return permissions.checked(file.read_bytes().decode())
    except OSError as error:
        raise Invalid(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Invalid(f"{file} is not UTF-8") from None
    except Invalid as error:
        raise Invalid(f"{file} is not an IAM policy: {error.message}") from None


def _shown(settings: Settings, made: credentials.Credential, plain: str) -> dict[str, Any]:
    return {
        "account": made.account,
        "user": made.name,
        "access_key": made.access_key,
        "secret": plain,
        "smtp_username": made.access_key,
        "smtp_passwords": {region: smtp_password(plain, region) for region in settings.regions},
    }


def _answer(frame: Frame, made: dict[str, Any]) -> None:
    if frame.json:
        in_json(made)
        return
    passwords = {f"smtp password {region}": value for region, value in made["smtp_passwords"].items()}
    in_fields(frame, {name: value for name, value in made.items() if name != "smtp_passwords"} | passwords)


@command.command("list")
@click.option("--account", metavar="ID", help="Only this account's.")
@common
def list_(frame: Frame, account: str | None) -> None:
    """Access keys, without their secrets.

    \b
    mailstead key list --account 000000000000
    """

    async def body(tx: Transaction) -> list[dict[str, Any]]:
        if account is not None:
            await accounts.get(tx, account)
        owners = [account] if account else [one.id for one in await accounts.list_all(tx)]
        return [_row(key) for owner in owners for key in await credentials.list_all(tx, owner)]

    in_rows(frame, in_transaction(frame.settings(), body), empty="no access keys")


def _row(key: credentials.Credential) -> dict[str, Any]:
    return {
        "access_key": key.access_key,
        "account": key.account,
        "user": key.name,
        "active": key.active,
        "policy": bool(key.policy_json),
        "created": when(key.created),
    }


@command.command("delete")
@click.argument("access_key", metavar="ACCESS_KEY")
@common
def delete(frame: Frame, access_key: str) -> None:
    """Forget an access key: it stops working at once.

    \b
    mailstead key delete AKIAIOSFODNN7EXAMPLE
    """

    async def body(tx: Transaction) -> None:
        await credentials.delete(tx, access_key)

    in_transaction(frame.settings(), body)
    in_fields(frame, {"deleted": access_key})
