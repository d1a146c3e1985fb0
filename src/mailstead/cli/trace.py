"""``mailstead trace``: the whole life of one message, from who handed it in to what became of each recipient."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from mailstead.base.errors import NotFound
from mailstead.cli.events import summary
from mailstead.cli.frame import Frame, common, in_json, in_runtime, printable, scanned, when
from mailstead.config import Settings
from mailstead.runtime import Runtime
from mailstead.ses import dkim_keys, events
from mailstead.ses.events import Event
from mailstead.store import captures, queue, spool
from mailstead.store.port import Transaction
from mailstead.store.queue import DeliveryView
from mailstead.store.spool import Message


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt that did not end a delivery."""

    n: int
    attempt: int
    at: int
    host: str
    tls: str
    reply: str
    next_due: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What is told of a message."""

    message: Message
    mail: dict[str, Any]
    """What events tell of it (SES: events §1)."""
    deliveries: tuple[DeliveryView, ...]
    tries: tuple[Try, ...]
    signatures: tuple[str, ...]
    """``d=example.com s=token a=rsa-sha256``, in the order they stand in the message."""
    events: tuple[Event, ...]

    @property
    def from_domain(self) -> str:
        """The domain of the header From."""
        return self._tag("ses:from-domain")

    @property
    def operation(self) -> str:
        """How it was handed in."""
        return self._tag("ses:operation")

    @property
    def aligned(self) -> bool:
        """Does the identity's signature make DMARC pass (relaxed alignment, RFC 9989)? Our own knowledge, no DNS."""
        signing = self.message.signing_domain
        return bool(signing) and f".{self.from_domain}".endswith(f".{signing}")

    def _tag(self, name: str) -> str:
        told = self.mail.get("tags", {}).get(name) or [""]
        return str(told[0])


@click.command("trace")
@click.argument("message", metavar="MESSAGE_ID")
@click.option("--raw", is_flag=True, help="Only the message as it was captured, byte for byte.")
@common
def command(frame: Frame, message: str, raw: bool) -> None:
    """The whole life of one message: who handed it in, envelope and header, signatures, every try, every event.

    \b
    mailstead trace 0100018c1a2b3c4d-21e57d9a-1ab2-416c-bbe1-8ebaa0000000-000000
    """
    settings, wanted = frame.settings(), message.strip().strip("<>").partition("@")[0]
    if raw:
        sys.stdout.buffer.write(in_runtime(settings, lambda runtime: _captured(runtime, wanted)))
        return
    trace = scanned(settings, lambda tx: _trace(tx, settings, wanted))
    if frame.json:
        in_json(_described(trace))
    else:
        print("\n".join(printable(line) for line in _lines(trace)))


async def _trace(tx: Transaction, settings: Settings, wanted: str) -> Trace:
    message = await spool.read(tx, wanted)
    if message is None:
        raise NotFound(f"there is no message {wanted}")
    return Trace(
        message,
        json.loads(message.mail_json or "{}"),
        tuple(await queue.of_message(tx, wanted)),
        tuple(Try(*row) for row in await queue.attempts_of(tx, wanted)),
        tuple(await _signatures(tx, settings, message)),
        tuple(await events.latest(tx, message=wanted, limit=10_000)),
    )


async def _captured(runtime: Runtime, message: str) -> bytes:
    capture = await runtime.db.run(lambda tx: captures.find(tx, message))
    if capture is None:
        raise NotFound(f"message {message} was not captured")
    return await runtime.blobs.get(capture.blob)


async def _signatures(tx: Transaction, settings: Settings, message: Message) -> list[str]:
    keys = []
    if message.signing_domain:
        keys += await dkim_keys.active(tx, message.account, message.region, message.signing_domain)
    if settings.provider.is_set:
        keys += await dkim_keys.provider_keys(tx, settings.provider.domain)
    return [f"d={key.domain} s={key.selector} a={key.algorithm}" for key in keys]


# -- JSON --------------------------------------------------------------------------------------------------------------


