"""Templates through boto3: the same ones in v1 and v2, their errors, and what a send of them brings to the door."""

from __future__ import annotations

import email
import email.policy
import json

import pytest
from botocore.exceptions import ClientError

from mailstead.aws.operations import templated_sending
from mailstead.base.errors import (
    Closed,
    Denied,
    Invalid,
    MailFromNotVerified,
    NotFound,
    Paused,
    Rejected,
    Throttled,
    TooLarge,
    Unreachable,
)
from mailstead.ses.templates import Content

A, B = "111111111111", "222222222222"
V1 = {
    "TemplateName": "hello",
    "SubjectPart": "Hi {{name}}",
    "TextPart": "a\r\nb\nc\rd {{name}}",
    "HtmlPart": "<p>é</p>",
}
V2 = {"Subject": "Hi {{name}}", "Text": "a\r\nb\nc\rd {{name}}", "Html": "<p>é</p>"}


@pytest.fixture
def here(cloud):
    return cloud(v1_message_bytes=100_000, v2_message_bytes=200_000)


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"]


# Life


def test_a_life_in_v1_seen_in_v2(here):
    ses, sesv2 = here.client("ses"), here.client("sesv2")
    ses.create_template(Template=V1)
    assert ses.get_template(TemplateName="hello")["Template"] == V1
    seen = sesv2.get_email_template(TemplateName="hello")
    assert (seen["TemplateName"], seen["TemplateContent"], seen["Tags"]) == ("hello", V2, [])
    (listed,) = sesv2.list_email_templates()["TemplatesMetadata"]
    assert listed["TemplateName"] == "hello"
    assert listed["CreatedTimestamp"] == ses.list_templates()["TemplatesMetadata"][0]["CreatedTimestamp"]
    sesv2.update_email_template(TemplateName="hello", TemplateContent={"Subject": "S", "Html": "<b>"})
    changed = {"TemplateName": "hello", "SubjectPart": "S", "HtmlPart": "<b>"}
    assert ses.get_template(TemplateName="hello")["Template"] == changed
    ses.delete_template(TemplateName="hello")
    ses.delete_template(TemplateName="hello")
    assert ses.list_templates()["TemplatesMetadata"] == []
    text = "Template hello does not exist"
    assert refused(ses.get_template, TemplateName="hello") == ("TemplateDoesNotExist", text)
    assert refused(sesv2.get_email_template, TemplateName="hello") == ("NotFoundException", text)


def test_a_life_in_v2_seen_in_v1(here):
    ses, sesv2 = here.client("ses"), here.client("sesv2")
    tags = [{"Key": "team", "Value": "shop"}]
    sesv2.create_email_template(TemplateName="hello", TemplateContent=V2, Tags=tags)
    assert ses.get_template(TemplateName="hello")["Template"] == V1
    assert sesv2.get_email_template(TemplateName="hello")["Tags"] == tags
    arn = f"arn:aws:ses:us-east-1:{A}:template/hello"
    assert sesv2.list_tags_for_resource(ResourceArn=arn)["Tags"] == tags
    ses.update_template(Template={"TemplateName": "hello", "SubjectPart": "S", "TextPart": "T"})
    assert sesv2.get_email_template(TemplateName="hello")["TemplateContent"] == {"Subject": "S", "Text": "T"}
    sesv2.delete_email_template(TemplateName="hello")
    text = "Template hello does not exist"
    assert refused(sesv2.delete_email_template, TemplateName="hello") == ("NotFoundException", text)
    update = {"TemplateName": "hello", "TemplateContent": V2}
    assert refused(sesv2.update_email_template, **update) == ("NotFoundException", text)
    assert refused(ses.update_template, Template=V1) == ("TemplateDoesNotExist", text)


def test_a_name_is_taken_in_both(here):
    ses, sesv2 = here.client("ses"), here.client("sesv2")
    ses.create_template(Template=V1)
    text = f"Template hello already exists for account id {A}"
    assert refused(ses.create_template, Template=V1) == ("AlreadyExists", text)
    again = {"TemplateName": "hello", "TemplateContent": V2}
    assert refused(sesv2.create_email_template, **again) == ("AlreadyExistsException", text)


