"""Submission: what is on stable storage when a MessageId is given, and what events will tell of it."""

from __future__ import annotations

import threading

import msgspec
import pytest

from mailstead.base.clock import HOUR
from mailstead.base.errors import Invalid, TooLarge, Unreachable
from mailstead.outbound import composition
from mailstead.outbound.composition import Options, Simple
from mailstead.outbound.handed_in import LANES
from mailstead.proto.message import Message
from mailstead.ses import events
from mailstead.store import spool
from peers.yard import ACCOUNT, CALLER, PROVIDER, RAW, REGION, RETRY_FOR, Yard


def stored(yard: Yard, name: str) -> tuple[spool.Message, bytes]:
    message = yard.ground.read(lambda tx: spool.read(tx, name))
    assert message is not None
    return message, yard.wait(yard.blobs.get(message.blob))


def test_one_row_a_recipient_and_one_lane_a_destination(yard: Yard) -> None:
    name = yard.submit("a@one.example", "B <b@Two.example>", "c@one.example")
    now = yard.clock.now()
    message, content = stored(yard, name)
    assert (message.account, message.region, message.origin, message.created) == (ACCOUNT, REGION, "submission", now)
    assert message.sender == "sender@example.com"
    assert message.identity == "example.com"
    assert message.return_path.endswith("@" + PROVIDER)
    assert name in message.return_path
    assert message.size == len(content)
    assert not message.eight_bit
    assert yard.open(name) == 3
    rows = yard.rows("SELECT n, recipient, lane, state, due, expires, attempts FROM deliveries ORDER BY n")
    assert rows == [
        (0, "a@one.example", "one.example", "queued", now, now + RETRY_FOR, 0),
        (1, "b@Two.example", "two.example", "queued", now, now + RETRY_FOR, 0),
        (2, "c@one.example", "one.example", "queued", now, now + RETRY_FOR, 0),
    ]
    assert yard.rows("SELECT lane, due, worker, failures FROM lanes ORDER BY lane") == [
        ("one.example", now, None, 0),
        ("two.example", now, None, 0),
    ]


def test_the_send_event_tells_the_mail_as_it_was_handed_in(yard: Yard) -> None:
    raw = (
        b"X-SES-MESSAGE-TAGS: genre=crime\r\nFrom: Sender <sender@example.com>\r\nTo: R <r@example.net>\r\n"
        b"Subject: =?utf-8?q?h=C3=A9llo?=\r\nMessage-ID: <theirs@example.com>\r\n\r\nbody\r\n"
    )
    name = yard.submit("R <r@example.net>", raw=raw, source="Sender <sender@example.com>", received="from a by b")
    message, content = stored(yard, name)
    assert b"X-SES" not in content
    assert b"theirs@" not in content
    (event,) = yard.events(name)
    now = events.iso(yard.clock.now())
    assert events.document(event, msgspec.json.decode(message.mail_json)) == {
        "eventType": "Send",
        "mail": {
            "timestamp": now,
            "source": "Sender <sender@example.com>",
            "sourceArn": f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.com",
            "sendingAccountId": ACCOUNT,
            "messageId": name,
            "destination": ["R <r@example.net>"],
            "headersTruncated": False,
            "headers": [
                {"name": "Received", "value": "from a by b"},
                {"name": "X-SES-MESSAGE-TAGS", "value": "genre=crime"},
                {"name": "From", "value": "Sender <sender@example.com>"},
                {"name": "To", "value": "R <r@example.net>"},
                {"name": "Subject", "value": "=?utf-8?q?h=C3=A9llo?="},
                {"name": "Message-ID", "value": "<theirs@example.com>"},
            ],
            "commonHeaders": {
                "from": ["Sender <sender@example.com>"],
                "to": ["R <r@example.net>"],
                "messageId": "<theirs@example.com>",
                "subject": "=?utf-8?q?h=C3=A9llo?=",
            },
            "tags": {
                "ses:operation": ["SendRawEmail"],
                "ses:source-ip": ["192.0.2.10"],
                "ses:from-domain": ["example.com"],
                "ses:caller-identity": ["root"],
                "genre": ["crime"],
            },
        },
        "send": {},
    }


