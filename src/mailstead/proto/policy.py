"""Policy evaluation: do these policies allow this?  An explicit deny wins; what nothing allows is not allowed.

Pure: it knows neither accounts nor databases; all it looks at is handed in (IAM: Policy evaluation logic).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from mailstead.proto.policy_document import Policy, Statement
from mailstead.proto.policy_patterns import Effort, Exhausted, Facts


class Verdict(Enum):
    """What policies say."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """Something forbids it."""
    SILENT = "silent"
    """Nothing speaks of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """May this principal do this to that?"""

    principal: str
    """Its ARN, ``arn:aws:iam::ACCOUNT:root`` or ``…:user/NAME``."""
    account: str
    action: str
    """``ses:SendEmail``."""
    resource: str
    """An ARN, or ``*`` for an operation that is about no resource in particular."""
    facts: Facts
    """Values of condition keys."""


def evaluate(policies: Iterable[Policy], question: Question) -> Verdict:
    """What all of them say together; what takes too long to find out is denied."""
    effort, verdict = Effort(), Verdict.SILENT
    try:
        for policy in policies:
            for statement in policy.statements:
                if statement.permits and verdict is Verdict.ALLOWED:
                    continue
                if _speaks_of(statement, question, effort):
                    if not statement.permits:
                        return Verdict.DENIED
                    verdict = Verdict.ALLOWED
    except Exhausted:
        return Verdict.DENIED
    return verdict


def _speaks_of(statement: Statement, question: Question, effort: Effort) -> bool:
    facts = question.facts
    return (
        _names(statement, question)
        and any(one.matches(question.action.casefold(), facts, effort) for one in statement.actions)
        is not statement.but_actions
        and any(one.matches(question.resource, facts, effort) for one in statement.resources)
        is not statement.but_resources
        and all(one.holds(facts, effort, permits=statement.permits) for one in statement.conditions)
    )


def _names(statement: Statement, question: Question) -> bool:
    if statement.principals is None:
        return True
    account = question.account
    whole = {"*", account, f"arn:aws:iam::{account}:root"}  # an account stands for all of its principals
    return bool(statement.principals & (whole | {question.principal})) is not statement.but_principals
