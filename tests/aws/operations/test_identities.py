"""Identities through boto3: v1 and v2 on one store, paging, errors, accounts and regions apart."""

from __future__ import annotations

import base64
import re

import pytest
from botocore.exceptions import ClientError

from mailstead.proto.dkim_keys import dump_key, generate_ed25519, generate_rsa
from mailstead.ses import dkim_keys, identities

A, B, R = "111111111111", "222222222222", "us-east-1"


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch):
    """Short keys: what is tested here is not how long a key takes."""
    monkeypatch.setitem(dkim_keys.BITS, "RSA_2048_BIT", 1024)


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


def vouch(here, name):
    here.ground.run(lambda tx: identities.vouch(tx, A, R, name))


# v1


def test_v1_verify_an_address(ses):
    ses.verify_email_identity(EmailAddress="Anna@Example.com")
    ses.verify_email_identity(EmailAddress="Anna@Example.com")
    assert ses.list_identities()["Identities"] == ["Anna@example.com"]
    answer = ses.get_identity_verification_attributes(Identities=["Anna@Example.com", "nobody@example.com"])
    assert answer["VerificationAttributes"] == {"Anna@Example.com": {"VerificationStatus": "Pending"}}


def test_v1_verify_a_domain(ses):
    token = ses.verify_domain_identity(Domain="Example.com")["VerificationToken"]
    assert len(base64.b64decode(token)) == 32
    assert ses.verify_domain_identity(Domain="example.com")["VerificationToken"] == token
    answer = ses.get_identity_verification_attributes(Identities=["example.com"])["VerificationAttributes"]
    assert answer == {"example.com": {"VerificationStatus": "Pending", "VerificationToken": token}}


def test_v1_delete_and_delete_again(ses):
    ses.verify_email_identity(EmailAddress="anna@example.com")
    for _ in range(2):
        ses.delete_identity(Identity="anna@example.com")
    ses.delete_identity(Identity="no identity at all")
    assert ses.list_identities()["Identities"] == []


@pytest.mark.parametrize(
    ("operation", "params", "text"),
    [
        ("verify_email_identity", {"EmailAddress": "example.com"}, "Invalid email address<example.com>."),
        ("verify_email_identity", {"EmailAddress": "a b@c.d"}, "Invalid email address<a b@c.d>."),
        ("verify_domain_identity", {"Domain": "a@example.com"}, "Invalid domain name: a@example.com"),
        ("verify_domain_identity", {"Domain": "com"}, "Invalid domain name: com"),
        ("verify_domain_identity", {"Domain": ""}, "Invalid domain name: "),
        ("list_identities", {"NextToken": "bm9uc2Vuc2U="}, "The specified next token is invalid."),
        (
            "get_identity_verification_attributes",
            {"Identities": ["a@b.cc"] * 101},
            "The number of identities cannot exceed 100.",
        ),
    ],
)
def test_v1_errors(ses, operation, params, text):
    with pytest.raises(ClientError) as caught:
        getattr(ses, operation)(**params)
    assert code(caught) == ("InvalidParameterValue", text, 400)


def test_v1_pages(ses):
    names = sorted(f"a{n:02}@example.com" for n in range(7))
    for name in names:
        ses.verify_email_identity(EmailAddress=name)
    pages = list(ses.get_paginator("list_identities").paginate(PaginationConfig={"PageSize": 3}))
    assert [page["Identities"] for page in pages] == [names[:3], names[3:6], names[6:]]
    assert "NextToken" not in pages[-1]
    exact = list(ses.get_paginator("list_identities").paginate(PaginationConfig={"PageSize": 7}))
    assert len(exact) == 1


