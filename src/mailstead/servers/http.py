"""HTTP shell: an ASGI application on our addresses, inside our own event loop (uvicorn without its process habits)."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mailstead.servers.listener import BACKLOG, Address, bind_all, shown

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

KEEP_ALIVE = 65
"""Seconds an idle connection is kept: longer than the SDKs' own 60, so that they close first."""


MAX_HEAD = 64 * 1024
"""Octets of a request line with its header, about: what comes in one read is looked at as a whole."""
MAX_FIELDS = 200
HEAD_SECONDS = 30.0
"""For a request to begin on a new connection, and for its header to be complete."""


@dataclass(frozen=True, slots=True)
class Place:
    """One address and whether it speaks TLS."""

    address: Address
    tls: bool = False


class TooManyFields(Exception):
    """More header fields than anybody needs."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose requests have a bounded header that comes in bounded time."""

    _in_head = False
    _size = 0
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin_watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._size += len(data)
            if self._size > MAX_HEAD:
                self.send_400_response("Request header too large.")
                return
        super().data_received(data)
        if not self._in_head:
            self._end_watch()
        elif self._watch is None:
            self._begin_watch()

    def on_message_begin(self) -> None:
        self._in_head, self._size = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= MAX_FIELDS:
            raise TooManyFields  # the parser turns it into a 400
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def _begin_watch(self) -> None:
        self._watch = self.loop.call_later(HEAD_SECONDS, self._late)

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _late(self) -> None:
        self._watch = None
        self.transport.close()


class HttpServer:
    """One listener: started and stopped by ``app``.

    Args:
        name: the listener's key in ``[listen]``.
        app: a bare ASGI application.
        tls: for the places that speak TLS.
        connections: answered with 503 above so many; 0: no limit.
        keep_alive: seconds an idle connection is kept.
    """

    def __init__(
        self,
        name: str,
        app: App,
        places: Sequence[Place],
        *,
        tls: ssl.SSLContext | None = None,
        connections: int = 0,
        keep_alive: int = KEEP_ALIVE,
    ) -> None:
        self.name = name
        self._app = app
        self._places = tuple(places)
        self._tls = tls
        self._connections = connections
        self._keep_alive = keep_alive
        self._running: list[tuple[uvicorn.Server, list[socket.socket]]] = []
        self._clock: asyncio.Task[None] | None = None

    async def start(self) -> list[str]:
        """Listen; the real addresses as ``http://host:port``, in the order of the places.

        Raises:
            Conflict: an address cannot be had; nothing listens then.
        """
        bound = bind_all(self.name, [place.address for place in self._places])
        for tls in (False, True):
            sockets = [one for place, one in zip(self._places, bound, strict=True) if place.tls == tls]
            if sockets:
                await self._serve(sockets, tls=tls)
        self._clock = asyncio.create_task(self._tick(), name=f"http {self.name}")
        addresses = [
            f"{'https' if place.tls else 'http'}://{shown(*one.getsockname()[:2])}"
            for place, one in zip(self._places, bound, strict=True)
        ]
        log.info("listening name=%s addresses=%s", self.name, ",".join(addresses))
        return addresses

    async def _serve(self, sockets: list[socket.socket], *, tls: bool) -> None:
        # Not Server.serve: it takes the signals, which are the business of app.
        config = self._config(tls=tls)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.on_tick(0)
        await server.startup(sockets=sockets)
        self._running.append((server, sockets))

    async def _tick(self) -> None:
        """Each second: the Date of the answers."""
        while True:
            await asyncio.sleep(1)  # the Date has seconds
            for server, _ in self._running:
                await server.on_tick(0)

    def _config(self, *, tls: bool) -> uvicorn.Config:
        context = self._tls if tls else None
        return uvicorn.Config(
            self._app,
            loop="none",
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            limit_concurrency=self._connections or None,
            timeout_keep_alive=self._keep_alive,
            ssl_context_factory=(lambda _config, _default: context) if context is not None else None,
        )

    async def stop(self, grace: float) -> None:
        """Accept no more, let requests in hand be answered within ``grace`` seconds."""
        if self._clock is not None:
            self._clock.cancel()
        for server, _ in self._running:
            server.config.timeout_graceful_shutdown = max(1, round(grace))
        await asyncio.gather(*(server.shutdown(sockets=sockets) for server, sockets in self._running))
        self._running.clear()
