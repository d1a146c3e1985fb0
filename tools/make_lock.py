"""Lock: write what is installed in .venv as exact pins, split by who needs it.

requirements.lock is what production runs (with the cluster extra), requirements-demo.lock adds what `make demo` needs,
requirements-test.lock what the tests need; each includes the one before.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "mailstead"
FILES = (("requirements.lock", "cluster"), ("requirements-demo.lock", "demo"), ("requirements-test.lock", "test"))


def _requirements(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What an installed distribution asks for here, with these extras."""
    found = []
    for text in distribution(name).requires or []:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            found.append(requirement)
    return found


def closure(extras: frozenset[str]) -> dict[str, str]:
    """Name → version of everything the project needs with these extras, itself left out."""
    pins: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(PROJECT, extras)]
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        if name != PROJECT:
            pins[name] = distribution(name).version
        todo += [(canonicalize_name(r.name), frozenset(r.extras)) for r in _requirements(name, wanted)]
    return pins


def main() -> int:
    """Write the files; they are complete or not written at all."""
    extras: set[str] = set()
    before: dict[str, str] = {}
    texts: list[tuple[str, str]] = []
    for number, (file, extra) in enumerate(FILES):
        extras.add(extra)
        try:
            pins = closure(frozenset(extras))
        except PackageNotFoundError as error:
            print(f"not installed: {error.name}: run `make lock`", file=sys.stderr)
            return 1
        lines = ["# Written by `make lock`; pyproject.toml says what is allowed."]
        lines += [f"-r {FILES[number - 1][0]}"] if number else []
        lines += [f"{name}=={version}" for name, version in sorted(pins.items()) if name not in before]
        texts.append((file, "\n".join(lines) + "\n"))
        before = pins
    for file, text in texts:
        (ROOT / file).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
