"""Gateway: boto3 against a real uvicorn with toy handlers; raw sockets for what no SDK sends."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotoCredentials
from botocore.exceptions import ClientError

from mailstead.aws.gateway import Gateway
from mailstead.aws.handlers import Known, PlainRequest, Reply, Request
from mailstead.base import errors
from mailstead.base.clock import MINUTE, SystemClock
from mailstead.proto import sigv4
from mailstead.proto.sigv4 import Wire
from mailstead.ses.principals import Caller

KEY, SECRET = "AKIAMAILSTEAD0000001", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
ACCOUNT = "123456789012"


class SkewedClock(SystemClock):
    """A wall clock that is wrong by so many milliseconds."""

    skew = 0

    def wall(self) -> int:
        return super().wall() + self.skew


class Toy:
    """Handlers that remember what they were given and answer what the test wants."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.raises: Exception | None = None

    async def send(self, request: Request) -> Mapping[str, Any]:
        self.seen.append(request)
        if self.raises is not None:
            raise self.raises
        return {"MessageId": "m-1"}

    async def identities(self, request: Request) -> Mapping[str, Any]:
        self.seen.append(request)
        return {"Identities": ["a@b.example"], "NextToken": None}

    async def nothing(self, request: Request) -> None:
        self.seen.append(request)

    async def whoami(self, request: Request) -> Mapping[str, Any]:
        return {"Account": request.caller.account, "Arn": request.caller.arn, "UserId": request.caller.account}

    async def contact(self, request: Request) -> Mapping[str, Any]:
        self.seen.append(request)
        return {"EmailAddress": request.params["EmailAddress"], "AttributesData": "x" * 5000}

    async def broken(self, request: Request) -> Mapping[str, Any]:
        raise RuntimeError("secret internals")

    def table(self) -> dict[tuple[str, str], Any]:
        return {
            ("ses", "SendEmail"): self.send,
            ("ses", "SendRawEmail"): self.send,
            ("ses", "ListIdentities"): self.identities,
            ("ses", "SetIdentityMailFromDomain"): self.nothing,
            ("ses", "GetSendQuota"): self.broken,
            ("sesv2", "SendEmail"): self.send,
            ("sesv2", "GetAccount"): self.broken,
            ("sesv2", "GetContact"): self.contact,
            ("sesv2", "UntagResource"): self.nothing,
            ("sesv2", "ListSuppressedDestinations"): self.send,
            ("sts", "GetCallerIdentity"): self.whoami,
        }


async def caller_for(access_key: str, region: str) -> Known | None:
    if access_key != KEY:
        return None
    return Known(Caller(ACCOUNT, region, KEY, f"arn:aws:iam::{ACCOUNT}:root", "root"), SECRET)


async def health(request: PlainRequest) -> Reply:
    return Reply(200, json.dumps({"query": request.query}).encode())


