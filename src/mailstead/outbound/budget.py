"""Budget: so many bytes at once, for whoever asks first."""

from __future__ import annotations

import asyncio


class Budget:
    """So many bytes at once; who asks first is served first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait for room; whoever takes gives back."""
        if not self._turn.locked() and self._fits(size):
            self._taken += size
            return
        async with self._turn:
            while not self._fits(size):
                self._room.clear()
                await self._room.wait()
            self._taken += size

    def _fits(self, size: int) -> bool:
        return self._taken == 0 or self._taken + size <= self._size

    def give(self, size: int) -> None:
        """Make room."""
        self._taken -= size
        self._room.set()