@pytest.mark.parametrize(
    ("parts", "code", "text"),
    [
        ({"SubjectPart": ""}, "InvalidParameterValue", "The subject must be specified."),
        (
            {"TextPart": "", "HtmlPart": ""},
            "InvalidParameterValue",
            "The text part or the html part must be specified.",
        ),
        ({"TextPart": "{{#if a}}"}, "InvalidTemplate", "Template text part: {{#if}} is not closed (line 1)"),
        ({"HtmlPart": "x" * 520_000}, "InvalidTemplate", "The template is larger than 500 KB."),
    ],
)
def test_contents_that_are_none(here, parts, code, text):
    ses, sesv2 = here.client("ses"), here.client("sesv2")
    given = {**V1, **parts}
    assert refused(ses.create_template, Template=given) == (code, text)
    content = {"Subject": given["SubjectPart"], "Text": given["TextPart"], "Html": given["HtmlPart"]}
    create = {"TemplateName": "hello", "TemplateContent": content}
    assert refused(sesv2.create_email_template, **create) == ("BadRequestException", text)
    ses.create_template(Template=V1)
    assert refused(ses.update_template, Template=given) == (code, text)
    assert refused(sesv2.update_email_template, **create) == ("BadRequestException", text)
    assert ses.get_template(TemplateName="hello")["Template"] == V1


def test_absent_parts_and_bad_names(here):
    ses, sesv2 = here.client("ses"), here.client("sesv2")
    code, text = refused(ses.create_template, Template={"TemplateName": "a"})
    assert (code, text) == ("InvalidParameterValue", "The subject must be specified.")
    assert refused(sesv2.create_email_template, TemplateName="a", TemplateContent={})[1] == text
    text = "Invalid template name <a b>: only alphanumeric ASCII characters, '_',  '-' are allowed."
    assert refused(ses.create_template, Template={**V1, "TemplateName": "a b"}) == ("InvalidParameterValue", text)
    create = {"TemplateName": "a b", "TemplateContent": V2}
    assert refused(sesv2.create_email_template, **create) == ("BadRequestException", text)
    assert refused(ses.create_template, Template={**V1, "TemplateName": "x" * 65})[0] == "InvalidParameterValue"


