"""The signing process: it signs what it is told, and its death costs no mail."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from mailstead.base.clock import ManualClock
from mailstead.base.errors import Unreachable
from mailstead.outbound import signing_process
from mailstead.outbound.signing_process import SigningProcess
from mailstead.proto import dkim

T = TypeVar("T")
RSA = generate_private_key(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def process(clock: ManualClock) -> SigningProcess:
    return SigningProcess(clock)


def _run(process: SigningProcess, body: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def closing() -> T:
        try:
            return await body()
        finally:
            await process.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the server does
        return runner.run(closing())


def _is_signed(key: RSAPrivateKey, data: bytes, signed: bytes) -> bool:
    key.public_key().verify(signed, data, PKCS1v15(), SHA256())  # raises
    return True


def test_each_gets_its_own(process: SigningProcess) -> None:
    async def main() -> list[list[bytes]]:
        return await asyncio.gather(*(process.sign([(RSA, b"%d" % n), (ED25519, b"%d" % n * 5000)]) for n in range(50)))

    made = _run(process, main)
    assert len(made) == 50
    assert all(_is_signed(RSA, b"%d" % n, one[0]) for n, one in enumerate(made))
    assert [one[1] for one in made] == [dkim.signature(ED25519, b"%d" % n * 5000) for n in range(50)]


def test_nothing_runs_before_the_first_and_all_ends_with_the_server(process: SigningProcess) -> None:
    async def main() -> int | None:
        assert process.pid is None
        await process.sign([(ED25519, b"x")])
        return process.pid

    pid = _run(process, main)
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_dies_is_started_again_but_not_at_once(process: SigningProcess, clock: ManualClock) -> None:
    async def main() -> None:
        await process.sign([(RSA, b"x")])
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        waiting = process.sign([(RSA, b"x"), (ED25519, b"x")])  # before we have heard of it
        with pytest.raises(Unreachable, match="died"):
            await waiting
        with pytest.raises(Unreachable, match="not started again yet"):
            await process.sign([(RSA, b"y")])
        clock.advance(1000)
        assert _is_signed(RSA, b"y", (await process.sign([(RSA, b"y")]))[0])

    _run(process, main)


def test_who_gives_up_hinders_nobody(process: SigningProcess) -> None:
    async def main() -> None:
        await process.sign([(ED25519, b"x")])
        impatient = asyncio.ensure_future(process.sign([(RSA, b"x")] * 3))
        patient = asyncio.ensure_future(process.sign([(RSA, b"y")]))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert _is_signed(RSA, b"y", (await patient)[0])

    _run(process, main)


def test_more_keys_than_it_holds(process: SigningProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_process, "KEYS", 3)
    keys = [Ed25519PrivateKey.generate() for _ in range(5)]

    async def main() -> list[bytes]:
        return [(await process.sign([(key, b"x")]))[0] for key in keys + keys[::-1]]

    assert _run(process, main) == [dkim.signature(key, b"x") for key in keys + keys[::-1]]


def test_no_program_to_start(process: SigningProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(Unreachable, match="could not be started"):
        asyncio.run(process.sign([(ED25519, b"x")]))