class Served:
    """A gateway behind a real server on a free port."""

    def __init__(self, **options: Any) -> None:
        self.toy = Toy()
        self.clock = SkewedClock()
        options = {"regions": ["us-east-1", "eu-west-1"], "clock": self.clock} | options
        routes = {("GET", "/_mailstead/health"): health}
        self.app = Gateway(self.toy.table(), caller_for, routes=routes, **options)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(
        self, service: str, *, key: str = KEY, secret: str = SECRET, region: str = "us-east-1", **more: Any
    ) -> Any:
        config = Config(retries={"total_max_attempts": 1}, **more.pop("config", {}))
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=config,
            **more,
        )

    def raw(self, method: str, target: str, body: Any = b"", **options: Any) -> tuple[int, dict[str, str], bytes]:
        """One request as given, without a signature unless its headers hold one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, target, body, **options)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def signed(self, body: bytes, **head: str) -> dict[str, str]:
        """Headers of a signed POST / with this body."""
        headers = {"host": f"127.0.0.1:{self.port}"} | head
        wire = Wire("POST", b"/", b"", {k.encode(): v.encode() for k, v in headers.items()})
        added = sigv4.sign(
            wire,
            hashlib.sha256(body).hexdigest(),
            access_key=KEY,
            secret=SECRET,
            region="us-east-1",
            service="ses",
            now=self.clock.now(),
        )
        return headers | added


@contextmanager
def serving(**options: Any) -> Iterator[Served]:
    served = Served(**options)
    config = uvicorn.Config(served.app, port=0, lifespan="off", log_level="warning", ws="none", server_header=False)
    server = uvicorn.Server(config)
    started = threading.Event()

    async def main() -> None:
        task = asyncio.ensure_future(server.serve())
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        if server.started:
            served.port = server.servers[0].sockets[0].getsockname()[1]
        started.set()
        await task

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(20)
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Served:
    shared.toy.seen.clear()
    shared.toy.raises = None
    shared.clock.skew = 0
    return shared


@pytest.fixture(scope="module")
def dev() -> Iterator[Served]:
    with serving(open_door=True, dev_account="999999999999") as served:
        yield served


def refused(call: Any, **params: Any) -> tuple[str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    assert len(answer["ResponseMetadata"]["RequestId"]) == 36
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


SIMPLE = {
    "FromEmailAddress": "a@b.example",
    "Destination": {"ToAddresses": ["c+d@e.example", "가@나.example"]},
    "Content": {"Simple": {"Subject": {"Data": "제목\n"}, "Body": {"Text": {"Data": "x & y + z %20"}}}},
}


def test_v1_and_v2_and_sts_on_one_port(served: Served) -> None:
    raw = b"From: a@b\r\n\r\n" + bytes(range(256))
    answer = served.client("ses").send_raw_email(RawMessage={"Data": raw}, Source="a@b", Destinations=["c@d"])
    assert answer["MessageId"] == "m-1"
    assert answer["ResponseMetadata"]["RequestId"] == answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    first = served.toy.seen[-1]
    assert first.params == {"RawMessage": {"Data": raw}, "Source": "a@b", "Destinations": ["c@d"]}
    assert (first.service, first.operation, first.request_id) == (
        "ses",
        "SendRawEmail",
        answer["ResponseMetadata"]["RequestId"],
    )
    assert served.client("sesv2", region="eu-west-1").send_email(**SIMPLE)["MessageId"] == "m-1"
    caller = served.toy.seen[-1].caller
    assert served.toy.seen[-1].params == SIMPLE
    assert (caller.account, caller.region, caller.access_key, caller.operation) == (
        ACCOUNT,
        "eu-west-1",
        KEY,
        "SendEmail",
    )
    assert caller.source_ip == "127.0.0.1"
    assert "Boto3" in caller.user_agent
    assert served.client("sts").get_caller_identity()["Account"] == ACCOUNT
    assert served.client("ses").list_identities()["Identities"] == ["a@b.example"]
    assert "NextToken" not in served.client("ses").list_identities()


def test_names_in_paths_and_query_strings(served: Served) -> None:
    address = "a+b/c%d 가?#&=~@x.example"
    client = served.client("sesv2")
    assert client.get_contact(ContactListName="l/1", EmailAddress=address)["EmailAddress"] == address
    assert served.toy.seen[-1].params == {"ContactListName": "l/1", "EmailAddress": address}
    client.untag_resource(ResourceArn="arn:aws:ses:us-east-1:1:identity/a b", TagKeys=["a b+c", "나&", "*'()~"])
    assert served.toy.seen[-1].params["TagKeys"] == ["a b+c", "나&", "*'()~"]


def test_a_long_answer_is_compressed_when_the_caller_can_read_it(served: Served) -> None:
    plain = served.client("sesv2").get_contact(ContactListName="l", EmailAddress="a@b")
    assert plain["AttributesData"] == "x" * 5000
    with serving(open_door=True) as door:
        target = "/v2/email/contact-lists/l/contacts/a@b"
        status, headers, body = door.raw("GET", target, headers={"Accept-Encoding": "gzip"})
        assert (status, headers["content-encoding"]) == (200, "gzip")
        assert len(body) < 1000


def test_wrong_secret_unknown_key_session_token(served: Served) -> None:
    assert refused(served.client("ses", secret="x" * 40).list_identities) == (
        "SignatureDoesNotMatch",
        sigv4.MISMATCH_TEXT,
        403,
    )
    assert refused(served.client("sesv2", secret="x" * 40).send_email, **SIMPLE) == (
        "InvalidSignatureException",
        sigv4.MISMATCH_TEXT,
        403,
    )
    text = "The security token included in the request is invalid."
    assert refused(served.client("ses", key="AKIANOBODY").list_identities) == ("InvalidClientTokenId", text, 403)
    assert refused(served.client("sesv2", key="AKIANOBODY").get_account) == ("UnrecognizedClientException", text, 403)
    token = served.client("ses", aws_session_token="FwoGZXIvYXdzEA")
    assert refused(token.list_identities) == ("InvalidClientTokenId", text, 403)
    assert served.toy.seen == []


def test_skewed_clocks(served: Served) -> None:
    served.clock.skew = 16 * MINUTE
    code, text, status = refused(served.client("ses").list_identities)
    assert (code, status) == ("SignatureDoesNotMatch", 403)
    assert text.startswith("Signature expired: ")
    assert text.endswith(" - 15 min.)")
    served.clock.skew = -16 * MINUTE
    assert refused(served.client("sesv2").get_account)[1].startswith("Signature not yet current: ")


def test_regions_and_services_of_the_scope(served: Served) -> None:
    text = "Credential should be scoped to a valid region, not 'mars-1'."
    assert refused(served.client("ses", region="mars-1").list_identities) == ("SignatureDoesNotMatch", text, 403)
    sns = served.client("sns")
    assert refused(sns.publish, TopicArn="t", Message="m") == (
        "UnsupportedOperation",
        "Mailstead does not offer Publish yet.",
        400,
    )
    kms = served.client("kms")
    assert refused(kms.list_keys) == ("UnsupportedOperation", "Mailstead does not offer ListKeys yet.", 400)


def test_presigned(served: Served) -> None:
    for method in ("GET", "POST"):
        url = served.client("ses").generate_presigned_url("list_identities", {"NextToken": "a+b= c"}, HttpMethod=method)
        target = url.removeprefix(served.url)
        assert served.raw(method, target)[0] == 200
        assert served.toy.seen[-1].params == {"NextToken": "a+b= c"}
        status, _, body = served.raw(method, target + "&MaxItems=3")
        assert (status, b"<Code>SignatureDoesNotMatch</Code>" in body) == (403, True)


FORM = b"Action=ListIdentities&Version=2010-12-01"


def test_a_body_in_chunks_and_one_behind_expect(served: Served) -> None:
    chunks = (FORM[i : i + 7] for i in range(0, len(FORM), 7))
    status, _, _ = served.raw("POST", "/", chunks, headers=served.signed(FORM), encode_chunked=True)
    assert status == 200
    head = served.signed(FORM)
    assert served.raw("POST", "/", FORM, headers=head | {"Expect": "100-continue"})[0] == 200
    assert served.raw("POST", "/", FORM + b"&MaxItems=2", headers=head)[0] == 403


def test_an_unsigned_call(served: Served) -> None:
    status, headers, body = served.raw("POST", "/", FORM)
    assert (status, headers["content-type"]) == (403, "text/xml")
    assert b"<Code>MissingAuthenticationToken</Code><Message>Request is missing Authentication Token</Message>" in body
    assert headers["x-amzn-requestid"].encode() in body
    status, headers, body = served.raw("GET", "/v2/email/account")
    assert (status, headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
    assert json.loads(body) == {"message": "Request is missing Authentication Token"}
    assert served.raw("GET", "/favicon.ico")[0] == 404


@pytest.mark.parametrize(
    ("form", "status", "code", "text"),
    [
        ("Action=Nothing&Version=2010-12-01", 400, "InvalidAction", "find operation Nothing for version 2010-12-01"),
        ("Action=ListIdentities&Version=2009-01-01", 400, "InvalidAction", "ListIdentities for version 2009-01-01"),
        ("Version=2010-12-01", 400, "MissingAction", ""),
        ("Action=CreateTemplate", 400, "UnsupportedOperation", "Mailstead does not offer CreateTemplate yet."),
        ("Action=ListIdentities&MaxItems=ten", 400, "InvalidParameterValue", "MaxItems is invalid"),
        ("Action=SendEmail&Source.x=b", 400, "InvalidParameterValue", "Source is not a single value"),
        ("Action=SendEmail&Source=a&Source.x=b", 404, "MalformedQueryString", "as a value and as a structure"),
        ("Action=%FF", 404, "MalformedQueryString", ""),
        ("Action=SendRawEmail&RawMessage.Data=%3D%3D%3D", 400, "InvalidParameterValue", "base64"),
        (
            "Action=SendRawEmail",
            400,
            "ValidationError",
            "Value at 'rawMessage' failed to satisfy constraint: Member mu",
        ),
    ],
)
def test_forms_that_cannot_be_served(served: Served, form: str, status: int, code: str, text: str) -> None:
    body = form.encode()
    got, _, answer = served.raw("POST", "/", body, headers=served.signed(body))
    assert (got, f"<Code>{code}</Code>" in answer.decode()) == (status, True), answer
    assert text in answer.decode()


def test_v2_errors(served: Served) -> None:
    loose = served.client("sesv2", config={"parameter_validation": False})
    code, text, status = refused(loose.send_email, Destination={})
    assert (code, status) == ("BadRequestException", 400)
    assert text == (
        "1 validation error detected: Value at 'content' failed to satisfy constraint: Member must not be null"
    )
    assert refused(served.client("sesv2").get_email_template, TemplateName="x") == (
        "UnsupportedOperation",
        "Mailstead does not offer GetEmailTemplate yet.",
        400,
    )


def test_domain_errors_become_codes(served: Served) -> None:
    v1, v2 = served.client("ses").send_raw_email, served.client("sesv2").send_email
    raw = {"RawMessage": {"Data": b"x"}}
    for error, code, status in [
        (errors.Rejected("t"), "MessageRejected", 400),
        (errors.NotFound("t", kind="configuration-set"), "ConfigurationSetDoesNotExist", 400),
        (errors.Throttled("t", kind="rate"), "Throttling", 400),
        (errors.Denied("t"), "AccessDenied", 403),
        (errors.Paused("t", kind="account"), "AccountSendingPausedException", 400),
        (errors.Invalid("t", kind="next-token"), "InvalidParameterValue", 400),
    ]:
        served.toy.raises = error
        assert refused(v1, **raw) == (code, "t", status)
    for error, code, status in [
        (errors.Rejected("t"), "MessageRejected", 400),
        (errors.NotFound("t", kind="configuration-set"), "NotFoundException", 404),
        (errors.Throttled("t", kind="rate"), "TooManyRequestsException", 429),
        (errors.Throttled("t", kind="daily"), "LimitExceededException", 400),
        (errors.Closed("t"), "AccountSuspendedException", 400),
        (errors.Invalid("t", kind="next-token"), "BadRequestException", 400),
    ]:
        served.toy.raises = error
        assert refused(v2, **SIMPLE) == (code, "t", status)
    served.toy.raises = errors.Invalid("t", kind="next-token")
    assert refused(served.client("sesv2").list_suppressed_destinations)[0] == "InvalidNextTokenException"


def test_why_a_database_is_away_is_logged_and_not_told(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.toy.raises = errors.Unreachable("cannot connect to db.internal as mailstead")
    text = "The request has failed due to a temporary failure of the server."
    raw = {"RawMessage": {"Data": b"x"}}
    assert refused(served.client("ses").send_raw_email, **raw) == ("ServiceUnavailable", text, 503)
    assert refused(served.client("sesv2").send_email, **SIMPLE) == ("ServiceUnavailableException", text, 503)
    assert "db.internal" in caplog.text


def test_our_own_bug_is_logged_and_not_told(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        code, text, status = refused(served.client("sesv2").get_account)
        assert (code, status) == ("InternalServiceErrorException", 500)
        assert refused(served.client("ses").get_send_quota)[0] == "InternalFailure"
    assert "secret internals" not in text
    assert "secret internals" in caplog.text
    assert "operation=GetAccount" in caplog.text


@pytest.mark.slow
def test_a_large_message_passes_and_a_larger_one_is_too_long(served: Served) -> None:
    data = b"x" * (11 << 20)
    served.client("ses").send_raw_email(RawMessage={"Data": data})
    assert len(served.toy.seen[-1].params["RawMessage"]["Data"]) == 11 << 20
    answer = refused(served.client("ses").send_raw_email, RawMessage={"Data": b"x" * (13 << 20)})
    assert answer == ("InvalidParameterValue", "Message is too long.", 400)


def test_strangers_may_not_fill_the_memory(served: Served) -> None:
    assert served.raw("POST", "/", b"x" * (2 << 20))[0] == 403
    answer = refused(served.client("ses", key="AKIANOBODY").send_raw_email, RawMessage={"Data": b"x" * (2 << 20)})
    assert answer[0] == "InvalidClientTokenId"


def test_many_large_bodies_at_once_do_not_fill_the_memory() -> None:
    large = {"RawMessage": {"Data": b"x" * (2 << 20)}}
    with serving(bodies=3 << 20) as door:
        slow = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
        slow.putrequest("POST", "/", skip_host=True)
        for name, value in door.signed(b"").items():
            slow.putheader(name, value)
        slow.putheader("Content-Length", str(8 << 20))
        slow.endheaders(b"x" * (2 << 20))
        send = door.client("ses").send_raw_email
        deadline = time.monotonic() + 10
        while (answer := _tried(send, large)) != "ServiceUnavailable" and time.monotonic() < deadline:
            pass  # until the slow one is in
        assert answer == "ServiceUnavailable"
        assert _tried(send, {"RawMessage": {"Data": b"x"}}) == "m-1"
        slow.close()
        while (answer := _tried(send, large)) != "m-1" and time.monotonic() < deadline:
            pass  # until the server has seen it go
        assert answer == "m-1"


def _tried(send: Any, params: Any) -> str:
    try:
        return str(send(**params)["MessageId"])
    except ClientError as error:
        return str(error.response["Error"]["Code"])


def promised(door: Served, target: str, sent: bytes, *, method: str = "POST") -> http.client.HTTPConnection:
    """A request whose body was promised and not all sent."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.putrequest(method, target)
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(sent)
    return connection


