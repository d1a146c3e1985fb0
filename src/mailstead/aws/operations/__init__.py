"""One file a capability: v1 and v2 of an operation side by side."""

from __future__ import annotations

from typing import Any

HANDLERS: dict[tuple[str, str], Any] = {}
"""``("ses" | "sesv2" | "sts", operation)`` → its handler.  A name in here is taken out of ``aws/not_offered.py``."""
