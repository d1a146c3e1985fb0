"""Gateway: a request of an SDK → signature → operation → handler → response.

A bare ASGI callable for SES v1 (Query), SES v2 (REST-JSON), STS and SNS on one listener, told apart by path, scope of
the signature, Action and Version (SES: wire §1).  Every call walks the same steps: read, identify, authenticate,
decode, validate, authorize, handle, encode; each may end it with an error, written in the form of the API called.

Not done: CORS (SES has none), compressed request bodies, KMS (it answers UnsupportedOperation).
"""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from mailstead.aws import authorization, errors, not_offered, query, rest_json, validate
from mailstead.aws.bodies import (
    BODIES,
    BODY_TIMEOUT,
    Bodies,
    Body,
    Disconnected,
    Late,
    MiB,
    Patient,
    Receive,
    Stranger,
    read_short,
)
from mailstead.aws.doors import BY_SCOPE, BY_VERSION, KMS, SES, SESV2, Door
from mailstead.aws.errors import Code, Refusal
from mailstead.aws.handlers import CallerFor, Handler, PlainHandler, PlainRequest, Reply, Request
from mailstead.aws.model import Name, Operation, Service, load
from mailstead.aws.query import QueryError
from mailstead.aws.rest_json import RestError
from mailstead.base import ids
from mailstead.base.clock import Clock
from mailstead.base.errors import MailsteadError, TooLarge, Unreachable
from mailstead.proto import sigv4
from mailstead.proto.sigv4 import Claim, Reason, SignatureError, Wire
from mailstead.ses.principals import Caller

log = logging.getLogger(__name__)

V1_BODY = 16 * MiB  # a 10 MiB message in base64, form-encoded
V2_BODY = 56 * MiB  # a 40 MiB message in base64
MAX_QUERY = 256 * 1024  # octets of a query string
GZIP_FROM = 2048  # shorter answers are not worth compressing

SERVICES: tuple[Name, ...] = ("ses", "sesv2", "sts", "sns")
UNKNOWN_PATH = "The requested operation does not exist."

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class Call:
    """One request on its way through the steps."""

    scope: Scope
    receive: Receive
    wire: Wire
    door: Door
    request_id: str
    claim: Claim | None = None
    unreadable: SignatureError | None = None
    """Why there is no claim although the request is signed."""
    body: Body = field(default_factory=Body)
    pairs: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    operation: Operation | None = None
    refusal: Refusal | None = None
    """Why the operation cannot be called; told only to those who are authenticated."""
    caller: Caller | None = None
    params: dict[str, Any] = field(default_factory=dict)


_REGION = re.compile(r"[A-Za-z0-9-]{1,40}")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_ACCOUNT = re.compile(r"[0-9]{12}")


