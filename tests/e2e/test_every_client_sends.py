"""Every client sends: one running server, and each message reaches a real Postfix with two signatures that hold."""

from __future__ import annotations

import email.policy
import email.utils
import json
import re
import smtplib
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from peers.clients import aws, curl, nodemailer, swaks
from peers.town import PROVIDER, SENDER, Arrived, Town, id_of, speak

pytestmark = pytest.mark.slow

FIELDS = (
    b"From: Shop <shop@sender.test>\r\n",
    b"to: ann@one.test\r\n",
    b"Subject:  =?utf-8?q?Caf=C3=A9?=\r\n folded  here\r\n",
    b"MIME-Version: 1.0\r\n",
    b"Content-Type: text/plain; charset=utf-8\r\n",
    b"Content-Transfer-Encoding: 8bit\r\n",
    b"X-Custom:   kept as it is \r\n",
)
PRIVATE = (
    b"Bcc: hidden@two.test\r\n",
    b"X-SES-MESSAGE-TAGS: campaign=first\r\n",
    b"Return-Path: <shop@sender.test>\r\n",
    b"Message-ID: <mine@sender.test>\r\n",
    b"Date: Mon, 1 Jan 2001 00:00:00 +0000\r\n",
    b"Feedback-ID: mine\r\n",
    b"X-SES-Outgoing: 1\r\n",
    b"Authentication-Results: sender.test; spf=pass\r\n",
)
BODY = "Grüße\r\n.dot\r\n..two dots\r\n\ttab and trailing blanks  \r\n\r\n안녕\r\n.\r\n\r\n\r\n".encode()
RAW = b"".join(FIELDS) + b"".join(PRIVATE) + b"\r\n" + BODY
KNOWN_END = ["Message-ID", "Date", "Feedback-ID", "X-SES-Outgoing"]


def check_as_ses(town: Town, arrived: Arrived, message: str) -> None:
    """What SES does to a message (SES: smtp §6)."""
    assert re.fullmatch(r"0100[0-9a-f]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-000000", message)
    assert arrived.reverse_path == f"{message}@{PROVIDER}"
    names = arrived.names
    assert names[:2] == ["DKIM-Signature", "DKIM-Signature"]
    assert names[-4:] == KNOWN_END
    lower = [name.lower() for name in names]
    for once in ("from", "subject", *map(str.lower, KNOWN_END)):
        assert lower.count(once) == 1, once
    assert not {"bcc", "return-path", "authentication-results"} & set(lower)
    assert [name for name in lower if name.startswith("x-ses-")] == ["x-ses-outgoing"]
    head = arrived.parsed
    assert head["Message-ID"] == f"<{message}@email.{PROVIDER}>"
    date = str(head["Date"])
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000", date)
    assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 120
    assert re.fullmatch(r"::1\.us-east-1\.[A-Za-z0-9+/]{43}=:AmazonSES", head["Feedback-ID"])
    day = datetime.now(UTC).strftime("%Y.%m.%d")
    assert re.fullmatch(day + r"-127\.\d+\.\d+\.\d+", head["X-SES-Outgoing"])
    check_signatures(town, arrived)


def check_signatures(town: Town, arrived: Arrived) -> None:
    """The sender's first, then ours; what is signed stands in them as SES writes it."""
    assert town.signers(arrived.content) == ["sender.test", PROVIDER]
    identity, provider = (re.sub(r"\s", "", text) for text in arrived.parsed.get_all("DKIM-Signature"))
    for text, more in ((identity, []), (provider, ["feedback-id"])):
        tags = dict(part.split("=", 1) for part in text.strip(";").split(";"))
        assert list(tags)[:5] == ["v", "a", "q", "c", "s"]
        assert (tags["v"], tags["a"], tags["q"], tags["c"]) == ("1", "rsa-sha256", "dns/txt", "relaxed/simple")
        assert abs(int(tags["t"]) - time.time()) < 120
        signed = tags["h"].lower().split(":")
        assert {"from", "to", "subject", "message-id", "date", *more} <= set(signed)
        assert ("feedback-id" in signed) == bool(more)


