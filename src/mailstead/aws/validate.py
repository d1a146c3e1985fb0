"""Validate: the constraints of Amazon's model, in SES's words (SES: wire §9).

All breaches are told at once: ``2 validation errors detected: Value 'x' at 'a.b' failed to satisfy constraint: …; …``.

Careful: where SES has a text of its own, or bends a value instead of refusing it, the model's constraint is left to the
handler: see ``LEFT_TO_HANDLERS``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from mailstead.aws.model import Shape

LEFT_TO_HANDLERS = {
    ("ses", "NotificationType"): "Invalid notification type: X. Valid values are: Bounce, Complaint, Delivery.",
    ("ses", "MaxResults"): "ListCustomVerificationEmailTemplates: out of range counts as 50",
    ("sesv2", "MessageTagName"): "Tag name cannot exceed 255 characters.",
    ("sesv2", "MessageTagValue"): "Tag value cannot exceed 255 characters.",
}
"""(service, shape): what SES says or does instead (SES: wire §9, operations)."""

MAX_BREACHES = 20
MAX_SHOWN = 256  # characters of a caller's value that an error repeats
MAX_MATCHED = 2048  # a value longer than this never gets to a pattern that has no length limit beside it


def check(service: str, shape: Shape | None, params: dict[str, Any]) -> str:
    """What is wrong with the input of an operation, in one text; empty if nothing is."""
    if shape is None or shape.free:
        return ""
    breaches: list[str] = []
    _structure(service, shape, params, "", breaches)
    if not breaches:
        return ""
    count = len(breaches)
    listed = "; ".join(breaches[:MAX_BREACHES])
    return f"{count} validation error{'s' if count > 1 else ''} detected: {listed}"


def _camel(name: str) -> str:
    """``FromEmailAddress`` as ``fromEmailAddress``."""
    return name[:1].lower() + name[1:]


def _structure(service: str, shape: Shape, value: dict[str, Any], path: str, breaches: list[str]) -> None:
    for name in shape.members:
        below = value.get(name)
        if below is None:
            if name in shape.required:
                breaches.append(_breach(None, shape, f"{path}{_camel(name)}", "Member must not be null"))
            continue
        part = shape.members[name].shape
        if not part.free:
            _value(service, part, below, f"{path}{_camel(name)}", breaches)


def _value(service: str, shape: Shape, value: Any, path: str, breaches: list[str]) -> None:
    for words in _broken(service, shape, value):
        breaches.append(_breach(value, shape, path, words))
    kind = shape.kind
    if kind == "structure":
        _structure(service, shape, value, f"{path}.", breaches)
    elif kind == "list":
        _list(service, shape, value, path, breaches)
    elif kind == "map" and not shape.item.free:
        for key, below in value.items():
            _value(service, shape.item, below, f"{path}.{key[:MAX_SHOWN]}.member", breaches)


def _list(service: str, shape: Shape, value: list[Any], path: str, breaches: list[str]) -> None:
    """Members that are structures are told one by one; plain ones as SES does, for the whole list."""
    item = shape.item
    if item.kind in ("structure", "list", "map"):
        for number, below in enumerate(value, 1):
            where = f"{path}.{number}.member"
            if below is None:
                breaches.append(_breach(None, shape, where, "Member must not be null"))
            elif not item.free:
                _value(service, item, below, where, breaches)
        return
    for number, below in enumerate(value, 1):
        if below is None:
            breaches.append(_breach(None, shape, f"{path}.{number}.member", "Member must not be null"))
    if not item.free and any(below is not None and _broken(service, item, below) for below in value):
        words = ", ".join(_constraints(item))
        breaches.append(_breach(value, item, path, f"Member must satisfy constraint: [{words}]"))


def _breach(value: Any, shape: Shape, path: str, words: str) -> str:
    shown = "" if shape.secret else _shown(value)
    return f"Value {shown}at '{path}' failed to satisfy constraint: {words}"


def _shown(value: Any) -> str:
    """``'value' ``, or nothing for what is null or has parts of its own."""
    if isinstance(value, str):
        return f"'{value[:MAX_SHOWN]}' "
    if isinstance(value, list) and not any(isinstance(below, (dict, list)) for below in value[:1]):
        return f"'{str([_Bare(below) for below in value[:50]])[:MAX_SHOWN]}' "
    return f"'{value}' " if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


class _Bare:
    """A member of a list as Java prints it: without quotes."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "null" if self.value is None else str(self.value)


_MEASURED = {"string", "blob", "list", "map"}


def _broken(service: str, shape: Shape, value: Any) -> list[str]:
    """The constraints of this shape itself that the value breaks."""
    if (service, shape.name) in LEFT_TO_HANDLERS:
        return []
    broken = []
    if shape.most is not None or shape.least is not None:
        size = len(value) if shape.kind in _MEASURED else value
        if shape.most is not None and size > shape.most:
            broken.append(_most(shape))
        if shape.least is not None and size < shape.least:
            broken.append(_least(shape))
    if shape.enum and value not in shape.enum:
        broken.append(_enum(shape))
    if shape.pattern and not _matches(shape, value):
        broken.append(_pattern(shape))
    return broken


def _matches(shape: Shape, value: str) -> bool:
    longest = MAX_MATCHED if shape.most is None else shape.most
    return len(value) <= longest and _compiled(shape.pattern).fullmatch(value) is not None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _what(shape: Shape) -> str:
    return "length" if shape.kind in _MEASURED else "value"


def _most(shape: Shape) -> str:
    return f"Member must have {_what(shape)} less than or equal to {shape.most:.0f}"


def _least(shape: Shape) -> str:
    return f"Member must have {_what(shape)} greater than or equal to {shape.least:.0f}"


def _enum(shape: Shape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


def _pattern(shape: Shape) -> str:
    return f"Member must satisfy regular expression pattern: {shape.pattern}"


def _constraints(shape: Shape) -> list[str]:
    """Every constraint of a shape: what SES repeats when a plain member of a list breaks one."""
    words = [_most(shape)] if shape.most is not None else []
    words += [_least(shape)] if shape.least is not None else []
    words += [_pattern(shape)] if shape.pattern else []
    return words + ([_enum(shape)] if shape.enum else [])
