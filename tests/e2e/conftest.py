"""One town for all scenarios: a server in direct mode, DNS, destinations; each scenario looks only at its own mail."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from peers.town import Town


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Town(tmp_path_factory.mktemp("town")) as running:
        yield running
        began = time.monotonic()
        assert running.server.stop() == 0, running.server.tail()
        assert time.monotonic() - began < 5, f"it had nothing in hand and stopped slowly:\n{running.server.tail(15)}"