def check_raw(arrived: Arrived) -> None:
    """A raw message keeps its bytes: private fields go, ours come at the end, the signatures stand on top."""
    assert arrived.body == BODY
    assert b"".join(FIELDS) + b"Message-ID: <" in arrived.content
    assert arrived.names[2 : 2 + len(FIELDS)] == [
        "From", "to", "Subject", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "X-Custom",
    ]  # fmt: skip
    assert len(arrived.names) == 2 + len(FIELDS) + len(KNOWN_END)


# -- raw messages ------------------------------------------------------------------------------------------------------


def by_ses_raw(town: Town) -> str:
    return str(town.server.ses().send_raw_email(RawMessage={"Data": RAW}, Destinations=["ann@one.test"])["MessageId"])


def by_sesv2_raw(town: Town) -> str:
    sent = town.server.sesv2().send_email(Content={"Raw": {"Data": RAW}}, Destination={"ToAddresses": ["ann@one.test"]})
    return str(sent["MessageId"])


def by_aws_ses_raw(town: Town) -> str:
    document = json.dumps({"Data": RAW.decode()})  # v1 of the command line encodes it itself
    words = ("ses", "send-raw-email", "--destinations", "ann@one.test", "--raw-message", document)
    return aws_id(town, *words)


def by_smtplib_starttls(town: Town) -> str:
    return id_of(town.submit(RAW))


def by_smtplib_tls(town: Town) -> str:
    with smtplib.SMTP_SSL(*town.server.address("submissions"), timeout=20, context=town.trusting()) as client:
        client.login(town.keys[0], town.password())
        return id_of(speak(client, SENDER, ["ann@one.test"], RAW))


def by_curl_smtp(town: Town) -> str:
    return by_curl(town, "smtp", "submission", "--ssl-reqd")


def by_curl_smtps(town: Town) -> str:
    return by_curl(town, "smtps", "submissions")


def by_curl(town: Town, scheme: str, listener: str, *options: str) -> str:
    host, port = town.server.address(listener)
    words = (
        f"{scheme}://{host}:{port}/client.test", *options, "--verbose", "--cacert", str(town.server.ca_file),
        "--user", f"{town.keys[0]}:{town.password()}", "--mail-from", SENDER, "--mail-rcpt", "ann@one.test",
        "--upload-file", "-",
    )  # fmt: skip
    done = curl(*words, stdin=RAW)
    assert done.returncode == 0, done.stderr.decode()
    found = re.search(r"^< 250 Ok (\S+)", done.stderr.decode(), re.MULTILINE)
    assert found, done.stderr.decode()
    return found[1]


def by_swaks(town: Town) -> str:
    return by_swaks_with(town, "PLAIN")


def by_swaks_login(town: Town) -> str:
    return by_swaks_with(town, "LOGIN")


