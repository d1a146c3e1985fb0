"""Bad input gets SES's answer, shows nothing of our inside, leaves nothing stuck; a good message goes after it."""

from __future__ import annotations

import datetime
import http.client
import json
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from peers.server import Server
from peers.town import SENDER, Town, id_of, smtp_password, speak

pytestmark = pytest.mark.slow
GOOD = b"From: shop@sender.test\r\nTo: ann@one.test\r\nSubject: x\r\n\r\nx\r\n"
INSIDE = re.compile(r"Traceback|File \"|mailstead[./]|\.py\b|sqlite|asyncio|Error\(|Exception\(|/tmp/")
"""What no reply may show."""


def check_quiet(reply: str) -> str:
    assert not INSIDE.search(reply), reply
    return reply


@pytest.fixture(autouse=True)
def nothing_is_stuck_after_a_case(town: Town) -> Iterator[None]:
    """A good message goes."""
    yield
    town.arrived("ann@one.test", id_of(town.submit(GOOD)))


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left(town: Town) -> Iterator[None]:
    """At the end nothing waits, every part works, and the log has no trace of a surprise."""
    yield
    assert not [row for row in town.server.cli_json("queue", "list") if row["destination"] == "one.test"]
    assert town.server.http("GET", "/_mailstead/health")[0] == 200
    assert "Traceback" not in town.server.log.read_text()


# -- who it is ---------------------------------------------------------------------------------------------------------


def test_no_relay_without_login(town: Town) -> None:
    with town.smtp(login=False, tls=False) as client:
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<shop@sender.test>") == (530, b"Must issue a STARTTLS command first")
        assert client.docmd("AUTH", "PLAIN AGEAYg==") == (530, b"Must issue a STARTTLS command first")
    with town.smtp(login=False) as client:
        client.ehlo()
        for command in ("MAIL FROM:<shop@sender.test>", "RCPT TO:<ann@one.test>", "DATA"):
            assert client.docmd(command) == (530, b"Authentication required")


def test_wrong_passwords(town: Town) -> None:
    access_key, secret = town.keys
    wrong = {
        "another": smtp_password("x" * 40, "us-east-1"),
        "the secret itself": secret,
        "of a region that is not served": smtp_password(secret, "ap-south-1"),
        "empty": "",
        "no base64": "\x01 %",
    }
    for name, password in wrong.items():
        with town.smtp(login=False) as client:
            client.ehlo()
            with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
                client.auth("PLAIN", lambda _=None, word=password: f"\0{access_key}\0{word}")
            assert (refused.value.smtp_code, refused.value.smtp_error) == (
                535,
                b"Authentication Credentials Invalid",
            ), name
            assert client.docmd("MAIL", "FROM:<shop@sender.test>") == (530, b"Authentication required")
    with town.smtp(login=False) as client:
        client.ehlo()
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login("AKIAUNKNOWNUNKNOWN00", town.password())
        assert refused.value.smtp_code == 535


# -- what it is, by SMTP -----------------------------------------------------------------------------------------------

HEAD = b"From: shop@sender.test\r\nTo: ann@one.test\r\nSubject: x\r\n"
MULTI = HEAD + b"MIME-Version: 1.0\r\n"
BROKEN = {
    "multipart without boundary": MULTI + b"Content-Type: multipart/mixed\r\n\r\nx\r\n",
    "multipart without its parts": MULTI + b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n",
    "multipart never closed": MULTI + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n",
    "empty boundary": MULTI + b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n\r\nx\r\n----\r\n',
    "nested a thousand deep": MULTI
    + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1000))
    + b"\r\nx\r\n",
    "ten thousand parts": MULTI
    + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\n\r\nx\r\n" * 10_000
    + b"--b--\r\n",
    "no base64": MULTI + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n",
    "unknown transfer encoding": MULTI + b"Content-Transfer-Encoding: rot13\r\n\r\nx\r\n",
    "no header at all": b"just text\r\n",
    "empty": b"",
    "only a blank line": b"\r\n",
    "header line without colon": HEAD + b"no colon here\r\n\r\nx\r\n",
    "begins with a fold": b" folded\r\n" + HEAD + b"\r\nx\r\n",
    "nul bytes": HEAD + b"X: a\x00b\r\n\r\nx\x00y\r\n",
    "bytes of no charset": b"From: \xff\xfe <shop@sender.test>\r\nTo: ann@one.test\r\nSubject: \xe9\r\n\r\n\xff\r\n",
    "broken encoded word": HEAD.replace(b": x", b": =?utf-8?b?!!!?= =?x?q?a") + b"\r\nx\r\n",
    "from without address": b"From: nobody\r\nTo: ann@one.test\r\n\r\nx\r\n",
    "date twice": HEAD + b"Date: x\r\nDate: y\r\n\r\nx\r\n",
    "an attachment that is a program": MULTI
    + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/x\r\n"
    + b'Content-Disposition: attachment; filename="run.EXE"\r\n\r\nx\r\n--b--\r\n',
    "a loop": b"Received: by x; y\r\n" * 101 + HEAD + b"\r\nx\r\n",
}
KNOWN = {
    "date twice": "554 Transaction failed: Duplicate header 'Date'.",
    "from without address": "554 Transaction failed: Missing final '@domain'",
    "an attachment that is a program": "554 Transaction failed: Illegal filename",
}


