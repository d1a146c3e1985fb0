"""Handlebars: the language of SES's templates, compiled once and rendered often (SES: sending §5).

Values without HTML escaping, nested paths, if, else, unless, each, with, lookup, sections, comments, white space
control, inline partials.  What the data lacks is an error that names it, not an empty text; helpers take it as false.

Our choice: null is written as nothing, a number as JSON writes it, a list or an object as JSON.
Not done: helpers of one's own, raw blocks, partial blocks, partials chosen by the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from mailstead.base.errors import Invalid
from mailstead.proto import handlebars_nodes as nodes
from mailstead.proto.handlebars_lexer import Piece, Tag, Word, pieces, wrong
from mailstead.proto.handlebars_nodes import (
    MAX_STEPS,
    NOTHING,
    Block,
    Node,
    OutOfSteps,
    Program,
    Run,
    Term,
    Unrenderable,
    Value,
)

__all__ = ["MAX_STEPS", "OutOfSteps", "Template", "Unrenderable", "compiled"]

MAX_NESTING = 60
MAX_BRACKETS = 10
"""``(lookup (lookup …) …)``."""
MAX_KEPT = 1 << 20
"""Characters of the templates that stay compiled: a tag of five takes about 300 octets."""
MAX_COUNT = 1000
MAX_OUTPUT = 10 << 20
"""Characters of one rendering, unless said otherwise."""

_HELPERS: dict[str, nodes.Helper] = {
    "if": nodes.if_,
    "unless": nodes.unless,
    "each": nodes.each,
    "with": nodes.with_,
}
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "null": None, "undefined": nodes.MISSING}


@dataclass(frozen=True, slots=True)
class Template:
    """A template ready to be rendered."""

    program: Program
    simple: bool
    """Values and comments alone: all that inline content of a send may have (SES: sending §5)."""

    def render(self, data: Mapping[str, Any], room: int = MAX_OUTPUT, *, steps: int = MAX_STEPS) -> str:
        """The text for this data (an object of JSON), at most ``room`` characters, in so many ``steps``.

        Raises:
            OutOfSteps: it takes more steps: about a microsecond and a half each.
            Unrenderable: the data lacks an attribute, or a bound is passed.
        """
        run = Run(room, steps)
        self.program.write(run, nodes.Frame(data, data, None, None, {}, {}))
        return "".join(run.out)


def compiled(text: str) -> Template:
    """The template of a text; the last ones are kept.

    Raises:
        Invalid: kind ``template``: it is none; the text says what is wrong, and in which line.
    """
    return _KEPT.get(text)


class _Kept:
    """The last compiled templates, as many as their texts have room: many small ones or a few large ones."""

    def __init__(self) -> None:
        self._templates: dict[str, Template] = {}
        self._size = 0
        self._lock = Lock()

    def get(self, text: str) -> Template:
        """The template of a text, which is now the last used."""
        found = self._templates.get(text) or _Parser(text).template()
        with self._lock:
            if self._templates.pop(text, None) is None:
                self._size += len(text)
            self._templates[text] = found
            while self._size > MAX_KEPT or len(self._templates) > MAX_COUNT:
                oldest = next(iter(self._templates))
                del self._templates[oldest]
                self._size -= len(oldest)
        return found


_KEPT = _Kept()


@dataclass(slots=True)
class _Open:
    """A block that is not closed yet."""

    tag: Tag | None
    name: str = ""
    make: _Head | None = None
    """None: an inline partial, or the whole template."""
    chained: bool = False
    """``{{else if}}``: closed with the block it belongs to."""
    in_else: bool = False
    body: list[str | Node] = field(default_factory=list)
    other: list[str | Node] = field(default_factory=list)
    partials: dict[str, Program] = field(default_factory=dict)
    other_partials: dict[str, Program] = field(default_factory=dict)

    @property
    def here(self) -> list[str | Node]:
        return self.other if self.in_else else self.body

    @property
    def partials_here(self) -> dict[str, Program]:
        return self.other_partials if self.in_else else self.partials

    def programs(self) -> tuple[Program, Program]:
        return _program(self.body, self.partials), _program(self.other, self.other_partials)


def _program(body: list[str | Node], partials: dict[str, Program]) -> Program:
    return Program(tuple(body), partials) if body or partials else NOTHING


@dataclass(frozen=True, slots=True)
class _Head:
    """How a block begins."""

    helper: nodes.Helper | None
    """None: there is no such helper."""
    term: Term
    names: tuple[str, ...] = ()
    include_zero: Term | None = None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._stack = [_Open(None)]
        self._used: dict[str, Tag] = {}
        self._defined: set[str] = set()
        self._simple = True

    def template(self) -> Template:
        steps = {
            "value": self._value,
            "open": self._block,
            "inverted": self._block,
            "inline": self._inline,
            "else": self._else,
            "close": self._close,
            "partial": self._partial,
        }
        piece: Piece
        for piece in pieces(self._text):
            if isinstance(piece, str):
                if piece:
                    self._top.here.append(piece)
            elif piece.kind != "comment":
                self._simple = self._simple and piece.kind == "value"
                steps[piece.kind](piece)
        root = self._stack.pop()
        if root.tag is not None:
            raise self._wrong(root.tag, f"{{{{#{root.name}}}}} is not closed")
        for name, tag in self._used.items():
            if name not in self._defined:
                raise self._wrong(tag, f"There is no partial with the name '{name}'")
        return Template(root.programs()[0], self._simple)

    @property
    def _top(self) -> _Open:
        return self._stack[-1]

    def _wrong(self, tag: Tag, what: str) -> Invalid:
        return wrong(self._text, tag.at, what)

    def _push(self, block: _Open, tag: Tag) -> None:
        if len(self._stack) > MAX_NESTING:
            raise self._wrong(tag, f"Blocks are nested more than {MAX_NESTING} deep")
        self._stack.append(block)

    # Tags

    def _value(self, tag: Tag) -> None:
        words = _Words(self, tag)
        name = words.head()
        if not words.left:
            self._top.here.append(Value(_as_path(name)))
            return
        self._simple = False
        if name[1] == "lookup":
            self._top.here.append(nodes.Found(words.lookup()))
        else:
            words.rest()
            self._top.here.append(nodes.Unknown(name[1]))

    def _block(self, tag: Tag) -> None:
        words = _Words(self, tag)
        name = words.head()[1]
        self._push(_Open(tag, name, self._head(tag, words, name)), tag)

    def _head(self, tag: Tag, words: _Words, name: str) -> _Head:
        helper = _HELPERS.get(name)
        if helper is None:
            kind = nodes.inverted if tag.kind == "inverted" else nodes.section
            term = _as_path(("path", name))
            if words.left:
                _, _, names = words.rest()
                # With terms it would be a helper of one's own; with names alone it is a section.
                return _Head(None if words.had_terms else kind, term, names)
            return _Head(kind, term)
        terms, pairs, names = words.rest()
        if len(terms) != 1:
            raise self._wrong(tag, f"{{{{#{name}}}}} takes one value")
        if tag.kind == "inverted":
            raise self._wrong(tag, f"{{{{^{name}}}}} is not supported: write else")
        return _Head(helper, terms[0], names, dict(pairs).get("includeZero"))

    def _inline(self, tag: Tag) -> None:
        words = [text for _, text in tag.words]
        if len(words) != 2 or words[0] != "inline":
            raise self._wrong(tag, 'Only {{#*inline "name"}} may begin with #*')
        self._push(_Open(tag, "inline"), tag)
        self._defined.add(_unquoted(tag.words[1]))

    def _else(self, tag: Tag) -> None:
        top = self._top
        if top.tag is None or top.make is None or top.in_else:
            raise self._wrong(tag, "{{else}} does not belong to a block")
        top.in_else = True
        if tag.words:
            words = _Words(self, tag)
            name = words.head()[1]
            self._push(_Open(tag, name, self._head(tag, words, name), chained=True), tag)

    def _close(self, tag: Tag) -> None:
        name = _Words(self, tag).alone()
        while self._top.chained:
            self._end()
        if self._top.tag is None or self._top.name != name:
            open_ = f"{{{{#{self._top.name}}}}}" if self._top.tag else "anything"
            raise self._wrong(tag, f"{{{{/{name}}}}} does not close {open_}")
        self._end()

    def _end(self) -> None:
        """Put the innermost block where it belongs."""
        block = self._stack.pop()
        assert block.tag is not None
        body, other = block.programs()
        if block.make is None:
            self._top.partials_here[_unquoted(block.tag.words[1])] = body
            return
        head = block.make
        if head.helper is None:
            self._top.here.append(nodes.Unknown(block.name))
        else:
            self._top.here.append(Block(head.helper, head.term, body, other, head.names, head.include_zero))

    def _partial(self, tag: Tag) -> None:
        words = _Words(self, tag)
        name = _unquoted(words.head())
        terms, pairs, names = words.rest()
        if len(terms) > 1 or names:
            raise self._wrong(tag, "A partial takes one context")
        self._used.setdefault(name, tag)
        self._top.here.append(nodes.Partial(name, terms[0] if terms else None, pairs, tag.indent))


Pairs = tuple[tuple[str, Term], ...]


class _Words:
    """The words of a tag, read from the left."""

    def __init__(self, parser: _Parser, tag: Tag) -> None:
        self._parser = parser
        self._tag = tag
        self._at = 0
        self.had_terms = False

    @property
    def left(self) -> bool:
        return self._at < len(self._tag.words)

    def _next(self) -> Word:
        if not self.left:
            raise self._wrong("A tag ends too early")
        self._at += 1
        return self._tag.words[self._at - 1]

    def _wrong(self, what: str) -> Invalid:
        return wrong(self._parser._text, self._tag.at, what)

    def head(self) -> Word:
        """The name at the beginning."""
        word = self._next()
        if word[0] in ("mark", "names"):
            raise self._wrong("A tag must begin with a name")
        return word

    def alone(self) -> str:
        """The only word there is."""
        word = self.head()
        if self.left:
            raise self._wrong("A closing tag has one name")
        return word[1]

    def rest(self) -> tuple[tuple[Term, ...], Pairs, tuple[str, ...]]:
        """Terms, ``key=value`` pairs, names of ``as |x|``: in this order."""
        terms: list[Term] = []
        pairs: list[tuple[str, Term]] = []
        names: tuple[str, ...] = ()
        while self.left:
            word = self._next()
            if word[0] == "names":
                names = tuple(word[1].partition("|")[2].rstrip("|").split())
                if self.left:
                    raise self._wrong("Nothing may stand behind as |names|")
            elif self.left and self._tag.words[self._at] == ("mark", "="):
                self._next()
                pairs.append((_unquoted(word), self._term(self._next(), 0)))
            elif pairs:
                raise self._wrong("A value may not stand behind key=value")
            else:
                terms.append(self._term(word, 0))
        self.had_terms = bool(terms or pairs)
        return tuple(terms), tuple(pairs), names

    def lookup(self) -> nodes.Lookup:
        """What stands behind ``lookup`` at the beginning of a tag."""
        found = self._lookup(0)
        if self.left:
            raise self._wrong("lookup takes two values")
        return found

    def _lookup(self, depth: int) -> nodes.Lookup:
        return nodes.Lookup(self._term(self._next(), depth), self._term(self._next(), depth))

    def _term(self, word: Word, depth: int) -> Term:
        kind, text = word
        if kind == "string":
            return nodes.Constant(_unquoted(word))
        if kind == "number":
            return nodes.Constant(float(text) if "." in text else int(text))
        if kind == "path":
            return nodes.Constant(_CONSTANTS[text]) if text in _CONSTANTS else _path(text)
        if text != "(" or depth >= MAX_BRACKETS:
            raise self._wrong(f"'{text}' is not expected here")
        name = self._next()[1]
        if name != "lookup":
            raise self._wrong(f"({name} …) is not supported: only lookup may stand in brackets")
        found = self._lookup(depth + 1)
        if self._next() != ("mark", ")"):
            raise self._wrong("lookup takes two values")
        return found


def _unquoted(word: Word) -> str:
    kind, text = word
    if kind != "string":
        return text
    return text[1:-1].replace("\\" + text[0], text[0])


def _as_path(word: Word) -> nodes.Path:
    """What stands alone in a tag is a path, whatever it looks like."""
    if word[0] == "path":
        return _path(word[1])
    name = _unquoted(word)
    return nodes.Path(name, 0, False, False, (name,))


def _path(text: str) -> nodes.Path:
    data = text.startswith("@")
    steps = _steps(text[1:] if data else text)
    ups = 0
    while steps and steps[0] == "..":
        ups += 1
        steps.pop(0)
    scoped = bool(steps) and steps[0] in (".", "this")
    if scoped:
        steps.pop(0)
    parts = tuple(step[1:-1] if step.startswith("[") else step for step in steps)
    return nodes.Path(text, ups, scoped or not parts, data, parts)


def _steps(text: str) -> list[str]:
    """The steps of a path; brackets may hold anything."""
    steps: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            end = text.index("]", at) + 1
        elif text.startswith("..", at):
            end = at + 2
        elif text[at] == ".":
            end = at + 1
        else:
            ends = [place for mark in "./" if (place := text.find(mark, at)) >= 0]
            end = min(ends, default=len(text))
        steps.append(text[at:end])
        at = end + 1
    return steps