def test_a_formatted_send_goes_to_all_of_its_lists(yard: Yard) -> None:
    name = yard.submit(
        raw=None,  # type: ignore[arg-type]
        source="S\u00f6nder <sender@example.com>",
        destinations=None,
        simple=Simple(("h\u00e9llo", None), ("text", None), ("<p>html</p>", None)),
        to=("t@example.net",),
        cc=("c@example.net",),
        bcc=("b@example.net",),
        operation="SendEmail",
    )
    _, content = stored(yard, name)
    assert [recipient for recipient, _ in yard.states(name)] == ["t@example.net", "c@example.net", "b@example.net"]
    assert b"b@example.net" not in content
    parsed = Message.parse(content)
    assert parsed.header("From") == "S\u00f6nder <sender@example.com>"
    assert parsed.header("Subject") == "h\u00e9llo"


def test_tags_of_the_api_stand_in_the_events(yard: Yard) -> None:
    name = yard.submit("r@example.net", options=Options(tags=(("a", "1"), ("a", "2"), ("b", "3"))))
    mail = msgspec.json.decode(stored(yard, name)[0].mail_json)
    assert mail["tags"]["a"] == ["1", "2"]
    assert mail["tags"]["b"] == ["3"]


def test_a_large_body_is_a_file_before_the_row(yard: Yard) -> None:
    name = yard.submit("r@example.net", raw=RAW + b"x" * 10_000 + b"\r\n")
    assert yard.files() == [name]
    assert stored(yard, name)[1].endswith(b"x\r\n")


def test_blobs_that_cannot_be_stored_store_nothing(yard: Yard) -> None:
    for raw in (RAW, RAW + b"x" * 10_000):
        yard.blobs.fail_next(1)
        with pytest.raises(Unreachable):
            yard.submit("r@example.net", raw=raw)
    assert yard.rows("SELECT count(*) FROM messages") == [(0,)]
    assert yard.rows("SELECT used FROM account_regions") == [(0,)]
    assert yard.submit("r@example.net")


def test_a_database_that_is_away_stores_nothing(yard: Yard) -> None:
    yard.ground.db.fail_next(1)  # type: ignore[attr-defined]
    with pytest.raises(Unreachable):
        yard.submit("r@example.net")
    assert yard.rows("SELECT count(*) FROM messages") == [(0,)]


def test_the_limit_of_the_door(yard: Yard) -> None:
    with pytest.raises(TooLarge):
        yard.submit("r@example.net", limit=len(RAW) - 1)
    assert yard.submit("r@example.net", limit=len(RAW))


@pytest.mark.parametrize("raw", [b"", None, b"no field at all", b"\xff" * 100])
def test_no_message_at_all(yard: Yard, raw: bytes | None) -> None:
    with pytest.raises(Invalid):
        yard.submit("r@example.net", raw=raw)  # type: ignore[arg-type]


def test_each_lane_is_called_once_after_the_commit(yard: Yard) -> None:
    heard: list[str] = []

    async def both() -> None:
        end = yard.runtime.signal.listen(LANES, heard.append)
        await yard.submitting("a@one.example", "b@two.example", "c@one.example")
        await yard.until(lambda: len(heard) == 2)
        end()

    yard.wait(both())
    assert sorted(heard) == ["one.example", "two.example"]


def test_new_mail_does_not_hurry_a_lane_that_is_failing(yard: Yard) -> None:
    yard.put("a@one.example")
    due = yard.clock.now() + HOUR
    yard.run(lambda tx: tx.run("UPDATE lanes SET failures = 3, due = $1", due))
    yard.submit("b@one.example", caller=CALLER)
    assert yard.lane("one.example") == (due, None, 3, "")


def test_a_message_made_to_be_slow_is_read_beside_the_loop(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[bool] = []
    read = composition.read

    def watched(content: bytes, limit: int, *, crlf: bool) -> Message:
        readers.append(threading.current_thread() is threading.main_thread())
        return read(content, limit, crlf=crlf)

    monkeypatch.setattr(composition, "read", watched)
    yard.submit("a@one.example", raw=RAW)
    yard.submit("a@one.example", raw=RAW + b"x\r\n" * 100_000)
    assert readers == [True, False]


def test_a_thousand_lists_of_commas_are_refused(yard: Yard) -> None:
    lists = b"".join(b"To: " + b"," * 60_000 + b"\r\n" for _ in range(16))
    with pytest.raises(Invalid, match="too long"):
        yard.submit("a@one.example", raw=lists + RAW)
