"""Event destinations: who is told of what happens to mail of a configuration set (SES: events §4).

Not done: the test message SES sends to a topic when a destination is made; deliveries to targets (``publish/``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from mailstead.base.errors import AlreadyExists, Invalid, LimitExceeded, NotFound
from mailstead.ses import configuration_sets
from mailstead.store.port import Row, Transaction

MAX_DESTINATIONS = 10  # SES: events §4
MAX_DIMENSIONS = 10

_TYPES = "SEND REJECT BOUNCE COMPLAINT DELIVERY OPEN CLICK RENDERING_FAILURE DELIVERY_DELAY SUBSCRIPTION"
TYPES = frozenset(_TYPES.split())

SOURCES = frozenset({"MESSAGE_TAG", "EMAIL_HEADER", "LINK_TAG"})
# Headers that may be no dimension (SES: events §4).
_RESERVED = "received to from dkim-signature cc message-id return-path"
NOT_DIMENSIONS = frozenset(_RESERVED.split())

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIMENSION = re.compile(r"[A-Za-z0-9_-]{1,255}")
_DEFAULT = re.compile(r"[A-Za-z0-9_.@-]{1,255}")
_TOPIC = re.compile(r"arn:aws:sns:([a-z0-9-]{1,40}):\d{12}:[A-Za-z0-9_-]{1,256}")
_ROLE = re.compile(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_STREAM = re.compile(r"arn:aws:firehose:([a-z0-9-]{1,40}):\d{12}:deliverystream/[A-Za-z0-9_.-]{1,64}")
_BUS = re.compile(r"arn:aws:events:([a-z0-9-]{1,40}):(\d{12}):event-bus/default")


@dataclass(frozen=True, slots=True)
class Topic:
    """An SNS topic."""

    arn: str


@dataclass(frozen=True, slots=True)
class Firehose:
    """A stream, and the role to write to it with."""

    role: str
    stream: str


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a metric is split by."""

    name: str
    source: str
    """``MESSAGE_TAG``, ``EMAIL_HEADER`` or ``LINK_TAG``."""
    default: str


@dataclass(frozen=True, slots=True)
class CloudWatch:
    """Metrics by dimensions."""

    dimensions: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class EventBridge:
    """The account's default event bus."""

    bus: str


Target = Topic | Firehose | CloudWatch | EventBridge

KINDS: dict[str, type[Target]] = {
    "sns": Topic,
    "firehose": Firehose,
    "cloudwatch": CloudWatch,
    "eventbridge": EventBridge,
}
_KIND_OF = {cls: kind for kind, cls in KINDS.items()}


@dataclass(frozen=True, slots=True)
class EventDestination:
    """Who is told of which events."""

    name: str
    enabled: bool
    types: tuple[str, ...]
    """Of ``TYPES``, in alphabetical order."""
    target: Target


def missing(configuration_set: str) -> NotFound:
    """SES's word; it names the set, not the destination (SES: wire §9)."""
    return NotFound(f"No EventDestination found for {configuration_set}", kind="event-destination")


def check(account: str, region: str, destination: EventDestination) -> None:
    """Is this a destination as SES takes it?

    Raises:
        Invalid: no; its kind tells which target is wrong.
    """
    if not _NAME.fullmatch(destination.name):
        raise Invalid(
            f"Invalid event destination name <{destination.name[:256]}>: only alphanumeric ASCII characters, '_', and"
            " '-' are allowed, at most 64 of them."
        )
    if not destination.types:
        raise Invalid("At least one matching event type must be specified.")
    unknown = sorted(set(destination.types) - TYPES)
    if unknown:
        raise Invalid(f"Invalid event type: {unknown[0][:256]}")
    _check_target(account, region, destination.target)


def _check_target(account: str, region: str, target: Target) -> None:
    match target:
        case Topic(arn):
            _here(_TOPIC.fullmatch(arn), region, f"SNS topic <{arn[:256]}> not found.", "sns-destination")
        case Firehose(role, stream):
            if not _ROLE.fullmatch(role):
                raise Invalid(f"Invalid IAM role ARN <{role[:256]}>.", kind="firehose-destination")
            text = f"Invalid Firehose delivery stream ARN <{stream[:256]}>."
            _here(_STREAM.fullmatch(stream), region, text, "firehose-destination")
        case CloudWatch(dimensions):
            _check_dimensions(dimensions)
        case EventBridge(bus):
            match = _BUS.fullmatch(bus)
            if match is None or (match[1], match[2]) != (region, account):
                raise Invalid("EventBusArn must be the default event bus of this account and region.")


def _here(match: re.Match[str] | None, region: str, text: str, kind: str) -> None:
    """An ARN is one, and of our region."""
    if match is None or match[1] != region:
        raise Invalid(text, kind=kind)


