"""Topics: names that messages are published under (SNS 2010-03-31, as far as SES and its users need it).

Not done: publishing and delivering.  What is kept of a topic for that (delivery policy, policy, signature version,
display name) has no effect yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from mailstead.base.errors import Invalid, LimitExceeded, NotFound
from mailstead.ses import tags
from mailstead.store.port import Row, Transaction

MAX_TOPICS = 100_000  # SNS: quotas
MAX_DISPLAY = 100
MAX_DOCUMENT = 30_720  # SNS: octets of a policy
PAGE = 100  # SNS: ListTopics

_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ARN = re.compile(r"arn:aws:sns:([a-z0-9-]{1,40}):([0-9]{12}):([A-Za-z0-9_-]{1,256})")

SETTABLE = frozenset({"DisplayName", "Policy", "DeliveryPolicy", "SignatureVersion"})
DOCUMENTS = frozenset({"Policy", "DeliveryPolicy", "FilterPolicy"})
"""Attributes that hold a JSON object."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of an account in a region."""

    account: str
    region: str
    name: str
    attributes: Mapping[str, str]
    """What was set, by SNS's names."""
    deleted: int
    """Subscriptions that were taken away."""

    @property
    def arn(self) -> str:
        """Its ARN."""
        return arn_of(self.region, self.account, self.name)


def arn_of(region: str, account: str, name: str) -> str:
    """``arn:aws:sns:REGION:ACCOUNT:NAME``."""
    return f"arn:aws:sns:{region}:{account}:{name}"


def named(arn: str, account: str, region: str) -> str:
    """The name in the ARN of a topic.

    Raises:
        Invalid: it is no ARN of a topic.
        NotFound: it is one of another account or region.
    """
    match = _ARN.fullmatch(arn)
    if match is None:
        raise Invalid("Invalid parameter: TopicArn")
    if (match[1], match[2]) != (region, account):
        raise missing()
    return match[3]


def missing() -> NotFound:
    """SNS's word for a topic that is not there."""
    return NotFound("Topic does not exist", kind="topic")


def check_name(name: str) -> None:
    """May a topic be called so?

    Raises:
        Invalid: it may not.
    """
    if name.endswith(".fifo"):
        raise Invalid("Invalid parameter: Topic Name Reason: FIFO topics are not offered.")
    if not _NAME.fullmatch(name):
        raise Invalid("Invalid parameter: Topic Name")


def check_attribute(name: str, value: str) -> None:
    """May a topic have this?

    Raises:
        Invalid: it may not.
    """
    if name not in SETTABLE:
        raise Invalid(f"Invalid parameter: AttributeName Reason: {name[:64]} is not offered.")
    if name == "DisplayName" and (len(value) > MAX_DISPLAY or not value.isprintable()):
        raise Invalid("Invalid parameter: DisplayName")
    if name == "SignatureVersion" and value not in ("1", "2"):
        raise Invalid("Invalid parameter: SignatureVersion")
    if name in DOCUMENTS:
        check_document(name, value)


def check_document(name: str, value: str) -> None:
    """Is it a JSON object that is not too long?  Empty means the default.

    Raises:
        Invalid: it is not.
    """
    if not value:
        return
    try:
        found = msgspec.json.decode(value) if len(value) <= MAX_DOCUMENT and "\0" not in value else None
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(f"Invalid parameter: {name} Reason: failed to parse JSON.")


_WHERE = "WHERE account = $1 AND region = $2"


def _topic(row: Row) -> Topic:
    return Topic(*[*row[:3], msgspec.json.decode(row[3]), row[4]])


async def find(tx: Transaction, account: str, region: str, name: str) -> Topic | None:
    """A topic, or None."""
    sql = f"SELECT account, region, name, attributes_json, deleted FROM topics {_WHERE} AND name = $3"
    row = await tx.row(sql, account, region, name)
    return _topic(row) if row else None


