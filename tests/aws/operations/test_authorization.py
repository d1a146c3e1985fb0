"""Policies of principals through boto3: what they may call, about what, and what they are told."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from mailstead.ses import credentials, permissions, principals

A, B, R = "111111111111", "222222222222", "us-east-1"
KEYS = ("AKIAUUUUUUUUUUUUUUUU", "secret-of-bob")
BOB = f"arn:aws:iam::{A}:user/bob"


def allow(*actions, resource="*", **more):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}


@pytest.fixture
def bob(cloud):
    """Makes a client for a principal with these statements."""
    here = cloud()

    async def body(tx, text):
        await principals.ensure(tx, A, "bob")
        await principals.set_policy(tx, A, "bob", text)
        if await credentials.find(tx, KEYS[0]) is None:
            await credentials.create(tx, here.ground.vault, A, user="bob", access_key=KEYS[0], secret=KEYS[1])

    def make(service, *statements, text=None, region=R):
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        kept = permissions.checked(document) if text is None else text
        here.ground.run(lambda tx: body(tx, kept))
        return here.client(service, region=region, keys=KEYS)

    make.cloud = here
    return make


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def denied(action, on="", why=None):
    why = why or f"because no identity-based policy allows the ses:{action} action"
    return f"User: {BOB} is not authorized to perform: ses:{action}{on} {why}"


def test_what_the_policy_names_and_nothing_else(bob):
    v1 = bob("ses", allow("ses:ListIdentities", "ses:GetAccount"))
    v2 = bob.cloud.client("sesv2", keys=KEYS)
    assert v1.list_identities()["Identities"] == []
    assert "SendQuota" in v2.get_account()
    assert refused(v1.get_send_quota) == ("AccessDenied", denied("GetSendQuota"), 403)
    assert refused(v2.list_email_identities) == ("AccessDeniedException", denied("ListEmailIdentities"), 403)


def test_root_and_who_has_no_policy_may_do_everything(bob):
    assert "SendQuota" in bob("sesv2", text="").get_account()
    assert "SendQuota" in bob.cloud.client("sesv2").get_account()


def test_a_policy_is_bound_to_what_it_names(bob):
    mine = f"arn:aws:ses:{R}:{A}:template/mine-*"
    v2 = bob("sesv2", allow("ses:*EmailTemplate", resource=mine))
    content = {"Subject": "s", "Text": "t"}
    v2.create_email_template(TemplateName="mine-1", TemplateContent=content)
    assert v2.get_email_template(TemplateName="mine-1")["TemplateContent"] == content
    on = f" on resource: arn:aws:ses:{R}:{A}:template/other"
    code, text, _ = refused(v2.create_email_template, TemplateName="other", TemplateContent=content)
    assert (code, text) == ("AccessDeniedException", denied("CreateEmailTemplate", on))
    assert refused(v2.get_email_template, TemplateName="other")[1] == denied("GetEmailTemplate", on)
    elsewhere = bob.cloud.client("sesv2", region="eu-west-1", keys=KEYS)
    assert refused(elsewhere.get_email_template, TemplateName="mine-1")[0] == "AccessDeniedException"


def test_what_is_denied_is_denied_whatever_else_allows_it(bob):
    deny = {"Effect": "Deny", "Action": "ses:Delete*", "Resource": "*"}
    v2 = bob("sesv2", allow("*"), deny)
    v2.create_configuration_set(ConfigurationSetName="main")
    on = f" on resource: arn:aws:ses:{R}:{A}:configuration-set/main"
    why = "with an explicit deny in an identity-based policy"
    assert refused(v2.delete_configuration_set, ConfigurationSetName="main")[1] == denied(
        "DeleteConfigurationSet", on, why
    )
    assert v2.get_configuration_set(ConfigurationSetName="main")["ConfigurationSetName"] == "main"


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ({"StringEquals": {"ses:ApiVersion": "2"}}, True),
        ({"StringEquals": {"ses:ApiVersion": "1"}}, False),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, True),
        ({"IpAddress": {"aws:SourceIp": "198.51.100.0/24"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({"DateLessThan": {"aws:CurrentTime": "2000-01-01T00:00:00Z"}}, False),
        ({"StringEquals": {"aws:username": "bob", "aws:PrincipalAccount": A}}, True),
        ({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}, False),
        ({"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}, True),
    ],
)
def test_conditions_look_at_the_call(bob, condition, passes):
    v2 = bob("sesv2", allow("ses:GetAccount", Condition=condition))
    try:
        v2.get_account()
        told = ""
    except ClientError as error:
        told = error.response["Error"]["Code"]
    assert told == ("" if passes else "AccessDeniedException")


def test_tags_of_the_request_can_be_asked_for(bob):
    condition = {
        "StringEquals": {"aws:RequestTag/Team": "billing"},
        "ForAllValues:StringEquals": {"aws:TagKeys": "Team"},
    }
    v2 = bob("sesv2", allow("ses:CreateContactList", "ses:CreateConfigurationSet", Condition=condition))
    team = {"Key": "Team", "Value": "billing"}
    v2.create_configuration_set(ConfigurationSetName="a", Tags=[team])
    for tags in ([], [{"Key": "Team", "Value": "x"}], [team, {"Key": "More", "Value": "x"}]):
        code, _, _ = refused(v2.create_configuration_set, ConfigurationSetName="b", Tags=tags)
        assert code == "AccessDeniedException"


def test_a_policy_that_cannot_be_read_permits_nothing(bob):
    v2 = bob("sesv2", text='{"Statement": []}')
    assert refused(v2.get_account)[0] == "AccessDeniedException"
