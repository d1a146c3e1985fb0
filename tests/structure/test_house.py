"""The rules of the house hold in every file of the repository."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.ground import ROOT
from structure import rules

Rule = Callable[[str, str], Iterator[str]]
SHIPPED = ("src", "tests", "tools", "docs", "Makefile", "README.md", "pyproject.toml")
SOURCE_RULES = [rules.breaks_docstring, rules.breaks_names, rules.breaks_time, rules.breaks_sql]


def texts(folder: str) -> dict[str, str]:
    """Path (relative to the repository) → text of every Python file below a folder."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in files}


def tracked() -> list[Path]:
    """The files that git would hand to others; without git, what a source archive holds."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        words = [git, "-c", "safe.directory=*", "ls-files", "-z"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=20, check=True)
        return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]
    tops = [ROOT / name for name in SHIPPED]
    return [path for top in tops for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file()]


@pytest.mark.parametrize("rule", SOURCE_RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps(rule: Rule) -> None:
    assert [line for path, text in texts("src").items() for line in rule(path, text)] == []


@pytest.mark.parametrize("rule", [rules.breaks_docstring, rules.breaks_sleep], ids=lambda rule: rule.__name__)
def test_the_tests_keep(rule: Rule) -> None:
    assert [line for path, text in texts("tests").items() for line in rule(path, text)] == []


def test_no_circles_among_what_an_account_owns() -> None:
    files = {
        path.removeprefix("src/").removesuffix(".py").replace("/", "."): text
        for path, text in texts("src/mailstead/ses").items()
        if not path.endswith("__init__.py")
    }
    assert rules.circles(rules.imports_within("mailstead.ses", files)) == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += rules.breaks_places(path.relative_to(ROOT).as_posix(), text)
    assert found == []


def copied(vectors: Path, ours: list[Path]) -> list[Path]:
    """Which of our files are published test data, byte for byte (the text of a licence is nobody's data)."""
    published = {hashlib.sha256(file.read_bytes()).digest() for file in vectors.rglob("*") if file.is_file()}
    some = [path for path in ours if path.name != "LICENSE" and path.stat().st_size > 64]
    return [path for path in some if hashlib.sha256(path.read_bytes()).digest() in published]


def test_no_published_vector_is_committed(vectors: Path) -> None:
    assert copied(vectors, tracked()) == []


def test_a_committed_vector_would_be_found(vectors: Path, tmp_path: Path) -> None:
    some = next(file for file in vectors.rglob("*.md") if file.stat().st_size > 64)
    copy = tmp_path / "copy"
    copy.write_bytes(some.read_bytes())
    assert copied(vectors, [copy]) == [copy]
