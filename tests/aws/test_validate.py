"""Validate: SES's words for every kind of constraint, every breach told."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mailstead.aws import model, validate


def check(service: str, operation: str, **params: Any) -> str:
    return validate.check(service, model.load(service).operations[operation].input, params)  # type: ignore[arg-type]


def one(text: str) -> str:
    return f"1 validation error detected: {text}"


def test_what_ses_says_of_an_enum() -> None:
    assert check("ses", "SetIdentityMailFromDomain", Identity="a", BehaviorOnMXFailure="x") == one(
        "Value 'x' at 'behaviorOnMXFailure' failed to satisfy constraint: "
        "Member must satisfy enum value set: [UseDefaultValue, RejectMessage]"
    )


def test_what_ses_says_of_a_missing_member() -> None:
    assert check("ses", "SendEmail", Destination={}, Message={"Subject": {"Data": "x"}, "Body": {}}) == one(
        "Value at 'source' failed to satisfy constraint: Member must not be null"
    )


def test_all_breaches_are_told_with_their_paths() -> None:
    text = check(
        "sesv2",
        "SendEmail",
        Content={
            "Simple": {
                "Subject": {},
                "Body": {},
                "Headers": [{"Name": "ok", "Value": "v"}, {"Name": "bad name", "Value": "가"}],
            }
        },
    )
    assert text == (
        "3 validation errors detected: "
        "Value at 'content.simple.subject.data' failed to satisfy constraint: Member must not be null; "
        "Value 'bad name' at 'content.simple.headers.2.member.name' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: ^[!-9;-@A-~]+$; "
        "Value '가' at 'content.simple.headers.2.member.value' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [ -~]*"
    )


def test_lengths_and_ranges() -> None:
    assert check("sesv2", "CreateEmailIdentity", EmailIdentity="") == one(
        "Value '' at 'emailIdentity' failed to satisfy constraint: Member must have length greater than or equal to 1"
    )
    page = check("sesv2", "ListMultiRegionEndpoints", PageSize=1001)
    assert page.endswith("Member must have value less than or equal to 1000")
    delivery = {"ConfigurationSetName": "c", "MaxDeliverySeconds": 299}
    assert check("sesv2", "PutConfigurationSetDeliveryOptions", **delivery) == one(
        "Value '299' at 'maxDeliverySeconds' failed to satisfy constraint: "
        "Member must have value greater than or equal to 300"
    )


def test_plain_members_of_lists_are_told_for_the_whole_list() -> None:
    text = check("sesv2", "PutAccountSuppressionAttributes", SuppressedReasons=["BOUNCE", "SPAM"])
    assert text == one(
        "Value '[BOUNCE, SPAM]' at 'suppressedReasons' failed to satisfy constraint: "
        "Member must satisfy constraint: [Member must satisfy enum value set: [BOUNCE, COMPLAINT]]"
    )


def test_a_null_in_a_list() -> None:
    text = check("sesv2", "ListSuppressedDestinations", Reasons=[None])
    assert text == one("Value at 'reasons.1.member' failed to satisfy constraint: Member must not be null")


def test_secrets_are_not_repeated() -> None:
    signing = {"DomainSigningSelector": "s", "DomainSigningPrivateKey": "not base64 !"}
    text = check("sesv2", "CreateEmailIdentity", EmailIdentity="d.example", DkimSigningAttributes=signing)
    assert "not base64" not in text
    assert text.startswith(one("Value at 'dkimSigningAttributes.domainSigningPrivateKey' failed to satisfy"))


def test_what_ses_words_itself_is_left_to_the_handler() -> None:
    assert check("ses", "SetIdentityNotificationTopic", Identity="a", NotificationType="X") == ""
    assert check("ses", "ListCustomVerificationEmailTemplates", MaxResults=1000) == ""


def test_a_page_of_breaches_is_cut() -> None:
    headers = [{"Name": "bad name", "Value": "\n" * 900}] * 500
    text = check("sesv2", "SendEmail", Content={"Simple": {"Subject": {"Data": ""}, "Body": {}, "Headers": headers}})
    assert text.startswith("1001 validation errors detected: ")
    assert len(text) < 20_000


@pytest.mark.parametrize(
    "evil", ["s3://a/" + "a" * 100_000 + "//", "s3://a/" + "/" * 100_000, "s3://" + "a" * 2_000 + "\n"]
)
def test_no_pattern_runs_away(evil: str) -> None:
    source = {"S3Url": evil, "DataFormat": "CSV"}
    began = time.perf_counter()
    text = check("sesv2", "CreateImportJob", ImportDestination={}, ImportDataSource=source)
    assert "importDataSource.s3Url" in text
    assert time.perf_counter() - began < 2


def test_every_pattern_compiles_and_holds_for_the_whole_value() -> None:
    """A pattern that ends in ``$`` must not let a line end through; that of a web address takes anything."""
    shapes = [shape for name in ("ses", "sesv2") for shape in model.load(name).shapes.values() if shape.pattern]  # type: ignore[arg-type]
    assert len(shapes) > 12
    assert {shape.name for shape in shapes if validate._matches(shape, "\n")} == {"WebsiteURL"}
