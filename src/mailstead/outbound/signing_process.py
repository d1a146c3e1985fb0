"""The signing process as the server sees it: started with the first signature, and again when it has died."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mailstead.base.clock import Clock
from mailstead.base.errors import Unreachable
from mailstead.outbound.signer import ANSWER, KEY, ORDER
from mailstead.proto.dkim import PrivateKey

_log = logging.getLogger(__name__)

KEYS = 1024
"""Keys that the process holds; the one used longest ago makes room."""
AGAIN = 1.0
"""Seconds between two starts: one that dies at once is no better at the next try."""
ENDS = 5.0
"""Seconds that it gets to end."""


class SigningProcess(asyncio.Protocol):
    """One process; orders are answered in any number at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._link: asyncio.WriteTransport | None = None
        self._starting = asyncio.Lock()
        self._started: float | None = None
        self._orders: dict[int, asyncio.Future[bytes]] = {}
        self._last = KEY
        self._keys: OrderedDict[int, tuple[int, PrivateKey]] = OrderedDict()
        """By ``id``: the number that the process knows a key by, and the key, so that no other gets its ``id``."""
        self._held = bytearray()

    async def sign(self, wanted: Sequence[tuple[PrivateKey, bytes]]) -> list[bytes]:
        """The raw signatures of some data, each by its key (RFC 6376 §3.7, RFC 8463 §3).

        Raises:
            Unreachable: the process could not be started, or died over it.
        """
        link = self._link or await self._open()
        orders = [self._order(link, key, data) for key, data in wanted]
        try:
            return [await self._orders[order] for order in orders]
        finally:
            for order in orders:
                made = self._orders.pop(order)
                if not made.cancel() and not made.cancelled():
                    made.exception()  # of several that failed only the first is raised

    def _order(self, link: asyncio.WriteTransport, key: PrivateKey, data: bytes) -> int:
        number = self._number(key, link)
        self._last = order = self._last % 0xFFFFFFFF + 1
        self._orders[order] = asyncio.get_running_loop().create_future()
        link.write(ORDER.pack(len(data), number, order) + data)
        return order

    async def close(self) -> None:
        """Let it end."""
        if self._link is not None:
            self._link.close()
        if self._process is not None:
            try:
                await asyncio.to_thread(self._process.wait, ENDS)
            except subprocess.TimeoutExpired:
                self._process.kill()

    @property
    def pid(self) -> int | None:
        """None: it does not run."""
        return self._process.pid if self._process is not None and self._link is not None else None

    def _number(self, key: PrivateKey, link: asyncio.WriteTransport) -> int:
        """The key's number; the process is told a key before its first order."""
        known = self._keys.get(id(key))
        if known is not None:
            self._keys.move_to_end(id(key))
            return known[0]
        number = len(self._keys) if len(self._keys) < KEYS else self._keys.popitem(last=False)[1][0]
        self._keys[id(key)] = (number, key)
        plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        link.write(ORDER.pack(len(plain), number, KEY) + plain)
        return number

    # -- its life

    async def _open(self) -> asyncio.WriteTransport:
        async with self._starting:
            if self._link is None:
                now = self._clock.monotonic()
                if self._started is not None and now - self._started < AGAIN:
                    raise Unreachable("The process that signs has died and is not started again yet")
                self._started = now
                await self._start()
            if self._link is None:  # it died at once
                raise Unreachable("The process that signs did not start")
            return self._link

    async def _start(self) -> None:
        if self._process is not None:  # whatever is left of it
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _run(theirs)
            await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        except OSError as error:
            ours.close()
            raise Unreachable(f"The process that signs could not be started: {error}") from error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be told."""
        self._link = cast("asyncio.WriteTransport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Signatures."""
        held, at = self._held, 0
        held += data
        while len(held) - at >= ANSWER.size:
            order, length = ANSWER.unpack_from(held, at)
            end = at + ANSWER.size + length
            if len(held) < end:
                break
            made = self._orders.get(order)
            if made is not None and not made.done():
                made.set_result(bytes(held[at + ANSWER.size : end]))
            at = end
        del held[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """It died, or we let it end: who waits tries again later."""
        if self._orders:
            _log.error("signing.died orders=%d", len(self._orders))
        self._link = None
        self._keys.clear()
        self._held.clear()
        for made in self._orders.values():
            if not made.done():
                made.set_exception(Unreachable("The process that signs died"))


def _run(link: socket.socket) -> subprocess.Popen[bytes]:
    """Start the program with its end of a socket; that it runs is known when this returns, in milliseconds."""
    return subprocess.Popen(  # noqa: S603 — this program's own interpreter
        [sys.executable, "-P", "-m", f"{__package__}.signer", str(link.fileno())],  # not from where we happen to stand
        pass_fds=[link.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
