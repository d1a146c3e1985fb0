"""The product runs as its users run it: it starts, says where it listens, stops, and keeps its data over a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from peers.server import Server

pytestmark = pytest.mark.slow


def test_it_starts_answers_and_stops(tmp_path: Path) -> None:
    with Server(tmp_path / "data", dev=True) as server:
        assert server.http("GET", "/_mailstead/health")[0] == 200
        assert server.sesv2().get_account()["SendingEnabled"] is True
        assert server.client("sts").get_caller_identity()["Account"] == "000000000000"
        assert server.cli_json("identity", "list") == []
        assert server.stop() == 0


def test_a_kill_leaves_the_data(tmp_path: Path) -> None:
    with Server(tmp_path / "data", {"verification": "auto"}) as server:
        server.sesv2().create_email_identity(EmailIdentity="one.test")
        login = server.smtp_login
        server.kill()
        server.start()
        assert server.smtp_login == login
        assert [row["IdentityName"] for row in server.sesv2().list_email_identities()["EmailIdentities"]] == [
            "one.test"
        ]


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="nonsense"):
        Server(tmp_path / "data", {"delivery.nonsense": "1"}).start()
