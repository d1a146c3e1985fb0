"""Signal: a nudge inside one process, so that due work need not wait for the next poll."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

_Hearer = tuple[asyncio.AbstractEventLoop, Callable[[str], None]]


class LocalSignal:
    """``wake`` from any thread or loop; each ``hear`` is called on the loop that listened."""

    def __init__(self) -> None:
        self._hearers: dict[str, tuple[_Hearer, ...]] = {}

    def wake(self, topic: str, key: str = "") -> None:
        """See ``Signal.wake``. Never raises: the poll finds what a lost nudge meant."""
        hearers = self._hearers.get(topic)
        if not hearers:
            return
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        for loop, hear in hearers:
            with contextlib.suppress(RuntimeError):  # that loop is closed
                if loop is here:
                    loop.call_soon(hear, key)
                else:
                    loop.call_soon_threadsafe(hear, key)

    def listen(self, topic: str, hear: Callable[[str], None]) -> Callable[[], None]:
        """See ``Signal.listen``; called on the loop that is to hear."""
        hearer = (asyncio.get_running_loop(), hear)
        # Tuples are replaced, never changed: a thread in the middle of wake() keeps its own.
        self._hearers[topic] = (*self._hearers.get(topic, ()), hearer)

        def end() -> None:
            self._hearers[topic] = tuple(one for one in self._hearers[topic] if one is not hearer)

        return end