@pytest.mark.parametrize("name", BROKEN)
def test_malformed_messages(town: Town, name: str) -> None:
    """Taken and delivered as it is, or refused in one line of SES's form; never an error of ours, never stuck."""
    content = BROKEN[name]
    reply = check_quiet(town.submit(content))
    assert reply.startswith(("250 Ok ", "554 Transaction failed: ")), reply
    assert len(reply) <= 510
    if name in KNOWN:
        assert reply == KNOWN[name]
    if reply.startswith("250"):
        message = id_of(reply)
        arrived = town.arrived("ann@one.test", message)
        # A line that is no field ends the header, and is the first of the body (proto/message.py).
        whole = content.removeprefix(HEAD) if "without colon" in name else content.partition(b"\r\n\r\n")[2]
        assert arrived.body == whole
    code, text = by_api(town, content)
    assert (code == "") == reply.startswith("250"), (code, text, reply)
    if code:
        assert code == "InvalidParameterValue"
        assert reply == f"554 Transaction failed: {text}"


def by_api(town: Town, content: bytes) -> tuple[str, str]:
    """Error code and text of SendRawEmail, both empty if it was taken."""
    try:
        town.server.ses().send_raw_email(Source=SENDER, Destinations=["ann@one.test"], RawMessage={"Data": content})
    except ClientError as error:
        told = error.response["Error"]
        return told["Code"], check_quiet(told["Message"])
    return "", ""


