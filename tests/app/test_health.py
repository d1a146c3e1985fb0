"""Health: 200 when every part works, 503 with the one that does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mailstead.app import health
from mailstead.app.house import House
from mailstead.app.opening import open_runtime
from mailstead.aws.handlers import PlainRequest
from mailstead.config import load


def asked(tmp_path: Path, prepare: Callable[[House], Awaitable[None]]) -> tuple[int, dict[str, Any]]:
    """What a load balancer is told."""

    async def both() -> tuple[int, dict[str, Any]]:
        settings = load(data=tmp_path / "data")
        async with open_runtime(settings) as runtime:
            house = House(runtime, settings)
            await house.register()
            await prepare(house)
            request = PlainRequest("GET", "/_mailstead/health", {}, {}, b"")
            reply = await health.route(house)(request)
            for task in house.tasks.values():
                task.cancel()
            await asyncio.gather(*house.tasks.values(), return_exceptions=True)
            return reply.status, json.loads(reply.body)

    return asyncio.run(both())


async def well(house: House) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    house.run("deliveries", forever())


def test_all_is_well(tmp_path: Path) -> None:
    status, told = asked(tmp_path, well)
    assert (status, told["status"]) == (200, "ok")
    assert set(told["parts"].values()) == {"ok"}
    assert {"database", "disk", "deliveries"} <= set(told["parts"])


def test_a_part_that_ended(tmp_path: Path) -> None:
    async def prepare(house: House) -> None:
        await well(house)
        house.run("upkeep", asyncio.sleep(0))
        await asyncio.wait([house.tasks["upkeep"]])

    status, told = asked(tmp_path, prepare)
    assert (status, told["status"]) == (503, "failing")
    assert told["parts"]["upkeep"] == "stopped"
    assert told["parts"]["deliveries"] == "ok"


def test_a_database_that_is_away(tmp_path: Path) -> None:
    async def prepare(house: House) -> None:
        house.runtime.db.fail_next(1)  # type: ignore[attr-defined]

    status, told = asked(tmp_path, prepare)
    assert status == 503
    assert told["parts"]["database"] not in ("ok", "")
    assert told["parts"]["disk"] == "ok"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FULL", 1 << 62)
    status, told = asked(tmp_path, well)
    assert status == 503
    assert told["parts"]["disk"].startswith("only ")