def test_v1_kinds_and_tokens_of_another_list(cloud):
    here = cloud(auto_verify=True)
    ses = here.client("ses")
    ses.verify_domain_identity(Domain="example.com")
    for n in range(3):
        ses.verify_email_identity(EmailAddress=f"a{n}@example.com")
    assert ses.list_identities(IdentityType="Domain")["Identities"] == ["example.com"]
    page = ses.list_identities(IdentityType="EmailAddress", MaxItems=2)
    assert page["Identities"] == ["a0@example.com", "a1@example.com"]
    rest = ses.list_identities(IdentityType="EmailAddress", MaxItems=2, NextToken=page["NextToken"])
    assert rest["Identities"] == ["a2@example.com"]
    with pytest.raises(ClientError, match="next token is invalid"):
        ses.list_identities(NextToken=page["NextToken"])
    with pytest.raises(ClientError, match="next token is invalid"):
        here.client("ses", B).list_identities(IdentityType="EmailAddress", NextToken=page["NextToken"])


def test_v1_waiter(cloud):
    ses = cloud(auto_verify=True).client("ses")
    ses.verify_email_identity(EmailAddress="anna@example.com")
    ses.get_waiter("identity_exists").wait(Identities=["anna@example.com"], WaiterConfig={"MaxAttempts": 1})


def test_v1_asking_again_after_failure_starts_again(cloud):
    here = cloud()
    ses = here.client("ses")
    ses.verify_email_identity(EmailAddress="anna@example.com")

    async def fail(tx):
        await identities.mark(tx, await identities.get(tx, A, R, "anna@example.com"), status="FAILED")

    here.ground.run(fail)
    asked = {"Identities": ["anna@example.com"]}
    status = ses.get_identity_verification_attributes(**asked)["VerificationAttributes"]["anna@example.com"]
    assert status["VerificationStatus"] == "Failed"
    ses.verify_email_identity(EmailAddress="anna@example.com")
    status = ses.get_identity_verification_attributes(**asked)["VerificationAttributes"]["anna@example.com"]
    assert status["VerificationStatus"] == "Pending"


# v2


def test_v2_a_domain(sesv2):
    made = sesv2.create_email_identity(EmailIdentity="Example.com")
    assert (made["IdentityType"], made["VerifiedForSendingStatus"]) == ("DOMAIN", False)
    dkim = made["DkimAttributes"]
    assert (dkim["SigningEnabled"], dkim["Status"], dkim["SigningAttributesOrigin"]) == (True, "PENDING", "AWS_SES")
    assert len(dkim["Tokens"]) == 3
    assert all(re.fullmatch("[a-z2-7]{32}", token) for token in dkim["Tokens"])
    assert dkim["SigningHostedZone"] == "dkim.mail.test"
    assert dkim["CurrentSigningKeyLength"] == dkim["NextSigningKeyLength"] == "RSA_2048_BIT"
    found = sesv2.get_email_identity(EmailIdentity="example.com")
    assert found["DkimAttributes"] == dkim
    assert (found["VerificationStatus"], found["FeedbackForwardingStatus"]) == ("PENDING", True)
    assert found["MailFromAttributes"] == {"BehaviorOnMxFailure": "USE_DEFAULT_VALUE"}
    assert (found["Policies"], found["Tags"], found["VerificationInfo"]) == ({}, [], {})


def test_v2_an_address_with_awkward_letters_in_the_path(sesv2):
    for name in ("user+tag@example.com", "a%2Fb@example.com", "a/b@example.com", "a?b=c@example.com"):
        made = sesv2.create_email_identity(EmailIdentity=name)
        assert made["IdentityType"] == "EMAIL_ADDRESS"
        assert made["DkimAttributes"] == {
            "SigningEnabled": False,
            "Status": "NOT_STARTED",
            "SigningAttributesOrigin": "AWS_SES",
        }
        assert sesv2.get_email_identity(EmailIdentity=name)["IdentityType"] == "EMAIL_ADDRESS"
        sesv2.delete_email_identity(EmailIdentity=name)


