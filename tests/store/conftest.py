"""The ground of the tests here: a migrated database on each engine."""

from __future__ import annotations

from peers.database import ground

__all__ = ["ground"]
