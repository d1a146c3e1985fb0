"""Not offered: operations of Amazon's models that Mailstead has no handler for, each with its state and reason.

Handlers and this table together are exactly the operations of the models: whoever adds a handler takes its name out.
A call of one of these answers 400 ``UnsupportedOperation``, which no SDK retries.
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
        "SendBounce SendCustomVerificationEmail",
        # Sending authorization
        "PutIdentityPolicy GetIdentityPolicies ListIdentityPolicies DeleteIdentityPolicy",
        # Templates
        "CreateCustomVerificationEmailTemplate GetCustomVerificationEmailTemplate",
        "UpdateCustomVerificationEmailTemplate DeleteCustomVerificationEmailTemplate",
        "ListCustomVerificationEmailTemplates",
        # Receiving
        "CreateReceiptRuleSet CloneReceiptRuleSet DescribeReceiptRuleSet DescribeActiveReceiptRuleSet",
        "ListReceiptRuleSets SetActiveReceiptRuleSet ReorderReceiptRuleSet DeleteReceiptRuleSet",
        "CreateReceiptRule DescribeReceiptRule UpdateReceiptRule SetReceiptRulePosition DeleteReceiptRule",
        "CreateReceiptFilter ListReceiptFilters DeleteReceiptFilter",
    ),
    "sesv2": (
        # Sending
        "SendCustomVerificationEmail",
        # Account
        "PutAccountDedicatedIpWarmupAttributes PutAccountVdmAttributes PutAccountPricingAttributes",
        # Identities
        "CreateEmailIdentityPolicy UpdateEmailIdentityPolicy GetEmailIdentityPolicies DeleteEmailIdentityPolicy",
        "AssociateEmailIdentityCertificate DisassociateEmailIdentityCertificate ListEmailIdentityCertificates",
        # Templates
        "CreateCustomVerificationEmailTemplate GetCustomVerificationEmailTemplate",
        "ListCustomVerificationEmailTemplates UpdateCustomVerificationEmailTemplate",
        "DeleteCustomVerificationEmailTemplate",
        # Contact lists
        "CreateContactList GetContactList ListContactLists UpdateContactList DeleteContactList",
        "CreateContact GetContact ListContacts UpdateContact DeleteContact",
        # Jobs
        "CreateImportJob GetImportJob ListImportJobs CreateExportJob GetExportJob ListExportJobs CancelExportJob",
        # Dedicated addresses
        "CreateDedicatedIpPool GetDedicatedIpPool ListDedicatedIpPools DeleteDedicatedIpPool",
        "PutDedicatedIpPoolScalingAttributes GetDedicatedIp GetDedicatedIps PutDedicatedIpInPool",
        "PutDedicatedIpWarmupAttributes",
        # Deliverability dashboard
        "PutDeliverabilityDashboardOption GetDeliverabilityDashboardOptions CreateDeliverabilityTestReport",
        "GetDeliverabilityTestReport ListDeliverabilityTestReports GetBlacklistReports GetDomainStatisticsReport",
        "GetDomainDeliverabilityCampaign ListDomainDeliverabilityCampaigns",
        # Insights and reputation
        "BatchGetMetricData GetMessageInsights ListRecommendations GetEmailAddressInsights",
        "GetReputationEntity ListReputationEntities UpdateReputationEntityCustomerManagedStatus",
        "UpdateReputationEntityPolicy",
        # Tenants
        "CreateTenant GetTenant ListTenants DeleteTenant CreateTenantResourceAssociation",
        "DeleteTenantResourceAssociation ListTenantResources ListResourceTenants PutTenantSuppressionAttributes",
        # Multi-region endpoints
        "CreateMultiRegionEndpoint GetMultiRegionEndpoint ListMultiRegionEndpoints DeleteMultiRegionEndpoint",
    ),
}
"""Service: operations that will come, a few a line."""

DECLINED: dict[tuple[str, str], str] = {
    (
        "sesv2",
        "PutConfigurationSetArchivingOptions",
    ): "the archives of Amazon SES Mail Manager are a service of their own.",
}
"""(service, operation): why it will not come."""


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
