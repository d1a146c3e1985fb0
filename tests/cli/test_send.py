"""send: without a server the message waits in the spool for the next one."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from mailstead.cli.frame import in_transaction
from mailstead.config import load
from mailstead.store import spool
from mailstead.store.port import Transaction

Run = Callable[..., Any]
OPEN = ("--set", "quota.new_account=unlimited")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """What stands on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def stored(data: Path, message: str) -> EmailMessage:
    async def body(tx: Transaction) -> bytes:
        found = await spool.read(tx, message)
        assert found is not None
        return bytes(await tx.value("SELECT content FROM blobs WHERE key = $1", found.blob.removeprefix("db:")))

    parsed = message_from_bytes(in_transaction(load(data=data), body), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_a_text_from_standard_input(run: Run, data: Path, typed: Callable[[bytes], None]) -> None:
    run("identity", "verify", "example.com", *OPEN)
    typed("Grüße\n".encode())
    to = ("--to", "bob@example.net", "--bcc", "boss@example.net")
    sent = run("send", "--from", "Ann <ann@example.com>", *to, "--subject", "Hällo", "--json").json["message"]
    parsed = stored(data, sent)
    assert (parsed["From"], parsed["To"], parsed["Subject"], parsed["Bcc"]) == (
        "Ann <ann@example.com>", "bob@example.net", "Hällo", None,
    )  # fmt: skip
    assert parsed.get_content().strip() == "Grüße"
    assert [one["recipient"] for one in run("queue", "show", sent, "--json").json] == [
        "bob@example.net",
        "boss@example.net",
    ]
    assert "d=example.com" in run("trace", sent).out


def test_text_and_html_from_files(run: Run, data: Path, tmp_path: Path) -> None:
    run("identity", "verify", "example.com", *OPEN)
    (tmp_path / "a.txt").write_text("plain")
    (tmp_path / "a.html").write_text("<p>rich")
    files = ("--text", str(tmp_path / "a.txt"), "--html", str(tmp_path / "a.html"))
    sent = run("send", "--from", "ann@example.com", "--to", "bob@example.net", *files, "--json").json["message"]
    parsed = stored(data, sent)
    assert [part.get_content().strip() for part in parsed.iter_parts()] == ["plain", "<p>rich"]


def test_a_whole_message(run: Run, data: Path, tmp_path: Path) -> None:
    run("identity", "verify", "example.com", *OPEN)
    (tmp_path / "m.eml").write_bytes(b"From: ann@example.com\r\nTo: list@example.net\r\nSubject: raw\r\n\r\nbody\r\n")
    raw = ("send", "--raw", str(tmp_path / "m.eml"), "--json")
    sent = run(*raw, "--to", "bob@example.net").json["message"]
    assert stored(data, sent)["To"] == "list@example.net"
    assert [one["recipient"] for one in run("queue", "show", sent, "--json").json] == ["bob@example.net"]
    assert "--raw is a whole message" in run(*raw, "--subject", "x").err


def test_an_unverified_sender_is_refused_in_the_words_of_ses(run: Run, typed: Callable[[bytes], None]) -> None:
    typed(b"x")
    done = run("send", "--from", "ann@example.com", "--to", "bob@example.net", *OPEN)
    assert done.status == 1
    assert done.err.startswith("mailstead: Email address is not verified.")
    assert "ann@example.com" in done.err


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@example.net", "a\nb"])
def test_a_subject_cannot_become_a_header(run: Run, typed: Callable[[bytes], None], subject: str) -> None:
    run("identity", "verify", "example.com", *OPEN)
    typed(b"x")
    assert run("send", "--from", "ann@example.com", "--to", "b@example.net", "--subject", subject).status == 1
