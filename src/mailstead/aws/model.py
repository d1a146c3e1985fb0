"""Model: what Amazon's operations look like, read from the tables that ``make models`` wrote.

A ``Service`` is loaded once, when first asked for (a few milliseconds), and never changes.
Only the four codecs (query, rest_json, validate, gateway) and the generated page read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal[
    "structure", "list", "map", "string", "boolean", "integer", "long", "double", "float", "timestamp", "blob"
]
Place = Literal["body", "path", "query"]


@dataclass(slots=True)
class Shape:
    """One shape: a structure with members, a list or map of something, or a scalar with constraints."""

    name: str
    kind: Kind
    members: dict[str, Member] = field(default_factory=dict, repr=False)
    required: frozenset[str] = frozenset()
    of: Shape | None = field(default=None, repr=False)
    """What a list holds, or the values of a map."""
    key: Shape | None = field(default=None, repr=False)
    entry: tuple[str, str] = ("key", "value")
    """What a form calls the two sides of a map's entry."""
    enum: tuple[str, ...] = ()
    least: float | None = None
    """Least length of a string, list, map or blob; least value of a number."""
    most: float | None = None
    pattern: str = ""
    """A regular expression for the whole value, in the words of Amazon's model."""
    secret: bool = False
    """Its value is never repeated in an error."""
    free: bool = False
    """Neither this shape nor anything below it can break a constraint."""

    @property
    def item(self) -> Shape:
        """What a list or map holds."""
        assert self.of is not None
        return self.of


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a structure."""

    name: str
    shape: Shape
    place: Place = "body"
    wire: str = ""
    """Its name in the path template or the query string."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a service."""

    name: str
    method: str
    path: str
    input: Shape | None
    output: Shape | None
    errors: frozenset[str]
    """Names of the errors it declares."""


class _RawShape(msgspec.Struct):
    kind: Kind = msgspec.field(name="t")
    members: dict[str, str | tuple[str, str, str]] = msgspec.field(name="m", default_factory=dict)
    required: list[str] = msgspec.field(name="r", default_factory=list)
    of: str = msgspec.field(name="o", default="")
    key: str = msgspec.field(name="k", default="")
    entry: tuple[str, str] = msgspec.field(name="l", default=("key", "value"))
    enum: list[str] = msgspec.field(name="e", default_factory=list)
    least: float | None = msgspec.field(name="n", default=None)
    most: float | None = msgspec.field(name="x", default=None)
    pattern: str = msgspec.field(name="p", default="")
    secret: bool = msgspec.field(name="s", default=False)


class _RawOperation(msgspec.Struct):
    method: str = msgspec.field(name="h")
    path: str = msgspec.field(name="u")
    input: str = msgspec.field(name="i", default="")
    output: str = msgspec.field(name="o", default="")
    errors: list[str] = msgspec.field(name="e", default_factory=list)


class _RawService(msgspec.Struct):
    service: str
    version: str
    protocol: Literal["query", "rest-json"]
    xmlns: str
    signing: str
    operations: dict[str, _RawOperation]
    errors: dict[str, tuple[str, int]]
    shapes: dict[str, _RawShape]


class Service:
    """The tables of one service, linked."""

    def __init__(self, raw: _RawService) -> None:
        self.name = raw.service
        self.version = raw.version
        self.protocol = raw.protocol
        self.xmlns = raw.xmlns
        self.signing = raw.signing
        """The service name in the scope of a signature (``ses`` for v1 and v2)."""
        self.errors = raw.errors
        """Declared error: its wire code and HTTP status."""
        self.shapes = _linked(raw.shapes)
        find = self.shapes.get
        self.operations = {
            name: Operation(name, op.method, op.path, find(op.input), find(op.output), frozenset(op.errors))
            for name, op in raw.operations.items()
        }

    @cached_property
    def router(self) -> Router:
        """Finds an operation by method and path (REST-JSON only)."""
        return Router(self.operations.values())


_PLACES: dict[str, Place] = {"u": "path", "q": "query"}


