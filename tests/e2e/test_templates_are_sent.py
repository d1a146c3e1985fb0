"""Templates, all the way: stored through one API, sent through the other, captured as filled; failures are told."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest

from peers.ground import wait_for
from peers.server import Server

pytestmark = pytest.mark.slow

FROM = "Shop <shop@x.test>"
ORDER = {
    "TemplateName": "order",
    "SubjectPart": "Order {{order.number}} for {{name}}",
    "TextPart": "Dear {{name}},\r\n{{#each order.lines}}\r\n{{@index}}. {{what}} x{{count}}\r\n{{/each}}\r\nBye",
    "HtmlPart": '{{#*inline "who"}}<b>{{name}}</b>{{/inline}}\n'
    "<p>{{> who}} {{#if order.paid}}paid{{else}}open{{/if}}</p>",
}
DATA = {"name": "Jörg & Söhne", "order": {"number": 7, "paid": False, "lines": [{"what": "tea", "count": 2}]}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("templates") / "data", dev=True) as running:
        assert running.http("POST", "/_mailstead/verify", {"identity": "x.test"})[0] == 200
        running.ses().create_template(Template=ORDER)
        yield running


def listed(server: Server, message: str) -> dict[str, Any]:
    (found,) = json.loads(server.http("GET", f"/_aws/ses?id={message}")[1])["messages"]
    return dict(found)


def captured(server: Server, message: str) -> EmailMessage:
    """What would have left, signed."""
    wait_for(lambda: "Delivery" in kinds(server, message), "a delivery")
    content = server.cli("trace", "--raw", message).stdout.encode()
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert parsed["DKIM-Signature"]
    return parsed


def kinds(server: Server, message: str) -> list[str]:
    return [event["kind"] for event in server.cli_json("trace", message)["events"]]


def test_a_stored_template_is_filled_and_sent(server: Server) -> None:
    sent = server.ses().send_templated_email(
        Source=FROM, Destination={"ToAddresses": ["a@y.test"]}, Template="order", TemplateData=json.dumps(DATA)
    )["MessageId"]
    message = captured(server, sent)
    assert message["Subject"] == "Order 7 for Jörg & Söhne"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().splitlines() == ["Dear Jörg & Söhne,", "0. tea x2", "Bye"]
    assert html.get_content().strip() == "<p><b>Jörg & Söhne</b> open</p>"
    seen = listed(server, sent)
    assert (seen["Template"], json.loads(seen["TemplateData"])) == ("order", DATA)
    assert seen["Destination"] == {"ToAddresses": ["a@y.test"]}


def test_missing_data_is_taken_told_and_not_sent(server: Server) -> None:
    content = {"Template": {"TemplateName": "order", "TemplateData": '{"order": {"number": 7}}'}}
    sent = server.sesv2().send_email(FromEmailAddress=FROM, Destination={"ToAddresses": ["a@y.test"]}, Content=content)[
        "MessageId"
    ]
    trace = server.cli_json("trace", sent)
    assert trace["deliveries"] == []
    assert [event["kind"] for event in trace["events"]] == ["Send", "Rendering Failure"]
    assert trace["events"][1]["detail"] == {
        "errorMessage": "Attribute 'name' is not present in the rendering data.",
        "templateName": "order",
    }
    for words in (["events", "list", "--message", sent], ["trace", sent]):
        assert "Attribute 'name' is not present" in server.cli(*words).stdout


def test_a_bulk_send_is_one_message_an_entry(server: Server) -> None:
    default = {"TemplateName": "order", "TemplateData": json.dumps(DATA)}
    files = [{"RawContent": b"file", "FileName": "a.txt"}]
    entries: list[dict[str, Any]] = [
        {
            "Destination": {"ToAddresses": [f"b{n}@y.test"]},
            "ReplacementEmailContent": {
                "ReplacementTemplate": {"ReplacementTemplateData": json.dumps({"name": f"N{n}"})}
            },
            "ReplacementHeaders": [{"Name": "X-Own", "Value": str(n)}],
        }
        for n in range(3)
    ]
    entries.insert(1, {"Destination": {"ToAddresses": ["no address"]}})
    results = server.sesv2().send_bulk_email(
        FromEmailAddress=FROM,
        DefaultContent={"Template": {**default, "Attachments": files}},
        BulkEmailEntries=entries,
    )["BulkEmailEntryResults"]
    assert [one["Status"] for one in results] == ["SUCCESS", "INVALID_PARAMETER", "SUCCESS", "SUCCESS"]
    sent = [one["MessageId"] for one in results if "MessageId" in one]
    for n, message in enumerate(captured(server, one) for one in sent):
        assert (message["To"], message["X-Own"]) == (f"b{n}@y.test", str(n))
        assert message["Subject"] == f"Order 7 for N{n}"
        assert [part.get_filename() for part in message.iter_attachments()] == ["a.txt"]


def test_inline_content_of_one_send(server: Server) -> None:
    inline = {"Subject": "Hi {{name}}", "Html": "<p>{{name}}</p>"}
    sent = server.sesv2().send_email(
        FromEmailAddress=FROM,
        Destination={"ToAddresses": ["a@y.test"]},
        Content={"Template": {"TemplateContent": inline, "TemplateData": '{"name": "Jo"}'}},
    )["MessageId"]
    message = captured(server, sent)
    assert (message["Subject"], message.get_content_type()) == ("Hi Jo", "text/html")
