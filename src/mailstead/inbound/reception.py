"""Reception: the door for mail that comes in.  Nothing is 250 before ``receive`` returns: then it is on the disk."""

from __future__ import annotations

import hashlib
import logging
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import msgspec

from mailstead.base.errors import Rejected
from mailstead.base.ids import inbound_id
from mailstead.inbound.recipients import Known, ReturnPath
from mailstead.proto import received
from mailstead.proto.received import MAX_HOPS, Hop
from mailstead.runtime import Runtime
from mailstead.store import arrivals
from mailstead.store.arrivals import Arrival
from mailstead.store.port import Transaction

log = logging.getLogger(__name__)

ARRIVALS = "arrivals"
"""Topic of the signal: something has come in."""


@dataclass(frozen=True, slots=True)
class Source:
    """How a message came."""

    door: str
    """``mx`` or ``local``."""
    ip: str
    helo: str
    protocol: str
    """``ESMTP``, ``ESMTPS``… (RFC 3848)."""
    tls: str = ""
    """``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty in clear."""


def repeatable_id(*parts: str) -> str:
    """An arrival id that is the same for the same parts: what is handed over twice is one arrival."""
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return b32encode(digest).decode().lower()[:40]


class Reception:
    """Takes messages in."""

    def __init__(self, runtime: Runtime, hostname: str) -> None:
        self._runtime = runtime
        self._hostname = hostname

    async def receive(
        self, sender: str, recipients: Sequence[Known], content: bytes, source: Source, *, id: str = ""
    ) -> str:
        """Take responsibility for a message; its arrival id.  One row a message and account, all in one commit.

        Args:
            sender: the reverse-path; empty is the null one.
            recipients: at least one, as ``recipients.resolve`` found them.
            content: with CRLF line ends; what it says in our name is taken out.
            id: given by who may hand the same message over twice; the second time is harmless.

        Raises:
            Rejected: kind ``loop``: it has been through too many servers.
            Unreachable: not now.
        """
        if received.hops(content) >= MAX_HOPS:
            raise Rejected("Too many hops, this is a mail loop", kind="loop")
        id = id or inbound_id()
        now = self._runtime.clock.now()
        content = received.without_forged(content, self._hostname)
        content = b"".join((received.return_path(sender), self._hop(recipients, source, id, now), content))
        template = self._template(id, sender, content, source, now)
        rows = [
            replace(
                template,
                id=own,
                account=account,
                region=region,
                message=message,
                recipients_json=msgspec.json.encode(addresses).decode(),
                blob=self._runtime.blobs.plan(own, content),
            )
            for own, (account, region, message), addresses in _apart(id, recipients)
        ]
        for row in rows:
            await self._runtime.blobs.put(row.blob, content)

        async def store(tx: Transaction) -> None:
            for row in rows:
                if await arrivals.put(tx, row):
                    await self._runtime.blobs.put_in(tx, row.blob, content)

        await self._runtime.db.run(store)
        self._runtime.signal.wake(ARRIVALS)
        log.info("received %s recipients=%d size=%d door=%s", id, len(recipients), len(content), source.door)
        return id

    def _hop(self, recipients: Sequence[Known], source: Source, id: str, now: int) -> bytes:
        recipient = f"<{recipients[0].address}>" if len(recipients) == 1 else ""
        hop = Hop(source.helo, source.ip, self._hostname, source.protocol, id, recipient, source.tls)
        return received.field(hop, now)

    def _template(self, id: str, sender: str, content: bytes, source: Source, now: int) -> Arrival:
        return Arrival(
            id=id,
            account="",
            region="",
            sender=sender,
            recipients_json="",
            message="",
            size=len(content),
            blob="",
            source_json=msgspec.json.encode(source).decode(),
            created=now,
        )


Whose = tuple[str, str, str]
"""Account, region, and the message of ours that it is about."""


def _whose(recipient: Known) -> Whose:
    message = recipient.message if isinstance(recipient, ReturnPath) else ""
    return recipient.account, recipient.region, message


def _apart(id: str, recipients: Sequence[Known]) -> list[tuple[str, Whose, list[str]]]:
    """Arrival id, whose, and addresses, for each account and message meant; the first has ``id`` itself."""
    groups = groupby(sorted(recipients, key=_whose), key=_whose)
    return [
        (repeatable_id(id, *whose) if n else id, whose, [one.address for one in group])
        for n, (whose, group) in enumerate(groups)
    ]