def by_swaks_with(town: Town, mechanism: str) -> str:
    host, port = town.server.address("submission")
    done = swaks(
        "--server", f"{host}:{port}", "--tls", "--tls-verify", "--tls-ca-path", str(town.server.ca_file),
        "--auth", mechanism, "--auth-user", town.keys[0], "--auth-password", town.password(),
        "--from", SENDER, "--to", "ann@one.test", "--data", RAW.replace(b"\r\n", b"\n").decode(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
    found = re.search(r"^<~  250 Ok (\S+-000000)", done.stdout.decode(), re.MULTILINE)
    assert found, done.stdout.decode()
    return found[1]


def by_mailstead_send(town: Town) -> str:
    file = town.server.data.parent / "message.eml"
    file.write_bytes(RAW)
    sent = town.server.cli_json("send", "--raw", str(file), "--to", "ann@one.test")
    return str(sent["message"])


def aws_id(town: Town, *words: str) -> str:
    done = aws(*words, endpoint=town.server.endpoints["api"], credentials=town.server.data / "credentials")
    assert done.returncode == 0, done.stderr.decode()
    return str(json.loads(done.stdout)["MessageId"])


RAW_CLIENTS = (
    by_ses_raw, by_sesv2_raw, by_aws_ses_raw, by_smtplib_starttls, by_smtplib_tls, by_curl_smtp, by_curl_smtps,
    by_swaks, by_swaks_login, by_mailstead_send,
)  # fmt: skip


@pytest.mark.parametrize("send", RAW_CLIENTS, ids=lambda send: send.__name__)
def test_a_whole_message(town: Town, send: Callable[[Town], str]) -> None:
    message = send(town)
    arrived = town.arrived("ann@one.test", message)
    check_as_ses(town, arrived, message)
    if "swaks" in send.__name__:  # swaks ends the data with a line of its own
        arrived = Arrived(arrived.content.removesuffix(b"\r\n"), arrived.reverse_path)
    check_raw(arrived)


def test_bcc_of_a_raw_message_gets_it_and_is_not_shown(town: Town) -> None:
    raw = RAW.replace(b"Bcc: hidden@two.test", b"Bcc: Carol <carol@two.test>,\r\n bob@one.test")
    sent = town.server.ses().send_raw_email(RawMessage={"Data": raw})
    for box in ("ann@one.test", "bob@one.test", "carol@two.test"):
        arrived = town.arrived(box, sent["MessageId"])
        check_as_ses(town, arrived, sent["MessageId"])
        check_raw(arrived)
        assert b"carol@two.test" not in arrived.content


# -- formatted ones ----------------------------------------------------------------------------------------------------

TEXT, HTML = "Guten Tag, Ännchen\n안녕\n", "<p>Guten <b>Tag</b>, Ännchen</p>"
SUBJECT = "Bestellung № 7: 안녕하세요, wie geht es Ihnen? Das hier ist ein langer Betreff, der gefaltet werden muss"
SOURCE = '"Shop, Inc." <shop@sender.test>'


def check_formatted(town: Town, message: str, *, bcc: bool = True) -> Arrived:
    arrived = town.arrived("ann@one.test", message)
    check_as_ses(town, arrived, message)
    parsed = arrived.parsed
    assert parsed["Subject"] == SUBJECT
    (author,) = parsed["From"].addresses
    assert (author.display_name, author.addr_spec) == ("Shop, Inc.", SENDER)
    assert [one.addr_spec for one in parsed["To"].addresses] == ["ann@one.test"]
    text, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    assert text.get_content().replace("\r\n", "\n").rstrip("\n") == TEXT.rstrip("\n")
    assert html.get_content().strip() == HTML
    assert all(len(line) <= 998 for line in arrived.content.split(b"\r\n"))
    if bcc:
        copy = town.arrived("carol@two.test", message)
        assert b"carol" not in copy.content
        check_as_ses(town, copy, message)
    return arrived


def test_boto3_ses_send_email(town: Town) -> None:
    sent = town.server.ses().send_email(
        Source=SOURCE,
        Destination={
            "ToAddresses": ["ann@one.test"],
            "CcAddresses": ["bob@one.test"],
            "BccAddresses": ["carol@two.test"],
        },
        ReplyToAddresses=["answers@sender.test", "Two <two@sender.test>"],
        ReturnPath="bounces@sender.test",
        Message={
            "Subject": {"Data": SUBJECT, "Charset": "UTF-8"},
            "Body": {"Text": {"Data": TEXT, "Charset": "UTF-8"}, "Html": {"Data": HTML, "Charset": "UTF-8"}},
        },
        Tags=[{"Name": "campaign", "Value": "first"}],
    )
    parsed = check_formatted(town, sent["MessageId"]).parsed
    assert parsed.get_content_type() == "multipart/alternative"
    assert [one.addr_spec for one in parsed["Reply-To"].addresses] == ["answers@sender.test", "two@sender.test"]
    assert [one.addr_spec for one in parsed["Cc"].addresses] == ["bob@one.test"]
    town.arrived("bob@one.test", sent["MessageId"])
    assert town.ended(sent["MessageId"])["envelope"]["sender"] == "bounces@sender.test"


def test_boto3_sesv2_simple_with_attachments(town: Town) -> None:
    files = {"rechnung.pdf": bytes(range(256)) * 50, "견적서.txt": "내용\n".encode()}
    sent = town.server.sesv2().send_email(
        FromEmailAddress=SOURCE,
        Destination={"ToAddresses": ["ann@one.test"], "BccAddresses": ["carol@two.test"]},
        Content={
            "Simple": {
                "Subject": {"Data": SUBJECT, "Charset": "UTF-8"},
                "Body": {"Text": {"Data": TEXT, "Charset": "UTF-8"}, "Html": {"Data": HTML, "Charset": "UTF-8"}},
                "Headers": [{"Name": "List-Unsubscribe", "Value": "<https://sender.test/u>"}],
                "Attachments": [
                    {"FileName": name, "RawContent": content, "ContentType": "application/octet-stream"}
                    for name, content in files.items()
                ],
            }
        },
    )
    parsed = check_formatted(town, sent["MessageId"]).parsed
    assert parsed["List-Unsubscribe"] == "<https://sender.test/u>"
    attached = {part.get_filename(): part.get_content() for part in parsed.iter_attachments()}
    assert attached == files


def test_aws_ses_send_email(town: Town) -> None:
    message = aws_id(
        town, "ses", "send-email", "--from", SOURCE, "--to", "ann@one.test", "--bcc", "carol@two.test",
        "--subject", SUBJECT, "--text", TEXT, "--html", HTML,
    )  # fmt: skip
    check_formatted(town, message)


def test_aws_sesv2_send_email(town: Town) -> None:
    content = {"Simple": {"Subject": {"Data": SUBJECT}, "Body": {"Text": {"Data": TEXT}, "Html": {"Data": HTML}}}}
    message = aws_id(
        town, "sesv2", "send-email", "--from-email-address", SOURCE,
        "--destination", json.dumps({"ToAddresses": ["ann@one.test"], "BccAddresses": ["carol@two.test"]}),
        "--content", json.dumps(content),
    )  # fmt: skip
    check_formatted(town, message)


def test_nodemailer_smtp(town: Town) -> None:
    host, port = town.server.address("submission")
    transport: dict[str, object] = {
        "host": host, "port": port, "secure": False, "requireTLS": True,
        "tls": {"ca": [town.server.ca_file.read_text()]}, "auth": {"user": town.keys[0], "pass": town.password()},
    }  # fmt: skip
    content: dict[str, object] = {
        "from": SOURCE, "to": "ann@one.test", "bcc": "carol@two.test", "subject": SUBJECT, "text": TEXT, "html": HTML,
        "attachments": [{"filename": "견적서.txt", "content": "내용"}],
    }  # fmt: skip
    answer = nodemailer(transport, content)
    parsed = check_formatted(town, id_of(str(answer.get("response", answer)))).parsed
    (file,) = parsed.iter_attachments()
    assert (file.get_filename(), file.get_content().strip()) == ("견적서.txt", "내용")


def test_mailstead_send(town: Town) -> None:
    sent = town.server.cli(
        "send", "--from", SENDER, "--to", "ann@one.test", "--subject", SUBJECT, "--json", stdin="Hello\n"
    )
    arrived = town.arrived("ann@one.test", json.loads(sent.stdout)["message"])
    assert arrived.parsed["Subject"] == SUBJECT
    assert arrived.parsed.get_content().strip() == "Hello"


def test_no_starttls_at_the_destination_is_told(town: Town) -> None:
    """Opportunistic: this town's Postfix offers no STARTTLS; mail goes in the clear and the trace says so."""
    (delivery,) = town.ended(id_of(town.submit(RAW)))["deliveries"]
    assert not delivery["tls"]
    assert delivery["host"].startswith("mx.one.test [127.0.0.2]:")
    assert delivery["reply"].startswith("250 2.0.0 Ok: queued as")
