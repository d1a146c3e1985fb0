"""``mailstead principal``: who acts for an account besides its root, and what their policies let them do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mailstead.cli.frame import Frame, common, in_fields, in_rows, in_transaction, when
from mailstead.cli.key import first_account, policy_of
from mailstead.ses import account as accounts
from mailstead.ses import principals
from mailstead.store.port import Transaction

_account = click.option("--account", metavar="ID", help="Of this account [the first one].")
_file = click.Path(path_type=Path)


@click.group("principal")
def command() -> None:
    """Principals and their policies."""


@command.command("create")
@click.argument("name", metavar="NAME")
@_account
@click.option("--policy", metavar="FILE", type=_file, help="Its IAM policy (JSON) [it may do everything].")
@common
def create(frame: Frame, *, name: str, account: str | None, policy: Path | None) -> None:
    """Make a principal; `mailstead key create --user NAME` gives it keys.

    \b
    mailstead principal create billing --policy policy.json
    """
    text = "" if policy is None else policy_of(policy)

    async def body(tx: Transaction) -> dict[str, Any]:
        owner = await _owner(tx, account)
        return _shown(await principals.create(tx, owner, name, policy_json=text))

    in_fields(frame, in_transaction(frame.settings(), body))


@command.command("list")
@_account
@common
def list_(frame: Frame, *, account: str | None) -> None:
    """The principals of an account.

    \b
    mailstead principal list
    """

    async def body(tx: Transaction) -> list[dict[str, Any]]:
        return [_shown(one) for one in await principals.list_all(tx, await _owner(tx, account))]

    in_rows(frame, in_transaction(frame.settings(), body), empty="no principals")


@command.command("policy")
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="[FILE]", type=_file, required=False)
@_account
@click.option("--remove", is_flag=True, help="Take the policy away: NAME may do everything in the account then.")
@common
def policy(frame: Frame, *, name: str, file: Path | None, account: str | None, remove: bool) -> None:
    """Show the policy of a principal, or give it the one in FILE.

    \b
    mailstead principal policy billing
    mailstead principal policy billing policy.json
    """
    if remove and file is not None:
        raise click.UsageError("--remove takes no FILE")
    text = "" if remove else None if file is None else policy_of(file)

    async def body(tx: Transaction) -> principals.Principal:
        owner = await _owner(tx, account)
        if text is None:
            return await principals.get(tx, owner, name)
        return await principals.set_policy(tx, owner, name, text)

    found = in_transaction(frame.settings(), body)
    in_fields(frame, {**_shown(found), "policy": found.policy_json})


async def _owner(tx: Transaction, account: str | None) -> str:
    owner = account or await first_account(tx)
    await accounts.get(tx, owner)
    return owner


def _shown(found: principals.Principal) -> dict[str, Any]:
    return {
        "account": found.account,
        "user": found.name,
        "arn": found.arn,
        "policy": bool(found.policy_json),
        "created": when(found.created),
    }
