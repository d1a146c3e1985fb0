"""The listener that outsiders see, asked by a real client: pages, bounds, headers, and what goes wrong."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mailstead.base.errors import NotFound, Unreachable
from mailstead.servers.http import HttpServer, Place
from mailstead.servers.page import paragraph, sheet
from mailstead.servers.tracking import KEEP_ALIVE, Answer, Page, Tracking, Visit, redirect, told

Response = tuple[int, dict[str, str], bytes]
Ask = Callable[..., Response]


async def echo(visit: Visit) -> Answer:
    seen = f"{visit.method} {visit.path} {dict(visit.query)} {visit.content_type} {visit.body!r} {visit.client}"
    return told("Echo", seen)


async def away(visit: Visit) -> Answer:
    raise Unreachable("the database of 10.0.0.7 is away")


async def absent(visit: Visit) -> Answer:
    raise NotFound("No <b>such</b> thing")


async def broken(visit: Visit) -> Answer:
    raise RuntimeError("secret of ours")


async def gone(visit: Visit) -> Answer:
    return redirect("https://example.com/a?b=c")


PAGES = (
    Page("/echo", echo, methods=("GET", "HEAD", "POST")),
    Page("/away", away),
    Page("/absent", absent),
    Page("/broken", broken),
    Page("/gone", gone),
)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = HttpServer("tracking", Tracking(PAGES), [Place(("127.0.0.1", 0))], keep_alive=KEEP_ALIVE)
    (at,) = asyncio.run_coroutine_threadsafe(server.start(), loop).result(10)
    host, _, port = at.removeprefix("http://").rpartition(":")
    yield host, int(port)
    asyncio.run_coroutine_threadsafe(server.stop(1), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def ask(address: tuple[str, int]) -> Ask:
    def asked(method: str, target: str, body: bytes | None = None, **headers: str) -> Response:
        client = http.client.HTTPConnection(*address, timeout=5)
        try:
            client.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = client.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            client.close()

    return asked


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("/echo", "GET  {}"),
        ("/echo/a/b?x=1&y=%C3%A4&x=2", "GET /a/b {&#x27;x&#x27;: &#x27;1&#x27;, &#x27;y&#x27;: &#x27;ä&#x27;}"),
        ("/echo?%3Cscript%3E=%22", "GET  {&#x27;&lt;script&gt;&#x27;: &#x27;&quot;&#x27;}"),
        ("/echo/%2e%2e/gone", "GET /../gone {}"),
    ],
)
def test_a_page_gets_what_was_asked(ask: Ask, target: str, seen: str) -> None:
    status, headers, body = ask("GET", target)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert seen in body.decode()


def test_a_form_comes_as_it_is(ask: Ask) -> None:
    status, _, body = ask(
        "POST", "/echo", b"List-Unsubscribe=One-Click", content_type="multipart/form-data; boundary=x"
    )
    assert status == 200
    assert "POST  {} multipart/form-data; boundary=x b&#x27;List-Unsubscribe=One-Click&#x27; 127.0.0.1" in body.decode()


def test_head_has_the_length_and_no_body(ask: Ask) -> None:
    status, headers, body = ask("HEAD", "/echo")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 500


@pytest.mark.parametrize(
    "target", ["/", "/echoes", "/ECHO", "//echo", "/%65cho2", "/_mailstead/health", "/favicon.ico"]
)
def test_nothing_there(ask: Ask, target: str) -> None:
    status, _, body = ask("GET", target)
    assert status == 404
    assert b"There is nothing at this address" in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_methods_that_a_page_does_not_take(ask: Ask, method: str) -> None:
    status, headers, _ = ask(method, "/gone")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_what_a_page_raises_is_a_page(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    status, _, body = ask("GET", "/away")
    assert (status, b"10.0.0.7" in body) == (503, False)
    status, _, body = ask("GET", "/absent")
    assert (status, b"No &lt;b&gt;such&lt;/b&gt; thing" in body) == (400, True)
    status, _, body = ask("GET", "/broken")
    assert (status, b"secret" in body) == (500, False)
    assert [record.levelname for record in caplog.records if "page_failed" in record.message] == ["WARNING", "ERROR"]


def test_bounds(ask: Ask) -> None:
    assert ask("GET", "/echo?x=" + "a" * 15_000)[0] == 200
    assert ask("GET", "/echo?x=" + "a" * 17_000)[0] == 414
    assert ask("GET", "/echo?" + "&".join(f"a{n}=1" for n in range(51)))[0] == 400
    assert ask("POST", "/echo", b"x" * 65_536)[0] == 200
    status, headers, _ = ask("POST", "/echo", b"x" * 65_537)
    assert (status, headers["connection"]) == (413, "close")


def test_a_body_that_does_not_come_is_not_waited_for(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.servers.tracking.BODY_SECONDS", 0.05)
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        assert client.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_every_answer_is_held_tight(ask: Ask) -> None:
    for target in ("/echo", "/nothing", "/broken", "/gone"):
        headers: dict[str, Any] = ask("GET", target)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "server" not in headers


def test_a_redirect(ask: Ask) -> None:
    status, headers, body = ask("GET", "/gone")
    assert (status, headers["location"], body) == (302, "https://example.com/a?b=c", b"")


@pytest.mark.parametrize(
    "target",
    ["javascript:alert(1)", "//evil.test", "/a", "https://a\r\nX: y", "https://ä.test", "https:// a", "https://"],
)
def test_addresses_nobody_is_sent_to(target: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        redirect(target)


def test_the_sheet_is_whole_and_escaped() -> None:
    from html.parser import HTMLParser

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []
            self.attributes: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            self.attributes += [name for name, _ in attrs]

    reader = Reader()
    text = sheet('<img src="x">', paragraph("<script>alert(1)</script> & more")).decode()
    reader.feed(text)
    assert reader.tags == ["html", "head", "meta", "meta", "title", "style", "body", "main", "h1", "p"]
    assert {"src", "href", "style"}.isdisjoint(reader.attributes)
    assert 'lang="en"' in text
    assert "width=device-width" in text


def test_the_policy_lets_our_style_in_and_no_other() -> None:
    import base64
    import hashlib
    import re

    from mailstead.servers.page import POLICY

    style = re.search(rb"<style>(.*)</style>", sheet("x", ""))
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1]).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
