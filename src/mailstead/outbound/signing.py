"""Signing: the DKIM signatures of a message, made once, in a process of their own, never before the `250`.

The identity's signature follows the header From; the provider's own comes second (SES: smtp §6).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from mailstead.base.clock import SECOND
from mailstead.outbound.signing_process import SigningProcess
from mailstead.proto import dkim
from mailstead.proto.dkim import DkimKey
from mailstead.proto.message import Message
from mailstead.runtime import Runtime
from mailstead.ses import dkim_keys
from mailstead.ses.dkim_keys import SigningKey
from mailstead.store import spool
from mailstead.store.port import Transaction

KEPT = 4096
"""Signatures kept for the next attempts (about 1 KiB each); one that has gone is made again."""
KEYS = 1024
KEYS_FOR = 1.0
"""Seconds for which the keys of a domain are not read again."""
LARGE = 256 << 10
"""Octets: the body of a larger message is not hashed on the event loop."""
PROVIDER_FIELDS = ("Feedback-ID",)


class Signing:
    """Signs messages; shared by all destinations."""

    def __init__(self, runtime: Runtime, provider: str) -> None:
        self._runtime = runtime
        self._provider = provider
        """The provider's domain; empty: no second signature."""
        self._process = SigningProcess(runtime.clock)
        self._signed: OrderedDict[str, bytes] = OrderedDict()
        self._opened: OrderedDict[tuple[str, str, str, str, int], DkimKey] = OrderedDict()
        self._read: OrderedDict[tuple[str, str, str], tuple[float, list[DkimKey]]] = OrderedDict()
        """The keys of an account's domain, and until when they are believed."""

    async def sign(self, message: spool.Message, parsed: Message) -> bytes:
        """The DKIM-Signature fields to put before the message; empty if nobody signs."""
        known = self._signed.get(message.id)
        if known is not None:
            return known
        keys = await self._keys_of(message)
        if not keys:
            return b""
        seconds = self._runtime.clock.wall() // SECOND
        if len(parsed.content) > LARGE:
            drafts = await asyncio.to_thread(dkim.drafts, parsed, keys, seconds)
        else:
            drafts = dkim.drafts(parsed, keys, seconds)
        wanted = [(key.private, data) for key, (_, data) in zip(keys, drafts, strict=True)]
        signed = await self._process.sign(wanted)
        made = b"".join(dkim.finished(field, one) for (field, _), one in zip(drafts, signed, strict=True))
        self._signed[message.id] = made
        if len(self._signed) > KEPT:
            self._signed.popitem(last=False)
        return made

    # -- keys

    async def _keys_of(self, message: spool.Message) -> list[DkimKey]:
        place, now = (message.account, message.region, message.signing_domain), self._runtime.clock.monotonic()
        until, keys = self._read.get(place, (now, []))
        if until > now:
            return keys
        keys = await self._runtime.db.read(lambda tx: self._keys(tx, message))
        if keys:
            self._read[place] = (now + KEYS_FOR, keys)
            if len(self._read) > KEYS:
                self._read.popitem(last=False)
        return keys

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

    async def close(self) -> None:
        """Let the process end."""
        await self._process.close()
