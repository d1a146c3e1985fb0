"""What every command shares: where the installation is, the options for it, tables, JSON, and reaching the store."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mailstead.base.errors import NotFound

if TYPE_CHECKING:
    from mailstead.config import Settings
    from mailstead.runtime import Runtime
    from mailstead.store.port import Transaction

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--data", metavar="DIR", type=click.Path(path_type=Path), help="Data directory [./mailstead-data]."),
    click.option("--config", metavar="FILE", type=click.Path(path_type=Path), help="Configuration file (TOML)."),
    click.option("--set", "sets", metavar="KEY=VALUE", multiple=True, help="Set one setting; may be repeated."),
    click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a command works, and how it answers."""

    data: Path | None
    config: Path | None
    sets: tuple[str, ...]
    json: bool

    @property
    def folder(self) -> Path:
        """The data directory."""
        from mailstead.config import data_directory

        return data_directory(self.data, os.environ)

    def settings(self) -> Settings:
        """The settings of this installation: those that the running server has, and what is said here.

        Raises:
            ConfigError: see ``config.load``.
        """
        from mailstead.config import load, running

        server = running.read(self.folder)
        return load(self.config, os.environ, self.sets, self.data, base=server.given if server else None)

    def own_settings(self, *, dev: bool | None = None, sets: Sequence[str] = ()) -> Settings:
        """The settings for a server that starts here, whatever runs now."""
        from mailstead.config import load

        return load(self.config, os.environ, (*self.sets, *sets), self.data, dev)


def root_options(function: F) -> F:
    """The common options before the command's name."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def common(function: F) -> F:
    """The common options; the command gets a ``Frame`` as its first argument."""

    @functools.wraps(function)
    def inner(data: Path | None, config: Path | None, sets: tuple[str, ...], as_json: bool, **rest: Any) -> Any:
        before = click.get_current_context().find_root().params
        frame = Frame(
            data or before.get("data"),
            config or before.get("config"),
            (*before.get("sets", ()), *sets),
            as_json or bool(before.get("as_json")),
        )
        return function(frame, **rest)

    return root_options(inner)  # type: ignore[return-value]


# -- the store ---------------------------------------------------------------------------------------------------------


def in_runtime(settings: Settings, work: Callable[[Runtime], Awaitable[T]], *, new: bool = False) -> T:
    """Do ``work`` with the installation's store open.

    Args:
        new: an empty data directory will do: what a first start makes is made.

    Raises:
        NotFound: there is no installation in the data directory, and ``new`` is false.
    """
    import asyncio

    from mailstead.app import open_runtime
    from mailstead.app.first_start import prepare

    place = settings.storage.database.removeprefix("sqlite:")
    if not new and place != settings.storage.database and not Path(place).exists():
        raise NotFound(
            f"there is no installation at {settings.data}: start one there (mailstead serve), or name its --data"
        )

    async def run() -> T:
        async with open_runtime(settings) as runtime:
            if new:
                await prepare(runtime, settings)
            return await work(runtime)

    return asyncio.run(run())


def in_transaction(settings: Settings, body: Callable[[Transaction], Awaitable[T]], *, new: bool = False) -> T:
    """Run ``body`` in one transaction of the installation's store."""

    async def work(runtime: Runtime) -> T:
        return await runtime.db.run(body)

    return in_runtime(settings, work, new=new)


def scanned(settings: Settings, body: Callable[[Transaction], Awaitable[T]]) -> T:
    """Run a long reading ``body`` where it disturbs nobody."""

    async def work(runtime: Runtime) -> T:
        return await runtime.db.scan(body)

    return in_runtime(settings, work)


LINE = 100
"""Characters of a reason in a table."""
STEP_LINE = 5000
"""Where there is no terminal: a line after so many."""
_SPANS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))

# -- answers -----------------------------------------------------------------------------------------------------------


def when(milliseconds: int | None) -> str | None:
    """A time for people and for JSON: ``2026-11-03T09:15:02Z``, or None."""
    from datetime import UTC, datetime

    if milliseconds is None:
        return None
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def span(milliseconds: int) -> str:
    """How long, in its largest two units: ``3d4h``, ``12m``, ``now``."""
    seconds = max(0, milliseconds) // 1000
    for (unit, length), (below, small) in itertools.pairwise(_SPANS):
        if seconds >= length:
            rest = seconds % length // small
            return f"{seconds // length}{unit}" + (f"{rest}{below}" if rest else "")
    return f"{seconds}s" if seconds else "now"


def short(text: str) -> str:
    """A text on one line that fits into a table."""
    line = " ".join(text.split())
    return line if len(line) <= LINE else line[: LINE - 1] + "…"


def in_json(value: object) -> None:
    """Answer in JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def in_rows(frame: Frame, rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """Answer with a list: a table whose columns are the members, or JSON; ``empty`` is what to say if there is none."""
    if frame.json:
        in_json(rows)
    elif not rows:
        print(empty)
    else:
        _table([name.replace("_", " ").upper() for name in rows[0]], [[_cell(v) for v in row.values()] for row in rows])


def in_fields(frame: Frame, fields: Mapping[str, Any]) -> None:
    """Answer with one thing: a line a member, or JSON."""
    if frame.json:
        in_json(fields)
        return
    width = max(map(len, fields), default=0) + 2
    for name, value in fields.items():
        print(f"{name.replace('_', ' '):<{width}}{_cell(value)}")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "-" if value is None or value == "" else printable(str(value))


def printable(text: str) -> str:
    """A text of others (replies, addresses) that cannot steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if sys.stdout.isatty():
        _rich_table(heads, rows)
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: no markup in words of others
    Console().print(table)


@contextlib.contextmanager
def steps(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show how long work goes on: a bar on a terminal, a line now and then elsewhere, both on stderr.

    The function it gives is called with how many more of ``total`` are done.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)
        return
    done = 0

    def step(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if total > STEP_LINE and before // STEP_LINE != done // STEP_LINE:
            print(f"{what}: {done} of {total}", file=sys.stderr)

    yield step
