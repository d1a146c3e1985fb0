"""Suppression: addresses an account does not want to mail again, each with the reason (SES: sending §7).

A hard bounce or a complaint puts an address on the list, or somebody by hand; it stays until it is taken off.  Which
reasons count is said by the account, or by the configuration set of a message where that has a word of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from mailstead.base.address import bare
from mailstead.base.errors import Invalid, NotFound
from mailstead.store.port import Row, Transaction

BOUNCE, COMPLAINT = "BOUNCE", "COMPLAINT"
REASONS = (BOUNCE, COMPLAINT)

# SES: events §2. What SES says to the sender instead of trying.
DIAGNOSTIC = (
    "Amazon SES did not send the message to this address because it is on the suppression list for your account. For"
    " more information about removing addresses from the suppression list, see the Amazon SES Developer Guide at"
    " https://docs.aws.amazon.com/ses/latest/DeveloperGuide/sending-email-suppression-list.html"
)
ON_ACCOUNT_LIST = "OnAccountSuppressionList"
"""bounceSubType or complaintSubType of what was not sent (SES: sending §9)."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """One address on the list."""

    address: str
    reason: str
    """``BOUNCE`` or ``COMPLAINT``."""
    changed: int
    """When it came on the list, or was put there again."""
    message: str = ""
    """The message that bounced or was complained of; empty: put there by hand."""
    feedback: str = ""


def normalise(address: str) -> str:
    """The address as it is stored and compared; an impossible one stays as it is and will not be found."""
    try:
        return bare(address)
    except Invalid:
        return address


_COLUMNS = "address, reason, changed, message, feedback"
_WHERE = "WHERE account = $1 AND region = $2"


async def find(tx: Transaction, account: str, region: str, address: str) -> Suppressed | None:
    """The entry of an address, or None."""
    sql = f"SELECT {_COLUMNS} FROM suppressed {_WHERE} AND address = $3"
    row = await tx.row(sql, account, region, normalise(address))
    return Suppressed(*row) if row else None


async def get(tx: Transaction, account: str, region: str, address: str) -> Suppressed:
    """The entry of an address.

    Raises:
        NotFound: it is not on the list.
    """
    found = await find(tx, account, region, address)
    if found is None:
        raise missing(address)
    return found


def missing(address: str) -> NotFound:
    """SES's word for an address that is not on the list (SES: wire §9)."""
    return NotFound(f"Email address {address} does not exist on your suppression list.", kind="suppression")


@lru_cache(maxsize=64)
def _among(count: int) -> str:
    places = ", ".join(f"${n}" for n in range(3, count + 3))
    return f"SELECT address, reason FROM suppressed {_WHERE} AND address IN ({places})"


async def among(
    tx: Transaction, account: str, region: str, addresses: Iterable[str], *, reasons: Collection[str]
) -> dict[str, str]:
    """Which of these (bare) addresses are not to be mailed: ``{address: reason}``; ``reasons`` are those that count."""
    wanted = list(addresses)
    if not reasons or not wanted:
        return {}
    rows = await tx.rows(_among(len(wanted)), account, region, *wanted)
    return {address: reason for address, reason in rows if reason in reasons}


async def put(
    tx: Transaction, account: str, region: str, address: str, reason: str, *, message: str = "", feedback: str = ""
) -> None:
    """Put an address on the list, or give it another reason."""
    await tx.run(
        "INSERT INTO suppressed (account, region, address, reason, message, feedback, changed)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account, region, address) DO UPDATE SET"
        " reason = excluded.reason, message = excluded.message, feedback = excluded.feedback,"
        " changed = excluded.changed",
        account,
        region,
        normalise(address),
        reason,
        message,
        feedback,
        tx.now(),
    )


async def delete(tx: Transaction, account: str, region: str, address: str) -> None:
    """Take an address off the list.

    Raises:
        NotFound: it is not there.
    """
    if not await tx.run(f"DELETE FROM suppressed {_WHERE} AND address = $3", account, region, normalise(address)):
        raise missing(address)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries a list shows."""

    reasons: tuple[str, ...] = ()
    """Empty: all."""
    since: int | None = None
    """Changed at this time or later, milliseconds…"""
    until: int | None = None
    """…and not after this one."""


EVERYTHING = Selection()


async def list_page(
    tx: Transaction, account: str, region: str, *, after: str = "", limit: int = 1000, wanted: Selection = EVERYTHING
) -> list[Suppressed]:
    """Entries by address, those behind ``after``."""
    conditions: list[str] = ["address > $3"]
    args: list[str | int] = [account, region, after]

    def also(condition: str, value: str | int) -> None:
        args.append(value)
        conditions.append(condition.format(f"${len(args)}"))

    if len(set(wanted.reasons)) == 1:  # both are all
        also("reason = {}", wanted.reasons[0])
    if wanted.since is not None:
        also("changed >= {}", wanted.since)
    if wanted.until is not None:
        also("changed <= {}", wanted.until)
    sql = f"SELECT {_COLUMNS} FROM suppressed {_WHERE} AND {' AND '.join(conditions)} ORDER BY address"
    return [_entry(row) for row in await tx.rows(f"{sql} LIMIT ${len(args) + 1}", *args, limit)]


def _entry(row: Row) -> Suppressed:
    return Suppressed(*row)


_reasons = msgspec.json.Decoder(tuple[str, ...]).decode


async def reasons_of(tx: Transaction, account: str, region: str, configuration_set: str = "") -> tuple[str, ...]:
    """The reasons that count for mail of an account with this configuration set (empty: none)."""
    row = await tx.row(
        "SELECT coalesce((SELECT suppressed_reasons_json FROM configuration_sets"
        " WHERE account = $1 AND region = $2 AND name = $3), suppressed_reasons_json)"
        " FROM account_regions WHERE account = $1 AND region = $2",
        account,
        region,
        configuration_set,
    )
    return _reasons(row[0]) if row else ()


async def note(
    tx: Transaction,
    account: str,
    region: str,
    reason: str,
    addresses: Iterable[str],
    *,
    message: str,
    feedback: str,
    configuration_set: str = "",
) -> None:
    """A message bounced for good or was complained of: put its addresses on the list, if the sender wants that.

    Args:
        feedback: the id of the event that tells of it.
        configuration_set: that of the message.
    """
    wanted = sorted(addresses)  # in one order: nobody waits for each other
    if not wanted or reason not in await reasons_of(tx, account, region, configuration_set):
        return
    for address in wanted:
        await put(tx, account, region, address, reason, message=message, feedback=feedback)