def test_pages(here):
    ses, sesv2 = here.client("ses"), here.client("sesv2")
    every = [f"t{n:03}" for n in range(103)]
    for name in every:
        ses.create_template(Template={**V1, "TemplateName": name})
    first = ses.list_templates()
    assert [one["Name"] for one in first["TemplatesMetadata"]] == every[:10]
    second = ses.list_templates(NextToken=first["NextToken"], MaxItems=5)
    assert [one["Name"] for one in second["TemplatesMetadata"]] == every[10:15]
    wide = ses.list_templates(MaxItems=5000)
    assert len(wide["TemplatesMetadata"]) == 100
    rest = ses.list_templates(MaxItems=100, NextToken=wide["NextToken"])
    assert [one["Name"] for one in rest["TemplatesMetadata"]] == every[100:]
    assert "NextToken" not in rest
    pages = ses.get_paginator("list_templates").paginate(PaginationConfig={"PageSize": 40})
    assert [one["Name"] for page in pages for one in page["TemplatesMetadata"]] == every
    found, token = [], {}
    while True:
        page = sesv2.list_email_templates(PageSize=50, **token)
        found += [one["TemplateName"] for one in page["TemplatesMetadata"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert found == every
    text = "The specified next token is invalid."
    assert refused(ses.list_templates, NextToken="x") == ("InvalidParameterValue", text)
    assert refused(sesv2.list_email_templates, NextToken=first["NextToken"]) == ("BadRequestException", text)
    for size in (0, 101, -1):
        assert refused(sesv2.list_email_templates, PageSize=size)[0] == "BadRequestException"


def test_accounts_and_regions_do_not_see_each_others(here):
    here.client("ses").create_template(Template=V1)
    for account, region in ((B, "us-east-1"), (A, "eu-west-1")):
        ses, sesv2 = here.client("ses", account, region), here.client("sesv2", account, region)
        assert ses.list_templates()["TemplatesMetadata"] == []
        assert sesv2.list_email_templates()["TemplatesMetadata"] == []
        assert refused(ses.get_template, TemplateName="hello")[0] == "TemplateDoesNotExist"
        assert refused(ses.update_template, Template=V1)[0] == "TemplateDoesNotExist"
        assert refused(ses.test_render_template, TemplateName="hello", TemplateData="{}")[0] == "TemplateDoesNotExist"
        assert refused(sesv2.delete_email_template, TemplateName="hello")[0] == "NotFoundException"
        ses.delete_template(TemplateName="hello")
        assert refused(ses.send_templated_email, **v1_send())[0] == "TemplateDoesNotExist"
        arn = f"arn:aws:ses:us-east-1:{A}:template/hello"
        assert refused(ses.send_templated_email, **v1_send(TemplateArn=arn))[0] == "TemplateDoesNotExist"
        content = {"Template": {"TemplateArn": arn, "TemplateData": "{}"}}
        assert refused(sesv2.send_email, **v2_send(content))[0] == "NotFoundException"
        sesv2.create_email_template(TemplateName="hello", TemplateContent={"Subject": "other", "Text": "t"})
    assert here.client("ses").get_template(TemplateName="hello")["Template"] == V1
    assert here.door.submissions == []


# Test rendering


def test_a_rendering_is_a_message(here):
    ses, sesv2 = here.client("ses"), here.client("sesv2")
    ses.create_template(Template=V1)
    data = json.dumps({"name": "Jo <é>"})
    for text in (
        ses.test_render_template(TemplateName="hello", TemplateData=data)["RenderedTemplate"],
        sesv2.test_render_email_template(TemplateName="hello", TemplateData=data)["RenderedTemplate"],
    ):
        message = email.message_from_bytes(text.encode(), policy=email.policy.default)
        names = ["Date", "Message-ID", "Subject", "MIME-Version", "Content-Type"]
        assert [name for name in message if name != "Content-Transfer-Encoding"] == names
        assert message["Subject"] == "Hi Jo <é>"
        assert message["Message-ID"].endswith("@email.mail.test>")
        assert message.get_content_type() == "multipart/alternative"
        plain, html = message.iter_parts()
        assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
        assert plain.get_content().splitlines() == ["a", "b", "c", "d Jo <é>"]
        assert html.get_content() == "<p>é</p>"


def test_renderings_that_fail(here):
    ses, sesv2 = here.client("ses"), here.client("sesv2")
    ses.create_template(Template=V1)
    text = "Attribute 'name' is not present in the rendering data."
    for data, code, told in (
        ("{}", "MissingRenderingAttribute", text),
        ('{"Name": "x"}', "MissingRenderingAttribute", text),
        ("{", "InvalidRenderingParameter", "The template data is not valid JSON."),
        ("[]", "InvalidRenderingParameter", "The template data must be a JSON object."),
        (
            '{"name": "a\\nb"}',
            "InvalidRenderingParameter",
            "The rendered subject contains a line break or control character.",
        ),
    ):
        assert refused(ses.test_render_template, TemplateName="hello", TemplateData=data) == (code, told)
        render = {"TemplateName": "hello", "TemplateData": data}
        assert refused(sesv2.test_render_email_template, **render) == ("BadRequestException", told)


# Sends


def v1_send(**changes):
    return {
        "Source": "Anna <a@example.com>",
        "Destination": {"ToAddresses": ["b@example.net"]},
        "Template": "hello",
        "TemplateData": '{"name": "Jo"}',
    } | changes


def v2_send(content=None, **changes):
    return {
        "FromEmailAddress": "Anna <a@example.com>",
        "Destination": {"ToAddresses": ["b@example.net"]},
        "Content": content or {"Template": {"TemplateName": "hello", "TemplateData": '{"name": "Jo"}'}},
    } | changes


@pytest.fixture
def stocked(here):
    here.client("ses").create_template(Template=V1)
    return here


CONTENT = Content(V1["SubjectPart"], V1["TextPart"], V1["HtmlPart"])


def test_a_templated_send_of_v1(stocked):
    stocked.client("ses").send_templated_email(
        **v1_send(
            Destination={"ToAddresses": ["b@x.org"], "CcAddresses": ["c@x.org"], "BccAddresses": ["d@x.org"]},
            ReplyToAddresses=["r@example.com"],
            ReturnPath="bounces@example.com",
            Tags=[{"Name": "n", "Value": "v"}],
            TemplateArn=f"arn:aws:ses:us-east-1:{A}:template/hello",
        )
    )
    (taken,) = stocked.door.submissions
    assert (taken.operation, taken.limit, taken.source) == ("SendTemplatedEmail", 100_000, "Anna <a@example.com>")
    assert (taken.to, taken.cc, taken.bcc) == (("b@x.org",), ("c@x.org",), ("d@x.org",))
    assert (taken.reply_to, taken.return_path) == (("r@example.com",), "bounces@example.com")
    assert taken.options.tags == (("n", "v"),)
    assert (taken.templated.content, taken.templated.data, taken.templated.name) == (CONTENT, {"name": "Jo"}, "hello")


def test_a_templated_send_of_v2(stocked):
    content = {
        "Template": {
            "TemplateArn": f"arn:aws:ses:us-east-1:{A}:template/hello",
            "TemplateData": '{"name": "Jo"}',
            "Headers": [{"Name": "X-A", "Value": "1"}],
            "Attachments": [{"RawContent": b"x", "FileName": "a.txt"}],
        }
    }
    stocked.client("sesv2").send_email(**v2_send(content, EmailTags=[{"Name": "n", "Value": "v"}]))
    (taken,) = stocked.door.submissions
    assert (taken.operation, taken.limit, taken.to) == ("SendEmail", 200_000, ("b@example.net",))
    assert (taken.templated.content, taken.templated.data, taken.templated.name) == (CONTENT, {"name": "Jo"}, "hello")
    assert taken.templated.headers == (("X-A", "1"),)
    assert taken.templated.attachments[0].filename == "a.txt"
    assert taken.options.tags == (("n", "v"),)


def test_inline_content(here):
    inline = {"Subject": "S {{a}}", "Text": "T {{b.c}}"}
    sesv2 = here.client("sesv2")
    sesv2.send_email(**v2_send({"Template": {"TemplateContent": inline, "TemplateData": '{"a": 1}'}}))
    sesv2.send_email(**v2_send({"Template": {"TemplateContent": inline}}))
    first, second = here.door.submissions
    assert (first.templated.content, first.templated.data) == (Content("S {{a}}", "T {{b.c}}"), {"a": 1})
    assert (first.templated.name, second.templated.data) == ("", {})
    for content, text in (
        (
            {"Subject": "S", "Text": "{{#if a}}x{{/if}}"},
            "Only simple substitution is possible in the template content of a send.",
        ),
        (
            {"Subject": "S", "Text": "{{a"},
            "Template text part: A tag is not closed or has something unexpected in it: {{a (line 1)",
        ),
        ({"Text": "x"}, "The subject must be specified."),
    ):
        params = v2_send({"Template": {"TemplateContent": content}})
        assert refused(sesv2.send_email, **params) == ("BadRequestException", text)


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (
            {},
            "BadRequestException",
            "The template must be given either by TemplateName or TemplateArn or by TemplateContent.",
        ),
        (
            {"TemplateName": "hello", "TemplateContent": {"Subject": "s", "Text": "t"}},
            "BadRequestException",
            "The template must be given either by TemplateName or TemplateArn or by TemplateContent.",
        ),
        ({"TemplateName": "absent"}, "NotFoundException", "Template absent does not exist"),
        ({"TemplateName": "hello", "TemplateData": "{"}, "BadRequestException", "The template data is not valid JSON."),
        (
            {"TemplateName": "hello", "TemplateData": "[]"},
            "BadRequestException",
            "The template data must be a JSON object.",
        ),
        (
            {"TemplateName": "hello", "Headers": [{"Name": "From", "Value": "x"}]},
            "BadRequestException",
            "Header From cannot be set by the Headers member.",
        ),
    ],
)
def test_templates_that_v2_refuses_at_once(stocked, given, code, text):
    sesv2 = stocked.client("sesv2")
    assert refused(sesv2.send_email, **v2_send({"Template": given})) == (code, text)
    bulk = {"DefaultContent": {"Template": given}, "BulkEmailEntries": [{"Destination": {"ToAddresses": ["a@x.org"]}}]}
    assert refused(sesv2.send_bulk_email, FromEmailAddress="a@example.com", **bulk) == (code, text)
    assert stocked.door.submissions == []


