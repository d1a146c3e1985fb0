"""Tenants send apart: by SMTP and by the API only with what is theirs, until they are switched off; counted apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from peers.town import Town, id_of

pytestmark = pytest.mark.slow
SENDER = "shop@tenants.test"


def entity(reference: str) -> dict[str, str]:
    return {"ReputationEntityType": "RESOURCE", "ReputationEntityReference": reference}


@pytest.fixture(scope="module", autouse=True)
def identity(town: Town) -> str:
    made = town.server.sesv2().create_email_identity(EmailIdentity="tenants.test")
    assert made["IdentityType"] == "DOMAIN"
    town.publish("tenants.test")
    account = town.server.client("sts").get_caller_identity()["Account"]
    return f"arn:aws:ses:us-east-1:{account}:identity/tenants.test"


@pytest.fixture
def tenant(town: Town, identity: str) -> str:
    name = f"t-{uuid4().hex[:8]}"
    town.server.sesv2().create_tenant(TenantName=name)
    return name


def message(tenant: str) -> bytes:
    return b"From: %s\r\nTo: ann@one.test\r\nSubject: x\r\nX-SES-TENANT: %s\r\n\r\nx\r\n" % (
        SENDER.encode(),
        tenant.encode(),
    )


def test_by_smtp(town: Town, identity: str, tenant: str) -> None:
    v2 = town.server.sesv2()
    assert town.submit(message(tenant), SENDER) == (
        f"554 Access denied: Tenant not associated with resources [{identity}]."
    )
    v2.create_tenant_resource_association(TenantName=tenant, ResourceArn=identity)
    name = id_of(town.submit(message(tenant), SENDER))
    arrived = town.arrived("ann@one.test", name)
    assert b"X-SES-TENANT" not in arrived.content
    insights = v2.get_message_insights(MessageId=name)
    assert {"Name": "ses:tenant-name", "Value": tenant} in insights["EmailTags"]
    reference = v2.get_tenant(TenantName=tenant)["Tenant"]["TenantArn"]
    switch = v2.update_reputation_entity_customer_managed_status
    switch(**entity(reference), SendingStatus="DISABLED")
    said = town.submit(message(tenant), SENDER)
    assert said.startswith(f"554 Message rejected: Sending paused for tenant <{tenant}>. For more information")
    switch(**entity(reference), SendingStatus="REINSTATED")
    id_of(town.submit(message(tenant), SENDER))


def test_by_the_api_and_counted(town: Town, identity: str, tenant: str) -> None:
    v2 = town.server.sesv2()
    send = {
        "FromEmailAddress": SENDER,
        "Destination": {"ToAddresses": ["ann@one.test"]},
        "Content": {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}},
        "TenantName": tenant,
    }
    with pytest.raises(ClientError) as refused:
        v2.send_email(**send)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert refused.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": f"Tenant not associated with resources [{identity}].",
    }
    v2.create_tenant_resource_association(TenantName=tenant, ResourceArn=identity)
    names = [v2.send_email(**send)["MessageId"] for _ in range(2)]
    for name in names:
        town.arrived("ann@one.test", name)
    now = datetime.now(UTC)
    query = {
        "Id": "q",
        "Namespace": "VDM",
        "Metric": "SEND",
        "Dimensions": {"TENANT_NAME": tenant},
        "StartDate": now - timedelta(days=2),
        "EndDate": now + timedelta(days=2),
    }
    (result,) = v2.batch_get_metric_data(Queries=[query])["Results"]
    assert sum(result["Values"]) == 2
    with pytest.raises(ClientError, match="because it has tenant associations"):
        v2.delete_email_identity(EmailIdentity="tenants.test")
