"""Policy conditions: the operators that compare what a request has with what a policy says (IAM: Condition operators).

Keys of a block must all hold, values of a key are alternatives; of a negated operator no value may fit.  A key that the
request lacks fits nothing, so a negated operator holds; ``…IfExists`` then holds in any case.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from mailstead.base.errors import Invalid
from mailstead.proto.policy_patterns import Effort, Facts, arn, pattern

Test = Callable[[str, Facts, Effort], bool]
"""Does this value of the request fit the value of the policy?"""
Make = Callable[[str, bool], Test]
"""Reads a value of the policy; True: it may have variables.  Raises ``ValueError``."""

SYNTAX = "Syntax errors in policy."
VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."

ALL, ANY = "forallvalues", "foranyvalue"

_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?")
_KEY = re.compile(r"[A-Za-z0-9-]{1,64}:[^\s\x00-\x1f]{1,256}")


@dataclass(frozen=True, slots=True)
class Condition:
    """One key under one operator."""

    key: str
    """In lower case."""
    tests: tuple[Test, ...]
    negated: bool
    if_exists: bool
    over: str
    """``forallvalues``, ``foranyvalue``, or empty."""
    absent: bool | None = None
    """Of ``Null``: must the key be absent?"""

    def holds(self, facts: Facts, effort: Effort, *, permits: bool) -> bool:
        """Does it?

        Args:
            permits: is it asked for a permission?  AWS leaves open what a key with several values means without
                ``ForAllValues`` or ``ForAnyValue``; here a permission then needs all of them, a prohibition any.
        """
        values = facts.get(self.key) or ()
        if self.absent is not None:
            return self.absent is (not values)
        if not values:
            return self.over == ALL or (not self.over and (self.if_exists or self.negated))
        each = (self._fits(value, facts, effort) for value in values)
        return all(each) if self.over == ALL or (not self.over and permits) else any(each)

    def _fits(self, value: str, facts: Facts, effort: Effort) -> bool:
        return any(test(value, facts, effort) for test in self.tests) is not self.negated


def _string(*, wild: bool = False, fold: bool = False) -> Make:
    return lambda text, variables: pattern(text, wild=wild, variables=variables, fold=fold).matches


def _arn(text: str, variables: bool) -> Test:
    found = arn(text, variables=variables)
    if found is None:
        raise ValueError(text)
    return found.matches


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _date(text: str) -> float:
    """Seconds since 1970, from those or from ISO 8601 (UTC where it names no zone)."""
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return float(text)
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    made = datetime.fromisoformat(text)
    return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()


def _compared(read: Callable[[str], float], compare: Callable[[float, float], bool]) -> Make:
    def make(text: str, variables: bool) -> Test:
        wanted = read(text)

        def test(value: str, facts: Facts, effort: Effort) -> bool:
            effort.spend(1)
            try:
                return compare(read(value), wanted)
            except (ValueError, OverflowError):
                return False

        return test

    return make


def _exactly(read: Callable[[str], object]) -> Make:
    """Values that are the same once they are read."""

    def make(text: str, variables: bool) -> Test:
        wanted = read(text)

        def test(value: str, facts: Facts, effort: Effort) -> bool:
            effort.spend(1)
            try:
                return read(value) == wanted
            except ValueError:
                return False

        return test

    return make


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(text) from error


def _address(text: str, variables: bool) -> Test:
    network = ipaddress.ip_network(text, strict=False)

    def test(value: str, facts: Facts, effort: Effort) -> bool:
        effort.spend(1)
        try:
            address = ipaddress.ip_address(value.partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address) in network

    return test


_ORDER: dict[str, Callable[[float, float], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
_POSITIVE: dict[str, Make] = {
    "StringEquals": _string(),
    "StringEqualsIgnoreCase": _string(fold=True),
    "StringLike": _string(wild=True),
    "Bool": _exactly(_truth),
    "BinaryEquals": _exactly(_octets),
    "IpAddress": _address,
    "ArnEquals": _arn,
    "ArnLike": _arn,
    **{f"Numeric{name}": _compared(_number, compare) for name, compare in _ORDER.items()},
    **{f"Date{name}": _compared(_date, compare) for name, compare in _ORDER.items()},
}
_NEGATED: dict[str, Make] = {
    "StringNotEquals": _string(),
    "StringNotEqualsIgnoreCase": _string(fold=True),
    "StringNotLike": _string(wild=True),
    "NotIpAddress": _address,
    "ArnNotEquals": _arn,
    "ArnNotLike": _arn,
    "NumericNotEquals": _compared(_number, operator.eq),
    "DateNotEquals": _compared(_date, operator.eq),
}
OPERATORS: dict[str, tuple[Make, bool]] = {
    **{name.lower(): (make, False) for name, make in _POSITIVE.items()},
    **{name.lower(): (make, True) for name, make in _NEGATED.items()},
}
"""Operator in lower case: how its values are read, and whether it is a negation."""


def condition(written: str, key: str, values: list[str], *, variables: bool) -> Condition:
    """Read one key of an operator.

    Raises:
        Invalid: there is no such operator, the key is none, or a value is not of the operator's kind.
    """
    over, colon, name = written.lower().rpartition(":")
    if colon and over not in (ALL, ANY):
        raise Invalid(f"Invalid Condition type : {written[:64]}.", kind="policy")
    if not _KEY.fullmatch(key):
        raise Invalid(VENDOR, kind="policy")
    try:
        if name == "null" and not over:
            return Condition(key.lower(), (), False, False, "", _the_one(values))
        base = name.removesuffix("ifexists")
        make, negated = OPERATORS[base]
        tests = tuple(make(value, variables) for value in values)
    except KeyError:
        raise Invalid(f"Invalid Condition type : {written[:64]}.", kind="policy") from None
    except (ValueError, OverflowError):
        raise Invalid(SYNTAX, kind="policy") from None
    return Condition(key.lower(), tests, negated, base != name, over)


def _the_one(values: list[str]) -> bool:
    (value,) = values
    return _truth(value)
