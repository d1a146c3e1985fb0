"""``mailstead send``: one message from the shell, through the running server's API or, without one, into the spool."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from mailstead.app.credentials_file import read_credentials
from mailstead.app.first_start import FIRST_ACCOUNT
from mailstead.base.clock import SystemClock
from mailstead.base.errors import Invalid, Rejected, Unreachable
from mailstead.cli.frame import Frame, common, in_fields, in_runtime
from mailstead.config import Settings, running
from mailstead.proto.sigv4 import Wire, sign
from mailstead.runtime import Runtime
from mailstead.ses.principals import ROOT, Caller, arn_of

PATH = "/v2/email/outbound-emails"
SECONDS = 60
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 — where to reach a listener on all addresses

_file = click.Path(path_type=Path, allow_dash=True)


@click.command("send")
@click.option("--from", "sender", metavar="ADDRESS", help="The sender; with --raw the message's own by default.")
@click.option("--to", metavar="ADDRESS", multiple=True, help="A recipient; may be repeated.")
@click.option("--cc", metavar="ADDRESS", multiple=True, help="A recipient of a copy.")
@click.option("--bcc", metavar="ADDRESS", multiple=True, help="A recipient that the others do not see.")
@click.option("--subject", metavar="TEXT", default="", help="The subject.")
@click.option("--text", metavar="FILE", type=_file, help="The text; - or nothing: standard input.")
@click.option("--html", metavar="FILE", type=_file, help="The same in HTML.")
@click.option("--raw", metavar="FILE", type=_file, help="A whole message, header and all; -: standard input.")
@common
def command(frame: Frame, sender: str | None, subject: str, **given: Any) -> None:
    """Send one message.

    \b
    echo Hello | mailstead send --from ann@example.com --to bob@example.net --subject Hello
    mailstead send --raw message.eml --to bob@example.net
    """
    settings = frame.settings()
    request = _request(sender, subject, given)
    server = running.read(settings.data)
    message = _by_api(settings, request) if server else in_runtime(settings, _into_spool(settings, request), new=True)
    in_fields(frame, {"message": message})


def _request(sender: str | None, subject: str, given: dict[str, Any]) -> dict[str, Any]:
    """The request of SES v2's SendEmail."""
    raw, text, html = given["raw"], given["text"], given["html"]
    if raw is not None and (text is not None or html is not None or subject):
        raise Invalid("--raw is a whole message: --text, --html and --subject do not go with it")
    if raw is None and (not sender or not (given["to"] or given["cc"] or given["bcc"])):
        raise Invalid("say --from and at least one --to")
    addresses = {"ToAddresses": given["to"], "CcAddresses": given["cc"], "BccAddresses": given["bcc"]}
    destination = {name: list(value) for name, value in addresses.items() if value}
    content = (
        {"Raw": {"Data": base64.b64encode(_bytes(raw)).decode()}} if raw is not None else _simple(subject, text, html)
    )
    request: dict[str, Any] = {"Content": content}
    if sender:
        request["FromEmailAddress"] = sender
    return request | ({"Destination": destination} if destination else {})


def _simple(subject: str, text: Path | None, html: Path | None) -> dict[str, Any]:
    body = {}
    if text is not None or html is None:
        body["Text"] = {"Data": _text(text or Path("-")), "Charset": "UTF-8"}
    if html is not None:
        body["Html"] = {"Data": _text(html), "Charset": "UTF-8"}
    return {"Simple": {"Subject": {"Data": subject, "Charset": "UTF-8"}, "Body": body}}


def _text(file: Path) -> str:
    try:
        return _bytes(file).decode()
    except UnicodeDecodeError:
        raise Invalid(f"{file} is not UTF-8") from None


def _bytes(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"cannot read {file}: {error.strerror}") from None


# -- through the running server ----------------------------------------------------------------------------------------


def _by_api(settings: Settings, request: dict[str, Any]) -> str:
    url, key = _endpoint(settings), read_credentials(settings.data / "credentials")
    content = json.dumps(request).encode()
    digest = hashlib.sha256(content).hexdigest()
    headers = {"host": url.netloc, "content-type": "application/json", "x-amz-content-sha256": digest}
    wire = Wire("POST", PATH.encode(), b"", {name.encode(): value.encode() for name, value in headers.items()})
    now = SystemClock().wall()
    signed = sign(wire, digest, access_key=key.access_key, secret=key.secret, region=key.region, service="ses", now=now)
    connection = _connect(settings, url.scheme, url.hostname or "", url.port or 443)
    try:
        connection.request("POST", PATH, content, headers | signed)
        answer = connection.getresponse()
        return _message_id(answer.status, answer.read(1 << 20))
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"the server at {url.geturl()} does not answer: {error}") from None
    finally:
        connection.close()


def _endpoint(settings: Settings) -> Any:
    try:
        told = json.loads((settings.data / "endpoints.json").read_bytes())["api"]
    except (OSError, ValueError, KeyError):
        raise Unreachable("the running server has no api listener (see DIR/endpoints.json)") from None
    return urlsplit(told[0] if isinstance(told, list) else told)


def _connect(settings: Settings, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
    place = _ANY.get(host, host)
    if scheme != "https":
        return http.client.HTTPConnection(place, port, timeout=SECONDS)
    # Our own certificate is what we trust here, under whatever name it was made for.
    context = ssl.create_default_context(cafile=settings.tls.certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return http.client.HTTPSConnection(place, port, timeout=SECONDS, context=context)


def _message_id(status: int, content: bytes) -> str:
    try:
        answer = json.loads(content)
        if status == http.HTTPStatus.OK:
            return str(answer["MessageId"])
        why = answer.get("message") or answer.get("Message")
    except (ValueError, KeyError, AttributeError):
        why = None
    raise Rejected(str(why or f"the server answered {status}"))


# -- without a server --------------------------------------------------------------------------------------------------


def _into_spool(settings: Settings, request: dict[str, Any]) -> Callable[[Runtime], Awaitable[str]]:
    """Hand the message in by the same operation; the next server delivers it."""

    async def work(runtime: Runtime) -> str:
        from mailstead.app import parts
        from mailstead.app.house import House
        from mailstead.aws.handlers import Request

        caller = Caller(FIRST_ACCOUNT, settings.regions[0], "", arn_of(FIRST_ACCOUNT, ROOT), ROOT)
        raw = request["Content"].get("Raw")
        if raw is not None:
            raw["Data"] = base64.b64decode(raw["Data"])
        send = parts.handlers(House(runtime, settings))["sesv2", "SendEmail"]
        answer = await send(Request(caller, request, runtime.clock.now()))
        return str((answer or {})["MessageId"])

    return work
