"""Operation tables: the shapes of Amazon's operations, as facts, from the installed botocore (``make models``).

Reads botocore's service models and writes one JSON file a service into ``src/mailstead/aws/models/``: one operation or
shape a line, so that a change of the model is a readable diff. No documentation text is copied.

Careful: a trait that ``aws/model.py`` does not understand (a flattened list, an XML attribute, a header binding…) is an
error here, not a surprise in production.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import botocore
import botocore.loaders

OUT = Path(__file__).resolve().parent.parent / "src" / "mailstead" / "aws" / "models"

SNS = (
    *("CreateTopic", "DeleteTopic", "ListTopics", "GetTopicAttributes", "SetTopicAttributes", "Publish"),
    *("Subscribe", "ConfirmSubscription", "Unsubscribe", "ListSubscriptions", "ListSubscriptionsByTopic"),
    *("GetSubscriptionAttributes", "SetSubscriptionAttributes", "AddPermission", "RemovePermission"),
    *("TagResource", "UntagResource", "ListTagsForResource"),
)
"""SES: operations, at the top."""

SERVICES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "ses": ("ses", "2010-12-01", ()),
    "sesv2": ("sesv2", "2019-09-27", ()),
    "sts": ("sts", "2011-06-15", ("GetCallerIdentity",)),
    "sns": ("sns", "2010-03-31", SNS),
}
"""Our name of a table: botocore's service, version, and the operations wanted (none: all)."""

# Traits without a meaning for the wire or for the constraints.
SILENT = {
    "documentation",
    "deprecated",
    "deprecatedMessage",
    "deprecatedSince",
    "box",
    "union",
    "fault",
    "contextParam",
}
SHAPE_TRAITS = {
    "type",
    "members",
    "required",
    "member",
    "key",
    "value",
    "enum",
    "min",
    "max",
    "pattern",
    "error",
    "exception",
    "sensitive",
}
MEMBER_TRAITS = {"shape", "location", "locationName"}
OPERATION_TRAITS = {"name", "http", "input", "output", "errors", "idempotent", "auth", "authtype"}
KINDS = {"structure", "list", "map", "string", "boolean", "integer", "long", "double", "float", "timestamp", "blob"}
PLACES = {"uri": "u", "querystring": "q"}


def only(what: str, found: dict[str, Any], known: set[str]) -> None:
    """Stop at a trait that our codecs would ignore."""
    strange = set(found) - known - SILENT
    if strange:
        sys.exit(f"{what}: the model has a trait our codecs do not know: {sorted(strange)}")


def member_entry(where: str, name: str, member: dict[str, Any]) -> Any:
    """``shape`` for a plain member, ``[shape, place, name on the wire]`` for one bound to path or query string."""
    only(f"{where}.{name}", member, MEMBER_TRAITS)
    place = member.get("location")
    if place is None:
        if member.get("locationName", name) != name:
            sys.exit(f"{where}.{name}: renamed members of a body are not supported")
        return member["shape"]
    return [member["shape"], PLACES[place], member.get("locationName", name)]


