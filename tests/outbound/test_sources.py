"""Sources: whose mail leaves from which address, and what happens where it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailstead.outbound.agents import Host, Route, Source
from mailstead.outbound.composition import Options
from mailstead.outbound.sources import GONE, OTHER_FAMILY, Sources
from mailstead.ses import account as accounts
from mailstead.ses import configuration_sets, dedicated_ips, identities
from mailstead.ses.configuration_sets import Delivery
from mailstead.store import spool
from peers.yard import ACCOUNT, CALLER, REGION, Yard

HERE, TOO, SIX = "127.0.0.21", "127.0.0.22", "::1"
ELSEWHERE = "192.0.2.1"
"""An address for documentation (RFC 5737): no machine has it."""
NAMES = {HERE: "out1.example.org", TOO: "out2.example.org", SIX: "out6.example.org", ELSEWHERE: "far.example.org"}
ROUTE = Route("smtp", "site", (Host("mx.example.net", 25, ("192.0.2.7",)),))


def assign(yard: Yard, *ips: str, pool: str = "") -> None:
    for ip in ips:
        yard.run(lambda tx, ip=ip: dedicated_ips.assign(tx, ACCOUNT, REGION, ip))
        if pool:
            yard.run(lambda tx, ip=ip: dedicated_ips.move(tx, ACCOUNT, REGION, ip, pool))


def make_set(yard: Yard, name: str, pool: str) -> None:
    options = configuration_sets.Options(delivery=Delivery(sending_pool=pool))
    yard.run(lambda tx: configuration_sets.create(tx, ACCOUNT, REGION, name, options))


def chosen(yard: Yard, message: str, route: Route = ROUTE, names: dict[str, str] = NAMES) -> Route:
    row = yard.ground.read(lambda tx: spool.read(tx, message))
    assert row is not None
    return yard.wait(Sources(yard.runtime, names).choose(row, route))


def submit(yard: Yard, configuration_set: str | None = None) -> str:
    return yard.submit("r@example.net", options=Options(configuration_set=configuration_set))


def test_who_has_no_address_leaves_it_to_the_system(yard: Yard) -> None:
    message = submit(yard)
    assert chosen(yard, message) is ROUTE
    assign(yard, HERE)
    assert chosen(yard, message).source == Source(HERE, "out1.example.org")
    assert chosen(yard, message, names={}) is ROUTE  # the operator took all of them out of delivery.sources


def test_the_pool_of_the_configuration_set(yard: Yard) -> None:
    yard.run(lambda tx: dedicated_ips.create_pool(tx, ACCOUNT, REGION, "news"))
    yard.run(lambda tx: dedicated_ips.create_pool(tx, ACCOUNT, REGION, "empty"))
    assign(yard, HERE)
    assign(yard, TOO, pool="news")
    for pool in ("news", "empty", dedicated_ips.SHARED_POOL, dedicated_ips.DEFAULT_POOL, ""):
        make_set(yard, f"by-{pool}", pool)
    sources = {
        name: found.source.ip if (found := chosen(yard, submit(yard, name))).source else None
        for name in (None, "by-", f"by-{dedicated_ips.DEFAULT_POOL}", "by-news", "by-empty", "by-ses-shared-pool")
    }
    assert sources == {
        None: HERE,
        "by-": HERE,
        f"by-{dedicated_ips.DEFAULT_POOL}": HERE,
        "by-news": TOO,
        "by-empty": None,
        "by-ses-shared-pool": None,
    }


def test_nobody_else_leaves_from_it(yard: Yard) -> None:
    assign(yard, HERE)
    notice = yard.put("r@example.net", origin="notice", sender="")
    assert chosen(yard, notice) is ROUTE
    other = "444455556666"

    async def furnish(tx: object) -> None:
        await accounts.create(tx, other)  # type: ignore[arg-type]
        await accounts.ensure_region(tx, other, REGION, accounts.WITHOUT_LIMITS)  # type: ignore[arg-type]
        await identities.create(tx, other, REGION, "example.com", verified=True)  # type: ignore[arg-type]

    yard.run(furnish)
    caller = type(CALLER)(other, REGION, "AKIAOTHER", f"arn:aws:iam::{other}:root", "root")
    assert chosen(yard, yard.submit("r@example.net", caller=caller)) is ROUTE


@pytest.mark.parametrize(
    ("agent", "site"), [("local", "x"), ("capture", "x"), ("simulator", "x"), ("smtp", "relay:127.0.0.1:25")]
)
def test_what_stays_here_or_goes_to_a_smarthost_has_no_source(yard: Yard, agent: str, site: str) -> None:
    assign(yard, HERE)
    route = replace(ROUTE, agent=agent, site=site)
    assert chosen(yard, submit(yard), route) is route


def test_mail_spreads_and_a_message_keeps_its_address(yard: Yard) -> None:
    assign(yard, HERE, TOO)
    messages = [submit(yard) for _ in range(24)]
    first = [chosen(yard, message).source for message in messages]
    assert {source.ip for source in first if source} == {HERE, TOO}
    assert [chosen(yard, message).source for message in messages] == first


def test_an_address_that_has_gone_keeps_its_mail_waiting(yard: Yard) -> None:
    assign(yard, ELSEWHERE)
    message = submit(yard)
    found = chosen(yard, message)
    assert (found.refusal, found.source) == (GONE, Source(ELSEWHERE, "far.example.org"))
    assign(yard, HERE)
    assert chosen(yard, message).source == Source(HERE, "out1.example.org")


def test_a_family_that_the_destination_does_not_have(yard: Yard) -> None:
    assign(yard, SIX)
    message = submit(yard)
    assert chosen(yard, message).refusal == OTHER_FAMILY
    assign(yard, HERE)
    assert chosen(yard, message).source == Source(HERE, "out1.example.org")


# -- on the way


def on_the_network(yard: Yard) -> None:
    """Let the yard's mail go by ``smtp``, which its script serves, and take sources."""
    yard.router.way = ROUTE
    yard.sources.update(NAMES)
    yard.scheduler = yard.new_scheduler()


def test_mail_with_an_address_of_its_own_does_not_hold_up_the_lane(yard: Yard) -> None:
    on_the_network(yard)
    make_set(yard, "shared", dedicated_ips.SHARED_POOL)
    assign(yard, HERE)
    yard.script.away.add("example.net")
    own = submit(yard)
    yard.deliver()
    (delivery,) = yard.deliveries(own)
    assert (delivery.state, delivery.reply[:9]) == ("deferred", "421 4.4.1")
    lane = yard.lane("example.net")
    assert lane is not None
    assert lane[2] == 0, "one account's address is no reason for the others to wait"
    yard.script.away.clear()
    shared = submit(yard, "shared")
    yard.deliver()
    assert yard.states(shared) == [("r@example.net", "delivered")]
    assert [route.source for route in yard.script.routes] == [Source(HERE, "out1.example.org"), None]


def test_mail_waits_for_its_address_and_says_so(yard: Yard) -> None:
    on_the_network(yard)
    assign(yard, ELSEWHERE)
    message = submit(yard)
    yard.deliver()
    (delivery,) = yard.deliveries(message)
    assert (delivery.state, delivery.reply) == ("deferred", str(GONE))
    assert yard.script.parcels == []
    assert yard.lane("example.net")[2] == 0  # type: ignore[index]
    yard.run(lambda tx: dedicated_ips.release(tx, ELSEWHERE))
    yard.clock.advance(delivery.due - yard.clock.now())
    yard.deliver()
    assert yard.states(message) == [("r@example.net", "delivered")]
    assert [route.source for route in yard.script.routes] == [None]
