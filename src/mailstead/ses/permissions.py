"""Permissions: what a principal's policy lets it do.  Root, and who has no policy, may do everything in the account.

A policy that cannot be read any more permits nothing.
Not done: policies of identities, so nobody sends as another account's identity.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from mailstead.base.errors import Denied, Invalid
from mailstead.proto import policy_document
from mailstead.proto.policy import Question, Verdict, evaluate
from mailstead.proto.policy_document import Policy
from mailstead.proto.policy_patterns import Facts
from mailstead.ses.principals import ROOT, Caller

log = logging.getLogger(__name__)

MAX_POLICY = 6144  # IAM: characters of a managed policy

EVERYTHING = "*"
"""The resource of an operation that is about none in particular."""


def checked(text: str) -> str:
    """A policy as it is kept: without insignificant blanks.

    Raises:
        Invalid: it is none; the text is IAM's.
    """
    compact = policy_document.compact(text, MAX_POLICY)
    policy_document.read(compact, MAX_POLICY)
    return compact


@lru_cache(maxsize=256)
def _policy(text: str) -> Policy | None:
    try:
        return policy_document.read(text, MAX_POLICY)
    except Invalid as error:
        log.warning("policy_unreadable: %s", error.message)
        return None


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants to do what, when, and what is known of it."""

    caller: Caller
    action: str
    """The operation's name, without ``ses:``."""
    facts: Facts
    now: int
    """Milliseconds since 1970."""
    service: str = "ses"
    """What stands before its colon."""


def _verdict(asked: Asked, resource: str) -> Verdict:
    policy, caller = _policy(asked.caller.policy), asked.caller
    if policy is None:
        return Verdict.SILENT
    known = {**_facts(caller, asked.now), **asked.facts}
    return evaluate([policy], Question(caller.arn, caller.account, f"{asked.service}:{asked.action}", resource, known))


def _facts(caller: Caller, now: int) -> dict[str, Sequence[str]]:
    """What every request says of itself, by condition key (IAM: Global condition context keys)."""
    time = datetime.fromtimestamp(now // 1000, UTC)
    found: dict[str, Sequence[str]] = {
        "aws:currenttime": [f"{time:%Y-%m-%dT%H:%M:%SZ}"],
        "aws:epochtime": [str(now // 1000)],
        "aws:securetransport": ["true" if caller.tls else "false"],
        "aws:sourceip": [caller.source_ip] if caller.source_ip else [],
        "aws:useragent": [caller.user_agent] if caller.user_agent else [],
        "aws:principalarn": [caller.arn],
        "aws:principalaccount": [caller.account],
        "aws:principaltype": ["Account" if caller.name == ROOT else "User"],
        "aws:username": [] if caller.name == ROOT else [caller.name],
        "aws:requestedregion": [caller.region],
    }
    return found


def check_call(asked: Asked, resource: str) -> None:
    """May this caller do this to that?

    Raises:
        Denied: it may not (SES: wire §4).
    """
    caller, action = asked.caller, f"{asked.service}:{asked.action}"
    verdict = _verdict(asked, resource) if caller.policy else Verdict.ALLOWED
    if verdict is Verdict.ALLOWED:
        return
    on = "" if resource == EVERYTHING else f" on resource: {resource}"
    why = f"because no identity-based policy allows the {action} action"
    if verdict is Verdict.DENIED:
        why = "with an explicit deny in an identity-based policy"
    raise Denied(f"User: {caller.arn} is not authorized to perform: {action}{on} {why}", kind="policy")


def check_send(asked: Asked, resources: Sequence[str]) -> None:
    """May this caller send with all of these: identities, configuration set, template?

    Raises:
        Denied: not with one of them (SES: wire §4).
    """
    for resource in resources if asked.caller.policy else ():
        if _verdict(asked, resource) is not Verdict.ALLOWED:
            raise Denied(not_authorized(asked.caller, asked.action, resource), kind="policy")


def not_authorized(caller: Caller, action: str, resource: str) -> str:
    """What SES says of a send (seen, back-quotes and all)."""
    return f"User `{caller.arn}' is not authorized to perform `ses:{action}' on resource `{resource}'"
