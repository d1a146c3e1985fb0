"""Running: tells commands which configuration the server in a data directory was started with.

``DIR/running.json`` (mode 0600: it may hold secrets) stands beside ``DIR/endpoints.json`` while a server runs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mailstead.config.settings import Settings

NAME = "running.json"


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is up."""

    pid: int
    given: Mapping[str, object] = field(repr=False)
    """What it was given, by key; ``load(base=…)`` takes it."""


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


def read(data: Path) -> Running | None:
    """The server that runs in a data directory; None if none does (one that was killed left its file behind)."""
    try:
        content = msgspec.json.decode((data / NAME).read_bytes(), type=dict[str, object])
        pid, given = content["pid"], content["given"]
        if not isinstance(pid, int) or not isinstance(given, dict):
            return None
        os.kill(pid, 0)
    except PermissionError:
        return None
    except (OSError, KeyError, msgspec.MsgspecError, OverflowError):
        return None
    return Running(pid, given)
