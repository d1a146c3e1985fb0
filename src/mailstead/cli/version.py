"""``mailstead version``."""

from __future__ import annotations

import platform

import click

import mailstead
from mailstead.cli.frame import Frame, common, in_json


@click.command("version")
@common
def command(frame: Frame) -> None:
    """Which Mailstead this is.

    \b
    mailstead version --json
    """
    if frame.json:
        in_json({"version": mailstead.__version__, "python": platform.python_version()})
    else:
        print(f"mailstead {mailstead.__version__} (Python {platform.python_version()})")