async def get(tx: Transaction, account: str, region: str, arn: str) -> Topic:
    """The topic of an ARN.

    Raises:
        Invalid, NotFound: as ``named``; or there is none.
    """
    found = await find(tx, account, region, named(arn, account, region))
    if found is None:
        raise missing()
    return found


def resource(name: str) -> str:
    """How the tags of a topic are kept."""
    return f"topic/{name}"


async def create(
    tx: Transaction,
    account: str,
    region: str,
    name: str,
    *,
    attributes: Mapping[str, str],
    tagged: Mapping[str, str],
) -> str:
    """A topic of this name, made if it is not there; its ARN.

    Raises:
        Invalid: the name or an attribute; or it is there with other attributes or tags.
        LimitExceeded: the account has too many.
    """
    check_name(name)
    for attribute, value in attributes.items():
        check_attribute(attribute, value)
    if (
        await find(tx, account, region, name) is None
        and await tx.value(f"SELECT count(*) FROM topics {_WHERE}", account, region) >= MAX_TOPICS
    ):
        raise LimitExceeded("Topic limit exceeded", kind="topic")
    made = await tx.run(
        "INSERT INTO topics (account, region, name, attributes_json, created) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        account,
        region,
        name,
        _written(attributes),
        tx.now(),
    )
    if made:
        await tags.put(tx, account, region, resource(name), tagged)
    else:
        await _check_same(tx, Topic(account, region, name, attributes, 0), tagged)
    return arn_of(region, account, name)


async def _check_same(tx: Transaction, wanted: Topic, tagged: Mapping[str, str]) -> None:
    """Making a topic twice is harmless, if it is the same one that is meant."""
    place = (wanted.account, wanted.region)
    found = await find(tx, *place, wanted.name)
    if found is not None and any(found.attributes.get(key, "") != value for key, value in wanted.attributes.items()):
        raise Invalid("Invalid parameter: Attributes Reason: Topic already exists with different attributes")
    if tagged and dict(tagged) != await tags.of(tx, *place, resource(wanted.name)):
        raise Invalid("Invalid parameter: Tags Reason: Topic already exists with different tags")


def _written(attributes: Mapping[str, str]) -> str:
    return msgspec.json.encode({name: value for name, value in attributes.items() if value}).decode()


async def set_attribute(tx: Transaction, account: str, region: str, arn: str, *, attribute: str, value: str) -> None:
    """Give a topic an attribute; an empty value is the default.

    Raises:
        Invalid, NotFound: the attribute, or as ``get``.
    """
    name = named(arn, account, region)
    check_attribute(attribute, value)
    # Held, so that of two changes neither is lost.
    held = f"UPDATE topics SET name = name {_WHERE} AND name = $3 RETURNING attributes_json"
    row = await tx.row(held, account, region, name)
    if row is None:
        raise missing()
    attributes = {**msgspec.json.decode(row[0]), attribute: value}
    sql = f"UPDATE topics SET attributes_json = $4 {_WHERE} AND name = $3"
    await tx.run(sql, account, region, name, _written(attributes))


async def delete(tx: Transaction, account: str, region: str, arn: str) -> None:
    """Forget a topic, its tags and its subscriptions; one that is not there is forgotten already.

    Raises:
        Invalid: that is no ARN of a topic.
    """
    try:
        name = named(arn, account, region)
    except NotFound:
        return
    await tx.run(f"DELETE FROM topic_subscriptions {_WHERE} AND topic = $3", account, region, name)
    await tx.run(f"DELETE FROM topics {_WHERE} AND name = $3", account, region, name)
    await tags.forget(tx, account, region, resource(name))


async def list_page(tx: Transaction, account: str, region: str, *, after: str, limit: int) -> list[str]:
    """Names of topics, those behind ``after``."""
    sql = f"SELECT name FROM topics {_WHERE} AND name > $3 ORDER BY name LIMIT $4"
    return [str(row[0]) for row in await tx.rows(sql, account, region, after, limit)]
