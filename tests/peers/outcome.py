"""Outcome: what a call ended in, its value or one of the errors that it may raise; any other error fails the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


def outcome(call: Callable[[], T], *allowed: type[E]) -> T | E:
    """The value, or the error itself; a test asserts on either."""
    try:
        return call()
    except allowed as error:
        return error
