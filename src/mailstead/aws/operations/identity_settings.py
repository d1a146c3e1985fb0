"""Identity settings: DKIM, custom MAIL FROM, feedback; v1 and v2 side by side on one store.

Not offered: Deterministic Easy DKIM. Topics are stored; publishing to them comes with "Sending well".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mailstead.aws.operations.identities import DETERMINISTIC, V1_STATUS, asked_for, known_form
from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.base.errors import Conflict, Invalid, NotFound
from mailstead.ses import dkim_changes, dkim_keys, identities, mail_from, notifications, verification
from mailstead.ses.dkim_changes import Coming
from mailstead.ses.identities import DOMAIN, EASY_DKIM, OWN_KEY, Identity
from mailstead.ses.notifications import Notifications
from mailstead.ses.principals import Caller
from mailstead.store.port import Transaction

HANDLED = frozenset(
    {
        (SES, "GetIdentityDkimAttributes"),
        (SES, "SetIdentityDkimEnabled"),
        (SES, "GetIdentityMailFromDomainAttributes"),
        (SES, "SetIdentityMailFromDomain"),
        (SES, "GetIdentityNotificationAttributes"),
        (SES, "SetIdentityNotificationTopic"),
        (SES, "SetIdentityFeedbackForwardingEnabled"),
        (SES, "SetIdentityHeadersInNotificationsEnabled"),
        (SESV2, "PutEmailIdentityDkimAttributes"),
        (SESV2, "PutEmailIdentityDkimSigningAttributes"),
        (SESV2, "PutEmailIdentityMailFromAttributes"),
        (SESV2, "PutEmailIdentityFeedbackAttributes"),
    }
)

V1_ON_FAILURE = {"UseDefaultValue": mail_from.USE_DEFAULT, "RejectMessage": mail_from.REJECT}
_ON_FAILURE_IN_V1 = {v2: v1 for v1, v2 in V1_ON_FAILURE.items()}

Change = Callable[[Transaction, Identity], Awaitable[None]]


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Settings(services)
    return {
        (SES, "GetIdentityDkimAttributes"): operations.dkim_v1,
        (SES, "SetIdentityDkimEnabled"): operations.set_dkim_enabled_v1,
        (SES, "GetIdentityMailFromDomainAttributes"): operations.mail_from_v1,
        (SES, "SetIdentityMailFromDomain"): operations.set_mail_from_v1,
        (SES, "GetIdentityNotificationAttributes"): operations.notifications_v1,
        (SES, "SetIdentityNotificationTopic"): operations.set_topic,
        (SES, "SetIdentityFeedbackForwardingEnabled"): operations.set_forwarding_v1,
        (SES, "SetIdentityHeadersInNotificationsEnabled"): operations.set_headers,
        (SESV2, "PutEmailIdentityDkimAttributes"): operations.put_dkim_v2,
        (SESV2, "PutEmailIdentityDkimSigningAttributes"): operations.put_dkim_signing,
        (SESV2, "PutEmailIdentityMailFromAttributes"): operations.put_mail_from_v2,
        (SESV2, "PutEmailIdentityFeedbackAttributes"): operations.put_feedback_v2,
    }


class _Settings:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db
        self._vault = services.runtime.vault
        self._auto = services.auto_verify

    # Both

    async def _change(self, caller: Caller, given: str, change: Change, *, v1: bool = False) -> Identity:
        """Change an identity while nobody else does; as it is then.

        Raises:
            NotFound: there is none, in the words of the API.
        """
        name = known_form(given)

        async def body(tx: Transaction) -> Identity:
            found = await identities.hold(tx, caller.account, caller.region, name)
            if found is None:
                v1_text, v2_text = f"Identity {given} is not verified or does", f"Email identity {name} does"
                raise NotFound(f"{v1_text if v1 else v2_text} not exist.", kind="identity")
            await change(tx, found)
            return await identities.get(tx, caller.account, caller.region, name)

        return await self._db.run(body)

    async def _watch(self, tx: Transaction, found: Identity) -> None:
        if not self._auto:
            await verification.watch(tx, found.account, found.region, found.name)

    async def _each(self, request: Request, shown: Callable[[Transaction, Identity], Awaitable[Any]]) -> dict[str, Any]:
        """An entry for each identity that was asked for and is there."""
        names, caller = asked_for(request), request.caller

        async def look(tx: Transaction) -> dict[str, Any]:
            entries = {}
            for given, name in names.items():
                found = await identities.find(tx, caller.account, caller.region, name)
                if found is not None:
                    entries[given] = await shown(tx, found)
            return entries

        return await self._db.read(look)

    # DKIM

    async def dkim_v1(self, request: Request) -> dict[str, Any]:
        return {"DkimAttributes": await self._each(request, _dkim_v1)}

    async def set_dkim_enabled_v1(self, request: Request) -> dict[str, Any]:
        enabled = request.params["DkimEnabled"]
        await self._change(request.caller, request.params["Identity"], _enable(enabled=enabled), v1=True)
        return {}

    async def put_dkim_v2(self, request: Request) -> dict[str, Any]:
        enabled = request.params.get("SigningEnabled", False)
        await self._change(request.caller, request.params["EmailIdentity"], _enable(enabled=enabled))
        return {}

    async def put_dkim_signing(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, known_form(request.params["EmailIdentity"])
        origin, asked = request.params["SigningAttributesOrigin"], request.params.get("SigningAttributes") or {}

        async def look(tx: Transaction) -> tuple[Identity, Coming, str]:
            found = await identities.get(tx, caller.account, caller.region, name)
            keys = await dkim_keys.active(tx, caller.account, caller.region, name)
            return found, await dkim_changes.coming(tx, found), keys[0].selector if keys else ""

        found, coming, selector = await self._db.read(look)
        if found.kind != DOMAIN:
            raise Invalid("DKIM signing attributes can only be given for a domain.", kind="identity")
        if origin not in (EASY_DKIM, OWN_KEY):
            raise Invalid(DETERMINISTIC, kind="not-offered")
        if origin == OWN_KEY:
            change = await self._own_key(found, asked)
        elif found.dkim_origin == EASY_DKIM and found.dkim_tokens:
            change = await self._rotation(found, coming, selector, _length(asked))
        else:
            change = await self._easy_dkim(found, _length(asked) or "RSA_2048_BIT")

        async def guarded(tx: Transaction, held: Identity) -> None:
            if (held.dkim_origin, held.dkim_tokens) != (found.dkim_origin, found.dkim_tokens):
                raise Conflict(f"Email identity {name} was changed at the same moment.", kind="concurrent")
            await change(tx, held)
            await self._watch(tx, held)

        now = await self._change(caller, name, guarded)
        answer: dict[str, Any] = {"DkimStatus": now.dkim_status, "DkimTokens": list(now.dkim_tokens)}
        return answer | {"SigningHostedZone": self._services.zone} if origin == EASY_DKIM else answer

    async def _own_key(self, found: Identity, asked: Params) -> Change:
        selector, private = asked.get("DomainSigningSelector"), asked.get("DomainSigningPrivateKey")
        if selector is None or private is None:
            raise Invalid("DomainSigningSelector and DomainSigningPrivateKey must be given together.", kind="identity")
        place = (found.account, found.region, found.name)
        setup = await asyncio.to_thread(identities.own_key, self._vault, *place, selector=selector, private=private)

        async def change(tx: Transaction, held: Identity) -> None:
            known = {(key.selector, key.public) for key in await dkim_keys.list_keys(tx, *place)}
            if held.dkim_tokens == (selector,) and (selector, setup.key.public) in known:
                await dkim_changes.restart(tx, held)  # as it is: nothing to switch
            else:
                await dkim_changes.switch(tx, held, setup, verified=self._auto)

        return change

    async def _easy_dkim(self, found: Identity, key_length: str) -> Change:
        place = (found.account, found.region, found.name)
        setup = await asyncio.to_thread(identities.easy_dkim, self._vault, *place, key_length=key_length)

        async def change(tx: Transaction, held: Identity) -> None:
            await dkim_changes.switch(tx, held, setup, verified=self._auto)

        return change

    async def _rotation(self, found: Identity, coming: Coming, selector: str, key_length: str) -> Change:
        if not key_length:
            return dkim_changes.restart
        dkim_changes.check_rotation(found, coming, key_length, self._services.runtime.clock.now())
        place = (found.account, found.region, found.name)
        token, bits = dkim_changes.next_token(found, selector), dkim_keys.BITS[key_length]
        key = await asyncio.to_thread(dkim_keys.generate, self._vault, *place, selector=token, bits=bits)

        async def change(tx: Transaction, held: Identity) -> None:
            dkim_changes.check_rotation(held, await dkim_changes.coming(tx, held), key_length, tx.now())
            await dkim_changes.rotate(tx, held, key, key_length, verified=self._auto)

        return change

    # Custom MAIL FROM

    async def mail_from_v1(self, request: Request) -> dict[str, Any]:
        return {"MailFromDomainAttributes": await self._each(request, _mail_from_v1)}

    async def set_mail_from_v1(self, request: Request) -> dict[str, Any]:
        params = request.params
        on_failure = V1_ON_FAILURE[params.get("BehaviorOnMXFailure") or "UseDefaultValue"]
        change = self._mail_from(params.get("MailFromDomain") or "", on_failure)
        await self._change(request.caller, params["Identity"], change, v1=True)
        return {}

    async def put_mail_from_v2(self, request: Request) -> dict[str, Any]:
        params = request.params
        on_failure = params.get("BehaviorOnMxFailure") or mail_from.USE_DEFAULT
        change = self._mail_from(params.get("MailFromDomain") or "", on_failure)
        await self._change(request.caller, params["EmailIdentity"], change)
        return {}

    def _mail_from(self, given: str, on_failure: str) -> Change:
        async def change(tx: Transaction, held: Identity) -> None:
            domain = mail_from.check(held.name, given) if given else ""
            await mail_from.put(tx, held, domain, on_failure=on_failure, verified=self._auto)
            if domain:
                await self._watch(tx, held)

        return change

    # Feedback

    async def notifications_v1(self, request: Request) -> dict[str, Any]:
        return {"NotificationAttributes": await self._each(request, _notifications_v1)}

    async def set_topic(self, request: Request) -> dict[str, Any]:
        kind, topic = request.params["NotificationType"], request.params.get("SnsTopic") or ""
        notifications.column(kind)

        async def change(tx: Transaction, held: Identity) -> None:
            await notifications.set_topic(tx, held.account, held.region, held.name, kind=kind, topic=topic)

        await self._change(request.caller, request.params["Identity"], change, v1=True)
        return {}

    async def set_headers(self, request: Request) -> dict[str, Any]:
        kind, enabled = request.params["NotificationType"], request.params["Enabled"]
        notifications.column(kind)

        async def change(tx: Transaction, held: Identity) -> None:
            await notifications.set_headers(tx, held.account, held.region, held.name, kind=kind, enabled=enabled)

        await self._change(request.caller, request.params["Identity"], change, v1=True)
        return {}

    async def set_forwarding_v1(self, request: Request) -> dict[str, Any]:
        change = _forward(enabled=request.params["ForwardingEnabled"])
        await self._change(request.caller, request.params["Identity"], change, v1=True)
        return {}

    async def put_feedback_v2(self, request: Request) -> dict[str, Any]:
        change = _forward(enabled=request.params.get("EmailForwardingEnabled", False))
        await self._change(request.caller, request.params["EmailIdentity"], change)
        return {}


def _enable(*, enabled: bool) -> Change:
    async def change(tx: Transaction, held: Identity) -> None:
        await dkim_changes.set_enabled(tx, held, enabled=enabled)

    return change


def _forward(*, enabled: bool) -> Change:
    async def change(tx: Transaction, held: Identity) -> None:
        await identities.set_forwarding(tx, held.account, held.region, held.name, enabled=enabled)

    return change


def _length(asked: Params) -> str:
    """The key length that Easy DKIM is to have; empty: nothing is said.

    Raises:
        Invalid: a key is given, which Easy DKIM has of its own.
    """
    if asked.get("DomainSigningSelector") is not None or asked.get("DomainSigningPrivateKey") is not None:
        raise Invalid(
            "DomainSigningSelector and DomainSigningPrivateKey can only be given with the origin EXTERNAL.",
            kind="identity",
        )
    return str(asked.get("NextSigningKeyLength") or "")


async def _dkim_v1(tx: Transaction, found: Identity) -> dict[str, Any]:
    signer = found if found.kind == DOMAIN else await dkim_changes.parent(tx, found)
    if signer is None:
        return {"DkimEnabled": False, "DkimVerificationStatus": "NotStarted"}
    answer: dict[str, Any] = {
        "DkimEnabled": signer.dkim_enabled and not found.dkim_off,
        "DkimVerificationStatus": V1_STATUS[signer.dkim_status],
    }
    return answer | {"DkimTokens": list(signer.dkim_tokens)} if signer.dkim_origin == EASY_DKIM else answer


async def _mail_from_v1(tx: Transaction, found: Identity) -> dict[str, Any]:
    answer = {"BehaviorOnMXFailure": _ON_FAILURE_IN_V1[found.mail_from_on_failure]}
    if not found.mail_from_domain:
        return answer
    status = V1_STATUS[found.mail_from_status]
    return answer | {"MailFromDomain": found.mail_from_domain, "MailFromDomainStatus": status}


async def _notifications_v1(tx: Transaction, found: Identity) -> dict[str, Any]:
    told = await notifications.of(tx, found.account, found.region, found.name)
    return {"ForwardingEnabled": found.feedback_forwarding, **_headers(told), **_topics(told)}


def _headers(told: Notifications) -> dict[str, bool]:
    return {
        "HeadersInBounceNotificationsEnabled": told.bounce_headers,
        "HeadersInComplaintNotificationsEnabled": told.complaint_headers,
        "HeadersInDeliveryNotificationsEnabled": told.delivery_headers,
    }


def _topics(told: Notifications) -> dict[str, str]:
    """Those that are set: a topic that is not is absent."""
    topics = {
        "BounceTopic": told.bounce_topic,
        "ComplaintTopic": told.complaint_topic,
        "DeliveryTopic": told.delivery_topic,
    }
    return {name: arn for name, arn in topics.items() if arn}
