"""REST-JSON: SES v2 on the wire: path, query string and JSON in, JSON out (SES: wire §3).

Careful: members that the model does not know are ignored in requests, as SES does; in an answer they are a bug of ours
and raise ``KeyError``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from mailstead.aws import values
from mailstead.aws.model import Member, Operation, Service, Shape
from mailstead.aws.values import WireValueError

MAX_PAIRS = 10_000
MAX_ITEMS = 100_000


class RestError(Exception):
    """A request we cannot read: a SerializationException with this text."""


def find(service: Service, method: str, path: bytes) -> tuple[Operation, dict[str, str]] | None:
    """The operation of a request and its path variables as they stand in the path (still percent-encoded)."""
    try:
        return service.router.find(method, path.decode("ascii"))
    except UnicodeDecodeError:
        return None


# Reading


def decode(operation: Operation, variables: Mapping[str, str], query: bytes, body: bytes) -> dict[str, Any]:
    """The input of an operation; times in milliseconds, blobs as bytes.

    Raises:
        RestError: the body is not JSON, or a value is not what its shape says.
    """
    shape = operation.input
    if shape is None:
        return {}
    found: dict[str, Any] = {}
    document = _document(body)
    given = _query(query) if query else {}
    for name, member in shape.members.items():
        if member.place == "path":
            if member.wire in variables:
                found[name] = _text(_unquoted(variables[member.wire].encode("ascii")))
        elif member.place == "query":
            if member.wire in given:
                found[name] = _from_query(member, given[member.wire])
        elif document:
            below = document.get(name)
            if below is not None:
                found[name] = _value(member.shape, below)
    return found


def _document(body: bytes) -> dict[str, Any]:
    if not body or body.isspace():
        return {}
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise RestError("The request body is not valid JSON.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise RestError("Unexpected token: the request body must be a JSON object.")
    return document


def _unquoted(piece: bytes) -> bytes:
    return values.unescaped(piece) if b"%" in piece else piece


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise RestError("The request URI is not valid UTF-8.") from None


def _query(query: bytes) -> dict[str, list[str]]:
    pieces = query.split(b"&", MAX_PAIRS)
    if len(pieces) > MAX_PAIRS:
        raise RestError("The query string has too many parameters.")
    found: dict[str, list[str]] = {}
    for piece in pieces:
        name, _, value = piece.replace(b"+", b" ").partition(b"=")
        if name:
            found.setdefault(_text(_unquoted(name)), []).append(_text(_unquoted(value)))
    return found


def _from_query(member: Member, given: list[str]) -> Any:
    if member.shape.kind == "list":
        return [_parsed(member.shape.item.kind, text) for text in given]
    return _parsed(member.shape.kind, given[-1])


def _parsed(kind: str, text: str) -> Any:
    try:
        if kind == "string":
            return text
        if kind == "boolean":
            return values.read_boolean(text)
        if kind == "timestamp":
            return values.read_iso(text)
        if kind in values.BITS:
            return values.read_integer(text, kind)
        return values.read_real(text)
    except WireValueError as error:
        raise RestError(f"{error}.") from None


_KIND_OF = {str: "STRING_VALUE", bool: "BOOLEAN_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE"}
_NAME_OF = {
    "string": "a String",
    "boolean": "a Boolean",
    "integer": "an Integer",
    "long": "a Long",
    "double": "a Double",
    "float": "a Float",
    "timestamp": "a Timestamp",
    "blob": "a Blob",
}


def _cannot(value: Any, kind: str) -> RestError:
    if isinstance(value, dict):
        return RestError("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return RestError("Start of list found where not expected")
    if kind in ("structure", "map"):
        return RestError("Expected map or null" if kind == "map" else "Expected structure or null")
    if kind == "list":
        return RestError("Expected list or null")
    return RestError(f"{_KIND_OF.get(type(value), 'NULL_VALUE')} can not be converted to {_NAME_OF[kind]}")


def _value(shape: Shape, value: Any) -> Any:
    kind = shape.kind
    if kind == "string":
        if type(value) is str:
            return value
    elif kind == "structure":
        if type(value) is dict:
            return _structure(shape, value)
    elif kind == "list":
        if type(value) is list and len(value) <= MAX_ITEMS:
            item = shape.item
            return [None if below is None else _value(item, below) for below in value]
    elif kind == "map":
        if type(value) is dict:
            item = shape.item
            return {key: _value(item, below) for key, below in value.items() if below is not None}
    else:
        return _scalar(kind, value)
    raise _cannot(value, kind)


def _structure(shape: Shape, value: dict[str, Any]) -> dict[str, Any]:
    members = shape.members
    return {
        name: _value(members[name].shape, below)
        for name, below in value.items()
        if below is not None and name in members
    }


def _scalar(kind: str, value: Any) -> Any:
    try:
        if kind == "boolean" and type(value) is bool:
            return value
        if kind == "blob" and type(value) is str:
            return values.read_blob(value)
        if kind == "timestamp" and type(value) in (int, float):
            return values.in_range(round(value * 1000))
        if kind == "timestamp" and type(value) is str:
            return values.read_iso(value)
        if kind in values.BITS and type(value) is int:
            return values.fitting(value, kind)
        if kind in ("double", "float") and type(value) in (int, float):
            return float(value)
    except (WireValueError, OverflowError) as error:
        raise RestError(f"{error}.") from None
    raise _cannot(value, kind)


# Writing


def answer(operation: Operation, result: Mapping[str, Any] | None) -> bytes:
    """The answer's body: ``{}`` if there is nothing to say."""
    if not result or operation.output is None:
        return b"{}"
    document = _written(operation.output, result)
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:  # a lone surrogate, out of somebody's broken mail
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def error(message: str) -> bytes:
    """An error's body; its code stands in the header ``x-amzn-ErrorType``."""
    return msgspec.json.encode({"message": message.encode("utf-8", "replace").decode()})


def _written(shape: Shape, value: Any) -> Any:
    kind = shape.kind
    if kind == "structure":
        members = shape.members
        return {name: _written(members[name].shape, below) for name, below in value.items() if below is not None}
    if kind == "list":
        item = shape.item
        return list(value) if item.kind == "string" else [_written(item, below) for below in value]
    if kind == "map":
        item = shape.item
        return {key: _written(item, below) for key, below in value.items()}
    if kind == "timestamp":
        return value / 1000 if value % 1000 else value // 1000
    if kind == "blob":
        return values.write_blob(value)
    return float(value) if kind in ("double", "float") else value
