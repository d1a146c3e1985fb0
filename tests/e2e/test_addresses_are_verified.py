"""An address is verified by whoever reads its mail: the mail goes out, its link is opened, the address may send."""

from __future__ import annotations

import email
import email.policy
import http.client
import re
import ssl
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from peers.ground import wait_for
from peers.scripted_mx import ScriptedMX
from peers.server import Server

pytestmark = pytest.mark.slow

DAY = 86_400


class Scene:
    """A server whose mail goes to a sink, and a browser."""

    def __init__(self, server: Server, sink: ScriptedMX) -> None:
        self.server = server
        self.sink = sink
        self.v1 = server.ses()
        self.v2 = server.sesv2()

    def mails(self, address: str) -> list[EmailMessage]:
        """What came for an address."""
        taken = [one.content for one in list(self.sink.messages) if one.recipients == (address,)]
        return [email.message_from_bytes(content, policy=email.policy.default) for content in taken]  # type: ignore[misc]

    def mail(self, address: str, count: int = 1) -> EmailMessage:
        """The last of so many mails for it."""
        wait_for(lambda: len(self.mails(address)) == count, f"mail for {address}; {self.server.tail(10)}")
        return self.mails(address)[-1]

    def open(self, link: str, method: str = "GET") -> tuple[int, str, str]:
        """Status, Location and page, as a browser gets them."""
        parts = urlsplit(link)
        client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            client.request(method, f"{parts.path}?{parts.query}")
            answer = client.getresponse()
            return answer.status, answer.getheader("Location") or "", answer.read().decode()
        finally:
            client.close()

    def status(self, address: str) -> tuple[str, str]:
        """What v1 and v2 say of it."""
        old = self.v1.get_identity_verification_attributes(Identities=[address])["VerificationAttributes"]
        return old[address]["VerificationStatus"], self.v2.get_email_identity(EmailIdentity=address)[
            "VerificationStatus"
        ]

    def send(self, sender: str) -> str:
        destination, body = {"ToAddresses": ["far@far.test"]}, {"Text": {"Data": "x"}}
        message = {"Subject": {"Data": "x"}, "Body": body}
        return str(self.v1.send_email(Source=sender, Destination=destination, Message=message)["MessageId"])

    def advance(self, seconds: int) -> None:
        assert self.server.http("POST", "/_mailstead/clock", {"advance": seconds})[0] == 200


def link_in(mail: EmailMessage) -> str:
    """The one link of a mail's text."""
    part = mail.get_body(("plain",))
    assert part is not None
    (found,) = re.findall(r"https?://\S+", part.get_content())
    return str(found)