@pytest.mark.parametrize("target", ["/", "/v2/email/outbound-emails", "/_mailstead/health"])
@pytest.mark.parametrize("sent", [b"", b"Action="], ids=["nothing", "a-little"])
def test_a_body_that_stands_still_is_given_up(target: str, sent: bytes) -> None:
    with serving(body_timeout=(0.2, 60)) as door:
        connection = promised(door, target, sent, method="GET" if "health" in target else "POST")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("connection")) == (408, "close")
        connection.close()


def test_a_body_that_drips_in_for_ever_is_given_up() -> None:
    with serving(body_timeout=(5, 0.5)) as door:
        connection = promised(door, "/", b"Action=")
        assert connection.sock is not None
        connection.sock.settimeout(0.05)
        answer = b""
        for _ in range(100):
            connection.sock.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.sock.recv(4096)
                break
        assert answer.startswith(b"HTTP/1.1 408 ")
        connection.close()


def test_a_large_body_that_gets_on_has_its_time() -> None:
    with serving(body_timeout=(0.5, 60)) as door:
        chunks = [FORM, *[b"&x=" + b"y" * 1000] * 12]
        body = b"".join(chunks)

        def slowly() -> Iterator[bytes]:
            for chunk in chunks:
                threading.Event().wait(0.08)  # a real pace on a real socket
                yield chunk

        assert door.raw("POST", "/", slowly(), headers=door.signed(body), encode_chunked=True)[0] == 200


