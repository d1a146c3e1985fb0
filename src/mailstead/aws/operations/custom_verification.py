"""Custom verification: an account's own mail that asks for an address: kept, sent; v1 and v2 side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.aws.operations.tags import pairs_of, shown
from mailstead.base.errors import AlreadyExists, Denied, Invalid, MailsteadError, NotFound
from mailstead.outbound import verification_mail
from mailstead.outbound.composition import Options
from mailstead.outbound.handed_in import Submission
from mailstead.ses import address_proofs, custom_verification, identities, tags
from mailstead.ses.custom_verification import Template
from mailstead.ses.principals import Caller
from mailstead.store.port import Transaction

MAX_PAGE = 50  # SES: operations, Templates

HANDLED = frozenset(
    {
        (SES, "CreateCustomVerificationEmailTemplate"),
        (SES, "GetCustomVerificationEmailTemplate"),
        (SES, "ListCustomVerificationEmailTemplates"),
        (SES, "UpdateCustomVerificationEmailTemplate"),
        (SES, "DeleteCustomVerificationEmailTemplate"),
        (SES, "SendCustomVerificationEmail"),
        (SESV2, "CreateCustomVerificationEmailTemplate"),
        (SESV2, "GetCustomVerificationEmailTemplate"),
        (SESV2, "ListCustomVerificationEmailTemplates"),
        (SESV2, "UpdateCustomVerificationEmailTemplate"),
        (SESV2, "DeleteCustomVerificationEmailTemplate"),
        (SESV2, "SendCustomVerificationEmail"),
    }
)

NO_ACCESS = "The account is in the sandbox: custom verification emails need production access."


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _CustomVerification(services)
    return {
        (SES, "CreateCustomVerificationEmailTemplate"): operations.create,
        (SES, "GetCustomVerificationEmailTemplate"): operations.get,
        (SES, "ListCustomVerificationEmailTemplates"): operations.list,
        (SES, "UpdateCustomVerificationEmailTemplate"): operations.update,
        (SES, "DeleteCustomVerificationEmailTemplate"): operations.delete,
        (SES, "SendCustomVerificationEmail"): operations.send,
        (SESV2, "CreateCustomVerificationEmailTemplate"): operations.create_v2,
        (SESV2, "GetCustomVerificationEmailTemplate"): operations.get_v2,
        (SESV2, "ListCustomVerificationEmailTemplates"): operations.list_v2,
        (SESV2, "UpdateCustomVerificationEmailTemplate"): operations.update_v2,
        (SESV2, "DeleteCustomVerificationEmailTemplate"): operations.delete_v2,
        (SESV2, "SendCustomVerificationEmail"): operations.send,
    }


@dataclass(frozen=True, slots=True)
class _Asking:
    """A mail about to be sent."""

    template: Template
    token: str
    made: bool
    """The identity is new."""


class _CustomVerification:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db

    # Both

    async def _create(self, request: Request, tagged: Mapping[str, str]) -> None:
        caller, template = request.caller, _template(request.params)
        await asyncio.to_thread(custom_verification.check, template)
        await self._db.run(
            lambda tx: custom_verification.create(tx, caller.account, caller.region, template, tagged=tagged)
        )

    async def _update(self, request: Request) -> None:
        """Replace what was given; the rest stays."""
        caller, params = request.caller, request.params
        name = params["TemplateName"]
        known = await self._db.read(lambda tx: custom_verification.get(tx, caller.account, caller.region, name))
        template = _template(params, known)
        await asyncio.to_thread(custom_verification.check, template)
        await self._db.run(lambda tx: custom_verification.update(tx, caller.account, caller.region, template))

    async def _delete(self, request: Request) -> None:
        caller, name = request.caller, request.params["TemplateName"]
        await self._db.run(lambda tx: custom_verification.delete(tx, caller.account, caller.region, name))

    async def _page(self, request: Request, asked: int | None) -> dict[str, Any]:
        caller, belongs, size = request.caller, request.page(), paging.page_size(asked, default=MAX_PAGE, most=MAX_PAGE)
        start = paging.position(belongs, request.params.get("NextToken"))
        after = str(start[0]) if start else ""
        rows = await self._db.scan(
            lambda tx: custom_verification.list_page(tx, caller.account, caller.region, after=after, limit=size + 1)
        )
        answer: dict[str, Any] = {"CustomVerificationEmailTemplates": [_shown(row) for row in rows[:size]]}
        return answer | {"NextToken": paging.token(belongs, [rows[size - 1].name])} if len(rows) > size else answer

    # Sending

    async def send(self, request: Request) -> dict[str, Any]:
        """Add the address if it is new and mail it; what was added for mail that is refused is taken back."""
        caller, params, mail = request.caller, request.params, self._services.verification_mail
        address = _address(params["EmailAddress"])
        mail.links.check()
        if not (await self._services.region_of(caller)).production_access:
            raise Denied(NO_ACCESS, kind="production-access")
        asking = await self._db.run(lambda tx: self._begin(tx, caller, address, params["TemplateName"]))
        try:
            link = mail.links.verify(asking.token)
            submission = Submission(
                caller=caller,
                operation="SendCustomVerificationEmail",
                limit=self._services.v1_message_bytes,
                source=asking.template.sender,
                simple=await asyncio.to_thread(verification_mail.custom, asking.template, link),
                to=(address,),
                options=Options(configuration_set=params.get("ConfigurationSetName") or None),
            )
            message_id = await self._services.door.submit(submission)
        except MailsteadError:
            await self._db.run(lambda tx: self._take_back(tx, caller, address, asking))
            raise
        if not asking.made:
            await self._db.run(lambda tx: self._restart(tx, caller, address))
        return {"MessageId": message_id}

    async def _begin(self, tx: Transaction, caller: Caller, address: str, name: str) -> _Asking:
        account, region = caller.account, caller.region
        template = await custom_verification.ready(tx, account, region, name)
        made = await identities.find(tx, account, region, address) is None
        if made:
            with suppress(AlreadyExists):  # somebody asked at the same moment
                await identities.create(tx, account, region, address, verified=self._services.auto_verify)
        token = await address_proofs.issue(
            tx, account, region, address, success_url=template.success_url, failure_url=template.failure_url
        )
        return _Asking(template, token, made)

    async def _restart(self, tx: Transaction, caller: Caller, address: str) -> None:
        """What failed before is pending again."""
        if await identities.hold(tx, caller.account, caller.region, address) is None:
            return  # deleted meanwhile
        verb = identities.vouch if self._services.auto_verify else identities.restart
        await verb(tx, caller.account, caller.region, address)

    async def _take_back(self, tx: Transaction, caller: Caller, address: str, asking: _Asking) -> None:
        await address_proofs.withdraw(tx, asking.token)
        if asking.made:
            await identities.delete(tx, caller.account, caller.region, address)

    # v1

    async def create(self, request: Request) -> None:
        await self._create(request, {})

    async def get(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["TemplateName"]
        found = await self._db.read(lambda tx: custom_verification.get(tx, caller.account, caller.region, name))
        return {**_shown(found), "TemplateContent": found.html}

    async def list(self, request: Request) -> dict[str, Any]:
        return await self._page(request, request.params.get("MaxResults"))

    async def update(self, request: Request) -> None:
        await self._update(request)

    async def delete(self, request: Request) -> None:
        with suppress(NotFound):  # v1 takes it for done
            await self._delete(request)

    # v2

    async def create_v2(self, request: Request) -> dict[str, Any]:
        await self._create(request, pairs_of(request.params.get("Tags")))
        return {}

    async def get_v2(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, request.params["TemplateName"]
        resource = tags.resource(tags.CUSTOM_VERIFICATION, name)
        tagged = await self._db.read(lambda tx: tags.of(tx, caller.account, caller.region, resource))
        return {**await self.get(request), "Tags": shown(tagged)}

    async def list_v2(self, request: Request) -> dict[str, Any]:
        return await self._page(request, request.params.get("PageSize"))

    async def update_v2(self, request: Request) -> dict[str, Any]:
        await self._update(request)
        return {}

    async def delete_v2(self, request: Request) -> dict[str, Any]:
        await self._delete(request)
        return {}


def _address(given: str) -> str:
    if "@" not in given:
        raise Invalid(f"Invalid email address<{given}>.", kind="identity")
    return identities.normalise(given)


_MEMBERS = {
    "FromEmailAddress": "sender",
    "TemplateSubject": "subject",
    "TemplateContent": "html",
    "SuccessRedirectionURL": "success_url",
    "FailureRedirectionURL": "failure_url",
}


def _template(params: Params, known: Template | None = None) -> Template:
    """What was asked for; members that are not there are those of the template that is known."""
    base = known or Template(params["TemplateName"], "", "", "", "", "")
    return replace(base, **{field: params[member] for member, field in _MEMBERS.items() if member in params})


def _shown(template: Template) -> dict[str, str]:
    """All but the content."""
    members = {member: getattr(template, field) for member, field in _MEMBERS.items() if field != "html"}
    return {"TemplateName": template.name, **members}
