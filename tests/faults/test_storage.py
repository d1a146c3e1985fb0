"""Storage that fails while mail comes in: clients hear that it is temporary, nothing answered is lost or comes twice,
health names the part, and when the storage is back nobody has to do anything.
"""

from __future__ import annotations

import json
import smtplib
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from peers.ground import lacking, need_root, wait_for
from peers.load import SENDER, Load
from peers.postgres import Postgres
from peers.server import Server
from peers.sink import Sink

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
TEMPORARY = ("451 ", "454 ", "421 ", "ClientError: An error occurred (ServiceUnavailable")
BIG = "It does not fit into a row of the database.\r\n" * 5000


def _health(server: Server) -> tuple[int, dict[str, str]]:
    status, body = server.http("GET", "/_mailstead/health")
    return status, json.loads(body)["parts"]


def _well(server: Server) -> bool:
    return _health(server)[0] == 200


def _failing(server: Server, part: str) -> bool:
    status, parts = _health(server)
    return status == 503 and parts[part] != "ok"


def _all_once(server: Server, sink: Sink, load: Load, *, timeout: float = 60) -> None:
    """Every answered message arrived, none came twice; nothing was refused for good."""
    lasting = [answer for answer in load.refused if not answer.startswith(TEMPORARY)]
    assert not lasting, lasting[:3]
    promised = {(one.test_id, one.recipient) for one in load.answered}
    assert len(promised) >= 20
    try:
        wait_for(lambda: promised <= set(sink.arrivals()), "every answered message to arrive", timeout=timeout)
    except TimeoutError:
        lost = promised - set(sink.arrivals())
        raise AssertionError(
            f"{len(lost)} of {len(promised)} lost: {sorted(lost)[:3]}\n{_queue(server)}\n{server.tail(30)}"
        ) from None
    wait_for(lambda: server.cli_json("queue", "list") == [], "an empty queue", timeout=30)
    twice = {key: count for key, count in sink.arrivals().items() if count > 1}
    assert not twice, f"{len(twice)} came twice, such as {sorted(twice)[:3]}"


def _queue(server: Server) -> str:
    return server.cli("queue", "list").stdout + server.cli("queue", "list", "--account", "000000000000").stdout


def _under_way(load: Load, share: float) -> None:
    wait_for(lambda: load.attempted >= share * 600, "the load", timeout=60)


