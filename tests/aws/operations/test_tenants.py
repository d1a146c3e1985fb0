"""Tenants and what they may use, through boto3; sends that name one, as far as the door."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from mailstead.ses import account, identities

A, B = "111111111111", "222222222222"
HERE = f"arn:aws:ses:us-east-1:{A}:"
CONTENT = {"Subject": "s", "Text": "t"}


def refused(call, **params):
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"]


def missing(name):
    return "NotFoundException", f"The requested tenant <{name}> does not exist."


def all_pages(call, member, **asked):
    found, token = [], {}
    while True:
        page = call(**asked, **token)
        found += page[member]
        if "NextToken" not in page:
            return found
        token = {"NextToken": page["NextToken"]}


@pytest.fixture
def here(cloud):
    return cloud(new_account=account.PRODUCTION)


@pytest.fixture
def v2(here):
    return here.client("sesv2")


def furnish(here, v2):
    """An identity, a configuration set and a template, each named example.com or one."""
    here.ground.run(lambda tx: identities.create(tx, A, "us-east-1", "example.com", verified=True))
    v2.create_configuration_set(ConfigurationSetName="one")
    v2.create_email_template(TemplateName="one", TemplateContent=CONTENT)
    return [HERE + name for name in ("configuration-set/one", "identity/example.com", "template/one")]


def test_a_life(here, v2):
    tags = [{"Key": "team", "Value": "shop"}]
    made = v2.create_tenant(TenantName="Shop_1-a", Tags=tags)
    made.pop("ResponseMetadata")
    key = made["TenantId"]
    assert (key[:3], len(key)) == ("tn-", 33)
    expected = {
        "TenantName": "Shop_1-a",
        "TenantId": key,
        "TenantArn": f"{HERE}tenant/Shop_1-a/{key}",
        "CreatedTimestamp": datetime.fromtimestamp(here.ground.clock.now() / 1000, UTC),
        "Tags": tags,
        "SendingStatus": "ENABLED",
    }
    assert made == expected
    assert v2.get_tenant(TenantName="Shop_1-a")["Tenant"] == expected
    expected.pop("Tags")
    assert v2.list_tenants()["Tenants"] == [expected]
    assert refused(v2.create_tenant, TenantName="Shop_1-a") == (
        "AlreadyExistsException",
        f"Tenant with name Shop_1-a already exists in account {A}",
    )
    v2.delete_tenant(TenantName="Shop_1-a")
    for call in (v2.get_tenant, v2.delete_tenant, v2.put_tenant_suppression_attributes, v2.list_tenant_resources):
        assert refused(call, TenantName="Shop_1-a") == missing("Shop_1-a")
    assert v2.list_tenants()["Tenants"] == []
    assert v2.create_tenant(TenantName="Shop_1-a")["TenantId"] != key


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (" ", "TenantName cannot be empty"),
        ("x" * 65, "TenantName cannot exceed 64 characters."),
        ("a b", "Invalid tenant name <a b>: only alphanumeric ASCII characters, '_', and '-' are allowed."),
        ("é\r\n", "Invalid tenant name <é\r\n>: only alphanumeric ASCII characters, '_', and '-' are allowed."),
    ],
)
def test_names_that_are_none(v2, name, text):
    for call in (v2.create_tenant, v2.get_tenant, v2.delete_tenant):
        assert refused(call, TenantName=name) == ("BadRequestException", text)


def test_tags_are_of_the_tenant_that_is_there(v2):
    arn = v2.create_tenant(TenantName="t", Tags=[{"Key": "a", "Value": "1"}])["TenantArn"]
    v2.tag_resource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    v2.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert v2.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    assert v2.get_tenant(TenantName="t")["Tenant"]["Tags"] == [{"Key": "b", "Value": "2"}]
    v2.delete_tenant(TenantName="t")
    v2.create_tenant(TenantName="t")
    for call, more in ((v2.tag_resource, {"Tags": []}), (v2.list_tags_for_resource, {})):
        assert refused(call, ResourceArn=arn, **more)[0] == "NotFoundException"
    assert refused(v2.create_tenant, TenantName="u", Tags=[{"Key": "aws:x", "Value": ""}])[0] == "BadRequestException"
    assert refused(v2.get_tenant, TenantName="u") == missing("u")


def test_lists_by_page_and_filter(here, v2):
    for name in ("shop", "Shop-2", "a_b", "axb", "news"):
        v2.create_tenant(TenantName=name)
    here.client("sesv2", B).create_tenant(TenantName="theirs")

    def listed(size=2, **wanted):
        more = {"Filter": wanted} if wanted else {}
        return {one["TenantName"] for one in all_pages(v2.list_tenants, "Tenants", PageSize=size, **more)}

    assert listed() == listed(1000) == {"shop", "Shop-2", "a_b", "axb", "news"}
    assert listed(TENANT_NAME_CONTAINS="SHOP") == {"shop", "Shop-2"}
    assert listed(TENANT_NAME_CONTAINS="a_b") == {"a_b"}
    assert listed(TENANT_NAME_CONTAINS="%") == set()
    reference = v2.get_tenant(TenantName="news")["Tenant"]["TenantArn"]
    v2.update_reputation_entity_customer_managed_status(
        ReputationEntityType="RESOURCE", ReputationEntityReference=reference, SendingStatus="DISABLED"
    )
    assert listed(SENDING_STATUS="DISABLED") == {"news"}
    assert listed(SENDING_STATUS="DISABLED", TENANT_NAME_CONTAINS="shop") == set()
    assert listed(SENDING_STATUS="ENABLED") == {"shop", "Shop-2", "a_b", "axb"}
    assert refused(v2.list_tenants, Filter={"SENDING_STATUS": "x"})[0] == "BadRequestException"
    token = v2.list_tenants(PageSize=1)["NextToken"]
    assert refused(v2.list_tenants, NextToken=token, Filter={"SENDING_STATUS": "ENABLED"})[0] == "BadRequestException"
    paginated = v2.get_paginator("list_tenants").paginate(PaginationConfig={"PageSize": 2})
    assert sum(len(page["Tenants"]) for page in paginated) == 5


def test_suppression_attributes(v2):
    own = {"SuppressedReasons": ["COMPLAINT", "BOUNCE"], "SuppressionScope": "TENANT"}
    made = v2.create_tenant(TenantName="t", SuppressionAttributes=own)["SuppressionAttributes"]
    expected = {"SuppressedReasons": ["BOUNCE", "COMPLAINT"], "SuppressionScope": "TENANT"}
    assert made == v2.get_tenant(TenantName="t")["Tenant"]["SuppressionAttributes"] == expected
    nothing = {"SuppressedReasons": [], "SuppressionScope": "ACCOUNT"}
    v2.put_tenant_suppression_attributes(TenantName="t", **nothing)
    assert v2.get_tenant(TenantName="t")["Tenant"]["SuppressionAttributes"] == nothing
    v2.put_tenant_suppression_attributes(TenantName="t")
    assert "SuppressionAttributes" not in v2.get_tenant(TenantName="t")["Tenant"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"SuppressedReasons": ["BOUNCE"]},
            "SuppressedReasons cannot be specified without SuppressionScope.",
        ),
        (
            {"SuppressedReasons": []},
            "SuppressionScope is required when SuppressedReasons are provided. Valid values are: TENANT, ACCOUNT",
        ),
        ({"SuppressionScope": "TENANT"}, "SuppressionScope cannot be specified without SuppressedReasons."),
        (
            {"SuppressionScope": "TENANT", "SuppressedReasons": ["BOUNCE", "BOUNCE"]},
            "Each suppressed reason can only be specified at most once",
        ),
    ],
)
def test_half_of_them(v2, given, text):
    v2.create_tenant(TenantName="t")
    expected = ("BadRequestException", text)
    assert refused(v2.put_tenant_suppression_attributes, TenantName="t", **given) == expected
    assert refused(v2.create_tenant, TenantName="u", SuppressionAttributes=given) == expected


# -- what they may use


def test_resources_of_a_tenant(here, v2):
    arns = furnish(here, v2)
    for name in ("t", "u"):
        v2.create_tenant(TenantName=name)
    for arn in reversed(arns):
        v2.create_tenant_resource_association(TenantName="t", ResourceArn=arn)
    v2.create_tenant_resource_association(TenantName="u", ResourceArn=arns[0])
    assert refused(v2.create_tenant_resource_association, TenantName="t", ResourceArn=arns[0]) == (
        "AlreadyExistsException",
        f"Resources {arns[0]} has already been associated with tenant t",
    )
    kinds = ("configuration-set", "identity", "template")
    listed = [{"ResourceType": kind, "ResourceArn": arn} for kind, arn in zip(kinds, arns, strict=True)]
    assert all_pages(v2.list_tenant_resources, "TenantResources", TenantName="t", PageSize=1) == listed
    only = v2.list_tenant_resources(TenantName="t", Filter={"RESOURCE_TYPE": "identity"})
    assert only["TenantResources"] == listed[1:2]
    assert refused(v2.list_tenant_resources, TenantName="t", Filter={"RESOURCE_TYPE": "EMAIL_IDENTITY"}) == (
        "BadRequestException",
        "Invalid resource type EMAIL_IDENTITY specified.",
    )
    inverse = all_pages(v2.list_resource_tenants, "ResourceTenants", ResourceArn=arns[0], PageSize=1)
    assert {one["TenantName"] for one in inverse} == {"t", "u"}
    assert {one["ResourceArn"] for one in inverse} == {arns[0]}
    then = datetime.fromtimestamp(here.ground.clock.now() / 1000, UTC)
    assert {one["AssociatedTimestamp"] for one in inverse} == {then}
    for _ in range(2):
        v2.delete_tenant_resource_association(TenantName="t", ResourceArn=arns[0])
    assert v2.list_tenant_resources(TenantName="t")["TenantResources"] == listed[1:]
    v2.delete_tenant(TenantName="u")
    assert v2.list_resource_tenants(ResourceArn=arns[0])["ResourceTenants"] == []


def test_what_a_tenant_may_use_is_not_deleted(here, v2):
    arns, v1 = furnish(here, v2), here.client("ses")
    v2.create_tenant(TenantName="t")
    deletions = (
        (v2.delete_configuration_set, {"ConfigurationSetName": "one"}),
        (v2.delete_email_identity, {"EmailIdentity": "example.com"}),
        (v2.delete_email_template, {"TemplateName": "one"}),
        (v1.delete_configuration_set, {"ConfigurationSetName": "one"}),
        (v1.delete_identity, {"Identity": "example.com"}),
        (v1.delete_template, {"TemplateName": "one"}),
    )
    for arn in arns:
        v2.create_tenant_resource_association(TenantName="t", ResourceArn=arn)
    for (call, named), arn in zip(deletions, arns * 2, strict=True):
        code = "BadRequestException" if call.__self__ is v2 else "InvalidParameterValue"
        text = (
            f"Cannot delete <{arn}> because it has tenant associations. Remove all tenant associations and try again."
        )
        assert refused(call, **named) == (code, text)
    assert v2.get_email_identity(EmailIdentity="example.com")["VerifiedForSendingStatus"]
    v2.delete_tenant(TenantName="t")
    for call, named in deletions[:3]:
        call(**named)
    v2.create_tenant(TenantName="t")
    for arn in arns:
        assert refused(v2.create_tenant_resource_association, TenantName="t", ResourceArn=arn)[0] == "NotFoundException"


@pytest.mark.parametrize(
    ("arn", "text"),
    [
        ("nonsense", "Provided resource identifier is not an SES resource"),
        ("arn:aws:s3:::bucket", "Provided ARN is not in SES resource ARN format"),
        (HERE + "contact-list/news", "Unsupported resource type: contact-list"),
        (HERE + "identity/", "Provided resource identifier is not an SES resource"),
        (f"arn:aws:ses:eu-west-1:{A}:identity/x.org", "Resource <{}> must be in the same region"),
        (f"arn:aws:ses:us-east-1:{B}:identity/x.org", "Resource <{}> must be in the same account"),
    ],
)
def test_what_no_tenant_may_use(v2, arn, text):
    v2.create_tenant(TenantName="t")
    expected = ("BadRequestException", text.format(arn))
    for call in (v2.create_tenant_resource_association, v2.delete_tenant_resource_association):
        assert refused(call, TenantName="t", ResourceArn=arn) == expected
    assert refused(v2.list_resource_tenants, ResourceArn=arn) == expected


def test_accounts_and_regions_are_apart(here, v2):
    (arn, *_), _ = furnish(here, v2), v2.create_tenant(TenantName="t")
    v2.create_tenant_resource_association(TenantName="t", ResourceArn=arn)
    for other in (here.client("sesv2", B), here.client("sesv2", A, "eu-west-1")):
        assert other.list_tenants()["Tenants"] == []
        for call in (other.get_tenant, other.delete_tenant, other.list_tenant_resources):
            assert refused(call, TenantName="t") == missing("t")
        other.create_tenant(TenantName="t")
        assert other.list_tenant_resources(TenantName="t")["TenantResources"] == []
        other.delete_tenant(TenantName="t")
    assert len(v2.list_resource_tenants(ResourceArn=arn)["ResourceTenants"]) == 1


# -- sends


def test_sends_name_a_tenant(here, v2):
    furnish(here, v2)
    message = {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}}
    v2.send_email(
        FromEmailAddress="a@example.com", Destination={"ToAddresses": ["b@x.org"]}, Content=message, TenantName="t"
    )
    assert here.door.submissions[-1].options.tenant == "t"


def test_a_bulk_send_is_refused_as_a_whole(here, v2):
    arns = furnish(here, v2)
    bulk = {
        "FromEmailAddress": "Anna <a@example.com>",
        "DefaultContent": {"Template": {"TemplateName": "one", "TemplateData": "{}"}},
        "BulkEmailEntries": [{"Destination": {"ToAddresses": ["b@x.org"]}}],
        "ConfigurationSetName": "one",
        "TenantName": "t",
    }
    assert refused(v2.send_bulk_email, **bulk) == ("NotFoundException", f"Tenant t for AwsAccountId {A} not found.")
    reference = v2.create_tenant(TenantName="t")["TenantArn"]
    needed = ", ".join((arns[1], arns[0], arns[2]))
    assert refused(v2.send_bulk_email, **bulk) == (
        "AccessDeniedException",
        f"Tenant not associated with resources [{needed}].",
    )
    for arn in arns:
        v2.create_tenant_resource_association(TenantName="t", ResourceArn=arn)
    (result,) = v2.send_bulk_email(**bulk)["BulkEmailEntryResults"]
    assert (result["Status"], here.door.submissions[-1].options.tenant) == ("SUCCESS", "t")
    v2.update_reputation_entity_customer_managed_status(
        ReputationEntityType="RESOURCE", ReputationEntityReference=reference, SendingStatus="DISABLED"
    )
    code, text = refused(v2.send_bulk_email, **bulk)
    assert (code, text.partition(". ")[0]) == ("SendingPausedException", "Sending paused for tenant <t>")
    assert len(here.door.submissions) == 1
