"""``mailstead queue``: mail that waits, why, and the operator's hand on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click

from mailstead.base.address import ascii_domain, bare
from mailstead.base.errors import Invalid, NotFound
from mailstead.cli.frame import Frame, common, in_json, in_rows, in_runtime, scanned, short, span, steps, when
from mailstead.config import Settings
from mailstead.runtime import Runtime
from mailstead.store import queue, spool
from mailstead.store.port import Transaction
from mailstead.store.queue import DeliveryView, LaneView, Selection

WAITING = ("queued", "deferred", "held")


@click.group("queue")
def command() -> None:
    """Mail that waits."""


def _selecting(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--account", metavar="ID", help="Only this account's."),
        click.option("--state", type=click.Choice(WAITING), help="Only in this state."),
        click.option("--message", metavar="ID", help="Only this message."),
        click.option("--recipient", metavar="ADDRESS", help="Only for this recipient."),
        click.option("--to", metavar="DOMAIN", help="Only for this destination."),
    ):
        function = option(function)
    return function


def _selection(settings: Settings, given: Mapping[str, str | None]) -> Selection:
    chosen = {name: value for name, value in given.items() if value}
    if "to" in chosen:
        chosen |= _destination(settings, chosen.pop("to"))
    if "recipient" in chosen:
        chosen["recipient"] = bare(chosen["recipient"])
    return Selection(**chosen)


def _destination(settings: Settings, name: str) -> dict[str, str]:
    """A lane by its name (``relay:``), or a domain; where mail goes by MX that is a lane too, and quicker found."""
    if ":" in name:
        return {"lane": name}
    domain = ascii_domain(name)
    return {"lane" if settings.delivery.mode == "direct" and not _local(settings, domain) else "domain": domain}


def _local(settings: Settings, domain: str) -> bool:
    return any(f".{domain}".endswith(f".{own}") for own in (*_hosted(settings), settings.provider.domain))


def _hosted(settings: Settings) -> list[str]:
    return [one.domain for one in settings.hosted.domains]


# -- looking -----------------------------------------------------------------------------------------------------------


@command.command("list")
@_selecting
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, help="At most so many lines [100].")
@common
def list_(frame: Frame, limit: int, **given: str | None) -> None:
    """Destinations that mail waits for: how much, since when, when it is tried next, and why it waits.

    With --to, --recipient, --message, --state or --account: the deliveries themselves.

    \b
    mailstead queue list
    mailstead queue list --state held
    """
    settings = frame.settings()
    selection = _selection(settings, given)

    async def body(tx: Transaction) -> list[dict[str, Any]]:
        now = tx.now()
        if selection == Selection():
            return [_lane(frame, lane, now) for lane in await queue.lanes(tx, limit=limit)]
        return [_delivery(frame, one, now) for one in await queue.deliveries(tx, selection, limit=limit)]

    in_rows(frame, scanned(settings, body), empty="no messages are waiting")


def _lane(frame: Frame, lane: LaneView, now: int) -> dict[str, Any]:
    following = None if lane.held == lane.waiting else lane.due
    shown = {"destination": lane.lane, "waiting": lane.waiting, "held": lane.held}
    if frame.json:
        times = {"oldest": when(lane.oldest), "next_try": when(following)}
        return shown | times | {"failures": lane.failures, "busy": lane.busy, "reason": lane.reason}
    trying = "trying" if lane.busy else None if following is None else span(following - now)
    return shown | {"oldest": span(now - lane.oldest), "next_try": trying, "reason": short(lane.reason)}


def _delivery(frame: Frame, one: DeliveryView, now: int) -> dict[str, Any]:
    following = None if one.state == "held" else one.due
    shown = {"message": one.message, "recipient": one.recipient, "state": one.state, "attempts": one.attempts}
    if frame.json:
        times = {"next_try": when(following), "expires": when(one.expires), "changed": when(one.changed)}
        return shown | {"destination": one.lane, "host": one.host, "tls": one.tls, "reason": one.reply} | times
    times = {"next_try": None if following is None else span(following - now), "given_up_in": span(one.expires - now)}
    return shown | times | {"reason": short(one.reply)}


@command.command("show")
@click.argument("name", metavar="DOMAIN|MESSAGE_ID")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, help="At most so many lines [100].")
@common
def show(frame: Frame, name: str, limit: int) -> None:
    """What waits for a destination, or of a message, recipient by recipient.

    \b
    mailstead queue show example.com
    """

    settings = frame.settings()
    destination = _selection(settings, {"to": name})

    async def body(tx: Transaction) -> list[dict[str, Any]]:
        named = Selection(message=name) if await spool.read(tx, name) else destination
        now = tx.now()
        return [_delivery(frame, one, now) for one in await queue.deliveries(tx, named, limit=limit)]

    in_rows(frame, scanned(settings, body), empty=f"no messages are waiting for {name}")


# -- steering ----------------------------------------------------------------------------------------------------------

Batch = Callable[[Runtime, Selection], Awaitable[int]]


def _steering(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--all", "everything", is_flag=True, help="All that waits.")(function)
    return click.argument("named", metavar="[MESSAGE_ID]", required=False)(_selecting(function))


def _meant(settings: Settings, everything: bool, named: str | None, given: dict[str, str | None]) -> Selection:
    if named and given.get("message") not in (None, named):
        raise Invalid("two messages are named")
    selection = _selection(settings, given | ({"message": named} if named else {}))
    if selection == Selection() and not everything:
        raise Invalid("say which: a message id, --to, --recipient, --state, --account, or --all")
    return selection


async def _must_exist(runtime: Runtime, message: str) -> None:
    if message and await runtime.db.read(lambda tx: spool.read(tx, message)) is None:
        raise NotFound(f"there is no message {message}")


async def _until_done(runtime: Runtime, selection: Selection, what: str, batch: Batch) -> int:
    """Do something with all that is meant, in batches that hold nobody up; how many there were."""
    await _must_exist(runtime, selection.message)
    done = 0
    with steps(await runtime.db.scan(lambda tx: queue.count(tx, selection)), what) as step:
        while changed := await batch(runtime, selection):
            done += changed
            step(changed)
    return done


def _told(frame: Frame, done: str, count: int, **more: int) -> None:
    if frame.json:
        in_json({done.replace(" ", "_"): count, **more})
    elif count:
        print(f"{done}: {count} {'delivery' if count == 1 else 'deliveries'}")
    else:
        print(f"no messages are waiting that could be {done}")


@command.command("retry")
@_steering
@common
def retry(frame: Frame, everything: bool, named: str | None, **given: str | None) -> None:
    """Try now, whatever the schedule says. Held mail stays held.

    \b
    mailstead queue retry --to example.com
    mailstead queue retry 0100018c1a2b3c4d-21e57d9a-1ab2-416c-bbe1-8ebaa0000000-000000
    """
    settings = frame.settings()
    selection = _meant(settings, everything, named, given)

    async def work(runtime: Runtime) -> tuple[int, int]:
        now = runtime.clock.now()
        count = await _until_done(
            runtime, selection, "retrying", lambda rt, s: rt.db.run(lambda tx: queue.retry(tx, s, now))
        )
        return count, await runtime.db.run(lambda tx: queue.wake_lanes(tx, selection, now))

    count, lanes = in_runtime(settings, work)
    if lanes and not count and not frame.json:
        print(f"tried now: {lanes} {'destination' if lanes == 1 else 'destinations'}")
    else:
        _told(frame, "tried now", count, destinations=lanes)


@command.command("hold")
@_steering
@common
def hold(frame: Frame, everything: bool, named: str | None, **given: str | None) -> None:
    """Keep mail until it is released, or too old.

    \b
    mailstead queue hold --to example.com
    """
    settings = frame.settings()
    selection = _meant(settings, everything, named, given)

    async def batch(runtime: Runtime, these: Selection) -> int:
        return await runtime.db.run(lambda tx: queue.hold(tx, these, tx.now()))

    _told(frame, "held", in_runtime(settings, lambda rt: _until_done(rt, selection, "holding", batch)))


@command.command("release")
@_steering
@common
def release(frame: Frame, everything: bool, named: str | None, **given: str | None) -> None:
    """Let held mail go.

    \b
    mailstead queue release --all
    """
    settings = frame.settings()
    selection = _meant(settings, everything, named, given)

    async def batch(runtime: Runtime, these: Selection) -> int:
        return await runtime.db.run(lambda tx: queue.release(tx, these, tx.now()))

    _told(frame, "released", in_runtime(settings, lambda rt: _until_done(rt, selection, "releasing", batch)))


@command.command("delete")
@_steering
@common
def delete(frame: Frame, everything: bool, named: str | None, **given: str | None) -> None:
    """Delete mail that waits: it is not delivered, and nobody is told.

    \b
    mailstead queue delete --message 0100018c1a2b3c4d-21e57d9a-1ab2-416c-bbe1-8ebaa0000000-000000
    """
    settings = frame.settings()
    selection = _meant(settings, everything, named, given)
    _told(frame, "deleted", in_runtime(settings, lambda rt: _until_done(rt, selection, "deleting", _delete)))


async def _delete(runtime: Runtime, selection: Selection) -> int:
    async def body(tx: Transaction) -> tuple[int, list[str]]:
        count, bodies = await queue.delete(tx, selection, tx.now())
        for blob in bodies:
            await runtime.blobs.delete_in(tx, blob)
        return count, bodies

    count, bodies = await runtime.db.run(body)
    for blob in bodies:
        await runtime.blobs.delete(blob)
    return count
