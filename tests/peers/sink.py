"""Sink: a fast destination that writes down every message it answers 250, so that losses and doubles can be counted.

A process of its own (``python sink.py HOST PORT FILE``). A line of the record is written before the 250 goes out.
A recipient whose address begins with ``refuse`` is answered 550, with ``defer`` 451.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast

_PATH = re.compile(rb"<([^<>]*)>")
_TEST_ID = re.compile(rb"^X-Test-Id:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_EHLO = (
    b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250 SIZE 50000000\r\n"
)
_END = b"\r\n.\r\n"


class _Session(asyncio.Protocol):
    """One connection: whole lines in, replies out; content is only looked at for its two ids."""

    record: int
    _content: bool

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._buffer = bytearray()
        self._content = False
        self._sender = b""
        self._recipients: list[bytes] = []
        self._transport.write(b"220 sink.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        start = max(0, len(self._buffer) - 5)
        self._buffer += data
        out: list[bytes] = []
        while True:
            if self._content:
                end = self._buffer.find(_END, start)
                if end < 0:
                    break
                out.append(self._take(bytes(self._buffer[: end + 2])))
                del self._buffer[: end + len(_END)]
            else:
                end = self._buffer.find(b"\n")
                if end < 0:
                    break
                line = bytes(self._buffer[:end]).rstrip(b"\r")
                del self._buffer[: end + 1]
                out.append(self._command(line))
                if self._content:
                    self._buffer[:0] = b"\r\n"  # the CRLF of DATA stays: the end of an empty message is CRLF.CRLF too
            start = 0
        if out:
            self._transport.write(b"".join(out))
            if out[-1].startswith(b"221"):
                self._transport.close()

    def _command(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            return _EHLO
        if verb == b"MAIL":
            self._sender, self._recipients = _inside(line), []
        elif verb == b"RCPT":
            return self._recipient(_inside(line))
        elif verb == b"DATA":
            if not self._recipients:
                return b"554 5.5.1 no valid recipients\r\n"
            self._content = True
            return b"354 go on\r\n"
        elif verb == b"QUIT":
            return b"221 2.0.0 Bye\r\n"
        return b"250 2.0.0 Ok\r\n"

    def _recipient(self, address: bytes) -> bytes:
        if address.startswith(b"refuse"):
            return b"550 5.1.1 no such user\r\n"
        if address.startswith(b"defer"):
            return b"451 4.3.0 later\r\n"
        self._recipients.append(address)
        return b"250 2.1.5 Ok\r\n"

    def _take(self, content: bytes) -> bytes:
        head = content[: content.find(b"\r\n\r\n", 2) + 2] or content
        row = {
            "test_id": _first(_TEST_ID, head),
            "message_id": _first(_MESSAGE_ID, head),
            "sender": self._sender.decode("utf-8", "replace"),
            "recipients": [address.decode("utf-8", "replace") for address in self._recipients],
            "size": len(content) - 2,
            "signatures": head.count(b"\r\nDKIM-Signature:"),
            "at": time.time(),
        }
        os.write(self.record, json.dumps(row).encode() + b"\n")
        self._content = False
        return b"250 2.0.0 Ok: written down\r\n"


def _inside(line: bytes) -> bytes:
    found = _PATH.search(line)
    return found[1] if found else b""


def _first(pattern: re.Pattern[bytes], head: bytes) -> str:
    found = pattern.search(head)
    return found[1].decode("utf-8", "replace") if found else ""


@dataclass(frozen=True, slots=True)
class Record:
    """A message that the sink answered 250."""

    test_id: str
    """Its X-Test-Id header."""
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    size: int
    signatures: int
    at: float
    """When, in seconds since 1970."""


class Sink:
    """``with Sink(host="127.0.0.5", port=port) as sink: … sink.arrivals()``."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        from peers.ground import free_port

        self.host = host
        self.port = port or free_port(host)

    def __enter__(self) -> Sink:
        from peers.ground import listens, tail, tied, wait_for, workdir

        self._folder = workdir("sink")
        path = self._folder.__enter__()
        self.record = path / "record.jsonl"
        self.record.touch()
        words = tied(sys.executable, __file__, self.host, str(self.port), self.record)
        with (path / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            wait_for(lambda: listens(self.host, self.port), "the sink to listen")
        except TimeoutError:
            raise AssertionError(f"the sink did not start:\n{tail(path / 'log')}") from None
        return self

    def __exit__(self, *raised: object) -> None:
        from peers.ground import stop

        stop(self._process)
        self._folder.__exit__(None, None, None)

    def records(self) -> list[Record]:
        """What was answered 250 so far, in order."""
        rows = [json.loads(line) for line in self.record.read_bytes().splitlines()]
        return [Record(**{**row, "recipients": tuple(row["recipients"])}) for row in rows]

    def arrivals(self) -> Counter[tuple[str, str]]:
        """(X-Test-Id, recipient) → how often it arrived: 0 is a loss, more than 1 a double."""
        return Counter((row.test_id, recipient) for row in self.records() for recipient in row.recipients)

    def clear(self) -> None:
        """Forget what was written down."""
        os.truncate(self.record, 0)


async def _main(host: str, port: int, record: Path) -> None:
    _Session.record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    server = await asyncio.get_running_loop().create_server(_Session, host, port, backlog=500)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(_main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
    except ImportError:
        asyncio.run(_main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