def test_an_unsigned_body_does_not_change_a_presigned_request(served: Served) -> None:
    query = "Action=ListIdentities&NextToken=mine&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
    request = AWSRequest("POST", f"{served.url}/?{query}")
    S3SigV4QueryAuth(BotoCredentials(KEY, SECRET), "ses", "us-east-1").add_auth(request)
    target = request.url.removeprefix(served.url)
    status, _, _ = served.raw("POST", target, b"Action=GetSendQuota&NextToken=theirs&MaxItems=2")
    assert status == 200
    assert served.toy.seen[-1].operation == "ListIdentities"
    assert served.toy.seen[-1].params["NextToken"] == "mine"


def test_the_plain_routes(served: Served) -> None:
    status, headers, body = served.raw("GET", "/_mailstead/health?a=b%20c")
    assert (status, headers["content-type"], json.loads(body)) == (200, "application/json", {"query": {"a": "b c"}})


@pytest.mark.parametrize("host", ["mail.example.com", "mail.example.com:4579", "[2001:db8::7]:80", "localhost"])
def test_a_handler_knows_by_what_name_it_was_reached(dev: Served, host: str) -> None:
    assert dev.raw("GET", "/?Action=ListIdentities", headers={"Host": host})[0] == 200
    assert dev.toy.seen[-1].base == f"http://{host}"