def test_locked_database(serve: Callable[..., Server], sink: Sink, boxes: list[str]) -> None:
    server = serve()
    load = Load(server, 600, boxes, tag="locked").start()
    _under_way(load, 0.3)
    other = sqlite3.connect(server.data / "mailstead.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        assert wait_for(lambda: _failing(server, "database"), "health to say so", timeout=20)
        wait_for(lambda: load.refused, "a refusal", timeout=10)
        other.execute("ROLLBACK")
    finally:
        other.close()
    wait_for(lambda: _well(server), "health")
    load.join()
    assert load.refused
    _all_once(server, sink, load)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 MiB."""
    need_root("a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", place], check=False).returncode:
        lacking("no file system can be mounted here (a container may not without CAP_SYS_ADMIN)")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("body", ["small\r\n" * 400, BIG], ids=["small", "big"])
def test_disk_full(serve: Callable[..., Server], sink: Sink, boxes: list[str], small_disk: Path, body: str) -> None:
    server = serve(name="disk/data")
    load = Load(server, 600, boxes, tag="full", body=body).start()
    _under_way(load, 0.2)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        except OSError:
            pass
    assert wait_for(lambda: _failing(server, "disk"), "health to say so")
    wait_for(lambda: load.refused, "a refusal", timeout=60)
    time.sleep(2)
    ballast.unlink()
    wait_for(lambda: _well(server), "health")
    load.join()
    _all_once(server, sink, load)


def test_blobs_cannot_be_written(serve: Callable[..., Server], sink: Sink, boxes: list[str]) -> None:
    server = serve()
    blobs = server.data / "blobs"
    away = server.data / "blobs.away"
    blobs.rename(away)
    blobs.write_text("this is no folder")
    try:
        assert _failing(server, "blobs")
        big = Load(server, 20, boxes, tag="big", body=BIG).start()
        big.join()
        assert not big.answered
        assert len(big.refused) == 20
        assert all(answer.startswith(TEMPORARY) for answer in big.refused), big.refused
        small = Load(server, 50, boxes, tag="small").start()
        small.join()
        assert len(small.answered) == 50
    finally:
        blobs.unlink()
        away.rename(blobs)
    assert _well(server)
    again = Load(server, 20, boxes, tag="again", body=BIG).start()
    again.join()
    assert len(again.answered) == 20
    _all_once(server, sink, again)
    _all_once(server, sink, small)


@pytest.mark.postgres
def test_postgres_stops_and_comes_back(serve: Callable[..., Server], sink: Sink, boxes: list[str]) -> None:
    with Postgres() as postgres:
        server = serve({"storage.database": postgres.fresh_database()})
        load = Load(server, 600, boxes, tag="postgres").start()
        _under_way(load, 0.3)
        postgres.halt()
        assert wait_for(lambda: _failing(server, "database"), "health to say so", timeout=40)
        postgres.resume()
        wait_for(lambda: _well(server), "health", timeout=30)
        load.join()
        assert len(load.answered) > 100
        _all_once(server, sink, load)
        server.stop()


# -- faults on demand --------------------------------------------------------------------------------------------------


@pytest.fixture
def double(serve: Callable[..., Server]) -> Server:
    return serve(dev=True)


def _fail(server: Server, part: str, count: int = 1) -> None:
    status, body = server.http("POST", "/_mailstead/fault", {"at": part, "count": count})
    assert status == 200, body


def _smtp(server: Server, to: str, *, login: bool = True, body: str = "Hello\r\n") -> tuple[int, str]:
    with smtplib.SMTP(*server.address("submission"), timeout=20) as client:
        client.starttls()
        try:
            if login:
                client.login(*server.smtp_login)
            client.mail(SENDER)
            client.rcpt(to)
            code, text = client.data(f"From: {SENDER}\r\nTo: {to}\r\n\r\n{body}")
        except smtplib.SMTPResponseException as error:
            code, text = error.smtp_code, error.smtp_error
    return code, text.decode() if isinstance(text, bytes) else text


def _api(server: Server, to: str) -> dict[str, Any]:
    content = {"Simple": {"Subject": {"Data": "hello"}, "Body": {"Text": {"Data": "Hello"}}}}
    answer: dict[str, Any] = server.sesv2().send_email(
        FromEmailAddress=SENDER, Destination={"ToAddresses": [to]}, Content=content
    )
    return answer


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        ("auth", (454, "Temporary authentication failure")),
        ("receive", (454, "Temporary service failure")),
        ("accept", (451, "Temporary service failure")),
    ],
)
def test_a_fault_at_the_doors(double: Server, boxes: list[str], part: str, answer: tuple[int, str]) -> None:
    _fail(double, part, 2)  # smtplib tries its next mechanism
    assert _smtp(double, boxes[0]) == answer
    _fail(double, part, 0)
    assert _smtp(double, boxes[0])[0] == 250


@pytest.mark.parametrize("part", ["accept", "database"])
def test_a_fault_at_the_api(double: Server, boxes: list[str], part: str) -> None:
    _fail(double, part, 3 if part == "database" else 1)  # others use the database meanwhile
    with pytest.raises(ClientError) as refused:
        _api(double, boxes[0])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    _fail(double, part, 0)
    assert _api(double, boxes[0])["MessageId"]


def test_a_fault_of_the_blobs(double: Server, sink: Sink, boxes: list[str]) -> None:
    _fail(double, "blobs")
    assert _smtp(double, boxes[0])[0] == 451
    assert _smtp(double, boxes[0])[0] == 250


def test_a_fault_of_dns_defers(double: Server, sink: Sink, boxes: list[str]) -> None:
    _fail(double, "dns", 100)
    assert _smtp(double, boxes[3])[0] == 250

    def waits() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = double.cli_json("queue", "list")
        return [row for row in rows if "Unable to lookup DNS" in row["reason"]]

    wait_for(waits, "the reason in the queue")
    _fail(double, "dns", 0)
    assert double.http("POST", "/_mailstead/clock", {"advance": 120})[0] == 200
    wait_for(sink.arrivals, "the message")