def test_eleven_megabytes(town: Town) -> None:
    content = GOOD + (b"x" * 76 + b"\r\n") * (11 * 1024 * 1024 // 78)
    assert town.submit(content) == "552 Message is too long."
    with town.smtp() as client:
        assert client.docmd("MAIL", "FROM:<shop@sender.test> SIZE=11534336") == (552, b"Message is too long.")
        assert speak(client, SENDER, ["ann@one.test"], GOOD).startswith("250 Ok ")  # the session goes on
    assert by_api(town, content) == ("InvalidParameterValue", "Message is too long.")


def test_fifty_one_recipients(town: Town) -> None:
    boxes = [f"user{n}@one.test" for n in range(51)]
    with town.smtp() as client:
        assert speak(client, SENDER, boxes, GOOD) == "554 Transaction failed: Recipient count exceeds 50."
    divided = {"ToAddresses": boxes[:30], "BccAddresses": boxes[30:]}
    for service, operation, given in (
        raw(Destinations=boxes),
        v1(Destination=divided),
        v2(Destination=divided),
        ("sesv2", "send_email", {"Destination": {"ToAddresses": boxes}, "Content": {"Raw": {"Data": GOOD}}}),
    ):
        with pytest.raises(ClientError) as refused:
            getattr(town.server.client(service), operation)(**given)
        assert refused.value.response["Error"]["Code"] in ("InvalidParameterValue", "BadRequestException")
        assert refused.value.response["Error"]["Message"] == "Recipient count exceeds 50."


def say(client: smtplib.SMTP, wire: bytes) -> str:
    """Content exactly so, its end and all; the reply."""
    for command in (f"MAIL FROM:<{SENDER}>", "RCPT TO:<ann@one.test>", "DATA"):
        assert client.docmd(command)[0] in (250, 354)
    client.send(wire)
    code, text = client.getreply()
    return f"{code} {text.decode()}"


def test_bare_newlines_become_crlf_and_end_nothing(town: Town) -> None:
    with town.smtp() as client:
        wire = GOOD.replace(b"\r\n", b"\n") + b"two\r\nthree\rfour\n"
        smuggled = b".\nMAIL FROM:<shop@sender.test>\nRCPT TO:<carol@two.test>\nDATA\nevil\n.\r\nend\n\r.\nmore\r\n"
        message = id_of(say(client, wire + smuggled + b".\r\n"))
        assert client.noop()[0] == 250, "the session is where both sides think it is"
    arrived = town.arrived("ann@one.test", message)
    assert b"\n" not in arrived.content.replace(b"\r\n", b"")
    assert b"RCPT TO:<carol@two.test>" in arrived.body
    assert town.signers(arrived.content) == ["sender.test", "provider.test"]
    assert [one["recipient"] for one in town.ended(message)["deliveries"]] == ["ann@one.test"]
    taken = town.server.ses().send_raw_email(RawMessage={"Data": GOOD.replace(b"\r\n", b"\n")})
    assert town.arrived("ann@one.test", taken["MessageId"]).body == b"x\r\n"


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r\r\n"])
def test_only_crlf_dot_crlf_ends_the_data(town: Town, end: bytes) -> None:
    with town.smtp() as client:
        message = id_of(say(client, GOOD.removesuffix(b"\r\n") + end + b"still content\r\n.\r\n"))
        assert client.noop()[0] == 250
    arrived = town.arrived("ann@one.test", message)
    assert arrived.body.endswith(b"still content\r\n")
    assert b"\n" not in arrived.content.replace(b"\r\n", b"")
    assert b"\r" not in arrived.content.replace(b"\r\n", b"")
    assert b"\r\n.\r\n" not in arrived.content or arrived.body.startswith(b"x\r\n.\r\n")


def test_a_line_of_ten_thousand_bytes(town: Town) -> None:
    for content in (HEAD + b"\r\n" + b"y" * 10_000 + b"\r\n", HEAD + b"X-Long: " + b"y" * 10_000 + b"\r\n\r\nx\r\n"):
        assert town.submit(content) == "500 Line too long"
        code, text = by_api(town, content)
        assert code in ("", "InvalidParameterValue")
    with town.smtp() as client:
        code, text = client.docmd("MAIL FROM:<" + "a" * 10_000 + "@sender.test>")
        assert (code, text) == (500, b"Line too long")
        assert client.noop()[0] == 250


def test_huge_headers(town: Town) -> None:
    """As long as lines are short a header may be long; what events show of it is cut (SES: events §1)."""
    folded = b"X-Huge: " + b"\r\n ".join([b"z" * 70] * 1300)  # Postfix itself cuts a field at 100 KB + b"\r\n"
    many = b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(5000))
    for more in (folded, many):
        reply = check_quiet(town.submit(HEAD + more + b"\r\nx\r\n"))
        if reply.startswith("250"):
            arrived = town.arrived("ann@one.test", id_of(reply))
            assert more in arrived.content
            assert town.signers(arrived.content) == ["sender.test", "provider.test"]
        else:
            assert reply.startswith("554 Transaction failed: ")
    recipients = b"To: " + b",\r\n ".join(b"u%d@one.test" % n for n in range(5000)) + b"\r\n"
    reply = check_quiet(town.submit(recipients + b"From: shop@sender.test\r\n\r\nx\r\n"))
    assert reply.startswith(("250", "554 Transaction failed: "))
    authors = b"From: " + b",\r\n ".join(b"u%d@sender.test" % n for n in range(20_000)) + b"\r\n"
    reply = check_quiet(town.submit(authors + b"To: ann@one.test\r\n\r\nx\r\n"))
    assert reply.startswith(("250", "554 "))


def test_nonsense_and_garbage_on_the_wire(town: Town) -> None:
    with town.smtp() as client:
        for words in (
            "FOO",
            "MAIL",
            "MAIL FROM",
            "MAIL FROM:",
            "MAIL FROM:<>",
            "MAIL FROM:<a@b",
            "RCPT TO:<x>",
            "DATA x",
        ):
            code, text = client.docmd(words)
            assert 500 <= code < 600, words
            check_quiet(text.decode())
        client.send(b"\x00\xff\xfe\x80\r\n")
        assert client.getreply()[0] in (500, 501)
        assert client.noop()[0] == 250


