"""Verification mail: what it says, where its link stands, and what strange names make of it."""

from __future__ import annotations

import email
import email.policy
from pathlib import Path

import pytest

from mailstead.base.errors import Invalid
from mailstead.outbound.verification_mail import Links, VerificationMail, custom
from mailstead.ses import identities
from mailstead.ses.custom_verification import Template
from mailstead.store import spool
from mailstead.store.files import FileBlobs
from mailstead.store.signal import LocalSignal
from peers.database import Ground

A, EAST = "111111111111", "us-east-1"
LINK = "https://links.test/verify?token=a.b"
DAY = 86_400_000


class OneLane:
    """Everything waits in one lane."""

    def lane_for(self, recipient: str) -> str:
        return f"lane {recipient}"


def asked(ground: Ground, folder: Path, name: str, retry_for: int = 50_400_000) -> tuple[spool.Message, bytes, int]:
    """The message in the spool for an address, its content, and when it is given up."""
    blobs = FileBlobs(folder, ground.db)
    mail = VerificationMail(
        blobs, LocalSignal(), OneLane(), Links("https://links.test"), provider="mail.test", retry_for=retry_for
    )

    async def body(tx: object) -> None:
        await mail.ask(tx, await identities.create(tx, A, EAST, name))  # type: ignore[arg-type]

    ground.run(body)
    ((message_id, expires),) = ground.read(lambda tx: tx.rows("SELECT message, expires FROM deliveries"))
    message = ground.read(lambda tx: spool.read(tx, message_id))
    assert message is not None
    content = ground.loop.run_until_complete(blobs.get(message.blob))
    ground.loop.run_until_complete(blobs.close())
    return message, content, expires


def test_it_is_mail_of_our_own(ground: Ground, tmp_path: Path) -> None:
    message, content, expires = asked(ground, tmp_path, "ann@far.test")
    assert (message.account, message.origin, message.sender, message.identity) == (A, "notice", "", "")
    assert message.return_path == f"{message.id}@mail.test"
    assert expires == message.created + 50_400_000
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert (parsed["From"], parsed["To"]) == ("no-reply@mail.test", "ann@far.test")
    assert parsed["Message-ID"] == f"<{message.id}@email.mail.test>"
    assert (len(parsed.get_all("Date")), len(parsed.get_all("Message-ID"))) == (1, 1)
    assert f"account {A}, region {EAST}" in parsed.get_content()


def test_nobody_tries_longer_than_the_link_is_good(ground: Ground, tmp_path: Path) -> None:
    message, _, expires = asked(ground, tmp_path, "ann@far.test", retry_for=4 * DAY)
    assert expires == message.created + DAY


@pytest.mark.parametrize("name", ["{account}@far.test", "%s@far.test", '"a b"@far.test', "o'x@far.test"])
def test_strange_names_stay_names(ground: Ground, tmp_path: Path, name: str) -> None:
    _, content, _ = asked(ground, tmp_path, name)
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert f"    {name}\n" in parsed.get_content().replace("\r\n", "\n")


def test_an_address_that_no_mail_of_ours_reaches(ground: Ground, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="Local address contains illegal character"):
        asked(ground, tmp_path, "jörg@far.test")
    assert ground.read(lambda tx: identities.find(tx, A, EAST, "jörg@far.test")) is None


def html_of(content: str) -> str:
    simple = custom(Template("t", "shop@example.com", "S", content, "", ""), LINK)
    assert simple.html is not None
    return simple.html[0]


@pytest.mark.parametrize(
    ("content", "before", "after"),
    [
        ("<p>x</p>", "<p>x</p>", ""),
        ("<body>İİİ</BODY >\n</html>\n", "<body>İİİ", "</BODY >\n</html>\n"),
        ("<p>x</p><!-- </body> -->", "<p>x</p><!-- </body> -->", ""),
        ('<body>x<p title="</body>">y', '<body>x<p title="</body>">y', ""),
        ("</body>" * 3, "</body>" * 2, "</body>"),
    ],
)
def test_the_link_stands_where_it_is_seen(content: str, before: str, after: str) -> None:
    html = html_of(content)
    assert html.startswith(f'{before}<p><a href="{LINK}">{LINK}</a></p><p><small>You get this mail because shop@')
    assert html.endswith(f"</small></p>{after}")
