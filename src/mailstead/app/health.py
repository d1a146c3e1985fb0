"""Health: does every part work?  Asked by load balancers and by people, answered without a signature."""

from __future__ import annotations

import os

import msgspec

from mailstead import __version__
from mailstead.app.house import House
from mailstead.aws.handlers import PlainHandler, PlainRequest, Reply
from mailstead.base.errors import MailsteadError
from mailstead.runtime import Runtime
from mailstead.store import work

FULL = 64 << 20
"""Free bytes on the disk below which we are not well."""


def route(house: House) -> PlainHandler:
    """``GET /_mailstead/health``: 200 when every part works, 503 with the failing part otherwise."""

    async def answer(request: PlainRequest) -> Reply:
        parts = await look(house)
        well = all(state == "ok" for state in parts.values())
        body = {"status": "ok" if well else "failing", "version": __version__, "parts": parts}
        return Reply(200 if well else 503, msgspec.json.encode(body))

    return answer


async def look(house: House) -> dict[str, str]:
    """Each part: ``ok``, or what is wrong with it in a few words."""
    parts = {"database": await _database(house.runtime), "blobs": await _blobs(house.runtime), "disk": _disk(house)}
    for name, task in house.tasks.items():
        parts[name] = "stopped" if task.done() else "ok"
    return parts


async def _database(runtime: Runtime) -> str:
    try:
        await runtime.db.run(lambda tx: work.beat(tx, runtime.worker))
    except MailsteadError as error:
        return error.message
    return "ok"


async def _blobs(runtime: Runtime) -> str:
    try:
        await runtime.blobs.check()
    except MailsteadError as error:
        return error.message
    return "ok"


def _disk(house: House) -> str:
    try:
        state = os.statvfs(house.settings.data)
    except OSError as error:
        return error.strerror or "cannot be asked"
    free = state.f_bavail * state.f_frsize
    return "ok" if free >= FULL else f"only {free >> 20} MiB free"
