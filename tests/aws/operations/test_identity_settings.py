"""Identity settings through boto3: DKIM, MAIL FROM, feedback; made through v1 and seen through v2, and back."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from mailstead.base.clock import DAY, HOUR
from mailstead.proto.dkim_keys import dump_key, generate_rsa, public_record
from mailstead.ses import dkim_keys, identities, verification
from mailstead.ses.verification import Evidence, Look, Verdict

A, B, R = "111111111111", "222222222222", "us-east-1"
D = "example.com"
KEY, OTHER = generate_rsa(1024), generate_rsa(1024)
FOUND = Look(Verdict.FOUND)
GONE = Look(Verdict.GONE, "HOST_NOT_FOUND")


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch):
    """Short keys: what is tested here is not how long a key takes."""
    monkeypatch.setitem(dkim_keys.BITS, "RSA_2048_BIT", 1024)


@pytest.fixture
def here(cloud):
    """A place where DNS decides."""
    return cloud()


@pytest.fixture
def auto(cloud):
    """A place where identities verify at once."""
    return cloud(auto_verify=True)


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["Error"]["Message"], response["ResponseMetadata"]["HTTPStatusCode"]


def refused(call, *args, **params) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(*args, **params)
    return code(caught)


def check(here, name, *, seen=(), mail_from=GONE):
    """What the duty does when it sees the records of these selectors."""

    async def body(tx):
        (timer,) = await verification.claim(tx, worker="w", now=here.ground.clock.now(), limit=10)
        assert timer.name == name
        plan = await verification.plan(tx, A, R, name)
        keys = {selector: FOUND if selector in seen else GONE for selector, _ in plan.keys}
        return await verification.settle(tx, timer, plan, Evidence(GONE, keys, mail_from))

    return here.ground.run(body)


def signing(here, domain=D) -> list[str]:
    found = here.ground.read(lambda tx: identities.signing_identity(tx, A, R, domain))
    return [key.selector for key in found.keys] if found else []


def dkim_v1(ses, name=D):
    return ses.get_identity_dkim_attributes(Identities=[name])["DkimAttributes"][name]


def dkim_v2(sesv2, name=D):
    return sesv2.get_email_identity(EmailIdentity=name)["DkimAttributes"]


# The old forms of v1


def test_deprecated_forms(auto):
    v1 = auto.client("ses")
    for address in ("b@example.com", "A@Example.com", "b@example.com"):
        v1.verify_email_address(EmailAddress=address)
    v1.verify_domain_identity(Domain=D)
    assert v1.list_verified_email_addresses()["VerifiedEmailAddresses"] == ["A@example.com", "b@example.com"]
    for _ in range(2):
        v1.delete_verified_email_address(EmailAddress="b@EXAMPLE.com")
    assert v1.list_verified_email_addresses()["VerifiedEmailAddresses"] == ["A@example.com"]
    assert refused(v1.verify_email_address, EmailAddress="no")[:2] == (
        "InvalidParameterValue",
        "Invalid email address<no>.",
    )


def test_addresses_that_are_not_verified_are_not_listed(here):
    v1 = here.client("ses")
    v1.verify_email_address(EmailAddress="b@example.com")
    assert v1.list_verified_email_addresses()["VerifiedEmailAddresses"] == []
    assert here.client("sesv2").get_email_identity(EmailIdentity="b@example.com")["VerificationStatus"] == "PENDING"


# DKIM


def test_verify_domain_dkim_makes_the_domain_and_tells_its_tokens(here):
    v1, v2 = here.client("ses"), here.client("sesv2")
    tokens = v1.verify_domain_dkim(Domain="Example.com")["DkimTokens"]
    assert len(tokens) == 3
    assert v1.verify_domain_dkim(Domain=D)["DkimTokens"] == tokens == dkim_v2(v2)["Tokens"]
    assert dkim_v1(v1) == {"DkimEnabled": True, "DkimVerificationStatus": "Pending", "DkimTokens": tokens}
    assert refused(v1.verify_domain_dkim, Domain="a@example.com")[0] == "InvalidParameterValue"


def test_what_the_check_saw_is_shown_at_once(here):
    v1, v2 = here.client("ses"), here.client("sesv2")
    tokens = v1.verify_domain_dkim(Domain=D)["DkimTokens"]
    here.ground.clock.advance(5000)
    check(here, D)
    found = v2.get_email_identity(EmailIdentity=D)
    assert found["VerificationInfo"]["ErrorType"] == "HOST_NOT_FOUND"
    assert found["VerificationInfo"]["LastCheckedTimestamp"].timestamp() * 1000 == here.ground.clock.now()
    here.ground.clock.advance(10_000)
    check(here, D, seen=tokens[:1])
    found = v2.get_email_identity(EmailIdentity=D)
    assert (found["VerificationStatus"], found["VerifiedForSendingStatus"]) == ("SUCCESS", True)
    assert found["DkimAttributes"]["Status"] == "SUCCESS"
    assert set(found["VerificationInfo"]) == {"LastCheckedTimestamp", "LastSuccessTimestamp"}
    assert dkim_v1(v1)["DkimVerificationStatus"] == "Success"


def test_failed_and_asked_again(here):
    v1, v2 = here.client("ses"), here.client("sesv2")
    tokens = v1.verify_domain_dkim(Domain=D)["DkimTokens"]
    here.ground.clock.advance(72 * HOUR)
    check(here, D)
    assert dkim_v1(v1)["DkimVerificationStatus"] == "Failed"
    assert v2.get_email_identity(EmailIdentity=D)["VerificationStatus"] == "FAILED"
    v1.verify_domain_dkim(Domain=D)
    assert dkim_v1(v1)["DkimVerificationStatus"] == "Pending"
    assert check(here, D, seen=tokens) == {"status": "SUCCESS", "dkim_status": "SUCCESS"}


def test_signing_switched_off_and_on(auto):
    v1, v2 = auto.client("ses"), auto.client("sesv2")
    (token, *_) = v1.verify_domain_dkim(Domain=D)["DkimTokens"]
    assert signing(auto) == [token]
    v1.set_identity_dkim_enabled(Identity=D, DkimEnabled=False)
    assert (dkim_v2(v2)["SigningEnabled"], dkim_v1(v1)["DkimEnabled"], signing(auto)) == (False, False, [])
    v2.put_email_identity_dkim_attributes(EmailIdentity=D, SigningEnabled=True)
    assert (dkim_v2(v2)["SigningEnabled"], dkim_v1(v1)["DkimEnabled"], signing(auto)) == (True, True, [token])
    v2.put_email_identity_dkim_attributes(EmailIdentity=D)
    assert dkim_v1(v1)["DkimEnabled"] is False


def test_an_address_is_signed_as_its_domain_unless_it_says_no(auto):
    v1, v2 = auto.client("ses"), auto.client("sesv2")
    v1.verify_email_identity(EmailAddress="anna@sub.example.com")
    none = {"DkimEnabled": False, "DkimVerificationStatus": "NotStarted"}
    assert dkim_v1(v1, "anna@sub.example.com") == none
    assert refused(v1.set_identity_dkim_enabled, Identity="anna@sub.example.com", DkimEnabled=True)[0] == (
        "InvalidParameterValue"
    )
    tokens = v1.verify_domain_dkim(Domain=D)["DkimTokens"]
    assert dkim_v1(v1, "anna@sub.example.com") == {
        "DkimEnabled": True,
        "DkimVerificationStatus": "Success",
        "DkimTokens": tokens,
    }
    v2.put_email_identity_dkim_attributes(EmailIdentity="anna@sub.example.com", SigningEnabled=False)
    assert dkim_v1(v1, "anna@sub.example.com")["DkimEnabled"] is False
    assert dkim_v2(v2, "anna@sub.example.com")["SigningEnabled"] is False
    assert dkim_v2(v2)["SigningEnabled"] is True
    v1.set_identity_dkim_enabled(Identity="anna@sub.example.com", DkimEnabled=True)
    assert dkim_v2(v2, "anna@sub.example.com")["SigningEnabled"] is True


def test_from_easy_dkim_to_a_key_of_ones_own_and_back(here):
    v1, v2 = here.client("ses"), here.client("sesv2")
    tokens = v1.verify_domain_dkim(Domain=D)["DkimTokens"]
    check(here, D, seen=tokens)
    own = {"DomainSigningSelector": "mine", "DomainSigningPrivateKey": dump_key(KEY)}
    answer = v2.put_email_identity_dkim_signing_attributes(
        EmailIdentity=D, SigningAttributesOrigin="EXTERNAL", SigningAttributes=own
    )
    assert (answer["DkimStatus"], answer["DkimTokens"]) == ("PENDING", ["mine"])
    assert "SigningHostedZone" not in answer
    found = dkim_v2(v2)
    assert (found["SigningAttributesOrigin"], found["Tokens"]) == ("EXTERNAL", ["mine"])
    assert not {"NextSigningKeyLength", "SigningHostedZone", "LastKeyGenerationTimestamp"} & set(found)
    assert "DkimTokens" not in dkim_v1(v1)
    assert signing(here) == []
    check(here, D, seen=["mine"])
    assert signing(here) == ["mine"]
    (key,) = here.ground.read(lambda tx: dkim_keys.active(tx, A, R, D))
    assert key.public == public_record(KEY)
    again = v2.put_email_identity_dkim_signing_attributes(
        EmailIdentity=D, SigningAttributesOrigin="EXTERNAL", SigningAttributes=own
    )
    assert again["DkimStatus"] == "SUCCESS"  # nothing changed
    answer = v2.put_email_identity_dkim_signing_attributes(EmailIdentity=D, SigningAttributesOrigin="AWS_SES")
    assert (answer["DkimStatus"], answer["SigningHostedZone"]) == ("PENDING", "dkim.mail.test")
    assert len(answer["DkimTokens"]) == 3
    assert not set(answer["DkimTokens"]) & set(tokens)
    check(here, D, seen=answer["DkimTokens"])
    assert signing(here) == answer["DkimTokens"][:1]


def test_another_key_under_the_same_selector_has_to_be_seen(here):
    v2 = here.client("sesv2")

    def put(private):
        own = {"DomainSigningSelector": "mine", "DomainSigningPrivateKey": dump_key(private)}
        return v2.put_email_identity_dkim_signing_attributes(
            EmailIdentity=D, SigningAttributesOrigin="EXTERNAL", SigningAttributes=own
        )["DkimStatus"]

    v2.create_email_identity(EmailIdentity=D)
    assert put(KEY) == "PENDING"
    check(here, D, seen=["mine"])
    assert (put(KEY), put(OTHER), signing(here)) == ("SUCCESS", "PENDING", [])
    check(here, D, seen=["mine"])
    (key,) = here.ground.read(lambda tx: dkim_keys.active(tx, A, R, D))
    assert key.public == public_record(OTHER)


def test_rotation_to_another_length_once_a_day(here):
    v1, v2 = here.client("ses"), here.client("sesv2")
    tokens = v1.verify_domain_dkim(Domain=D)["DkimTokens"]
    check(here, D, seen=tokens)

    def put(length):
        return v2.put_email_identity_dkim_signing_attributes(
            EmailIdentity=D, SigningAttributesOrigin="AWS_SES", SigningAttributes={"NextSigningKeyLength": length}
        )

    assert refused(put, "RSA_2048_BIT")[0] == "BadRequestException"
    here.ground.clock.advance(1000)
    answer = put("RSA_1024_BIT")
    assert (answer["DkimStatus"], answer["DkimTokens"]) == ("SUCCESS", tokens)
    found = dkim_v2(v2)
    assert (found["CurrentSigningKeyLength"], found["NextSigningKeyLength"]) == ("RSA_2048_BIT", "RSA_1024_BIT")
    assert found["LastKeyGenerationTimestamp"].timestamp() * 1000 == here.ground.clock.now()
    assert signing(here) == tokens[:1]
    assert "24 hours" in refused(put, "RSA_2048_BIT")[1]
    check(here, D, seen=tokens)
    found = dkim_v2(v2)
    assert (found["CurrentSigningKeyLength"], found["NextSigningKeyLength"]) == ("RSA_1024_BIT", "RSA_1024_BIT")
    assert signing(here) == tokens[1:2]
    here.ground.clock.advance(DAY)
    put("RSA_2048_BIT")
    check(here, D, seen=tokens)
    assert signing(here) == tokens[2:3]
    here.ground.clock.advance(DAY)
    put("RSA_1024_BIT")
    check(here, D, seen=tokens)
    assert signing(here) == tokens[:1]


def test_verified_at_once_switches_at_once(auto):
    v2 = auto.client("sesv2")
    v2.create_email_identity(EmailIdentity=D)
    own = {"DomainSigningSelector": "mine", "DomainSigningPrivateKey": dump_key(KEY)}
    answer = v2.put_email_identity_dkim_signing_attributes(
        EmailIdentity=D, SigningAttributesOrigin="EXTERNAL", SigningAttributes=own
    )
    assert (answer["DkimStatus"], signing(auto)) == ("SUCCESS", ["mine"])
    answer = v2.put_email_identity_dkim_signing_attributes(EmailIdentity=D, SigningAttributesOrigin="AWS_SES")
    v2.put_email_identity_dkim_signing_attributes(
        EmailIdentity=D, SigningAttributesOrigin="AWS_SES", SigningAttributes={"NextSigningKeyLength": "RSA_1024_BIT"}
    )
    assert (dkim_v2(v2)["CurrentSigningKeyLength"], signing(auto)) == ("RSA_1024_BIT", answer["DkimTokens"][1:2])
    assert auto.ground.read(lambda tx: tx.value("SELECT count(*) FROM timers")) == 0


@pytest.mark.parametrize(
    ("name", "origin", "attributes", "expected"),
    [
        ("none.example", "AWS_SES", {}, ("NotFoundException", "Email identity none.example does not exist.", 404)),
        (
            "anna@example.com",
            "AWS_SES",
            {},
            ("BadRequestException", "DKIM signing attributes can only be given for a domain.", 400),
        ),
        (D, "AWS_SES_EU_WEST_1", {}, ("UnsupportedOperation", "Deterministic Easy DKIM is not offered yet.", 400)),
        (
            D,
            "EXTERNAL",
            {},
            ("BadRequestException", "DomainSigningSelector and DomainSigningPrivateKey must be given together.", 400),
        ),
        (
            D,
            "AWS_SES",
            {"DomainSigningSelector": "x"},
            (
                "BadRequestException",
                "DomainSigningSelector and DomainSigningPrivateKey can only be given with the origin EXTERNAL.",
                400,
            ),
        ),
    ],
)
def test_errors_of_signing_attributes(auto, name, origin, attributes, expected):
    v2 = auto.client("sesv2")
    v2.create_email_identity(EmailIdentity=D)
    v2.create_email_identity(EmailIdentity="anna@example.com")
    before = dkim_v2(v2)
    answer = refused(
        v2.put_email_identity_dkim_signing_attributes,
        EmailIdentity=name,
        SigningAttributesOrigin=origin,
        SigningAttributes=attributes,
    )
    assert answer == expected
    assert dkim_v2(v2) == before


# Custom MAIL FROM


def mail_from_v1(ses, name=D):
    return ses.get_identity_mail_from_domain_attributes(Identities=[name])["MailFromDomainAttributes"][name]


def test_a_mail_from_domain_through_v1_and_v2(here):
    v1, v2 = here.client("ses"), here.client("sesv2")
    v1.verify_domain_identity(Domain=D)
    assert mail_from_v1(v1) == {"BehaviorOnMXFailure": "UseDefaultValue"}
    v1.set_identity_mail_from_domain(
        Identity=D, MailFromDomain="Bounce.example.com", BehaviorOnMXFailure="RejectMessage"
    )
    expected = {
        "MailFromDomain": "bounce.example.com",
        "MailFromDomainStatus": "PENDING",
        "BehaviorOnMxFailure": "REJECT_MESSAGE",
    }
    assert v2.get_email_identity(EmailIdentity=D)["MailFromAttributes"] == expected
    check(here, D, mail_from=FOUND)
    assert mail_from_v1(v1) == {
        "MailFromDomain": "bounce.example.com",
        "MailFromDomainStatus": "Success",
        "BehaviorOnMXFailure": "RejectMessage",
    }
    v2.put_email_identity_mail_from_attributes(EmailIdentity=D, MailFromDomain="bounce.example.com")
    assert mail_from_v1(v1)["MailFromDomainStatus"] == "Success"  # the same domain again
    assert mail_from_v1(v1)["BehaviorOnMXFailure"] == "UseDefaultValue"
    v2.put_email_identity_mail_from_attributes(EmailIdentity=D, MailFromDomain="other.example.com")
    assert mail_from_v1(v1)["MailFromDomainStatus"] == "Pending"
    v2.put_email_identity_mail_from_attributes(EmailIdentity=D)
    assert v2.get_email_identity(EmailIdentity=D)["MailFromAttributes"] == {"BehaviorOnMxFailure": "USE_DEFAULT_VALUE"}
    v2.put_email_identity_mail_from_attributes(EmailIdentity=D, MailFromDomain="bounce.example.com")
    v1.set_identity_mail_from_domain(Identity=D, MailFromDomain="")
    assert mail_from_v1(v1) == {"BehaviorOnMXFailure": "UseDefaultValue"}


def test_a_mail_from_domain_of_an_address(here):
    v1 = here.client("ses")
    v1.verify_email_identity(EmailAddress="anna@example.com")
    v1.set_identity_mail_from_domain(Identity="anna@example.com", MailFromDomain="bounce.example.com")
    check(here, "anna@example.com", mail_from=FOUND)
    assert mail_from_v1(v1, "anna@example.com")["MailFromDomainStatus"] == "Success"
    found = here.client("sesv2").get_email_identity(EmailIdentity="anna@example.com")
    assert found["VerificationStatus"] == "PENDING"


def test_a_mail_from_domain_is_verified_at_once_too(auto):
    v2 = auto.client("sesv2")
    v2.create_email_identity(EmailIdentity=D)
    v2.put_email_identity_mail_from_attributes(EmailIdentity=D, MailFromDomain="bounce.example.com")
    found = v2.get_email_identity(EmailIdentity=D)["MailFromAttributes"]
    assert found["MailFromDomainStatus"] == "SUCCESS"


@pytest.mark.parametrize("wrong", ["example.com", "bounce.example.org", "badexample.com", "a@b.example.com"])
def test_a_mail_from_domain_is_below_the_identity(auto, wrong):
    v1, v2 = auto.client("ses"), auto.client("sesv2")
    v1.verify_domain_identity(Domain=D)
    text = f"Provided MAIL-FROM domain '{wrong}' is not subdomain of the domain of the identity 'example.com'."
    answer = refused(v1.set_identity_mail_from_domain, Identity=D, MailFromDomain=wrong)
    assert answer == ("InvalidParameterValue", text, 400)
    answer = refused(v2.put_email_identity_mail_from_attributes, EmailIdentity=D, MailFromDomain=wrong)
    assert answer == ("BadRequestException", text, 400)


# Feedback


TOPIC = "arn:aws:sns:us-east-1:111111111111:feedback"


def notified(ses, name=D):
    return ses.get_identity_notification_attributes(Identities=[name])["NotificationAttributes"][name]


def test_notifications(here):
    v1, v2 = here.client("ses"), here.client("sesv2")
    v1.verify_domain_identity(Domain=D)
    off = {
        "ForwardingEnabled": True,
        "HeadersInBounceNotificationsEnabled": False,
        "HeadersInComplaintNotificationsEnabled": False,
        "HeadersInDeliveryNotificationsEnabled": False,
    }
    assert notified(v1) == off
    for kind in ("Bounce", "Delivery"):
        v1.set_identity_notification_topic(Identity=D, NotificationType=kind, SnsTopic=TOPIC)
    v1.set_identity_headers_in_notifications_enabled(Identity=D, NotificationType="Complaint", Enabled=True)
    v1.set_identity_notification_topic(Identity=D, NotificationType="Delivery")
    assert notified(v1) == off | {"BounceTopic": TOPIC, "HeadersInComplaintNotificationsEnabled": True}
    v1.set_identity_feedback_forwarding_enabled(Identity=D, ForwardingEnabled=False)
    assert notified(v1)["ForwardingEnabled"] is False
    assert v2.get_email_identity(EmailIdentity=D)["FeedbackForwardingStatus"] is False
    v2.put_email_identity_feedback_attributes(EmailIdentity=D, EmailForwardingEnabled=True)
    assert notified(v1)["ForwardingEnabled"] is True
    v1.delete_identity(Identity=D)
    v1.verify_domain_identity(Domain=D)
    assert notified(v1) == off


V1_SETTERS = [
    ("set_identity_dkim_enabled", {"DkimEnabled": True}),
    ("set_identity_mail_from_domain", {"MailFromDomain": "a.none.example"}),
    ("set_identity_notification_topic", {"NotificationType": "Bounce", "SnsTopic": TOPIC}),
    ("set_identity_feedback_forwarding_enabled", {"ForwardingEnabled": True}),
    ("set_identity_headers_in_notifications_enabled", {"NotificationType": "Bounce", "Enabled": True}),
]


@pytest.mark.parametrize(("operation", "params"), V1_SETTERS)
def test_unknown_in_v1(here, operation, params):
    here.client("ses", B).verify_domain_identity(Domain="none.example")  # of somebody else
    answer = refused(getattr(here.client("ses"), operation), Identity="none.example", **params)
    assert answer == ("MessageRejected", "Identity none.example is not verified or does not exist.", 400)


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("put_email_identity_dkim_attributes", {}),
        ("put_email_identity_mail_from_attributes", {}),
        ("put_email_identity_feedback_attributes", {}),
        ("put_email_identity_dkim_signing_attributes", {"SigningAttributesOrigin": "AWS_SES"}),
    ],
)
def test_unknown_in_v2(here, operation, params):
    here.client("ses", B).verify_domain_identity(Domain="none.example")
    answer = refused(getattr(here.client("sesv2"), operation), EmailIdentity="none.example", **params)
    assert answer == ("NotFoundException", "Email identity none.example does not exist.", 404)


@pytest.mark.parametrize(
    ("operation", "key"),
    [
        ("get_identity_dkim_attributes", "DkimAttributes"),
        ("get_identity_mail_from_domain_attributes", "MailFromDomainAttributes"),
        ("get_identity_notification_attributes", "NotificationAttributes"),
    ],
)
def test_questions_about_many(here, operation, key):
    ask = getattr(here.client("ses"), operation)
    here.client("ses").verify_domain_identity(Domain=D)
    assert list(ask(Identities=["Example.com", "none.example", "no identity"])[key]) == ["Example.com"]
    answer = refused(ask, Identities=["a.example"] * 101)
    assert answer[:2] == ("InvalidParameterValue", "The number of identities cannot exceed 100.")


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (
            {"NotificationType": "Open", "SnsTopic": TOPIC},
            "Invalid notification type: Open. Valid values are: Bounce, Complaint, Delivery.",
        ),
        ({"NotificationType": "Bounce", "SnsTopic": "topic"}, "Invalid SNS topic <topic>."),
        (
            {"NotificationType": "Bounce", "SnsTopic": TOPIC.replace("us-east-1", "eu-west-1")},
            f"Invalid SNS topic <{TOPIC.replace('us-east-1', 'eu-west-1')}>.",
        ),
    ],
)
def test_no_topics(here, params, text):
    v1 = here.client("ses")
    v1.verify_domain_identity(Domain=D)
    answer = refused(v1.set_identity_notification_topic, Identity=D, **params)
    assert answer == ("InvalidParameterValue", text, 400)
