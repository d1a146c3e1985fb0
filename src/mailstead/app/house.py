"""House: the running parts of a server, and what each of them is handed."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from mailstead.config import Settings
from mailstead.runtime import Runtime
from mailstead.store import work


@dataclass(slots=True)
class House:
    """The running parts."""

    runtime: Runtime
    settings: Settings
    endpoints: dict[str, str | list[str]] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    closing: list[Callable[[float], Coroutine[Any, Any, None]]] = field(default_factory=list)
    """What ends the parts, in the order it is to be done; each is handed the grace in seconds."""

    @property
    def hostname(self) -> str:
        """Our name in greetings and reports."""
        return self.settings.server.hostname

    def plays(self, role: str) -> bool:
        """Does this process play the role?"""
        return role in self.settings.roles

    async def register(self) -> None:
        """Say that this process works here."""
        worker, host, pid = self.runtime.worker, socket.gethostname(), os.getpid()
        await self.runtime.db.run(lambda tx: work.register(tx, worker, host, pid))

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a part as a task; health looks at it."""
        self.tasks[name] = asyncio.create_task(work, name=name)
