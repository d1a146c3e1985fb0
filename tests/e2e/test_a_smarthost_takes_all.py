"""Relay mode: everything goes to one next hop, plain, with TLS, with a login; DNS is not asked for the recipients."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from peers.ground import free_port, wait_for
from peers.postfix import Postfix, as_sent, reverse_path
from peers.server import Server

pytestmark = pytest.mark.slow
MESSAGE = b"From: a@sender.test\r\nTo: ann@far.test\r\nSubject: x\r\n\r\n.dot\r\nx\r\n"
SETTINGS = {"delivery.mode": "relay", "verification": "auto", "quota.new_account": "unlimited"}


def send(server: Server) -> str:
    server.sesv2().create_email_identity(EmailIdentity="sender.test")
    sent = server.ses().send_raw_email(RawMessage={"Data": MESSAGE})
    return str(sent["MessageId"])


def settled(server: Server, message: str) -> dict[str, str]:
    def look() -> dict[str, str] | None:
        (delivery,) = server.cli_json("trace", message)["deliveries"]
        return delivery if delivery["state"] != "queued" else None

    return wait_for(look, f"an attempt at {message}; {server.tail(20)}", timeout=20)


@pytest.mark.parametrize("tls", [False, True], ids=["in clear", "STARTTLS"])
def test_by_postfix(tmp_path: Path, tls: bool) -> None:
    cert = key = None
    if tls:
        cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        made = trustme.CA().issue_cert("127.0.0.1")
        made.private_key_pem.write_to_path(str(key))
        for part in made.cert_chain_pems:
            part.write_to_path(str(cert), append=True)
        tmp_path.chmod(0o755)
    with Postfix(["ann@far.test"], hosts=["127.0.0.2"], cert=cert, key=key) as hop:
        settings = {
            **SETTINGS,
            "delivery.smarthost": f"127.0.0.2:{hop.port}",
            "dns.resolver": f"127.0.0.1:{free_port()}",
        }
        with Server(tmp_path / "data", settings) as server:
            message = send(server)
            (stored,) = hop.wait_messages("ann@far.test")
            assert as_sent(stored).endswith(b"\r\n\r\n.dot\r\nx\r\n")
            assert reverse_path(stored).startswith(message)
            delivery = settled(server, message)
            assert delivery["state"] == "delivered"
            assert bool(delivery["tls"]) == tls
            assert delivery["destination"] == "relay:"
            assert ("TLS connection established" in hop.log.read_text()) == tls


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An SES: here another of our own, which wants STARTTLS and a login."""
    with Server(tmp_path_factory.mktemp("upstream") / "data", dev=True) as server:
        yield server


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_by_a_service_that_wants_a_login(tmp_path: Path, upstream: Server, scheme: str) -> None:
    upstream.http("POST", "/_mailstead/verify", {"identity": "sender.test"})
    upstream.http("POST", "/_mailstead/verify", {"identity": "mailstead.invalid"})
    upstream.http("DELETE", "/_aws/ses")
    user, password = upstream.smtp_login
    host, port = upstream.address("submission" if scheme == "smtp" else "submissions")
    settings = {
        **SETTINGS,
        "delivery.smarthost": f"{scheme}://{user}:{password.replace('/', '%2F').replace('+', '%2B')}@{host}:{port}",
    }
    with Server(tmp_path / "data", settings) as server:
        delivery = settled(server, send(server))
        assert delivery["state"] == "delivered", delivery
        assert delivery["tls"].startswith("TLSv1.3")
        assert password not in server.log.read_text()
    (taken,) = json.loads(upstream.http("GET", "/_aws/ses")[1])["messages"]
    assert taken["Destination"] == {"ToAddresses": ["ann@far.test"]}


def test_a_wrong_password_waits_and_says_why(tmp_path: Path, upstream: Server) -> None:
    """The operator's mistake: nothing bounces."""
    user, _ = upstream.smtp_login
    host, port = upstream.address("submission")
    settings = {**SETTINGS, "delivery.smarthost": f"smtp://{user}:wrong@{host}:{port}"}
    with Server(tmp_path / "data", settings) as server:
        delivery = settled(server, send(server))
        assert delivery["state"] == "deferred"
        (row,) = server.cli_json("queue", "list")
        assert "535" in row["reason"] or "Authentication Credentials Invalid" in row["reason"], row


def test_a_smarthost_that_is_away(tmp_path: Path) -> None:
    settings = {**SETTINGS, "delivery.smarthost": f"127.0.0.2:{free_port('127.0.0.2')}"}
    with Server(tmp_path / "data", settings) as server:
        message = send(server)
        row = wait_for(lambda: next((r for r in server.cli_json("queue", "list") if r["reason"]), None), "a reason")
        assert row["destination"] == "relay:"
        assert "refused" in row["reason"].lower() or "4.4.1" in row["reason"]
        assert server.cli_json("trace", message)["deliveries"][0]["state"] in ("queued", "deferred")
        with smtplib.SMTP(*server.address("submission"), timeout=10) as client:
            assert client.noop()[0] == 250
