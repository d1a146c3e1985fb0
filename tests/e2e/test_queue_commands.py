"""The operator's hand on the queue beside a running server: it is felt within about a second."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from peers.ground import free_port, wait_for
from peers.nsd import Nsd
from peers.scripted_mx import HANG, Script, ScriptedMX
from peers.server import Server

pytestmark = pytest.mark.slow
SENDER = "shop@sender.test"
LATER = Script(replies={"RCPT": b"451 4.3.0 come again"})
SOON = 2.5
"""Seconds: the poll of one second, and a busy machine."""


class Post:
    """Two destinations that can be told what to do, and the server before them."""

    def __init__(self, server: Server, mx: dict[str, ScriptedMX]) -> None:
        self.server = server
        self.mx = mx

    def send(self, to: str) -> str:
        content = {"Simple": {"Subject": {"Data": "hello"}, "Body": {"Text": {"Data": "Hello"}}}}
        answer = self.server.sesv2().send_email(
            FromEmailAddress=SENDER, Destination={"ToAddresses": [to]}, Content=content
        )
        message: str = answer["MessageId"]
        return message

    def state(self, message: str) -> str:
        rows = self.server.cli_json("queue", "list", "--message", message)
        return str(rows[0]["state"]) if rows else "gone"

    def until(self, message: str, state: str) -> None:
        wait_for(lambda: self.state(message) == state, f"{message} to be {state}")

    def soon(self, check: Callable[[], Any], what: str) -> None:
        begun = time.monotonic()
        wait_for(check, what, timeout=10)
        assert time.monotonic() - begun < SOON

    def queue(self, *words: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.server.cli("queue", *words, "--json").stdout)
        return told


@pytest.fixture(scope="module")
def _post(tmp_path_factory: pytest.TempPathFactory, _nsd: Nsd) -> Iterator[Post]:
    hosts = {"one": "127.0.1.221", "two": "127.0.1.222"}
    port = free_port(*hosts.values())
    with ExitStack() as stack:
        for name, host in hosts.items():
            _nsd.set(f"{name}.test", f"@ MX 10 mx\nmx A {host}\n")
        _nsd.set("three.test", "@ MX 10 mx\nmx A 127.0.1.223\n")  # nobody there
        mx = {name: stack.enter_context(ScriptedMX(host=host, port=port)) for name, host in hosts.items()}
        settings = {
            "delivery.mode": "direct",
            "delivery.port": port,
            "delivery.timeout_command": "60s",
            "dns.resolver": _nsd.address,
            "provider.domain": "provider.test",
        }
        server = stack.enter_context(Server(tmp_path_factory.mktemp("queue") / "data", settings, dev=True))
        server.sesv2().create_email_identity(EmailIdentity="sender.test")
        yield Post(server, mx)
    _nsd.clear()


@pytest.fixture
def post(_post: Post) -> Iterator[Post]:
    for mx in _post.mx.values():
        mx.script = LATER
        mx.messages.clear()
    yield _post
    _post.server.cli("queue", "delete", "--all")


def test_retry_by_message_and_by_domain(post: Post) -> None:
    first, other = post.send("ann@one.test"), post.send("bob@two.test")
    post.until(first, "deferred")
    post.until(other, "deferred")
    for mx in post.mx.values():
        mx.script = Script()
    assert post.queue("retry", first)["tried_now"] == 1
    post.soon(lambda: post.mx["one"].messages, "the message")
    assert not post.mx["two"].messages
    assert post.queue("retry", "--to", "two.test")["tried_now"] == 1
    post.soon(lambda: post.mx["two"].messages, "the other message")
    assert post.queue("retry", "--all")["tried_now"] == 0


def test_hold_and_release(post: Post) -> None:
    message = post.send("ann@one.test")
    post.until(message, "deferred")
    assert post.queue("hold", "--to", "one.test")["held"] == 1
    post.mx["one"].script = Script()
    assert post.server.http("POST", "/_mailstead/clock", {"advance": 3600})[0] == 200
    fresh = post.send("bob@one.test")
    post.soon(lambda: post.mx["one"].messages, "mail that is not held")
    assert post.state(fresh) == "gone"
    assert post.state(message) == "held"
    assert post.queue("retry", "--all")["tried_now"] == 0
    assert post.queue("release", message)["released"] == 1
    post.soon(lambda: len(post.mx["one"].messages) == 2, "what was held")


def test_delete_by_message_and_by_domain(post: Post) -> None:
    first, second, other = post.send("ann@one.test"), post.send("bob@one.test"), post.send("carol@two.test")
    for message in (first, second, other):
        post.until(message, "deferred")
    assert post.queue("delete", first)["deleted"] == 1
    assert (post.state(first), post.state(second)) == ("gone", "deferred")
    assert post.queue("delete", "--to", "one.test")["deleted"] == 1
    assert [row["destination"] for row in post.server.cli_json("queue", "list")] == ["two.test"]
    for mx in post.mx.values():
        mx.script = Script()
    assert post.server.http("POST", "/_mailstead/clock", {"advance": 3600})[0] == 200
    post.soon(lambda: post.mx["two"].messages, "what was not deleted")
    assert not post.mx["one"].messages
    assert [event["kind"] for event in post.server.cli_json("events", "list", "--message", first)] == [
        "Send",
        "DeliveryDelay",
    ]


def test_beside_a_message_that_hangs(post: Post) -> None:
    """The lane is in the server's hands all the time: what a command leaves there is seen all the same."""
    deferred = post.send("ann@one.test")
    post.until(deferred, "deferred")
    post.mx["one"].script = Script(replies={"MAIL": HANG})
    seen = len(post.mx["one"].log)
    hung = post.send("bob@one.test")
    wait_for(lambda: any(line.startswith("MAIL") for line in post.mx["one"].log[seen:]), "the message that hangs")
    time.sleep(0.3)  # it has been told nothing by now
    post.mx["one"].script = Script()
    assert post.queue("retry", deferred)["tried_now"] == 1
    post.soon(lambda: post.mx["one"].messages, "the message beside it")
    assert post.state(hung) == "queued"


def test_held_mail_of_a_dead_domain_does_not_keep_new_mail(post: Post) -> None:
    """A lane that was failing when all of it was held."""
    old = post.send("ann@three.test")
    post.until(old, "deferred")
    post.queue("hold", "--to", "three.test")
    assert post.server.http("POST", "/_mailstead/clock", {"advance": 3600})[0] == 200
    wait_for(lambda: not post.server.cli_json("queue", "list", "--to", "three.test")[0]["next_try"], "it is held")
    time.sleep(2.5)  # the lane is looked at once more, and found to be asleep
    with ScriptedMX(host="127.0.1.223", port=post.mx["one"].port) as mx:
        post.send("bob@three.test")
        post.soon(lambda: mx.messages, "new mail")
