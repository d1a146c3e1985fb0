"""check: says ok where it is, and FAIL with the reason where something is wrong."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailstead.base.clock import ManualClock, SystemClock
from mailstead.cli import check
from mailstead.config import load, running
from mailstead.net.tls import make_self_signed

Run = Callable[..., Any]
# Ports of our own, so that a server that runs here does not matter.
QUIET = [
    word
    for name in ("api", "tracking", "submission", "submissions", "mx")
    for word in ("--set", f"listen.{name}=127.0.0.1:0")
] + ["--set", "verification=auto", "--set", "dns.resolver=127.0.0.1:1"]  # fmt: skip


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers at that resolver: do not wait long for it."""
    monkeypatch.setattr(check, "DNS_SECONDS", 0.1)


def findings(run: Run, *more: str) -> list[tuple[str, str, str]]:
    import json

    return [(one["level"], one["part"], one["text"]) for one in json.loads(run("check", "--json", *QUIET, *more).out)]


def level(found: list[tuple[str, str, str]], part: str, word: str = "") -> set[str]:
    return {one[0] for one in found if one[1] == part and word in one[2]}


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(1)
        yield one.getsockname()[1]


def test_a_fresh_place_is_fine(run: Run) -> None:
    done = run("check", *QUIET)
    assert done.status == 0, done.out
    assert "FAIL" not in done.out
    assert "ok    database" in done.out


def test_an_installation_is_fine(run: Run) -> None:
    run("account", "create", "123456789012")
    found = findings(run)
    assert level(found, "data") == level(found, "database") == level(found, "master key") == {"ok"}


def test_a_bad_setting_fails(run: Run) -> None:
    done = run("check", "--set", "delivery.port=x")
    assert done.status == 1
    assert done.out.startswith("FAIL  configuration delivery.port: ")


def test_settings_without_effect_are_warned_about(run: Run) -> None:
    assert level(findings(run, "--set", "aws.sqs_endpoint=http://x"), "configuration", "aws.sqs_endpoint") == {"warn"}


def test_a_port_of_somebody_else_fails(run: Run, taken: int) -> None:
    done = run("check", *QUIET, "--set", f"listen.api=127.0.0.1:{taken}")
    assert done.status == 1
    assert f"FAIL  ports         api 127.0.0.1:{taken}: another program has it" in done.out


def test_our_own_ports_are_fine(run: Run, data: Path, taken: int) -> None:
    run("account", "create", "123456789012")
    running.write(load(data=data, sets=[f"listen.api=127.0.0.1:{taken}"]))
    with running.hold(data):
        assert level(findings(run, "--set", f"listen.api=127.0.0.1:{taken}"), "ports") == {"ok"}


def test_a_lost_master_key_fails_and_is_not_replaced(run: Run, data: Path) -> None:
    run("account", "create", "123456789012")
    (data / "master.key").unlink()
    assert level(findings(run), "master key") == {"FAIL"}
    assert not (data / "master.key").exists()


def test_a_master_key_that_others_read_fails(run: Run, data: Path) -> None:
    run("account", "create", "123456789012")
    (data / "master.key").chmod(0o644)
    assert level(findings(run), "master key") == {"FAIL"}
    assert level(findings(run, "--set", "secrets.master_key=short"), "master key") == {"FAIL"}


def test_a_broken_database_fails(run: Run, data: Path) -> None:
    run("account", "create", "123456789012")
    (data / "mailstead.db").write_bytes(b"no database" * 1000)
    for rest in data.glob("mailstead.db-*"):
        rest.unlink()
    assert level(findings(run), "database") == {"FAIL"}


def certificate(folder: Path, clock: SystemClock | ManualClock) -> list[str]:
    cert, key = make_self_signed(folder, "localhost", clock)
    return ["--set", f"tls.certificate={cert}", "--set", f"tls.key={key}"]


def test_certificates(run: Run, tmp_path: Path) -> None:
    good = certificate(tmp_path / "good", SystemClock())
    assert level(findings(run, *good), "certificate") == {"ok"}
    old = certificate(tmp_path / "old", ManualClock(1_000_000_000_000))
    assert level(findings(run, *old), "certificate", "expired") == {"FAIL"}
    torn = ["--set", f"tls.certificate={tmp_path}/good/cert.pem", "--set", f"tls.key={tmp_path}/old/key.pem"]
    assert level(findings(run, *torn), "certificate") == {"FAIL"}
    assert level(findings(run, "--set", "tls.ca_file=/no/such/file"), "certificate", "ca_file") == {"FAIL"}


def test_a_resolver_that_is_not_there(run: Run, taken: int) -> None:
    dead = ["--set", f"dns.resolver=127.0.0.1:{taken}"]
    assert level(findings(run, *dead), "dns") == {"warn"}
    needed = ["--set", "verification=dns"]
    assert level(findings(run, *dead, *needed), "dns") == {"FAIL"}


def test_sources_that_are_not_on_this_machine(run: Run) -> None:
    found = findings(run, "--set", "delivery.sources=a:127.0.0.21=a.example.com,b:192.0.2.1=b.example.com")
    assert level(found, "sources", "127.0.0.21 is on this machine") == {"ok"}
    assert level(found, "sources", "192.0.2.1 is not on this machine: mail that leaves from it waits") == {"warn"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tracking.public_url=https://mail.example.com"], ("ok", "lead to https://mail.example.com")),
        (["listen.tracking=off"], ("warn", "addresses get no verification mail")),
        (["delivery.mode=relay", "delivery.smarthost=127.0.0.1:25"], ("warn", "set tracking.public_url")),
        (
            ["delivery.mode=relay", "delivery.smarthost=127.0.0.1:25", "listen.tracking=https://0.0.0.0:0"],
            ("ok", "lead to listen.tracking = https://0.0.0.0:0"),
        ),
    ],
    ids=["public", "off", "loopback", "anywhere"],
)
def test_where_links_lead(run: Run, words: list[str], expected: tuple[str, str]) -> None:
    given = [word for setting in words for word in ("--set", setting)]
    (found,) = [(one, text) for one, part, text in findings(run, *given) if part == "links"]
    assert (found[0], expected[1] in found[1]) == (expected[0], True), found
