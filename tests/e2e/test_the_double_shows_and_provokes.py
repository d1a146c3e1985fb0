"""The test double: what a suite may look at, clear, move and break when the server runs with ``--dev``."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from peers.ground import wait_for
from peers.server import Server
from peers.town import speak

pytestmark = pytest.mark.slow
RAW = b"From: a@x.test\r\nTo: b@y.test\r\nBcc: c@y.test\r\nSubject: raw\r\nX-SES-MESSAGE-TAGS: a=b\r\n\r\nHello raw\r\n"
TEXT = {"Subject": {"Data": "Hi 안녕"}, "Body": {"Text": {"Data": "Grüße"}, "Html": {"Data": "<b>Grüße</b>"}}}


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("double") / "data", dev=True) as server:
        yield server


@pytest.fixture(autouse=True)
def clean(double: Server) -> None:
    assert double.http("DELETE", "/_aws/ses")[0] in (200, 204)
    for part in ("auth", "receive", "accept", "database", "blobs", "dns"):
        double.http("POST", "/_mailstead/fault", {"at": part, "count": 0})
    verify(double, "x.test")


def listed(server: Server, query: str = "") -> list[dict[str, Any]]:
    status, body = server.http("GET", f"/_aws/ses{query}")
    assert status == 200
    messages: list[dict[str, Any]] = json.loads(body)["messages"]
    return messages


def verify(server: Server, identity: str, **more: str) -> None:
    status, body = server.http("POST", "/_mailstead/verify", {"identity": identity, **more})
    assert status == 200, body


def send(server: Server, **options: str) -> str:
    sent = server.sesv2(**options).send_email(
        FromEmailAddress="A <a@x.test>", Destination={"ToAddresses": ["b@y.test"]}, Content={"Simple": TEXT}
    )
    return str(sent["MessageId"])


def login(server: Server, user: str = "", password: str = "") -> smtplib.SMTP:
    client = smtplib.SMTP(*server.address("submission"), timeout=20)
    known = server.smtp_login
    try:
        client.starttls()
        client.login(user or known[0], password or known[1])
    except BaseException:
        client.close()
        raise
    return client


# -- looking -----------------------------------------------------------------------------------------------------------


def test_every_submission_is_listed_once_in_the_known_shape(double: Server) -> None:
    simple = send(double)
    raw = double.ses().send_raw_email(RawMessage={"Data": RAW})["MessageId"]
    with login(double) as client:
        by_smtp = speak(client, "a@x.test", ["b@y.test"], RAW).removeprefix("250 Ok ")
    messages = {one["Id"]: one for one in listed(double)}
    assert list(messages) == [simple, raw, by_smtp]
    first = messages[simple]
    assert first["Region"] == "us-east-1"
    assert first["Source"] == "A <a@x.test>"
    assert first["Destination"] == {"ToAddresses": ["b@y.test"]}
    assert first["Subject"] == "Hi 안녕"
    assert {name: text.strip() for name, text in first["Body"].items()} == {
        "text_part": "Grüße",
        "html_part": "<b>Grüße</b>",
    }
    assert first["Timestamp"]
    for message in (raw, by_smtp):
        assert messages[message]["RawData"] == RAW.decode()
        assert "Body" not in messages[message]
    assert [one["Id"] for one in listed(double, f"?id={raw}")] == [raw]
    assert len(listed(double, "?email=a@x.test")) == 3
    assert listed(double, "?email=nobody@x.test") == []


def test_clearing_one_and_all(double: Server) -> None:
    first, second = send(double), send(double)
    assert double.http("DELETE", f"/_aws/ses?id={first}")[0] in (200, 204)
    assert [one["Id"] for one in listed(double)] == [second]
    assert double.http("DELETE", "/_aws/ses")[0] in (200, 204)
    assert listed(double) == []


def test_copies_are_told_apart_in_the_destination(double: Server) -> None:
    double.sesv2().send_email(
        FromEmailAddress="a@x.test",
        Destination={
            "ToAddresses": ["To Ö <to@y.test>", "two@例え.test"],
            "CcAddresses": ["cc@y.test", "to@y.test"],
            "BccAddresses": ["bcc@y.test"],
        },
        Content={"Simple": TEXT},
    )
    (message,) = listed(double)
    destination = message["Destination"]
    assert [address.partition("<")[2] or address for address in destination["ToAddresses"]] == [
        "to@y.test>",
        "two@例え.test",
    ]
    assert destination["CcAddresses"] == ["cc@y.test"]  # an address counts once
    assert destination["BccAddresses"] == ["bcc@y.test"]


# -- who may -----------------------------------------------------------------------------------------------------------


def test_unknown_keys_are_let_in_and_twelve_digits_are_the_account(double: Server) -> None:
    def account(key: str) -> str:
        return str(double.client("sts", key=key, secret="whatever").get_caller_identity()["Account"])

    assert account("anything") == "000000000000"
    assert account("111122223333") == "111122223333"
    with pytest.raises(ClientError) as refused:
        send(double, key="111122223333", secret="x")
    assert refused.value.response["Error"]["Code"] == "MessageRejected"
    verify(double, "x.test", account="111122223333")
    message = send(double, key="111122223333", secret="x")
    (event, *_) = double.cli_json("events", "list", "--message", message)
    assert event["account"] == "111122223333"
    with login(double, "111122223333", "whatever") as client:
        assert speak(client, "a@x.test", ["b@y.test"], RAW).startswith("250 Ok ")


def test_a_known_key_must_be_signed_rightly(double: Server) -> None:
    key = double.credentials["default"]["aws_access_key_id"]
    with pytest.raises(ClientError) as refused:
        send(double, key=key, secret="wrong" * 8)
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
    with pytest.raises(smtplib.SMTPAuthenticationError):
        login(double, key, "wrong")


def test_identities_verify_at_once_and_any_region_is_served(double: Server) -> None:
    made = double.sesv2(region="ap-northeast-1").create_email_identity(EmailIdentity="tokyo.test")
    assert made["VerifiedForSendingStatus"] is True
    sent = double.ses(region="ap-northeast-1").send_raw_email(
        RawMessage={"Data": RAW.replace(b"a@x.test", b"a@tokyo.test")}
    )
    assert listed(double, f"?id={sent['MessageId']}")[0]["Region"] == "ap-northeast-1"


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_the_clock_moves(double: Server) -> None:
    before = double.ses().get_send_quota()["SentLast24Hours"]
    send(double)
    assert double.ses().get_send_quota()["SentLast24Hours"] == before + 1
    status, body = double.http("POST", "/_mailstead/clock", {"advance": 25 * 3600})
    assert status == 200, body
    assert double.ses().get_send_quota()["SentLast24Hours"] == 0  # signatures still hold: they go by the real time
    first = send(double)
    double.http("POST", "/_mailstead/clock", {"advance": 1})
    assert send(double)[:16] > first[:16]
    for wrong in ({"advance": -5}, {"advance": "x"}, {}, {"advance": 1e12}):
        assert double.http("POST", "/_mailstead/clock", wrong)[0] == 400


# -- faults ------------------------------------------------------------------------------------------------------------


def fault(server: Server, part: str, count: int = 1) -> None:
    status, body = server.http("POST", "/_mailstead/fault", {"at": part, "count": count})
    assert status == 200, body


def test_auth_fails_for_a_while(double: Server) -> None:
    fault(double, "auth", 2)  # smtplib tries PLAIN, then LOGIN
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        login(double)
    assert (refused.value.smtp_code, refused.value.smtp_error) == (454, b"Temporary authentication failure")
    login(double).quit()


def test_receiving_fails_for_a_while(double: Server) -> None:
    with login(double) as client:
        fault(double, "receive")
        assert speak(client, "a@x.test", ["b@y.test"], RAW) == "454 Temporary service failure"
        assert speak(client, "a@x.test", ["b@y.test"], RAW).startswith("250 Ok ")
    assert len(listed(double)) == 1


@pytest.mark.parametrize("part", ["accept", "database", "blobs"])
def test_what_cannot_be_kept_is_not_answered_250(double: Server, part: str) -> None:
    big = RAW + b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 12_000  # large enough for a file of its own
    with login(double) as client:
        fault(double, part)
        reply = speak(client, "a@x.test", ["b@y.test"], big)
        assert reply == "451 Temporary service failure", reply
        fault(double, part, 0)
        assert speak(client, "a@x.test", ["b@y.test"], big).startswith("250 Ok ")
    assert len(listed(double)) == 1


def test_the_api_says_try_again(double: Server) -> None:
    fault(double, "accept")
    with pytest.raises(ClientError) as refused:
        send(double)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    assert "Traceback" not in str(refused.value)
    send(double)


def test_wrong_faults(double: Server) -> None:
    for wrong in ({"at": "nothing"}, {}, {"at": "auth", "count": -1}, {"at": "auth", "count": "x"}, []):
        status, body = double.http("POST", "/_mailstead/fault", wrong)
        assert status == 400, wrong
        assert json.loads(body)["message"]


def test_dns_fails_for_a_while(tmp_path: Path) -> None:
    """A look-up that fails puts mail off; the moved clock brings the next try forward."""
    settings = {"delivery.mode": "direct", "dns.resolver": "127.0.0.1:9", "provider.domain": "provider.test"}
    with Server(tmp_path / "data", settings, dev=True) as server:
        verify(server, "x.test")
        fault(server, "dns", 100)
        send(server)
        row = wait_for(lambda: next((r for r in server.cli_json("queue", "list") if r["reason"]), None), "a reason")
        assert row["destination"] == "y.test"
        assert "Unable to lookup DNS for y.test" in row["reason"]


# -- the end of it -----------------------------------------------------------------------------------------------------


def test_reset_wipes_the_account(double: Server) -> None:
    send(double)
    assert double.http("POST", "/_mailstead/reset")[0] in (200, 204)
    assert listed(double) == []
    assert double.ses().list_identities()["Identities"] == []
    with pytest.raises(ClientError):
        send(double)


def test_none_of_it_exists_without_dev(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        for method, path in (("GET", "/_aws/ses"), ("DELETE", "/_aws/ses"), ("POST", "/_mailstead/clock")):
            assert server.http(method, path)[0] in (403, 404), path
        assert server.http("GET", "/_mailstead/health")[0] == 200
        with pytest.raises(ClientError) as refused:
            server.ses(key="111122223333", secret="x").get_send_quota()
        assert refused.value.response["Error"]["Code"] == "InvalidClientTokenId"
