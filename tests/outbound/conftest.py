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
    # A lane that has nothing to do is let go at once: no test waits for it.
    monkeypatch.setattr("mailstead.outbound.drain.LINGER", 0.02)
    made = Yard(ground, tmp_path)
    yield made
    made.close()