def test_v2_exists_already_and_is_gone(sesv2):
    sesv2.create_email_identity(EmailIdentity="anna@example.com")
    with pytest.raises(sesv2.exceptions.AlreadyExistsException) as caught:
        sesv2.create_email_identity(EmailIdentity="anna@EXAMPLE.com")
    assert code(caught) == ("AlreadyExistsException", "Email identity anna@example.com already exist.", 400)
    sesv2.delete_email_identity(EmailIdentity="anna@example.com")
    for verb in (sesv2.delete_email_identity, sesv2.get_email_identity):
        with pytest.raises(sesv2.exceptions.NotFoundException) as caught:
            verb(EmailIdentity="anna@example.com")
        assert code(caught) == ("NotFoundException", "Email identity anna@example.com does not exist.", 404)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"EmailIdentity": "com"}, ("BadRequestException", "Invalid domain name: com", 400)),
        ({"EmailIdentity": "a@b@c.d"}, ("BadRequestException", "Invalid email address<a@b@c.d>.", 400)),
        (
            {"EmailIdentity": "example.com", "ConfigurationSetName": "none"},
            ("NotFoundException", "Configuration set <none> does not exist.", 404),
        ),
        (
            {"EmailIdentity": "example.com", "Tags": [{"Key": "aws:a", "Value": "b"}]},
            ("BadRequestException", "Invalid tag key: aws:a", 400),
        ),
        (
            {"EmailIdentity": "a@example.com", "DkimSigningAttributes": {"NextSigningKeyLength": "RSA_2048_BIT"}},
            ("BadRequestException", "DKIM signing attributes can only be given for a domain.", 400),
        ),
        (
            {"EmailIdentity": "example.com", "DkimSigningAttributes": {"DomainSigningSelector": "s"}},
            (
                "BadRequestException",
                "DomainSigningSelector and DomainSigningPrivateKey must be given together.",
                400,
            ),
        ),
        (
            {
                "EmailIdentity": "example.com",
                "DkimSigningAttributes": {"DomainSigningAttributesOrigin": "AWS_SES_EU_WEST_1"},
            },
            ("UnsupportedOperation", "Deterministic Easy DKIM is not offered yet.", 400),
        ),
    ],
)
def test_v2_errors(sesv2, params, expected):
    with pytest.raises(ClientError) as caught:
        sesv2.create_email_identity(**params)
    assert code(caught) == expected
    assert sesv2.list_email_identities()["EmailIdentities"] == []


def test_v2_a_key_of_ones_own(cloud):
    here = cloud(auto_verify=True)
    v2 = here.client("sesv2")
    private = dump_key(generate_rsa(1024))
    made = v2.create_email_identity(
        EmailIdentity="example.com",
        DkimSigningAttributes={"DomainSigningSelector": "mine", "DomainSigningPrivateKey": private},
    )
    dkim = made["DkimAttributes"]
    assert (dkim["SigningAttributesOrigin"], dkim["Tokens"], dkim["Status"]) == ("EXTERNAL", ["mine"], "SUCCESS")
    with pytest.raises(ClientError) as caught:
        v2.create_email_identity(
            EmailIdentity="example.org",
            DkimSigningAttributes={"DomainSigningSelector": "mine", "DomainSigningPrivateKey": "bm8ga2V5"},
        )
    assert code(caught)[0] == "BadRequestException"
    assert "bm8ga2V5" not in code(caught)[1]


