"""Job files: what a job leaves for whoever asked for it, as a blob."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mailstead.store.port import BlobStore, Transaction


class Failure(Exception):
    """A job cannot be done; ``str(error)`` is for whoever asked for it."""


class FileDraft:
    """A file on its way into the blob store; an empty one is none, and its reference is empty."""

    def __init__(self, blobs: BlobStore, job: str, content: bytes) -> None:
        self._blobs = blobs
        self._content = content
        self.ref = blobs.plan(f"job-{job}", content) if content else ""

    async def put(self) -> None:
        """Before the transaction."""
        if self.ref:
            await self._blobs.put(self.ref, self._content)

    async def put_in(self, tx: Transaction) -> None:
        """In the transaction."""
        if self.ref:
            await self._blobs.put_in(tx, self.ref, self._content)


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A JSON object a line."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
