"""Idle: how soon a server is ready and how much memory it takes, doing nothing and with 10,000 messages queued.

    python bench/idle.py [--queued 10000] [--reps 3]

Starts the product through ``peers/mailstead.sh`` in accept mode on a temporary directory; needs smtp-source (Debian:
postfix) for the queued part.  Memory is the proportional set size (PSS) of the process, in MiB.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE / "peers" / "mailstead.sh"
SETTLE = 1.0
"""Seconds that a server which is ready is left alone before its memory is read."""


@dataclass(frozen=True, slots=True)
class Idle:
    """What was measured; None: not."""

    ready: float
    """Seconds from the start of ``serve`` to its line ``ready``, on a data directory that exists."""
    idle: float
    loaded: float | None
    """Peak while the messages came in and after."""
    queued: int


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


def memory(pid: int) -> float:
    """PSS of a process in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def server(folder: Path, port: int) -> Iterator[tuple[int, float]]:
    """A running server: its pid, and the seconds it took to be ready."""
    subprocess.run([PEER, "start", "accept", folder, str(port), "1"], check=True, timeout=60, stdin=subprocess.DEVNULL)
    began = time.perf_counter()  # the script returns when `serve` has just been started
    pid = int((folder / "pid").read_text())
    try:
        while not (folder / "ready").read_text().startswith("ready"):
            if time.perf_counter() - began > 30:
                raise RuntimeError(f"not ready:\n{(folder / 'log').read_text()[-2000:]}")
            time.sleep(0.005)
        yield pid, time.perf_counter() - began
    finally:
        subprocess.run([PEER, "stop", folder], check=False, timeout=30)
        for _ in range(150):
            if not Path(f"/proc/{pid}").exists():
                break
            time.sleep(0.1)


def fill(pid: int, port: int, messages: int, sessions: int = 20) -> float:
    """Hand in so many messages; the peak of memory."""
    peak, done = 0.0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.3):
            peak = max(peak, memory(pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        command = ["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", "4096", "-f", "a@src.example"]
        command += ["-t", "b@dst.example", "-N", f"127.0.0.1:{port}"]
        subprocess.run(command, check=True, timeout=300, stdin=subprocess.DEVNULL)
    finally:
        done.set()
        sampler.join()
    return max(peak, memory(pid))


def measure(*, queued: int = 10_000, reps: int = 3) -> Idle:
    """Start a server so often and measure; medians. The last one is filled, if smtp-source is there."""
    ready, idle, loaded, waiting = [], [], None, 0
    with tempfile.TemporaryDirectory(prefix="mailstead-idle-") as name:
        folder = Path(name)
        for n in range(reps):
            port = free_port()
            with server(folder, port) as (pid, seconds):
                time.sleep(SETTLE)
                ready.append(seconds)
                idle.append(memory(pid))
                if n == reps - 1 and queued and shutil.which("smtp-source"):
                    loaded = fill(pid, port, queued)
                    answer = subprocess.run([PEER, "queued", folder], check=True, capture_output=True, timeout=60)
                    waiting = int(answer.stdout)
    return Idle(statistics.median(ready), statistics.median(idle), loaded, waiting)


def main() -> None:
    """Measure and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queued", type=int, default=10_000, help="messages to queue; 0: none")
    parser.add_argument("--reps", type=int, default=3)
    given = parser.parse_args()
    found = measure(queued=given.queued, reps=given.reps)
    print(f"ready after      {found.ready:.2f} s")
    print(f"idle             {found.idle:.0f} MiB")
    if found.loaded is not None:
        print(f"{found.queued} queued     {found.loaded:.0f} MiB")


if __name__ == "__main__":
    main()
