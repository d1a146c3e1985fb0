"""An address of an account's own: the operator assigns it, a pool holds it, the other side sees it, lists know it."""

from __future__ import annotations

import email
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from peers.town import SENDER, Town

pytestmark = pytest.mark.slow
FIRST, SECOND = "127.0.0.51", "127.0.0.52"
LISTS = ["bad.test", "worse.test"]
THIRD, FOURTH = "127.0.0.53", "127.0.0.54"
SOURCES = [
    f"one:{FIRST}=out1.provider.test",
    f"two:{SECOND}=out2.provider.test",
    f"spare:{THIRD}=out3.provider.test",
    f"spare:{FOURTH}=out4.provider.test",
]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A town of its own, whose server has two addresses to give away."""
    with Town(
        tmp_path_factory.mktemp("sources"), {"delivery.sources": SOURCES, "deliverability.blocklists": LISTS}
    ) as running:
        yield running


def send(town: Town, **more: Any) -> str:
    sent = town.server.sesv2().send_email(
        FromEmailAddress=SENDER,
        Destination={"ToAddresses": ["ann@one.test"]},
        Content={"Simple": {"Subject": {"Data": "where from"}, "Body": {"Text": {"Data": "text"}}}},
        **more,
    )
    return str(sent["MessageId"])


def seen_from(town: Town, message: str) -> tuple[str, str]:
    """Who the other side says it was: the name in EHLO and the address; and what we say in X-SES-Outgoing."""
    town.arrived("ann@one.test", message)
    (stored,) = (one for one in town.mx.messages("ann@one.test") if message.encode() in one)
    parsed = email.message_from_bytes(stored)
    received = " ".join(str(parsed["Received"]).split())
    return received.split(" by ")[0], str(parsed["X-SES-Outgoing"]).rpartition("-")[2]


def test_the_pool_decides(town: Town) -> None:
    v2 = town.server.sesv2()
    for ip in (FIRST, SECOND):
        town.server.cli("ip", "assign", ip)
    v2.create_dedicated_ip_pool(PoolName="news")
    v2.put_dedicated_ip_in_pool(Ip=SECOND, DestinationPoolName="news")
    for name, pool in (("news", "news"), ("shared", "ses-shared-pool")):
        v2.create_configuration_set(ConfigurationSetName=name, DeliveryOptions={"SendingPoolName": pool})
    client, own = seen_from(town, send(town, ConfigurationSetName="news"))
    assert (client.startswith("from out2.provider.test ("), f"[{SECOND}]" in client, own) == (True, True, SECOND)
    client, own = seen_from(town, send(town))
    assert (client.startswith("from out1.provider.test ("), f"[{FIRST}]" in client, own) == (True, True, FIRST)
    client, own = seen_from(town, send(town, ConfigurationSetName="shared"))
    assert client.startswith("from mail.provider.test (")
    assert own not in (FIRST, SECOND)
    # Moved while the server runs: the next message leaves from where it is now.
    v2.put_dedicated_ip_in_pool(Ip=FIRST, DestinationPoolName="news")
    town.server.cli("ip", "release", SECOND)
    assert seen_from(town, send(town, ConfigurationSetName="news"))[1] == FIRST
    assert seen_from(town, send(town))[0].startswith("from mail.provider.test (")


def test_a_pool_that_is_gone_refuses_its_mail(town: Town) -> None:
    v2 = town.server.sesv2()
    v2.create_dedicated_ip_pool(PoolName="gone")
    v2.create_configuration_set(ConfigurationSetName="gone", DeliveryOptions={"SendingPoolName": "gone"})
    v2.delete_dedicated_ip_pool(PoolName="gone")
    with pytest.raises(ClientError) as caught:
        send(town, ConfigurationSetName="gone")
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("NotFoundException", "SendingPool <gone> doesn't exist")
    template = {"TemplateContent": {"Subject": "s", "Text": "t"}, "TemplateData": "{}"}
    (result,) = v2.send_bulk_email(
        FromEmailAddress=SENDER,
        DefaultContent={"Template": template},
        BulkEmailEntries=[{"Destination": {"ToAddresses": ["ann@one.test"]}}],
        ConfigurationSetName="gone",
    )["BulkEmailEntryResults"]
    assert (result["Status"], result["Error"]) == ("INVALID_SENDING_POOL_NAME", "SendingPool <gone> doesn't exist")


def test_a_block_list_has_one_of_them(town: Town) -> None:
    for ip in (THIRD, FOURTH):
        town.server.cli("ip", "assign", ip)
    town.dns.set("worse.test", '53.0.0.127 A 127.0.0.3\n53.0.0.127 TXT "it was rude"\n')
    report = town.server.sesv2().get_blacklist_reports(BlacklistItemNames=[THIRD, FOURTH])["BlacklistReport"]
    assert report == {THIRD: [{"RblName": "worse.test", "Description": "it was rude"}], FOURTH: []}
