"""The spool: messages we have taken responsibility for, as deliveries that go out.

A message is stored once with one delivery row a recipient; deliveries wait in lanes (one a destination).  Every
function runs inside the caller's transaction.  What ends a delivery names it by ``due IS NOT NULL``: twice is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailstead.store.port import Transaction

NEVER = 1 << 53
"""``due`` of a held delivery: waiting, but for an operator."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is stored. ``sender`` is the customer's reverse-path, ``return_path`` the one we send with."""

    id: str
    account: str
    region: str
    origin: str
    """``submission`` or ``notice``; only submissions make customer events."""
    sender: str
    return_path: str
    identity: str
    signing_domain: str
    eight_bit: int
    """1 if the content has octets above 127."""
    size: int
    blob: str
    mail_json: str
    created: int
    configuration_set: str = ""
    require_tls: int = 0
    """1 if it may not leave without TLS."""
    max_delivery: int | None = None
    """Seconds it is tried for, where its configuration set shortens that."""
    tenant: str = ""
    """The name of the one it was sent through; empty: none."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One delivery to be stored."""

    address: str
    lane: str
    expires: int
    kept_back: str = ""
    """Why it is never tried: it ends here, in the state ``suppressed``."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One delivery that is due."""

    message: str
    n: int
    recipient: str
    attempts: int
    expires: int
    due: int


@dataclass(frozen=True, slots=True)
class Try:
    """What one attempt at one delivery came to."""

    state: str
    reply: str
    host: str = ""
    tls: str = ""
    next_due: int | None = None


async def put(tx: Transaction, message: Message, recipients: Sequence[Recipient]) -> None:
    """Store a message with its deliveries, due now, and make their lanes due; one that goes to nobody is done."""
    now = message.created
    waiting = [recipient for recipient in recipients if not recipient.kept_back]
    await tx.run(
        "INSERT INTO messages (id, account, region, origin, sender, return_path, identity, signing_domain, eight_bit,"
        " size, blob, open, mail_json, created, configuration_set, require_tls, max_delivery, tenant, done)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        message.id,
        message.account,
        message.region,
        message.origin,
        message.sender,
        message.return_path,
        message.identity,
        message.signing_domain,
        message.eight_bit,
        message.size,
        message.blob,
        len(waiting),
        message.mail_json,
        now,
        message.configuration_set,
        message.require_tls,
        message.max_delivery,
        message.tenant,
        None if waiting else now,
    )
    for n, recipient in enumerate(recipients):
        await tx.run(
            "INSERT INTO deliveries (message, n, recipient, lane, state, due, expires, reply, changed)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            message.id,
            n,
            recipient.address,
            recipient.lane,
            "suppressed" if recipient.kept_back else "queued",
            None if recipient.kept_back else now,
            recipient.expires,
            recipient.kept_back,
            now,
        )
    for lane in sorted({recipient.lane for recipient in waiting}):  # in one order: nobody waits for each other
        await make_due(tx, lane, now)


async def make_due(tx: Transaction, lane: str, due: int) -> None:
    """Let a lane be claimed at ``due``; one that is failing keeps its own time."""
    await tx.run(
        "INSERT INTO lanes (lane, due, changed) VALUES ($1, $2, $2) ON CONFLICT (lane) DO UPDATE SET due = excluded.due"
        " WHERE lanes.due IS NULL OR (lanes.due > excluded.due AND lanes.failures = 0)",
        lane,
        due,
    )


async def make_due_now(tx: Transaction, lane: str, now: int) -> None:
    """Let a lane be claimed now although it is failing: the operator insists."""
    await tx.run(
        "INSERT INTO lanes (lane, due, changed) VALUES ($1, $2, $2)"
        " ON CONFLICT (lane) DO UPDATE SET due = excluded.due",
        lane,
        now,
    )


async def pull(tx: Transaction, lane: str, now: int, limit: int) -> list[Waiting]:
    """Deliveries of a lane that are due, the longest waiting first, siblings of one message side by side."""
    rows = await tx.rows(
        "SELECT message, n, recipient, attempts, expires, due FROM deliveries"
        " WHERE lane = $1 AND due IS NOT NULL AND due <= $2 ORDER BY due, message, n LIMIT $3",
        lane,
        now,
        limit,
    )
    return [Waiting(*row) for row in rows]


async def overdue(tx: Transaction, now: int, limit: int) -> list[tuple[str, Waiting]]:
    """``(lane, delivery)`` of deliveries that are too old, in lanes that nobody holds; held ones in any lane."""
    rows = await tx.rows(
        "SELECT d.lane, d.message, d.n, d.recipient, d.attempts, d.expires, d.due FROM deliveries d"
        " LEFT JOIN lanes l ON l.lane = d.lane WHERE d.due IS NOT NULL AND d.expires <= $1"
        " AND (l.worker IS NULL OR d.state = 'held') ORDER BY d.expires, d.message, d.n LIMIT $2",
        now,
        limit,
    )
    return [(row[0], Waiting(*row[1:])) for row in rows]


async def read(tx: Transaction, message: str) -> Message | None:
    """A message's row."""
    row = await tx.row(
        "SELECT id, account, region, origin, sender, return_path, identity, signing_domain, eight_bit, size, blob,"
        " mail_json, created, configuration_set, require_tls, max_delivery, tenant FROM messages WHERE id = $1",
        message,
    )
    return Message(*row) if row else None


async def finish(tx: Transaction, message: str, ended: Iterable[tuple[int, Try]], now: int) -> list[int]:
    """End deliveries of one message; which of them were not ended before (the others are left as they are)."""
    numbers = []
    for n, last in ended:
        changed = await tx.run(
            "UPDATE deliveries SET state = $3, due = NULL, attempts = attempts + 1, reply = $4, host = $5, tls = $6,"
            " changed = $7 WHERE message = $1 AND n = $2 AND due IS NOT NULL",
            message,
            n,
            last.state,
            last.reply,
            last.host,
            last.tls,
            now,
        )
        if changed:
            numbers.append(n)
    return numbers


