"""Configuration sets: named options of sending; v1 and v2 side by side on one store.

Not offered: archiving (Mail Manager), S/MIME, validation of addresses before sending.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.event_destinations import v1_destination
from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.aws.operations.tags import pairs_of, shown
from mailstead.base.errors import Invalid
from mailstead.ses import configuration_sets, event_destinations, identities, tags
from mailstead.ses.configuration_sets import (
    OPTIONAL,
    REQUIRE,
    ConfigurationSet,
    Delivery,
    Options,
    Suppression,
    Tracking,
    Vdm,
)
from mailstead.ses.principals import Caller
from mailstead.store.port import Transaction

HANDLED = frozenset(
    {
        (SES, "CreateConfigurationSet"),
        (SES, "DescribeConfigurationSet"),
        (SES, "ListConfigurationSets"),
        (SES, "DeleteConfigurationSet"),
        (SES, "CreateConfigurationSetTrackingOptions"),
        (SES, "UpdateConfigurationSetTrackingOptions"),
        (SES, "DeleteConfigurationSetTrackingOptions"),
        (SES, "PutConfigurationSetDeliveryOptions"),
        (SES, "UpdateConfigurationSetReputationMetricsEnabled"),
        (SES, "UpdateConfigurationSetSendingEnabled"),
        (SESV2, "CreateConfigurationSet"),
        (SESV2, "GetConfigurationSet"),
        (SESV2, "ListConfigurationSets"),
        (SESV2, "UpdateConfigurationSet"),
        (SESV2, "DeleteConfigurationSet"),
        (SESV2, "PutConfigurationSetDeliveryOptions"),
        (SESV2, "PutConfigurationSetReputationOptions"),
        (SESV2, "PutConfigurationSetSendingOptions"),
        (SESV2, "PutConfigurationSetSuppressionOptions"),
        (SESV2, "PutConfigurationSetTrackingOptions"),
        (SESV2, "PutConfigurationSetVdmOptions"),
        (SESV2, "PutEmailIdentityConfigurationSetAttributes"),
    }
)

MAX_PAGE = 1000

V1_TLS = {OPTIONAL: "Optional", REQUIRE: "Require"}
V2_TLS = {v1: v2 for v2, v1 in V1_TLS.items()}

SMIME = "S/MIME signatures are not offered."
ARCHIVING = "Archiving is not offered: the archives of Amazon SES Mail Manager are a service of their own."

Verb = Callable[[Transaction, str, str, str], Awaitable[None]]


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _ConfigurationSets(services)
    return {
        (SES, "CreateConfigurationSet"): operations.create_v1,
        (SES, "DescribeConfigurationSet"): operations.describe,
        (SES, "ListConfigurationSets"): operations.list_v1,
        (SES, "DeleteConfigurationSet"): operations.delete,
        (SES, "CreateConfigurationSetTrackingOptions"): operations.create_tracking,
        (SES, "UpdateConfigurationSetTrackingOptions"): operations.update_tracking,
        (SES, "DeleteConfigurationSetTrackingOptions"): operations.delete_tracking,
        (SES, "PutConfigurationSetDeliveryOptions"): operations.put_delivery_v1,
        (SES, "UpdateConfigurationSetReputationMetricsEnabled"): operations.put_reputation_v1,
        (SES, "UpdateConfigurationSetSendingEnabled"): operations.put_sending_v1,
        (SESV2, "CreateConfigurationSet"): operations.create_v2,
        (SESV2, "GetConfigurationSet"): operations.get,
        (SESV2, "ListConfigurationSets"): operations.list_v2,
        (SESV2, "UpdateConfigurationSet"): operations.update,
        (SESV2, "DeleteConfigurationSet"): operations.delete,
        (SESV2, "PutConfigurationSetDeliveryOptions"): operations.put_delivery_v2,
        (SESV2, "PutConfigurationSetReputationOptions"): operations.put_reputation_v2,
        (SESV2, "PutConfigurationSetSendingOptions"): operations.put_sending_v2,
        (SESV2, "PutConfigurationSetSuppressionOptions"): operations.put_suppression,
        (SESV2, "PutConfigurationSetTrackingOptions"): operations.put_tracking_v2,
        (SESV2, "PutConfigurationSetVdmOptions"): operations.put_vdm,
        (SESV2, "PutEmailIdentityConfigurationSetAttributes"): operations.put_default,
    }


class _ConfigurationSets:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    # Both

    async def _change(self, request: Request, verb: Verb) -> dict[str, Any]:
        """Do something with the set that the call names; an empty answer."""
        caller, name = request.caller, request.params["ConfigurationSetName"]
        await self._db.run(lambda tx: verb(tx, caller.account, caller.region, name))
        return {}

    async def _create(self, caller: Caller, name: str, options: Options, tagged: dict[str, str]) -> None:
        async def body(tx: Transaction) -> None:
            await configuration_sets.create(tx, caller.account, caller.region, name, options)
            resource = tags.resource(tags.CONFIGURATION_SET, name)
            await tags.put(tx, caller.account, caller.region, resource, tagged)

        await self._db.run(body)

    async def delete(self, request: Request) -> dict[str, Any]:
        return await self._change(request, configuration_sets.delete)

    async def _page(self, request: Request, *, asked: int | None, contains: str = "") -> tuple[list[str], str | None]:
        caller, belongs = request.caller, request.page(contains)
        start = paging.position(belongs, request.params.get("NextToken"))
        size = paging.page_size(asked, default=MAX_PAGE, most=MAX_PAGE)
        names = await self._db.scan(
            lambda tx: configuration_sets.list_names(
                tx,
                caller.account,
                caller.region,
                after=str(start[0]) if start else "",
                limit=size + 1,
                contains=contains,
            )
        )
        return names[:size], paging.token(belongs, [names[size - 1]]) if len(names) > size else None

    # v1

    async def create_v1(self, request: Request) -> dict[str, Any]:
        await self._create(request.caller, request.params["ConfigurationSet"]["Name"], Options(), {})
        return {}

    async def describe(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["ConfigurationSetName"]
        asked = request.params.get("ConfigurationSetAttributeNames") or ()

        async def look(tx: Transaction) -> dict[str, Any]:
            found = await configuration_sets.get(tx, caller.account, caller.region, name)
            answer = {"ConfigurationSet": {"Name": name}, **_described(found, asked)}
            if "eventDestinations" in asked:
                there = await event_destinations.list_all(tx, caller.account, caller.region, name)
                answer["EventDestinations"] = [v1_destination(one) for one in there]
            return answer

        return await self._db.read(look)

    async def list_v1(self, request: Request) -> dict[str, Any]:
        names, token = await self._page(request, asked=request.params.get("MaxItems"))
        answer: dict[str, Any] = {"ConfigurationSets": [{"Name": name} for name in names]}
        return answer if token is None else {**answer, "NextToken": token}

    async def _tracking_v1(self, request: Request, *, exists: bool) -> dict[str, Any]:
        domain = request.params["TrackingOptions"].get("CustomRedirectDomain")
        if not domain:
            raise Invalid("CustomRedirectDomain must be specified.", kind="tracking-options")

        async def verb(tx: Transaction, account: str, region: str, name: str) -> None:
            found = await configuration_sets.get(tx, account, region, name)
            tracking = Tracking(domain, found.options.tracking.https_policy)
            await configuration_sets.set_tracking(tx, account, region, name, tracking, exists=exists)

        return await self._change(request, verb)

    async def create_tracking(self, request: Request) -> dict[str, Any]:
        return await self._tracking_v1(request, exists=False)

    async def update_tracking(self, request: Request) -> dict[str, Any]:
        return await self._tracking_v1(request, exists=True)

    async def delete_tracking(self, request: Request) -> dict[str, Any]:
        return await self._change(request, configuration_sets.clear_tracking)

    async def put_delivery_v1(self, request: Request) -> dict[str, Any]:
        policy = V2_TLS[(request.params.get("DeliveryOptions") or {}).get("TlsPolicy", "Optional")]

        async def verb(tx: Transaction, account: str, region: str, name: str) -> None:
            await configuration_sets.set_tls_policy(tx, account, region, name, policy)

        return await self._change(request, verb)

    async def put_reputation_v1(self, request: Request) -> None:
        await self._reputation(request, enabled=request.params["Enabled"])

    async def put_sending_v1(self, request: Request) -> None:
        await self._sending(request, enabled=request.params["Enabled"])

    # v2

    async def create_v2(self, request: Request) -> dict[str, Any]:
        params = request.params
        await self._create(
            request.caller, params["ConfigurationSetName"], _options(params), pairs_of(params.get("Tags"))
        )
        return {}

    async def get(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["ConfigurationSetName"]

        async def look(tx: Transaction) -> dict[str, Any]:
            found = await configuration_sets.get(tx, caller.account, caller.region, name)
            resource = tags.resource(tags.CONFIGURATION_SET, name)
            return {**_shown(found), "Tags": shown(await tags.of(tx, caller.account, caller.region, resource))}

        return await self._db.read(look)

    async def list_v2(self, request: Request) -> dict[str, Any]:
        contains = (request.params.get("Filter") or {}).get("CONFIGURATION_SET_NAME_CONTAINS", "")
        names, token = await self._page(request, asked=request.params.get("PageSize"), contains=contains)
        answer: dict[str, Any] = {"ConfigurationSets": names}
        return answer if token is None else {**answer, "NextToken": token}

    async def update(self, request: Request) -> dict[str, Any]:
        _refuse_smime(request.params)
        return await self._change(request, configuration_sets.hold)

    async def put_delivery_v2(self, request: Request) -> dict[str, Any]:
        delivery = _delivery(request.params)

        async def verb(tx: Transaction, account: str, region: str, name: str) -> None:
            await configuration_sets.set_delivery(tx, account, region, name, delivery)

        return await self._change(request, verb)

    async def put_reputation_v2(self, request: Request) -> dict[str, Any]:
        return await self._reputation(request, enabled=request.params.get("ReputationMetricsEnabled", False))

    async def _reputation(self, request: Request, *, enabled: bool) -> dict[str, Any]:
        async def verb(tx: Transaction, account: str, region: str, name: str) -> None:
            await configuration_sets.set_reputation_metrics(tx, account, region, name, enabled=enabled)

        return await self._change(request, verb)

    async def put_sending_v2(self, request: Request) -> dict[str, Any]:
        return await self._sending(request, enabled=request.params.get("SendingEnabled", False))

    async def _sending(self, request: Request, *, enabled: bool) -> dict[str, Any]:
        async def verb(tx: Transaction, account: str, region: str, name: str) -> None:
            await configuration_sets.set_sending(tx, account, region, name, enabled=enabled)

        return await self._change(request, verb)

    async def put_suppression(self, request: Request) -> dict[str, Any]:
        suppression = _suppression(request.params)

        async def verb(tx: Transaction, account: str, region: str, name: str) -> None:
            await configuration_sets.set_suppression(tx, account, region, name, suppression)

        return await self._change(request, verb)

    async def put_tracking_v2(self, request: Request) -> dict[str, Any]:
        tracking = _tracking(request.params)

        async def verb(tx: Transaction, account: str, region: str, name: str) -> None:
            await configuration_sets.set_tracking(tx, account, region, name, tracking)

        return await self._change(request, verb)

    async def put_vdm(self, request: Request) -> dict[str, Any]:
        vdm = _vdm(request.params.get("VdmOptions") or {})

        async def verb(tx: Transaction, account: str, region: str, name: str) -> None:
            await configuration_sets.set_vdm(tx, account, region, name, vdm)

        return await self._change(request, verb)

    async def put_default(self, request: Request) -> dict[str, Any]:
        """The set that mail of an identity is sent with which names none; absent: none."""
        caller, name = request.caller, request.params.get("ConfigurationSetName") or ""
        try:
            identity = identities.normalise(request.params["EmailIdentity"])
        except Invalid:
            identity = request.params["EmailIdentity"]

        async def body(tx: Transaction) -> None:
            await identities.get(tx, caller.account, caller.region, identity)
            if name:
                await configuration_sets.hold(tx, caller.account, caller.region, name)
            await identities.set_configuration_set(tx, caller.account, caller.region, identity, name)

        await self._db.run(body)
        return {}


# What is asked for


def _options(params: Params) -> Options:
    _refuse_smime(params)
    if (params.get("ArchivingOptions") or {}).get("ArchiveArn"):
        raise Invalid(ARCHIVING, kind="not-offered")
    reputation, sending = params.get("ReputationOptions") or {}, params.get("SendingOptions") or {}
    return Options(
        sending_enabled=sending.get("SendingEnabled", True),
        reputation_metrics=reputation.get("ReputationMetricsEnabled", False),
        fresh_start=reputation.get("LastFreshStart"),
        delivery=_delivery(params.get("DeliveryOptions") or {}),
        tracking=_tracking(params.get("TrackingOptions") or {}),
        suppression=_suppression(params.get("SuppressionOptions") or {}),
        vdm=_vdm(params.get("VdmOptions") or {}),
    )


def _refuse_smime(params: Params) -> None:
    scheme = (params.get("MessageSecurityOptions") or {}).get("SigningScheme") or {}
    if scheme.get("SmimeScheme") is not None:
        raise Invalid(SMIME, kind="not-offered")


def _delivery(given: Params) -> Delivery:
    return Delivery(
        given.get("TlsPolicy") or OPTIONAL, given.get("SendingPoolName") or "", given.get("MaxDeliverySeconds")
    )


def _tracking(given: Params) -> Tracking:
    """A policy alone is kept for the day there is a domain; SES has it for our own links too."""
    return Tracking(given.get("CustomRedirectDomain") or "", given.get("HttpsPolicy") or "")


def _suppression(given: Params) -> Suppression:
    reasons = given.get("SuppressedReasons")
    validation = validation_of(given.get("ValidationOptions"))
    return Suppression(
        None if reasons is None else tuple(reasons), given.get("SuppressionScope") or "", validation or ""
    )


def validation_of(given: Params | None) -> str | None:
    """The switch of validation before sending; None: not said.

    Raises:
        Invalid: it is to be on, which would have no effect.
    """
    if given is None:
        return None
    enabled = str(given["ConditionThreshold"]["ConditionThresholdEnabled"])
    if enabled == "ENABLED":
        raise Invalid("Validation of addresses before sending is not offered yet.", kind="not-offered")
    return enabled


def validation_shown(validation: str) -> dict[str, Any]:
    """The same switch as v2 tells it."""
    return {"ConditionThreshold": {"ConditionThresholdEnabled": validation}}


def _vdm(given: Params) -> Vdm:
    return Vdm(
        (given.get("DashboardOptions") or {}).get("EngagementMetrics", ""),
        (given.get("GuardianOptions") or {}).get("OptimizedSharedDelivery", ""),
    )


# What is answered


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in ("", None, {})}


def _described(found: ConfigurationSet, asked: Any) -> dict[str, Any]:
    """The attributes of v1 that were asked for."""
    options, answer = found.options, {}
    if "trackingOptions" in asked and options.tracking.redirect_domain:
        answer["TrackingOptions"] = {"CustomRedirectDomain": options.tracking.redirect_domain}
    if "deliveryOptions" in asked:
        answer["DeliveryOptions"] = {"TlsPolicy": V1_TLS[options.delivery.tls_policy]}
    if "reputationOptions" in asked:
        answer["ReputationOptions"] = _present(
            {
                "SendingEnabled": options.sending_enabled,
                "ReputationMetricsEnabled": options.reputation_metrics,
                "LastFreshStart": options.fresh_start,
            }
        )
    return answer


def _shown(found: ConfigurationSet) -> dict[str, Any]:
    """Every option group as v2 tells it; what was never set is absent."""
    options, delivery, suppression = found.options, found.options.delivery, found.options.suppression
    answer = _present(
        {
            "ConfigurationSetName": found.name,
            "TrackingOptions": _tracking_shown(options.tracking),
            "DeliveryOptions": _present(
                {
                    "TlsPolicy": delivery.tls_policy,
                    "SendingPoolName": delivery.sending_pool,
                    "MaxDeliverySeconds": delivery.max_delivery,
                }
            ),
            "ReputationOptions": _present(
                {"ReputationMetricsEnabled": options.reputation_metrics, "LastFreshStart": options.fresh_start}
            ),
            "SendingOptions": {"SendingEnabled": options.sending_enabled},
            "VdmOptions": _vdm_shown(options.vdm),
        }
    )
    shown_suppression = _present(
        {
            "SuppressedReasons": None if suppression.reasons is None else list(suppression.reasons),
            "SuppressionScope": suppression.scope,
            "ValidationOptions": validation_shown(suppression.validation) if suppression.validation else None,
        }
    )
    return {**answer, "SuppressionOptions": shown_suppression} if shown_suppression else answer


def _tracking_shown(tracking: Tracking) -> dict[str, Any]:
    return _present({"CustomRedirectDomain": tracking.redirect_domain, "HttpsPolicy": tracking.https_policy})


def _vdm_shown(vdm: Vdm) -> dict[str, Any]:
    return _present(
        {
            "DashboardOptions": _present({"EngagementMetrics": vdm.engagement_metrics}),
            "GuardianOptions": _present({"OptimizedSharedDelivery": vdm.shared_delivery}),
        }
    )
