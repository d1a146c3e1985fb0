"""Deliverability: what public block lists say of an account's own addresses (v2 alone has it)."""

from __future__ import annotations

import asyncio
from typing import Any

from mailstead.aws.operations.services import SESV2, Handlers, Request, Services
from mailstead.base.errors import Invalid
from mailstead.ses import blocklists, dedicated_ips
from mailstead.ses.blocklists import Listing
from mailstead.store.port import Transaction

HANDLED = frozenset({(SESV2, "GetBlacklistReports")})

MAX_ADDRESSES = 50
"""Asked about in one call (the limit is ours)."""
AT_ONCE = 10
"""Of one call."""


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    return {(SESV2, "GetBlacklistReports"): _Deliverability(services).blacklist_reports}


class _Deliverability:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db
        self._resolver = services.runtime.dns
        self._zones = services.blocklists

    async def blacklist_reports(self, request: Request) -> dict[str, Any]:
        asked = await self._own(request, list(dict.fromkeys(request.params["BlacklistItemNames"])))
        if not self._zones:
            raise Invalid("No block list is named here (deliverability.blocklists).", kind="not-offered")
        turn = asyncio.Semaphore(AT_ONCE)
        reports = await asyncio.gather(*(self._report(ip, turn) for ip in asked.values()))
        return {"BlacklistReport": dict(zip(asked, reports, strict=True))}

    async def _own(self, request: Request, names: list[str]) -> dict[str, str]:
        """The addresses that the call names, by the names it has for them.

        Raises:
            Invalid: none, or too many.
            NotFound: one is not the account's.
        """
        caller = request.caller
        if not 1 <= len(names) <= MAX_ADDRESSES:
            raise Invalid(f"BlacklistItemNames must be 1 to {MAX_ADDRESSES} addresses.")

        async def look(tx: Transaction) -> dict[str, str]:
            return {name: (await dedicated_ips.get(tx, caller.account, caller.region, name)).ip for name in names}

        return await self._db.read(look)

    async def _report(self, ip: str, turn: asyncio.Semaphore) -> list[dict[str, Any]]:
        async with turn:
            return [_shown(found) for found in await blocklists.look(self._resolver, ip, self._zones)]


def _shown(found: Listing) -> dict[str, Any]:
    return {"RblName": found.zone, **({"Description": found.reason} if found.reason else {})}
