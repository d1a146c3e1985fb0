"""Logs: one line a state change, on stderr, for people or as JSON."""

from __future__ import annotations

import logging
import sys
import time
from functools import lru_cache

import msgspec

from mailstead.proto.smtp.reply import harmless


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}"


def _text(record: logging.LogRecord) -> str:
    """What is told, on one line whatever a stranger's reply in it holds."""
    return harmless(record.getMessage())


class Lines(logging.Formatter):
    """Each record as a line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = f"{_time(record)} {record.levelname} {record.name}: {_text(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonLines(logging.Formatter):
    """Each record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        about = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("mailstead."),
            "message": _text(record),
        }
        if record.exc_info:
            about["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(about).decode()


def set_up(level: str, form: str) -> None:
    """Send everything to stderr from here on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    _without_what_nobody_reads()
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # It warns of each request that is none and of each connection too many: strangers must not fill the disk.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _without_what_nobody_reads() -> None:
    """Neither line shows thread, process, task or source: finding them costs more than writing the line."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = ""  # the way that the standard library's logging how-to names
