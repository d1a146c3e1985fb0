"""Grants: what was granted once is not asked again, and never holds for a moment longer than it is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mailstead.base.errors import Closed, Denied, MailsteadError, Paused
from mailstead.outbound import admission, grants
from mailstead.outbound.admission import NotVerified
from mailstead.outbound.composition import Options
from mailstead.ses import account as accounts
from mailstead.ses import configuration_sets, dkim_keys, identities, suppression
from peers.yard import ACCOUNT, CALLER, RAW, REGION, Yard

TO = "r@example.net"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was asked about anew."""
    found: list[str] = []
    admit = admission.admit

    async def noted(tx: Any, caller: Any, draft: Any, **given: Any) -> Any:
        found.append(draft.from_domain)
        return await admit(tx, caller, draft, **given)

    monkeypatch.setattr("mailstead.outbound.admission.admit", noted)
    return found


def test_messages_alike_are_granted_once(yard: Yard, asked: list[str]) -> None:
    yard.submit(TO)
    del asked[:]
    names = [yard.submit(TO), yard.submit("other@example.net", raw=RAW + b"more\r\n")]
    assert asked == []
    rows = yard.rows("SELECT DISTINCT identity, signing_domain FROM messages")
    assert len(rows) == 1
    assert all(yard.states(name) for name in names)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda tx: identities.delete(tx, ACCOUNT, REGION, "example.com"), NotVerified),
        (lambda tx: accounts.close(tx, ACCOUNT), Closed),
        (lambda tx: accounts.subscribe(tx, ACCOUNT, subscribed=False), Closed),
        (lambda tx: accounts.pause(tx, ACCOUNT, REGION), Paused),
        (lambda tx: accounts.set_sending(tx, ACCOUNT, REGION, enabled=False), Paused),
    ],
)
def test_what_changes_holds_for_the_next_message(
    yard: Yard, change: Callable[..., Any], error: type[MailsteadError]
) -> None:
    for _ in range(2):
        yard.submit(TO)
    yard.run(change)
    with pytest.raises(error):
        yard.submit(TO)


def test_a_set_that_is_paused(yard: Yard) -> None:
    yard.run(lambda tx: configuration_sets.create(tx, ACCOUNT, REGION, "night"))
    with_set = Options(configuration_set="night")
    for _ in range(2):
        yard.submit(TO, options=with_set)
    yard.run(lambda tx: configuration_sets.set_sending(tx, ACCOUNT, REGION, "night", enabled=False))
    with pytest.raises(Paused):
        yard.submit(TO, options=with_set)
    yard.submit(TO)


def test_a_key_that_is_gone(yard: Yard) -> None:
    setup = identities.easy_dkim(yard.ground.vault, ACCOUNT, REGION, "signed.example", key_length="RSA_1024_BIT")
    yard.run(lambda tx: identities.create(tx, ACCOUNT, REGION, "signed.example", verified=True, dkim=setup))
    raw = RAW.replace(b"example.com", b"signed.example")

    def signer() -> object:
        name = yard.submit(TO, raw=raw, source="s@signed.example")
        return yard.rows("SELECT signing_domain FROM messages WHERE id = $1", name)[0][0]

    assert [signer(), signer()] == ["signed.example"] * 2
    yard.run(lambda tx: dkim_keys.delete_all(tx, ACCOUNT, REGION, "signed.example"))
    assert signer() == ""


def test_the_suppression_list_is_read_for_each_message(yard: Yard, asked: list[str]) -> None:
    yard.run(lambda tx: accounts.set_suppression(tx, ACCOUNT, REGION, reasons=suppression.REASONS))
    yard.submit(TO)
    del asked[:]
    yard.run(lambda tx: suppression.put(tx, ACCOUNT, REGION, TO, suppression.BOUNCE))
    assert yard.states(yard.submit(TO)) == [(TO, "suppressed")]
    assert yard.states(yard.submit("other@example.net")) == [("other@example.net", "queued")]
    yard.run(lambda tx: suppression.delete(tx, ACCOUNT, REGION, TO))
    assert yard.states(yard.submit(TO)) == [(TO, "queued")]
    assert asked == []


def test_a_grant_is_for_those_who_got_it(yard: Yard) -> None:
    yard.submit(TO)
    for other in (replace(CALLER, account="444455556666"), replace(CALLER, region="eu-west-1")):
        with pytest.raises(MailsteadError):
            yard.submit(TO, caller=other)
    for claim in (b"From: s@example.org\r\n", b"Sender: s@example.org\r\n", b"Return-Path: <s@example.org>\r\n"):
        raw = claim + (RAW.partition(b"\r\n")[2] if claim.startswith(b"From") else RAW)
        with pytest.raises(NotVerified):
            yard.submit(TO, raw=raw)
    with pytest.raises(NotVerified):
        yard.submit(TO, source="s@example.org")
    arn = "arn:aws:ses:us-east-1:444455556666:identity/example.com"
    with pytest.raises(Denied):
        yard.submit(TO, options=Options(from_arn=arn))


def test_what_another_process_changes_is_seen_within_a_second(yard: Yard, asked: list[str]) -> None:
    yard.submit(TO)
    del asked[:]
    yard.clock.advance(499)
    yard.submit(TO)
    assert asked == []
    yard.clock.advance(1)
    yard.submit(TO)
    assert asked == ["example.com"]


def test_not_more_are_kept_than_have_room(yard: Yard, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "MAX_KEPT", 2)
    for _ in range(2):
        for n in range(3):
            yard.submit(TO, source=f"s{n}@example.com")
    assert len(asked) == 6
    del asked[:]
    many = b"From: " + b", ".join(b"s%d@example.com" % n for n in range(9)) + b"\r\nSender: s@example.com\r\n\r\n"
    for _ in range(2):
        yard.submit(TO, raw=many)
    assert len(asked) == 2


def test_in_the_sandbox_everything_is_asked(ground: Any, tmp_path: Any) -> None:
    yard = Yard(ground, tmp_path, production=False)
    try:
        yard.submit("a@example.com")
        with pytest.raises(NotVerified):
            yard.submit(TO)
    finally:
        yard.close()
