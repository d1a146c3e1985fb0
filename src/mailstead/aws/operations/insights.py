"""Metrics of an account's mail, what became of one message, what is known of an address (v2 alone has them)."""

from __future__ import annotations

from typing import Any

from mailstead.aws.operations.services import SESV2, Handlers, Params, Request, Services
from mailstead.base.errors import Invalid
from mailstead.ses import address_insights, events, insights, metrics
from mailstead.ses.insights import Insights, Story, Told
from mailstead.ses.metrics import Query

HANDLED = frozenset({(SESV2, "BatchGetMetricData"), (SESV2, "GetMessageInsights"), (SESV2, "GetEmailAddressInsights")})

MAX_SUBJECT, MAX_ADDRESS = 998, 320


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Insights(services)
    return {
        (SESV2, "BatchGetMetricData"): operations.metric_data,
        (SESV2, "GetMessageInsights"): operations.of_message,
        (SESV2, "GetEmailAddressInsights"): operations.of_address,
    }


class _Insights:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db
        self._dns = services.runtime.dns

    async def metric_data(self, request: Request) -> dict[str, Any]:
        caller, given = request.caller, request.params["Queries"]
        asked = [(one["Id"], _query(one)) for one in given if one["Metric"] in metrics.OFFERED]
        queries = [query for _, query in asked]
        figures = await self._db.scan(lambda tx: metrics.read(tx, caller.account, caller.region, queries))
        results = [
            {"Id": name, "Timestamps": list(by_day), "Values": list(by_day.values())}
            for (name, _), by_day in zip(asked, figures, strict=True)
        ]
        return {"Results": results, "Errors": [_absent(one) for one in given if one["Metric"] not in metrics.OFFERED]}

    async def of_message(self, request: Request) -> dict[str, Any]:
        caller, message = request.caller, request.params["MessageId"]
        found = await self._db.scan(lambda tx: insights.of_message(tx, caller.account, caller.region, message))
        return _shown(found)

    async def of_address(self, request: Request) -> dict[str, Any]:
        caller, address = request.caller, request.params["EmailAddress"]
        own = await self._db.read(lambda tx: address_insights.known(tx, caller.account, caller.region, address))
        found = await address_insights.look(self._dns, address, own)
        evaluations = {
            "HasValidSyntax": found.syntax,
            "HasValidDnsRecords": found.dns,
            "MailboxExists": found.mailbox,
            "IsRoleAddress": found.role,
            "IsDisposable": found.disposable,
            "IsRandomInput": found.random,
        }
        verdicts = {name: {"ConfidenceVerdict": verdict} for name, verdict in evaluations.items()}
        return {"MailboxValidation": {"IsValid": {"ConfidenceVerdict": found.valid}, "Evaluations": verdicts}}


def _query(given: Params) -> Query:
    dimensions = given.get("Dimensions") or {}
    for name, value in dimensions.items():
        if not value:
            raise Invalid(f"Invalid value of the dimension {name}.", kind="metrics")
    return Query(given["Metric"], given["StartDate"], given["EndDate"], tuple(dimensions.items()))


def _absent(given: Params) -> dict[str, str]:
    text = f"Mailstead does not count {given['Metric']} yet."
    return {"Id": given["Id"], "Code": "INTERNAL_FAILURE", "Message": text}


def _shown(found: Insights) -> dict[str, Any]:
    tags = [{"Name": name, "Value": value} for name, values in found.mail["tags"].items() for value in values]
    answer = {
        "MessageId": found.message,
        "FromEmailAddress": found.mail["source"][:MAX_ADDRESS],
        "EmailTags": tags,
        "Insights": [_story(story) for story in found.stories],
    }
    return {**answer, "Subject": found.subject[:MAX_SUBJECT]} if found.subject else answer


def _story(story: Story) -> dict[str, Any]:
    told = [_event(one) for one in story.told]
    return {"Destination": story.recipient[:MAX_ADDRESS], "Isp": story.isp, "Events": told}


def _event(told: Told) -> dict[str, Any]:
    answer = {"Timestamp": told.at, "Type": told.type}
    if told.type == insights.TYPE[events.BOUNCE]:
        bounce = {
            "BounceType": told.detail["bounceType"].upper(),
            "BounceSubType": told.detail["bounceSubType"],
            "DiagnosticCode": told.diagnostic,
        }
        return {**answer, "Details": {"Bounce": {name: value for name, value in bounce.items() if value}}}
    if told.type == insights.TYPE[events.COMPLAINT]:
        complaint = {
            "ComplaintSubType": told.detail.get("complaintSubType"),
            "ComplaintFeedbackType": told.detail.get("complaintFeedbackType"),
        }
        return {**answer, "Details": {"Complaint": {name: value for name, value in complaint.items() if value}}}
    return answer
