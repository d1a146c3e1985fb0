"""boto3 against our gateway in the same process, on a real database: two accounts, two regions."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from mailstead.aws.gateway import Gateway
from mailstead.aws.handlers import Known
from mailstead.aws.operations import Services, build
from mailstead.outbound.handed_in import Submission
from mailstead.outbound.verification_mail import Links, VerificationMail
from mailstead.proto.dns import Resolver
from mailstead.runtime import Runtime
from mailstead.ses import account, credentials
from mailstead.ses.account import NewAccount
from mailstead.store.files import FileBlobs
from mailstead.store.signal import LocalSignal
from peers.database import Ground, ground

__all__ = ["cloud", "ground", "ses", "sesv2"]

A, B = "111111111111", "222222222222"
KEYS = {A: ("AKIAAAAAAAAAAAAAAAAA", "secret-of-a"), B: ("AKIABBBBBBBBBBBBBBBB", "secret-of-b")}
REGIONS = ("us-east-1", "eu-west-1")


class Raw(io.BytesIO):
    """A body as botocore wants to stream it."""

    def stream(self, amt: int = 65536, **_: Any) -> Any:
        while chunk := self.read(amt):
            yield chunk


@dataclass
class Taken:
    """The door, which here only keeps what comes through it."""

    submissions: list[Submission] = field(default_factory=list)

    async def submit(self, submission: Submission) -> str:
        self.submissions.append(submission)
        return "0100018c1a2b3c4d-21e57d9a-1ab2-416c-bbe1-8ebaa0000000-000000"


class OneLane:
    """Everything waits in one lane."""

    def lane_for(self, recipient: str) -> str:
        return "test"


@dataclass
class Cloud:
    """The gateway with its database, and clients for it."""

    ground: Ground
    gateway: Gateway
    services: Services
    door: Taken

    def client(
        self, service: str, account_id: str = A, region: str = "us-east-1", keys: tuple[str, str] | None = None
    ) -> Any:
        access_key, secret = keys or KEYS[account_id]
        client = boto3.client(
            service,
            region_name=region,
            endpoint_url="http://localhost:4579",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            config=Config(retries={"max_attempts": 1}),
        )
        client.meta.events.register("before-send", self._send)
        return client

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        status, headers, body = self.ground.loop.run_until_complete(self._asgi(request))
        return AWSResponse(request.url, status, headers, Raw(body))

    async def _asgi(self, request: AWSPreparedRequest) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(request.url)
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        headers = [
            (name.lower().encode(), value if isinstance(value, bytes) else value.encode())
            for name, value in request.headers.items()
        ]
        scope = {
            "type": "http",
            "method": request.method,
            "path": url.path,
            "raw_path": url.path.encode(),
            "query_string": url.query.encode(),
            "headers": [*headers, (b"host", url.netloc.encode())],
            "client": ("192.0.2.1", 5000),
            "scheme": "http",
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body.encode() if isinstance(body, str) else body}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.gateway(scope, receive, send)
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], answered, sent[1]["body"]


@pytest.fixture
def cloud(ground: Ground, tmp_path: Path) -> Iterator[Callable[..., Cloud]]:
    """Makes a gateway; the options are those of ``Services``; ``links``: where links to the tracking listener begin."""

    async def fill(tx: Any) -> None:
        for one, (access_key, secret) in KEYS.items():
            await account.create(tx, one)
            await credentials.create(tx, ground.vault, one, access_key=access_key, secret=secret)

    ground.run(fill)

    async def caller_for(access_key: str, region: str) -> Known | None:
        found = await ground.db.read(lambda tx: credentials.find(tx, access_key))
        if found is None or not found.active:
            return None
        return Known(credentials.caller(found, region), credentials.secret(ground.vault, found))

    blobs, signal = FileBlobs(tmp_path / "blobs", ground.db), LocalSignal()

    def make(**options: Any) -> Cloud:
        door = Taken()
        dns = options.pop("dns", Resolver)
        runtime = Runtime(ground.db, blobs, ground.clock, dns, signal, ground.vault, "w")  # type: ignore[arg-type]
        links = Links(options.pop("links", "https://links.test"))
        services = Services(
            runtime=runtime,
            door=door,
            verification_mail=VerificationMail(
                blobs, signal, OneLane(), links, provider="mail.test", retry_for=50_400_000
            ),
            new_account=options.pop("new_account", NewAccount(200, 1, production=False)),
            provider="mail.test",
            **options,
        )
        gateway = Gateway(build(services), caller_for, clock=_Now(ground), regions=REGIONS)  # type: ignore[arg-type]
        return Cloud(ground, gateway, services, door)

    yield make
    ground.loop.run_until_complete(blobs.close())


class _Now:
    """The standing clock, with a wall that botocore's signatures agree with."""

    def __init__(self, ground: Ground) -> None:
        self.now = ground.clock.now

    def wall(self) -> int:
        from mailstead.base.clock import SystemClock

        return SystemClock().wall()


@pytest.fixture
def ses(cloud: Callable[..., Cloud]) -> Any:
    return cloud().client("ses")


@pytest.fixture
def sesv2(cloud: Callable[..., Cloud]) -> Any:
    return cloud().client("sesv2")
