"""The test double: what a test suite may see and provoke when the server runs with ``--dev``; else none of it exists.

``/_aws/ses`` has the shape that suites written for earlier emulators read; ``/_mailstead/*`` moves the clock, makes
parts fail, vouches for identities and wipes an account.
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Protocol, runtime_checkable

import msgspec

from mailstead.aws.handlers import PlainHandler, PlainRequest, Reply
from mailstead.base.address import bare
from mailstead.base.clock import SECOND, SystemClock
from mailstead.base.errors import AlreadyExists, MailsteadError
from mailstead.proto.addresses import parse_one
from mailstead.runtime import Runtime
from mailstead.ses import account as accounts
from mailstead.ses import identities
from mailstead.store import captures
from mailstead.store.port import Row, Transaction
from mailstead.store.wipe import wipe

MAX_AHEAD = 400 * 24 * 3600
"""Seconds the clock may be moved at once."""


@runtime_checkable
class Failing(Protocol):
    """A part that can be made to fail."""

    def fail_next(self, count: int) -> None:
        """Let the next ``count`` uses fail."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """What the test double may touch."""

    runtime: Runtime
    clock: SystemClock
    faults: Mapping[str, Failing]
    """By the name that ``/_mailstead/fault`` takes."""
    account: str
    region: str
    moved: Callable[[], None]
    """Called when the clock was moved: whoever sleeps looks again."""
    forget: Callable[[], None]
    """Called when an account was wiped: rates begin afresh."""


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(value))


def _wrong(text: str) -> Reply:
    return _json({"message": text}, 400)


def _body(request: PlainRequest) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(request.body or b"{}")
    except msgspec.DecodeError:
        raise MailsteadError("the body must be a JSON object") from None
    if not isinstance(found, dict):
        raise MailsteadError("the body must be a JSON object")
    return found


def routes(stage: Stage) -> dict[tuple[str, str], PlainHandler]:
    """The routes of the ``api`` listener under ``--dev``."""
    handlers: dict[tuple[str, str], Callable[[Stage, PlainRequest], Awaitable[Reply]]] = {
        ("GET", "/_aws/ses"): _list,
        ("DELETE", "/_aws/ses"): _clear,
        ("POST", "/_mailstead/clock"): _clock,
        ("POST", "/_mailstead/fault"): _fault,
        ("POST", "/_mailstead/verify"): _verify,
        ("POST", "/_mailstead/reset"): _reset,
    }
    return {place: _bound(handler, stage) for place, handler in handlers.items()}


def _bound(handler: Callable[[Stage, PlainRequest], Awaitable[Reply]], stage: Stage) -> PlainHandler:
    async def answer(request: PlainRequest) -> Reply:
        try:
            return await handler(stage, request)
        except MailsteadError as error:
            return _wrong(error.message)

    return answer


async def _list(stage: Stage, request: PlainRequest) -> Reply:
    """Everything handed in, once each; ``id`` names one, ``email`` a sender."""
    wanted, sender = request.query.get("id", ""), request.query.get("email", "")
    rows = await stage.runtime.db.scan(lambda tx: captures.submitted(tx, message=wanted))
    messages = [_message(row) for row in rows]
    return _json({"messages": [m for m in messages if not sender or sender in str(m["Source"])]})


def _message(row: Row) -> dict[str, Any]:
    message_id, region, mail_json, content, created, template, template_data = row
    mail = msgspec.json.decode(mail_json)
    seconds = created // SECOND
    told: dict[str, Any] = {
        "Id": message_id,
        "Region": region,
        "Source": mail["source"],
        "Destination": {"ToAddresses": mail["destination"]},
        "Timestamp": seconds,
    }
    common = mail.get("commonHeaders", {})
    if "subject" in common:
        told["Subject"] = common["subject"]
    if template_data:
        told |= {"Template": template, "TemplateData": template_data}
    if template_data or mail["tags"]["ses:operation"] == ["SendEmail"]:
        told |= _formatted(bytes(content), mail["destination"])
    told["RawData"] = bytes(content).decode("utf-8", "replace")
    return told


def _formatted(content: bytes, recipients: Sequence[str]) -> dict[str, Any]:
    """What a formatted send said, decoded: we built it, so the standard library reads it."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    return {
        "Destination": _destination(message, recipients),
        "Subject": str(message["Subject"]),
        "Body": _texts(message),
    }


