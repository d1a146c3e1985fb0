"""Policy documents: the JSON of a policy, read and checked (IAM: Grammar of the JSON policy language).

A policy of a principal names no principal; a policy of an identity names who may, and no other resource than the
identity.  What could be meant in two ways (a member twice) is an error, as is a member that IAM does not know.

Not done: ``aws:ResourceTag`` is refused, since nobody looks the tags up.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from mailstead.base.errors import Invalid
from mailstead.proto.policy_conditions import SYNTAX, VENDOR, Condition, condition
from mailstead.proto.policy_patterns import Arn, Everything, Pattern, arn, pattern

_VERSIONS = ("2008-10-17", "2012-10-17")
_MEMBERS = frozenset({"Version", "Id", "Statement"})
_STATEMENT = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_ACTION = re.compile(r"[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128}")
_PRINCIPAL = re.compile(
    r"\*|\d{12}|arn:aws:iam::\d{12}:(root|(user|role)/[\w+=,.@/-]{1,512})|arn:aws:sts::\d{12}:[\w+=,.@/-]{1,512}",
    re.ASCII,
)
_SERVICE = re.compile(r"[a-z0-9.-]{1,128}|\*")


@dataclass(frozen=True, slots=True)
class Statement:
    """A permission or a prohibition."""

    permits: bool
    principals: frozenset[str] | None
    """ARNs, account ids or ``*``; None: of a principal's own policy."""
    but_principals: bool
    """Everybody but those."""
    actions: tuple[Pattern, ...]
    but_actions: bool
    resources: tuple[Arn | Everything, ...]
    but_resources: bool
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that can be asked."""

    statements: tuple[Statement, ...]


def _wrong(text: str = SYNTAX) -> Invalid:
    return Invalid(text, kind="policy")


def compact(text: str, limit: int) -> str:
    """A document without insignificant blanks, as SES gives it back.

    Raises:
        Invalid: it is no JSON object, too long, or has a member twice.
    """
    return json.dumps(_loaded(text, limit), ensure_ascii=False, separators=(",", ":"))


def read(text: str, limit: int, *, identity: str = "") -> Policy:
    """Read a policy.

    Args:
        text: JSON.
        limit: octets.
        identity: the ARN of the identity it is attached to; empty: it belongs to a principal.

    Raises:
        Invalid: it is no policy, or not one for this; the text is IAM's.
    """
    document = _loaded(text, limit)
    if not document.keys() <= _MEMBERS or not isinstance(document.get("Id", ""), str):
        raise _wrong()
    version = document.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise _wrong()
    given = document.get("Statement")
    statements: list[Any] = given if isinstance(given, list) else [given]
    if not statements or not all(isinstance(one, dict) for one in statements):
        raise _wrong()
    _distinct([one["Sid"] for one in statements if "Sid" in one])
    variables = version == _VERSIONS[1]
    return Policy(tuple(_statement(one, identity, variables=variables) for one in statements))


def _loaded(text: str, limit: int) -> dict[str, Any]:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _wrong() from None
    if size > limit:
        raise _wrong(f"Policy exceeds the maximum size of {limit} bytes.")
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        json.dumps(document, ensure_ascii=False).encode()  # half a character written as an escape is none
    except (ValueError, RecursionError):
        raise _wrong() from None
    if not isinstance(document, dict):
        raise _wrong()
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member twice")
    return made


def _no_number(text: str) -> float:
    raise ValueError(text)


def _distinct(sids: list[Any]) -> None:
    if not all(isinstance(sid, str) and len(sid) <= 256 for sid in sids):
        raise _wrong()
    if len(set(sids)) != len(sids):
        raise _wrong("Statement IDs (SID) in a single policy must be unique.")


def _statement(given: dict[str, Any], identity: str, *, variables: bool) -> Statement:
    if not given.keys() <= _STATEMENT or given.get("Effect") not in ("Allow", "Deny"):
        raise _wrong()
    but_actions, actions = _either(given, "Action", "Policy statement must contain actions.")
    but_resources, resources = _either(given, "Resource", "Policy statement must contain resources.")
    if identity and (but_resources or set(_texts(resources)) != {identity}):
        raise _wrong(f"Resource of the policy must be {identity}.")
    but_principals, principals = _principals(given, identity)
    return Statement(
        permits=given["Effect"] == "Allow",
        principals=principals,
        but_principals=but_principals,
        actions=tuple(_action(text) for text in _texts(actions)),
        but_actions=but_actions,
        resources=tuple(_resource(text, variables=variables and not identity) for text in _texts(resources)),
        but_resources=but_resources,
        conditions=tuple(_conditions(given.get("Condition", {}), variables=variables)),
    )


def _either(given: dict[str, Any], name: str, missing: str) -> tuple[bool, Any]:
    """``Action`` or ``NotAction``: is it the second, and its value."""
    named = [(but, given[key]) for but, key in ((False, name), (True, f"Not{name}")) if key in given]
    if not named:
        raise _wrong(missing)
    if len(named) > 1:
        raise _wrong()
    return named[0]


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, str) for one in values):
        raise _wrong()
    return values


def _action(text: str) -> Pattern:
    if text != "*" and not _ACTION.fullmatch(text):
        raise _wrong(VENDOR)
    return pattern(text, fold=True)


def _resource(text: str, *, variables: bool) -> Arn | Everything:
    found = arn(text, variables=variables)
    if found is None:
        raise _wrong(f'Resource {text[:256]} must be in ARN format or "*".')
    return found


def _principals(given: dict[str, Any], identity: str) -> tuple[bool, frozenset[str] | None]:
    if not identity:
        if "Principal" in given or "NotPrincipal" in given:
            raise _wrong("Policy document should not specify a principal.")
        return False, None
    but, value = _either(given, "Principal", "Policy statement must contain principals.")
    if value == "*":
        return but, frozenset("*")
    if not isinstance(value, dict) or not value or not value.keys() <= {"AWS", "Service"}:
        raise _wrong("Invalid principal in policy.")
    for kind, form in (("AWS", _PRINCIPAL), ("Service", _SERVICE)):
        if kind in value and not all(form.fullmatch(text) for text in _texts(value[kind])):
            raise _wrong("Invalid principal in policy.")
    # A service of Amazon's calls nobody here: it is kept in the document and permits nothing.
    return but, frozenset(_texts(value["AWS"])) if "AWS" in value else frozenset()


def _conditions(block: Any, *, variables: bool) -> list[Condition]:
    if not isinstance(block, dict):
        raise _wrong()
    made = []
    for name, keys in block.items():
        if not isinstance(keys, dict) or not keys:
            raise _wrong()
        for key, value in keys.items():
            if key.lower().startswith("aws:resourcetag/"):
                raise _wrong(f"Condition key {key[:128]} is not supported.")
            values = [_scalar(one) for one in (value if isinstance(value, list) else [value])]
            made.append(condition(name, key, values, variables=variables))
    return made


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise _wrong()
    return str(value)
