"""Handlebars, rendering: the nodes of a template, each of which writes itself for the data it stands in.

Bounded: depth, steps and length of one rendering, so that no template costs more than a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from mailstead.base.errors import Invalid

MAX_DEPTH = 80
"""Programs inside programs: blocks and partials."""
MAX_STEPS = 200_000


class Unrenderable(Invalid):
    """A template that data cannot be put into; ``kind`` is ``rendering-attribute`` where data lacks something."""


class OutOfSteps(Unrenderable):
    """It takes longer than it was given; with more it might be done."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""A value that is not there, which is not the same as null."""


def absent(name: str) -> Unrenderable:
    """An attribute that the data does not have, in SES's words (SES: wire §9)."""
    return Unrenderable(f"Attribute '{name}' is not present in the rendering data.", kind="rendering-attribute")


class Run:
    """What one rendering may still spend, and what it has written."""

    __slots__ = ("depth", "out", "room", "steps")

    def __init__(self, room: int, steps: int) -> None:
        self.out: list[str] = []
        self.room = room
        self.steps = steps
        self.depth = 0

    def spend(self, steps: int) -> None:
        """Pay for work."""
        self.steps -= steps
        if self.steps < 0:
            raise OutOfSteps("The template takes too long to render.", kind="rendering-parameter")

    def write(self, text: str) -> None:
        """Append to the output."""
        self.room -= len(text)
        if self.room < 0:
            raise Unrenderable("The rendered content is too long.", kind="rendering-parameter")
        self.out.append(text)

    def enter(self) -> None:
        """One program deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unrenderable("The template is nested too deeply.", kind="rendering-parameter")


@dataclass(frozen=True, slots=True)
class Loop:
    """``@index``, ``@key``, ``@first``, ``@last`` of a round, and those of the round outside."""

    index: int
    key: str | int
    last: bool
    outer: Loop | None


@dataclass(slots=True)  # not frozen: made once a round
class Frame:
    """Where a node stands."""

    context: Any
    root: Any
    up: Frame | None
    """Where ``../`` leads."""
    loop: Loop | None
    partials: Mapping[str, Program]
    names: Mapping[str, Any]
    """Those of ``as |x|``."""

    def inside(self, context: Any, loop: Loop | None, names: Mapping[str, Any]) -> Frame:
        """The frame of a block in another context; the same object again is no level for ``../``."""
        up = self.up if context is self.context and isinstance(context, dict | list) else self
        return Frame(context, self.root, up, loop, self.partials, names)


def member(value: Any, name: str) -> Any:
    """``value.name``: of an object, or of a list by number; ``length`` of a list."""
    if isinstance(value, dict):
        return value.get(name, MISSING)
    if isinstance(value, list):
        if name == "length":
            return len(value)
        if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(value):
            return value[int(name)]
    return MISSING


def _walk(value: Any, parts: tuple[str, ...]) -> Any:
    for part in parts:
        value = member(value, part)
    return value


class Term(Protocol):
    """What stands as a value in a tag."""

    def find(self, run: Run, frame: Frame) -> Any:
        """Its value, or ``MISSING``."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """A text, number, true, false, null in a tag."""

    value: Any

    def find(self, run: Run, frame: Frame) -> Any:
        """Itself."""
        return self.value


@dataclass(frozen=True, slots=True)
class Path:
    """``a.b``, ``../a``, ``this``, ``@index``."""

    text: str
    ups: int
    scoped: bool
    """``this.a`` and ``./a``: never a name of ``as |a|``."""
    data: bool
    """Begins with ``@``."""
    parts: tuple[str, ...]

    def find(self, run: Run, frame: Frame) -> Any:
        """What the path leads to in this frame, and nowhere else."""
        if self.data:
            return self._of_loop(frame)
        if not self.ups and not self.scoped and self.parts[0] in frame.names:
            return _walk(frame.names[self.parts[0]], self.parts[1:])
        at: Frame | None = frame
        for _ in range(self.ups):
            if at is None:
                return MISSING
            at = at.up
        return MISSING if at is None else _walk(at.context, self.parts)

    def find_outwards(self, run: Run, frame: Frame) -> Any:
        """The same; what is not here may be in a context outside, as engines in the manner of Mustache look for it."""
        value = self.find(run, frame)
        at = frame.up
        while value is MISSING and at is not None and not (self.data or self.ups or self.scoped):
            run.spend(1)
            value = _walk(at.context, self.parts)
            at = at.up
        return value

    def _of_loop(self, frame: Frame) -> Any:
        if self.parts[:1] == ("root",):
            return _walk(frame.root, self.parts[1:])
        loop = frame.loop
        for _ in range(self.ups):
            loop = loop.outer if loop else None
        if loop is None or len(self.parts) != 1:
            return MISSING
        found = {"index": loop.index, "key": loop.key, "first": loop.index == 0, "last": loop.last}
        return found.get(self.parts[0], MISSING)


@dataclass(frozen=True, slots=True)
class Lookup:
    """``(lookup object name)``."""

    of: Term
    name: Term

    def find(self, run: Run, frame: Frame) -> Any:
        """The member that the second names."""
        name = self.name.find(run, frame)
        if isinstance(name, str | int) and not isinstance(name, bool):
            return member(self.of.find(run, frame), str(name))
        return MISSING


def empty(value: Any) -> bool:
    """Does ``if`` take it for false, 0 apart: missing, null, false, an empty text or list?"""
    return value is MISSING or value is None or value is False or value in ("", [])


def text_of(value: Any) -> str:
    """A value as it is written into a template; nothing is escaped (SES: sending §5)."""
    if isinstance(value, str):
        return value
    if value is None or value is MISSING:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return msgspec.json.encode(value).decode()


class Node(Protocol):
    """A part of a program."""

    def write(self, run: Run, frame: Frame) -> None:
        """Write it."""
        ...


@dataclass(frozen=True, slots=True)
class Program:
    """What stands between tags: texts and nodes; ``partials`` are those defined in it."""

    nodes: tuple[str | Node, ...]
    partials: Mapping[str, Program]

    def write(self, run: Run, frame: Frame) -> None:
        """Write every node."""
        run.enter()
        run.spend(len(self.nodes) + len(self.partials))
        if self.partials:
            run.spend(len(frame.partials))
            partials = {**frame.partials, **self.partials}
            frame = Frame(frame.context, frame.root, frame.up, frame.loop, partials, frame.names)
        for node in self.nodes:
            if isinstance(node, str):
                run.write(node)
            else:
                node.write(run, frame)
        run.depth -= 1


NOTHING = Program((), {})


@dataclass(frozen=True, slots=True)
class Value:
    """``{{a.b}}``."""

    path: Path

    def write(self, run: Run, frame: Frame) -> None:
        """The value; without one it is an error."""
        value = self.path.find_outwards(run, frame)
        if value is MISSING:
            raise absent(self.path.text)
        run.write(text_of(value))


@dataclass(frozen=True, slots=True)
class Found:
    """``{{lookup a b}}``: nothing if there is nothing."""

    term: Term

    def write(self, run: Run, frame: Frame) -> None:
        """The value, if any."""
        run.write(text_of(self.term.find(run, frame)))


@dataclass(frozen=True, slots=True)
class Unknown:
    """A helper that there is not: an attribute that no data has (SES: sending §5)."""

    name: str

    def write(self, run: Run, frame: Frame) -> None:
        """An error."""
        raise absent(self.name)


@dataclass(frozen=True, slots=True)
class Block:
    """``{{#helper term}}body{{else}}other{{/helper}}``."""

    helper: Helper
    term: Term
    body: Program
    other: Program
    names: tuple[str, ...] = ()
    include_zero: Term | None = None

    def write(self, run: Run, frame: Frame) -> None:
        """What the helper chooses."""
        self.helper(self, run, frame)


Helper = Callable[[Block, Run, Frame], None]


def _truth(block: Block, run: Run, frame: Frame) -> bool:
    value = block.term.find(run, frame)
    if value == 0 and not isinstance(value, bool):
        zero = block.include_zero
        return zero is not None and not empty(zero.find(run, frame))
    return not empty(value)


def if_(block: Block, run: Run, frame: Frame) -> None:
    """``{{#if}}``."""
    (block.body if _truth(block, run, frame) else block.other).write(run, frame)


def unless(block: Block, run: Run, frame: Frame) -> None:
    """``{{#unless}}``."""
    (block.other if _truth(block, run, frame) else block.body).write(run, frame)


def with_(block: Block, run: Run, frame: Frame) -> None:
    """``{{#with}}``."""
    value = block.term.find(run, frame)
    if empty(value):
        block.other.write(run, frame)
    else:
        block.body.write(run, frame.inside(value, frame.loop, _named(block, frame, value)))


def each(block: Block, run: Run, frame: Frame) -> None:
    """``{{#each}}`` over a list or an object."""
    _rounds(block, run, frame, block.term.find(run, frame))


def section(block: Block, run: Run, frame: Frame) -> None:
    """``{{#name}}``: each of a list, once for what is true, with an object as context; missing is an error."""
    assert isinstance(block.term, Path)
    value = block.term.find_outwards(run, frame)
    if value is MISSING:
        raise absent(block.term.text)
    if isinstance(value, list):
        _rounds(block, run, frame, value)
    elif value is True:
        block.body.write(run, frame)
    elif value is None or value is False:
        block.other.write(run, frame)
    else:
        block.body.write(run, frame.inside(value, frame.loop, _named(block, frame, value)))


def inverted(block: Block, run: Run, frame: Frame) -> None:
    """``{{^name}}``: for what is missing, null, false or an empty list."""
    value = block.term.find(run, frame)
    if value is MISSING or value is None or value is False or value == []:
        block.body.write(run, frame)
    else:
        section(Block(section, block.term, block.other, NOTHING, block.names), run, frame)


def _rounds(block: Block, run: Run, frame: Frame, value: Any) -> None:
    if not isinstance(value, list | dict) or not value:
        block.other.write(run, frame)
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for index, (key, item) in enumerate(pairs):
        loop = Loop(index, key, index + 1 == len(value), frame.loop)
        block.body.write(run, frame.inside(item, loop, _named(block, frame, item, key)))


def _named(block: Block, frame: Frame, *values: Any) -> Mapping[str, Any]:
    """The names of ``as |item key|`` beside those outside."""
    return {**frame.names, **dict(zip(block.names, values, strict=False))} if block.names else frame.names


@dataclass(frozen=True, slots=True)
class Partial:
    """``{{> name context key=value}}``."""

    name: str
    term: Term | None
    pairs: tuple[tuple[str, Term], ...]
    indent: str

    def write(self, run: Run, frame: Frame) -> None:
        """The partial, in its context."""
        program = frame.partials.get(self.name)
        if program is None:
            raise Unrenderable(f"The partial '{self.name}' could not be found.", kind="rendering-parameter")
        context = frame.context if self.term is None else self.term.find(run, frame)
        if self.pairs:
            run.spend(len(context) if isinstance(context, dict) else 1)
            own = context if isinstance(context, dict) else {}
            context = {**own, **{name: term.find(run, frame) for name, term in self.pairs}}
        inside = frame.inside(context, frame.loop, {})
        if self.indent:
            self._indented(run, program, inside)
        else:
            program.write(run, inside)

    def _indented(self, run: Run, program: Program, frame: Frame) -> None:
        outside, run.out = run.out, []
        program.write(run, frame)
        text, run.out = "".join(run.out), outside
        run.spend(len(text) // 100)
        run.room += len(text)
        run.write(indented(text, self.indent))


def indented(text: str, indent: str) -> str:
    """Every line that is there, the last if it is not empty, behind the indent."""
    lines = text.split("\n")
    last = lines.pop()
    whole = "".join([f"{indent}{line}\n" for line in lines])
    return whole + indent + last if last else whole
