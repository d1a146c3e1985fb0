"""Not offered: operations of Amazon's models that Mailstead has no handler for, each with its state and reason.

Handlers and this table together are exactly the operations of the models: whoever adds a handler takes its name out.
A call of one of these answers 400 ``UnsupportedOperation``, which no SDK retries.  ``NOT_YET`` is about those that do
have a handler: what they keep, and nothing comes of it so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """Will it come?"""

    PLANNED = "planned"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Absence:
    """Why an operation is not there."""

    state: State
    reason: str
    """A sentence for the caller and for the page of operations; empty for what is planned."""


PLANNED: dict[str, tuple[str, ...]] = {
    "ses": (
        # Sending
        "SendBounce",
        # Sending authorization
        "PutIdentityPolicy GetIdentityPolicies ListIdentityPolicies DeleteIdentityPolicy",
        # Receiving
        "CreateReceiptRuleSet CloneReceiptRuleSet DescribeReceiptRuleSet DescribeActiveReceiptRuleSet",
        "ListReceiptRuleSets SetActiveReceiptRuleSet ReorderReceiptRuleSet DeleteReceiptRuleSet",
        "CreateReceiptRule DescribeReceiptRule UpdateReceiptRule SetReceiptRulePosition DeleteReceiptRule",
        "CreateReceiptFilter ListReceiptFilters DeleteReceiptFilter",
    ),
    "sesv2": (
        # Identities
        "CreateEmailIdentityPolicy UpdateEmailIdentityPolicy GetEmailIdentityPolicies DeleteEmailIdentityPolicy",
    ),
    "sns": (
        # What is published is delivered, or not offered
        "Publish AddPermission RemovePermission",
    ),
}
"""Service: operations that will come, a few a line."""

_NO_CERTIFICATES = "S/MIME certificates are held by AWS Certificate Manager, a service of its own."

_NO_PANEL = "it tells where mail lands in a panel of mailboxes at large providers, which only Amazon's partner has."

DECLINED: dict[tuple[str, str], str] = {
    (
        "sesv2",
        "PutConfigurationSetArchivingOptions",
    ): "the archives of Amazon SES Mail Manager are a service of their own.",
    ("sesv2", "AssociateEmailIdentityCertificate"): _NO_CERTIFICATES,
    ("sesv2", "DisassociateEmailIdentityCertificate"): _NO_CERTIFICATES,
    ("sesv2", "ListEmailIdentityCertificates"): _NO_CERTIFICATES,
    ("sesv2", "PutDeliverabilityDashboardOption"): _NO_PANEL,
    ("sesv2", "GetDeliverabilityDashboardOptions"): _NO_PANEL,
    ("sesv2", "CreateDeliverabilityTestReport"): _NO_PANEL,
    ("sesv2", "GetDeliverabilityTestReport"): _NO_PANEL,
    ("sesv2", "ListDeliverabilityTestReports"): _NO_PANEL,
    ("sesv2", "GetDomainStatisticsReport"): _NO_PANEL,
    ("sesv2", "GetDomainDeliverabilityCampaign"): _NO_PANEL,
    ("sesv2", "ListDomainDeliverabilityCampaigns"): _NO_PANEL,
}
"""(service, operation): why it will not come."""

_ALONE = "Where it is for bounces and forwarding is off, `mailstead events list` alone tells of them."
_NO_TOPIC = f"the topic is kept and told of nothing. {_ALONE}"
_NOBODY_TOLD = f"the destination is kept and told of nothing. {_ALONE}"
_NO_PUBLISHING = "nothing is published to topics, so what is kept for that has no effect."
_NO_ASKING = "nobody is asked to confirm a subscription, and nothing is delivered."
_NO_HEADERS = "the switch is kept; nothing is published that could hold them."
_NO_LINKS = "the options are kept; links and opens are not tracked."
_NO_METRICS = "the switch is kept; no metrics are written."
_NO_INSIGHTS = "the options are kept; metrics and insights are gathered whatever they say."
_NO_SCALING = "a managed pool has the addresses that are put into it; it neither grows nor warms up by itself."
_NO_WARM_UP = "what is set is kept and told; nothing is paced by it, and no percentage grows by itself."
_NO_FAILOVER = (
    "mail that names it goes the way of the region it is sent in; SDKs sign such sends with SigV4A, which is refused."
)
_NO_BILL = "the plan is kept and told; nothing is billed."
_NO_GROUPS = "its options of tracking, reputation and insights are kept and have no effect."

NOT_YET: dict[tuple[str, str], str] = {
    ("ses", "SetIdentityNotificationTopic"): _NO_TOPIC,
    ("ses", "SetIdentityHeadersInNotificationsEnabled"): _NO_HEADERS,
    ("ses", "CreateConfigurationSetEventDestination"): _NOBODY_TOLD,
    ("ses", "UpdateConfigurationSetEventDestination"): _NOBODY_TOLD,
    ("ses", "CreateConfigurationSetTrackingOptions"): _NO_LINKS,
    ("ses", "UpdateConfigurationSetTrackingOptions"): _NO_LINKS,
    ("ses", "UpdateConfigurationSetReputationMetricsEnabled"): _NO_METRICS,
    ("sesv2", "PutAccountDedicatedIpWarmupAttributes"): _NO_WARM_UP,
    ("sesv2", "PutAccountVdmAttributes"): _NO_INSIGHTS,
    ("sesv2", "PutAccountPricingAttributes"): _NO_BILL,
    ("sesv2", "BatchGetMetricData"): "DELIVERY_OPEN, DELIVERY_CLICK and DELIVERY_COMPLAINT are not counted.",
    ("sesv2", "UpdateReputationEntityPolicy"): "the policy is kept and pauses nothing; nothing is found out yet.",
    ("sesv2", "CreateConfigurationSet"): _NO_GROUPS,
    ("sesv2", "CreateConfigurationSetEventDestination"): _NOBODY_TOLD,
    ("sesv2", "UpdateConfigurationSetEventDestination"): _NOBODY_TOLD,
    ("sesv2", "CreateExportJob"): "DELIVERY_OPEN, DELIVERY_CLICK and DELIVERY_COMPLAINT are not counted.",
    ("sesv2", "PutConfigurationSetReputationOptions"): _NO_METRICS,
    ("sesv2", "PutConfigurationSetTrackingOptions"): _NO_LINKS,
    ("sesv2", "PutConfigurationSetVdmOptions"): _NO_INSIGHTS,
    ("sesv2", "CreateDedicatedIpPool"): _NO_SCALING,
    ("sesv2", "PutDedicatedIpPoolScalingAttributes"): _NO_SCALING,
    ("sesv2", "PutDedicatedIpWarmupAttributes"): _NO_WARM_UP,
    ("sesv2", "CreateMultiRegionEndpoint"): _NO_FAILOVER,
    ("sns", "CreateTopic"): _NO_PUBLISHING,
    ("sns", "SetTopicAttributes"): _NO_PUBLISHING,
    ("sns", "Subscribe"): _NO_ASKING,
    ("sns", "ConfirmSubscription"): _NO_ASKING,
    ("sns", "SetSubscriptionAttributes"): _NO_ASKING,
}
"""(service, operation) that is offered: what does not come of its success yet, for the page of operations."""


def _table() -> dict[tuple[str, str], Absence]:
    planned = Absence(State.PLANNED, "")
    names = ((service, name) for service, lines in PLANNED.items() for line in lines for name in line.split())
    return dict.fromkeys(names, planned) | {key: Absence(State.DECLINED, reason) for key, reason in DECLINED.items()}


NOT_OFFERED = _table()


def text(service: str, operation: str) -> str:
    """What a caller of an absent operation is told."""
    absence = NOT_OFFERED.get((service, operation))
    if absence is not None and absence.state is State.DECLINED:
        return f"Mailstead does not offer {operation}: {absence.reason}"
    return f"Mailstead does not offer {operation} yet."
