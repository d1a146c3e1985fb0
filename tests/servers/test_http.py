"""The HTTP shell, seen by a real client."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from mailstead.base.clock import SystemClock
from mailstead.base.errors import Conflict
from mailstead.net.tls import make_self_signed, server_context
from mailstead.servers.http import HttpServer, Place, Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    body = f"{scope['method']} {scope['path']} {scope['scheme']}".encode()
    start: MutableMapping[str, Any] = {"type": "http.response.start", "status": 200}
    start["headers"] = [(b"content-length", str(len(body)).encode())]
    await send(start)
    await send({"type": "http.response.body", "body": body})


def get(address: str, path: str = "/", context: ssl.SSLContext | None = None) -> tuple[int, bytes, dict[str, str]]:
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if scheme == "https":
        client: http.client.HTTPConnection = http.client.HTTPSConnection(host, int(port), timeout=5, context=context)
    else:
        client = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        client.request("GET", path)
        response = client.getresponse()
        return response.status, response.read(), {k.lower(): v for k, v in response.getheaders()}
    finally:
        client.close()


def test_http_and_https_on_free_ports(tmp_path: Path) -> None:
    cert, key = make_self_signed(tmp_path, "localhost", SystemClock())
    trusting = ssl.create_default_context(cafile=str(cert))
    places = [Place(("127.0.0.1", 0), tls=True), Place(("127.0.0.1", 0))]

    async def scene() -> None:
        server = HttpServer("api", app, places, tls=server_context(cert, key))
        secure, plain = await server.start()
        assert secure.startswith("https://127.0.0.1:")
        status, body, headers = await asyncio.to_thread(get, plain, "/a")
        assert (status, body) == (200, b"GET /a http")
        assert "date" in headers
        assert "server" not in headers
        assert (await asyncio.to_thread(get, secure, "/b", trusting))[1] == b"GET /b https"
        await server.stop(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(get, plain)

    asyncio.run(scene())


def test_a_request_in_hand_is_answered_at_the_end() -> None:
    async def scene() -> None:
        server = HttpServer("api", app, [Place(("127.0.0.1", 0))])
        (address,) = await server.start()
        answer = asyncio.create_task(asyncio.to_thread(get, address, "/slow"))
        await asyncio.sleep(0.1)
        await server.stop(5)
        assert (await answer)[0] == 200

    asyncio.run(scene())


def test_a_clash_is_one_plain_line() -> None:
    async def scene() -> None:
        first = HttpServer("api", app, [Place(("127.0.0.1", 0))])
        (address,) = await first.start()
        port = int(address.rpartition(":")[2])
        with pytest.raises(Conflict, match=rf"listen\.console: cannot listen on 127\.0\.0\.1:{port}: the address is"):
            await HttpServer("console", app, [Place(("127.0.0.1", port))]).start()
        await first.stop(1)

    asyncio.run(scene())


def raw(address: str, request: bytes) -> bytes:
    """What comes back until the server closes."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := client.recv(65536):
                answer += data
        return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 2_000_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000,
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 300 + b"\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["url", "field", "fields", "nonsense"],
)
def test_hostile_requests_are_bounded(request_: bytes) -> None:
    async def scene() -> None:
        server = HttpServer("api", app, [Place(("127.0.0.1", 0))])
        (address,) = await server.start()
        answer = await asyncio.to_thread(raw, address, request_)
        assert answer.startswith(b"HTTP/1.1 400 ") or answer == b""  # a reset may overtake the answer
        assert (await asyncio.to_thread(get, address))[0] == 200
        await server.stop(1)

    asyncio.run(scene())


@pytest.mark.slow
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost:"])
def test_a_request_that_does_not_come_is_not_waited_for(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.servers.http.HEAD_SECONDS", 0.3)

    async def scene() -> None:
        server = HttpServer("api", app, [Place(("127.0.0.1", 0))])
        (address,) = await server.start()
        assert await asyncio.to_thread(raw, address, said) == b""
        await server.stop(1)

    asyncio.run(scene())


def test_signals_stay_ours() -> None:
    import signal

    async def scene() -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        server = HttpServer("api", app, [Place(("127.0.0.1", 0))])
        await server.start()
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        await server.stop(1)

    assert threading.current_thread() is threading.main_thread()
    asyncio.run(scene())
