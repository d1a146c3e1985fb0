"""Account: quota, statistics and state of the caller's account, and who the caller is."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any

from mailstead.aws.operations.services import SES, SESV2, STS, Handlers, Request, Services
from mailstead.ses import account as accounts
from mailstead.ses import quota, statistics
from mailstead.ses.account import SHUTDOWN
from mailstead.ses.principals import ROOT, Caller
from mailstead.ses.quota import Quota

HANDLED = frozenset(
    {
        (SES, "GetSendQuota"),
        (SES, "GetSendStatistics"),
        (SESV2, "GetAccount"),
        (STS, "GetCallerIdentity"),
    }
)


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Account(services)
    return {
        (SES, "GetSendQuota"): operations.send_quota,
        (SES, "GetSendStatistics"): operations.send_statistics,
        (SESV2, "GetAccount"): operations.get_account,
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

    async def get_account(self, request: Request) -> dict[str, Any]:
        region = await self._services.region_of(request.caller)
        account = await self._db.read(lambda tx: accounts.get(tx, region.account))
        return {
            "DedicatedIpAutoWarmupEnabled": False,
            "EnforcementStatus": SHUTDOWN if account.closed else region.enforcement,
            "ProductionAccessEnabled": region.production_access,
            "SendQuota": _quota(await self._read_quota(request.caller)),
            "SendingEnabled": region.sending_enabled,
            "SuppressionAttributes": {"SuppressedReasons": []},
            "VdmAttributes": {"VdmEnabled": "DISABLED"},
        }

    async def caller_identity(self, request: Request) -> dict[str, Any]:
        caller = request.caller
        return {"UserId": _user_id(caller), "Account": caller.account, "Arn": caller.arn}


def _user_id(caller: Caller) -> str:
    """The account for its root, else an id in the form of IAM's that stays the same."""
    if caller.name == ROOT:
        return caller.account
    return "AIDA" + base64.b32encode(sha256(caller.arn.encode()).digest()).decode()[:17]
