"""Running: tells commands which configuration the server in a data directory was started with.

``DIR/running.json`` (mode 0600: it may hold secrets) stands beside ``DIR/endpoints.json`` while a server runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mailstead.config.settings import Settings

NAME = "running.json"
LOCK = "serve.lock"
"""Locked by the server for as long as it runs."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is up."""

    pid: int
    given: Mapping[str, object] = field(repr=False)
    """What it was given, by key; ``load(base=…)`` takes it."""


@contextlib.contextmanager
def hold(data: Path) -> Iterator[bool]:
    """Take the lock if it is free: True. The kernel gives it back when this process ends, however it does."""
    handle = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def write(settings: Settings) -> None:
    """Say that this process serves with these settings."""
    content = msgspec.json.encode({"pid": os.getpid(), "given": dict(settings.given)})
    draft = settings.data / f".{NAME}.{os.getpid()}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)
    draft.replace(settings.data / NAME)


def remove(settings: Settings) -> None:
    """Say that it does no more."""
    with contextlib.suppress(OSError):
        (settings.data / NAME).unlink()


def _locked(data: Path) -> bool:
    """Does a server hold the data directory?  The lock goes with its process, however that ends."""
    handle = os.open(data / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def read(data: Path) -> Running | None:
    """The server that runs in a data directory; None if none does (one that was killed left its file behind)."""
    try:
        if not _locked(data):
            return None
        content = msgspec.json.decode((data / NAME).read_bytes(), type=dict[str, object])
        pid, given = content["pid"], content["given"]
        if not isinstance(pid, int) or not isinstance(given, dict):
            return None
    except (OSError, KeyError, msgspec.MsgspecError, OverflowError):
        return None
    return Running(pid, given)
