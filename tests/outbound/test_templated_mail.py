"""Templated mail at the door: filled and sent; or taken, told and sent to nobody."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mailstead.base.errors import Rejected, Throttled
from mailstead.outbound.composition import Templated
from mailstead.outbound.submission import Submissions
from mailstead.proto.mime_part import Attachment
from mailstead.ses import events
from mailstead.ses.templates import Content
from mailstead.store import captures, spool
from mailstead.store.wipe import forget_messages
from peers.yard import ACCOUNT, REGION, SENDER, Yard

HELLO = Content("Hello {{name}}", "Hi {{name}}\n{{#if more}}{{more}}{{/if}}", "<p>{{name}}</p>")


def submit(yard: Yard, data: dict[str, Any], content: Content = HELLO, **more: Any) -> str:
    options: dict[str, Any] = {"name": "hello", **more.pop("templated", {})}
    fields: dict[str, Any] = {
        "raw": None,
        "destinations": None,
        "source": SENDER,
        "to": ("a@one.example", "b@two.example"),
        "operation": "SendTemplatedEmail",
        "templated": Templated(content, data, **options),
    }
    return yard.submit(**{**fields, **more})


def content_of(yard: Yard, name: str) -> Any:
    message = yard.ground.read(lambda tx: spool.read(tx, name))
    assert message is not None
    return email.message_from_bytes(yard.wait(yard.blobs.get(message.blob)), policy=email.policy.default)


def document(yard: Yard, event: events.Event) -> Any:
    message = yard.ground.read(lambda tx: spool.read(tx, event.message))
    assert message is not None
    return events.document(event, msgspec.json.decode(message.mail_json))


def test_a_template_becomes_the_message(yard: Yard) -> None:
    files = (Attachment("a.txt", b"file"),)
    more = {"headers": (("X-Shop", "1"),), "attachments": files}
    name = submit(yard, {"name": "Jö & <Co>", "more": "…"}, templated=more, cc=("c@one.example",))
    parsed = content_of(yard, name)
    assert (parsed["Subject"], parsed["X-Shop"], parsed["Cc"]) == ("Hello Jö & <Co>", "1", "c@one.example")
    assert parsed.get_body(("plain",)).get_content() == "Hi Jö & <Co>\r\n…"
    assert parsed.get_body(("html",)).get_content() == "<p>Jö & <Co></p>"
    assert [part.get_filename() for part in parsed.iter_attachments()] == ["a.txt"]
    assert [recipient for recipient, _ in yard.states(name)] == ["a@one.example", "b@two.example", "c@one.example"]
    assert [event.kind for event in yard.events(name)] == ["Send"]


def test_send_is_told_before_the_subject_is_known(yard: Yard) -> None:
    name = submit(yard, {"name": "Jo"}, templated={"headers": (("X-Shop", "1"),)})
    told = document(yard, yard.events(name)[0])
    mail = told["mail"]
    assert told["send"] == {}
    assert [header["name"] for header in mail["headers"]] == ["From", "To", "MIME-Version"]
    assert "subject" not in mail["commonHeaders"]
    assert "sourceArn" not in mail
    assert mail["commonHeaders"]["to"] == ["a@one.example", "b@two.example"]
    assert mail["tags"]["ses:operation"] == ["SendTemplatedEmail"]
    delivery = events.Event("e", ACCOUNT, REGION, name, events.DELIVERY, 1, 1, {})
    later = document(yard, delivery)["mail"]
    assert later["commonHeaders"]["subject"] == "Hello Jo"
    assert later["sourceArn"].endswith(":identity/example.com")


def test_a_template_that_cannot_be_filled_is_taken_told_and_sent_to_nobody(yard: Yard) -> None:
    name = submit(yard, {"Name": "wrong case"})
    assert yard.states(name) == []
    assert yard.rows("SELECT count(*) FROM lanes") == [(0,)]
    assert yard.rows("SELECT open, done FROM messages") == [(0, yard.clock.now())]
    assert yard.rows("SELECT used FROM account_regions") == [(2,)]
    sent, failed = yard.events(name)
    assert (sent.kind, failed.kind, failed.recipients) == ("Send", "Rendering Failure", 2)
    told = document(yard, failed)
    assert told["eventType"] == "Rendering Failure"
    assert told["failure"] == {
        "errorMessage": "Attribute 'name' is not present in the rendering data.",
        "templateName": "hello",
    }
    assert told["mail"]["destination"] == ["a@one.example", "b@two.example"]
    assert told["mail"]["messageId"] == name
    assert not {"headers", "commonHeaders"} & set(told["mail"])


def test_its_message_is_forgotten_like_any_other(yard: Yard) -> None:
    name = submit(yard, {})
    message = yard.ground.read(lambda tx: spool.read(tx, name))
    assert message is not None
    later = yard.clock.now() + 1
    assert yard.run(lambda tx: forget_messages(tx, before=later, limit=10)) == (1, [message.blob])


def test_inline_content_has_no_name_to_tell(yard: Yard) -> None:
    name = submit(yard, {}, templated={"name": ""})
    assert set(document(yard, yard.events(name)[1])["failure"]) == {"errorMessage"}


@pytest.mark.parametrize("value", ["a\r\nBcc: victim@example.net", "a\nb"])
def test_data_cannot_write_header_fields(yard: Yard, value: str) -> None:
    name = submit(yard, {"name": value})
    assert [event.kind for event in yard.events(name)] == ["Send", "Rendering Failure"]
    assert yard.states(name) == []


def test_what_becomes_too_long_is_a_failure(yard: Yard) -> None:
    name = submit(yard, {"name": "x" * 2000}, limit=1000)
    assert yard.events(name)[1].detail["errorMessage"] == "The rendered content is too long."


def test_what_takes_longer_than_a_moment_is_done_all_the_same(yard: Yard) -> None:
    lines = Content("s", "{{#each lines}}{{#if this}}{{this}}\n{{/if}}{{/each}}")
    name = submit(yard, {"lines": list(range(1, 5001))}, lines)
    assert content_of(yard, name).get_content().split() == [str(n) for n in range(1, 5001)]
    large = Content("s", "{{x}}" + "y" * 20_000)
    assert len(content_of(yard, submit(yard, {"x": "z"}, large)).get_content()) == 20_001
    endless = Content("s", "{{#each a}}{{#each ../a}}{{#each ../../a}}x{{/each}}{{/each}}{{/each}}")
    name = submit(yard, {"a": list(range(200))}, endless)
    assert yard.events(name)[1].detail["errorMessage"] == "The template takes too long to render."


def test_admission_comes_before_the_failure(yard: Yard) -> None:
    with pytest.raises(Rejected):
        submit(yard, {}, source="stranger@elsewhere.example")
    yard.run(lambda tx: tx.run("UPDATE account_regions SET max_24h = 1"))
    with pytest.raises(Throttled):
        submit(yard, {})
    assert yard.rows("SELECT count(*) FROM messages") == [(0,)]


def test_what_the_test_double_keeps(yard: Yard) -> None:
    terms = replace(yard.terms, keep_submitted=True)
    yard.submissions = Submissions(yard.runtime, yard.router, terms, yard.limiter)
    filled, failed = submit(yard, {"name": "Jo"}), submit(yard, {"x": 1})
    kept = {row[0]: row[5:] for row in yard.ground.read(captures.submitted)}
    assert kept == {filled: ("hello", '{"name":"Jo"}'), failed: ("hello", '{"x":1}')}