class Gateway:
    """The ASGI application of the ``api`` listener.

    Args:
        handlers: ``("ses" | "sesv2" | "sts" | "sns", operation)`` → handler.
        caller_for: looks an access key up.
        regions: the regions served; the first one is that of unsigned calls.
        open_door: ``--dev``: unknown keys and unsigned calls are let in, any region is served.
        dev_account: the account of those, unless the key is itself 12 digits.
        routes: ``(method, path)`` → plain handler, outside of signatures and APIs.
    """

    def __init__(
        self,
        handlers: Mapping[tuple[str, str], Handler],
        caller_for: CallerFor,
        *,
        clock: Clock,
        regions: Sequence[str],
        open_door: bool = False,
        dev_account: str = "000000000000",
        routes: Mapping[tuple[str, str], PlainHandler] | None = None,
        v1_body: int = V1_BODY,
        v2_body: int = V2_BODY,
        body_timeout: tuple[float, float] = BODY_TIMEOUT,
        bodies: int = BODIES,
    ) -> None:
        self._handlers = handlers
        self._caller_for = caller_for
        self._clock = clock
        self._regions = tuple(regions)
        self._open = open_door
        self._dev_account = dev_account
        self._routes = dict(routes or {})
        self._v1_body = v1_body
        self._v2_body = v2_body
        self._body_timeout = body_timeout
        self._bodies = Bodies(bodies)
        self._keys = sigv4.SigningKeys()
        self._services: dict[str, Service] = {name: load(name) for name in SERVICES}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI 3)."""
        if scope["type"] != "http":
            return
        receive = Patient(receive, self._body_timeout)
        try:
            plain = self._routes.get((scope["method"], scope["path"]))
            if plain is not None:
                reply = await self._plain(plain, scope, receive)
            else:
                reply = await self._answer(_call(scope, receive))
        except Disconnected:
            return
        await _send(send, reply, scope)

    async def _answer(self, call: Call) -> Reply:
        try:
            return await self._steps(call)
        except Disconnected:
            raise
        except Exception as error:
            return self._refused(call, error)
        finally:
            self._bodies.release(call.body)

    async def _steps(self, call: Call) -> Reply:
        await self._read(call)
        self._identify(call)
        await self._authenticate(call)
        self._admit(call)
        self._decode(call)
        self._validate(call)
        self._authorize(call)
        result = await self._handle(call)
        return self._encode(call, result)

    # Steps

    async def _read(self, call: Call) -> None:
        """The whole body, bounded, hashed on the way; and what the request says about its signer."""
        try:
            call.claim = sigv4.parse(call.wire)
        except SignatureError as error:
            call.unreadable = error
        if len(call.wire.query) > MAX_QUERY:
            raise TooLarge("The query string is too long.")
        limit = self._v2_body if call.door is SESV2 else self._v1_body
        try:
            await self._bodies.read(call.body, call.receive, limit=limit, known=partial(self._may_go_on, call))
        except Late as error:
            raise _refusal("RequestTimeout", str(error), 408) from None
        except Stranger:
            raise self._stranger_error(call) from None

    async def _may_go_on(self, call: Call) -> bool:
        """Is this caller worth more than ``bodies.PATIENCE`` octets of memory?"""
        if self._open:
            return True
        return call.claim is not None and await self._caller_for(call.claim.access_key, call.claim.region) is not None

    def _stranger_error(self, call: Call) -> SignatureError:
        if call.claim is not None:
            return SignatureError(Reason.UNKNOWN_KEY, sigv4.UNKNOWN_TEXT)
        return call.unreadable or SignatureError(Reason.MISSING, sigv4.MISSING_TEXT)

    def _identify(self, call: Call) -> None:
        """Which service, and which of its operations?"""
        if call.door is SESV2:
            found = rest_json.find(self._services["sesv2"], call.wire.method, call.wire.path)
            if found is None:
                call.refusal = _refusal("UnknownOperationException", UNKNOWN_PATH, 404)
            else:
                call.operation, call.variables = found
            return
        scoped = call.claim.service if call.claim is not None else ""
        target = call.wire.headers.get(b"x-amz-target", b"")
        if scoped == "kms" or target.startswith(b"TrentService."):
            call.door = KMS
            name = target.rpartition(b".")[2].decode("latin-1")
            call.refusal = _unsupported(KMS, name)
            return
        signed, free = query.form(call.wire.query), query.form(call.body.content)
        if call.claim is None or call.claim.expires is None:
            signed, free = free, signed
        call.pairs = free | signed  # the body of a presigned request may be anybody's: what was signed holds
        call.door = BY_SCOPE.get(scoped) or BY_VERSION.get(call.pairs.get("Version", ""), SES)
        if "AWSAccessKeyId" in call.pairs and call.claim is None:
            call.unreadable = SignatureError(Reason.INCOMPLETE, sigv4.OLD_TEXT)
        if "Action" not in call.pairs and call.wire.path not in (b"", b"/"):
            call.door = SESV2
            raise _refusal("UnknownOperationException", UNKNOWN_PATH, 404)
        self._identify_action(call)

    def _identify_action(self, call: Call) -> None:
        name, version = call.pairs.get("Action", ""), call.pairs.get("Version", "")
        service = self._services.get(call.door.name)
        if not name:
            call.refusal = _refusal("MissingAction", "The request is missing an action or a required parameter.")
        elif service is None or (call.door is not SES and name not in service.operations):
            call.refusal = _unsupported(call.door, name)
        elif name in service.operations and version in (service.version, ""):
            call.operation = service.operations[name]
        else:
            text = f"Could not find operation {_shown(name)} for version {_shown(version or service.version)}"
            call.refusal = _refusal("InvalidAction", text)

    async def _authenticate(self, call: Call) -> None:
        """Who calls?  The region of a call is that of its signature."""
        if call.claim is None:
            if not self._open:
                raise self._stranger_error(call)
            call.caller = self._completed(call, self._stranger("", self._regions[0]), self._regions[0])
            return
        known = await self._known(call, call.claim)
        call.caller = self._completed(call, known, call.claim.region)

    async def _known(self, call: Call, claim: Claim) -> Caller:
        regions = None if self._open else self._regions
        now = self._clock.wall()
        if not self._open:
            sigv4.check(claim, service=call.door.signing, regions=regions, now=now)
        known = await self._caller_for(claim.access_key, claim.region)
        if self._open and not _REGION.fullmatch(claim.region):
            raise SignatureError(Reason.MISMATCH, "Credential should be scoped to a valid region.")
        if known is None and self._open:
            return self._stranger(claim.access_key, claim.region)
        # We give out no temporary credentials, so no session token can be one of ours.
        if known is None or (claim.token is not None and not self._open):
            raise SignatureError(Reason.UNKNOWN_KEY, sigv4.UNKNOWN_TEXT)
        if self._open:
            sigv4.check(claim, service=call.door.signing, regions=None, now=now)
        sigv4.verify(claim, call.wire, known.secret, call.body.sha256, self._keys)
        return known.caller

    def _stranger(self, access_key: str, region: str) -> Caller:
        """Somebody whom ``--dev`` lets in."""
        account = access_key if _ACCOUNT.fullmatch(access_key) else self._dev_account
        return Caller(account, region, access_key[:128], f"arn:aws:iam::{account}:root", "root")

    def _completed(self, call: Call, caller: Caller, region: str) -> Caller:
        client = call.scope.get("client")
        return replace(
            caller,
            region=region,
            source_ip=client[0] if client else "",
            user_agent=_shown(call.wire.headers.get(b"user-agent", b"").decode("latin-1")),
            operation=call.operation.name if call.operation is not None else "",
            api="2" if call.door is SESV2 else "1",
            tls="TLS" if call.scope.get("scheme") == "https" else "",
        )

    def _admit(self, call: Call) -> None:
        """Is there such an operation, and do we offer it?"""
        if call.refusal is not None:
            raise call.refusal
        assert call.operation is not None
        if (call.door.name, call.operation.name) not in self._handlers:
            raise _unsupported(call.door, call.operation.name)

    def _decode(self, call: Call) -> None:
        assert call.operation is not None
        if call.door is SESV2:
            call.params = rest_json.decode(call.operation, call.variables, call.wire.query, call.body.content)
        else:
            call.params = query.decode(call.operation.input, call.pairs)
        call.body.content, call.pairs = b"", {}  # a message of 40 MiB need not be held twice

    def _validate(self, call: Call) -> None:
        assert call.operation is not None
        text = validate.check(call.door.name, call.operation.input, call.params)
        if text:
            raise Refusal(
                errors.INVALID.get(call.door.name, Code("ValidationError")), Code("BadRequestException"), text
            )

    def _authorize(self, call: Call) -> None:
        """Does the caller's policy allow it?  Who has none may do everything in the account."""
        assert call.operation is not None
        assert call.caller is not None
        name, now = call.operation.name, self._clock.now()
        authorization.check(call.door.name, name, call.params, call.caller, now)

    async def _handle(self, call: Call) -> Mapping[str, Any] | None:
        assert call.operation is not None
        assert call.caller is not None
        name = call.operation.name
        handler = self._handlers[call.door.name, name]
        now = self._clock.now()
        base = _base(call)
        return await handler(Request(call.caller, call.params, now, call.door.name, name, call.request_id, base))

    def _encode(self, call: Call, result: Mapping[str, Any] | None) -> Reply:
        assert call.operation is not None
        if call.door is SESV2:
            return self._reply(call, 200, rest_json.answer(call.operation, result), "application/json")
        service = self._services[call.door.name]
        return self._reply(call, 200, query.answer(service, call.operation.name, result, call.request_id), "text/xml")

    # Errors

    def _refused(self, call: Call, error: Exception) -> Reply:
        code, text = self._told(call, error)
        if call.door.form == "query":
            body = query.error(call.door.xmlns, code.word, text, code.status, call.request_id)
            return self._reply(call, code.status, body, "text/xml")
        if call.door.form == "rest":
            kind = (b"x-amzn-errortype", code.word.encode())
            return self._reply(call, code.status, rest_json.error(text), "application/json", kind)
        body = msgspec.json.encode({"__type": code.word, "message": text})
        return self._reply(call, code.status, body, "application/x-amz-json-1.1")

    def _told(self, call: Call, error: Exception) -> tuple[Code, str]:
        """An error as code and text of the API that was called; our own bugs are logged and not told."""
        v1 = call.door.form == "query"
        if isinstance(error, Refusal):
            return error.v1 if v1 else error.v2, error.text
        if isinstance(error, Unreachable):  # what we depend on, and why it fails, is the operator's business
            log.warning("call_failed request=%s service=%s: %s", call.request_id, call.door.name, error)
            return self._code(call, error), errors.AWAY_TEXT
        if isinstance(error, MailsteadError):
            return self._code(call, error), error.message
        if isinstance(error, SignatureError):
            return errors.SIGNATURE[error.reason][0 if v1 else 1], str(error)
        if isinstance(error, QueryError):
            return Code(error.code, error.status), str(error)
        if isinstance(error, RestError):
            return Code("SerializationException"), str(error)
        name = call.operation.name if call.operation is not None else "-"
        log.error(
            "call_failed request=%s service=%s operation=%s", call.request_id, call.door.name, name, exc_info=error
        )
        return errors.V1_FAILURE if v1 else errors.V2_FAILURE, errors.FAILURE_TEXT

    @staticmethod
    def _code(call: Call, error: MailsteadError) -> Code:
        if call.door.form == "query":
            return errors.query(error, call.door.name)
        return errors.v2(error, call.operation)

    def _reply(self, call: Call, status: int, body: bytes, content_type: str, *more: tuple[bytes, bytes]) -> Reply:
        headers = ((b"x-amzn-requestid", call.request_id.encode()), *more)
        if len(body) >= GZIP_FROM and b"gzip" in call.wire.headers.get(b"accept-encoding", b""):
            body, headers = gzip.compress(body, 1), (*headers, (b"content-encoding", b"gzip"))
        return Reply(status, body, content_type, headers, call.body.unread)

    # Plain routes

    async def _plain(self, handler: PlainHandler, scope: Scope, receive: Receive) -> Reply:
        request_id = ids.uuid4()
        try:
            body = await read_short(receive)
            pairs = query.form(scope["query_string"])
            headers = _folded(scope["headers"])
            return await handler(PlainRequest(scope["method"], scope["path"], pairs, headers, body))
        except (MailsteadError, QueryError) as error:
            return Reply(400, msgspec.json.encode({"error": str(error)}))
        except Late as error:
            return Reply(408, msgspec.json.encode({"error": str(error)}), close=True)
        except Disconnected:
            raise
        except Exception:
            log.exception("plain_failed request=%s path=%s", request_id, scope["path"])
            return Reply(500, msgspec.json.encode({"error": errors.FAILURE_TEXT, "request": request_id}))


