"""Bodies: the body of a request, read whole: bounded in size, in time, and in what all of them hold together.

A body is hashed as it comes.  Who is not known sends ``PATIENCE`` octets at most; what is too long is read on for a
while without being kept, so that the caller gets to our answer.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from mailstead.base.errors import TooLarge, Unreachable
from mailstead.proto import sigv4

MiB = 1 << 20
PATIENCE = MiB  # what a caller may send before we look whether the key exists
BODIES = 512 * MiB  # what large bodies of all calls together may hold; above it the next ones come again later
PLAIN_BODY = MiB  # for the plain routes
BODY_TIMEOUT = (60.0, 600.0)  # seconds that a body may stand still, and that it may take in all

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Exception):
    """The caller went away before the request was whole."""


class Late(Exception):
    """The caller does not send the body it promised."""


class Patient:
    """A request's ``receive`` that waits for each piece, and for all of them, no longer than it may take.

    Raises:
        Late: it took longer.
    """

    __slots__ = ("_loop", "_receive", "_still", "_until")

    def __init__(self, receive: Receive, timeout: tuple[float, float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._still, total = timeout
        self._until = self._loop.time() + total

    async def __call__(self) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout_at(min(self._until, self._loop.time() + self._still)):
                return await self._receive()
        except TimeoutError:
            raise Late("The request body did not arrive in time.") from None


class Stranger(Exception):
    """Nobody we know sends more than we have patience for."""


@dataclass(slots=True)
class Body:
    """The body of one call."""

    content: bytes = b""
    sha256: str = sigv4.EMPTY_HASH
    held: int = 0
    """Octets that count against all calls' share of memory."""
    unread: bool = False
    """The rest of it was not read: the connection is good for nothing more."""


class Bodies:
    """Reads them, and knows what they hold together.

    Args:
        most: what all may hold, octets.
    """

    def __init__(self, most: int = BODIES) -> None:
        self._most = most
        self._held = 0

    async def read(self, body: Body, receive: Receive, *, limit: int, known: Callable[[], Awaitable[bool]]) -> None:
        """Read a body; whoever calls releases it in any case.

        Args:
            limit: octets.
            known: is the caller somebody?  Asked once, and only for a long body.

        Raises:
            Disconnected: the caller went away.
            Late: it did not come in time.
            Stranger: it is long, and the caller is not known.
            TooLarge: it is longer than the limit.
            Unreachable: all bodies together hold too much.
        """
        try:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                content = message.get("body", b"")
                if len(content) <= PATIENCE:
                    body.content = content
                    body.sha256 = hashlib.sha256(content).hexdigest() if content else sigv4.EMPTY_HASH
                    return
            await self._read_on(body, message, receive, limit=limit, known=known)
        except Late:
            body.unread = True
            raise

    async def _read_on(
        self,
        body: Body,
        message: MutableMapping[str, Any],
        receive: Receive,
        *,
        limit: int,
        known: Callable[[], Awaitable[bool]],
    ) -> None:
        allowed, size, digest = min(PATIENCE, limit), 0, hashlib.sha256()
        chunks: list[bytes] = []
        asked = crowded = False
        while True:
            if message["type"] != "http.request":
                raise Disconnected
            chunk = message.get("body", b"")
            size += len(chunk)
            if allowed < size and not asked:
                asked = True
                allowed = limit if await known() else allowed
            crowded = crowded or not self._hold(body, len(chunk))
            if size <= allowed and not crowded:
                digest.update(chunk)
                chunks.append(chunk)
            else:
                # Read on without keeping it, so that the caller gets to our answer; but not for ever.
                chunks.clear()
                self.release(body)
            if not message.get("more_body", False):
                break
            if size > 2 * limit:
                body.unread = True
                break
            message = await receive()
        if crowded:
            raise Unreachable("too many large requests at once")
        if size > allowed:
            if allowed < limit:
                raise Stranger
            raise TooLarge("Message is too long.")
        body.content, body.sha256 = b"".join(chunks), digest.hexdigest()

    def _hold(self, body: Body, octets: int) -> bool:
        """Count them. False: all calls together hold too much, and this large one has to come again."""
        body.held += octets
        self._held += octets
        return self._held <= self._most or body.held <= PATIENCE

    def release(self, body: Body) -> None:
        """What it holds counts no more."""
        self._held -= body.held
        body.held = 0


async def read_short(receive: Receive) -> bytes:
    """The body of a plain request.

    Raises:
        Disconnected, Late, TooLarge: as above.
    """
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > PLAIN_BODY:
            raise TooLarge("The request body is too long.")
    return body
