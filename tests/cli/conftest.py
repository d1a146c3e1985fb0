"""The command line against a real store in a temporary directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailstead.cli import main
from mailstead.cli.frame import in_transaction
from mailstead.config import load
from mailstead.store import spool
from mailstead.store.port import Transaction


@dataclass(frozen=True)
class Done:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on the data directory."""
    for name in ("MAILSTEAD_CONFIG", "MAILSTEAD_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def go(*arguments: str) -> Done:
        capsys.readouterr()
        status = main(["--data", str(data), *arguments])
        told = capsys.readouterr()
        return Done(status, told.out, told.err)

    return go


ACCOUNT = "000000000000"


def message(number: int, now: int) -> spool.Message:
    mail = {
        "source": "Ann <ann@example.com>",
        "sourceIp": "192.0.2.9",
        "callerIdentity": "root",
        "commonHeaders": {"from": ["Ann <ann@example.com>"], "to": ["everybody@example.org"], "subject": "Hello"},
        "tags": {"ses:operation": ["SendEmail"], "ses:from-domain": ["example.com"]},
    }
    return spool.Message(
        id=f"0100018c1a2b3c4d-21e57d9a-1ab2-416c-bbe1-{number:012x}-000000",
        account=ACCOUNT,
        region="us-east-1",
        origin="submission",
        sender="ann@example.com",
        return_path="b.1@mail.test",
        identity="example.com",
        signing_domain="example.com",
        eight_bit=False,
        size=900,
        blob=f"db:{number}",
        mail_json=json.dumps(mail),
        created=now,
    )


@pytest.fixture
def waiting(run: Run, data: Path) -> list[str]:
    """Three messages that wait: two for a.example (the second for b.example, too), one for b.example."""
    run("identity", "verify", "example.com")
    to = [["x@a.example"], ["y@a.example", "y@b.example"], ["z@b.example"]]
    made: list[str] = []

    async def body(tx: Transaction) -> None:
        for number, recipients in enumerate(to):
            one = message(number, tx.now())
            made.append(one.id)
            rows = [spool.Recipient(each, each.partition("@")[2], tx.now() + 3_600_000) for each in recipients]
            await spool.put(tx, one, rows)
            await tx.run("INSERT INTO blobs (key, content) VALUES ($1, $2)", str(number), b"x")

    in_transaction(load(data=data), body)
    return made
