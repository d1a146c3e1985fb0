"""Doors: the SMTP doors of the product in this process, on a real store, in a loop of their own beside the test."""

from __future__ import annotations

import asyncio
import ipaddress
import smtplib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from mailstead.base.clock import ManualClock, SystemClock
from mailstead.inbound.reception import Reception
from mailstead.inbound.recipients import Places
from mailstead.net.dns import DnsResolver
from mailstead.net.tls import make_self_signed, server_context
from mailstead.outbound.handed_in import Submission, Terms
from mailstead.outbound.submission import Submissions
from mailstead.proto.sigv4 import smtp_password
from mailstead.runtime import Runtime
from mailstead.servers.mx import MxSettings, Receiving
from mailstead.servers.smtp import SmtpServer
from mailstead.servers.submission import SubmissionSettings, Submitting, Trusted
from mailstead.ses import account as accounts
from mailstead.ses import credentials, identities, quota
from mailstead.store import work
from mailstead.store.files import FileBlobs
from mailstead.store.migrate import migrate
from mailstead.store.port import Transaction
from mailstead.store.signal import LocalSignal
from mailstead.store.sqlite import SqliteDatabase
from mailstead.store.vault import Vault

T = TypeVar("T")

ACCOUNT = "111122223333"
OTHER = "444455556666"
REGIONS = ("us-east-1", "eu-west-1")
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "mx.mailstead.test"
PROVIDER = "mailstead.test"


class OneLane:
    """Everything waits in one lane."""

    def lane_for(self, recipient: str) -> str:
        return "test"


class Doors:
    """``submission``, ``submissions`` and ``mx`` on free ports of 127.0.0.1; ``with Doors(folder) as doors``."""

    def __init__(
        self,
        folder: Path,
        *,
        trusted: Sequence[tuple[str, str]] = (),
        tls: bool = True,
        submission: dict[str, Any] | None = None,
        mx: dict[str, Any] | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.folder = folder
        self.faults: dict[str, int] = {}
        self.refuse_with: Exception | None = None
        """Raised in place of taking a message in."""
        self._trusted = tuple(Trusted(ipaddress.ip_network(network), account) for network, account in trusted)
        self._tls = tls
        self._options = submission or {}
        self._mx_options = mx or {}
        self.ports: dict[str, int] = {}
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    # --- life

    def __enter__(self) -> Doors:
        self._thread.start()
        try:
            self.await_(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.await_(self._close())
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def await_(self, work: Coroutine[Any, Any, T], *, timeout: float = 20) -> T:
        """Run it in the doors' loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def run(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """A transaction."""
        return self.await_(self.runtime.db.run(body))

    async def _open(self) -> None:
        db = SqliteDatabase(str(self.folder / "mailstead.db"), self.clock)
        await migrate(db)
        self.runtime = Runtime(
            db=db,
            blobs=FileBlobs(self.folder / "blobs", db),
            clock=self.clock,
            dns=DnsResolver("127.0.0.1:9", self.clock),
            signal=LocalSignal(),
            vault=Vault(bytes(32)),
            worker="doors",
        )
        await db.run(lambda tx: work.register(tx, "doors", "here", 1))
        await db.run(self._furnish)
        await self._listen()

    async def _furnish(self, tx: Transaction) -> None:
        for account in (ACCOUNT, OTHER):
            await accounts.create(tx, account)
            for region in REGIONS:
                await accounts.ensure_region(tx, account, region, accounts.WITHOUT_LIMITS)
        await credentials.create(tx, self.runtime.vault, ACCOUNT, access_key=KEY, secret=SECRET)
        await identities.create(tx, ACCOUNT, "us-east-1", "sender@example.com", verified=True)

    async def _listen(self) -> None:
        context = None
        if self._tls:
            self.certificate, key = make_self_signed(self.folder / "tls", HOST, SystemClock())
            context = server_context(self.certificate, key)
        terms = Terms(PROVIDER, 3_600_000, accounts.WITHOUT_LIMITS)
        submissions = Submissions(self.runtime, OneLane(), terms, quota.RateLimiter())

        async def submit(submission: Submission) -> str:
            if self.refuse_with is not None:
                raise self.refuse_with
            return await submissions.submit(submission)

        settings = SubmissionSettings(HOST, REGIONS, **{"trusted": self._trusted, **self._options})
        self.submitting = Submitting(self.runtime, submit, settings, fault=self._fault)
        hosts = frozenset({PROVIDER, f"eu-west-1.{PROVIDER}"})
        self.places = Places({"hosted.test": OTHER}, hosts, frozenset({HOST}), ACCOUNT, REGIONS[0])
        self.reception = Reception(self.runtime, HOST)
        self.receiving = Receiving(
            self.runtime, self.reception, self.places, MxSettings(HOST, **self._mx_options), fault=self._fault
        )
        door = self.submitting.door(context)
        here = [("127.0.0.1", 0)]
        self.servers = {
            "submission": SmtpServer("submission", here, door),
            "mx": SmtpServer("mx", here, self.receiving.door(context)),
        }
        if context:
            self.servers["submissions"] = SmtpServer("submissions", here, door, implicit=True)
        for name, server in self.servers.items():
            self.ports[name] = int((await server.start())[0].rpartition(":")[2])

    def _fault(self, part: str) -> bool:
        left = self.faults.get(part, 0)
        self.faults[part] = left - 1
        return left > 0

    async def _close(self) -> None:
        for server in self.servers.values():
            await server.stop(1)
        await self.runtime.blobs.close()  # type: ignore[attr-defined]
        await self.runtime.db.close()
        await asyncio.sleep(0.02)  # what has just been closed gets its last callbacks

    # --- clients

    def raw(self, name: str = "submission") -> Raw:
        """A client that says exactly what it is told to."""
        return Raw(self.ports[name])

    def smtp(self, name: str = "submission") -> smtplib.SMTP:
        """smtplib, connected, before EHLO."""
        if name == "submissions":
            return smtplib.SMTP_SSL("127.0.0.1", self.ports[name], timeout=10, context=self.trusting())
        return smtplib.SMTP("127.0.0.1", self.ports[name], timeout=10)

    def trusting(self) -> ssl.SSLContext:
        """A client's context that verifies our certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def password(self, region: str = "us-east-1") -> str:
        """The SMTP password of the key."""
        return smtp_password(SECRET, region)


class Raw:
    """A socket and its lines."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands."""
        self._file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        self._file = self.socket.makefile("rb")

    def say(self, data: str | bytes) -> None:
        """Send it; text gets a CRLF."""
        self.socket.sendall(data if isinstance(data, bytes) else data.encode() + b"\r\n")

    def line(self) -> str:
        """The next line; empty at the end."""
        return self._file.readline().decode().removesuffix("\r\n")

    def reply(self) -> str:
        """The next reply, its lines joined by newlines."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def ask(self, command: str | bytes) -> str:
        """Say it; the reply."""
        self.say(command)
        return self.reply()

    def rest(self) -> bytes:
        """All until the end."""
        return self._file.read()