# -- signatures --------------------------------------------------------------------------------------------------------


def call(town: Town, body: dict[str, Any], **change: Any) -> tuple[int, str, str]:
    """A v2 SendEmail signed by botocore, then changed; status, error type, text."""
    url = f"{town.server.endpoints['api']}/v2/email/outbound-emails"
    content = json.dumps(body).encode()
    request = AWSRequest("POST", url, data=content, headers={"Content-Type": "application/json"})
    access_key, secret = town.keys
    credentials = Credentials(change.get("key", access_key), change.get("secret", secret))
    SigV4Auth(credentials, change.get("service", "ses"), change.get("region", "us-east-1")).add_auth(request)
    headers = dict(request.headers.items())
    if "authorization" in change:
        headers["Authorization"] = change["authorization"](headers["Authorization"])
    headers = {name: value for name, value in headers.items() if value is not None} | change.get("headers", {})
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    try:
        connection.request("POST", place.path, change.get("content", content), headers)
        answer = connection.getresponse()
        kind = str(answer.getheader("x-amzn-ErrorType") or "").partition(":")[0]
        return answer.status, kind, check_quiet(answer.read().decode())
    finally:
        connection.close()


REQUEST = {
    "FromEmailAddress": SENDER,
    "Destination": {"ToAddresses": ["ann@one.test"]},
    "Content": {"Simple": {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}},
}
DOES_NOT_MATCH = "The request signature we calculated does not match the signature you provided."


def test_a_good_signature_is_taken(town: Town) -> None:
    assert call(town, REQUEST)[0] == 200


INVALID, INCOMPLETE = "InvalidSignatureException", "IncompleteSignatureException"
MISSING, UNKNOWN = "MissingAuthenticationTokenException", "UnrecognizedClientException"
OTHER_BODY = json.dumps({**REQUEST, "FromEmailAddress": "other@sender.test"}).encode()
BAD_SIGNATURES: dict[str, tuple[dict[str, Any], str, str]] = {
    "truncated": ({"authorization": lambda text: text[:-1]}, "", ""),
    "last digit": ({"authorization": lambda text: text[:-1] + "01"[text[-1] == "0"]}, INVALID, DOES_NOT_MATCH),
    "none": ({"authorization": lambda text: text.partition("Signature=")[0]}, INCOMPLETE, ""),
    "one header more": ({"authorization": lambda text: text.replace("Headers=", "Headers=x-evil;")}, "", ""),
    "another region": ({"authorization": lambda text: text.replace("/us-east-1/", "/eu-west-1/")}, INVALID, ""),
    "garbage": ({"authorization": lambda text: "AWS4-HMAC-SHA256 " + "x" * 5000}, INCOMPLETE, ""),
    "basic": ({"authorization": lambda text: "Basic YTpi"}, "", ""),
    "empty": ({"authorization": lambda text: ""}, "", ""),
    "absent": ({"authorization": lambda text: None}, MISSING, "Request is missing Authentication Token"),
    "body changed": ({"content": OTHER_BODY}, INVALID, DOES_NOT_MATCH),
    "old date": ({"headers": {"X-Amz-Date": "20200101T000000Z"}}, "", ""),
    "no date": ({"headers": {"X-Amz-Date": "garbage"}}, "", ""),
    "another host": ({"headers": {"Host": "evil.test"}}, INVALID, DOES_NOT_MATCH),
    "wrong secret": ({"secret": "x" * 40}, INVALID, DOES_NOT_MATCH),
    "unknown key": ({"key": "AKIAUNKNOWNUNKNOWN00"}, UNKNOWN, "The security token included in the request is invalid."),
    "no region": ({"region": "mars-north-1"}, INVALID, "Credential should be scoped to a valid region"),
    "no service": ({"service": "s3"}, "", "Credential should be scoped to correct service: 'ses'."),
}


