"""What the pages say of the repository is true: links lead somewhere, files that are named exist, pins fit."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from peers.ground import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FILE = re.compile(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.(?:py|md|sql))`")


def dead_links(page: Path, text: str) -> Iterator[str]:
    """Relative links of a page that lead nowhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:|#", target) and not (page.parent / target.partition("#")[0]).exists():
            yield target


def missing_files(text: str) -> Iterator[str]:
    """Files that a page names (relative to the repository or to the package) and that do not exist."""
    for name in FILE.findall(text):
        if not any((root / name).exists() for root in (ROOT, ROOT / "src/mailstead", ROOT / "docs")):
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_files(page: Path) -> None:
    text = page.read_text()
    assert list(dead_links(page, text)) == []
    assert list(missing_files(text)) == []


def test_a_dead_link_and_a_missing_file_are_found() -> None:
    page = ROOT / "docs/x.md"
    assert list(dead_links(page, "[a](nowhere.md) [b](../README.md#x) [c](https://x.example/y)")) == ["nowhere.md"]
    assert list(missing_files("`proto/no_such.py` and `base/clock.py`")) == ["proto/no_such.py"]


def test_every_target_is_in_the_list() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    assert re.findall(r"^  make (\w+)", done.stdout, re.MULTILINE) == phony[1].split()


def pins(name: str) -> dict[str, str]:
    """Name → version of a lock file and of those that it includes."""
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= pins(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            package, _, version = line.partition("==")
            assert version, line
            found[package] = version
    return found


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ["cluster"]),
        ("requirements-demo.lock", ["demo"]),
        ("requirements-test.lock", ["test"]),
    ],
)
def test_the_lock_files_fit_the_project(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = pins(lock)
    wanted = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    for requirement in map(Requirement, wanted):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {lock} has {version}"
