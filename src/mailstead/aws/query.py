"""Query: SES v1 and STS on the wire: a form in, XML out (SES: wire §2).

``form`` reads a form body or query string; ``decode`` makes a shape's members of it; ``answer`` and ``error`` write.

Careful: what a form says beyond its shape is ignored, as SES does; what a handler returns beyond its shape is a bug of
ours and raises ``KeyError``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Union

from mailstead.aws import values
from mailstead.aws.model import Service, Shape
from mailstead.aws.values import WireValueError

MAX_PAIRS = 20_000
MAX_DEPTH = 16
MAX_ITEMS = 10_000
MAX_NAME = 512

Node = Union[str, dict[str, "Node"]]  # noqa: UP007 - an alias that names itself cannot be spelled with |
"""A form as a tree: ``A.B.member.1=x`` is ``{"A": {"B": {"member": {"1": "x"}}}}``."""


class QueryError(Exception):
    """A form we cannot read.  ``code`` is what the XML says, ``str(error)`` a text for the caller."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


def _malformed(text: str) -> QueryError:
    return QueryError("MalformedQueryString", text, 404)  # SES: wire §9, "Common"


# Reading


def form(data: bytes) -> dict[str, str]:
    """Names and values of a form, decoded; of a repeated name the last counts.

    Raises:
        QueryError: not UTF-8, or too many parameters.
    """
    pieces = data.split(b"&", MAX_PAIRS)
    if len(pieces) > MAX_PAIRS:
        raise _malformed("The query string has too many parameters.")
    pairs: dict[str, str] = {}
    try:
        for piece in pieces:
            if piece:
                name, _, value = piece.partition(b"=")
                pairs[_text(name)] = _text(value)
    except UnicodeDecodeError:
        raise _malformed("The query string is not valid UTF-8.") from None
    return pairs


