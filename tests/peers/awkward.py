"""Awkward values for every shape of Amazon's models, from botocore's own reading of them, and what ours should be."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

from botocore.model import Shape

TEXTS = (
    "plain",
    "",
    "가나다 日本語 \N{PILE OF POO}",
    "line one\nline two\r\nthree\ttab",
    '"double" \'single\' <tag attr="x"/> &amp; & ]]>',
    "a+b%20c%2Bd=e&f?g#h/i\\j;k,l",
    " leading and trailing ",
    "é" * 40,
    "~!*'()_-.",
    "{{name}} \N{RIGHT-TO-LEFT OVERRIDE}\N{ZERO WIDTH SPACE}",
)
TIMES = (0, 1_604_394_130_000, 1_618_846_742_123, 253_402_300_799_000, -86_400_000)
NUMBERS = {"integer": (0, 1, -1, 2**31 - 1, -(2**31)), "long": (0, 5, 2**63 - 1, -(2**63))}
REALS = (0.0, 200.0, -1.5, 1e-7, 123456789.125)
BLOBS = (b"", b"\x00\xff\r\n.\r\n", "From: 가\n\n본문".encode(), bytes(range(256)))


class Values:
    """A stream of values that walks through the awkward ones; ``path`` values are never empty."""

    def __init__(self, start: int) -> None:
        self.count = start

    def pick(self, options: tuple[Any, ...]) -> Any:
        self.count += 1
        return options[self.count % len(options)]

    def text(self, shape: Shape, *, filled: bool) -> str:
        text = str(self.pick(tuple(shape.enum) if getattr(shape, "enum", None) else TEXTS))
        return text or "x" if filled else text

    def members(self, shape: Shape, bound: dict[str, str]) -> Iterator[tuple[str, Any]]:
        for name, member in shape.members.items():
            yield name, self.value(member, filled=bound.get(name) == "uri")

    def value(self, shape: Shape, *, filled: bool = False, depth: int = 0) -> Any:
        kind = shape.type_name
        if kind == "structure":
            if shape.is_tagged_union:
                name = self.pick(tuple(shape.members))
                return {name: self.value(shape.members[name], depth=depth + 1)}
            return {name: self.value(member, depth=depth + 1) for name, member in shape.members.items()}
        if kind == "list":
            many = self.pick((1, 2, 0, 3))
            return [self.value(shape.member, depth=depth + 1) for _ in range(many)]
        if kind == "map":
            many = self.pick((2, 1, 0))
            return {f"{self.text(shape.key, filled=True)}{i}": self.value(shape.value) for i in range(many)}
        if kind == "string":
            return self.text(shape, filled=filled)
        if kind == "boolean":
            return self.pick((True, False))
        if kind == "timestamp":
            return moment(self.pick(TIMES))
        if kind == "blob":
            return self.pick(BLOBS)
        return self.pick(NUMBERS.get(kind, REALS))


def moment(time: int) -> datetime.datetime:
    """Our milliseconds as botocore's datetime."""
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=time)


def ours(value: Any) -> Any:
    """botocore's values as ours: datetimes become milliseconds."""
    if isinstance(value, dict):
        return {key: ours(below) for key, below in value.items()}
    if isinstance(value, list):
        return [ours(below) for below in value]
    if isinstance(value, datetime.datetime):
        return (value - moment(0)) // datetime.timedelta(milliseconds=1)
    return value
