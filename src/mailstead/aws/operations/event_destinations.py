"""Event destinations: who is told of what happens to mail of a configuration set; v1 and v2 on one store.

v1 knows neither the event bus nor the types DELIVERY_DELAY and SUBSCRIPTION: it is not shown them.
Not offered: Pinpoint.
"""

from __future__ import annotations

from typing import Any

from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.base.errors import Invalid
from mailstead.ses import event_destinations
from mailstead.ses.event_destinations import (
    CloudWatch,
    Dimension,
    EventBridge,
    EventDestination,
    Firehose,
    Target,
    Topic,
)

HANDLED = frozenset(
    {
        (SES, "CreateConfigurationSetEventDestination"),
        (SES, "UpdateConfigurationSetEventDestination"),
        (SES, "DeleteConfigurationSetEventDestination"),
        (SESV2, "CreateConfigurationSetEventDestination"),
        (SESV2, "GetConfigurationSetEventDestinations"),
        (SESV2, "UpdateConfigurationSetEventDestination"),
        (SESV2, "DeleteConfigurationSetEventDestination"),
    }
)

V1_TYPES = {
    "send": "SEND",
    "reject": "REJECT",
    "bounce": "BOUNCE",
    "complaint": "COMPLAINT",
    "delivery": "DELIVERY",
    "open": "OPEN",
    "click": "CLICK",
    "renderingFailure": "RENDERING_FAILURE",
}
_IN_V1 = {v2: v1 for v1, v2 in V1_TYPES.items()}
V1_SOURCES = {"messageTag": "MESSAGE_TAG", "emailHeader": "EMAIL_HEADER", "linkTag": "LINK_TAG"}
_SOURCE_IN_V1 = {v2: v1 for v1, v2 in V1_SOURCES.items()}

PINPOINT = "Pinpoint event destinations are not offered: Amazon Pinpoint is a service of its own."


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _EventDestinations(services)
    return {
        (SES, "CreateConfigurationSetEventDestination"): operations.create_v1,
        (SES, "UpdateConfigurationSetEventDestination"): operations.update_v1,
        (SES, "DeleteConfigurationSetEventDestination"): operations.delete,
        (SESV2, "CreateConfigurationSetEventDestination"): operations.create_v2,
        (SESV2, "GetConfigurationSetEventDestinations"): operations.get,
        (SESV2, "UpdateConfigurationSetEventDestination"): operations.update_v2,
        (SESV2, "DeleteConfigurationSetEventDestination"): operations.delete,
    }