def test_what_v1_refuses_at_once(stocked):
    ses = stocked.client("ses")
    for changes, told in (
        ({"Template": "absent"}, ("TemplateDoesNotExist", "Template absent does not exist")),
        ({"TemplateData": "{"}, ("InvalidParameterValue", "The template data is not valid JSON.")),
        ({"TemplateData": "1"}, ("InvalidParameterValue", "The template data must be a JSON object.")),
        (
            {"Source": "a@example.com\r\nBcc: x@y.org"},
            ("InvalidParameterValue", "Source contains control or whitespace"),
        ),
    ):
        assert refused(ses.send_templated_email, **v1_send(**changes)) == told
    code, text = refused(ses.send_templated_email, **v1_send(TemplateData='"' + "x" * 262_144 + '"'))
    assert code == "ValidationError"
    assert "templateData" in text
    assert stocked.door.submissions == []


# Bulk


def to(*addresses, **more):
    return {"Destination": {"ToAddresses": list(addresses)}, **more}


def v1_bulk(*destinations, **changes):
    return {
        "Source": "a@example.com",
        "Template": "hello",
        "DefaultTemplateData": '{"name": "you", "deep": {"a": 1, "b": 2}}',
        "Destinations": list(destinations),
    } | changes


def v2_bulk(*entries, **changes):
    default = {"TemplateName": "hello", "TemplateData": '{"name": "you", "deep": {"a": 1, "b": 2}}'}
    return {
        "FromEmailAddress": "a@example.com",
        "DefaultContent": {"Template": default},
        "BulkEmailEntries": list(entries),
    } | changes