def _linked(raw: dict[str, _RawShape]) -> dict[str, Shape]:
    shapes = {
        name: Shape(
            name,
            entry.kind,
            required=frozenset(entry.required),
            entry=entry.entry,
            enum=tuple(entry.enum),
            least=entry.least,
            most=entry.most,
            pattern=entry.pattern,
            secret=entry.secret,
        )
        for name, entry in raw.items()
    }
    for name, entry in raw.items():
        shape = shapes[name]
        shape.members = {member: _member(member, how, shapes) for member, how in entry.members.items()}
        shape.of = shapes.get(entry.of)
        shape.key = shapes.get(entry.key)
    _mark_free(shapes.values())
    return shapes


def _member(name: str, how: str | tuple[str, str, str], shapes: dict[str, Shape]) -> Member:
    if isinstance(how, str):
        return Member(name, shapes[how], "body", name)
    return Member(name, shapes[how[0]], _PLACES[how[1]], how[2])


def _parts(shape: Shape) -> Iterator[Shape]:
    yield from (member.shape for member in shape.members.values())
    if shape.of is not None:
        yield shape.of
    if shape.key is not None:
        yield shape.key


def _mark_free(shapes: Iterable[Shape]) -> None:
    """Find the shapes that need no validation, from the leaves up; a circle of shapes stays marked as needing it."""
    todo = [shape for shape in shapes if not _bound(shape)]
    while True:
        rest = []
        for shape in todo:
            if all(part.free for part in _parts(shape)):
                shape.free = True
            else:
                rest.append(shape)
        if len(rest) == len(todo):
            return
        todo = rest


def _bound(shape: Shape) -> bool:
    """Has this shape a constraint of its own?  (A list may always hold a null, so it has.)"""
    return bool(
        shape.required
        or shape.enum
        or shape.pattern
        or shape.kind in ("list", "map")
        or shape.least is not None
        or shape.most is not None
    )


@dataclass(slots=True)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    wildcard: _Node | None = None
    operation: Operation | None = None
    names: tuple[str, ...] = ()


_VARIABLE = re.compile(r"\{(\w+)\}")


class Router:
    """Path templates of REST-JSON as a tree a method; literal segments win over variables."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._roots: dict[str, _Node] = {}
        for operation in operations:
            self._add(operation)

    def _add(self, operation: Operation) -> None:
        node = self._roots.setdefault(operation.method, _Node())
        names = []
        for segment in operation.path.strip("/").split("/"):
            variable = _VARIABLE.fullmatch(segment)
            if variable:
                names.append(variable[1])
                node.wildcard = node = node.wildcard or _Node()
            else:
                node = node.literal.setdefault(segment, _Node())
        node.operation, node.names = operation, tuple(names)

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation and its path variables, still percent-encoded; a last slash makes no difference."""
        root = self._roots.get(method)
        segments = path.removeprefix("/").removesuffix("/").split("/", _MAX_SEGMENTS)
        found = _walk(root, segments, 0) if root is not None and len(segments) < _MAX_SEGMENTS else None
        if found is None or found[0].operation is None:
            return None
        node, values = found
        return found[0].operation, dict(zip(node.names, values, strict=True))


_MAX_SEGMENTS = 12  # no template is that long


def _walk(node: _Node, segments: list[str], at: int) -> tuple[_Node, list[str]] | None:
    if at == len(segments):
        return (node, []) if node.operation is not None else None
    segment = segments[at]
    literal = node.literal.get(segment)
    if literal is not None:
        found = _walk(literal, segments, at + 1)
        if found is not None:
            return found
    if node.wildcard is None or not segment:
        return None
    found = _walk(node.wildcard, segments, at + 1)
    return None if found is None else (found[0], [segment, *found[1]])


Name = Literal["ses", "sesv2", "sts", "sns"]


@lru_cache(maxsize=8)
def load(name: Name) -> Service:
    """A service by our name of it: ``ses`` (v1, Query), ``sesv2`` (REST-JSON), ``sts``, ``sns``."""
    text = (Path(__file__).parent / "models" / f"{name}.json").read_bytes()
    return Service(msgspec.json.decode(text, type=_RawService))