def test_v2_pages_and_filters(cloud):
    here = cloud()
    v2 = here.client("sesv2")
    for name in ("b.example.com", "a.example.com", "z@example.com", "y@example.org"):
        v2.create_email_identity(EmailIdentity=name)
    vouch(here, "z@example.com")
    names, token = [], {}
    while True:
        page = v2.list_email_identities(PageSize=3, **token)
        names.append([found["IdentityName"] for found in page["EmailIdentities"]])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert names == [["a.example.com", "b.example.com", "y@example.org"], ["z@example.com"]]
    assert page["EmailIdentities"] == [
        {
            "IdentityType": "EMAIL_ADDRESS",
            "IdentityName": "z@example.com",
            "SendingEnabled": True,
            "VerificationStatus": "SUCCESS",
        }
    ]

    def filtered(**conditions):
        return [f["IdentityName"] for f in v2.list_email_identities(Filter=conditions)["EmailIdentities"]]

    assert filtered(IDENTITY_TYPE="DOMAIN") == ["a.example.com", "b.example.com"]
    assert filtered(VERIFICATION_STATUS="SUCCESS") == ["z@example.com"]
    assert filtered(IDENTITY_NAME_CONTAINS="EXAMPLE.com", VERIFICATION_STATUS="PENDING") == [
        "a.example.com",
        "b.example.com",
    ]
    assert filtered(IDENTITY_NAME_CONTAINS="%") == filtered(IDENTITY_NAME_CONTAINS="_") == []
    with pytest.raises(ClientError) as caught:
        v2.list_email_identities(NextToken="!")
    assert code(caught)[0] == "BadRequestException"


# Both on one store


def test_v1_seen_through_v2_and_back(cloud):
    here = cloud()
    v1, v2 = here.client("ses"), here.client("sesv2")
    token = v1.verify_domain_identity(Domain="example.com")["VerificationToken"]
    v2.create_email_identity(EmailIdentity="anna@example.org")
    assert v2.get_email_identity(EmailIdentity="example.com")["IdentityType"] == "DOMAIN"
    assert v1.list_identities()["Identities"] == ["anna@example.org", "example.com"]
    vouch(here, "example.com")
    assert v2.get_email_identity(EmailIdentity="example.com")["VerifiedForSendingStatus"] is True
    info = v2.get_email_identity(EmailIdentity="example.com")["VerificationInfo"]
    assert info["LastSuccessTimestamp"].timestamp() * 1000 == here.ground.clock.now()
    attributes = v1.get_identity_verification_attributes(Identities=["example.com"])["VerificationAttributes"]
    assert attributes["example.com"] == {"VerificationStatus": "Success", "VerificationToken": token}
    v2.delete_email_identity(EmailIdentity="example.com")
    v1.delete_identity(Identity="anna@example.org")
    assert v1.list_identities()["Identities"] == v2.list_email_identities()["EmailIdentities"] == []


def test_two_accounts_and_two_regions_see_their_own(cloud):
    here = cloud()
    here.client("sesv2").create_email_identity(EmailIdentity="example.com")
    for other in (here.client("sesv2", B), here.client("sesv2", A, "eu-west-1")):
        assert other.list_email_identities()["EmailIdentities"] == []
        with pytest.raises(other.exceptions.NotFoundException):
            other.get_email_identity(EmailIdentity="example.com")
        with pytest.raises(other.exceptions.NotFoundException):
            other.delete_email_identity(EmailIdentity="example.com")
        other.create_email_identity(EmailIdentity="example.com")
    here.client("ses", B).delete_identity(Identity="example.com")
    assert here.client("ses").list_identities()["Identities"] == ["example.com"]


def test_verified_at_once(cloud):
    here = cloud(auto_verify=True)
    made = here.client("sesv2").create_email_identity(EmailIdentity="example.com")
    assert (made["VerifiedForSendingStatus"], made["DkimAttributes"]["Status"]) == (True, "SUCCESS")
    signer = here.ground.read(lambda tx: identities.signing_identity(tx, A, R, "sub.example.com"))
    assert signer.keys[0].selector == made["DkimAttributes"]["Tokens"][0]


def test_an_ed25519_key_of_ones_own_is_no_ses_key(sesv2):
    with pytest.raises(ClientError) as caught:
        sesv2.create_email_identity(
            EmailIdentity="example.com",
            DkimSigningAttributes={
                "DomainSigningSelector": "mine",
                "DomainSigningPrivateKey": dump_key(generate_ed25519()),
            },
        )
    assert code(caught)[0] == "BadRequestException"
