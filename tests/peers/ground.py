"""Ground: what every peer stands on: programs, free ports, folders, waiting, processes that end with us."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
VECTORS = Path(os.environ.get("MAILSTEAD_VECTORS") or ROOT.parent / "shared" / "vectors")
"""Published test data; a test asks for the fixture ``vectors``, which says so where they are absent."""
SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
NODE_PATH = os.pathsep.join(("/usr/share/nodejs", str(ROOT / "build/node/node_modules")))
"""Where node finds nodemailer: hand it to the child as the environment variable of this name."""


def lacking(reason: str) -> None:
    """A peer is not here: skip with the reason; with ``CI=true`` that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true and {reason}", pytrace=False)
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a program; the test is skipped (or fails in CI) where it is not installed."""
    found = shutil.which(name, path=SBIN)
    if found is None:
        lacking(f"{name} is not installed (make test as root installs it)")
    assert found is not None
    return found


def need_root(what: str) -> None:
    """Skip (or fail in CI) unless we run as root."""
    if os.geteuid() != 0:
        lacking(f"{what} needs root")


def free_port(*hosts: str) -> int:
    """A TCP and UDP port that is free on all these loopback addresses now."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind((hosts[0] if hosts else "127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if all(_is_free(host, port) for host in hosts or ("127.0.0.1",)):
            return port
    raise RuntimeError("no free port")


def _is_free(host: str, port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


@contextmanager
def workdir(name: str) -> Iterator[Path]:
    """A folder that every user may enter (pytest's own are closed to the servers' users); removed at the end."""
    path = Path(tempfile.mkdtemp(prefix=f"mailstead-{name}-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def wait_for(check: Callable[[], T | None], what: str, *, timeout: float = 15.0) -> T:
    """Call until it answers something true; its answer.

    Raises:
        TimeoutError: it did not within ``timeout`` seconds.
    """
    end = time.monotonic() + timeout
    while True:
        if answer := check():
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)


def listens(host: str, port: int) -> bool:
    """Does somebody accept TCP connections there?"""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def tied(*words: str | Path) -> list[str]:
    """A command that is ended when the test process is killed, however that happens (start it in the main thread)."""
    return [program("setpriv"), "--pdeathsig", "TERM", *map(str, words)]


def stop(process: subprocess.Popen[bytes], *, by: int = signal.SIGTERM, timeout: float = 15.0) -> int:
    """End a process that we started and wait for it; killed if it does not go. The exit status."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait(timeout)


def tail(path: Path, lines: int = 40) -> str:
    """The end of a log, for a failure's text."""
    if not path.exists():
        return f"({path.name} was never written)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
