"""A nudge reaches those who listen, on their loop."""

from __future__ import annotations

import asyncio
import threading

from mailstead.store.signal import LocalSignal


def test_from_the_loop_from_a_thread_and_to_nobody() -> None:
    signal = LocalSignal()
    heard: list[tuple[str, int]] = []

    async def scene() -> None:
        all_here = asyncio.Event()

        def hear(key: str) -> None:
            heard.append((key, threading.get_ident()))
            if len(heard) == 2:
                all_here.set()

        end = signal.listen("lanes", hear)
        signal.wake("lanes", "a")
        assert heard == []  # not in the middle of the caller's work
        await asyncio.to_thread(signal.wake, "lanes", "b")
        signal.wake("other", "c")
        await asyncio.wait_for(all_here.wait(), 5)
        end()
        end()
        signal.wake("lanes", "d")
        await asyncio.sleep(0)

    asyncio.run(scene())
    signal.wake("lanes", "e")
    assert heard == [("a", threading.get_ident()), ("b", threading.get_ident())]


def test_a_loop_that_is_gone_keeps_nothing_from_the_others() -> None:
    signal = LocalSignal()
    heard: list[str] = []

    async def listen(who: str) -> None:
        signal.listen("lanes", lambda key: heard.append(f"{who} {key}"))

    async def live() -> None:
        await listen("alive")
        signal.wake("lanes", "a")
        await asyncio.sleep(0)

    asyncio.run(listen("gone"))
    asyncio.run(live())
    assert heard == ["alive a"]
    signal.wake("lanes", "b")  # both loops are gone now
    assert heard == ["alive a"]