def _check_dimensions(dimensions: tuple[Dimension, ...]) -> None:
    kind = "cloudwatch-destination"
    if not 1 <= len(dimensions) <= MAX_DIMENSIONS:
        raise Invalid(f"A CloudWatch destination has 1 to {MAX_DIMENSIONS} dimensions.", kind=kind)
    if len({dimension.name for dimension in dimensions}) < len(dimensions):
        raise Invalid("A CloudWatch destination has a dimension twice.", kind=kind)
    for dimension in dimensions:
        reserved = dimension.source == "EMAIL_HEADER" and dimension.name.lower() in NOT_DIMENSIONS
        if reserved or not _DIMENSION.fullmatch(dimension.name):
            raise Invalid(f"Invalid CloudWatch dimension name <{dimension.name[:256]}>.", kind=kind)
        if dimension.source not in SOURCES:
            raise Invalid(f"Invalid CloudWatch dimension value source <{dimension.source[:256]}>.", kind=kind)
        if not _DEFAULT.fullmatch(dimension.default):
            raise Invalid(f"Invalid default value of the CloudWatch dimension {dimension.name}.", kind=kind)


_WHERE = "WHERE account = $1 AND region = $2 AND configuration_set = $3"
_COLUMNS = "name, enabled, types_json, kind, target_json"

_types = msgspec.json.Decoder(tuple[str, ...]).decode


def _found(row: Row) -> EventDestination:
    target = msgspec.json.decode(row[4], type=KINDS[row[3]])
    return EventDestination(row[0], bool(row[1]), _types(row[2]), target)


def _values(destination: EventDestination) -> tuple[str, int, str, str, str]:
    target = destination.target
    return (
        destination.name,
        int(destination.enabled),
        msgspec.json.encode(sorted(set(destination.types))).decode(),
        _KIND_OF[type(target)],
        msgspec.json.encode(target).decode(),
    )


async def list_all(tx: Transaction, account: str, region: str, configuration_set: str) -> list[EventDestination]:
    """The destinations of a set, by name.

    Raises:
        NotFound: there is no such set; so for all below.
    """
    await configuration_sets.get(tx, account, region, configuration_set)
    sql = f"SELECT {_COLUMNS} FROM event_destinations {_WHERE} ORDER BY name"
    return [_found(row) for row in await tx.rows(sql, account, region, configuration_set)]


async def create(
    tx: Transaction, account: str, region: str, configuration_set: str, destination: EventDestination
) -> None:
    """Add a destination.

    Raises:
        Invalid: it is not as SES takes it.
        AlreadyExists: the set has one of this name.
        LimitExceeded: the set has ten.
    """
    await configuration_sets.hold(tx, account, region, configuration_set)
    there = await list_all(tx, account, region, configuration_set)
    check(account, region, destination)
    if any(one.name == destination.name for one in there):
        raise _exists(configuration_set, destination)
    if len(there) >= MAX_DESTINATIONS:
        raise LimitExceeded(
            f"A configuration set has at most {MAX_DESTINATIONS} event destinations.", kind="event-destination"
        )
    made = await tx.run(
        f"INSERT INTO event_destinations (account, region, configuration_set, {_COLUMNS}, created)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        account,
        region,
        configuration_set,
        *_values(destination),
        tx.now(),
    )
    if not made:  # somebody else was faster
        raise _exists(configuration_set, destination)


def _exists(configuration_set: str, destination: EventDestination) -> AlreadyExists:
    return AlreadyExists(
        f"EventDestination {destination.name} already exists for {configuration_set}", kind="event-destination"
    )


async def update(
    tx: Transaction, account: str, region: str, configuration_set: str, destination: EventDestination
) -> None:
    """Replace a destination.

    Raises:
        Invalid: it is not as SES takes it.
        NotFound: there is none of this name.
    """
    await configuration_sets.get(tx, account, region, configuration_set)
    check(account, region, destination)
    changed = await tx.run(
        f"UPDATE event_destinations SET enabled = $5, types_json = $6, kind = $7, target_json = $8 {_WHERE}"
        " AND name = $4",
        account,
        region,
        configuration_set,
        *_values(destination),
    )
    if not changed:
        raise missing(configuration_set)


async def delete(tx: Transaction, account: str, region: str, configuration_set: str, name: str) -> None:
    """Take a destination away.

    Raises:
        NotFound: there is none of this name.
    """
    await configuration_sets.get(tx, account, region, configuration_set)
    sql = f"DELETE FROM event_destinations {_WHERE} AND name = $4"
    if not await tx.run(sql, account, region, configuration_set, name):
        raise missing(configuration_set)
