"""A principal that may only send as one address: by API and by SMTP, and what changes while its session lasts."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from peers.town import SENDER, Town, id_of, speak

pytestmark = pytest.mark.slow
ACCOUNT = "000000000000"
TO = "ann@one.test"
DOMAIN = SENDER.partition("@")[2]
IDENTITY = f"arn:aws:ses:us-east-1:{ACCOUNT}:identity/{DOMAIN}"
MAIL = f"From: {{}}\r\nTo: {TO}\r\nSubject: x\r\n\r\nx\r\n"


def policy(**members: Any) -> str:
    allow = {"Effect": "Allow", "Action": "ses:Send*", "Resource": IDENTITY, **members}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow]})


ONLY_SENDER = policy(Condition={"StringEquals": {"ses:FromAddress": SENDER}})


@pytest.fixture
def bob(town: Town, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The keys of a principal that sends as one address."""
    file = tmp_path / "policy.json"
    file.write_text(ONLY_SENDER)
    made = town.server.cli_json("key", "create", "--user", "bob", "--policy", str(file))
    yield {**made, "file": file, "arn": f"arn:aws:iam::{ACCOUNT}:user/bob"}
    town.server.cli("key", "delete", made["access_key"])


def text(bob: dict[str, Any], action: str) -> str:
    return f"User `{bob['arn']}' is not authorized to perform `ses:{action}' on resource `{IDENTITY}'"


def test_by_api_and_by_smtp(town: Town, bob: dict[str, Any]) -> None:
    keys = {"key": bob["access_key"], "secret": bob["secret"]}
    v2, v1 = town.server.sesv2(**keys), town.server.ses(**keys)

    def send(sender: str) -> str:
        body = {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}
        answer = v2.send_email(FromEmailAddress=sender, Destination={"ToAddresses": [TO]}, Content={"Simple": body})
        return str(answer["MessageId"])

    assert "Send" in {event["kind"] for event in town.events(send(SENDER))}
    with pytest.raises(ClientError) as refused:
        send(f"other@{DOMAIN}")
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("AccessDeniedException", text(bob, "SendEmail"))
    with pytest.raises(ClientError) as refused:
        v1.send_raw_email(RawMessage={"Data": MAIL.format(f"other@{DOMAIN}").encode()})
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("AccessDenied", text(bob, "SendRawEmail"))
    with pytest.raises(ClientError) as refused:
        v1.list_identities()
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    with town.smtp(login=False) as client:
        assert isinstance(client, smtplib.SMTP)
        client.login(bob["smtp_username"], bob["smtp_passwords"]["us-east-1"])
        reply = speak(client, SENDER, [TO], MAIL.format(SENDER).encode())
        assert "Send" in {event["kind"] for event in town.events(id_of(reply))}
        denied = speak(client, SENDER, [TO], MAIL.format(f"other@{DOMAIN}").encode())
        assert denied == f"554 Access denied: {text(bob, 'SendRawEmail')}"
        # The command writes beside the server, whose session goes on with the policy that holds then.
        bob["file"].write_text(policy(Action="ses:GetAccount", Resource="*"))
        town.server.cli("principal", "policy", "bob", str(bob["file"]))
        denied = speak(client, SENDER, [TO], MAIL.format(SENDER).encode())
        assert denied == f"554 Access denied: {text(bob, 'SendRawEmail')}"
    assert "SendQuota" in v2.get_account()
    with pytest.raises(ClientError) as refused:
        send(SENDER)
    assert refused.value.response["Error"]["Message"] == text(bob, "SendEmail")
