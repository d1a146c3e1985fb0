"""The ground of the tests here: the outbound core on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.database import Ground, ground
from peers.yard import Yard

__all__ = ["ground"]


@pytest.fixture
def yard(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    monkeypatch.setattr("mailstead.outbound.drain.LINGER", 0.02)
    made = Yard(ground, tmp_path)
    yield made
    made.close()
