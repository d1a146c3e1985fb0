"""Sends of principals: their policy is held against every message, with what is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mailstead.base.errors import Denied
from mailstead.outbound import admission
from mailstead.outbound.composition import Options, Simple
from mailstead.servers.refusals import refusal
from mailstead.ses import configuration_sets, identities, permissions, principals
from peers.yard import ACCOUNT, CALLER, REGION, Yard

BOB = replace(CALLER, arn=principals.arn_of(ACCOUNT, "bob"), name="bob", tls="TLSv1.3")
TO = "r@example.net"
DOMAIN = f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.com"


def raw(sender: str = "sender@example.com", **fields: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"From: {sender}\r\nTo: {TO}\r\nSubject: s\r\n{more}\r\nbody\r\n".encode()


ANN = raw("Ann <a@example.com>")


def statement(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "ses:Send*", "Resource": "*", **members}


@pytest.fixture
def bound(yard: Yard) -> Callable[..., None]:
    """Gives the principal these statements."""
    yard.run(lambda tx: principals.create(tx, ACCOUNT, "bob"))

    def bind(*statements: dict[str, Any]) -> None:
        text = permissions.checked(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
        yard.run(lambda tx: principals.set_policy(tx, ACCOUNT, "bob", text))

    return bind


def text(action: str = "SendRawEmail", resource: str = DOMAIN) -> str:
    return (
        f"User `arn:aws:iam::{ACCOUNT}:user/bob' is not authorized to perform `ses:{action}' on resource `{resource}'"
    )


def refused(yard: Yard, *to: str, **given: Any) -> Denied:
    with pytest.raises(Denied) as caught:
        yard.submit(*(to or (TO,)), caller=BOB, **given)
    return caught.value


def test_who_has_no_policy_sends(yard: Yard, bound: Callable[..., None]) -> None:
    message = yard.submit(TO, caller=BOB)
    assert yard.states(message) == [(TO, "queued")]


def test_a_policy_given_meanwhile_holds_for_the_next_message(yard: Yard, bound: Callable[..., None]) -> None:
    yard.submit(TO, caller=BOB)
    bound(statement(Action="ses:GetAccount"))
    assert refused(yard).message == text()
    bound(statement())
    assert yard.states(yard.submit(TO, caller=BOB)) == [(TO, "queued")]


def test_the_root_may_do_everything(yard: Yard, bound: Callable[..., None]) -> None:
    bound(statement(Effect="Deny"))
    assert yard.states(yard.submit(TO)) == [(TO, "queued")]


def test_the_action_is_the_operation_and_raw_by_smtp(yard: Yard, bound: Callable[..., None]) -> None:
    bound(statement(Action="ses:SendEmail"))
    simple = Simple(("s", None), text=("t", None))
    formatted = {"raw": None, "destinations": None, "simple": simple, "to": (TO,)}
    assert yard.states(yard.submit(TO, caller=BOB, operation="SendEmail", **formatted)) == [(TO, "queued")]
    reply = refusal(refused(yard, operation="SMTP"))
    assert (reply.code, reply.text) == (554, f"Access denied: {text()}")


@pytest.mark.parametrize(
    ("condition", "passes", "fails"),
    [
        ({"StringLike": {"ses:FromAddress": "sender@*"}}, {}, {"raw": raw("other@example.com")}),
        ({"StringEquals": {"ses:FromDisplayName": "Ann"}}, {"raw": ANN}, {"raw": raw("Bob <a@example.com>")}),
        ({"StringEquals": {"ses:FromDisplayName": "Ann"}}, {"raw": ANN}, {}),
        ({"StringEquals": {"ses:FeedbackAddress": "back@example.com"}}, {"source": "back@example.com"}, {}),
        ({"StringEquals": {"aws:username": "bob"}, "Bool": {"aws:SecureTransport": "true"}}, {}, None),
        ({"StringEquals": {"ses:ApiVersion": "1"}, "IpAddress": {"aws:SourceIp": "192.0.2.10"}}, {}, None),
    ],
)  # fmt: skip
def test_conditions_look_at_the_message(
    yard: Yard, bound: Callable[..., None], condition: Any, passes: dict[str, Any], fails: dict[str, Any] | None
) -> None:
    bound(statement(Condition=condition))
    assert yard.states(yard.submit(TO, caller=BOB, **passes)) == [(TO, "queued")]
    if fails is None:
        bound(statement(Effect="Deny", Condition=condition), statement())
        fails = passes
    assert refused(yard, **fails).message == text()


def test_recipients_are_looked_at_anew_for_each_message(yard: Yard, bound: Callable[..., None]) -> None:
    bound(statement(Condition={"ForAllValues:StringLike": {"ses:Recipients": "*@example.net"}}))
    assert yard.states(yard.submit(TO, caller=BOB)) == [(TO, "queued")]
    assert refused(yard, TO, "r@example.org").message == text()
    assert yard.states(yard.submit(TO, caller=BOB)) == [(TO, "queued")]


def test_a_domain_written_otherwise_is_the_same(yard: Yard, bound: Callable[..., None]) -> None:
    prohibited = {"ForAnyValue:StringLike": {"ses:Recipients": ["*@blocked.example", "*@xn--bcher-kva.example"]}}
    bound(statement(), statement(Effect="Deny", Condition=prohibited))
    for recipient in ("r@blocked.example", "r@BLOCKED.Example", "r@bücher.example", "R <r@Blocked.example>"):
        assert refused(yard, recipient).message == text()
    assert yard.states(yard.submit(TO, caller=BOB)) == [(TO, "queued")]


def test_each_identity_that_the_message_claims_is_asked_for(yard: Yard, bound: Callable[..., None]) -> None:
    yard.run(lambda tx: identities.create(tx, ACCOUNT, REGION, "other.example", verified=True))
    yard.run(lambda tx: identities.create(tx, ACCOUNT, REGION, "ceo@example.com", verified=True))
    bound(statement(Resource=DOMAIN))
    assert yard.states(yard.submit(TO, caller=BOB)) == [(TO, "queued")]
    other = f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/other.example"
    assert refused(yard, raw=raw(Sender="x@other.example")).message == text(resource=other)
    assert refused(yard, source="x@other.example").message == text(resource=other)
    ceo = f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/ceo@example.com"
    assert refused(yard, raw=raw("ceo@example.com"), source="ceo@example.com").message == text(resource=ceo)


def test_the_configuration_set_is_asked_for(yard: Yard, bound: Callable[..., None]) -> None:
    yard.run(lambda tx: configuration_sets.create(tx, ACCOUNT, REGION, "main"))
    bound(statement(Resource=DOMAIN))
    chosen = f"arn:aws:ses:{REGION}:{ACCOUNT}:configuration-set/main"
    assert refused(yard, options=Options(configuration_set="main")).message == text(resource=chosen)
    bound(statement(Resource=[DOMAIN, chosen]))
    message = yard.submit(TO, caller=BOB, options=Options(configuration_set="main"))
    assert yard.states(message) == [(TO, "queued")]


def test_a_principal_without_a_policy_costs_no_question_more(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.run(lambda tx: principals.create(tx, ACCOUNT, "bob"))
    yard.submit(TO, caller=BOB)
    asked: list[str] = []
    admit = admission.admit

    async def noted(tx: Any, caller: Any, draft: Any, **given: Any) -> Any:
        asked.append(caller.name)
        return await admit(tx, caller, draft, **given)

    monkeypatch.setattr("mailstead.outbound.admission.admit", noted)
    yard.submit(TO, caller=BOB)
    assert asked == []