def replaced(data):
    return {"ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": data}}}


def test_bulk_of_v1(stocked):
    answer = stocked.client("ses").send_bulk_templated_email(
        **v1_bulk(
            to("a@x.org", ReplacementTemplateData='{"name": "A", "deep": {"a": 9}}'),
            to("b@x.org", ReplacementTags=[{"Name": "n", "Value": "own"}, {"Name": "o", "Value": "2"}]),
            to("c@x.org", ReplacementTemplateData="{}"),
            DefaultTags=[{"Name": "n", "Value": "default"}, {"Name": "m", "Value": "1"}],
            ReplyToAddresses=["r@example.com"],
            ReturnPath="bounces@example.com",
        )
    )
    assert [one["Status"] for one in answer["Status"]] == ["Success"] * 3
    assert all(one["MessageId"] for one in answer["Status"])
    first, second, third = sorted(stocked.door.submissions, key=lambda taken: taken.to)
    default = {"name": "you", "deep": {"a": 1, "b": 2}}
    assert first.templated.data == {"name": "A", "deep": {"a": 9}}
    assert second.templated.data == third.templated.data == default
    assert sorted(second.options.tags) == [("m", "1"), ("n", "own"), ("o", "2")]
    assert third.options.tags == (("n", "default"), ("m", "1"))
    for taken in (first, second, third):
        assert (taken.operation, taken.templated.name) == ("SendBulkTemplatedEmail", "hello")
        assert (taken.reply_to, taken.return_path) == (("r@example.com",), "bounces@example.com")


