"""The test double: what a test suite sees, moves and breaks under ``--dev``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mailstead.aws import dev
from mailstead.aws.handlers import PlainRequest
from mailstead.base.clock import SystemClock
from mailstead.outbound.composition import Simple
from mailstead.outbound.handed_in import Terms
from mailstead.outbound.submission import Submissions
from mailstead.ses import account as accounts
from mailstead.ses import identities
from peers.database import Ground, ground
from peers.yard import ACCOUNT, RAW, REGION, Yard

__all__ = ["ground"]


@dataclass
class Bench:
    """The routes over a yard."""

    yard: Yard
    clock: SystemClock = field(default_factory=SystemClock)
    called: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        yard = self.yard
        terms = Terms(yard.terms.provider, yard.terms.retry_for, yard.terms.new_account, keep_submitted=True)
        yard.submissions = Submissions(yard.runtime, yard.router, terms, yard.limiter)
        stage = dev.Stage(
            runtime=yard.runtime,
            clock=self.clock,
            faults={"blobs": yard.blobs, "database": yard.ground.db},  # type: ignore[dict-item]
            account=ACCOUNT,
            region=REGION,
            moved=lambda: self.called.append("moved"),
            forget=lambda: self.called.append("forget"),
        )
        self.routes = dev.routes(stage)

    def ask(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        reply = self.yard.wait(self.routes[method, path](PlainRequest(method, path, query, {}, content)))
        return reply.status, json.loads(reply.body) if reply.body else None

    def listed(self, **query: str) -> list[dict[str, Any]]:
        status, told = self.ask("GET", "/_aws/ses", **query)
        assert status == 200
        return told["messages"]


@pytest.fixture
def bench(ground: Ground, tmp_path: Path) -> Iterator[Bench]:
    yard = Yard(ground, tmp_path)
    yield Bench(yard)
    yard.close()


def test_a_raw_message_is_listed_as_it_was_handed_in(bench: Bench) -> None:
    name = bench.yard.submit("R <r@example.net>", "s@example.net", raw=RAW)
    assert bench.listed() == [
        {
            "Id": name,
            "Region": REGION,
            "Source": "sender@example.com",
            "Destination": {"ToAddresses": ["R <r@example.net>", "s@example.net"]},
            "Timestamp": bench.yard.clock.now() // 1000,
            "Subject": "hello",
            "RawData": RAW.decode(),
        }
    ]


def test_a_formatted_message_is_listed_with_its_texts(bench: Bench) -> None:
    bench.yard.submit(
        raw=None,  # type: ignore[arg-type]
        destinations=None,
        simple=Simple(("s", None), ("h\u00e9llo \ud55c", "UTF-8"), ("<p>\u00e9</p>", "ISO-8859-1")),
        to=("r@example.net",),
        operation="SendEmail",
    )
    (told,) = bench.listed()
    assert told["Body"]["text_part"].strip() == "h\u00e9llo \ud55c"
    assert told["Body"]["html_part"].strip() == "<p>\u00e9</p>"
    assert "b@example.net" not in told["RawData"]


@pytest.mark.parametrize(
    "raw",
    [
        b"From: sender@example.com\r\nContent-Type: text/plain; charset=nonsense\r\n\r\n\xff\xfe\r\n",
        b"From: sender@example.com\r\nSubject: =?nonsense?x?y?=\r\n\r\n\0\r\n",
        b"From: sender@example.com\r\nContent-Transfer-Encoding: base64\r\n\r\n====\r\n",
    ],
)
def test_whatever_was_handed_in_can_be_listed(bench: Bench, raw: bytes) -> None:
    bench.yard.submit("r@example.net", raw=raw)
    assert len(bench.listed()) == 1


def test_lists_by_id_and_by_sender(bench: Bench) -> None:
    one = bench.yard.submit("r@example.net")
    two = bench.yard.submit("r@example.net", source="other@example.com")
    assert {told["Id"] for told in bench.listed()} == {one, two}
    assert [told["Id"] for told in bench.listed(id=two)] == [two]
    assert [told["Id"] for told in bench.listed(email="other@example.com")] == [two]
    assert bench.listed(email="nobody@example.com") == bench.listed(id="nothing") == []


def test_clearing_one_and_all(bench: Bench) -> None:
    one, two = bench.yard.submit("r@example.net"), bench.yard.submit("r@example.net")
    assert bench.ask("DELETE", "/_aws/ses", id=one) == (204, None)
    assert [told["Id"] for told in bench.listed()] == [two]
    assert bench.ask("DELETE", "/_aws/ses") == (204, None)
    assert bench.listed() == []
    assert bench.yard.states(two) == [("r@example.net", "queued")]


def test_the_clock_moves_ahead_only(bench: Bench) -> None:
    before = bench.clock.now()
    status, told = bench.ask("POST", "/_mailstead/clock", {"advance": 3600})
    assert status == 200
    assert told["now"] * 1000 >= before + 3_600_000
    assert bench.called == ["moved"]


@pytest.mark.parametrize(
    "body", [{}, {"advance": -1}, {"advance": "1"}, {"advance": True}, {"advance": 1e12}, [], b"{", b"1"]
)
def test_a_clock_that_is_told_nonsense(bench: Bench, body: object) -> None:
    status, told = bench.ask("POST", "/_mailstead/clock", body)
    assert status == 400
    assert told["message"]
    assert bench.clock.offset == 0


def test_a_part_fails_so_many_times(bench: Bench) -> None:
    assert bench.ask("POST", "/_mailstead/fault", {"at": "blobs", "count": 1}) == (200, {"at": "blobs", "count": 1})
    with pytest.raises(Exception, match="fault was asked for"):
        bench.yard.submit("r@example.net")
    bench.yard.submit("r@example.net")


@pytest.mark.parametrize("body", [{}, {"at": "nothing"}, {"at": "blobs", "count": -1}, {"at": "blobs", "count": "x"}])
def test_a_fault_that_cannot_be(bench: Bench, body: object) -> None:
    assert bench.ask("POST", "/_mailstead/fault", body)[0] == 400


def test_vouching_for_an_identity(bench: Bench) -> None:
    for _ in range(2):
        told = bench.ask("POST", "/_mailstead/verify", {"identity": "A@New.example"})
        assert told == (200, {"identity": "A@new.example", "verified": True})
    found = bench.yard.ground.read(lambda tx: identities.get(tx, ACCOUNT, REGION, "A@new.example"))
    assert found.verified


@pytest.mark.parametrize(
    "body", [{}, {"identity": "x y"}, {"identity": 1}, {"identity": "a@b.example", "account": "12"}, {"identity": None}]
)
def test_an_identity_that_is_none(bench: Bench, body: object) -> None:
    assert bench.ask("POST", "/_mailstead/verify", body)[0] == 400


def test_a_reset_leaves_the_account_as_if_new(bench: Bench) -> None:
    yard = bench.yard
    yard.submit("r@example.net", raw=RAW + b"x" * 10_000)
    assert bench.ask("POST", "/_mailstead/reset") == (204, None)
    for table in ("messages", "deliveries", "events", "identities", "blobs", "submitted", "quota_slices"):
        assert yard.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert yard.files() == []
    assert bench.called == ["forget"]
    assert yard.ground.read(lambda tx: accounts.find(tx, ACCOUNT)) is not None
    yard.deliver()  # lanes without mail go by themselves
    assert yard.rows("SELECT count(*) FROM lanes") == [(0,)]
