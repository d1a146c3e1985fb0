"""Logs: one line a state change, on stderr, for people or as JSON."""

from __future__ import annotations

import logging
import sys

import msgspec


class JsonLines(logging.Formatter):
    """Each record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        about = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("mailstead."),
            "message": record.getMessage(),
        }
        if record.exc_info:
            about["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(about).decode()


def set_up(level: str, form: str) -> None:
    """Send everything to stderr from here on."""
    handler = logging.StreamHandler(sys.stderr)
    text = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(text))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for quiet in ("uvicorn.error", "asyncio"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
