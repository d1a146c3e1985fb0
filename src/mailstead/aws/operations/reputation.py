"""Reputation entities: what may send, and by whose word (v2 alone has them).  The only entities here are tenants.

Not done: nothing is found out about an entity yet, so none has an impact, and its policy switches nothing off.
"""

from __future__ import annotations

import re
from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SESV2, Handlers, Request, Services
from mailstead.aws.operations.tenants import check_status, page_of
from mailstead.base.errors import Invalid, NotFound
from mailstead.ses import tenants
from mailstead.ses.principals import Caller
from mailstead.ses.tenants import ENABLED, Tenant

HANDLED = frozenset(
    {
        (SESV2, "GetReputationEntity"),
        (SESV2, "ListReputationEntities"),
        (SESV2, "UpdateReputationEntityCustomerManagedStatus"),
        (SESV2, "UpdateReputationEntityPolicy"),
    }
)

RESOURCE = "RESOURCE"
CAUSE = "Status manually updated."  # (seen)
IMPACTS = ("LOW", "HIGH")

_POLICY = re.compile(r"arn:aws:ses:([a-z0-9-]{1,40}):aws:reputation-policy/([a-z]{1,20})")


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Entities(services)
    return {
        (SESV2, "GetReputationEntity"): operations.get,
        (SESV2, "ListReputationEntities"): operations.list_page,
        (SESV2, "UpdateReputationEntityCustomerManagedStatus"): operations.set_status,
        (SESV2, "UpdateReputationEntityPolicy"): operations.set_policy,
    }


class _Entities:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def get(self, request: Request) -> dict[str, Any]:
        caller, reference = request.caller, request.params["ReputationEntityReference"]
        key = _key(caller, reference)
        found = await self._db.read(lambda tx: tenants.by_id(tx, caller.account, caller.region, key))
        if found is None:
            raise NotFound(_missing(reference), kind="reputation-entity")
        return {"ReputationEntity": _shown(caller, found)}

    async def list_page(self, request: Request) -> dict[str, Any]:
        caller, wanted = request.caller, request.params.get("Filter") or {}
        status, reference = wanted.get("SENDING_STATUS", ""), wanted.get("ENTITY_REFERENCE_PREFIX", "")
        check_status(status)
        if wanted.get("ENTITY_TYPE", RESOURCE) != RESOURCE:
            raise Invalid(f"Invalid entity type {wanted['ENTITY_TYPE']} specified.", kind="reputation-entity")
        if wanted.get("REPUTATION_IMPACT", IMPACTS[0]) not in IMPACTS:
            raise Invalid(f"Invalid impact {wanted['REPUTATION_IMPACT']} specified.", kind="reputation-entity")
        belongs, after, size = page_of(request, status, reference, wanted.get("REPUTATION_IMPACT", ""))
        beginning = _beginning(caller, reference)
        if beginning is None or "REPUTATION_IMPACT" in wanted:  # nothing is known that has an impact
            return {"ReputationEntities": []}
        rows = await self._db.scan(
            lambda tx: tenants.list_page(
                tx, caller.account, caller.region, after=after, limit=size + 1, beginning=beginning, status=status
            )
        )
        answer = {"ReputationEntities": [_shown(caller, found) for found in rows[:size]]}
        return {**answer, **paging.following(belongs, rows, size, key=lambda found: found.name)}

    async def set_status(self, request: Request) -> dict[str, Any]:
        caller, reference = request.caller, request.params["ReputationEntityReference"]
        key, status = _key(caller, reference), request.params["SendingStatus"]
        there = await self._db.run(lambda tx: tenants.set_status(tx, caller.account, caller.region, key, status))
        return _changed(reference, there=there)

    async def set_policy(self, request: Request) -> dict[str, Any]:
        caller, reference = request.caller, request.params["ReputationEntityReference"]
        key, policy = _key(caller, reference), _policy(caller, request.params["ReputationEntityPolicy"])
        there = await self._db.run(lambda tx: tenants.set_policy(tx, caller.account, caller.region, key, policy))
        return _changed(reference, there=there)


def _missing(reference: str) -> str:
    """The text is ours."""
    return f"Reputation entity <{reference[:1024]}> does not exist."


def _changed(reference: str, *, there: bool) -> dict[str, Any]:
    if not there:  # changes do not declare NotFoundException
        raise Invalid(_missing(reference), kind="reputation-entity")
    return {}


def _own(caller: Caller) -> str:
    """What the references of the caller's entities begin with."""
    return f"arn:aws:ses:{caller.region}:{caller.account}:tenant/"


def _key(caller: Caller, reference: str) -> str:
    """The id of the tenant that a reference names; empty: it names none of the caller's."""
    own = _own(caller)
    return reference.rpartition("/")[2] if reference.startswith(own) else ""


def _beginning(caller: Caller, prefix: str) -> str | None:
    """What ``NAME/ID`` of those begins with whose reference begins with ``prefix``; None: none of the caller's does."""
    own = _own(caller)
    if own.startswith(prefix):
        return ""
    return prefix.removeprefix(own) if prefix.startswith(own) else None


def _policy_arn(caller: Caller, policy: str) -> str:
    return f"arn:aws:ses:{caller.region}:aws:reputation-policy/{policy}"


def _policy(caller: Caller, arn: str) -> str:
    """The policy that an ARN names.

    Raises:
        Invalid: it names none of this region (the text is ours).
    """
    match = _POLICY.fullmatch(arn)
    if match is None or match[1] != caller.region or match[2] not in tenants.POLICIES:
        raise Invalid(f"Invalid reputation policy <{arn[:1024]}>.", kind="reputation-entity")
    return match[2]


def _shown(caller: Caller, found: Tenant) -> dict[str, Any]:
    answer = {
        "ReputationEntityReference": tenants.arn_of(caller.region, caller.account, found),
        "ReputationEntityType": RESOURCE,
        "ReputationManagementPolicy": _policy_arn(caller, found.policy),
        "AwsSesManagedStatus": {"Status": ENABLED},
        "SendingStatusAggregate": found.sending_status,
    }
    if not found.status:
        return answer
    said = {"Status": found.status, "Cause": CAUSE, "LastUpdatedTimestamp": found.status_changed}
    return {**answer, "CustomerManagedStatus": said}
