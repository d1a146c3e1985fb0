"""Tracking: the HTTP that outsiders see: links in mail that lead to us, each a page; strangers ask, so all is bounded.

A page is a row of the table in ``app/pages.py``: a path, what answers there, and the methods it takes.  Whoever answers
gets a ``Visit`` and gives an ``Answer``; errors of its own become a page too.

Careful: programs that look at links before people do (scanners, previews) come here as well, with GET and HEAD.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from mailstead.base.errors import MailsteadError, Unreachable
from mailstead.servers.http import Receive, Scope, Send
from mailstead.servers.page import POLICY, paragraph, sheet

log = logging.getLogger(__name__)

MAX_TARGET = 16 * 1024
"""Octets of path and query: a link in mail is a line, however long its target."""
MAX_PAIRS = 50
"""Of a query or a form."""
MAX_BODY = 64 * 1024
BODY_SECONDS = 10.0
"""For a whole request body."""
KEEP_ALIVE = 5
"""Seconds an idle connection is kept: people read longer than they click."""

HTML = "text/html; charset=utf-8"
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),  # the address of a page is a secret of its reader
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-robots-tag", b"noindex, nofollow"),
    (b"cache-control", b"no-store"),
)
_LOCATION = re.compile(r"https?://[\x21-\x7e]{1,2048}")


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page."""

    method: str
    path: str
    """What follows the page's own path: empty, or from a slash on."""
    query: Mapping[str, str]
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    client: str = ""
    """The address it came from."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is shown."""

    status: int
    body: bytes
    content_type: str = HTML
    location: str = ""
    """Where to go instead (RFC 9110 §10.2.2)."""


Show = Callable[[Visit], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Page:
    """A row of the table."""

    path: str
    """It answers here and at everything below: ``/verify`` also at ``/verify/…``."""
    show: Show
    methods: tuple[str, ...] = ("GET", "HEAD")


def told(title: str, text: str, status: int = 200) -> Answer:
    """A page that says one thing; both are plain text."""
    return Answer(status, sheet(title, paragraph(text)))


def redirect(location: str) -> Answer:
    """Go on over there: an absolute http(s) address in ASCII.

    Raises:
        ValueError: it is none.
    """
    if not _LOCATION.fullmatch(location):
        raise ValueError("no address to redirect to")
    return Answer(302, b"", location=location)


NOT_FOUND = told("Page not found", "There is nothing at this address. If it came from a mail, it may be cut off.", 404)
TOO_LONG = told("Address too long", "This address is longer than any of ours.", 414)
UNREADABLE = told("Not understood", "This request cannot be understood.", 400)
TOO_LARGE = told("Too much", "This request is larger than anything this page takes.", 413)
LATE = told("Too slow", "The request did not arrive in time. Please try again.", 408)
AWAY = told("Try again soon", "This page cannot be shown right now. Please try again in a few minutes.", 503)
FAILED = told("Something went wrong", "This page could not be shown. The fault is ours, and it has been noted.", 500)
CLOSING = frozenset({408, 413})
"""Answers before the request was read: the connection is good for nothing more."""


class _Refused(Exception):
    """The request is answered before a page is asked."""

    def __init__(self, answer: Answer, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.headers = headers


class _Left(Exception):
    """The visitor went away."""


class Tracking:
    """The ASGI application of the ``tracking`` listener."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = {page.path: page for page in pages}
        assert len(self._pages) == len(pages), "two pages of one path"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI 3)."""
        if scope["type"] != "http":
            return
        headers: tuple[tuple[bytes, bytes], ...] = ()
        try:
            answer = await self._answer(scope, receive)
        except _Refused as refused:
            answer, headers = refused.answer, refused.headers
        except _Left:
            return
        await _send(send, answer, headers, bare=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        page, rest = self._find(scope)
        if scope["method"] not in page.methods:
            allowed = ", ".join(page.methods)
            refusal = told("Not possible here", f"This page answers to {allowed}.", 405)
            raise _Refused(refusal, (b"allow", allowed.encode()))
        visit = Visit(
            scope["method"],
            rest,
            pairs(scope["query_string"]),
            _content_type(scope),
            await _body(receive),
            scope["client"][0] if scope.get("client") else "",
        )
        try:
            return await page.show(visit)
        except Unreachable as error:
            log.warning("page_failed path=%s: %s", page.path, error)
            return AWAY
        except MailsteadError as error:
            return told("Not possible", error.message, 400)
        except Exception:
            log.exception("page_failed path=%s", page.path)
            return FAILED

    def _find(self, scope: Scope) -> tuple[Page, str]:
        path = scope["path"]
        if len(scope.get("raw_path") or path) + len(scope["query_string"]) > MAX_TARGET:
            raise _Refused(TOO_LONG)
        first, slash, rest = path[1:].partition("/")
        page = self._pages.get(f"/{first}")
        if page is None:
            raise _Refused(NOT_FOUND)
        return page, slash + rest


def pairs(raw: bytes) -> dict[str, str]:
    """The pairs of a query or a form (URL Standard §5.1); of a name that comes twice, the first.

    Raises:
        _Refused: more than anybody needs.
    """
    try:
        found = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PAIRS)
    except ValueError:
        raise _Refused(UNREADABLE) from None
    return dict(reversed(found))


def _content_type(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"), "")


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Left
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY:
                    raise _Refused(TOO_LARGE)
    except TimeoutError:
        raise _Refused(LATE) from None
    return body


async def _send(send: Send, answer: Answer, more: Sequence[tuple[bytes, bytes]], *, bare: bool) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *_HEADERS,
        *more,
    ]
    if answer.location:
        headers.append((b"location", answer.location.encode()))
    if answer.status in CLOSING:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if bare else answer.body})
