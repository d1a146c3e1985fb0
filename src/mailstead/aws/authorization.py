"""Authorization: what an operation is about, as policies name it (AWS's service authorization reference for SES).

Sends are not asked for here: who they are from and to shows only when the message is read (outbound/admission.py).
Operations of v1 but those are about no resource in particular.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mailstead.ses import permissions
from mailstead.ses.permissions import Asked
from mailstead.ses.principals import Caller

SENDS = frozenset(
    {
        ("ses", "SendEmail"),
        ("ses", "SendRawEmail"),
        ("ses", "SendTemplatedEmail"),
        ("ses", "SendBulkTemplatedEmail"),
        ("sesv2", "SendEmail"),
        ("sesv2", "SendBulkEmail"),
    }
)

_CUSTOM = "CustomVerificationEmail"
_NOTHING_YET = frozenset({"CreateConfigurationSet", "CreateDedicatedIpPool"})
"""What is about to be made has no ARN to be allowed by."""

# Member of an operation's input: the type of the resource that it names. The first that is there.
_NAMED = (
    ("EmailIdentity", "identity"),
    ("ContactListName", "contact-list"),
    ("TemplateName", "template"),
    ("PoolName", "dedicated-ip-pool"),
    ("DestinationPoolName", "dedicated-ip-pool"),
    ("EndpointName", "multi-region-endpoint"),
    ("ReportId", "deliverability-test-report"),
    ("ConfigurationSetName", "configuration-set"),
)


def check(service: str, operation: str, params: Mapping[str, Any], caller: Caller, now: int) -> None:
    """May the caller call this?

    Raises:
        Denied: it may not.
    """
    if not caller.policy or service == "sts" or (service, operation) in SENDS:
        return
    facts: dict[str, Sequence[str]] = {"ses:apiversion": ["2" if service == "sesv2" else "1"]}
    tags = params.get("Tags") or ()
    facts |= {f"aws:requesttag/{tag['Key'].lower()}": [tag.get("Value", "")] for tag in tags if "Key" in tag}
    keys = [tag["Key"] for tag in tags if "Key" in tag] or params.get("TagKeys") or ()
    facts["aws:tagkeys"] = list(keys)
    resource = resource_of(service, operation, params, caller)
    asked = Asked(caller, operation, facts, now, "sns" if service == "sns" else "ses")
    permissions.check_call(asked, resource)


def resource_of(service: str, operation: str, params: Mapping[str, Any], caller: Caller) -> str:
    """The ARN of what the operation is about, or ``*``."""
    if service == "sns":
        return _topic(params, caller)
    if service != "sesv2" or operation in _NOTHING_YET:
        return permissions.EVERYTHING
    if params.get("ResourceArn"):
        return str(params["ResourceArn"])
    for member, kind in _NAMED:
        if params.get(member):
            own = f"custom-verification-email-{kind}" if kind == "template" and _CUSTOM in operation else kind
            return f"arn:aws:ses:{caller.region}:{caller.account}:{own}/{params[member]}"
    if params.get("JobId"):
        kind = "import-job" if "Import" in operation else "export-job"
        return f"arn:aws:ses:{caller.region}:{caller.account}:{kind}/{params['JobId']}"
    return permissions.EVERYTHING


def _topic(params: Mapping[str, Any], caller: Caller) -> str:
    """The ARN of the topic that an operation of SNS is about: policies name no subscriptions."""
    if params.get("Name"):
        return f"arn:aws:sns:{caller.region}:{caller.account}:{params['Name']}"
    if params.get("SubscriptionArn"):
        return str(params["SubscriptionArn"]).rpartition(":")[0] or permissions.EVERYTHING
    return str(params.get("TopicArn") or params.get("ResourceArn") or permissions.EVERYTHING)
