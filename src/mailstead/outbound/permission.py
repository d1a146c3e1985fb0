"""Permission: may this principal send this message?  Who has no policy acts for the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mailstead.base.address import bare
from mailstead.outbound import composition
from mailstead.outbound.composition import Draft
from mailstead.ses import identities, permissions, principals
from mailstead.ses.permissions import Asked
from mailstead.ses.principals import ROOT, Caller
from mailstead.ses.tags import IDENTITY, resource
from mailstead.store.port import Transaction


async def check(tx: Transaction, caller: Caller, draft: Draft, action: str, used: Mapping[str, str]) -> bool:
    """Every identity that the message claims, its configuration set and its template, each must be allowed.

    Args:
        action: what IAM calls it: ``SendEmail``.
        used: type of a resource → its name, empty: none.

    Returns:
        Did a policy decide?  Then it may decide otherwise on the next message.

    Raises:
        Denied: one of them is not allowed, in SES's words.
    """
    if caller.name == ROOT:
        return False
    found = await principals.find(tx, caller.account, caller.name)
    policy = found.policy_json if found is not None else caller.policy
    if not policy:
        return False
    names = [resource(kind, name) for kind, name in used.items() if name and kind != IDENTITY]
    resources = [*await _identities(tx, caller, draft), *names]
    arns = [f"arn:aws:ses:{caller.region}:{caller.account}:{name}" for name in dict.fromkeys(resources)]
    asked = Asked(replace(caller, policy=policy), action, _facts(caller, draft), tx.now())
    permissions.check_send(asked, arns)
    return True


async def _identities(tx: Transaction, caller: Caller, draft: Draft) -> list[str]:
    """The most specific verified identity of each claim, else the address itself."""
    found = []
    for claim in draft.claims:
        covering = await identities.covering(tx, caller.account, caller.region, claim.address)
        found.append(resource(IDENTITY, covering.name if covering is not None else claim.address))
    return found


def _facts(caller: Caller, draft: Draft) -> dict[str, Sequence[str]]:
    """The condition keys of a send (SES: sending §1.5).  Addresses with their domain in lower case and A-labels:
    who is kept from ``*@example.com`` must not get there by writing it otherwise.
    """
    authors = composition.authors(draft.message)
    return {
        "ses:fromaddress": [bare(author.address) for author in authors],
        "ses:fromdisplayname": [author.display for author in authors if author.display],
        "ses:recipients": [bare(recipient.address) for recipient in draft.recipients],
        "ses:feedbackaddress": [draft.sender],
        "ses:apiversion": [caller.api],
    }
