"""App: builds everything; the only place that knows every part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailstead.app.opening import open_runtime

if TYPE_CHECKING:
    from mailstead.config import Settings

__all__ = ["open_runtime", "serve"]


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT; the exit status."""
    from mailstead.app.serving import serve as run  # noqa: PLC0415 — commands do without every part loaded

    return run(settings)
