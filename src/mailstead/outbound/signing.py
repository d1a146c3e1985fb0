"""Signing: the DKIM signatures of a message, made once, in threads, never before the `250` and never on the event loop.

The identity's signature follows the header From; the provider's own comes second (SES: smtp §6).  A thread takes what
waits until nothing does: to hand over a message one by one costs the event loop as much as a tenth of a signature.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mailstead.base.clock import SECOND
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
KEYS_FOR = 1.0
"""Seconds for which the keys of a domain are not read again."""
TOGETHER = 8
"""Signatures that a thread hands back at once; as many wait before a second thread helps."""
PROVIDER_FIELDS = ("Feedback-ID",)


@dataclass(frozen=True, slots=True)
class _Order:
    """A message to be signed."""

    message: Message
    keys: Sequence[DkimKey]
    seconds: int
    done: asyncio.Future[bytes]


class Signing:
    """Signs messages; shared by all destinations."""

    def __init__(self, runtime: Runtime, provider: str) -> None:
        self._runtime = runtime
        self._provider = provider
        """The provider's domain; empty: no second signature."""
        self._threads = ThreadPoolExecutor(THREADS, "mailstead-sign")
        self._signed: OrderedDict[str, bytes] = OrderedDict()
        self._opened: OrderedDict[tuple[str, str, str, str, int], DkimKey] = OrderedDict()
        self._read: OrderedDict[tuple[str, str, str], tuple[float, list[DkimKey]]] = OrderedDict()
        """The keys of an account's domain, and until when they are believed."""
        self._waiting: deque[_Order] = deque()
        self._working = 0
        """Threads that sign."""

    async def sign(self, message: spool.Message, parsed: Message) -> bytes:
        """The DKIM-Signature fields to put before the message; empty if nobody signs."""
        known = self._signed.get(message.id)
        if known is not None:
            return known
        keys = await self._keys_of(message)
        if not keys:
            return b""
        loop = asyncio.get_running_loop()
        order = _Order(parsed, keys, self._runtime.clock.wall() // SECOND, loop.create_future())
        self._waiting.append(order)
        self._help(loop)
        made = await order.done
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

    # -- threads

    def _help(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let one more thread sign if that pays."""
        if self._working < THREADS and len(self._waiting) > self._working * TOGETHER:
            self._working += 1
            self._threads.submit(self._sign, loop)

    def _sign(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: sign until nothing waits."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody there waits any more
            while made := self._some():
                loop.call_soon_threadsafe(self._hand_back, made)
            loop.call_soon_threadsafe(self._ended, loop)

    def _some(self) -> list[tuple[_Order, bytes | Exception]]:
        made: list[tuple[_Order, bytes | Exception]] = []
        with contextlib.suppress(IndexError):  # another thread took the last
            while self._waiting and len(made) < TOGETHER:
                order = self._waiting.popleft()
                try:
                    made.append((order, dkim.sign(order.message, order.keys, order.seconds)))
                except Exception as error:
                    made.append((order, error))
        return made

    def _hand_back(self, made: Sequence[tuple[_Order, bytes | Exception]]) -> None:
        for order, result in made:
            if order.done.done():  # its owner does not wait any more
                continue
            if isinstance(result, bytes):
                order.done.set_result(result)
            else:
                order.done.set_exception(result)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        self._working -= 1
        if self._waiting:  # came when the thread had looked
            self._help(loop)

    def forget(self, message: str) -> None:
        """Nothing of this message is left to send."""
        self._signed.pop(message, None)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)
