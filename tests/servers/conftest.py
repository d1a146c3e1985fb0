"""The doors, once with TLS and AUTH, once for a trusted network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.doors import ACCOUNT, Doors


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    with Doors(tmp_path) as started:
        yield started


@pytest.fixture
def trusting(tmp_path: Path) -> Iterator[Doors]:
    """127.0.0.0/8 submits for the account."""
    with Doors(tmp_path, trusted=[("127.0.0.0/8", ACCOUNT)]) as started:
        yield started
