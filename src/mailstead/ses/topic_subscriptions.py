"""Subscriptions of topics: who wants to be told, by which protocol (SNS 2010-03-31).

Queues and functions of the account itself need no confirmation; others have two days for it.

Not done: asking for the confirmation and delivering, which come with publishing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from mailstead.base.address import check_address
from mailstead.base.clock import DAY
from mailstead.base.errors import Invalid, LimitExceeded, NotFound
from mailstead.base.ids import uuid4
from mailstead.ses import topics
from mailstead.ses.topics import Topic
from mailstead.store.port import Row, Transaction
from mailstead.store.vault import Vault

PENDING_FOR = 2 * DAY  # SNS: Subscribe
MAX_SUBSCRIPTIONS = 100_000
"""Of an account in a region (SNS has more)."""
MAX_ENDPOINT = 2048
PAGE = 100  # SNS: ListSubscriptions

URLS = ("http", "https")
MAIL = ("email", "email-json")
_ARNS = {
    "sqs": re.compile(r"arn:aws:sqs:[a-z0-9-]{1,40}:([0-9]{12}):[A-Za-z0-9_-]{1,80}"),
    "lambda": re.compile(r"arn:aws:lambda:[a-z0-9-]{1,40}:([0-9]{12}):function:[A-Za-z0-9_:$-]{1,170}"),
}
PROTOCOLS = (*URLS, *MAIL, *_ARNS)

SETTABLE = frozenset({"RawMessageDelivery", "FilterPolicy", "FilterPolicyScope", "DeliveryPolicy"})
_RAW = (*URLS, "sqs")
"""Protocols that can have the message as it is."""
_ARN = re.compile(r"(arn:aws:sns:[a-z0-9-]{1,40}:[0-9]{12}:[A-Za-z0-9_-]{1,256}):([0-9a-f-]{36})")
_CONTEXT = "topic-subscription"
_MAX_TOKEN = 1024


@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody who wants to be told."""

    id: str
    account: str
    region: str
    topic: str
    protocol: str
    endpoint: str
    attributes: Mapping[str, str]
    confirmed: bool
    authenticated: bool
    """Only the owner may end it."""

    @property
    def topic_arn(self) -> str:
        """The ARN of its topic."""
        return topics.arn_of(self.region, self.account, self.topic)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"{self.topic_arn}:{self.id}"


# -- what may be subscribed --------------------------------------------------------------------------------------------


def check_endpoint(protocol: str, endpoint: str) -> None:
    """Can this be told by that protocol?

    Raises:
        Invalid: it cannot.
    """
    if protocol not in PROTOCOLS:
        raise Invalid(f"Invalid parameter: Amazon SNS does not support this protocol string: {protocol[:64]}")
    fits = 0 < len(endpoint) <= MAX_ENDPOINT and endpoint.isprintable()
    if protocol in URLS:
        fits = fits and _is_url(protocol, endpoint)
    elif protocol in MAIL:
        fits = fits and _is_address(endpoint)
    else:
        fits = fits and _ARNS[protocol].fullmatch(endpoint) is not None
    if not fits:
        kind = {"http": "URL", "https": "URL", "email": "Email address", "email-json": "Email address"}
        raise Invalid(f"Invalid parameter: {kind.get(protocol, f'{protocol.upper()} endpoint ARN')}")


