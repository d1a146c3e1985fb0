"""Policies: documents that are taken and refused, what they allow, and that hostile ones cost little."""

from __future__ import annotations

import fnmatch
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstead.base.errors import Invalid
from mailstead.proto.policy import Question, Verdict, evaluate
from mailstead.proto.policy_conditions import OPERATORS, SYNTAX, VENDOR
from mailstead.proto.policy_document import compact, read
from mailstead.proto.policy_patterns import Effort, arn, pattern

A, B = "111111111111", "222222222222"
IDENTITY = f"arn:aws:ses:us-east-1:{A}:identity/example.com"
SET = f"arn:aws:ses:us-east-1:{A}:configuration-set/main"
BOB = f"arn:aws:iam::{B}:user/bob"
LIMIT = 4096
ALLOWED, DENIED, SILENT = Verdict.ALLOWED, Verdict.DENIED, Verdict.SILENT


def statement(**members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "ses:*", "Resource": "*", **members}


def document(*statements: Any, **members: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **members})


def ask(
    *texts: str, action="ses:SendEmail", resource=IDENTITY, principal=BOB, account=B, identity="", **facts
) -> Verdict:
    named = {key.replace("__", ":").lower(): value for key, value in facts.items()}
    question = Question(principal, account, action, resource, named)
    return evaluate([read(text, LIMIT, identity=identity) for text in texts], question)


# -- what is said of what


@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ({}, ALLOWED),
        ({"Effect": "Deny"}, DENIED),
        ({"Action": "*"}, ALLOWED),
        ({"Action": "SES:sendEMAIL"}, ALLOWED),
        ({"Action": "ses:Send*"}, ALLOWED),
        ({"Action": ["ses:GetAccount", "ses:S?ndEmail"]}, ALLOWED),
        ({"Action": "ses:Send"}, SILENT),
        ({"Action": "ses:SendRawEmail"}, SILENT),
        ({"Action": "s3:*"}, SILENT),
        ({"Resource": IDENTITY}, ALLOWED),
        ({"Resource": [SET, IDENTITY]}, ALLOWED),
        ({"Resource": IDENTITY.upper()}, None),
        ({"Resource": IDENTITY.replace("example", "Example")}, SILENT),
        ({"Resource": SET}, SILENT),
        ({"Resource": "arn:aws:ses:*:*:identity/*"}, ALLOWED),
        ({"Resource": "arn:aws:ses:us-????-1:*:identity/example.???"}, ALLOWED),
        ({"Resource": "arn:aws:ses"}, ALLOWED),
        ({"Resource": "arn:*:ses:*"}, ALLOWED),
        ({"Resource": "arn:aws:s3:*"}, SILENT),
        ({"Resource": "arn:aws:ses:*:identity/*"}, SILENT),
    ],
)
def test_actions_and_resources(members, verdict):
    text = document(statement(**members))
    if verdict is None:
        with pytest.raises(Invalid, match="must be in ARN format"):
            ask(text)
    else:
        assert ask(text) is verdict


def without(name: str, **members: Any) -> dict[str, Any]:
    made = statement(**members)
    del made[name]
    return made


def test_everything_but():
    not_send = document(without("Action", NotAction="ses:Send*"))
    assert ask(not_send) is SILENT
    assert ask(not_send, action="ses:GetAccount") is ALLOWED
    not_here = document(without("Resource", NotResource=IDENTITY))
    assert ask(not_here) is SILENT
    assert ask(not_here, resource=SET) is ALLOWED
    assert ask(not_here, resource="*") is ALLOWED


def test_an_operation_about_nothing_in_particular_needs_every_resource():
    assert ask(document(statement(Resource="arn:aws:ses:*:*:*")), resource="*") is SILENT
    assert ask(document(statement()), resource="*") is ALLOWED


def test_a_deny_wins_wherever_it_stands():
    allow, deny = document(statement()), document(statement(Effect="Deny", Action="ses:SendEmail"))
    assert ask(allow, deny) is DENIED
    assert ask(deny, allow) is DENIED
    assert ask(document(statement(), statement(Effect="Deny"))) is DENIED
    assert ask(allow, deny, action="ses:SendRawEmail") is ALLOWED
    assert ask() is SILENT


