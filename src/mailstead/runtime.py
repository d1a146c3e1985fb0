"""The outside world as one value: what a part needs to reach beyond its own code."""

from __future__ import annotations

from dataclasses import dataclass

from mailstead.base.clock import Clock
from mailstead.proto.dns import Resolver
from mailstead.store.port import BlobStore, Database, Signal
from mailstead.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Runtime:
    """Handed to every part that does work; ``app`` alone builds one."""

    db: Database
    blobs: BlobStore
    clock: Clock
    dns: Resolver
    signal: Signal
    vault: Vault
    worker: str
    """Id of this process: the owner of its leases."""
