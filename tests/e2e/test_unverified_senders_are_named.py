"""Whoever a message claims to be from is checked: each alone and all together, by SMTP and API, named as written."""

from __future__ import annotations

from itertools import combinations

import pytest
from botocore.exceptions import ClientError

from peers.town import SENDER, Town, id_of

pytestmark = pytest.mark.slow
CLAIMS = ("From", "Source", "Sender", "Return-Path")
SETS = [chosen for count in range(1, 5) for chosen in combinations(CLAIMS, count)]
TEXT = "Email address is not verified. The following identities failed the check in region US-EAST-1: "
BAD = {
    "From": '"Ann, of From" <from@unverified.test>',
    "Source": "source@unverified.test",
    "Sender": "Sam <sender@unverified.test>",
    "Return-Path": "back@unverified.test",
}
GOOD = {"From": f"Good <{SENDER}>", "Source": SENDER, "Sender": f"Good <{SENDER}>", "Return-Path": SENDER}


def message_with(claims: dict[str, str]) -> bytes:
    head = f"From: {claims['From']}\r\nSender: {claims['Sender']}\r\nReturn-Path: <{claims['Return-Path']}>\r\n"
    return f"{head}To: ann@one.test\r\nSubject: x\r\n\r\nx\r\n".encode()


@pytest.mark.parametrize("bad", SETS, ids="+".join)
def test_exactly_the_failing_ones_in_order(town: Town, bad: tuple[str, ...]) -> None:
    claims = {name: (BAD if name in bad else GOOD)[name] for name in CLAIMS}
    expected = TEXT + ", ".join(BAD[name] for name in CLAIMS if name in bad)
    content = message_with(claims)
    assert town.submit(content, claims["Source"]) == f"554 Message rejected: {expected}"
    with pytest.raises(ClientError) as refused:
        town.server.ses().send_raw_email(
            Source=claims["Source"], Destinations=["ann@one.test"], RawMessage={"Data": content}
        )
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("MessageRejected", expected)
    with pytest.raises(ClientError) as refused:
        town.server.sesv2().send_email(
            FromEmailAddress=claims["Source"],
            Destination={"ToAddresses": ["ann@one.test"]},
            Content={"Raw": {"Data": content}},
        )
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("MessageRejected", expected)


def test_all_verified_goes(town: Town) -> None:
    arrived = town.arrived("ann@one.test", id_of(town.submit(message_with(GOOD))))
    assert arrived.parsed["From"] == GOOD["From"]
    assert arrived.parsed["Sender"] == GOOD["Sender"]


