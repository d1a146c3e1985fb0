"""Lame DNS: a forwarder that is silent about some names, fails for others, and asks a real server about the rest."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import dns.exception
import dns.message
import dns.query
import dns.rcode

from peers.nsd import Nsd


class LameDns:
    """``with LameDns(nsd, silent=["hang.test"], failing=["broken.test"]) as dns: … dns.address``."""

    def __init__(self, behind: Nsd, *, silent: Sequence[str] = (), failing: Sequence[str] = ()) -> None:
        self.silent, self.failing = list(silent), list(failing)
        self._behind = behind
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self) -> str:
        """``host:port``, as the setting ``dns.resolver`` takes it."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> LameDns:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join(5)
        self._socket.close()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                data, peer = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            answer = self._answer(dns.message.from_wire(data))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), peer)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        if any(name.endswith(one) for one in self.silent):
            return None
        if not any(name.endswith(one) for one in self.failing):
            try:
                return dns.query.udp(query, self._behind.host, timeout=1, port=self._behind.port)
            except (OSError, dns.exception.DNSException):
                return None
        failed = dns.message.make_response(query)
        failed.set_rcode(dns.rcode.SERVFAIL)
        return failed
