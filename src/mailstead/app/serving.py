"""Serving: starts everything in order, says ready, and stops it in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator

import msgspec
import uvloop

from mailstead.app import first_start, logs, parts
from mailstead.app.house import House
from mailstead.app.opening import StartError, open_runtime
from mailstead.base.errors import MailsteadError, Unreachable
from mailstead.config import Settings, running
from mailstead.store import work

LOCK_TRIES = 10
LOCK_PAUSE = 0.05
"""Seconds."""

log = logging.getLogger(__name__)

SWITCH = 0.0002
"""Seconds after which a thread may ask for the interpreter lock: signing and committing must not wait for long."""
AT_LEAST = 0.5
"""Seconds that each part has to stop, however long the others took."""


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT; the exit status."""
    logs.set_up(settings.log.level, settings.log.format)
    sys.setswitchinterval(SWITCH)
    _open_many_files()
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        uvloop.run(_serve(settings))
    except MailsteadError as error:
        sys.stderr.write(f"mailstead: {error.message}\n")
        return 1
    return 0


def _open_many_files() -> None:
    """Each connection is an open file: the soft limit of 1024 that most systems start us with is soon reached."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.asynccontextmanager
async def _only_one(settings: Settings) -> AsyncIterator[None]:
    """SQLite is one process: a second server on the same data is refused, however the first one ended."""
    for _ in range(LOCK_TRIES):
        with running.hold(settings.data) as held:
            if held:
                yield
                return
        await asyncio.sleep(LOCK_PAUSE)  # a command may be looking at the lock for an instant
    raise StartError(f"another server runs on {settings.data} already")


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with _only_one(settings), open_runtime(settings) as runtime:
        house = House(runtime, settings)
        await _take_over(house)
        await first_start.prepare(runtime, settings)
        try:
            await parts.start(house)
            _announce(house)
            await _until(house, stopping)
        finally:
            await _stop(house)


async def _take_over(house: House) -> None:
    """Leases of processes that are gone come free: on SQLite all others are."""
    runtime = house.runtime
    await house.register()
    if runtime.db.kind == "sqlite":
        await runtime.db.run(lambda tx: work.release_all_but(tx, runtime.worker))


def _announce(house: House) -> None:
    """``DIR/endpoints.json``, then the one line on stdout that says ready."""
    place = house.settings.data / "endpoints.json"
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(house.endpoints), indent=2) + b"\n")
    draft.replace(place)
    running.write(house.settings)
    words = [f"{name}={','.join(at) if isinstance(at, list) else at}" for name, at in house.endpoints.items()]
    sys.stdout.write(" ".join(["ready", *words]) + "\n")
    sys.stdout.flush()


async def _until(house: House, stopping: asyncio.Event) -> None:
    """Until we are told to stop; a part that ends by itself is a bug that ends the process."""
    told = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([told, *house.tasks.values()], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    for task in done - {told}:
        error = task.exception() if not task.cancelled() else None
        log.error("%s ended by itself", task.get_name(), exc_info=error)
        raise StartError(f"{task.get_name()} ended by itself, see the log")


async def _stop(house: House) -> None:
    grace = house.settings.shutdown_grace / 1000
    running.remove(house.settings)
    with contextlib.suppress(OSError):
        (house.settings.data / "endpoints.json").unlink()
    end = asyncio.get_running_loop().time() + grace
    for close in house.closing:
        # One grace for all: a client that stays must not keep the deliveries from their end.
        left = max(AT_LEAST, end - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(left + 3):
                await close(left)
        except TimeoutError:
            log.warning("a part did not stop within %g s", left)
        except Exception:
            log.exception("a part could not be stopped")
    for task in house.tasks.values():
        task.cancel()
    await asyncio.gather(*house.tasks.values(), return_exceptions=True)
    with contextlib.suppress(Unreachable):
        await house.runtime.db.run(lambda tx: work.forget(tx, house.runtime.worker))
