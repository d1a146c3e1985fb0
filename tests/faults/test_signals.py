"""Told to stop in the middle of its work, started twice, started where somebody else listens."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from peers.ground import wait_for
from peers.load import Load
from peers.nsd import Nsd
from peers.scripted_mx import HANG, Script, ScriptedMX
from peers.server import Server
from peers.sink import Sink

pytestmark = pytest.mark.slow


def test_stopped_under_load(serve: Callable[..., Server], sink: Sink, boxes: list[str]) -> None:
    """Nothing is lost and, unlike at a kill, nothing comes twice."""
    server = serve({"shutdown_grace": "5s"})
    dice = random.Random()
    for n in range(3):
        load = Load(server, 400, boxes, tag=f"stop{n}").start()
        share = dice.random() * 0.8
        wait_for(lambda load=load, share=share: load.attempted > 400 * share, "the load", timeout=60)
        begun = time.monotonic()
        assert server.stop() == 0, server.tail(20)
        assert time.monotonic() - begun < 7
        server.start()
        load.join()
        lasting = [answer for answer in load.refused if not answer.startswith("4")]
        assert not lasting, lasting[:3]
        promised = {(one.test_id, one.recipient) for one in load.answered}
        assert len(promised) > 300
        wait_for(lambda promised=promised: promised <= set(sink.arrivals()), "all to arrive", timeout=30)
    twice = {key: count for key, count in sink.arrivals().items() if count > 1}
    assert not twice, f"{len(twice)} came twice, such as {sorted(twice)[:3]}"
    assert "Traceback" not in server.log.read_text()


def test_stopped_while_a_destination_hangs(serve: Callable[..., Server], sink: Sink, dns: Nsd) -> None:
    """The grace is kept; what could not be finished is tried again by the next one."""
    dns.set("hangs.test", "@ MX 10 mx\nmx A 127.0.1.210\n")
    with ScriptedMX(Script(replies={"body": HANG}), host="127.0.1.210", port=sink.port) as mx:
        server = serve({"shutdown_grace": "2s"})
        load = Load(server, 1, ["user@hangs.test"], tag="hang").start()
        load.join()
        wait_for(lambda: "DATA" in mx.log, "the message to be under way")
        begun = time.monotonic()
        assert server.stop() == 0, server.tail(20)
        assert time.monotonic() - begun < 5
        mx.script = Script()
        server.start()
        wait_for(lambda: mx.messages, "the message")
        assert "Traceback" not in server.log.read_text()


def _refused(server: Server) -> tuple[int, str, str]:
    done = subprocess.run(
        server.command(),
        capture_output=True,
        text=True,
        timeout=30,
        env=server.env(),
        cwd=server.data.parent,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path / "data", dev=True) as first:
        status, out, err = _refused(Server(tmp_path / "data", dev=True))
        assert (status, out) == (1, "")
        assert err.strip().splitlines()[-1].startswith("mailstead: another server runs on ")
        assert (
            len([line for line in err.splitlines() if line.startswith("mailstead:") and "not used yet" not in line])
            == 1
        )
        assert "Traceback" not in err
        assert first.http("GET", "/_mailstead/health")[0] == 200
        assert (first.data / "endpoints.json").exists()


@pytest.mark.parametrize("listener", ["submission", "api", "mx"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, listener: str) -> None:
    with Server(tmp_path / "first", dev=True) as first:
        host, port = first.address(listener)
        second = Server(tmp_path / "second", {f"listen.{listener}": f"{host}:{port}"}, dev=True)
        status, out, err = _refused(second)
        assert (status, out) == (1, "")
        lines = [line for line in err.splitlines() if line.startswith("mailstead:") and "not used yet" not in line]
        assert len(lines) == 1, err
        assert f"{host}:{port}" in lines[0]
        assert "Traceback" not in err
