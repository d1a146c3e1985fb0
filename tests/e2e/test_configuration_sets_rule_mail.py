"""A configuration set at work: TLS or not at all, bounces that put themselves on the list, the switch; v1, v2, SMTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from peers import clients
from peers.ground import wait_for
from peers.town import SENDER, Town, id_of

pytestmark = pytest.mark.slow
GHOST = "ghost@one.test"


@pytest.fixture(scope="module")
def sets(town: Town) -> Iterator[Any]:
    """``careful`` keeps a list of bounces, ``strict`` wants TLS, which nobody here has."""
    v2 = town.server.sesv2()
    v2.create_configuration_set(ConfigurationSetName="careful", SuppressionOptions={"SuppressedReasons": ["BOUNCE"]})
    v2.create_configuration_set(
        ConfigurationSetName="strict", DeliveryOptions={"TlsPolicy": "REQUIRE", "MaxDeliverySeconds": 300}
    )
    yield v2
    for name in ("careful", "strict"):
        v2.delete_configuration_set(ConfigurationSetName=name)


def send(v2: Any, to: str, **more: Any) -> str:
    content = {"Simple": {"Subject": {"Data": "set"}, "Body": {"Text": {"Data": "text"}}}}
    sent = v2.send_email(FromEmailAddress=SENDER, Destination={"ToAddresses": [to]}, Content=content, **more)
    return str(sent["MessageId"])


def kinds(town: Town, message: str) -> list[str]:
    return [event["kind"] for event in town.events(message)]


def test_a_bounce_is_not_mailed_twice(town: Town, sets: Any) -> None:
    first = send(sets, GHOST, ConfigurationSetName="careful")
    assert {one["state"] for one in town.ended(first)["deliveries"]} == {"bounced"}
    found = sets.get_suppressed_destination(EmailAddress=GHOST)["SuppressedDestination"]
    assert (found["Reason"], found["Attributes"]["MessageId"]) == ("BOUNCE", first)
    header = b"X-SES-CONFIGURATION-SET: careful\r\n"
    body = f"From: {SENDER}\r\nTo: {GHOST}\r\nSubject: again\r\n\r\nx\r\n".encode()
    again = id_of(town.submit(header + body, SENDER, GHOST))
    (delivery,) = town.trace(again)["deliveries"]
    assert (delivery["state"], delivery["attempts"]) == ("suppressed", 0)
    assert kinds(town, again) == ["Send", "Bounce"]
    notice = town.notice(SENDER, again)
    assert b"suppression list for your account" in notice.content.replace(b"\r\n ", b" ")
    # Without the set the account's own word counts, and it keeps nobody back.
    assert {one["state"] for one in town.ended(send(sets, GHOST))["deliveries"]} == {"bounced"}
    sets.delete_suppressed_destination(EmailAddress=GHOST)
    third = send(sets, GHOST, ConfigurationSetName="careful")
    assert {one["state"] for one in town.ended(third)["deliveries"]} == {"bounced"}


def test_no_tls_no_mail_and_others_pass_by(town: Town, sets: Any) -> None:
    strict = send(sets, "bob@one.test", ConfigurationSetName="strict")
    wait_for(lambda: "DeliveryDelay" in kinds(town, strict), "a delay")
    (delivery,) = town.trace(strict)["deliveries"]
    assert (delivery["state"], delivery["reply"][:9]) == ("deferred", "454 4.7.4")
    loose = send(sets, "bob@one.test")
    assert town.arrived("bob@one.test", loose, timeout=10)
    assert town.find("bob@one.test", strict) is None
    town.server.cli("queue", "delete", "--message", strict)  # the town is shared: nothing stays behind


def test_the_switch(town: Town, sets: Any) -> None:
    sets.put_configuration_set_sending_options(ConfigurationSetName="careful", SendingEnabled=False)
    try:
        with pytest.raises(ClientError) as caught:
            send(sets, "ann@one.test", ConfigurationSetName="careful")
        assert caught.value.response["Error"]["Code"] == "SendingPausedException"
        with pytest.raises(ClientError) as caught:
            town.server.ses().send_email(
                Source=SENDER,
                Destination={"ToAddresses": ["ann@one.test"]},
                Message={"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}},
                ConfigurationSetName="careful",
            )
        error = caught.value.response["Error"]
        assert error["Code"] == "ConfigurationSetSendingPausedException"
        assert error["Message"].startswith("Sending paused for configuration set <careful>. ")
    finally:
        sets.put_configuration_set_sending_options(ConfigurationSetName="careful", SendingEnabled=True)
    for client, code in (
        (sets.send_email, "NotFoundException"),
        (town.server.ses().send_raw_email, "ConfigurationSetDoesNotExist"),
    ):
        given: dict[str, Any] = {"RawMessage": {"Data": f"From: {SENDER}\r\nTo: ann@one.test\r\n\r\nx".encode()}}
        if code == "NotFoundException":
            given = {"Content": {"Raw": given["RawMessage"]}}
        with pytest.raises(ClientError) as caught:
            client(**given, ConfigurationSetName="none")
        error = caught.value.response["Error"]
        assert (error["Code"], error["Message"]) == (code, "Configuration set <none> does not exist.")


def test_aws_cli_sees_it_all(town: Town, sets: Any) -> None:
    endpoint, credentials = town.server.endpoints["api"], town.server.data / "credentials"
    done = clients.aws("ses", "list-configuration-sets", endpoint=endpoint, credentials=credentials)
    assert b'"careful"' in done.stdout, done.stderr
    words = ("sesv2", "get-configuration-set", "--configuration-set-name", "strict")
    done = clients.aws(*words, endpoint=endpoint, credentials=credentials)
    assert b'"MaxDeliverySeconds": 300' in done.stdout, done.stderr