def map_entry(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    """The two sides of a map; their names in a form, where they are not the usual ones."""
    sides = ("key", "value")
    for side in sides:
        only(f"{name}.{side}", shape[side], {"shape", "locationName"})
    entry = {"k": shape["key"]["shape"], "o": shape["value"]["shape"]}
    names = [shape[side].get("locationName", side) for side in sides]
    return entry | ({"l": names} if names != [*sides] else {})


def shape_entry(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    """One shape: t(ype) m(embers) r(equired) o(f) k(ey) l(abels) e(num) n (min) x (max) p(attern) s(ensitive)."""
    only(name, shape, SHAPE_TRAITS)
    kind = shape["type"]
    if kind not in KINDS:
        sys.exit(f"{name}: unknown type {kind}")
    entry: dict[str, Any] = {"t": kind}
    if kind == "structure":
        members = {member: member_entry(name, member, value) for member, value in shape["members"].items()}
        entry |= {"m": members} if members else {}
        entry |= {"r": shape["required"]} if shape.get("required") else {}
    if kind == "list":
        only(f"{name}.member", shape["member"], {"shape"})
        entry["o"] = shape["member"]["shape"]
    if kind == "map":
        entry |= map_entry(name, shape)
    for trait, key in {"enum": "e", "min": "n", "max": "x", "pattern": "p"}.items():
        if trait in shape:
            entry[key] = shape[trait]
    if shape.get("sensitive"):
        entry["s"] = True
    return entry


def error_entry(name: str, shape: dict[str, Any]) -> list[Any]:
    """``[wire code, HTTP status]`` of a declared error."""
    error = shape.get("error", {})
    return [error.get("code", name), error.get("httpStatusCode", 500 if shape.get("fault") else 400)]


def operation_entry(name: str, operation: dict[str, Any]) -> dict[str, Any]:
    """One operation: h(ttp method) u(ri) i(nput) o(utput) e(rrors declared); no output shape: no ``o``."""
    only(name, operation, OPERATION_TRAITS)
    http = operation["http"]
    only(f"{name}.http", http, {"method", "requestUri", "responseCode"})
    if http.get("responseCode", 200) != 200:
        sys.exit(f"{name}: answers other than 200 are not supported")
    entry: dict[str, Any] = {"h": http["method"], "u": http["requestUri"]}
    if "input" in operation:
        entry["i"] = operation["input"]["shape"]
    if "output" in operation:
        entry["o"] = operation["output"]["shape"]
        wrapper = operation["output"].get("resultWrapper")
        if wrapper not in (None, f"{name}Result"):
            sys.exit(f"{name}: result wrapper {wrapper}")
    errors = [error["shape"] for error in operation.get("errors", [])]
    return entry | ({"e": errors} if errors else {})


def reachable(operations: dict[str, Any], shapes: dict[str, Any]) -> set[str]:
    """Names of the shapes that requests and answers of these operations are made of (errors left out)."""
    todo = [op[side]["shape"] for op in operations.values() for side in ("input", "output") if side in op]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        shape = shapes[name]
        todo += [member["shape"] for member in shape.get("members", {}).values()]
        todo += [shape[part]["shape"] for part in ("member", "key", "value") if part in shape]
    return seen


def table(service: str, version: str, wanted: tuple[str, ...]) -> str:
    """The whole table of a service as JSON text."""
    model = botocore.loaders.Loader().load_service_model(service, "service-2", version)
    shapes = model["shapes"]
    operations = {name: op for name, op in sorted(model["operations"].items()) if not wanted or name in wanted}
    head = {
        "service": service,
        "version": version,
        "protocol": model["metadata"]["protocol"],
        "xmlns": model["metadata"].get("xmlNamespace", ""),
        "signing": model["metadata"].get("signingName", model["metadata"]["endpointPrefix"]),
    }
    lines = [f"{dumped(key)}: {dumped(value)}," for key, value in head.items()]
    errors = sorted({error["shape"] for op in operations.values() for error in op.get("errors", [])})
    lines += ['"operations": {', *block({n: operation_entry(n, op) for n, op in operations.items()}), "},"]
    lines += ['"errors": {', *block({name: error_entry(name, shapes[name]) for name in errors}), "},"]
    names = sorted(reachable(operations, shapes))
    lines += ['"shapes": {', *block({name: shape_entry(name, shapes[name]) for name in names}), "}"]
    return "{\n" + "\n".join(lines) + "\n}\n"


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def block(entries: dict[str, Any]) -> list[str]:
    """One entry a line."""
    lines = [f" {dumped(name)}: {dumped(entry)}," for name, entry in entries.items()]
    return [*lines[:-1], *(line.rstrip(",") for line in lines[-1:])]


def tables() -> dict[str, str]:
    """File name: text, for every service."""
    return {f"{name}.json": table(*wanted) for name, wanted in SERVICES.items()}


def main() -> None:
    """Write the tables."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, text in tables().items():
        (OUT / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{name}: {text.count(chr(10))} lines, {len(text)} bytes, botocore {botocore.__version__}\n")


if __name__ == "__main__":
    main()