def settings(sink: ScriptedMX) -> dict[str, Any]:
    return {"verification": "dns", "delivery.mode": "relay", "delivery.smarthost": f"{sink.host}:{sink.port}"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with (
        ScriptedMX() as sink,
        Server(tmp_path_factory.mktemp("verified") / "data", settings(sink), dev=True) as server,
    ):
        yield Scene(server, sink)


@pytest.mark.parametrize("asked", ["VerifyEmailIdentity", "VerifyEmailAddress", "CreateEmailIdentity"])
def test_the_link_verifies(scene: Scene, asked: str) -> None:
    address = f"ann-{asked.lower()}@near.test"
    if asked == "VerifyEmailIdentity":
        scene.v1.verify_email_identity(EmailAddress=address)
    elif asked == "VerifyEmailAddress":
        scene.v1.verify_email_address(EmailAddress=address)
    else:
        scene.v2.create_email_identity(EmailIdentity=address)
    mail = scene.mail(address)
    assert mail["From"] == "no-reply@mailstead.invalid"
    assert mail["To"] == address
    assert mail["Subject"] == "Email Address Verification Request in region us-east-1"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert scene.status(address) == ("Pending", "PENDING")
    with pytest.raises(ClientError, match="Email address is not verified"):
        scene.send(address)

    link = link_in(mail)
    assert link.startswith(f"{scene.server.endpoints['tracking']}/verify?token=")
    assert scene.open(link, "HEAD")[0] == 200
    assert scene.open(link, "POST")[0] == 405
    assert scene.status(address) == ("Pending", "PENDING")

    status, location, page = scene.open(link)
    assert (status, location) == (200, "")
    assert "Address verified" in page
    assert scene.status(address) == ("Success", "SUCCESS")
    assert scene.send(address)
    assert scene.open(link) == (status, location, page)  # a reader who comes after a scanner


def test_asking_again_mails_again(scene: Scene) -> None:
    address = "again@near.test"
    scene.v1.verify_email_identity(EmailAddress=address)
    first = link_in(scene.mail(address))
    scene.v1.verify_email_identity(EmailAddress=address)
    second = link_in(scene.mail(address, 2))
    assert first != second
    with pytest.raises(ClientError) as caught:
        scene.v2.create_email_identity(EmailIdentity=address)
    assert caught.value.response["Error"]["Code"] == "AlreadyExistsException"
    assert scene.open(second)[0] == scene.open(first)[0] == 200
    scene.v1.verify_email_identity(EmailAddress=address)
    scene.mail(address, 3)
    assert scene.status(address) == ("Success", "SUCCESS")


def test_links_that_are_none(scene: Scene) -> None:
    one, two = "one@near.test", "two@near.test"
    for address in (one, two):
        scene.v1.verify_email_identity(EmailAddress=address)
    base, _, token = link_in(scene.mail(one)).partition("=")
    other = link_in(scene.mail(two)).partition("=")[2]
    mixed = f"{token.partition('.')[0]}.{other.partition('.')[2]}"
    for forged in (mixed, token[:-1], "", "%00", "'--", "a" * 5000):
        status, _, page = scene.open(f"{base}={forged}")
        assert (status, "Link not valid" in page) == (404, True)
    assert scene.open(base.partition("?")[0])[0] == 404
    assert scene.status(one) == scene.status(two) == ("Pending", "PENDING")
    scene.v2.delete_email_identity(EmailIdentity=one)
    scene.v2.create_email_identity(EmailIdentity=one)
    assert scene.open(f"{base}={token}")[0] == 404
    assert scene.status(one) == ("Pending", "PENDING")


def test_another_accounts_link_verifies_its_own(scene: Scene) -> None:
    address = "shared@near.test"
    stranger = scene.server.sesv2(key="222222222222", secret="x")
    stranger.create_email_identity(EmailIdentity=address)
    link = link_in(scene.mail(address))
    scene.v1.verify_email_identity(EmailAddress=address)
    scene.mail(address, 2)
    assert scene.open(link)[0] == 200
    assert stranger.get_email_identity(EmailIdentity=address)["VerificationStatus"] == "SUCCESS"
    assert scene.status(address) == ("Pending", "PENDING")


def test_it_counts_on_no_quota_and_makes_no_event(scene: Scene) -> None:
    before = scene.v1.get_send_quota()["SentLast24Hours"]
    scene.v1.verify_email_identity(EmailAddress="free@near.test")
    scene.mail("free@near.test")
    assert scene.v1.get_send_quota()["SentLast24Hours"] == before
    named = [row for row in scene.server.cli_json("events", "list") if "free@near.test" in str(row)]
    assert named == []


def test_nobody_opens_it(scene: Scene) -> None:
    address = "late@near.test"
    scene.v1.verify_email_identity(EmailAddress=address)
    link = link_in(scene.mail(address))
    scene.advance(DAY)
    status, _, page = scene.open(link)
    assert (status, "Link expired" in page) == (410, True)
    wait_for(lambda: scene.status(address) == ("Failed", "FAILED"), "the end of the wait", timeout=20)
    scene.v1.verify_email_identity(EmailAddress=address)
    assert scene.status(address) == ("Pending", "PENDING")
    assert scene.open(link_in(scene.mail(address, 2)))[0] == 200
    assert scene.status(address) == ("Success", "SUCCESS")


def test_links_begin_where_the_operator_says(tmp_path: Path) -> None:
    with ScriptedMX() as sink:
        given = settings(sink) | {"tracking.public_url": "https://mail.example.com/", "delivery.retry_for": "1h"}
        with Server(tmp_path / "data", given, dev=True) as server:
            scene = Scene(server, sink)
            scene.v1.verify_email_identity(EmailAddress="ann@near.test")
            assert link_in(scene.mail("ann@near.test")).startswith("https://mail.example.com/verify?token=")


def test_over_tls(tmp_path: Path) -> None:
    with ScriptedMX() as sink:
        given = settings(sink) | {"listen.tracking": "https://127.0.0.1:0"}
        with Server(tmp_path / "data", given, dev=True) as server:
            scene = Scene(server, sink)
            scene.v1.verify_email_identity(EmailAddress="ann@near.test")
            link = link_in(scene.mail("ann@near.test"))
            assert link.startswith(f"{server.endpoints['tracking']}/")
            with urllib.request.urlopen(link, context=ssl.create_default_context(cafile=str(server.ca_file))) as answer:
                assert (answer.url, answer.status) == (link, 200)
            assert scene.status("ann@near.test") == ("Success", "SUCCESS")


def test_without_a_place_for_links_it_is_said(tmp_path: Path) -> None:
    with (
        ScriptedMX() as sink,
        Server(tmp_path / "data", settings(sink) | {"listen.tracking": "off"}, dev=True) as server,
    ):
        assert "tracking" not in server.endpoints
        scene = Scene(server, sink)
        for ask in (
            lambda: scene.v1.verify_email_identity(EmailAddress="ann@near.test"),
            lambda: scene.v2.create_email_identity(EmailIdentity="ann@near.test"),
        ):
            with pytest.raises(ClientError, match="mailstead identity verify ADDRESS"):
                ask()
        assert scene.v2.list_email_identities()["EmailIdentities"] == []
        assert "no place for links" in server.log.read_text()
        server.cli("identity", "verify", "ann@near.test")
        assert scene.status("ann@near.test") == ("Success", "SUCCESS")


@pytest.fixture(scope="module")
def shop(scene: Scene) -> Scene:
    """An account with a verified sender and a mail of its own."""
    scene.server.http("POST", "/_mailstead/verify", {"identity": "shop@near.test"})
    scene.v2.create_configuration_set(ConfigurationSetName="news")
    picture = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    scene.v1.create_custom_verification_email_template(
        TemplateName="hello",
        FromEmailAddress="shop@near.test",
        TemplateSubject="Is it you? 제목",
        TemplateContent=f'<html><body><h1>Hello</h1><img src="{picture}"></body></html>',
        SuccessRedirectionURL="https://shop.test/yes?a=b&c=d",
        FailureRedirectionURL="https://shop.test/no",
    )
    return scene


def test_an_accounts_own_mail_leads_to_its_own_pages(shop: Scene) -> None:
    address = "fan@near.test"
    sent = shop.v2.send_custom_verification_email(
        EmailAddress=address, TemplateName="hello", ConfigurationSetName="news"
    )
    mail = shop.mail(address)
    assert (mail["From"], mail["Subject"]) == ("shop@near.test", "Is it you? 제목")
    assert mail["Message-ID"].startswith(f"<{sent['MessageId']}@")
    link = link_in(mail)
    html = mail.get_body(("html",))
    assert html is not None
    assert f'<a href="{link}">' in html.get_content()
    assert html.get_content().rstrip().endswith("</body></html>")
    (picture,) = [part for part in mail.walk() if part.get_content_type() == "image/gif"]
    assert f"cid:{picture['Content-ID'].strip('<>')}" in html.get_content()
    assert shop.status(address) == ("Pending", "PENDING")
    assert shop.open(link) == (302, "https://shop.test/yes?a=b&c=d", "")
    assert shop.status(address) == ("Success", "SUCCESS")
    assert shop.open(link)[:2] == (302, "https://shop.test/yes?a=b&c=d")


def test_an_accounts_own_mail_that_is_too_late(shop: Scene) -> None:
    address = "slow@near.test"
    shop.v1.send_custom_verification_email(EmailAddress=address, TemplateName="hello")
    link = link_in(shop.mail(address))
    shop.v1.delete_custom_verification_email_template(TemplateName="hello")  # the link knows where it leads to
    shop.advance(DAY)
    assert shop.open(link) == (302, "https://shop.test/no", "")
    assert shop.status(address) in {("Pending", "PENDING"), ("Failed", "FAILED")}


def test_an_accounts_own_mail_without_its_configuration_set(shop: Scene) -> None:
    shop.v1.create_custom_verification_email_template(
        TemplateName="other",
        FromEmailAddress="shop@near.test",
        TemplateSubject="x",
        TemplateContent="x",
        SuccessRedirectionURL="https://shop.test/yes",
        FailureRedirectionURL="https://shop.test/no",
    )
    with pytest.raises(ClientError) as caught:
        shop.v1.send_custom_verification_email(
            EmailAddress="nobody@near.test", TemplateName="other", ConfigurationSetName="none"
        )
    assert caught.value.response["Error"]["Code"] == "ConfigurationSetDoesNotExist"
    listed = [row["IdentityName"] for row in shop.v2.list_email_identities()["EmailIdentities"]]
    assert "nobody@near.test" not in listed


def test_captured_mail_can_be_opened_too(tmp_path: Path) -> None:
    """As a fresh installation is: nothing leaves, the log says which message it is."""
    with Server(tmp_path / "data") as server:
        server.sesv2().create_email_identity(EmailIdentity="ann@near.test")
        (message_id,) = re.findall(r"verification_mail (\S+) account=000000000000", server.log.read_text())
        wait_for(
            lambda: server.cli_json("trace", message_id)["deliveries"][0]["state"] == "delivered",
            "the capture",
            timeout=20,
        )
        content = server.cli("trace", message_id, "--raw").stdout
        assert "ann@" not in server.log.read_text()
        link = link_in(email.message_from_string(content, policy=email.policy.default))  # type: ignore[arg-type]
        assert urllib.request.urlopen(link).status == 200
        assert server.sesv2().get_email_identity(EmailIdentity="ann@near.test")["VerifiedForSendingStatus"] is True