class _EventDestinations:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def _create(self, request: Request, destination: EventDestination) -> dict[str, Any]:
        caller, name = request.caller, request.params["ConfigurationSetName"]
        await self._db.run(lambda tx: event_destinations.create(tx, caller.account, caller.region, name, destination))
        return {}

    async def _update(self, request: Request, destination: EventDestination) -> dict[str, Any]:
        caller, name = request.caller, request.params["ConfigurationSetName"]
        await self._db.run(lambda tx: event_destinations.update(tx, caller.account, caller.region, name, destination))
        return {}

    async def create_v1(self, request: Request) -> dict[str, Any]:
        return await self._create(request, _read_v1(request.params["EventDestination"]))

    async def update_v1(self, request: Request) -> dict[str, Any]:
        return await self._update(request, _read_v1(request.params["EventDestination"]))

    async def create_v2(self, request: Request) -> dict[str, Any]:
        return await self._create(request, _read_v2(request.params))

    async def update_v2(self, request: Request) -> dict[str, Any]:
        return await self._update(request, _read_v2(request.params))

    async def delete(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["ConfigurationSetName"]
        gone = request.params["EventDestinationName"]
        await self._db.run(lambda tx: event_destinations.delete(tx, caller.account, caller.region, name, gone))
        return {}

    async def get(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["ConfigurationSetName"]
        found = await self._db.read(lambda tx: event_destinations.list_all(tx, caller.account, caller.region, name))
        return {"EventDestinations": [v2_destination(one) for one in found]}


# What is asked for


def _one(targets: list[Target]) -> Target:
    if len(targets) != 1:
        raise Invalid("An event destination must have exactly one target.")
    return targets[0]


def _read_v1(given: Params) -> EventDestination:
    targets: list[Target] = []
    if (topic := given.get("SNSDestination")) is not None:
        targets.append(Topic(topic["TopicARN"]))
    if (stream := given.get("KinesisFirehoseDestination")) is not None:
        targets.append(Firehose(stream["IAMRoleARN"], stream["DeliveryStreamARN"]))
    if (metrics := given.get("CloudWatchDestination")) is not None:
        targets.append(_metrics(metrics, V1_SOURCES))
    types = [V1_TYPES[name] for name in given["MatchingEventTypes"]]
    return EventDestination(given["Name"], given.get("Enabled", False), tuple(types), _one(targets))


def _read_v2(params: Params) -> EventDestination:
    given, targets = params["EventDestination"], list[Target]()
    if given.get("PinpointDestination") is not None:
        raise Invalid(PINPOINT, kind="not-offered")
    if (topic := given.get("SnsDestination")) is not None:
        targets.append(Topic(topic["TopicArn"]))
    if (stream := given.get("KinesisFirehoseDestination")) is not None:
        targets.append(Firehose(stream["IamRoleArn"], stream["DeliveryStreamArn"]))
    if (metrics := given.get("CloudWatchDestination")) is not None:
        targets.append(_metrics(metrics))
    if (bus := given.get("EventBridgeDestination")) is not None:
        targets.append(EventBridge(bus["EventBusArn"]))
    types = tuple(given.get("MatchingEventTypes") or ())
    return EventDestination(params["EventDestinationName"], given.get("Enabled", False), types, _one(targets))


def _metrics(given: Params, sources: dict[str, str] | None = None) -> CloudWatch:
    return CloudWatch(
        tuple(
            Dimension(
                one["DimensionName"],
                (sources or {}).get(one["DimensionValueSource"], one["DimensionValueSource"]),
                one["DefaultDimensionValue"],
            )
            for one in given["DimensionConfigurations"]
        )
    )


# What is answered


def v1_destination(found: EventDestination) -> dict[str, Any]:
    """A destination as v1 tells it; types in alphabetical order (SES: events §4)."""
    answer: dict[str, Any] = {
        "Name": found.name,
        "Enabled": found.enabled,
        "MatchingEventTypes": sorted(_IN_V1[name] for name in found.types if name in _IN_V1),
    }
    match found.target:
        case Topic(arn):
            answer["SNSDestination"] = {"TopicARN": arn}
        case Firehose(role, stream):
            answer["KinesisFirehoseDestination"] = {"IAMRoleARN": role, "DeliveryStreamARN": stream}
        case CloudWatch(dimensions):
            answer["CloudWatchDestination"] = _metrics_shown(dimensions, _SOURCE_IN_V1)
    return answer


def v2_destination(found: EventDestination) -> dict[str, Any]:
    """A destination as v2 tells it."""
    answer: dict[str, Any] = {
        "Name": found.name,
        "Enabled": found.enabled,
        "MatchingEventTypes": list(found.types),
    }
    match found.target:
        case Topic(arn):
            answer["SnsDestination"] = {"TopicArn": arn}
        case Firehose(role, stream):
            answer["KinesisFirehoseDestination"] = {"IamRoleArn": role, "DeliveryStreamArn": stream}
        case CloudWatch(dimensions):
            answer["CloudWatchDestination"] = _metrics_shown(dimensions)
        case EventBridge(bus):
            answer["EventBridgeDestination"] = {"EventBusArn": bus}
    return answer


def _metrics_shown(dimensions: tuple[Dimension, ...], sources: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "DimensionConfigurations": [
            {
                "DimensionName": one.name,
                "DimensionValueSource": (sources or {}).get(one.source, one.source),
                "DefaultDimensionValue": one.default,
            }
            for one in dimensions
        ]
    }
