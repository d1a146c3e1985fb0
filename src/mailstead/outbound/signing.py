"""Signing: the DKIM signatures of a message, made once, in threads, never before the `250` and never on the event loop.

The identity's signature follows the header From; the provider's own comes second (SES: smtp §6).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from mailstead.proto import dkim
from mailstead.proto.dkim import DkimKey
from mailstead.proto.message import Message
from mailstead.runtime import Runtime
from mailstead.ses import dkim_keys
from mailstead.ses.dkim_keys import SigningKey
from mailstead.store import spool
from mailstead.store.port import Transaction

THREADS = 2
KEPT = 4096
"""Signatures kept for the next attempts (about 1 KiB each); one that has gone is made again."""
KEYS = 1024
PROVIDER_FIELDS = ("Feedback-ID",)


class Signing:
    """Signs messages; shared by all destinations."""

    def __init__(self, runtime: Runtime, provider: str) -> None:
        self._runtime = runtime
        self._provider = provider
        """The provider's domain; empty: no second signature."""
        self._threads = ThreadPoolExecutor(THREADS, "mailstead-sign")
        self._signed: OrderedDict[str, bytes] = OrderedDict()
        self._opened: OrderedDict[tuple[str, str, str, str, int], DkimKey] = OrderedDict()

    async def sign(self, message: spool.Message, parsed: Message) -> bytes:
        """The DKIM-Signature fields to put before the message; empty if nobody signs."""
        known = self._signed.get(message.id)
        if known is not None:
            return known
        keys = await self._runtime.db.read(lambda tx: self._keys(tx, message))
        if not keys:
            return b""
        seconds = self._runtime.clock.wall() // 1000
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(self._threads, dkim.sign, parsed, keys, seconds)
        self._signed[message.id] = made
        if len(self._signed) > KEPT:
            self._signed.popitem(last=False)
        return made

    async def _keys(self, tx: Transaction, message: spool.Message) -> list[DkimKey]:
        keys: list[DkimKey] = []
        if message.signing_domain:
            rows = await dkim_keys.active(tx, message.account, message.region, message.signing_domain)
            keys += [self._open(row, also=()) for row in rows]
        if self._provider:
            keys += [self._open(row, also=PROVIDER_FIELDS) for row in await dkim_keys.provider_keys(tx, self._provider)]
        return keys

    def _open(self, row: SigningKey, *, also: tuple[str, ...]) -> DkimKey:
        """Opening a sealed RSA key costs as much as a signature: keep it open."""
        place = (row.account, row.region, row.domain, row.selector, row.created)
        key = self._opened.get(place)
        if key is None:
            opened = dkim_keys.open_key(self._runtime.vault, row)
            key = self._opened[place] = DkimKey(opened.domain, opened.selector, opened.private, also)
            if len(self._opened) > KEYS:
                self._opened.popitem(last=False)
        return key

    def forget(self, message: str) -> None:
        """Nothing of this message is left to send."""
        self._signed.pop(message, None)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
