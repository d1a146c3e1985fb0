"""Custom verification with boto3, through v1 and v2: kept, listed, changed, sent, refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mailstead.base.errors import Paused
from mailstead.ses import identities
from mailstead.ses.account import NewAccount

A, B = "111111111111", "222222222222"
FROM = "shop@example.com"
HELLO = {
    "TemplateName": "hello",
    "FromEmailAddress": FROM,
    "TemplateSubject": "Please confirm",
    "TemplateContent": "<p>Hi\r\n</p>",
    "SuccessRedirectionURL": "https://example.com/yes",
    "FailureRedirectionURL": "https://example.com/no",
}
LISTED = {name: value for name, value in HELLO.items() if name != "TemplateContent"}


class Here:
    """Both versions of the first account, in production."""

    def __init__(self, cloud: Callable[..., Any], **options: Any) -> None:
        options.setdefault("new_account", NewAccount(200, 1, production=True))
        self.cloud = cloud(**options)
        self.v1 = self.cloud.client("ses")
        self.v2 = self.cloud.client("sesv2")
        for account in (A, B):
            self.add(FROM, account)

    def add(self, name: str, account: str = A, *, verified: bool = True) -> None:
        self.cloud.ground.run(lambda tx: identities.create(tx, account, "us-east-1", name, verified=verified))

    def status(self, address: str) -> str:
        return str(self.v2.get_email_identity(EmailIdentity=address)["VerificationStatus"])


@pytest.fixture
def here(cloud: Callable[..., Any]) -> Here:
    return Here(cloud)


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_a_life_from_v1_seen_by_v2(here: Here) -> None:
    here.v1.create_custom_verification_email_template(**HELLO)
    assert plain(here.v1.get_custom_verification_email_template(TemplateName="hello")) == HELLO
    assert plain(here.v2.get_custom_verification_email_template(TemplateName="hello")) == {**HELLO, "Tags": []}
    here.v1.update_custom_verification_email_template(TemplateName="hello", TemplateSubject="New")
    assert here.v2.get_custom_verification_email_template(TemplateName="hello")["TemplateSubject"] == "New"
    here.v2.update_custom_verification_email_template(**HELLO)
    assert plain(here.v1.get_custom_verification_email_template(TemplateName="hello")) == HELLO
    here.v1.delete_custom_verification_email_template(TemplateName="hello")
    here.v1.delete_custom_verification_email_template(TemplateName="hello")
    assert here.v2.list_custom_verification_email_templates()["CustomVerificationEmailTemplates"] == []


def test_a_life_from_v2_seen_by_v1(here: Here) -> None:
    tagged = [{"Key": "team", "Value": "shop"}]
    here.v2.create_custom_verification_email_template(**HELLO, Tags=tagged)
    assert here.v2.get_custom_verification_email_template(TemplateName="hello")["Tags"] == tagged
    for client in (here.v1, here.v2):
        assert client.list_custom_verification_email_templates()["CustomVerificationEmailTemplates"] == [LISTED]
    arn = f"arn:aws:ses:us-east-1:{A}:custom-verification-email-template/hello"
    assert here.v2.list_tags_for_resource(ResourceArn=arn)["Tags"] == tagged
    here.v2.delete_custom_verification_email_template(TemplateName="hello")
    assert refused(here.v2.delete_custom_verification_email_template, TemplateName="hello") == (
        "NotFoundException",
        404,
    )


def test_what_is_not_there(here: Here) -> None:
    here.cloud.client("ses", B).create_custom_verification_email_template(**HELLO)
    here.cloud.client("ses", A, "eu-west-1")
    absent = ("CustomVerificationEmailTemplateDoesNotExist", 400)
    assert refused(here.v1.get_custom_verification_email_template, TemplateName="hello") == absent
    assert refused(here.v1.update_custom_verification_email_template, TemplateName="hello") == absent
    send = {"EmailAddress": "ann@far.test", "TemplateName": "hello"}
    assert refused(here.v1.send_custom_verification_email, **send) == absent
    absent = ("NotFoundException", 404)
    assert refused(here.v2.get_custom_verification_email_template, TemplateName="hello") == absent
    assert refused(here.v2.update_custom_verification_email_template, **HELLO) == absent
    assert refused(here.v2.send_custom_verification_email, **send) == absent
    assert [row["IdentityName"] for row in here.v2.list_email_identities()["EmailIdentities"]] == [FROM]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"FromEmailAddress": "x@other.test"}, "FromEmailAddressNotVerified"),
        ({"TemplateContent": "<script>"}, "CustomVerificationEmailInvalidContent"),
        ({"SuccessRedirectionURL": "javascript:x"}, "InvalidParameterValue"),
        ({"FromEmailAddress": "Shop <shop@example.com>"}, "InvalidParameterValue"),
        ({"TemplateSubject": "a\nb"}, "InvalidParameterValue"),
        ({"TemplateName": "a b"}, "InvalidParameterValue"),
    ],
)
def test_what_may_not_be_kept(here: Here, change: dict[str, str], code: str) -> None:
    given = {**HELLO, **change}
    assert refused(here.v1.create_custom_verification_email_template, **given) == (code, 400)
    assert refused(here.v2.create_custom_verification_email_template, **given) == ("BadRequestException", 400)
    here.v1.create_custom_verification_email_template(**HELLO)
    if "TemplateName" not in change:
        assert refused(here.v1.update_custom_verification_email_template, **given) == (code, 400)
        assert refused(here.v2.update_custom_verification_email_template, **given) == ("BadRequestException", 400)
    assert plain(here.v1.get_custom_verification_email_template(TemplateName="hello")) == HELLO


def test_twice_and_too_many(here: Here) -> None:
    here.v1.create_custom_verification_email_template(**HELLO)
    twice = ("CustomVerificationEmailTemplateAlreadyExists", 400)
    assert refused(here.v1.create_custom_verification_email_template, **HELLO) == twice
    assert refused(here.v2.create_custom_verification_email_template, **HELLO) == ("AlreadyExistsException", 400)
    for n in range(49):
        here.v2.create_custom_verification_email_template(**{**HELLO, "TemplateName": f"t{n}"})
    more = {**HELLO, "TemplateName": "more"}
    assert refused(here.v1.create_custom_verification_email_template, **more) == ("LimitExceeded", 400)
    assert refused(here.v2.create_custom_verification_email_template, **more) == ("LimitExceededException", 400)


def test_pages(here: Here) -> None:
    made = [f"t{n}" for n in range(5)]
    for name in made:
        here.v1.create_custom_verification_email_template(**{**HELLO, "TemplateName": name})
    pages = here.v1.get_paginator("list_custom_verification_email_templates").paginate(PaginationConfig={"PageSize": 2})
    rows = [[row["TemplateName"] for row in page["CustomVerificationEmailTemplates"]] for page in pages]
    assert rows == [["t0", "t1"], ["t2", "t3"], ["t4"]]
    first = here.v2.list_custom_verification_email_templates(PageSize=3)
    rest = here.v2.list_custom_verification_email_templates(NextToken=first["NextToken"])
    shown = [*first["CustomVerificationEmailTemplates"], *rest["CustomVerificationEmailTemplates"]]
    assert [row["TemplateName"] for row in shown] == made
    assert "NextToken" not in rest
    token = first["NextToken"]
    assert refused(here.v1.list_custom_verification_email_templates, NextToken=token) == ("InvalidParameterValue", 400)
    other = here.cloud.client("sesv2", B)
    assert refused(other.list_custom_verification_email_templates, NextToken=token) == ("BadRequestException", 400)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_sent(here: Here, version: str) -> None:
    here.v1.create_custom_verification_email_template(**HELLO)
    client = getattr(here, version)
    sent = client.send_custom_verification_email(
        EmailAddress="Ann@FAR.test", TemplateName="hello", ConfigurationSetName="news"
    )
    assert sent["MessageId"]
    assert here.status("Ann@far.test") == "PENDING"
    (submission,) = here.cloud.door.submissions
    assert (submission.source, submission.to) == (FROM, ("Ann@far.test",))
    assert (submission.operation, submission.options.configuration_set) == ("SendCustomVerificationEmail", "news")
    assert submission.simple.subject[0] == "Please confirm"
    assert submission.simple.html[0].startswith('<p>Hi\r\n</p><p><a href="https://links.test/verify?token=')
    assert "https://links.test/verify?token=" in submission.simple.text[0]


def test_sent_again_to_one_that_failed_or_is_verified(here: Here) -> None:
    here.v1.create_custom_verification_email_template(**HELLO)
    here.add("ann@far.test", verified=False)
    here.add("bob@far.test")
    here.cloud.ground.run(lambda tx: tx.run("UPDATE identities SET status = 'FAILED' WHERE name = $1", "ann@far.test"))
    for address in ("ann@far.test", "bob@far.test"):
        here.v1.send_custom_verification_email(EmailAddress=address, TemplateName="hello")
    assert (here.status("ann@far.test"), here.status("bob@far.test")) == ("PENDING", "SUCCESS")
    assert len(here.cloud.door.submissions) == 2


def test_in_the_sandbox_it_is_refused(cloud: Callable[..., Any]) -> None:
    here = Here(cloud, new_account=NewAccount(200, 1, production=False))
    here.v1.create_custom_verification_email_template(**HELLO)
    send = {"EmailAddress": "ann@far.test", "TemplateName": "hello"}
    assert refused(here.v1.send_custom_verification_email, **send) == ("ProductionAccessNotGranted", 400)
    assert refused(here.v2.send_custom_verification_email, **send) == ("BadRequestException", 400)
    assert here.cloud.door.submissions == []


def test_a_sender_that_is_not_verified_any_more(here: Here) -> None:
    here.v1.create_custom_verification_email_template(**HELLO)
    here.v1.delete_identity(Identity=FROM)
    send = {"EmailAddress": "ann@far.test", "TemplateName": "hello"}
    assert refused(here.v1.send_custom_verification_email, **send) == ("FromEmailAddressNotVerified", 400)
    assert refused(here.v2.send_custom_verification_email, **send) == ("BadRequestException", 400)
    assert here.v2.list_email_identities()["EmailIdentities"] == []


def test_mail_that_is_refused_leaves_nothing(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.v1.create_custom_verification_email_template(**HELLO)
    here.add("bob@far.test", verified=False)

    async def paused(submission: object) -> str:
        raise Paused("Sending paused for this account.")

    monkeypatch.setattr(here.cloud.door, "submit", paused)
    for address in ("ann@far.test", "bob@far.test"):
        code = refused(here.v2.send_custom_verification_email, EmailAddress=address, TemplateName="hello")
        assert code == ("SendingPausedException", 400)
    listed = [row["IdentityName"] for row in here.v2.list_email_identities()["EmailIdentities"]]
    assert listed == ["bob@far.test", FROM]
    assert here.cloud.ground.read(lambda tx: tx.rows("SELECT * FROM address_proofs")) == []


@pytest.mark.parametrize("address", ["far.test", "a b@far.test", "@far.test", ""])
def test_addresses_that_are_none(here: Here, address: str) -> None:
    here.v1.create_custom_verification_email_template(**HELLO)
    params = {"EmailAddress": address, "TemplateName": "hello"}
    assert refused(here.v1.send_custom_verification_email, **params) == ("InvalidParameterValue", 400)
    assert refused(here.v2.send_custom_verification_email, **params) == ("BadRequestException", 400)


def test_without_a_place_for_links(cloud: Callable[..., Any]) -> None:
    here = Here(cloud, links="")
    here.v1.create_custom_verification_email_template(**HELLO)
    with pytest.raises(ClientError, match="mailstead identity verify ADDRESS"):
        here.v1.send_custom_verification_email(EmailAddress="ann@far.test", TemplateName="hello")
    with pytest.raises(ClientError, match="mailstead identity verify ADDRESS"):
        here.v1.verify_email_identity(EmailAddress="ann@far.test")
    listed = [row["IdentityName"] for row in here.v2.list_email_identities()["EmailIdentities"]]
    assert listed == [FROM]


def test_a_closed_account_mails_nobody(here: Here) -> None:
    here.cloud.ground.run(lambda tx: tx.run("UPDATE accounts SET closed = 1 WHERE id = $1", A))
    assert refused(here.v2.create_email_identity, EmailIdentity="ann@far.test") == ("AccountSuspendedException", 400)
    assert here.cloud.ground.read(lambda tx: tx.rows("SELECT * FROM messages")) == []


def test_nobody_is_flooded(here: Here) -> None:
    for _ in range(20):
        here.v1.verify_email_identity(EmailAddress="ann@far.test")
    assert refused(here.v1.verify_email_identity, EmailAddress="ann@far.test") == ("Throttling", 400)
    assert len(here.cloud.ground.read(lambda tx: tx.rows("SELECT * FROM messages"))) == 20


def test_where_identities_verify_at_once_no_mail_asks(cloud: Callable[..., Any]) -> None:
    here = Here(cloud, auto_verify=True, links="")
    here.v1.verify_email_identity(EmailAddress="ann@far.test")
    here.v2.create_email_identity(EmailIdentity="bob@far.test")
    assert (here.status("ann@far.test"), here.status("bob@far.test")) == ("SUCCESS", "SUCCESS")
    assert here.cloud.ground.read(lambda tx: tx.rows("SELECT * FROM messages")) == []


def test_where_identities_verify_at_once_ones_own_mail_is_sent(cloud: Callable[..., Any]) -> None:
    here = Here(cloud, auto_verify=True)
    here.v1.create_custom_verification_email_template(**HELLO)
    here.v1.send_custom_verification_email(EmailAddress="ann@far.test", TemplateName="hello")
    assert here.status("ann@far.test") == "SUCCESS"
    assert len(here.cloud.door.submissions) == 1
