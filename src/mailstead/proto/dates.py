"""Dates: the time in a Date field (RFC 5322 §3.3), in the form SES writes it (SES: smtp §6.3)."""

from __future__ import annotations

from datetime import UTC, datetime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def header_date(now: int) -> str:
    """``Fri, 6 Sep 2019 18:52:14 +0000`` of milliseconds since 1970: names of days never follow a locale."""
    t = datetime.fromtimestamp(now // 1000, UTC)
    day, month = _DAYS[t.weekday()], _MONTHS[t.month - 1]
    return f"{day}, {t.day} {month} {t.year} {t.hour:02}:{t.minute:02}:{t.second:02} +0000"