@pytest.mark.parametrize(
    ("principal", "verdict"),
    [
        ("*", ALLOWED),
        ({"AWS": "*"}, ALLOWED),
        ({"AWS": B}, ALLOWED),
        ({"AWS": [A, f"arn:aws:iam::{B}:root"]}, ALLOWED),
        ({"AWS": BOB}, ALLOWED),
        ({"AWS": f"arn:aws:iam::{B}:user/bo"}, SILENT),
        ({"AWS": f"arn:aws:iam::{B}:user/BOB"}, SILENT),
        ({"AWS": A}, SILENT),
        ({"Service": "ses.amazonaws.com"}, SILENT),
        ({"Service": "ses.amazonaws.com", "AWS": [B]}, ALLOWED),
    ],
)
def test_principals(principal, verdict):
    text = document(statement(Principal=principal, Resource=IDENTITY))
    assert ask(text, identity=IDENTITY) is verdict
    turned = document(statement(NotPrincipal=principal, Resource=IDENTITY))
    assert ask(turned, identity=IDENTITY) is (SILENT if verdict is ALLOWED else ALLOWED)


# -- conditions

TO = {"ses__Recipients": ["a@example.org", "b@example.org"]}


@pytest.mark.parametrize(
    ("condition", "facts", "holds"),
    [
        ({"StringEquals": {"ses:FromAddress": "a@b.c"}}, {"ses__FromAddress": ["a@b.c"]}, True),
        ({"StringEquals": {"SES:fromaddress": ["x@b.c", "a@b.c"]}}, {"ses__FromAddress": ["a@b.c"]}, True),
        ({"StringEquals": {"ses:FromAddress": "A@b.c"}}, {"ses__FromAddress": ["a@b.c"]}, False),
        ({"StringEquals": {"ses:FromAddress": "*@b.c"}}, {"ses__FromAddress": ["a@b.c"]}, False),
        ({"StringEquals": {"ses:FromAddress": "a@b.c"}}, {}, False),
        ({"StringEqualsIfExists": {"ses:FromAddress": "a@b.c"}}, {}, True),
        ({"StringEqualsIfExists": {"ses:FromAddress": "a@b.c"}}, {"ses__FromAddress": ["z@b.c"]}, False),
        ({"StringEqualsIgnoreCase": {"ses:FromAddress": "A@B.c"}}, {"ses__FromAddress": ["a@b.C"]}, True),
        ({"StringNotEquals": {"ses:FromAddress": ["a@b.c", "d@b.c"]}}, {"ses__FromAddress": ["d@b.c"]}, False),
        ({"StringNotEquals": {"ses:FromAddress": ["a@b.c", "d@b.c"]}}, {"ses__FromAddress": ["e@b.c"]}, True),
        ({"StringNotEquals": {"ses:FromAddress": "a@b.c"}}, {}, True),
        ({"StringLike": {"ses:FromDisplayName": "Mark*"}}, {"ses__FromDisplayName": ["Marketing"]}, True),
        ({"StringLike": {"ses:FromDisplayName": "mark*"}}, {"ses__FromDisplayName": ["Marketing"]}, False),
        ({"StringNotLike": {"ses:FromDisplayName": "Mark*"}}, {"ses__FromDisplayName": ["Marketing"]}, False),
        ({"ForAllValues:StringLike": {"ses:Recipients": "*@example.org"}}, TO, True),
        ({"ForAllValues:StringLike": {"ses:Recipients": "a@*"}}, TO, False),
        ({"ForAllValues:StringLike": {"ses:Recipients": "a@*"}}, {}, True),
        ({"ForAnyValue:StringLike": {"ses:Recipients": "a@*"}}, TO, True),
        ({"ForAnyValue:StringLike": {"ses:Recipients": "c@*"}}, TO, False),
        ({"ForAnyValue:StringLike": {"ses:Recipients": "*"}}, {}, False),
        ({"ForAnyValue:StringLikeIfExists": {"ses:Recipients": "*"}}, {}, False),
        ({"ForAllValues:StringNotEquals": {"ses:Recipients": "a@example.org"}}, TO, False),
        ({"ForAnyValue:StringNotEquals": {"ses:Recipients": "a@example.org"}}, TO, True),
        ({"StringLike": {"ses:Recipients": "a@*"}}, TO, False),
        ({"StringLike": {"ses:Recipients": "*@example.org"}}, TO, True),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, {"aws__SourceIp": ["192.0.2.9"]}, True),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, {"aws__SourceIp": ["::ffff:192.0.2.9"]}, True),
        ({"IpAddress": {"aws:SourceIp": ["2001:db8::/32", "192.0.2.1"]}}, {"aws__SourceIp": ["2001:db8::1"]}, True),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, {"aws__SourceIp": ["nowhere"]}, False),
        ({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, {"aws__SourceIp": ["192.0.2.9"]}, False),
        ({"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, {}, True),
        ({"Bool": {"aws:SecureTransport": True}}, {"aws__SecureTransport": ["true"]}, True),
        ({"Bool": {"aws:SecureTransport": "True"}}, {"aws__SecureTransport": ["false"]}, False),
        ({"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}, {}, True),
        ({"Null": {"aws:username": "true"}}, {}, True),
        ({"Null": {"aws:username": "false"}}, {}, False),
        ({"Null": {"aws:username": False}}, {"aws__username": ["bob"]}, True),
        (
            {"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}},
            {"aws__CurrentTime": ["2025-12-31T23:59:59Z"]},
            True,
        ),
        ({"DateLessThan": {"aws:CurrentTime": "2026-01-01"}}, {"aws__CurrentTime": ["2026-01-01T00:00:00Z"]}, False),
        ({"DateGreaterThanEquals": {"aws:EpochTime": "1767225600"}}, {"aws__EpochTime": ["1767225600"]}, True),
        (
            {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T02:00:00+02:00"}},
            {"aws__CurrentTime": ["2026-01-01T00:00:01Z"]},
            True,
        ),
        ({"NumericLessThanEquals": {"x:n": 10}}, {"x__n": ["10.0"]}, True),
        ({"NumericLessThan": {"x:n": "10"}}, {"x__n": ["many"]}, False),
        ({"NumericNotEquals": {"x:n": "10"}}, {"x__n": ["10"]}, False),
        ({"BinaryEquals": {"x:b": "aGk="}}, {"x__b": ["aGk="]}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/b*"}}, {"aws__PrincipalArn": [BOB]}, True),
        ({"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:user"}}, {"aws__PrincipalArn": [BOB]}, False),
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/b*"}}, {"aws__PrincipalArn": [BOB]}, False),
        (
            {"StringEquals": {"ses:FromAddress": "a@b.c", "ses:ApiVersion": "2"}},
            {"ses__FromAddress": ["a@b.c"], "ses__ApiVersion": ["1"]},
            False,
        ),
    ],
)
def test_conditions(condition, facts, holds):
    assert ask(document(statement(Condition=condition)), **facts) is (ALLOWED if holds else SILENT)


def test_a_prohibition_of_one_of_several_values_needs_no_set_operator():
    deny = statement(Effect="Deny", Condition={"StringLike": {"ses:Recipients": "*@blocked.example"}})
    text = document(statement(), deny)
    assert ask(text, ses__Recipients=["a@example.org", "b@blocked.example"]) is DENIED
    assert ask(text, ses__Recipients=["a@example.org"]) is ALLOWED


def test_variables():
    own = document(statement(Resource="arn:aws:ses:*:*:identity/${aws:username}.example.com"))
    at = IDENTITY.replace("example.com", "bob.example.com")
    assert ask(own, resource=at, aws__username=["bob"]) is ALLOWED
    assert ask(own, resource=at, aws__username=["*"]) is SILENT
    assert ask(own, resource=at) is SILENT
    default = document(statement(Condition={"StringEquals": {"x:y": "${aws:username, 'nobody'}"}}))
    assert ask(default, x__y=["nobody"]) is ALLOWED
    literal = document(statement(Condition={"StringLike": {"x:y": "a${*}b${?}${$}*"}}))
    assert ask(literal, x__y=["a*b?$whatever"]) is ALLOWED
    assert ask(literal, x__y=["axb?$"]) is SILENT
    old = document(statement(Condition={"StringEquals": {"x:y": "${aws:username}"}}), Version="2008-10-17")
    assert ask(old, x__y=["${aws:username}"], aws__username=["bob"]) is ALLOWED


# -- what is refused

OWN = {"Principal": {"AWS": B}, "Resource": IDENTITY}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", SYNTAX),
        ("{", SYNTAX),
        ("[]", SYNTAX),
        ("null", SYNTAX),
        ("{}", SYNTAX),
        ('{"Statement": []}', SYNTAX),
        ('{"Statement": [1]}', SYNTAX),
        ('{"Statement": NaN}', SYNTAX),
        ('{"Id": 7, "Statement": {}}', SYNTAX),
        (document(statement(), Version="2020-01-01"), SYNTAX),
        (document(statement(), Version=["2012-10-17"]), SYNTAX),
        (document(statement(), Extra=1), SYNTAX),
        (document(statement(Extra=1)), SYNTAX),
        (document(statement(Effect="allow")), SYNTAX),
        (document(without("Effect")), SYNTAX),
        ('{"Statement":{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}}', SYNTAX),
        (document(without("Action")), "Policy statement must contain actions."),
        (document(without("Resource")), "Policy statement must contain resources."),
        (document(statement(NotAction="ses:*")), SYNTAX),
        (document(statement(Action=[])), SYNTAX),
        (document(statement(Action={"a": 1})), SYNTAX),
        (document(statement(Action="SendEmail")), VENDOR),
        (document(statement(Action="ses*:Send")), VENDOR),
        (document(statement(Resource="identity/x")), 'Resource identity/x must be in ARN format or "*".'),
        (document(statement(Principal="*")), "Policy document should not specify a principal."),
        (document(statement(Condition=[])), SYNTAX),
        (document(statement(Condition={"StringEquals": {}})), SYNTAX),
        (document(statement(Condition={"StringEquals": {"ses:X": {}}})), SYNTAX),
        (document(statement(Condition={"StringEquals": {"ses:X": [[1]]}})), SYNTAX),
        (document(statement(Condition={"StringEquals": {"X": "a"}})), VENDOR),
        (document(statement(Condition={"StringIs": {"a:X": "a"}})), "Invalid Condition type : StringIs."),
        (
            document(statement(Condition={"ForSome:StringLike": {"a:X": "a"}})),
            "Invalid Condition type : ForSome:StringLike.",
        ),
        (document(statement(Condition={"NullIfExists": {"a:X": "true"}})), "Invalid Condition type : NullIfExists."),
        (document(statement(Condition={"Null": {"a:X": ["true", "false"]}})), SYNTAX),
        (document(statement(Condition={"Bool": {"a:X": "yes"}})), SYNTAX),
        (document(statement(Condition={"IpAddress": {"a:X": "300.0.0.0/8"}})), SYNTAX),
        (document(statement(Condition={"DateEquals": {"a:X": "2026-13-01"}})), SYNTAX),
        (document(statement(Condition={"NumericEquals": {"a:X": "1e999"}})), SYNTAX),
        (document(statement(Condition={"ArnLike": {"a:X": "user/bob"}})), SYNTAX),
        (document(statement(Condition={"BinaryEquals": {"a:X": "!"}})), SYNTAX),
        (
            document(statement(Condition={"StringEquals": {"aws:ResourceTag/team": "a"}})),
            "Condition key aws:ResourceTag/team is not supported.",
        ),
        (document(statement(Sid="a"), statement(Sid="a")), "Statement IDs (SID) in a single policy must be unique."),
        (document(statement(Sid=["a"])), SYNTAX),
        (document(statement(Sid="x" * LIMIT)), f"Policy exceeds the maximum size of {LIMIT} bytes."),
        ("[" * LIMIT, SYNTAX),
        ('{"Statement":' * 300 + "1" + "}" * 300, None),
        ('{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Sid":"\\ud800"}}', SYNTAX),
        ("\ud800", SYNTAX),
        ('{"Statement":' + "9" * 4000 + "}", SYNTAX),
    ],
)
def test_what_is_no_policy_of_a_principal(text, why):
    with pytest.raises(Invalid) as error:
        read(text, LIMIT)
    assert error.value.kind == "policy"
    assert why is None or error.value.message == why


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"Principal": None}, "Invalid principal in policy."),
        ({"Principal": {}}, "Invalid principal in policy."),
        ({"Principal": {"Federated": "x"}}, "Invalid principal in policy."),
        ({"Principal": {"AWS": "12345"}}, "Invalid principal in policy."),
        ({"Principal": {"AWS": f"arn:aws:iam::{B}:user/*"}}, "Invalid principal in policy."),
        ({"Principal": {"Service": "Not A Service"}}, "Invalid principal in policy."),
        ({"Principal": {"AWS": []}}, SYNTAX),
        ({"Resource": "*"}, f"Resource of the policy must be {IDENTITY}."),
        ({"Resource": SET}, f"Resource of the policy must be {IDENTITY}."),
        ({"Resource": [IDENTITY, IDENTITY + "x"]}, f"Resource of the policy must be {IDENTITY}."),
    ],
)
def test_what_is_no_policy_of_an_identity(members, why):
    with pytest.raises(Invalid) as error:
        read(document(statement(**{**OWN, **members})), LIMIT, identity=IDENTITY)
    assert error.value.message == why