def _described(trace: Trace) -> dict[str, Any]:
    message, header = trace.message, trace.mail.get("commonHeaders", {})
    return {
        "message": message.id,
        "account": message.account,
        "region": message.region,
        "origin": message.origin,
        "accepted": when(message.created),
        "size": message.size,
        "submitted_by": {
            "caller": trace.mail.get("callerIdentity"),
            "ip": trace.mail.get("sourceIp"),
            "operation": trace.operation,
        },
        "envelope": {
            "sender": message.sender,
            "return_path": message.return_path,
            "recipients": [delivery.recipient for delivery in trace.deliveries],
        },
        "header": {name: header[name] for name in ("from", "to", "cc", "subject") if name in header},
        "identity": message.identity,
        "signatures": list(trace.signatures),
        "dmarc_aligned": trace.aligned,
        "deliveries": [_delivery(delivery, trace.tries) for delivery in trace.deliveries],
        "events": [{"at": events.iso(e.at), "kind": e.kind, "detail": e.detail} for e in trace.events],
    }


def _delivery(delivery: DeliveryView, tries: tuple[Try, ...]) -> dict[str, Any]:
    return {
        "recipient": delivery.recipient,
        "state": delivery.state,
        "destination": delivery.lane,
        "attempts": delivery.attempts,
        "next_try": when(delivery.due) if delivery.state != "held" else None,
        "expires": when(delivery.expires),
        "host": delivery.host,
        "tls": delivery.tls,
        "reply": delivery.reply,
        "changed": when(delivery.changed),
        "tries": [_try(one) for one in tries if one.n == delivery.n],
    }


def _try(one: Try) -> dict[str, Any]:
    told = {"host": one.host, "tls": one.tls, "reply": one.reply}
    return {"attempt": one.attempt, "at": when(one.at), **told, "next_try": when(one.next_due)}


# -- lines for people --------------------------------------------------------------------------------------------------


def _lines(trace: Trace) -> Iterator[str]:
    message, mail = trace.message, trace.mail
    by = " ".join(filter(None, (mail.get("callerIdentity"), mail.get("sourceIp"), trace.operation)))
    yield f"message      {message.id} ({message.origin}, {message.size} bytes)"
    yield f"account      {message.account} in {message.region}"
    yield f"accepted     {when(message.created)}" + (f" from {by}" if by else "")
    yield f"envelope     <{message.sender}> to {', '.join(f'<{one.recipient}>' for one in trace.deliveries)}"
    yield f"return path  <{message.return_path}>"
    if header := mail.get("commonHeaders"):
        yield f"header       From {_joined(header, 'from')}; To {_joined(header, 'to')}"
    yield f"identity     {message.identity or '-'}"
    for signature in trace.signatures or ("none",):
        yield f"signature    {signature}"
    if message.origin == "submission":
        yield f"dmarc        {_alignment(trace)}"
    for delivery in trace.deliveries:
        yield from _delivery_lines(delivery, trace.tries)
    for event in trace.events:
        yield f"event        {events.iso(event.at)} {event.kind} {summary(event)}".rstrip()


def _joined(header: dict[str, Any], name: str) -> str:
    return ", ".join(header.get(name, [])) or "-"


def _alignment(trace: Trace) -> str:
    signing = trace.message.signing_domain
    if trace.aligned:
        return f"aligned (From {trace.from_domain}, d={signing})"
    why = f"d={signing}" if signing else "no signature of its domain: verify the domain, not only the address"
    return f"not aligned (From {trace.from_domain or '-'}, {why})"


def _delivery_lines(delivery: DeliveryView, tries: tuple[Try, ...]) -> Iterator[str]:
    yield f"recipient    {delivery.recipient}: {delivery.state}{_next(delivery)}"
    for one in tries:
        if one.n == delivery.n:
            yield f"  try {one.attempt:<6} {_told(one.at, one.host, one.tls, one.reply)}; next {when(one.next_due)}"
    if delivery.due is None:
        yield f"  try {delivery.attempts:<6} {_told(delivery.changed, delivery.host, delivery.tls, delivery.reply)}"


def _next(delivery: DeliveryView) -> str:
    if delivery.due is None or delivery.state == "held":
        return ""
    return f", next try {when(delivery.due)}, given up {when(delivery.expires)}"


def _told(at: int, host: str, tls: str, reply: str) -> str:
    # Only a network host has a port: the capture and the simulator are neither in clear nor in TLS.
    secured = f" ({tls})" if tls else " (in clear)" if ":" in host else ""
    where = f" {host}{secured}" if host else ""
    return f"{when(at)}{where} {reply}".rstrip()
