"""What the fault campaigns stand on: a sink behind DNS, and a server in direct mode whose ports survive a restart."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from peers.ground import free_port
from peers.nsd import Nsd
from peers.server import Server
from peers.sink import Sink

ACCOUNT = "000000000000"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(host="127.0.0.5") as running:
        yield running


@pytest.fixture
def boxes(dns: Nsd) -> list[str]:
    """Recipients at eight domains of the sink."""
    records = "".join(f"d{n} MX 10 mx\n" for n in range(8))
    dns.set("sink.test", f"{records}mx A 127.0.0.5\n")
    return [f"user@d{n}.sink.test" for n in range(8)]


@pytest.fixture
def serve(tmp_path: Path, dns: Nsd, sink: Sink) -> Iterator[Callable[..., Server]]:
    """``serve(dev=…, **settings)``: a server that sends to the sink's port, with ``sender.test`` verified."""
    with ExitStack() as stack:

        def start(settings: dict[str, Any] | None = None, *, dev: bool = False, name: str = "data") -> Server:
            server = Server(
                tmp_path / name,
                {
                    "listen.submission": f"127.0.0.1:{free_port()}",
                    "listen.api": f"127.0.0.1:{free_port()}",
                    "delivery.mode": "direct",
                    "delivery.port": sink.port,
                    "delivery.allow_private_hosts": True,
                    "delivery.timeout_connect": "2s",
                    "dns.resolver": dns.address,
                    "provider.domain": "provider.test",
                    "verification": "auto",
                    "quota.new_account": "unlimited",
                    "submission.trusted": f"127.0.0.0/8={ACCOUNT}",
                    **(settings or {}),
                },
                dev=dev,
            )
            stack.enter_context(server)
            server.sesv2().create_email_identity(EmailIdentity="sender.test")
            return server

        yield start


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a figure where everybody sees it, whatever pytest captures."""

    def out(line: str) -> None:
        with capfd.disabled():
            sys.stdout.write(f"\n    {line}")
            sys.stdout.flush()

    return out
