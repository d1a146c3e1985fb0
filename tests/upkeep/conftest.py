"""The ground of the tests here: the outbound core on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstead.upkeep import importing
from peers.database import Ground, ground
from peers.job_yard import Stage
from peers.yard import Yard

__all__ = ["ground"]


@pytest.fixture
def yard(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.setattr("mailstead.outbound.drain.LINGER", 0.02)
    made = Yard(ground, tmp_path)
    yield made
    made.close()


@pytest.fixture
def stage(yard: Yard, tmp_path: Path) -> Stage:
    return Stage(yard, tmp_path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little at a time."""
    monkeypatch.setattr(importing, "PIECE", 100)
    monkeypatch.setattr(importing, "BATCH", 3)
    monkeypatch.setattr(importing, "TURN", 2)