def _destination(message: EmailMessage, recipients: Sequence[str]) -> dict[str, list[str]]:
    """Recipients by the field they stand in; who stands in none got a blind copy."""
    to, cc = ({one.addr_spec for one in message[name].addresses} if message[name] else set() for name in ("To", "Cc"))
    found: dict[str, list[str]] = {}
    for text in recipients:
        address = bare(parse_one(text).address)
        kind = "To" if address in to else "Cc" if address in cc else "Bcc"
        found.setdefault(f"{kind}Addresses", []).append(text)
    return found


def _texts(message: EmailMessage) -> dict[str, str | None]:
    found: dict[str, str | None] = {"text_part": None, "html_part": None}
    for part, kind in (("text_part", "plain"), ("html_part", "html")):
        body = message.get_body((kind,))
        if body is not None:
            found[part] = body.get_content()
    return found


async def _clear(stage: Stage, request: PlainRequest) -> Reply:
    wanted = request.query.get("id", "")

    async def body(tx: Transaction) -> list[str]:
        blobs = await captures.forget(tx, message=wanted)
        for blob in blobs:
            await stage.runtime.blobs.delete_in(tx, blob)
        return blobs

    for blob in await stage.runtime.db.run(body):
        await stage.runtime.blobs.delete(blob)
    return Reply(204, b"")


async def _clock(stage: Stage, request: PlainRequest) -> Reply:
    seconds = _body(request).get("advance")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_AHEAD:
        return _wrong(f'say {{"advance": SECONDS}}, 0 to {MAX_AHEAD}')
    stage.clock.advance(int(seconds * SECOND))
    stage.moved()
    return _json({"now": stage.clock.now() / SECOND})


async def _fault(stage: Stage, request: PlainRequest) -> Reply:
    body = _body(request)
    part, count = str(body.get("at")), body.get("count", 1)
    if part not in stage.faults:
        return _wrong(f'"at" is one of {", ".join(sorted(stage.faults))}')
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 1_000_000:
        return _wrong('"count" is a number from 0 to 1000000')
    stage.faults[part].fail_next(count)
    return _json({"at": part, "count": count})


async def _verify(stage: Stage, request: PlainRequest) -> Reply:
    """Vouch for an identity, made if it is not there."""
    body = _body(request)
    given = body.get("identity")
    account, region = body.get("account", stage.account), body.get("region", stage.region)
    if not all(isinstance(value, str) for value in (given, account, region)):
        return _wrong('say {"identity": "ADDRESS or DOMAIN"}')
    name = identities.normalise(str(given))
    setup = None
    if identities.kind_of(name) == identities.DOMAIN:
        setup = identities.easy_dkim(stage.runtime.vault, account, region, name)

    async def vouch(tx: Transaction) -> None:
        await accounts.ensure(tx, account)
        if await identities.find(tx, account, region, name) is None:
            await identities.create(tx, account, region, name, verified=True, dkim=setup)
        await identities.vouch(tx, account, region, name)

    try:
        await stage.runtime.db.run(vouch)
    except AlreadyExists:
        await stage.runtime.db.run(vouch)
    return _json({"identity": name, "verified": True})


async def _reset(stage: Stage, request: PlainRequest) -> Reply:
    """Wipe an account: the test double's own, or the one that is named."""
    account = accounts.check_id(str(_body(request).get("account", stage.account)))
    blobs = stage.runtime.blobs

    async def body(tx: Transaction) -> list[str]:
        gone = await wipe(tx, account)
        for blob in gone:
            await blobs.delete_in(tx, blob)
        return gone

    for blob in await stage.runtime.db.run(body):
        await blobs.delete(blob)
    stage.forget()
    return Reply(204, b"")