@pytest.mark.parametrize("host", ["", "a/b", "a?b", "user@a", "a b", "a:port", "x" * 300, "a\tb"])
def test_what_is_no_name_is_not_told_to_a_handler(dev: Served, host: str) -> None:
    assert dev.raw("GET", "/?Action=ListIdentities", headers={"Host": host})[0] == 200
    assert dev.toy.seen[-1].base == dev.url


def test_the_open_door(dev: Served) -> None:
    sts = dev.client("sts", key="111122223333", region="anywhere-9", aws_session_token="token")
    assert sts.get_caller_identity()["Account"] == "111122223333"
    assert dev.client("sts", key="test", secret="test").get_caller_identity()["Account"] == "999999999999"
    assert dev.client("sts").get_caller_identity()["Account"] == ACCOUNT
    assert refused(dev.client("ses", secret="wrong").list_identities)[0] == "SignatureDoesNotMatch"
    status, _, _ = dev.raw("POST", "/v2/email/outbound-emails", json.dumps(SIMPLE).encode())
    assert status == 200
    caller = dev.toy.seen[-1].caller
    assert (caller.account, caller.region) == ("999999999999", "us-east-1")
    assert dev.raw("GET", "/?Action=ListIdentities")[0] == 200
    assert dev.raw("POST", "/", FORM, headers={"Authorization": "Bearer nonsense"})[0] == 200
