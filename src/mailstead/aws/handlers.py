"""Handlers: what the gateway hands to the operations and to the plain routes, and what it takes from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mailstead.ses.principals import Caller


@dataclass(frozen=True, slots=True)
class Request:
    """One call, authenticated, decoded and valid by the model."""

    caller: Caller
    params: dict[str, Any]
    """The input by the model's names: times in milliseconds, blobs as bytes, absent members absent."""
    clock_now: int
    """Milliseconds since 1970, from the clock that tests may move."""
    service: str = ""
    """``ses``, ``sesv2``, ``sts`` or ``sns``."""
    operation: str = ""
    request_id: str = ""
    base: str = ""
    """How the caller reaches us: ``http://host:port``."""

    def page(self, *more: str) -> tuple[str, ...]:
        """What a page token of this call belongs to; ``more``: filters of the list."""
        return (self.service, self.operation, self.caller.account, self.caller.region, *more)


Handler = Callable[[Request], Awaitable[Mapping[str, Any] | None]]
"""Answers with the output by the model's names, or None; raises the words of ``base/errors.py``."""


@dataclass(frozen=True, slots=True)
class Known:
    """An active access key: who acts with it, and its secret."""

    caller: Caller
    secret: str = field(repr=False)


CallerFor = Callable[[str, str], Awaitable[Known | None]]
"""(access key, region) → the key, or None if it does not exist or is not active."""


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """A request to one of the plain routes (``/_mailstead/health`` and the like), not authenticated."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False
    """Close the connection: the rest of the request was not read."""


PlainHandler = Callable[[PlainRequest], Awaitable[Reply]]
