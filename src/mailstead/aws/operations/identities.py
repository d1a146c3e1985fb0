"""Identities: prove an address or a domain to be one's own; v1 and v2 side by side on one store.

Not done yet: policies, Deterministic Easy DKIM.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailstead.aws import paging
from mailstead.aws.operations.services import SES, SESV2, Handlers, Params, Request, Services
from mailstead.aws.operations.tags import pairs_of, shown
from mailstead.base.errors import AlreadyExists, Invalid, NotFound
from mailstead.ses import configuration_sets, dkim_changes, identities, tags, verification
from mailstead.ses.identities import DOMAIN, EMAIL_ADDRESS, OWN_KEY, SUCCESS, DkimSetup, Identity
from mailstead.ses.principals import Caller
from mailstead.store.port import Transaction

HANDLED = frozenset(
    {
        (SES, "VerifyEmailIdentity"),
        (SES, "VerifyEmailAddress"),
        (SES, "VerifyDomainDkim"),
        (SES, "ListVerifiedEmailAddresses"),
        (SES, "DeleteVerifiedEmailAddress"),
        (SES, "VerifyDomainIdentity"),
        (SES, "ListIdentities"),
        (SES, "DeleteIdentity"),
        (SES, "GetIdentityVerificationAttributes"),
        (SESV2, "CreateEmailIdentity"),
        (SESV2, "GetEmailIdentity"),
        (SESV2, "ListEmailIdentities"),
        (SESV2, "DeleteEmailIdentity"),
    }
)

MAX_PAGE = 1000  # SES: operations, Pages
MAX_ASKED = 100
"""Identities in one question (SES: operations)."""

DETERMINISTIC = "Deterministic Easy DKIM is not offered yet."

V1_STATUS = {
    "PENDING": "Pending",
    "SUCCESS": "Success",
    "FAILED": "Failed",
    "TEMPORARY_FAILURE": "TemporaryFailure",
    "NOT_STARTED": "NotStarted",
}
V1_KIND = {"EmailAddress": EMAIL_ADDRESS, "Domain": DOMAIN}


def handlers(services: Services) -> Handlers:
    """The operations of this file."""
    operations = _Identities(services)
    return {
        (SES, "VerifyEmailIdentity"): operations.verify_email_identity,
        (SES, "VerifyDomainIdentity"): operations.verify_domain_identity,
        (SES, "VerifyEmailAddress"): operations.verify_email_address,
        (SES, "VerifyDomainDkim"): operations.verify_domain_dkim,
        (SES, "ListVerifiedEmailAddresses"): operations.list_verified_addresses,
        (SES, "DeleteVerifiedEmailAddress"): operations.delete_verified_address,
        (SES, "ListIdentities"): operations.list_identities,
        (SES, "DeleteIdentity"): operations.delete_identity,
        (SES, "GetIdentityVerificationAttributes"): operations.verification_attributes,
        (SESV2, "CreateEmailIdentity"): operations.create_email_identity,
        (SESV2, "GetEmailIdentity"): operations.get_email_identity,
        (SESV2, "ListEmailIdentities"): operations.list_email_identities,
        (SESV2, "DeleteEmailIdentity"): operations.delete_email_identity,
    }


class _Identities:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._db = services.runtime.db
        self._vault = services.runtime.vault

    # Both

    async def _find(self, caller: Caller, name: str) -> Identity | None:
        return await self._db.read(lambda tx: identities.find(tx, caller.account, caller.region, name))

    async def _create(
        self,
        caller: Caller,
        name: str,
        dkim: DkimSetup | None,
        *,
        default: str = "",
        tagged: Mapping[str, str] | None = None,
    ) -> Identity:
        account, region, verified = caller.account, caller.region, self._services.auto_verify

        async def body(tx: Transaction) -> tuple[Identity, str]:
            if default:
                await configuration_sets.hold(tx, account, region, default)
            made = await identities.create(
                tx, account, region, name, verified=verified, dkim=dkim, configuration_set=default
            )
            await tags.put(tx, account, region, tags.resource(tags.IDENTITY, name), tagged or {})
            return made, await self._ask(tx, made)

        return self._asked(*await self._db.run(body))

    async def _ask(self, tx: Transaction, found: Identity) -> str:
        """Have it verified: DNS is asked about a domain, whoever reads its mail about an address; that mail's id."""
        if self._services.auto_verify:
            return ""
        if found.kind == EMAIL_ADDRESS:
            return await self._services.verification_mail.ask(tx, found)
        await verification.watch(tx, found.account, found.region, found.name)
        return ""

    def _asked(self, found: Identity, message: str) -> Identity:
        """It is committed."""
        if message:
            self._services.verification_mail.leave(found, message)
        return found

    async def _easy_dkim(self, caller: Caller, name: str, key_length: str = "RSA_2048_BIT") -> DkimSetup:
        # An RSA key takes tenths of a second: neither on the loop nor inside a transaction.
        return await asyncio.to_thread(
            identities.easy_dkim, self._vault, caller.account, caller.region, name, key_length=key_length
        )

    async def _delete(self, caller: Caller, name: str) -> bool:
        return await self._db.run(lambda tx: identities.delete(tx, caller.account, caller.region, name))

    # v1

    async def _verify(self, caller: Caller, name: str) -> Identity:
        """Ask for verification; asking again is no error."""
        found = await self._find(caller, name)
        if found is None:
            try:
                dkim = await self._easy_dkim(caller, name) if identities.kind_of(name) == DOMAIN else None
                return await self._create(caller, name, dkim)
            except AlreadyExists:  # somebody asked at the same moment
                pass
        return self._asked(*await self._db.run(lambda tx: self._again(tx, caller, name)))

    async def _again(self, tx: Transaction, caller: Caller, name: str) -> tuple[Identity, str]:
        verb = identities.vouch if self._services.auto_verify else identities.restart
        await verb(tx, caller.account, caller.region, name)
        found = await identities.get(tx, caller.account, caller.region, name)
        return found, await self._ask(tx, found)

    async def verify_email_identity(self, request: Request) -> dict[str, Any]:
        address = request.params["EmailAddress"]
        if "@" not in address:
            raise Invalid(f"Invalid email address<{address}>.", kind="identity")
        await self._verify(request.caller, identities.normalise(address))
        return {}

    async def verify_domain_identity(self, request: Request) -> dict[str, Any]:
        domain = request.params["Domain"]
        if "@" in domain:
            raise Invalid(f"Invalid domain name: {domain}", kind="identity")
        found = await self._verify(request.caller, identities.normalise(domain))
        return {"VerificationToken": found.token}

    async def verify_email_address(self, request: Request) -> None:
        await self.verify_email_identity(request)

    async def verify_domain_dkim(self, request: Request) -> dict[str, Any]:
        """The tokens; the domain is added if it is not there, and looked at again if it was given up."""
        domain, caller = request.params["Domain"], request.caller
        if "@" in domain:
            raise Invalid(f"Invalid domain name: {domain}", kind="identity")
        found = await self._verify(caller, identities.normalise(domain))
        setup = None if found.dkim_tokens else await self._easy_dkim(caller, found.name)

        async def body(tx: Transaction) -> Identity:
            held = await identities.hold(tx, caller.account, caller.region, found.name)
            if held is None:
                raise NotFound(f"Identity {domain} is not verified or does not exist.", kind="identity")
            if setup is not None and not held.dkim_tokens:
                await dkim_changes.switch(tx, held, setup, verified=self._services.auto_verify)
            await dkim_changes.restart(tx, held)
            return await identities.get(tx, caller.account, caller.region, found.name)

        return {"DkimTokens": list((await self._db.run(body)).dkim_tokens)}

    async def list_verified_addresses(self, request: Request) -> dict[str, Any]:
        caller = request.caller

        async def look(tx: Transaction) -> list[str]:
            names: list[str] = []
            while len(names) % MAX_PAGE == 0:
                page = await identities.list_page(
                    tx,
                    caller.account,
                    caller.region,
                    after=names[-1] if names else "",
                    limit=MAX_PAGE,
                    kind=EMAIL_ADDRESS,
                    status=SUCCESS,
                )
                if not page:
                    break
                names += [found.name for found in page]
            return names

        return {"VerifiedEmailAddresses": await self._db.scan(look)}

    async def list_identities(self, request: Request) -> dict[str, Any]:
        params, asked = request.params, request.params.get("IdentityType")
        query = Query(kind=V1_KIND[asked]) if asked else Query()
        page = await self._page(request, query, params.get("MaxItems"))
        return _with_token({"Identities": [found.name for found in page.rows]}, page)

    async def delete_identity(self, request: Request) -> dict[str, Any]:
        await self._delete(request.caller, known_form(request.params["Identity"]))
        return {}

    async def delete_verified_address(self, request: Request) -> None:
        await self._delete(request.caller, known_form(request.params["EmailAddress"]))

    async def verification_attributes(self, request: Request) -> dict[str, Any]:
        names, caller = asked_for(request), request.caller

        async def look(tx: Transaction) -> dict[str, Identity | None]:
            return {g: await identities.find(tx, caller.account, caller.region, n) for g, n in names.items()}

        found = await self._db.read(look)
        return {"VerificationAttributes": {given: _attributes(row) for given, row in found.items() if row is not None}}

    # v2

    async def create_email_identity(self, request: Request) -> dict[str, Any]:
        params, caller = request.params, request.caller
        name = identities.normalise(params["EmailIdentity"])
        default, tagged = params.get("ConfigurationSetName") or "", pairs_of(params.get("Tags"))
        if await self._find(caller, name) is not None:
            raise AlreadyExists(f"Email identity {name} already exist.", kind="identity")
        dkim = await self._dkim_of(caller, name, params.get("DkimSigningAttributes") or {})
        made = await self._create(caller, name, dkim, default=default, tagged=tagged)
        return {
            "IdentityType": made.kind,
            "VerifiedForSendingStatus": made.verified,
            "DkimAttributes": await self._db.read(lambda tx: dkim_attributes(tx, made, self._services.zone)),
        }

    async def _dkim_of(self, caller: Caller, name: str, asked: Params) -> DkimSetup | None:
        """How a new identity is signed: Easy DKIM, or the customer's own key."""
        selector, private = asked.get("DomainSigningSelector"), asked.get("DomainSigningPrivateKey")
        if identities.kind_of(name) == EMAIL_ADDRESS:
            if asked:
                raise Invalid("DKIM signing attributes can only be given for a domain.", kind="identity")
            return None
        if asked.get("DomainSigningAttributesOrigin", "AWS_SES") not in ("AWS_SES", OWN_KEY):
            raise Invalid(DETERMINISTIC, kind="not-offered")
        if (selector is None) != (private is None):
            raise Invalid("DomainSigningSelector and DomainSigningPrivateKey must be given together.", kind="identity")
        if selector is None or private is None:
            return await self._easy_dkim(caller, name, asked.get("NextSigningKeyLength", "RSA_2048_BIT"))
        return await asyncio.to_thread(
            identities.own_key, self._vault, caller.account, caller.region, name, selector=selector, private=private
        )

    async def get_email_identity(self, request: Request) -> dict[str, Any]:
        caller, name = request.caller, known_form(request.params["EmailIdentity"])

        async def look(tx: Transaction) -> tuple[Identity, dict[str, Any], dict[str, str]]:
            found = await identities.get(tx, caller.account, caller.region, name)
            tagged = await tags.of(tx, caller.account, caller.region, tags.resource(tags.IDENTITY, name))
            return found, await dkim_attributes(tx, found, self._services.zone), tagged

        found, dkim, tagged = await self._db.read(look)
        answer = {
            "IdentityType": found.kind,
            "FeedbackForwardingStatus": found.feedback_forwarding,
            "VerifiedForSendingStatus": found.verified,
            "DkimAttributes": dkim,
            "MailFromAttributes": _mail_from(found),
            "Policies": {},
            "Tags": shown(tagged),
            "VerificationStatus": found.status,
            "VerificationInfo": _verification_info(found),
        }
        return answer | {"ConfigurationSetName": found.configuration_set} if found.configuration_set else answer

    async def list_email_identities(self, request: Request) -> dict[str, Any]:
        params, region = request.params, await self._services.region_of(request.caller)
        query = _filtered(params.get("Filter") or {})
        page = await self._page(request, query, params.get("PageSize"))
        rows = [
            {
                "IdentityType": found.kind,
                "IdentityName": found.name,
                "SendingEnabled": found.verified and region.sending_enabled,
                "VerificationStatus": found.status,
            }
            for found in page.rows
        ]
        return _with_token({"EmailIdentities": rows}, page)

    async def delete_email_identity(self, request: Request) -> dict[str, Any]:
        name = known_form(request.params["EmailIdentity"])
        if not await self._delete(request.caller, name):
            raise NotFound(f"Email identity {name} does not exist.", kind="identity")
        return {}

    # Parts of answers

    async def _page(self, request: Request, query: Query, asked: int | None) -> Page:
        caller = request.caller
        belongs = request.page(query.kind, query.status, query.contains)
        start = paging.position(belongs, request.params.get("NextToken"))
        size = paging.page_size(asked, default=MAX_PAGE, most=MAX_PAGE)
        rows = await self._db.scan(
            lambda tx: identities.list_page(
                tx,
                caller.account,
                caller.region,
                after=str(start[0]) if start else "",
                limit=size + 1,
                kind=query.kind,
                status=query.status,
                contains=query.contains,
            )
        )
        more = len(rows) > size
        token = paging.token(belongs, [rows[size - 1].name]) if more else None
        return Page(rows[:size], token)


