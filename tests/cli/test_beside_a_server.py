"""Commands beside a running server: they see its configuration and its mail, and it sees what they did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peers.ground import wait_for
from peers.server import Server

pytestmark = pytest.mark.slow
Run = Callable[..., Any]


@pytest.mark.parametrize("scheme", ["", "https://"])
def test_send_goes_through_the_server(run: Run, data: Path, tmp_path: Path, scheme: str) -> None:
    (tmp_path / "hello.txt").write_text("Grüße")
    told = ("--subject", "Hällo", "--text", str(tmp_path / "hello.txt"), "--json")
    with Server(data, {"listen.api": f"{scheme}127.0.0.1:0"}, dev=True) as server:
        run("identity", "verify", "example.com")
        sent = run("send", "--from", "ann@example.com", "--to", "bob@example.net", *told).json["message"]

        def delivered() -> bool:
            return bool(run("trace", sent, "--json").json["deliveries"][0]["state"] == "delivered")

        wait_for(delivered, "delivered", timeout=10)
        trace = run("trace", sent, "--json").json
        assert trace["submitted_by"]["ip"] == "127.0.0.1"
        assert "capture" in trace["deliveries"][0]["host"]
        refused = run("send", "--from", "eve@example.org", "--to", "bob@example.net", *told)
        assert refused.err.startswith("mailstead: Email address is not verified.")
        assert server.stop() == 0


def test_commands_take_the_configuration_of_the_server(run: Run, data: Path) -> None:
    settings = {"regions": "eu-west-1,us-east-1", "provider.domain": "mail.test", "server.hostname": "mx.mail.test"}
    with Server(data, settings) as server:
        assert list(run("key", "create", "--json").json["smtp_passwords"]) == ["eu-west-1", "us-east-1"]
        assert "mail.test. 3600 IN MX 10 mx.mail.test." in run("dns", "records", "mail.test").out
        found = json.loads(run("check", "--json").out)  # whatever it thinks of this machine's DNS
        ports = [one["text"] for one in found if one["part"] == "ports"]
        assert ports == [f"a server runs here (process {server.pid})"]
        server.kill()
    assert list(run("key", "create", "--json").json["smtp_passwords"]) == ["us-east-1"]


def test_the_server_delivers_what_was_sent_without_it(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    unlimited = ("--set", "quota.new_account=unlimited")
    run("identity", "verify", "example.com", *unlimited)
    text = ("--text", str(tmp_path / "hello.txt"), "--json")
    sent = run("send", "--from", "ann@example.com", "--to", "bob@example.net", *text, *unlimited).json["message"]
    assert run("queue", "show", sent, "--json").json[0]["state"] == "queued"
    with Server(data):
        wait_for(lambda: run("queue", "list", "--json").json == [], "an empty queue", timeout=10)
        assert run("trace", sent, "--json").json["deliveries"][0]["state"] == "delivered"
