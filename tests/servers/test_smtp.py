"""The shell itself: silence, slowness, hang-ups, floods, and the end of the server."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from mailstead.outbound.handed_in import Submission
from mailstead.servers.smtp import Patience, Peer
from peers.doors import ACCOUNT, HOST, KEY, Doors, Raw

MESSAGE = b"From: sender@example.com\r\n\r\nbody\r\n"
TRANSACTION = b"MAIL FROM:<sender@example.com>\r\nRCPT TO:<r@example.net>\r\nDATA\r\n"
TIMEOUT = "451 4.4.2 Timeout waiting for data from client."
GOOD_BYE = f"421 {HOST} Service not available, closing transmission channel"


def doors_with(folder: Path, **submission: object) -> Doors:
    return Doors(folder, trusted=[("127.0.0.0/8", ACCOUNT)], submission=submission)


def let_idle(doors: Doors) -> None:
    """NOOP as often as you like."""
    doors.submitting.offer_trusted = replace(doors.submitting.offer_trusted, max_idle=10**9)


def greeted(doors: Doors) -> Raw:
    raw = doors.raw()
    raw.reply()
    raw.ask("EHLO a.example")
    return raw


def let_pass(check: object, seconds: float = 5.0) -> None:
    """Until ``check()`` is true."""
    until = time.monotonic() + seconds
    while not check():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("said", [b"", b"NOO", TRANSACTION + b"From: sender@exam"])
def test_silence_ends_the_session(tmp_path: Path, said: bytes) -> None:
    with doors_with(tmp_path, idle=1000) as doors, greeted(doors) as raw:
        raw.say(said)
        lines = raw.rest().decode().split("\r\n")
        assert lines[-2:] == [TIMEOUT, ""]
        let_pass(lambda: len(doors.submitting.crowd) == 0)


@pytest.mark.slow
def test_a_command_dripping_in_is_silence(tmp_path: Path) -> None:
    with doors_with(tmp_path, idle=1000) as doors, greeted(doors) as raw:
        started = time.monotonic()
        raw.socket.settimeout(0.2)
        while time.monotonic() - started < 4:
            try:
                raw.say(b"N")
                if raw.socket.recv(200).startswith(b"451 4.4.2"):
                    break
            except TimeoutError:
                continue
        assert time.monotonic() - started < 4


@pytest.mark.slow
def test_content_dripping_in_is_not_silence(tmp_path: Path) -> None:
    with doors_with(tmp_path, idle=1000) as doors, greeted(doors) as raw:
        raw.say(TRANSACTION)
        for _ in range(6):
            raw.say(b"X-Drop: 1\r\n")
            time.sleep(0.4)
        raw.say(MESSAGE + b".\r\n")
        assert [raw.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]


@pytest.mark.slow
def test_waiting_for_us_is_not_silence(tmp_path: Path) -> None:
    with doors_with(tmp_path, idle=1000) as doors, greeted(doors) as raw:
        slow_down(doors, 2.5)
        raw.say(TRANSACTION + MESSAGE + b".\r\n")
        assert [raw.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]


def slow_down(doors: Doors, seconds: float) -> None:
    """Taking a message in takes so long."""
    submit = doors.submitting.submit

    async def slowly(submission: Submission) -> str:
        await asyncio.sleep(seconds)
        return await submit(submission)

    doors.submitting.submit = slowly


def test_hang_ups_at_every_place_are_harmless(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = b"EHLO a\r\n" + TRANSACTION + MESSAGE + b".\r\n" + TRANSACTION + MESSAGE + b".\r\nQUIT\r\n"
    with doors_with(tmp_path) as doors:
        slow_down(doors, 0.005)
        for cut in range(0, len(whole), 7):
            with doors.raw() as raw:
                raw.say(whole[:cut])
                raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
        let_pass(lambda: len(doors.submitting.crowd) == 0)
        with greeted(doors) as raw:
            raw.say(TRANSACTION + MESSAGE + b".\r\n")
            assert [raw.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_hang_ups_in_the_handshake_are_harmless(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Doors(tmp_path) as doors:
        for name in ("submission", "submissions"):
            for garbage in (b"", b"\x16\x03\x01\x00", b"GET / HTTP/1.1\r\n\r\n"):
                with doors.raw(name) as raw:
                    if name == "submission":
                        raw.reply()
                        raw.ask("EHLO a")
                        raw.ask("STARTTLS")
                    raw.say(garbage)
        let_pass(lambda: len(doors.submitting.crowd) == 0)
        with doors.smtp("submissions") as smtp:
            assert smtp.noop()[0] == 250
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_a_browser_made_to_talk_to_us_is_sent_away(tmp_path: Path) -> None:
    with doors_with(tmp_path) as doors, doors.raw() as raw:
        raw.reply()
        raw.say(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + TRANSACTION + MESSAGE + b".\r\n")
        assert raw.rest().startswith(b"421 ")
        assert doors.run(lambda tx: tx.value("SELECT count(*) FROM messages")) == 0


def test_a_flood_of_commands_while_we_work_is_held_back(tmp_path: Path) -> None:
    with doors_with(tmp_path) as doors:
        let_idle(doors)
        raw = greeted(doors)
        slow_down(doors, 0.3)
        flood = b"NOOP\r\n" * 300_000
        raw.say(TRANSACTION + MESSAGE + b".\r\n")
        sender = Thread(target=raw.socket.sendall, args=(flood,), daemon=True)
        sender.start()
        answers = 0
        while answers < 300_000 + 4:
            assert raw.line()[:3] in ("250", "354")
            answers += 1
        sender.join(10)
        assert not sender.is_alive()
        raw.close()


@pytest.mark.parametrize("command", ["NOOP", "RSET", "EHLO a.example", "VRFY a", "HELP"])
def test_commands_that_lead_nowhere_come_to_an_end(tmp_path: Path, command: str) -> None:
    with doors_with(tmp_path) as doors, greeted(doors) as raw:
        raw.say(f"{command}\r\n".encode() * 2000)
        assert raw.rest().endswith(b"421 Too many errors on this connection\r\n")


def test_a_message_makes_good_for_them(tmp_path: Path) -> None:
    with doors_with(tmp_path) as doors, greeted(doors) as raw:
        for _ in range(3):
            raw.say(b"NOOP\r\n" * 900 + TRANSACTION + MESSAGE + b".\r\n")
            assert [raw.reply()[:3] for _ in range(904)] == ["250"] * 902 + ["354", "250"]


def test_a_client_that_does_not_read_is_not_listened_to(tmp_path: Path) -> None:
    with doors_with(tmp_path) as doors:
        let_idle(doors)
        raw = greeted(doors)
        raw.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            raw.socket.sendall(b"NOOP\r\n" * 10_000_000)
        with greeted(doors) as other:  # nobody else is bothered
            assert other.ask("NOOP") == "250 Ok"
        raw.close()


@pytest.mark.slow
def test_who_does_not_even_read_our_good_bye_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.servers.smtp.LAST_WORDS", 0.5)
    with doors_with(tmp_path, idle=1000) as doors:
        let_idle(doors)
        raw = greeted(doors)
        raw.socket.settimeout(1)
        with pytest.raises((TimeoutError, ConnectionError)):
            raw.socket.sendall(b"NOOP\r\n" * 10_000_000)
        let_pass(lambda: len(doors.submitting.crowd) == 0)
        raw.close()


def test_the_end_lets_the_message_in_hand_be_finished(tmp_path: Path) -> None:
    with doors_with(tmp_path) as doors, greeted(doors) as idle, greeted(doors) as busy, greeted(doors) as halfway:
        slow_down(doors, 0.3)
        busy.say(TRANSACTION + MESSAGE + b".\r\n")
        halfway.say(TRANSACTION)
        assert [halfway.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        port = doors.ports["submission"]
        end = asyncio.run_coroutine_threadsafe(doors.servers["submission"].stop(5), doors._loop)
        assert idle.reply() == GOOD_BYE
        assert idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        halfway.say(MESSAGE + b".\r\n")
        for client, replies in ((busy, ["250", "250", "354", "250"]), (halfway, ["250"])):
            assert [client.reply()[:3] for _ in replies] == replies
            assert client.reply() == GOOD_BYE
            assert client.rest() == b""
        end.result(5)
        assert doors.run(lambda tx: tx.value("SELECT count(*) FROM messages")) == 2


def test_the_end_does_not_wait_longer_than_the_grace(tmp_path: Path) -> None:
    with doors_with(tmp_path) as doors, greeted(doors) as raw:
        raw.say(TRANSACTION)
        [raw.reply() for _ in range(3)]
        started = time.monotonic()
        doors.await_(doors.servers["submission"].stop(0.3))
        assert time.monotonic() - started < 2
        assert raw.rest() == b""


def test_many_large_messages_at_once_do_not_fill_the_memory(tmp_path: Path) -> None:
    line = b"x" * 70 + b"\r\n"
    large = line * (2_000_000 // len(line))
    with doors_with(tmp_path) as doors, greeted(doors) as first, greeted(doors) as second, greeted(doors) as third:
        crowd = doors.submitting.crowd
        crowd.limits = replace(crowd.limits, octets=3_000_000)
        first.say(TRANSACTION + MESSAGE + large)
        let_pass(lambda: crowd.octets > 1_900_000)
        second.say(TRANSACTION + MESSAGE + large + b".\r\n")
        assert [second.reply() for _ in range(4)][3] == "454 Temporary service failure"
        assert crowd.octets < 2_100_000
        second.say(TRANSACTION + MESSAGE + b".\r\n")
        assert [second.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
        third.say(TRANSACTION + MESSAGE + b".\r\n")
        assert [third.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
        first.say(b".\r\n")
        assert [first.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
        let_pass(lambda: crowd.octets == 0)
        third.say(TRANSACTION + MESSAGE + large)
        let_pass(lambda: crowd.octets > 1_900_000)
        third.close()
        let_pass(lambda: crowd.octets == 0)


@pytest.mark.parametrize("name", ["submission", "mx"])
def test_one_client_does_not_take_every_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("mailstead.servers.smtp._peer", lambda _: Peer("192.0.2.1", 1))
    few = {name: {"connections": 4, "connections_per_address": 2}}
    with Doors(tmp_path, **few) as doors, doors.raw(name) as first, doors.raw(name) as second:  # type: ignore[arg-type]
        assert [raw.reply()[:4] for raw in (first, second)] == ["220 "] * 2
        for _ in range(10):
            with doors.raw(name) as more:
                assert re.fullmatch(r"421 (4\.7\.0 )?Too many concurrent SMTP connections", more.reply())
                assert more.rest() == b""
        monkeypatch.setattr("mailstead.servers.smtp._peer", lambda _: Peer("192.0.2.2", 1))
        with doors.raw(name) as other:
            assert other.reply().startswith("220 ")


def test_a_trusted_network_may_come_with_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstead.servers.smtp._peer", lambda _: Peer("192.0.2.1", 1))
    few = Doors(tmp_path, trusted=[("192.0.2.0/24", ACCOUNT)], submission={"connections_per_address": 1})
    with few as doors, doors.raw() as first, doors.raw() as second:
        assert [raw.reply()[:4] for raw in (first, second)] == ["220 "] * 2


def busy_for(raw: Raw, seconds: float) -> list[str]:
    """What is answered to a NOOP every now and then."""
    answers, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            raw.say("NOOP")
            answers.append(raw.reply())
        except ConnectionError:
            break
        if not answers[-1].startswith("250"):
            break
        time.sleep(0.05)
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("name", ["submission", "mx"])
def test_noops_do_not_keep_a_session_that_brings_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(f"mailstead.servers.{name}.Patience", partial(Patience, fruitless=1.0))
    short = {"submission": {"idle": 500}, "mx": {"idle": 500}}
    with Doors(tmp_path, trusted=[("127.0.0.0/8", ACCOUNT)], **short) as doors, doors.raw(name) as raw:  # type: ignore[arg-type]
        raw.reply()
        raw.ask("EHLO a.example")
        assert "4.4.2" in busy_for(raw, 6)[-1]
        assert raw.rest() == b""


@pytest.mark.slow
def test_a_message_or_a_login_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mx", "submission"):
        monkeypatch.setattr(f"mailstead.servers.{name}.Patience", partial(Patience, fruitless=1.0))
    with Doors(tmp_path, submission={"idle": 500}, mx={"idle": 500}) as doors, doors.smtp("submissions") as smtp:
        smtp.login(KEY, doors.password())
        with doors.raw("mx") as raw:
            raw.reply()
            raw.ask("EHLO a.example")
            for _ in range(4):
                assert busy_for(raw, 0.6)[-1].startswith("250")
                raw.say(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<postmaster@hosted.test>\r\nDATA\r\n")
                raw.say(MESSAGE + b".\r\n")
                assert [raw.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]
                assert smtp.noop()[0] == 250
