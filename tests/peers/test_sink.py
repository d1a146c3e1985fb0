"""Our sink counts what it takes."""

from __future__ import annotations

import smtplib
import socket
import time

import pytest

from peers.sink import Sink

pytestmark = pytest.mark.slow


def test_it_writes_down_what_it_takes() -> None:
    with Sink() as sink:
        for number in (1, 2, 2):
            with smtplib.SMTP(sink.host, sink.port, timeout=5) as client:
                text = f"X-Test-Id: {number}\r\nMessage-ID: <m{number}@x>\r\nDKIM-Signature: v=1\r\n\r\nx\r\n"
                refused = client.sendmail("a@sender.test", ["b@one.test", "refuse@one.test"], text)
                assert list(refused) == ["refuse@one.test"]
        assert sink.arrivals() == {("1", "b@one.test"): 1, ("2", "b@one.test"): 2}
        row = sink.records()[0]
        assert (row.message_id, row.sender, row.signatures) == ("<m1@x>", "a@sender.test", 1)
        sink.clear()
        assert sink.records() == []


def test_pipelined_messages_in_any_cut_and_fast() -> None:
    one = b"MAIL FROM:<a@s.test>\r\nRCPT TO:<b@o.test>\r\nDATA\r\nX-Test-Id: 7\r\n\r\nbody\r\n.\r\n"
    with Sink() as sink, socket.create_connection((sink.host, sink.port), timeout=10) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = plain.makefile("rb")
        assert stream.readline().startswith(b"220")
        plain.sendall(b"HELO x\r\n")
        stream.readline()
        for cut in range(1, len(one)):
            plain.sendall(one[:cut])
            plain.sendall(one[cut:])
        replies = [stream.readline()[:3] for _ in range(4 * (len(one) - 1))]
        assert replies == [b"250", b"250", b"354", b"250"] * (len(one) - 1)
        began = time.monotonic()
        for _ in range(10):
            plain.sendall(one * 100)
            assert [stream.readline()[:3] for _ in range(400)][-1] == b"250"
        stream.close()
        assert sink.arrivals() == {("7", "b@o.test"): len(one) - 1 + 1000}
        assert time.monotonic() - began < 5