def _is_url(scheme: str, text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme == scheme and bool(parts.hostname) and (parts.port or 1) > 0 and " " not in text
    except ValueError:  # of a port or a bracket
        return False


def _is_address(text: str) -> bool:
    try:
        check_address(text)
    except Invalid:
        return False
    return True


def check_attribute(protocol: str, name: str, value: str) -> None:
    """May a subscription have this?

    Raises:
        Invalid: it may not.
    """
    if name not in SETTABLE:
        raise Invalid(f"Invalid parameter: AttributeName Reason: {name[:64]} is not offered.")
    if name == "RawMessageDelivery" and (value not in ("true", "false") or protocol not in _RAW):
        raise Invalid("Invalid parameter: RawMessageDelivery")
    if name == "FilterPolicyScope" and value not in ("", "MessageAttributes", "MessageBody"):
        raise Invalid("Invalid parameter: FilterPolicyScope")
    if name in topics.DOCUMENTS:
        topics.check_document(name, value)


# -- rows --------------------------------------------------------------------------------------------------------------

_COLUMNS = "id, account, region, topic, protocol, endpoint, attributes_json, confirmed, authenticated"
_ALIVE = "(confirmed = 1 OR created > {})"


def _subscription(row: Row) -> Subscription:
    return Subscription(*[*row[:6], msgspec.json.decode(row[6]), bool(row[7]), bool(row[8])])


def _written(attributes: Mapping[str, str]) -> str:
    return msgspec.json.encode({name: value for name, value in sorted(attributes.items()) if value}).decode()


def missing() -> NotFound:
    """SNS's word for a subscription that is not there."""
    return NotFound("Subscription does not exist", kind="subscription")


def _parsed(arn: str, account: str, region: str) -> tuple[str, str]:
    match = _ARN.fullmatch(arn)
    if match is None:
        raise Invalid("Invalid parameter: SubscriptionArn")
    try:
        return topics.named(match[1], account, region), match[2]
    except NotFound:
        raise missing() from None


async def get(tx: Transaction, account: str, region: str, arn: str) -> Subscription:
    """The subscription of an ARN.

    Raises:
        Invalid: that is no ARN of a subscription.
        NotFound: there is none for this account and region.
    """
    topic, name = _parsed(arn, account, region)
    row = await tx.row(
        f"SELECT {_COLUMNS} FROM topic_subscriptions WHERE id = $1 AND account = $2 AND region = $3 AND topic = $4"
        f" AND {_ALIVE.format('$5')}",
        name,
        account,
        region,
        topic,
        tx.now() - PENDING_FOR,
    )
    if row is None:
        raise missing()
    return _subscription(row)


async def subscribe(
    tx: Transaction, topic: Topic, protocol: str, endpoint: str, attributes: Mapping[str, str]
) -> Subscription:
    """Somebody wants to be told; who does already, stays as they are.

    Raises:
        Invalid: protocol, endpoint or attribute; or they are there with other attributes.
        LimitExceeded: the account has too many.
    """
    check_endpoint(protocol, endpoint)
    for name, value in attributes.items():
        check_attribute(protocol, name, value)
    place = (topic.account, topic.region)
    # Held until the end, so that nobody is left over of a topic that goes meanwhile.
    sql = "UPDATE topics SET name = name WHERE account = $1 AND region = $2 AND name = $3"
    if not await tx.run(sql, *place, topic.name):
        raise topics.missing()
    await forget_pending(tx, before=tx.now(), topic=topic)
    if (found := await _of_endpoint(tx, topic, protocol, endpoint)) is not None:
        if any(found.attributes.get(name, "") != value for name, value in attributes.items()):
            text = "Invalid parameter: Attributes Reason: Subscription already exists with different attributes"
            raise Invalid(text)
        return found
    count = await tx.value("SELECT count(*) FROM topic_subscriptions WHERE account = $1 AND region = $2", *place)
    if count >= MAX_SUBSCRIPTIONS:
        raise LimitExceeded("Subscription limit exceeded", kind="subscription")
    name = uuid4()
    confirmed = int(_is_own(topic, protocol, endpoint))
    await tx.run(
        f"INSERT INTO topic_subscriptions ({_COLUMNS}, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)",
        name,
        *place,
        topic.name,
        protocol,
        endpoint,
        _written(attributes),
        confirmed,
        tx.now(),
    )
    own = bool(confirmed)
    return Subscription(name, *place, topic.name, protocol, endpoint, dict(attributes), own, own)


def _is_own(topic: Topic, protocol: str, endpoint: str) -> bool:
    """Is it a queue or a function of the account that the topic is of?"""
    pattern = _ARNS.get(protocol)
    match = pattern.fullmatch(endpoint) if pattern is not None else None
    return match is not None and match[1] == topic.account


async def _of_endpoint(tx: Transaction, topic: Topic, protocol: str, endpoint: str) -> Subscription | None:
    row = await tx.row(
        f"SELECT {_COLUMNS} FROM topic_subscriptions"
        " WHERE account = $1 AND region = $2 AND topic = $3 AND protocol = $4 AND endpoint = $5",
        topic.account,
        topic.region,
        topic.name,
        protocol,
        endpoint,
    )
    return _subscription(row) if row else None


async def set_attribute(tx: Transaction, account: str, region: str, arn: str, *, attribute: str, value: str) -> None:
    """Give a subscription an attribute; an empty value takes it away.

    Raises:
        Invalid, NotFound: the attribute, or as ``get``.
    """
    await tx.run("UPDATE topic_subscriptions SET id = id WHERE id = $1", _parsed(arn, account, region)[1])  # held
    found = await get(tx, account, region, arn)
    check_attribute(found.protocol, attribute, value)
    attributes = _written({**found.attributes, attribute: value})
    await tx.run("UPDATE topic_subscriptions SET attributes_json = $2 WHERE id = $1", found.id, attributes)


async def unsubscribe(tx: Transaction, account: str, region: str, arn: str) -> None:
    """End a subscription; one that is not there has ended already.

    Raises:
        Invalid: that is no ARN of a subscription.
    """
    try:
        found = await get(tx, account, region, arn)
    except NotFound:
        return
    if await tx.run("DELETE FROM topic_subscriptions WHERE id = $1", found.id):
        sql = "UPDATE topics SET deleted = deleted + 1 WHERE account = $1 AND region = $2 AND name = $3"
        await tx.run(sql, account, region, found.topic)


async def list_page(
    tx: Transaction, account: str, region: str, *, topic: str = "", after: str = "", limit: int = PAGE
) -> list[Subscription]:
    """Subscriptions of an account, or of one of its topics, by id, those behind ``after``."""
    of_topic = " AND topic = $6" if topic else ""
    rows = await tx.rows(
        f"SELECT {_COLUMNS} FROM topic_subscriptions WHERE account = $1 AND region = $2 AND id > $3"
        f" AND {_ALIVE.format('$4')}{of_topic} ORDER BY id LIMIT $5",
        account,
        region,
        after,
        tx.now() - PENDING_FOR,
        limit,
        *([topic] if topic else []),
    )
    return [_subscription(row) for row in rows]


async def counts(tx: Transaction, topic: Topic) -> tuple[int, int]:
    """How many of a topic are confirmed, and how many may still be."""
    row = await tx.row(
        "SELECT CAST(coalesce(sum(confirmed), 0) AS BIGINT), count(*) FROM topic_subscriptions"
        f" WHERE account = $1 AND region = $2 AND topic = $3 AND {_ALIVE.format('$4')}",
        topic.account,
        topic.region,
        topic.name,
        tx.now() - PENDING_FOR,
    )
    assert row is not None
    return int(row[0]), int(row[1]) - int(row[0])


async def forget_pending(tx: Transaction, *, before: int, topic: Topic | None = None) -> int:
    """Delete subscriptions that nobody confirmed in time (of a topic); how many."""
    where, args = "confirmed = 0 AND created <= $1", list[str | int]([before - PENDING_FOR])
    if topic is not None:
        where += " AND account = $2 AND region = $3 AND topic = $4"
        args += [topic.account, topic.region, topic.name]
    return await tx.run(f"DELETE FROM topic_subscriptions WHERE {where}", *args)


# -- confirmation ------------------------------------------------------------------------------------------------------


def token(vault: Vault, subscription: Subscription) -> str:
    """What whoever is subscribed shows to confirm it; hex digits, as SNS's."""
    return vault.seal(subscription.id.encode(), f"{_CONTEXT}/{subscription.topic_arn}").hex()


async def confirm(
    tx: Transaction, vault: Vault, account: str, region: str, *, arn: str, shown: str, authenticated: bool
) -> Subscription:
    """Somebody shows the token; twice is harmless.

    Args:
        arn: of the topic.
        authenticated: from now on, only the owner may end it.

    Raises:
        Invalid: that is no token of a subscription of this topic that still waits or was confirmed.
        NotFound: there is no such topic.
    """
    topic = await topics.get(tx, account, region, arn)
    try:
        name = vault.open(bytes.fromhex(shown[:_MAX_TOKEN]), f"{_CONTEXT}/{topic.arn}").decode()
        found = await get(tx, account, region, f"{topic.arn}:{name}")
    except (ValueError, Invalid, NotFound):
        raise Invalid("Invalid token", kind="token") from None
    if not found.confirmed:
        sql = "UPDATE topic_subscriptions SET confirmed = 1, authenticated = $2 WHERE id = $1"
        await tx.run(sql, found.id, int(authenticated))
    return found