def test_the_formatted_call_names_source_and_return_path(town: Town) -> None:
    with pytest.raises(ClientError) as refused:
        town.server.ses().send_email(
            Source=BAD["From"],
            ReturnPath="back@unverified.test",
            Destination={"ToAddresses": ["ann@one.test"]},
            Message={"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}},
        )
    error = refused.value.response["Error"]
    assert error["Message"] == f'{TEXT}"Ann, of From" <from@unverified.test>, back@unverified.test'


def test_the_same_address_is_named_once(town: Town) -> None:
    content = b"From: a@unverified.test\r\nSender: A <a@unverified.test>\r\nTo: ann@one.test\r\n\r\nx\r\n"
    assert town.submit(content, "a@unverified.test") == f"554 Message rejected: {TEXT}a@unverified.test"


def test_a_long_list_is_cut_at_the_line_limit_of_smtp_only(town: Town) -> None:
    names = [f"author-number-{n:02}@unverified.test" for n in range(30)]
    content = b"From: " + ",\r\n ".join(names).encode() + b"\r\nSender: x@sender.test\r\nTo: ann@one.test\r\n\r\nx\r\n"
    reply = town.submit(content)
    assert len(reply.encode()) + 2 <= 512  # RFC 5321 §4.5.3.1.5
    assert reply.endswith("...")
    assert reply.startswith(f"554 Message rejected: {TEXT}")
    named = reply.removesuffix("...").partition("US-EAST-1: ")[2].removesuffix(", ").split(", ")
    assert named == names[: len(named)]
    assert len(reply) + len(names[0]) + 4 > 512, "one more would have fitted"
    with pytest.raises(ClientError) as refused:
        town.server.ses().send_raw_email(RawMessage={"Data": content}, Source=SENDER)
    assert refused.value.response["Error"]["Message"] == TEXT + ", ".join(names)


HIDDEN = {
    "folded": b"From: Good\r\n <shop@sender.test>,\r\n\tEvil\r\n <evil@unverified.test>\r\n",
    "behind an encoded word": b"From: =?utf-8?q?shop=40sender=2Etest=3E=2C?= <evil@unverified.test>\r\n",
    "encoded comma": b"From: =?utf-8?b?c2hvcEBzZW5kZXIudGVzdCwg?= <evil@unverified.test>\r\n",
    "commented": b"From: (shop@sender.test) evil(shop@sender.test)@(sender.test)unverified.test (\\) x)\r\n",
    "second behind a comment": b"From: shop@sender.test (c, \\) d), (a <shop@sender.test>) evil@unverified.test\r\n",
    "group": b"From: Friends: shop@sender.test, Evil <evil@unverified.test>;\r\n",
    "second group": b"From: shop@sender.test, Them:evil@unverified.test;\r\n",
    "quoted good name": b'From: "Shop <shop@sender.test>" <evil@unverified.test>\r\n',
    "blank before the colon": b"From : evil@unverified.test\r\n",
    "tab before the colon": b"FROM\t: evil@unverified.test\r\n",
    "source route": b"From: <@sender.test:evil@unverified.test>\r\n",
    "quoted local part": b'From: "shop@sender.test"@unverified.test\r\n',
    "behind a semicolon": b"From: shop@sender.test; evil@unverified.test\r\n",
    "two angles": b"From: <shop@sender.test> <evil@unverified.test>\r\n",
    "no comma": b"From: shop@sender.test evil@unverified.test\r\n",
    "unclosed quote": b'From: "shop@sender.test <evil@unverified.test>\r\n',
    "unclosed comment": b"From: evil@unverified.test (shop@sender.test\r\n",
    "unclosed angle": b"From: shop@sender.test, <evil@unverified.test\r\n",
    "nul": b"From: shop@sender.test\x00, evil@unverified.test\r\n",
    "nested folding": b"From:\r\n \r\n\t evil@unverified.test\r\n",
    "sender, blank before the colon": b"From: shop@sender.test\r\nSender : evil@unverified.test\r\n",
    "sender, folded": b"From: shop@sender.test\r\nSender:\r\n Evil\r\n <evil@unverified.test>\r\n",
    "return path, commented": b"From: shop@sender.test\r\nReturn-Path: (x) <evil@unverified.test>\r\n",
    "two from": b"From: shop@sender.test\r\nFrom: evil@unverified.test\r\n",
    "two from, one obsolete": b"From: shop@sender.test\r\nfrom : evil@unverified.test\r\n",
    "two senders": b"From: shop@sender.test\r\nSender: shop@sender.test\r\nSender: evil@unverified.test\r\n",
}


@pytest.mark.parametrize("head", HIDDEN.values(), ids=HIDDEN)
def test_hidden_addresses_are_seen(town: Town, head: bytes) -> None:
    """Whatever a mail program might show as the sender: refused as unverified, or as no message at all."""
    content = head + b"To: ann@one.test\r\nSubject: x\r\n\r\nx\r\n"
    reply = town.submit(content)
    assert reply.startswith(("554 Message rejected: ", "554 Transaction failed: ")), reply
    if reply.startswith("554 Message rejected: "):
        assert "unverified.test" in reply
        assert "Shop <shop@sender.test>," not in reply
    with pytest.raises(ClientError) as refused:
        town.server.ses().send_raw_email(Source=SENDER, Destinations=["ann@one.test"], RawMessage={"Data": content})
    error = refused.value.response["Error"]
    assert error["Code"] in ("MessageRejected", "InvalidParameterValue")
    assert error["Message"] in reply


def test_two_from_fields_are_told_as_ses_tells_them(town: Town) -> None:
    content = HIDDEN["two from"] + b"To: ann@one.test\r\n\r\nx\r\n"
    assert town.submit(content) == "554 Transaction failed: Duplicate header 'From'."


@pytest.mark.parametrize(
    "head",
    [
        b"From: Friends: shop@sender.test, Two <two@sender.test>;\r\n",
        b"From: (a comment) Shop\r\n\t<shop@sender.test> (evil@unverified.test)\r\n",
        b'From: "evil@unverified.test" <shop@sender.test>\r\n',
        b"From: sub <a@deep.sub.sender.test>\r\n",
        b"from: SHOP@SENDER.TEST\r\n",
    ],
)
def test_strange_but_verified_goes(town: Town, head: bytes) -> None:
    """Checks refuse nobody who is who they say they are; the signature follows the identity."""
    message = id_of(town.submit(head + b"To: ann@one.test\r\nSubject: x\r\n\r\nx\r\n"))
    arrived = town.arrived("ann@one.test", message)
    assert town.signers(arrived.content) == ["sender.test", "provider.test"]
    assert town.trace(message)["dmarc_aligned"] is True


def test_an_address_alone_is_not_aligned(town: Town) -> None:
    town.server.sesv2().create_email_identity(EmailIdentity="me@freemail.test")
    content = b"From: Me <me+label@freemail.test>\r\nTo: ann@one.test\r\nSubject: x\r\n\r\nx\r\n"
    message = id_of(town.submit(content, "me@freemail.test"))
    assert town.signers(town.arrived("ann@one.test", message).content) == ["provider.test"]
    assert town.trace(message)["dmarc_aligned"] is False
    assert "not aligned" in town.server.cli("trace", message).stdout
    assert town.submit(content.replace(b"me+label", b"other"), "me@freemail.test") == (
        f"554 Message rejected: {TEXT}Me <other@freemail.test>"
    )