def test_bulk_of_v2(stocked):
    default = {
        "TemplateName": "hello",
        "TemplateData": "{}",
        "Headers": [{"Name": "X-A", "Value": "1"}, {"Name": "X-B", "Value": "2"}],
    }
    answer = stocked.client("sesv2").send_bulk_email(
        **v2_bulk(
            to("a@x.org", **replaced('{"name": "A"}')),
            to("b@x.org", ReplacementHeaders=[{"Name": "x-a", "Value": "own"}]),
            to("c@x.org", ReplacementTags=[{"Name": "n", "Value": "own"}]),
            DefaultContent={"Template": default},
            DefaultEmailTags=[{"Name": "n", "Value": "default"}],
        )
    )
    results = answer["BulkEmailEntryResults"]
    assert [one["Status"] for one in results] == ["SUCCESS"] * 3
    assert all(one["MessageId"] and "Error" not in one for one in results)
    first, second, third = sorted(stocked.door.submissions, key=lambda taken: taken.to)
    assert (first.templated.data, second.templated.data) == ({"name": "A"}, {})
    assert first.templated.headers == (("X-A", "1"), ("X-B", "2"))
    assert second.templated.headers == (("X-B", "2"), ("x-a", "own"))
    assert (second.options.tags, third.options.tags) == ((("n", "default"),), (("n", "own"),))
    assert first.operation == "SendBulkEmail"


STATUSES = [
    (Rejected("no"), "MessageRejected", "MESSAGE_REJECTED"),
    (MailFromNotVerified("no"), "MailFromDomainNotVerified", "MAIL_FROM_DOMAIN_NOT_VERIFIED"),
    (NotFound("no", kind="configuration-set"), "ConfigurationSetDoesNotExist", "CONFIGURATION_SET_NOT_FOUND"),
    (NotFound("no", kind="template"), "TemplateDoesNotExist", "TEMPLATE_NOT_FOUND"),
    (Closed("no", kind="closed"), "AccountSuspended", "ACCOUNT_SUSPENDED"),
    (Paused("no", kind="enforcement"), "AccountSuspended", "ACCOUNT_SUSPENDED"),
    (Throttled("no", kind="rate"), "AccountThrottled", "ACCOUNT_THROTTLED"),
    (Throttled("no", kind="daily"), "AccountDailyQuotaExceeded", "ACCOUNT_DAILY_QUOTA_EXCEEDED"),
    (Paused("no", kind="account"), "AccountSendingPaused", "ACCOUNT_SENDING_PAUSED"),
    (Paused("no", kind="configuration-set"), "ConfigurationSetSendingPaused", "CONFIGURATION_SET_SENDING_PAUSED"),
    (Invalid("no", kind="recipients"), "InvalidParameterValue", "INVALID_PARAMETER"),
    (TooLarge("no"), "InvalidParameterValue", "INVALID_PARAMETER"),
    (Unreachable("no"), "TransientFailure", "TRANSIENT_FAILURE"),
    (Denied("no"), "Failed", "FAILED"),
    (NotFound("no", kind="other"), "Failed", "FAILED"),
    (RuntimeError("secret"), "Failed", "FAILED"),
]


def test_each_entry_has_its_own_status_in_order(stocked, monkeypatch):
    errors = {f"e{n}@x.org": error for n, (error, _, _) in enumerate(STATUSES)}

    async def submit(submission):
        if submission.to[0] in errors:
            raise errors[submission.to[0]]
        return "id-of-" + submission.to[0]

    monkeypatch.setattr(stocked.door, "submit", submit)
    stocked = _again(stocked)
    entries = [to(f"e{n}@x.org") for n in range(len(STATUSES))]
    entries.insert(3, to("good@x.org"))
    answer = stocked.client("ses").send_bulk_templated_email(**v1_bulk(*entries))["Status"]
    expected = [(v1, v2) for _, v1, v2 in STATUSES]
    expected.insert(3, ("Success", "SUCCESS"))
    assert [one["Status"] for one in answer] == [v1 for v1, _ in expected]
    assert answer[3]["MessageId"] == "id-of-good@x.org"
    assert [one.get("Error") for one in answer[:4]] == ["no", "no", "no", None]
    assert "secret" not in str(answer)
    results = stocked.client("sesv2").send_bulk_email(**v2_bulk(*entries))["BulkEmailEntryResults"]
    assert [one["Status"] for one in results] == [v2 for _, v2 in expected]


