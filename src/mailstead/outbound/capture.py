"""Capture: mail for the outside that stays here, signed as it would have left, to be looked at."""

from __future__ import annotations

import msgspec

from mailstead.outbound.agents import Attempt, Parcel, Route
from mailstead.proto.smtp.reply import Reply
from mailstead.runtime import Runtime
from mailstead.store import captures, spool
from mailstead.store.captures import Capture
from mailstead.store.port import Transaction

HOST = "capture"
KEPT = Reply(250, "captured", "2.0.0")


class CaptureAgent:
    """Keeps parcels."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def attempt(self, route: Route, parcel: Parcel) -> Attempt:
        """Store the signed message; the same parcel again changes nothing, one for other recipients adds them."""
        content = b"".join(parcel.pieces("127.0.0.1"))
        key = f"captured-{parcel.message}"
        blob = self._runtime.blobs.plan(key, content)
        await self._runtime.blobs.put(blob, content)

        async def keep(tx: Transaction) -> None:
            message = await spool.read(tx, parcel.message)
            if message is None:
                return
            await self._runtime.blobs.put_in(tx, blob, content)
            known = await captures.find(tx, parcel.message)
            before = msgspec.json.decode(known.recipients_json) if known else []
            recipients = msgspec.json.encode(list(dict.fromkeys([*before, *parcel.recipients]))).decode()
            capture = Capture(message.id, message.account, message.region, recipients, blob, message.created)
            await captures.keep(tx, capture)

        await self._runtime.db.run(keep)
        return Attempt(dict.fromkeys(parcel.recipients, KEPT), host=HOST)
