"""Event headers: how events show a message's header (SES: events §1, ``headers`` and ``commonHeaders``).

Values are unfolded and otherwise as sent: encoded words stay.
"""

from __future__ import annotations

from mailstead.base.errors import Invalid
from mailstead.proto.addresses import parse_list
from mailstead.proto.charsets import decode_raw
from mailstead.proto.message import Field, Message

LIMIT = 10_240

_MEMBERS = {
    "returnPath": b"return-path",
    "from": b"from",
    "sender": b"sender",
    "replyTo": b"reply-to",
    "to": b"to",
    "cc": b"cc",
    "bcc": b"bcc",
    "date": b"date",
    "messageId": b"message-id",
    "subject": b"subject",
}
_LISTS = frozenset(("from", "replyTo", "to", "cc", "bcc"))


def _value(message: Message, field: Field) -> str:
    return decode_raw(message.raw(field))


def _boxes(message: Message, field: Field) -> list[str]:
    """Each mailbox as written; a field that can not be read stands as it is."""
    try:
        return [box.text for box in parse_list(message.content[field.value : field.end])]
    except Invalid:
        value = _value(message, field)
        return [value] if value else []


def common_headers(message: Message) -> dict[str, str | list[str]]:
    """``commonHeaders``: only what is present; of several fields with one name lists are joined, of texts the first."""
    found: dict[str, str | list[str]] = {}
    for key, name in _MEMBERS.items():
        fields = message.named.get(name)
        if not fields:
            continue
        if key in _LISTS:
            found[key] = [box for field in fields for box in _boxes(message, field)]
        else:
            value = _value(message, fields[0])
            found[key] = _without_brackets(value) if key == "returnPath" else value
    return found


def _without_brackets(value: str) -> str:
    return value[1:-1] if value.startswith("<") and value.endswith(">") else value


def header_list(message: Message, limit: int = LIMIT) -> tuple[list[dict[str, str]], bool]:
    """``headers`` and ``headersTruncated``: fields in order, as many as fit into ``limit`` octets of the message.

    Truncated is true, as with SES, if the header has that many octets or more.
    """
    shown: list[dict[str, str]] = []
    start = message.header_start
    for field in message.fields:
        if field.end - start > limit:
            break
        shown.append({"name": field.name.decode("ascii"), "value": _value(message, field)})
    return shown, message.header_end - start >= limit
