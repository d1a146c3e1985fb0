"""Tags: key and value on anything that has an ARN (v2 alone has them)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mailstead.aws.operations.services import SESV2, Handlers, Params, Request, Services
from mailstead.ses import tags
from mailstead.store.port import Transaction

HANDLED = frozenset(
    {
        (SESV2, "TagResource"),
        (SESV2, "UntagResource"),
        (SESV2, "ListTagsForResource"),
    }
)


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Tags(services)
    return {
        (SESV2, "TagResource"): operations.tag,
        (SESV2, "UntagResource"): operations.untag,
        (SESV2, "ListTagsForResource"): operations.list_tags,
    }


def pairs_of(given: Iterable[Params] | None) -> dict[str, str]:
    """The ``Tags`` of a call.

    Raises:
        Invalid: one of them may not be so.
    """
    return tags.check((tag["Key"], tag["Value"]) for tag in given or ())


def shown(found: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as an answer tells them."""
    return [{"Key": key, "Value": value} for key, value in found.items()]


class _Tags:
    def __init__(self, services: Services) -> None:
        self._db = services.runtime.db

    async def tag(self, request: Request) -> dict[str, Any]:
        caller, arn, given = request.caller, request.params["ResourceArn"], pairs_of(request.params["Tags"])

        async def body(tx: Transaction) -> None:
            resource = await tags.by_arn(tx, caller.account, caller.region, arn, hold=True)
            await tags.put(tx, caller.account, caller.region, resource, given)

        await self._db.run(body)
        return {}

    async def untag(self, request: Request) -> dict[str, Any]:
        caller, arn, keys = request.caller, request.params["ResourceArn"], request.params["TagKeys"]

        async def body(tx: Transaction) -> None:
            resource = await tags.by_arn(tx, caller.account, caller.region, arn, hold=True)
            await tags.remove(tx, caller.account, caller.region, resource, keys)

        await self._db.run(body)
        return {}

    async def list_tags(self, request: Request) -> dict[str, Any]:
        caller, arn = request.caller, request.params["ResourceArn"]

        async def look(tx: Transaction) -> dict[str, str]:
            resource = await tags.by_arn(tx, caller.account, caller.region, arn)
            return await tags.of(tx, caller.account, caller.region, resource)

        return {"Tags": shown(await self._db.read(look))}
