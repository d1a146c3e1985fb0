"""Message tags: names and values a sender puts on a message to find it again in events (SES: wire §9, sending §4)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mailstead.base.errors import Invalid

MAX_LENGTH = 255
MAX_TAGS = 50

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VALUE = re.compile(r"[A-Za-z0-9_.@-]+")


def _check_name(name: str) -> None:
    if not name:
        raise Invalid("The tag name must be specified.", kind="tag")
    if len(name) > MAX_LENGTH:
        raise Invalid("Tag name cannot exceed 255 characters.", kind="tag")
    if not _NAME.fullmatch(name):  # the two blanks are SES's
        raise Invalid(
            f"Invalid tag name <{name}>: only alphanumeric ASCII characters, '_',  '-' are allowed.", kind="tag"
        )


def _check_value(value: str) -> None:
    if not value:
        raise Invalid("The tag value must be specified.", kind="tag")
    if len(value) > MAX_LENGTH:
        raise Invalid("Tag value cannot exceed 255 characters.", kind="tag")
    if not _VALUE.fullmatch(value):
        allowed = "only alphanumeric ASCII characters, '_',  '-' , '.', '@' are allowed."
        raise Invalid(f"Invalid tag value <{value}>: {allowed}", kind="tag")


def check(tags: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The tags, if all of them are good; of several wrong ones the first is told, its name before its value.

    Raises:
        Invalid: with SES's text.
    """
    checked = tuple(tags)
    if len(checked) > MAX_TAGS:
        raise Invalid(f"Tag count exceeds {MAX_TAGS}.", kind="tag")
    for name, value in checked:
        _check_name(name)
        _check_value(value)
    return checked


def parse_header(value: str) -> tuple[tuple[str, str], ...]:
    """The tags of ``X-SES-MESSAGE-TAGS: name1=value1, name2=value2`` (SES: smtp §5).

    Raises:
        Invalid: with SES's text.
    """
    pairs = (item.partition("=") for item in value.split(",") if item.strip())
    return check((name.strip(), text.strip()) for name, _, text in pairs)