def _again(here):
    """The gateway built once more, for a door that has changed."""
    from mailstead.aws.operations import build

    here.gateway._handlers = build(here.services)
    return here


def test_what_is_wrong_with_an_entry_is_its_status(stocked):
    answer = stocked.client("ses").send_bulk_templated_email(
        **v1_bulk(
            to("a@x.org", ReplacementTemplateData="{"),
            to("a@x.org", ReplacementTags=[{"Name": "a b", "Value": "v"}]),
            to(*[f"b{n}@x.org" for n in range(51)]),
            to("a@x.org\r\nBcc: b@x.org"),
            to("good@x.org"),
        )
    )["Status"]
    assert [one["Status"] for one in answer] == ["InvalidParameterValue"] * 4 + ["Success"]
    assert answer[0]["Error"] == "The template data is not valid JSON."
    assert answer[2]["Error"] == "Recipient count exceeds 50."
    assert [taken.to for taken in stocked.door.submissions] == [("good@x.org",)]


def test_what_is_wrong_with_the_call(stocked):
    ses, sesv2 = stocked.client("ses"), stocked.client("sesv2")
    many = [to("a@x.org")] * 51
    text = "Destination count exceeds 50."
    assert refused(ses.send_bulk_templated_email, **v1_bulk(*many)) == ("InvalidParameterValue", text)
    assert refused(sesv2.send_bulk_email, **v2_bulk(*many)) == ("BadRequestException", text)
    assert refused(ses.send_bulk_templated_email, **v1_bulk())[0] == "InvalidParameterValue"
    assert refused(sesv2.send_bulk_email, **v2_bulk())[0] == "BadRequestException"
    one = to("a@x.org")
    assert refused(ses.send_bulk_templated_email, **v1_bulk(one, Template="absent"))[0] == "TemplateDoesNotExist"
    bad = refused(ses.send_bulk_templated_email, **v1_bulk(one, DefaultTemplateData="{"))
    assert bad == ("InvalidParameterValue", "The template data is not valid JSON.")
    assert refused(sesv2.send_bulk_email, **v2_bulk(one, DefaultContent={}))[0] == "BadRequestException"
    assert refused(sesv2.send_bulk_email, **v2_bulk(one, TenantName="t"))[0] == "NotFoundException"
    params = v2_bulk(one)
    del params["FromEmailAddress"]
    assert refused(sesv2.send_bulk_email, **params)[1] == "FromEmailAddress must be specified."
    assert stocked.door.submissions == []


def test_fifty_and_large_files(stocked, monkeypatch):
    monkeypatch.setattr(templated_sending, "MANY_BYTES", 1000)
    entries = [to(f"b{n}@x.org") for n in range(50)]
    for size in (10, 2000):
        files = [{"RawContent": b"x" * size, "FileName": "a.bin"}]
        default = {"TemplateName": "hello", "TemplateData": "{}", "Attachments": files}
        params = v2_bulk(*entries, DefaultContent={"Template": default})
        results = stocked.client("sesv2").send_bulk_email(**params)["BulkEmailEntryResults"]
        assert [one["Status"] for one in results] == ["SUCCESS"] * 50
        taken = stocked.door.submissions[-50:]
        assert [one.to[0] for one in taken] == [f"b{n}@x.org" for n in range(50)]
        assert all(len(one.templated.attachments[0].content) == size for one in taken)
