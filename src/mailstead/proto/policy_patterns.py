"""Policy patterns: what a policy writes with ``*``, ``?`` and ``${variables}``, against what a request has.

A pattern is cut at its ``*`` into parts of fixed length, each found from the left behind the one before: nothing is
tried twice, so a hostile pattern takes no longer than its length (IAM: Resource element, Policy variables).  All of one
decision spends from one ``Effort``; a decision that is out of it is no permission.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

Facts = Mapping[str, Sequence[str]]
"""What a request has: condition keys in lower case, each with its values; absent or empty: it has none."""

MAX_EFFORT = 250_000
"""Parts looked for in one decision, some tens of milliseconds; a part with ``?`` counts as ``HARD``."""
HARD = 8


class Exhausted(Exception):
    """A decision took more than ``MAX_EFFORT``."""


@dataclass(slots=True)
class Effort:
    """What a decision may still spend."""

    left: int = MAX_EFFORT

    def spend(self, count: int) -> None:
        """Take it.

        Raises:
            Exhausted: nothing is left.
        """
        self.left -= count
        if self.left < 0:
            raise Exhausted


class Wild(Enum):
    """A sign that stands for others."""

    ANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Variable:
    """``${key}`` or ``${key, 'default'}``."""

    key: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Gapped:
    """A part with ``?`` in it, and how many characters it stands for."""

    regex: re.Pattern[str]
    width: int


Piece = str | Wild | Variable
Part = str | Gapped

_VARIABLE = re.compile(r"\$\{([^{}]{1,256})\}")
_DEFAULT = re.compile(r"([^,]*),\s*'([^']*)'\s*")
_SIGNS = {"*", "?", "$"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text with wildcards and variables, ready to be compared."""

    pieces: tuple[Piece, ...]
    fold: bool
    """Are upper and lower case the same?"""
    parts: tuple[Part, ...] | None
    """Cut at each ``*``; None: it has variables, so the request says what it is."""

    def matches(self, value: str, facts: Facts, effort: Effort) -> bool:
        """Does the whole value look like this?  A pattern with a variable that the request lacks matches nothing."""
        parts = self.parts if self.parts is not None else self._filled(facts)
        if parts is None:
            return False
        effort.spend(sum(1 if isinstance(part, str) else HARD for part in parts))
        return _fits(parts, value.casefold() if self.fold else value)

    def _filled(self, facts: Facts) -> tuple[Part, ...] | None:
        pieces: list[str | Wild] = []
        for piece in self.pieces:
            text = _value(piece, facts) if isinstance(piece, Variable) else piece
            if text is None:
                return None
            pieces.append(text)
        return _cut(pieces, fold=self.fold)


def pattern(text: str, *, wild: bool = True, variables: bool = False, fold: bool = False) -> Pattern:
    """Read one; ``wild``: do ``*`` and ``?`` stand for others; ``variables``: does ``${…}``."""
    pieces: list[Piece] = []
    at = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        pieces += _signs(text[at : found.start()], wild=wild)
        pieces.append(found[1] if found[1] in _SIGNS else _variable(found[1]))
        at = found.end()
    pieces += _signs(text[at:], wild=wild)
    plain = [piece for piece in pieces if not isinstance(piece, Variable)]
    return Pattern(tuple(pieces), fold, _cut(plain, fold=fold) if len(plain) == len(pieces) else None)


def _signs(text: str, *, wild: bool) -> list[Piece]:
    if not wild:
        return [text]
    return [Wild(piece) if piece in "*?" else piece for piece in re.split(r"([*?])", text) if piece]


def _variable(written: str) -> Variable:
    found = _DEFAULT.fullmatch(written)
    key, default = (found[1], found[2]) if found else (written, None)
    return Variable(key.strip().lower(), default)


def _value(variable: Variable, facts: Facts) -> str | None:
    values = facts.get(variable.key) or ()
    return values[0] if len(values) == 1 else variable.default


def _cut(pieces: Sequence[str | Wild], *, fold: bool) -> tuple[Part, ...]:
    parts: list[list[str | Wild]] = [[]]
    for piece in pieces:
        if piece is Wild.ANY:
            if parts[-1] or len(parts) == 1:  # ``**`` is ``*``
                parts.append([])
        else:
            parts[-1].append(piece.casefold() if isinstance(piece, str) and fold else piece)
    return tuple(_part(part) for part in parts)


def _part(pieces: Sequence[str | Wild]) -> Part:
    literal = [piece for piece in pieces if isinstance(piece, str)]
    if len(literal) == len(pieces):
        return "".join(literal)
    regex = "".join(re.escape(piece) if isinstance(piece, str) else "." for piece in pieces)
    return Gapped(re.compile(regex, re.DOTALL), sum(len(piece) if isinstance(piece, str) else 1 for piece in pieces))


def _fits(parts: Sequence[Part], value: str) -> bool:
    if len(parts) == 1:
        (part,) = parts
        return part == value if isinstance(part, str) else part.regex.fullmatch(value) is not None
    at = _find(parts[0], value, 0, first=True)
    for part in parts[1:-1]:
        at = _find(part, value, at) if at >= 0 else at
    return at >= 0 and _ends(parts[-1], value, at)


def _find(part: Part, value: str, at: int, *, first: bool = False) -> int:
    """Where the first place of a part from ``at`` on ends, or -1; ``first``: it stands there or nowhere."""
    if isinstance(part, str):
        found = (0 if value.startswith(part) else -1) if first else value.find(part, at)
        return found + len(part) if found >= 0 else -1
    match = part.regex.match(value) if first else part.regex.search(value, at)
    return match.end() if match else -1


def _ends(part: Part, value: str, at: int) -> bool:
    """Does the value end in the last part, behind ``at``?"""
    if isinstance(part, str):
        return len(value) - at >= len(part) and value.endswith(part)
    start = len(value) - part.width
    return start >= at and part.regex.fullmatch(value, start) is not None


@dataclass(frozen=True, slots=True)
class Arn:
    """An ARN with wildcards: six fields, each compared for itself; those left out are ``*``."""

    fields: tuple[Pattern, ...]

    def matches(self, value: str, facts: Facts, effort: Effort) -> bool:
        """Is this ARN one of them?  What is no ARN (``*``: an operation about nothing in particular) is none."""
        fields = value.split(":", 5)
        if len(fields) != 6:
            return False
        return all(own.matches(field, facts, effort) for own, field in zip(self.fields, fields, strict=True))


@dataclass(frozen=True, slots=True)
class Everything:
    """``*``: every resource, and what is about none."""

    def matches(self, value: str, facts: Facts, effort: Effort) -> bool:
        """Always."""
        effort.spend(1)
        return True


def arn(text: str, *, variables: bool = False) -> Arn | Everything | None:
    """Read an ARN pattern or ``*``; None: it is neither."""
    if text == "*":
        return Everything()
    fields = _outside_variables(text) if variables else text.split(":", 5)
    if fields[0] != "arn" or len(fields) < 3:
        return None
    fields += ["*"] * (6 - len(fields))
    return Arn(tuple(pattern(field, variables=variables) for field in fields))


def _outside_variables(text: str) -> list[str]:
    """The six fields; a colon inside ``${aws:username}`` parts nothing."""
    hidden = _VARIABLE.sub(lambda found: found[0].replace(":", "\0"), text)
    return [field.replace("\0", ":") for field in hidden.split(":", 5)]
