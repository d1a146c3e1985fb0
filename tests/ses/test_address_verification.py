"""Links that prove an address: used once and in time, by nobody else's token; what nobody opened fails."""

from __future__ import annotations

import pytest

from mailstead.base.clock import DAY, HOUR
from mailstead.base.errors import Throttled
from mailstead.ses import address_proofs, address_verification, identities
from mailstead.ses.address_verification import INVALID, Opened, Outcome
from mailstead.store import wipe
from peers.database import Ground

A, B = "111111111111", "222222222222"
EAST, WEST = "us-east-1", "eu-west-1"
ANN = "ann@example.com"


def add(ground: Ground, name: str = ANN, account: str = A, region: str = EAST) -> None:
    ground.run(lambda tx: identities.create(tx, account, region, name))


def issue(ground: Ground, name: str = ANN, account: str = A, region: str = EAST, **urls: str) -> str:
    return ground.run(lambda tx: address_proofs.issue(tx, account, region, name, **urls))


def confirm(ground: Ground, token: str) -> Opened:
    return ground.run(lambda tx: address_verification.confirm(tx, token))


def look(ground: Ground, token: str) -> Opened | None:
    return ground.read(lambda tx: address_verification.look(tx, token))


def status(ground: Ground, name: str = ANN, account: str = A, region: str = EAST) -> str:
    return ground.read(lambda tx: identities.get(tx, account, region, name)).status


def give_up(ground: Ground) -> list[tuple[str, str, str]]:
    return ground.run(lambda tx: address_verification.give_up(tx, 100))


def test_a_link_verifies_its_address_and_no_other(ground: Ground) -> None:
    add(ground)
    add(ground, account=B)
    add(ground, region=WEST)
    add(ground, "bob@example.com")
    token = issue(ground)
    assert look(ground, token) is None
    opened = confirm(ground, token)
    assert (opened.outcome, opened.proof and opened.proof.name) == (Outcome.VERIFIED, ANN)
    found = ground.read(lambda tx: identities.get(tx, A, EAST, ANN))
    assert (found.status, found.last_success) == ("SUCCESS", ground.clock.now())
    others = [status(ground, account=B), status(ground, region=WEST), status(ground, "bob@example.com")]
    assert others == ["PENDING"] * 3


def test_a_link_that_is_opened_twice_shows_the_same_and_does_nothing(ground: Ground) -> None:
    add(ground)
    token = issue(ground)
    confirm(ground, token)
    verified = ground.read(lambda tx: identities.get(tx, A, EAST, ANN))
    ground.clock.advance(HOUR)
    assert confirm(ground, token).outcome is Outcome.AGAIN
    assert ground.read(lambda tx: identities.get(tx, A, EAST, ANN)) == verified


def test_a_used_link_does_not_verify_again(ground: Ground) -> None:
    add(ground)
    token = issue(ground)
    confirm(ground, token)
    ground.run(lambda tx: identities.delete(tx, A, EAST, ANN))
    add(ground)
    assert confirm(ground, token).outcome is Outcome.INVALID
    assert status(ground) == "PENDING"


def test_a_link_dies_with_its_identity(ground: Ground) -> None:
    add(ground)
    token = issue(ground)
    ground.run(lambda tx: identities.delete(tx, A, EAST, ANN))
    add(ground)
    assert confirm(ground, token).outcome is Outcome.INVALID
    assert status(ground) == "PENDING"
    assert confirm(ground, issue(ground)).outcome is Outcome.VERIFIED


def test_every_link_in_time_is_good(ground: Ground) -> None:
    add(ground)
    first = issue(ground)
    ground.clock.advance(HOUR)
    issue(ground)
    assert confirm(ground, first).outcome is Outcome.VERIFIED


def test_too_late_by_a_millisecond(ground: Ground) -> None:
    add(ground)
    token = issue(ground)
    ground.clock.advance(DAY)
    assert confirm(ground, token).outcome is Outcome.EXPIRED
    assert status(ground) == "PENDING"
    assert give_up(ground) == [(A, EAST, ANN)]
    assert confirm(ground, token).outcome is Outcome.EXPIRED
    assert status(ground) == "FAILED"


def test_in_time_by_a_millisecond(ground: Ground) -> None:
    add(ground)
    token = issue(ground)
    ground.clock.advance(DAY - 1)
    assert give_up(ground) == []
    assert confirm(ground, token).outcome is Outcome.VERIFIED


def test_only_the_last_link_ends_the_wait(ground: Ground) -> None:
    add(ground)
    add(ground, account=B)
    issue(ground)
    ground.clock.advance(HOUR)
    issue(ground)
    ground.clock.advance(DAY - HOUR)
    assert give_up(ground) == []
    ground.clock.advance(HOUR)
    assert give_up(ground) == [(A, EAST, ANN)]
    assert give_up(ground) == []
    assert status(ground, account=B) == "PENDING"


def test_what_is_verified_does_not_fail(ground: Ground) -> None:
    add(ground)
    token = issue(ground)
    issue(ground)
    confirm(ground, token)
    ground.clock.advance(DAY)
    assert give_up(ground) == []
    assert status(ground) == "SUCCESS"


def test_a_failed_address_may_try_again(ground: Ground) -> None:
    add(ground)
    issue(ground)
    ground.clock.advance(DAY)
    give_up(ground)
    ground.run(lambda tx: identities.restart(tx, A, EAST, ANN))
    assert status(ground) == "PENDING"
    assert confirm(ground, issue(ground)).outcome is Outcome.VERIFIED


def test_forged_tokens(ground: Ground) -> None:
    add(ground)
    mine, other = issue(ground), issue(ground)
    mixed = f"{mine.partition('.')[0]}.{other.partition('.')[2]}"
    flipped = mine[:-2] + ("A" if mine[-2] != "A" else "B") + mine[-1]
    for token in (mixed, flipped, mine[:-1], mine + "A", mine + "\n", "", ".", "%", "a" * 100_000, mine.upper(), "é"):
        assert look(ground, token) == INVALID
        assert confirm(ground, token) == INVALID
    assert status(ground) == "PENDING"


def test_the_secret_is_not_kept(ground: Ground) -> None:
    add(ground)
    secret = issue(ground).partition(".")[2]
    (row,) = ground.read(lambda tx: tx.rows("SELECT * FROM address_proofs"))
    assert secret not in [str(value) for value in row]


def test_nobody_is_flooded(ground: Ground) -> None:
    add(ground)
    for _ in range(address_proofs.MAX_A_DAY):
        issue(ground)
    ground.run(lambda tx: identities.delete(tx, A, EAST, ANN))
    add(ground)
    with pytest.raises(Throttled):
        issue(ground)
    issue(ground, account=B)
    ground.clock.advance(DAY)
    issue(ground)


def test_old_links_are_forgotten(ground: Ground) -> None:
    add(ground)
    token = issue(ground)
    ground.clock.advance(DAY)
    give_up(ground)
    assert not ground.read(lambda tx: address_proofs.any_old(tx, ground.clock.now()))
    ground.clock.advance(address_proofs.KEPT + 1)
    assert ground.read(lambda tx: address_proofs.any_old(tx, ground.clock.now()))
    assert ground.run(lambda tx: address_proofs.forget_old(tx, 100)) == 1
    assert look(ground, token) == INVALID


def test_a_wiped_account_has_no_links(ground: Ground) -> None:
    add(ground)
    token, other = issue(ground), issue(ground, account=B)
    ground.run(lambda tx: wipe.wipe(tx, A))
    assert look(ground, token) == INVALID
    assert look(ground, other) is None