def _text(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return (values.unescaped(raw) if b"%" in raw else raw).decode()


def tree(pairs: Mapping[str, str]) -> dict[str, Node]:
    """A form as nested dicts, split at the dots of its names.

    Raises:
        QueryError: a name is both a value and a structure, too long, or too deep.
    """
    root: dict[str, Node] = {}
    for name, value in pairs.items():
        if "." not in name:
            if value or name not in root:
                _put(root, name, value)
            continue
        if len(name) > MAX_NAME or name.count(".") >= MAX_DEPTH:
            raise _malformed("A parameter name is too long.")
        *parents, leaf = name.split(".")
        node = root
        for part in parents:
            below = node.setdefault(part, {})
            if below == "":  # an empty list, then its members: the members count
                below = node[part] = {}
            if isinstance(below, str):
                raise _malformed("A parameter is given both as a value and as a structure.")
            node = below
        _put(node, leaf, value)
    return root


def _put(node: dict[str, Node], name: str, value: str) -> None:
    if isinstance(node.get(name), dict):
        if value:
            raise _malformed("A parameter is given both as a value and as a structure.")
        return
    node[name] = value


def decode(shape: Shape | None, pairs: Mapping[str, str]) -> dict[str, Any]:
    """The members of an input shape out of a form; times in milliseconds, blobs as bytes.

    Raises:
        QueryError: ``InvalidParameterValue``: a value is not what its shape says.
    """
    return {} if shape is None else _structure(shape, tree(pairs))


def _structure(shape: Shape, node: dict[str, Node]) -> dict[str, Any]:
    found = {}
    for name, member in shape.members.items():
        below = node.get(name)
        if below is not None:
            found[name] = _value(member.shape, below, name)
    return found


def _value(shape: Shape, node: Node, name: str) -> Any:
    kind = shape.kind
    if kind == "structure":
        return _structure(shape, node) if isinstance(node, dict) else _no_structure(node, name)
    if kind == "list":
        return [] if node == "" else _list(shape, node, name)
    if kind == "map":
        return {} if node == "" else _map(shape, node, name)
    if isinstance(node, dict):
        raise QueryError("InvalidParameterValue", f"Value for parameter {name} is not a single value.")
    return node if kind == "string" else _scalar(kind, node, name)


def _no_structure(node: str, name: str) -> dict[str, Any]:
    if node:
        raise QueryError("InvalidParameterValue", f"Value for parameter {name} is not a structure.")
    return {}


def _numbered(node: Node, name: str) -> list[Node]:
    """The nodes below ``1``, ``2``… in their order; gaps are closed."""
    if not isinstance(node, dict) or len(node) > MAX_ITEMS:
        raise QueryError("InvalidParameterValue", f"Value for parameter {name} is not a list.")
    if not all(key.isascii() and key.isdigit() and len(key) <= 6 for key in node):
        raise QueryError("InvalidParameterValue", f"Value for parameter {name} is not a list.")
    return [node[key] for key in sorted(node, key=int)]


def _list(shape: Shape, node: Node, name: str) -> list[Any]:
    members = node.get("member") if isinstance(node, dict) else None
    if members is None:
        raise QueryError("InvalidParameterValue", f"Value for parameter {name} is not a list.")
    return [_value(shape.item, below, name) for below in _numbered(members, name)]


def _map(shape: Shape, node: Node, name: str) -> dict[str, Any]:
    entries = node.get("entry") if isinstance(node, dict) else None
    left, right = shape.entry
    found = {}
    for entry in _numbered(entries or {}, name):
        key = entry.get(left) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(key, str):
            raise QueryError("InvalidParameterValue", f"Value for parameter {name} is not a map.")
        found[key] = _value(shape.item, entry.get(right, ""), name)
    return found


def _scalar(kind: str, text: str, name: str) -> Any:
    try:
        if kind == "boolean":
            return values.read_boolean(text)
        if kind == "blob":
            return values.read_blob(text)
        if kind == "timestamp":
            return values.read_iso(text)
        if kind in values.BITS:
            return values.read_integer(text, kind)
        return values.read_real(text)
    except WireValueError as error:
        raise QueryError("InvalidParameterValue", f"Value for parameter {name} is invalid: {error}.") from None


# Writing

# What XML 1.0 cannot hold (§2.2), and what must be escaped; a parser would turn a bare CR into LF (§2.11).
_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#xD;"}


def escaped(text: str) -> str:
    """Text for an XML element; what XML cannot hold becomes U+FFFD."""
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\ufffd"), text)


def answer(service: Service, operation: str, result: Mapping[str, Any] | None, request_id: str) -> bytes:
    """The answer of an operation; one without an output shape has ResponseMetadata only."""
    out = [f'<{operation}Response xmlns="{service.xmlns}">']
    shape = service.operations[operation].output
    if shape is not None:
        _write(out, f"{operation}Result", shape, result or {})
    out.append(f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>")
    return "".join(out).encode()


def error(xmlns: str, code: str, message: str, status: int, request_id: str) -> bytes:
    """An error; the caller's fault below 500."""
    kind = "Sender" if status < 500 else "Receiver"
    return (
        f'<ErrorResponse xmlns="{xmlns}"><Error><Type>{kind}</Type><Code>{code}</Code>'
        f"<Message>{escaped(message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    ).encode()


def _write(out: list[str], tag: str, shape: Shape, value: Any) -> None:
    kind = shape.kind
    if kind == "structure":
        inside: list[str] = []
        for name, below in value.items():
            if below is not None:
                _write(inside, name, shape.members[name].shape, below)
    elif kind == "list":
        inside = []
        for below in value:
            _write(inside, "member", shape.item, below)
    elif kind == "map":
        inside = []
        left, right = shape.entry
        for key, below in value.items():
            inside.append(f"<entry><{left}>{escaped(key)}</{left}>")
            _write(inside, right, shape.item, below)
            inside.append("</entry>")
    else:
        out.append(f"<{tag}>{_written(kind, value)}</{tag}>")
        return
    out.extend((f"<{tag}>", *inside, f"</{tag}>") if inside else (f"<{tag}/>",))


def _written(kind: str, value: Any) -> str:
    if kind == "string":
        return escaped(value)
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        return values.write_iso(value)
    if kind == "blob":
        return values.write_blob(value)
    return str(float(value)) if kind in ("double", "float") else str(int(value))
