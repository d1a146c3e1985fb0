"""Rules: each takes a file's path and text and answers the breaches, one line each; empty is good."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

BAD_NAMES = frozenset(
    {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"}
)  # a name says what a thing is for, not that it was left over
CLOCK = "src/mailstead/base/clock.py"
SQL_HOMES = ("src/mailstead/store/", "src/mailstead/ses/", "src/mailstead/mailboxes/")
LIVE = ("tests/peers/", "tests/e2e/", "tests/servers/", "tests/cli/", "tests/faults/")
_READS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
_SQL = re.compile(
    r"\s*(?:SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s"
    r"|(?:CREATE|DROP|ALTER)\s+(?:UNIQUE\s+)?(?:TABLE|INDEX|VIEW)\s)",
    re.DOTALL,
)
_MACHINE = re.compile(r"(?<![\w.])/" + r"(?:work|root)/[\w.]")


def breaks_docstring(path: str, text: str) -> Iterator[str]:
    """Every file says first what it is for."""
    if not ast.get_docstring(ast.parse(text)):
        yield f"{path}: begins without a docstring"


def breaks_names(path: str, text: str) -> Iterator[str]:
    """No file and no class is called a helper."""
    parts = re.split(r"[/_.]", path.removeprefix("src/"))
    if bad := BAD_NAMES.intersection(parts):
        yield f"{path}: named {', '.join(sorted(bad))}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            words = re.findall(r"[A-Z]?[a-z]+", node.name)
            if BAD_NAMES.intersection(word.lower() for word in words):
                yield f"{path}:{node.lineno}: {node.name}"


def breaks_time(path: str, text: str) -> Iterator[str]:
    """Time is handed in: only base/clock.py reads it, and a wait on the loop has a name or says why."""
    if path == CLOCK:
        return
    tree = ast.parse(text)
    yield from (f"{path}:{line}: takes the time from the module" for line in _time_imports(tree))
    lines = text.splitlines()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = ast.unparse(node.func.value).rpartition(".")[2]
        if node.func.attr in _READS.get(owner, ()):
            yield f"{path}:{node.lineno}: {owner}.{node.func.attr}()"
        elif (owner, node.func.attr) == ("asyncio", "sleep") and not _explained(lines, node):
            yield f"{path}:{node.lineno}: asyncio.sleep() of no named length and without a comment that says why"


def _time_imports(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        if isinstance(node, ast.ImportFrom) and node.module == "time" and names & _READS["time"]:
            yield node.lineno


def _explained(lines: list[str], call: ast.Call) -> bool:
    length = call.args[0] if call.args else None
    if isinstance(length, ast.Constant) and length.value == 0:
        return True  # a turn for the others, not a wait
    if isinstance(length, ast.Name) and length.id.isupper():
        return True  # a named constant, explained where it stands
    around = lines[max(0, call.lineno - 2) : call.end_lineno]
    return "#" in around[-1] or around[0].lstrip().startswith("#")


def breaks_sleep(path: str, text: str) -> Iterator[str]:
    """A unit test waits for what it wants to see, never for time to pass; real sockets and processes may need it."""
    if path.startswith(LIVE):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}:
            yield f"{path}:{node.lineno}: sleeps"


def breaks_sql(path: str, text: str) -> Iterator[str]:
    """SQL stands only where state lives."""
    if path.startswith(SQL_HOMES):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            words = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value
        else:
            continue
        if _SQL.match(words):
            yield f"{path}:{node.lineno}: SQL outside store, ses and mailboxes"


def breaks_places(path: str, text: str) -> Iterator[str]:
    """Nothing names a folder of the machine it was written on."""
    for number, line in enumerate(text.splitlines(), 1):
        if _MACHINE.search(line):
            yield f"{path}:{number}: names a place of one machine"


def circles(imports: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The circles in a graph of imports, each as the way around it."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> None:
        if name in way:
            found.append([*way[way.index(name) :], name])
        elif name not in done:
            for other in imports.get(name, ()):
                walk(other, [*way, name])
            done.add(name)

    for name in imports:
        walk(name, [])
    return found


def imports_within(package: str, files: Mapping[str, str]) -> dict[str, set[str]]:
    """Module → modules of the same package it imports, wherever in the file; ``files`` is module → text."""
    graph: dict[str, set[str]] = {}
    for module, text in files.items():
        seen = graph.setdefault(module, set())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                seen.update(alias.name for alias in node.names if alias.name in files)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
                whole = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
                seen.update(name for name in whole if name in files and name != package)
    return graph
