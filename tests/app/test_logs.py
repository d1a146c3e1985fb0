"""Logs: one line a record on stderr, for people or as JSON, whatever strangers wrote into it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from mailstead.app import logs

NASTY = ["plain", "two\nlines", "nul \0 and \x1b[31m", "lone \ud800 surrogate", "\u00fcber \u2028 break", '"quoted" \\']


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


@pytest.mark.parametrize("text", NASTY)
def test_json_is_one_object_a_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    logging.getLogger("mailstead.outbound.scheduler").info("reason=%s", text)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert told["level"] == "info"
    assert told["part"] == "outbound.scheduler"
    assert told["message"].startswith("reason=")
    assert set(told) == {"time", "level", "part", "message"}


def test_a_trace_stays_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "json")
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        logging.getLogger("mailstead.worker").exception("a step failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError: a bug" in json.loads(line)["trace"]


@pytest.mark.parametrize("text", NASTY)
def test_text_is_one_line_too(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "text")
    logging.getLogger("mailstead.net").info("reason=%s", text)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "INFO mailstead.net: reason=" in told
    assert "\x1b" not in told


@pytest.mark.parametrize(("level", "lines"), [("debug", 3), ("info", 2), ("error", 0)])
def test_the_level_is_the_operators(level: str, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(level, "text")
    log = logging.getLogger("mailstead.x")
    log.debug("a")
    log.info("b")
    log.warning("c")
    logging.getLogger("asyncio").info("nobody wants to know")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_requests_that_are_none_do_not_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "text")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert len(capsys.readouterr().err.splitlines()) == 1