def test_a_policy_of_an_identity_names_who_and_no_other_resource():
    nobody = statement(Resource=IDENTITY)
    with pytest.raises(Invalid, match="must contain principals"):
        read(document(nobody), LIMIT, identity=IDENTITY)
    elsewhere = without("Resource", NotResource=IDENTITY, Principal="*")
    with pytest.raises(Invalid, match="Resource of the policy must be"):
        read(document(elsewhere), LIMIT, identity=IDENTITY)


def test_blanks_go_and_the_order_stays():
    assert compact(' {"b": 1,\n "a": "é x"} ', LIMIT) == '{"b":1,"a":"é x"}'


# -- hostile ones


@pytest.mark.parametrize(
    "wild", ["*a" * 700, "a*" * 700, "*?" * 700, "?*a" * 450, "*" * 1400, "*" + "?" * 1400, "*ab" * 450 + "c"]
)
def test_a_hostile_pattern_takes_no_time(wild):
    text = document(statement(Condition={"ForAllValues:StringLike": {"ses:Recipients": [wild, wild]}}))
    started = time.perf_counter()
    verdict = ask(*[text] * 20, ses__Recipients=["a" * 320] * 50)
    assert time.perf_counter() - started < 2.0
    assert verdict in (ALLOWED, DENIED, SILENT)


