"""Custom MAIL FROM: the customer's domain stands in the reverse-path, and reports to it come home."""

from __future__ import annotations

import pytest

from mailstead.base.errors import MailFromNotVerified
from mailstead.inbound.recipients import ELSEWHERE, Places, ReturnPath, resolve
from mailstead.ses import identities, mail_from
from mailstead.ses.identities import Identity
from mailstead.store.port import Transaction
from peers.yard import ACCOUNT, REGION, Yard

TO = "r@example.net"
OWN = "bounce.example.com"
PLACES = Places({}, frozenset({"provider.example"}), frozenset(), ACCOUNT, REGION)


def choose(yard: Yard, on_failure: str, *, verified: bool) -> None:
    async def body(tx: Transaction) -> None:
        identity: Identity = await identities.get(tx, ACCOUNT, REGION, "example.com")
        await mail_from.put(tx, identity, OWN, on_failure=on_failure, verified=verified)

    yard.run(body)


def test_a_verified_one_is_the_reverse_path_and_a_report_to_it_is_ours(yard: Yard) -> None:
    yard.submit(TO)
    choose(yard, mail_from.REJECT, verified=True)
    name = yard.submit(TO)
    assert yard.rows(f"SELECT return_path FROM messages WHERE id = '{name}'") == [(f"{name}@{OWN}",)]

    async def look(tx: Transaction) -> list[object]:
        asked = (f"{name.upper()}@{OWN}", f"{name}@elsewhere.example", f"x@{OWN}")
        return [await resolve(tx, PLACES, address) for address in asked]

    found = yard.run(look)
    assert found == [ReturnPath(f"{name.upper()}@{OWN}", ACCOUNT, REGION, name), ELSEWHERE, ELSEWHERE]


def test_one_that_is_not_verified_is_ours_or_refused_as_the_customer_wants(yard: Yard) -> None:
    choose(yard, mail_from.USE_DEFAULT, verified=False)
    name = yard.submit(TO)
    (path,) = yard.rows(f"SELECT return_path FROM messages WHERE id = '{name}'")
    assert OWN not in path[0]
    choose(yard, mail_from.REJECT, verified=False)
    with pytest.raises(MailFromNotVerified):
        yard.submit(TO)