@dataclass(frozen=True, slots=True)
class Query:
    """Which identities a list shows; empty: all."""

    kind: str = ""
    status: str = ""
    contains: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, and where the next begins."""

    rows: list[Identity]
    token: str | None


def _with_token(answer: dict[str, Any], page: Page) -> dict[str, Any]:
    """An absent NextToken ends paging: never an empty one."""
    return answer if page.token is None else {**answer, "NextToken": page.token}


def _filtered(asked: Mapping[str, str]) -> Query:
    return Query(
        asked.get("IDENTITY_TYPE", ""),
        asked.get("VERIFICATION_STATUS", ""),
        asked.get("IDENTITY_NAME_CONTAINS", ""),
    )


def _name_or_none(given: str) -> str | None:
    """The stored form of what may be an identity; nothing can be an identity that cannot be made one."""
    try:
        return identities.normalise(given)
    except Invalid:
        return None


def known_form(given: str) -> str:
    """The stored form; what cannot be an identity keeps its form and will not be found."""
    return _name_or_none(given) or given


def asked_for(request: Request) -> dict[str, str]:
    """The identities a question is about: as given, and in their stored form; those that cannot be any left out.

    Raises:
        Invalid: more than 100.
    """
    asked = request.params["Identities"]
    if len(asked) > MAX_ASKED:
        raise Invalid(f"The number of identities cannot exceed {MAX_ASKED}.", kind="identity")
    return {given: name for given in asked if (name := _name_or_none(given))}


def _attributes(found: Identity) -> dict[str, Any]:
    answer = {"VerificationStatus": V1_STATUS[found.status]}
    return answer | {"VerificationToken": found.token} if found.kind == DOMAIN else answer


def _verification_info(found: Identity) -> dict[str, Any]:
    info: dict[str, Any] = {}
    if found.last_checked is not None:
        info["LastCheckedTimestamp"] = found.last_checked
    if found.last_success is not None:
        info["LastSuccessTimestamp"] = found.last_success
    if found.check_error and found.status != SUCCESS:
        info["ErrorType"] = found.check_error
    return info


def _mail_from(found: Identity) -> dict[str, str]:
    answer = {"BehaviorOnMxFailure": found.mail_from_on_failure}
    if not found.mail_from_domain:
        return answer
    return answer | {"MailFromDomain": found.mail_from_domain, "MailFromDomainStatus": found.mail_from_status}


async def dkim_attributes(tx: Transaction, found: Identity, zone: str) -> dict[str, Any]:
    """How an identity is signed; an address as its domain is, unless it wants no signature (SES: sending §1)."""
    if found.kind == EMAIL_ADDRESS:
        signer = await dkim_changes.parent(tx, found)
        if signer is None:
            signer = found
        return {
            "SigningEnabled": signer.dkim_enabled and not found.dkim_off,
            "Status": signer.dkim_status,
            "SigningAttributesOrigin": signer.dkim_origin,
        }
    attributes: dict[str, Any] = {
        "SigningEnabled": found.dkim_enabled,
        "Status": found.dkim_status,
        "SigningAttributesOrigin": found.dkim_origin,
        "Tokens": list(found.dkim_tokens),
    }
    if found.dkim_origin != OWN_KEY:
        coming = await dkim_changes.coming(tx, found)
        attributes |= {
            "SigningHostedZone": zone,
            "NextSigningKeyLength": coming.key_length or found.dkim_key_length,
            "CurrentSigningKeyLength": found.dkim_key_length,
        }
    if found.dkim_generated is not None:
        attributes["LastKeyGenerationTimestamp"] = found.dkim_generated
    return attributes