def test_what_takes_too_long_is_denied():
    many = document(statement(Condition={"ForAnyValue:StringLike": {"ses:Recipients": ["*?a*"] * 400}}))
    allow = document(statement())
    assert ask(allow, *[many] * 20, ses__Recipients=["b" * 300] * 50) is ALLOWED  # decided before
    assert ask(*[many] * 20, allow, ses__Recipients=["b" * 300] * 50) is DENIED


def effort() -> Effort:
    return Effort()


@given(st.text("ab*?.", max_size=12), st.text("ab.", max_size=12))
def test_a_pattern_matches_what_fnmatch_matches(written, value):
    expected = re.fullmatch(fnmatch.translate(written), value) is not None
    assert pattern(written).matches(value, {}, effort()) is expected


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_arn_pattern_gives_an_answer(written, value):
    found = arn(written, variables=True)
    assert found is None or found.matches(value, {}, effort()) in (True, False)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([IDENTITY, "*", A]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"]
conditions = st.dictionaries(
    st.sampled_from([*sorted(OPERATORS), "Null", "ForAllValues:StringLikeIfExists"]),
    st.dictionaries(st.sampled_from(["ses:Recipients", "aws:SourceIp", "x"]), json_values, max_size=2),
    max_size=2,
)
statements = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(names, json_values),
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Condition": conditions,
    },
)


@given(st.lists(statements | json_values, max_size=3), st.sampled_from(["", IDENTITY]))
def test_any_document_is_refused_in_words_or_decides(made, identity):
    text = json.dumps({"Version": "2012-10-17", "Statement": made})
    facts = {"ses:recipients": ["a@example.org", "é"], "aws:sourceip": ["192.0.2.1"]}
    question = Question(BOB, B, "ses:SendEmail", IDENTITY, facts)
    refusal, verdicts = None, []
    try:
        policy, deny = read(text, LIMIT, identity=identity), read(document(statement(Effect="Deny")), LIMIT)
        verdicts = [evaluate([policy], question), evaluate([policy, deny], question)]
    except Invalid as error:
        refusal = error
    if refusal is None:
        assert verdicts[0] in (ALLOWED, DENIED, SILENT)
        assert verdicts[1] is DENIED
    else:
        assert (refusal.kind, bool(refusal.message)) == ("policy", True)
