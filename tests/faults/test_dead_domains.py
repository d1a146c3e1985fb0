"""Mail for the dead does not keep the living waiting: much deferred mail beside a destination that works."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from peers.dead import bury
from peers.ground import wait_for
from peers.load import Load
from peers.nsd import Nsd
from peers.scripted_mx import HANG, Script, ScriptedMX
from peers.server import Server
from peers.sink import Sink

pytestmark = pytest.mark.slow
MESSAGES = 1500


@dataclass
class Cemetery:
    """Domains whose servers refuse the connection, and some whose server says nothing."""

    def names(self, count: int) -> list[str]:
        return [f"d{n}.{'silent' if n % 10 == 1 else 'dead'}.test" for n in range(count)]


@pytest.fixture
def cemetery(dns: Nsd, sink: Sink) -> Iterator[Cemetery]:
    dns.set("dead.test", "* MX 10 mx.host\nmx.host A 127.0.1.200\n")
    dns.set("silent.test", "* MX 10 mx.host\nmx.host A 127.0.1.201\n")
    with ScriptedMX(Script(replies={"banner": HANG}), host="127.0.1.201", port=sink.port):
        yield Cemetery()


@pytest.fixture
def haunted(serve: Callable[..., Server], cemetery: Cemetery) -> Callable[..., Server]:
    def start(count: int, domains: int) -> Server:
        server = serve({"delivery.timeout_command": "10s"}, name="haunted")
        server.stop()
        bury(server, count, cemetery.names(domains))
        return server.start()

    return start


def _leaves(server: Server, sink: Sink, box: str, tag: str) -> float:
    """Seconds from the answer to the arrival of one fresh message."""
    load = Load(server, 1, [box], tag=tag, raw=1).start()
    load.join()
    (one,) = load.answered
    wait_for(lambda: (one.test_id, box) in sink.arrivals(), "the fresh message", timeout=60)
    return next(row.at for row in sink.records() if row.test_id == one.test_id) - one.at


def _fresh(server: Server, sink: Sink, boxes: list[str], what: str, say: Callable[[str], None]) -> list[float]:
    """Seconds that one fresh message for each box took, one after the other."""
    took = [_leaves(server, sink, box, f"f{n}") for n, box in enumerate(boxes)]
    say(f"{what}: {', '.join(f'{max(t, 0) * 1000:.0f}' for t in took)} ms")
    return took


@pytest.mark.parametrize("domains", [1000, 1])
def test_a_fresh_message_leaves_at_once(
    haunted: Callable[..., Server], sink: Sink, boxes: list[str], domains: int, say: Callable[[str], None]
) -> None:
    server = haunted(20_000, domains)
    took = _fresh(server, sink, boxes, f"20,000 dead in {domains} domains", say)
    assert statistics.median(took) < 1, took
    assert max(took) < 3, took


def test_a_flood_to_unknown_domains_leaves_known_ones_alone(
    serve: Callable[..., Server], cemetery: Cemetery, sink: Sink, boxes: list[str], say: Callable[[str], None]
) -> None:
    """Mail that was never tried looks like any other: only memory of who answers tells them apart."""
    server = serve({"delivery.timeout_command": "10s"})
    for n, box in enumerate(boxes):
        _leaves(server, sink, box, f"known{n}")
    bury(server, 20_000, cemetery.names(2000), fresh=True)
    wait_for(lambda: any(row["failures"] for row in server.cli_json("queue", "list")), "the flood to be tried")
    took = _fresh(server, sink, boxes, "20,000 never tried for 2,000 dead domains", say)
    assert statistics.median(took) < 1, took
    assert max(took) < 3, took


def _throughput(server: Server, sink: Sink, boxes: list[str], tag: str) -> float:
    """Messages a second from the first submission to the last arrival."""
    sink.clear()
    begun = time.time()
    load = Load(server, MESSAGES, boxes, tag=tag).start()
    load.join()
    wait_for(lambda: len(sink.records()) >= MESSAGES, "all to arrive", timeout=120)
    return MESSAGES / (max(row.at for row in sink.records()) - begun)


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.skipif("MAILSTEAD_SEEDS" not in os.environ, reason="a comparison of speeds over many minutes: make faults")
@pytest.mark.parametrize("domains", [1, 5000])
def test_throughput_beside_the_dead(
    serve: Callable[..., Server],
    haunted: Callable[..., Server],
    sink: Sink,
    boxes: list[str],
    domains: int,
    say: Callable[[str], None],
) -> None:
    """One after the other, the waiting server stopped in its tracks; the medians of the rounds are compared."""
    alive, beside = serve(name="alive"), haunted(100_000, domains)
    figures: dict[str, list[float]] = {"alone": [], "beside": []}
    os.kill(beside.pid, signal.SIGSTOP)
    for n in range(7):
        for name, server, other in (("alone", alive, beside), ("beside", beside, alive)):
            os.kill(other.pid, signal.SIGSTOP)
            os.kill(server.pid, signal.SIGCONT)
            time.sleep(1)  # what piled up while it stood is begun
            figures[name].append(_throughput(server, sink, boxes, f"{name}{n}"))
    os.kill(alive.pid, signal.SIGCONT)
    alone, by = (statistics.median(values[1:]) for values in figures.values())
    say(f"100,000 dead in {domains} domains: {alone:.0f}/s alone, {by:.0f}/s beside them, ratio {by / alone:.2f}")
    assert by >= 0.9 * alone, figures