def _refusal(word: str, text: str, status: int = 400) -> Refusal:
    code = Code(word, status)
    return Refusal(code, code, text)


def _unsupported(door: Door, operation: str) -> Refusal:
    return _refusal("UnsupportedOperation", not_offered.text(door.name, _shown(operation)))


def _base(call: Call) -> str:
    """How the caller reaches us: by the name it calls us; by our address if that cannot be a name."""
    host = call.wire.headers.get(b"host", b"").decode("latin-1")
    if not _HOST.fullmatch(host):
        address, port = call.scope.get("server") or ("localhost", 80)
        host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"{call.scope.get('scheme', 'http')}://{host}"


def _shown(text: str) -> str:
    """A caller's own word, short and printable."""
    return text[:256] if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text[:256])


def _call(scope: Scope, receive: Receive) -> Call:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    wire = Wire(scope["method"], path, scope["query_string"], _folded(scope["headers"]))
    return Call(scope, receive, wire, SESV2 if path.startswith(b"/v2/") else SES, ids.uuid4())


def _folded(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Names in lower case; repeated fields joined with commas (RFC 9110 §5.3)."""
    folded: dict[bytes, bytes] = {}
    for name, value in headers:
        folded[name] = folded[name] + b"," + value.strip() if name in folded else value
    return folded


async def _send(send: Send, reply: Reply, scope: Scope) -> None:
    headers = [
        (b"content-type", reply.content_type.encode()),
        (b"content-length", str(len(reply.body)).encode()),
        *reply.headers,
    ]
    if reply.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