async def count_down(tx: Transaction, message: str, ended: int, now: int) -> str | None:
    """Note that so many deliveries of a message have ended; its blob's reference if none is left, else None."""
    row = await tx.row(
        "UPDATE messages SET open = open - $2, done = CASE WHEN open = $2 THEN $3 ELSE done END WHERE id = $1"
        " RETURNING open, blob",
        message,
        ended,
        now,
    )
    return str(row[1]) if row and row[0] == 0 else None


async def put_off(tx: Transaction, waiting: Waiting, last: Try, now: int) -> bool:
    """Let a delivery wait until ``last.next_due`` and keep the try for ``trace``.

    False: it has ended or is held meanwhile, or this very try is noted already (twice is harmless).
    """
    changed = await tx.run(
        "UPDATE deliveries SET state = 'deferred', due = $3, attempts = attempts + 1, reply = $4, host = $5, tls = $6,"
        " changed = $7 WHERE message = $1 AND n = $2 AND attempts = $8 AND due IS NOT NULL AND state <> 'held'",
        waiting.message,
        waiting.n,
        last.next_due,
        last.reply,
        last.host,
        last.tls,
        now,
        waiting.attempts,
    )
    if changed:
        await tx.run(
            "INSERT INTO attempts (message, n, attempt, at, host, tls, reply, next_due)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            waiting.message,
            waiting.n,
            waiting.attempts + 1,
            now,
            last.host,
            last.tls,
            last.reply,
            last.next_due,
        )
    return bool(changed)


async def postpone(tx: Transaction, waiting: Waiting, due: int, reason: str, now: int) -> None:
    """Let a delivery wait because of a fault of our own: that was no try, and it counts for none."""
    await tx.run(
        "UPDATE deliveries SET state = 'deferred', due = $3, reply = $4, changed = $5"
        " WHERE message = $1 AND n = $2 AND due IS NOT NULL AND state <> 'held'",
        waiting.message,
        waiting.n,
        due,
        reason,
        now,
    )


async def let_go(tx: Transaction, lane: str, worker: str, now: int) -> None:
    """End our lease of a lane: due when its next delivery is; gone when none is left.

    The first statement takes the row's lock, so that an acceptance in another process comes before or after us.
    """
    if not await tx.run("UPDATE lanes SET changed = $3 WHERE lane = $1 AND worker = $2", lane, worker, now):
        return  # we were taken for dead, and it is another's
    due = await tx.value("SELECT MIN(due) FROM deliveries WHERE lane = $1 AND due IS NOT NULL", lane)
    if due is None:
        await tx.run("DELETE FROM lanes WHERE lane = $1", lane)
    else:
        # All held: its failures are forgotten, for a failing lane keeps its own time and would sleep with what is held.
        kept = int(due < NEVER)
        sql = "UPDATE lanes SET worker = NULL, due = $2, failures = failures * $3 WHERE lane = $1"
        await tx.run(sql, lane, due, kept)


async def reached(tx: Transaction, lane: str) -> None:
    """Somebody answered for this lane: forget its failures."""
    await tx.run("UPDATE lanes SET failures = 0, reason = '' WHERE lane = $1 AND failures > 0", lane)


async def unreachable(tx: Transaction, lane: str, *, worker: str, due: int, reason: str, now: int) -> None:
    """Nobody answered for this lane of ours: all of it waits until ``due``, whatever waits in it."""
    await tx.run(
        "UPDATE lanes SET worker = NULL, due = $2, failures = failures + 1, reason = $3, changed = $4"
        " WHERE lane = $1 AND worker = $5",
        lane,
        due,
        reason,
        now,
        worker,
    )


async def anything_due(tx: Transaction, now: int) -> bool:
    """Is a lane free and due?  Cheap enough to ask every second."""
    return bool(
        await tx.value(
            # Two conditions for the two indexes of claim_lanes.
            "SELECT 1 FROM lanes WHERE due <= $1 AND worker IS NULL AND failures = 0"
            " UNION ALL SELECT 1 FROM lanes WHERE due <= $1 AND worker IS NULL AND failures > 0 LIMIT 1",
            now,
        )
    )


async def blobs_outside(tx: Transaction) -> set[str]:
    """The blobs outside the database that something still needs. A long look: for a reader thread."""
    rows = await tx.rows(
        "SELECT blob FROM messages WHERE open > 0 AND blob NOT LIKE 'db:%'"
        " UNION SELECT blob FROM captures WHERE blob NOT LIKE 'db:%'"
        " UNION SELECT blob FROM arrivals WHERE blob NOT LIKE 'db:%'"
        " UNION SELECT file FROM jobs WHERE file NOT LIKE 'db:%'"
    )
    return {str(row[0]) for row in rows}


async def leased(tx: Transaction, worker: str) -> list[str]:
    """The lanes a process holds."""
    return [str(row[0]) for row in await tx.rows("SELECT lane FROM lanes WHERE worker = $1", worker)]


async def last_words(tx: Transaction, message: str, lane: str) -> dict[int, str]:
    """The last reply to each delivery of a message in a lane; where it has none of its own, why the lane waits."""
    rows = await tx.rows(
        "SELECT d.n, CASE WHEN d.reply <> '' THEN d.reply ELSE coalesce(l.reason, '') END FROM deliveries d"
        " LEFT JOIN lanes l ON l.lane = d.lane WHERE d.message = $1 AND d.lane = $2",
        message,
        lane,
    )
    return {int(row[0]): str(row[1]) for row in rows}
