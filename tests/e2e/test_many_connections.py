"""Many connections: the server takes as many as it was told to, and may open as many files as the system lets it."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path

import pytest

from peers.server import Server

pytestmark = pytest.mark.slow


def test_api_connections_are_bounded_and_files_are_not_the_first_limit(tmp_path: Path) -> None:
    server = Server(
        tmp_path / "data", dev=True, settings={"limits.api_connections": 3, "aws.sqs_endpoint": "http://x"}
    ).start()
    try:
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(socket.create_connection(server.address("api"), timeout=10)) for _ in range(5)]
            idle[-1].sendall(b"GET /_mailstead/health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle[-1].recv(4096).startswith(b"HTTP/1.1 503 ")
        limits = Path(f"/proc/{server.pid}/limits").read_text()
        found = re.search(r"Max open files +(\S+) +(\S+)", limits)
        assert found
        assert found[1] == found[2]
        assert "aws.sqs_endpoint is set, but not used yet" in server.log.read_text()
    finally:
        server.stop()
