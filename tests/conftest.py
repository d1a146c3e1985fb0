"""What every test may ask for: published vectors, both databases, a DNS server, the number of fault rounds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from peers.ground import VECTORS, lacking
from peers.nsd import Nsd
from peers.postgres import Postgres

settings.register_profile("default", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Published test data at MAILSTEAD_VECTORS or ../shared/vectors; absent: skipped, in CI a failure."""
    if not VECTORS.is_dir():
        lacking(f"the published vectors are not at {VECTORS} (set MAILSTEAD_VECTORS)")
    return VECTORS


@pytest.fixture(scope="session")
def seeds() -> range:
    """The rounds of a fault campaign: 5 in ``make test``, MAILSTEAD_SEEDS (50) in ``make faults``."""
    return range(int(os.environ.get("MAILSTEAD_SEEDS", "5")))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the session; ``fresh_database()`` gives a test its own."""
    with Postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, once on each engine."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/mailstead.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.fresh_database()
    yield url
    server.drop_database(url)


@pytest.fixture(scope="session")
def _nsd() -> Iterator[Nsd]:
    with Nsd() as server:
        yield server


@pytest.fixture
def dns(_nsd: Nsd) -> Iterator[Nsd]:
    """A real DNS server without records; those that a test sets are gone after it."""
    yield _nsd
    _nsd.clear()
