"""Topics and their subscriptions (SNS, as far as SES and its users need it)."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from mailstead.aws import paging
from mailstead.aws.operations.services import SNS, Handlers, Params, Request, Services
from mailstead.aws.operations.tags import pairs_of, shown
from mailstead.base.errors import Invalid, NotFound
from mailstead.ses import tags, topic_subscriptions, topics
from mailstead.ses.topic_subscriptions import Subscription
from mailstead.ses.topics import Topic
from mailstead.store.port import Transaction

HANDLED = frozenset(
    (SNS, name)
    for name in (
        "CreateTopic",
        "DeleteTopic",
        "ListTopics",
        "GetTopicAttributes",
        "SetTopicAttributes",
        "Subscribe",
        "ConfirmSubscription",
        "Unsubscribe",
        "ListSubscriptions",
        "ListSubscriptionsByTopic",
        "GetSubscriptionAttributes",
        "SetSubscriptionAttributes",
        "TagResource",
        "UntagResource",
        "ListTagsForResource",
    )
)

PENDING = "PendingConfirmation"
"""In the place of an ARN in lists (SNS: ListSubscriptions)."""

_DELIVERY = {
    "http": {
        "defaultHealthyRetryPolicy": {
            "minDelayTarget": 20,
            "maxDelayTarget": 20,
            "numRetries": 3,
            "numMaxDelayRetries": 0,
            "numNoDelayRetries": 0,
            "numMinDelayRetries": 0,
            "backoffFunction": "linear",
        },
        "disableSubscriptionOverrides": False,
    }
}
"""SES: events §6."""
_OWNER_MAY = ("GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic",
              "Subscribe", "ListSubscriptionsByTopic", "Publish")  # fmt: skip


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    of_topics, of_subscriptions = _Topics(services), _Subscriptions(services)
    return {
        (SNS, "CreateTopic"): of_topics.create,
        (SNS, "DeleteTopic"): of_topics.delete,
        (SNS, "ListTopics"): of_topics.list_page,
        (SNS, "GetTopicAttributes"): of_topics.get_attributes,
        (SNS, "SetTopicAttributes"): of_topics.set_attributes,
        (SNS, "TagResource"): of_topics.tag,
        (SNS, "UntagResource"): of_topics.untag,
        (SNS, "ListTagsForResource"): of_topics.list_tags,
        (SNS, "Subscribe"): of_subscriptions.subscribe,
        (SNS, "ConfirmSubscription"): of_subscriptions.confirm,
        (SNS, "Unsubscribe"): of_subscriptions.unsubscribe,
        (SNS, "ListSubscriptions"): of_subscriptions.list_page,
        (SNS, "ListSubscriptionsByTopic"): of_subscriptions.list_of_topic,
        (SNS, "GetSubscriptionAttributes"): of_subscriptions.get_attributes,
        (SNS, "SetSubscriptionAttributes"): of_subscriptions.set_attributes,
    }


def _place(request: Request) -> tuple[str, str]:
    return request.caller.account, request.caller.region


def _after(request: Request, *more: str) -> tuple[tuple[str, ...], str]:
    """What a token of this list belongs to, and where the page begins.

    Raises:
        Invalid: it is no token of this list.
    """
    belongs = request.page(*more)
    try:
        start = paging.position(belongs, request.params.get("NextToken") or None)
    except Invalid:
        raise Invalid("Invalid parameter: NextToken") from None
    return belongs, str(start[0]) if start else ""


class _Topics:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def create(self, request: Request) -> dict[str, Any]:
        params = request.params
        if params.get("DataProtectionPolicy"):
            raise Invalid("Invalid parameter: DataProtectionPolicy Reason: it is not offered.")
        body = partial(topics.create, attributes=params.get("Attributes") or {}, tagged=pairs_of(params.get("Tags")))
        arn = await self._db.run(lambda tx: body(tx, *_place(request), params["Name"]))
        return {"TopicArn": arn}

    async def delete(self, request: Request) -> None:
        await self._db.run(lambda tx: topics.delete(tx, *_place(request), request.params["TopicArn"]))

    async def list_page(self, request: Request) -> dict[str, Any]:
        belongs, after = _after(request)
        size = topics.PAGE
        names = await self._db.scan(lambda tx: topics.list_page(tx, *_place(request), after=after, limit=size + 1))
        account, region = _place(request)
        answer: dict[str, Any] = {"Topics": [{"TopicArn": topics.arn_of(region, account, one)} for one in names[:size]]}
        return {**answer, "NextToken": paging.token(belongs, [names[size - 1]])} if len(names) > size else answer

    async def get_attributes(self, request: Request) -> dict[str, Any]:
        async def look(tx: Transaction) -> tuple[Topic, tuple[int, int]]:
            found = await topics.get(tx, *_place(request), request.params["TopicArn"])
            return found, await topic_subscriptions.counts(tx, found)

        topic, (confirmed, pending) = await self._db.scan(look)
        attributes = {
            "TopicArn": topic.arn,
            "Owner": topic.account,
            "DisplayName": "",
            "Policy": _policy(topic),
            "EffectiveDeliveryPolicy": topic.attributes.get("DeliveryPolicy") or _json(_DELIVERY),
            "SubscriptionsConfirmed": str(confirmed),
            "SubscriptionsPending": str(pending),
            "SubscriptionsDeleted": str(topic.deleted),
        }
        return {"Attributes": {**attributes, **topic.attributes}}

    async def set_attributes(self, request: Request) -> None:
        params = request.params
        body = partial(
            topics.set_attribute, attribute=params["AttributeName"], value=params.get("AttributeValue") or ""
        )
        await self._db.run(lambda tx: body(tx, *_place(request), params["TopicArn"]))

    # Tags

    async def tag(self, request: Request) -> dict[str, Any]:
        given = pairs_of(request.params["Tags"])

        async def body(tx: Transaction) -> None:
            await tags.put(tx, *_place(request), await _tagged(tx, request), given)

        await self._db.run(body)
        return {}

    async def untag(self, request: Request) -> dict[str, Any]:
        async def body(tx: Transaction) -> None:
            await tags.remove(tx, *_place(request), await _tagged(tx, request), request.params["TagKeys"])

        await self._db.run(body)
        return {}

    async def list_tags(self, request: Request) -> dict[str, Any]:
        async def look(tx: Transaction) -> dict[str, str]:
            return await tags.of(tx, *_place(request), await _tagged(tx, request))

        return {"Tags": shown(await self._db.read(look))}


async def _tagged(tx: Transaction, request: Request) -> str:
    """What the tags of a call belong to.

    Raises:
        NotFound: it is not there.
    """
    try:
        found = await topics.get(tx, *_place(request), request.params["ResourceArn"])
    except (Invalid, NotFound):
        raise NotFound("Resource does not exist", kind="resource") from None
    return topics.resource(found.name)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _policy(topic: Topic) -> str:
    """What SNS shows where no policy was set: the owner may do everything."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{name}" for name in _OWNER_MAY],
        "Resource": topic.arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": topic.account}},
    }
    return _json({"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]})


class _Subscriptions:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db
        self._vault = services.runtime.vault

    async def subscribe(self, request: Request) -> dict[str, Any]:
        params = request.params

        async def body(tx: Transaction) -> Subscription:
            topic = await topics.get(tx, *_place(request), params["TopicArn"])
            return await topic_subscriptions.subscribe(
                tx, topic, params["Protocol"], params.get("Endpoint") or "", params.get("Attributes") or {}
            )

        found = await self._db.run(body)
        told = found.confirmed or params.get("ReturnSubscriptionArn", False)
        return {"SubscriptionArn": found.arn if told else "pending confirmation"}

    async def confirm(self, request: Request) -> dict[str, Any]:
        params = request.params
        body = partial(
            topic_subscriptions.confirm,
            arn=params["TopicArn"],
            shown=params["Token"],
            authenticated=str(params.get("AuthenticateOnUnsubscribe", "")).lower() == "true",
        )
        found = await self._db.run(lambda tx: body(tx, self._vault, *_place(request)))
        return {"SubscriptionArn": found.arn}

    async def unsubscribe(self, request: Request) -> None:
        await self._db.run(
            lambda tx: topic_subscriptions.unsubscribe(tx, *_place(request), request.params["SubscriptionArn"])
        )

    async def list_page(self, request: Request) -> dict[str, Any]:
        return await self._listed(request)

    async def list_of_topic(self, request: Request) -> dict[str, Any]:
        arn = request.params["TopicArn"]
        topic = await self._db.read(lambda tx: topics.get(tx, *_place(request), arn))
        return await self._listed(request, topic.name)

    async def _listed(self, request: Request, topic: str = "") -> dict[str, Any]:
        belongs, after = _after(request, topic)
        size = topic_subscriptions.PAGE
        found = await self._db.scan(
            lambda tx: topic_subscriptions.list_page(tx, *_place(request), topic=topic, after=after, limit=size + 1)
        )
        answer: dict[str, Any] = {"Subscriptions": [_summary(one) for one in found[:size]]}
        return {**answer, "NextToken": paging.token(belongs, [found[size - 1].id])} if len(found) > size else answer

    async def get_attributes(self, request: Request) -> dict[str, Any]:
        arn = request.params["SubscriptionArn"]
        found = await self._db.read(lambda tx: topic_subscriptions.get(tx, *_place(request), arn))
        attributes = {
            "SubscriptionArn": found.arn,
            "TopicArn": found.topic_arn,
            "Owner": found.account,
            "Protocol": found.protocol,
            "Endpoint": found.endpoint,
            "PendingConfirmation": _truth(not found.confirmed),
            "ConfirmationWasAuthenticated": _truth(found.authenticated),
            "RawMessageDelivery": "false",
        }
        return {"Attributes": {**attributes, **found.attributes}}

    async def set_attributes(self, request: Request) -> None:
        params: Params = request.params
        body = partial(
            topic_subscriptions.set_attribute,
            attribute=params["AttributeName"],
            value=params.get("AttributeValue") or "",
        )
        await self._db.run(lambda tx: body(tx, *_place(request), params["SubscriptionArn"]))


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _summary(found: Subscription) -> dict[str, str]:
    return {
        "SubscriptionArn": found.arn if found.confirmed else PENDING,
        "Owner": found.account,
        "Protocol": found.protocol,
        "Endpoint": found.endpoint,
        "TopicArn": found.topic_arn,
    }