@pytest.mark.parametrize(("change", "kind", "text"), BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_bad_signatures(town: Town, change: dict[str, Any], kind: str, text: str) -> None:
    before = len(town.mx.messages("ann@one.test"))
    status, told, answer = call(town, REQUEST, **change)
    assert status in (400, 403, 404), (status, told, answer)
    assert told
    if kind:
        assert told == kind
    assert text in answer
    assert town.keys[1] not in answer
    assert len(town.mx.messages("ann@one.test")) == before


@pytest.mark.parametrize("minutes", [-16, -60 * 24, 16, 60 * 24])
def test_a_skewed_clock(town: Town, minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: moved.replace(tzinfo=None))
    status, kind, answer = call(town, REQUEST)
    assert (status, kind) == (403, "InvalidSignatureException")
    expected = "Signature expired: " if minutes < 0 else "Signature not yet current: "
    assert json.loads(answer)["message"].startswith(expected + moved.strftime("%Y%m%dT%H%M%SZ"))


def test_a_small_skew_is_forgiven(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=14)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: moved.replace(tzinfo=None))
    assert call(town, REQUEST)[0] == 200


# -- injection ---------------------------------------------------------------------------------------------------------

EVIL = "\r\nX-Evil: 1"
TEXT = {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}}
TO = {"ToAddresses": ["ann@one.test"]}
FILE = {"FileName": "a.txt", "RawContent": b"x"}


def v1(**change: Any) -> tuple[str, str, dict[str, Any]]:
    return "ses", "send_email", {"Source": SENDER, "Destination": TO, "Message": TEXT, **change}


def v2(simple: dict[str, Any] | None = None, **change: Any) -> tuple[str, str, dict[str, Any]]:
    content = {"Content": {"Simple": {**TEXT, **(simple or {})}}}
    return "sesv2", "send_email", {"FromEmailAddress": SENDER, "Destination": TO, **content, **change}


def raw(**change: Any) -> tuple[str, str, dict[str, Any]]:
    given = {"Source": SENDER, "Destinations": ["ann@one.test"], "RawMessage": {"Data": GOOD}}
    return "ses", "send_raw_email", {**given, **change}


