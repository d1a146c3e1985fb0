"""Regions and accounts keep apart: what one verified another does not know; ids, hosts and passwords tell which."""

from __future__ import annotations

import smtplib

import pytest
from botocore.exceptions import ClientError

from peers.town import PROVIDER, Town, id_of, smtp_password, speak

pytestmark = pytest.mark.slow
MESSAGE = b"From: a@regional.test\r\nTo: ann@one.test\r\nSubject: x\r\n\r\nx\r\n"
TEXT = "Email address is not verified. The following identities failed the check in region "


@pytest.fixture(scope="module", autouse=True)
def only_in_ireland(town: Town) -> None:
    town.server.sesv2(region="eu-west-1").create_email_identity(EmailIdentity="regional.test")
    town.publish("regional.test")


def test_the_password_says_which_region(town: Town) -> None:
    assert town.submit(MESSAGE, "a@regional.test") == f"554 Message rejected: {TEXT}US-EAST-1: a@regional.test"
    message = id_of(town.submit(MESSAGE, "a@regional.test", region="eu-west-1"))
    assert message.startswith("0102")
    arrived = town.arrived("ann@one.test", message)
    assert arrived.reverse_path == f"{message}@eu-west-1.{PROVIDER}"
    assert arrived.parsed["Message-ID"] == f"<{message}@eu-west-1.{PROVIDER}>"
    assert arrived.parsed["Feedback-ID"].startswith("::1.eu-west-1.")
    assert town.signers(arrived.content) == ["regional.test", PROVIDER]
    assert {event["region"] for event in town.events(message)} == {"eu-west-1"}


def test_the_scope_says_which_region(town: Town) -> None:
    for service, rejected in (("ses", "MessageRejected"), ("sesv2", "MessageRejected")):
        here, there = town.server.client(service), town.server.client(service, region="eu-west-1")
        given = {"Content": {"Raw": {"Data": MESSAGE}}} if service == "sesv2" else {"RawMessage": {"Data": MESSAGE}}
        send = "send_email" if service == "sesv2" else "send_raw_email"
        with pytest.raises(ClientError) as refused:
            getattr(here, send)(**given)
        error = refused.value.response["Error"]
        assert (error["Code"], error["Message"]) == (rejected, f"{TEXT}US-EAST-1: a@regional.test")
        town.arrived("ann@one.test", getattr(there, send)(**given)["MessageId"])


def test_each_region_has_its_own_lists_and_figures(town: Town) -> None:
    here, there = town.server.ses(), town.server.ses(region="eu-west-1")
    assert "regional.test" not in here.list_identities()["Identities"]
    assert there.list_identities()["Identities"] == ["regional.test"]
    before = here.get_send_quota()["SentLast24Hours"]
    sent = there.get_send_quota()["SentLast24Hours"]
    there.send_raw_email(RawMessage={"Data": MESSAGE})
    assert there.get_send_quota()["SentLast24Hours"] == sent + 1
    assert here.get_send_quota()["SentLast24Hours"] == before
    with pytest.raises(ClientError):
        town.server.sesv2().get_email_identity(EmailIdentity="regional.test")


def test_the_same_domain_has_keys_of_its_own_in_each_region(town: Town) -> None:
    here = town.server.sesv2().create_email_identity(EmailIdentity="both.test")["DkimAttributes"]["Tokens"]
    there = town.server.sesv2(region="eu-west-1").create_email_identity(EmailIdentity="both.test")
    assert not set(here) & set(there["DkimAttributes"]["Tokens"])
    town.publish("both.test")
    message = MESSAGE.replace(b"regional.test", b"both.test")
    for region in ("us-east-1", "eu-west-1"):
        sent = id_of(town.submit(message, "a@both.test", region=region))
        assert town.signers(town.arrived("ann@one.test", sent).content) == ["both.test", PROVIDER]


def test_another_account_knows_nothing_of_it(town: Town) -> None:
    town.server.cli("account", "create", "123456789012")
    key = town.server.cli_json("key", "create", "--account", "123456789012")
    access_key, secret = key["access_key"], key["secret"]
    other = town.server.sesv2(key=access_key, secret=secret)
    assert other.list_email_identities()["EmailIdentities"] == []
    with pytest.raises(ClientError) as refused:
        other.send_email(Content={"Raw": {"Data": MESSAGE.replace(b"regional", b"sender")}})
    assert refused.value.response["Error"]["Message"] == f"{TEXT}US-EAST-1: a@sender.test"
    assert town.server.client("sts", key=access_key, secret=secret).get_caller_identity()["Account"] == "123456789012"
    client = smtplib.SMTP(*town.server.address("submission"), timeout=20)
    with client:
        client.starttls(context=town.trusting())
        client.login(access_key, smtp_password(secret, "us-east-1"))
        reply = speak(client, "a@sender.test", ["ann@one.test"], MESSAGE.replace(b"regional", b"sender"))
    assert reply == f"554 Message rejected: {TEXT}US-EAST-1: a@sender.test"


def test_a_region_that_is_not_served(town: Town) -> None:
    with pytest.raises(ClientError) as refused:
        town.server.ses(region="ap-south-1").get_send_quota()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert "valid region" in refused.value.response["Error"]["Message"]
