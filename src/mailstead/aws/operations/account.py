"""Account: quota, statistics and state of the caller's account, and who the caller is."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any

from mailstead.aws.operations.configuration_sets import validation_of, validation_shown
from mailstead.aws.operations.services import SES, SESV2, STS, Handlers, Request, Services
from mailstead.ses import account as accounts
from mailstead.ses import account_options, quota, statistics
from mailstead.ses.account import SHUTDOWN, AccountRegion, Attributes, Details, Review
from mailstead.ses.account_options import DISABLED, ENABLED, AccountOptions, Vdm
from mailstead.ses.principals import ROOT, Caller
from mailstead.ses.quota import Quota
from mailstead.store.port import Transaction

HANDLED = frozenset(
    {
        (SES, "GetSendQuota"),
        (SES, "GetSendStatistics"),
        (SES, "GetAccountSendingEnabled"),
        (SES, "UpdateAccountSendingEnabled"),
        (SESV2, "GetAccount"),
        (SESV2, "PutAccountDetails"),
        (SESV2, "PutAccountPricingAttributes"),
        (SESV2, "PutAccountSendingAttributes"),
        (SESV2, "PutAccountSuppressionAttributes"),
        (SESV2, "PutAccountVdmAttributes"),
        (STS, "GetCallerIdentity"),
    }
)


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Account(services)
    return {
        (SES, "GetSendQuota"): operations.send_quota,
        (SES, "GetSendStatistics"): operations.send_statistics,
        (SES, "GetAccountSendingEnabled"): operations.sending_enabled,
        (SES, "UpdateAccountSendingEnabled"): operations.update_sending_enabled,
        (SESV2, "GetAccount"): operations.get_account,
        (SESV2, "PutAccountDetails"): operations.put_details,
        (SESV2, "PutAccountPricingAttributes"): operations.put_plan,
        (SESV2, "PutAccountSendingAttributes"): operations.put_sending,
        (SESV2, "PutAccountSuppressionAttributes"): operations.put_suppression,
        (SESV2, "PutAccountVdmAttributes"): operations.put_vdm,
        (STS, "GetCallerIdentity"): operations.caller_identity,
    }


def _quota(found: Quota) -> dict[str, Any]:
    return {
        "Max24HourSend": float(found.max_24h),
        "MaxSendRate": float(found.max_rate),
        "SentLast24Hours": float(found.sent_last_24h),
    }


class _Account:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db
        self._now = services.runtime.clock.now

    async def _read_quota(self, caller: Caller) -> Quota:
        return await self._db.read(lambda tx: quota.read(tx, caller.account, caller.region, self._now()))

    async def send_quota(self, request: Request) -> dict[str, Any]:
        await self._services.region_of(request.caller)
        return _quota(await self._read_quota(request.caller))

    async def send_statistics(self, request: Request) -> dict[str, Any]:
        caller = request.caller
        points = await self._db.scan(
            lambda tx: statistics.send_statistics(tx, caller.account, caller.region, self._now())
        )
        return {
            "SendDataPoints": [
                {
                    "Timestamp": point.timestamp,
                    "DeliveryAttempts": point.delivery_attempts,
                    "Bounces": point.bounces,
                    "Complaints": point.complaints,
                    "Rejects": point.rejects,
                }
                for point in points
            ]
        }

    async def sending_enabled(self, request: Request) -> dict[str, Any]:
        region = await self._services.region_of(request.caller)
        return {"Enabled": region.sending_enabled}

    async def update_sending_enabled(self, request: Request) -> None:
        await self._set_sending(request.caller, enabled=request.params.get("Enabled", False))

    async def put_sending(self, request: Request) -> dict[str, Any]:
        await self._set_sending(request.caller, enabled=request.params.get("SendingEnabled", False))
        return {}

    async def _set_sending(self, caller: Caller, *, enabled: bool) -> None:
        await self._services.region_of(caller)
        await self._db.run(lambda tx: accounts.set_sending(tx, caller.account, caller.region, enabled=enabled))

    async def put_suppression(self, request: Request) -> dict[str, Any]:
        caller, reasons = request.caller, request.params.get("SuppressedReasons")
        validation = validation_of(request.params.get("ValidationAttributes"))
        await self._services.region_of(caller)
        await self._db.run(
            lambda tx: accounts.set_suppression(
                tx, caller.account, caller.region, reasons=reasons, validation=validation
            )
        )
        return {}

    async def put_vdm(self, request: Request) -> dict[str, Any]:
        caller, given = request.caller, request.params["VdmAttributes"]
        vdm = Vdm(
            given["VdmEnabled"] == ENABLED,
            (given.get("DashboardAttributes") or {}).get("EngagementMetrics", DISABLED),
            (given.get("GuardianAttributes") or {}).get("OptimizedSharedDelivery", DISABLED),
        )
        await self._services.region_of(caller)
        await self._db.run(lambda tx: account_options.set_vdm(tx, caller.account, caller.region, vdm))
        return {}

    async def put_plan(self, request: Request) -> dict[str, Any]:
        caller, plan = request.caller, request.params["Plan"]
        await self._services.region_of(caller)
        await self._db.run(lambda tx: account_options.set_plan(tx, caller.account, caller.region, plan))
        return {}

    async def put_details(self, request: Request) -> dict[str, Any]:
        """The operator answers a request with ``account review``."""
        caller, params = request.caller, request.params
        details = Details(
            params["MailType"],
            params["WebsiteURL"],
            params.get("ContactLanguage", ""),
            params.get("UseCaseDescription", ""),
            tuple(params.get("AdditionalContactEmailAddresses") or ()),
        )
        asks = params.get("ProductionAccessEnabled", True)
        await self._services.region_of(caller)
        await self._db.run(lambda tx: accounts.set_details(tx, caller.account, caller.region, details, request=asks))
        return {}

    async def get_account(self, request: Request) -> dict[str, Any]:
        caller, region = request.caller, await self._services.region_of(request.caller)

        async def look(tx: Transaction) -> dict[str, Any]:
            account = await accounts.get(tx, region.account)
            kept = await accounts.attributes(tx, caller.account, caller.region)
            review = await accounts.review_of(tx, caller.account, caller.region)
            chosen = await account_options.get(tx, caller.account, caller.region)
            return {**_shown(region, kept, review, closed=account.closed), **_chosen(chosen)}

        return {**await self._db.read(look), "SendQuota": _quota(await self._read_quota(caller))}

    async def caller_identity(self, request: Request) -> dict[str, Any]:
        caller = request.caller
        return {"UserId": _user_id(caller), "Account": caller.account, "Arn": caller.arn}


def _shown(region: AccountRegion, kept: Attributes, review: Review | None, *, closed: bool) -> dict[str, Any]:
    suppression: dict[str, Any] = {"SuppressedReasons": list(kept.suppressed_reasons)}
    if kept.validation:
        suppression["ValidationAttributes"] = validation_shown(kept.validation)
    answer = {
        "EnforcementStatus": SHUTDOWN if closed else region.enforcement,
        "ProductionAccessEnabled": region.production_access,
        "SendingEnabled": region.sending_enabled,
        "SuppressionAttributes": suppression,
    }
    return answer if review is None else {**answer, "Details": _details(review)}


def _chosen(options: AccountOptions) -> dict[str, Any]:
    """What the account has chosen; where it never said anything SES leaves the member out."""
    answer: dict[str, Any] = {"DedicatedIpAutoWarmupEnabled": options.auto_warmup}
    if options.vdm is not None:
        answer["VdmAttributes"] = _vdm_shown(options.vdm)
    if options.plan is not None:
        coming = {"NextPlan": options.plan.coming} if options.plan.coming else {}
        answer["PricingAttributes"] = {"CurrentPlan": options.plan.current, **coming}
    return answer


def _vdm_shown(vdm: Vdm) -> dict[str, Any]:
    """The switches below the first one are told only while that is on."""
    if not vdm.enabled:
        return {"VdmEnabled": DISABLED}
    return {
        "VdmEnabled": ENABLED,
        "DashboardAttributes": {"EngagementMetrics": vdm.engagement_metrics},
        "GuardianAttributes": {"OptimizedSharedDelivery": vdm.shared_delivery},
    }


def _details(review: Review) -> dict[str, Any]:
    told = review.details
    members: dict[str, Any] = {
        "MailType": told.mail_type,
        "WebsiteURL": told.website,
        "ContactLanguage": told.language,
        "UseCaseDescription": told.use_case,
        "AdditionalContactEmailAddresses": list(told.contacts),
    }
    if review.status:
        members["ReviewDetails"] = {"Status": review.status, "CaseId": review.case}
    return {name: value for name, value in members.items() if value}


def _user_id(caller: Caller) -> str:
    """The account for its root, else an id in the form of IAM's that stays the same."""
    if caller.name == ROOT:
        return caller.account
    return "AIDA" + base64.b32encode(sha256(caller.arn.encode()).digest()).decode()[:17]