def injections(evil: str) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Every field of a send that is a string, with a line break in it."""
    address, named = f"ann@one.test{evil}", f"Ann{evil} <ann@one.test>"
    return {
        "v1 Source": v1(Source=SENDER + evil),
        "v1 Source name": v1(Source=f"Shop{evil} <{SENDER}>"),
        "v1 To": v1(Destination={"ToAddresses": [address]}),
        "v1 To name": v1(Destination={"ToAddresses": [named]}),
        "v1 Cc": v1(Destination={**TO, "CcAddresses": [named]}),
        "v1 Bcc": v1(Destination={**TO, "BccAddresses": [address]}),
        "v1 ReplyTo": v1(ReplyToAddresses=[named]),
        "v1 ReturnPath": v1(ReturnPath=SENDER + evil),
        "v1 Subject": v1(Message={**TEXT, "Subject": {"Data": "x" + evil}}),
        "v1 subject charset": v1(Message={**TEXT, "Subject": {"Data": "안", "Charset": "UTF-8" + evil}}),
        "v1 text charset": v1(Message={**TEXT, "Body": {"Text": {"Data": "x", "Charset": "UTF-8" + evil}}}),
        "v1 html charset": v1(Message={**TEXT, "Body": {"Html": {"Data": "x", "Charset": evil + "UTF-8"}}}),
        "v1 tag name": v1(Tags=[{"Name": "a" + evil, "Value": "b"}]),
        "v1 tag value": v1(Tags=[{"Name": "a", "Value": "b" + evil}]),
        "v1 configuration set": v1(ConfigurationSetName="a" + evil),
        "v1 SourceArn": v1(SourceArn="arn:aws:ses:us-east-1:000000000000:identity/sender.test" + evil),
        "v1 ReturnPathArn": v1(ReturnPathArn="arn" + evil),
        "raw Source": raw(Source=SENDER + evil),
        "raw Destinations": raw(Destinations=[address]),
        "raw FromArn": raw(FromArn="arn" + evil),
        "raw configuration set": raw(ConfigurationSetName="a" + evil),
        "v2 From": v2(FromEmailAddress=SENDER + evil),
        "v2 From name": v2(FromEmailAddress=f"Shop{evil} <{SENDER}>"),
        "v2 To": v2(Destination={"ToAddresses": [named]}),
        "v2 Cc": v2(Destination={**TO, "CcAddresses": [named]}),
        "v2 Bcc": v2(Destination={**TO, "BccAddresses": [address]}),
        "v2 ReplyTo": v2(ReplyToAddresses=[named]),
        "v2 feedback address": v2(FeedbackForwardingEmailAddress=SENDER + evil),
        "v2 Subject": v2({"Subject": {"Data": "x" + evil}}),
        "v2 charset": v2({"Body": {"Text": {"Data": "x", "Charset": "UTF-8" + evil}}}),
        "v2 header name": v2({"Headers": [{"Name": "X-A" + evil, "Value": "b"}]}),
        "v2 header value": v2({"Headers": [{"Name": "X-A", "Value": "b" + evil}]}),
        "v2 file name": v2({"Attachments": [{**FILE, "FileName": f"a{evil}.txt"}]}),
        "v2 file type": v2({"Attachments": [{**FILE, "ContentType": "text/plain" + evil}]}),
        "v2 file id": v2({"Attachments": [{**FILE, "ContentId": "a" + evil}]}),
        "v2 file description": v2({"Attachments": [{**FILE, "ContentDescription": "a" + evil}]}),
        "v2 tag value": v2(EmailTags=[{"Name": "a", "Value": "b" + evil}]),
        "v2 configuration set": v2(ConfigurationSetName="a" + evil),
    }


@pytest.mark.parametrize("name", injections(EVIL))
def test_no_line_break_gets_into_a_header(town: Town, name: str) -> None:
    client = town.server.client(injections(EVIL)[name][0], parameter_validation=False)
    for evil in (EVIL, "\nX-Evil: 1", "\rX-Evil: 1", "\r\n\r\nevil body", "\r\n X-Evil: folded"):
        _, operation, given = injections(evil)[name]
        with pytest.raises(ClientError) as refused:
            getattr(client, operation)(**given)
        answer = refused.value.response
        assert 400 <= answer["ResponseMetadata"]["HTTPStatusCode"] < 500, (name, answer)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] != 403 or "not authorized" in answer["Error"]["Message"]
        check_quiet(answer["Error"]["Message"])


def test_line_breaks_in_smtp_addresses(town: Town) -> None:
    with town.smtp() as client:
        client.send(b"MAIL FROM:<shop@sender.test\rX-Evil: 1>\r\n")
        assert client.getreply()[0] >= 500
        client.send(b'MAIL FROM:<"shop\nRCPT TO:<x@y"@sender.test>\r\n')  # LF ends a command: two wrong ones
        assert client.getreply()[0] >= 500
        assert client.getreply()[0] >= 500
        assert client.noop()[0] == 250


def test_odd_api_requests(town: Town) -> None:
    place = urlsplit(town.server.endpoints["api"])
    for method, path, body, kind in (
        ("POST", "/", b"", "application/x-www-form-urlencoded"),
        ("POST", "/", b"Action=%ZZ&=&&&", "application/x-www-form-urlencoded"),
        ("POST", "/", b"Action=SendEmail&Version=2010-12-01", "application/x-www-form-urlencoded"),
        ("POST", "/v2/email/outbound-emails", b"{" * 100_000, "application/json"),
        ("POST", "/v2/email/outbound-emails", b"\xff\xfe", "application/json"),
        ("GET", "/v2/email/../../etc/passwd", b"", ""),
        ("BREW", "/%00", b"", ""),
        ("GET", "/_aws/ses", b"", ""),
        ("POST", "/_mailstead/clock", b'{"advance": 5}', "application/json"),
    ):
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        try:
            connection.request(method, path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            assert 400 <= answer.status < 500, (method, path, answer.status)
            check_quiet(answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()


# -- the strict setting ------------------------------------------------------------------------------------------------


def test_bare_newlines_can_be_refused(town: Town, tmp_path: Path) -> None:
    with Server(tmp_path / "strict", {"limits.bare_newline": "refuse"}, dev=True) as server:
        client = smtplib.SMTP(*server.address("submission"), timeout=20)
        with client:
            client.starttls()
            client.login(*server.smtp_login)
            for command in (f"MAIL FROM:<{SENDER}>", "RCPT TO:<ann@one.test>", "DATA"):
                client.docmd(command)
            client.send(b"From: shop@sender.test\nTo: ann@one.test\n\nx\r\n.\r\n")
            assert client.getreply() == (554, b"Transaction failed: Bare LF")
            assert client.noop()[0] == 250
