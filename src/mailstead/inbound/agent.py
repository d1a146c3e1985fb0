"""Agent: takes mail that leaves to recipients who are here (routes named ``local``), without a network between."""

from __future__ import annotations

import logging

from mailstead.base.errors import Rejected, Unreachable
from mailstead.inbound.reception import Reception, Source, repeatable_id
from mailstead.inbound.recipients import Known, Meaning, Places, ReturnPath, Role, resolve
from mailstead.outbound.agents import Attempt, Parcel, Route
from mailstead.proto.smtp.reply import Reply
from mailstead.runtime import Runtime

log = logging.getLogger(__name__)

LOCAL_IP = "127.0.0.1"
AWAY = Reply(451, "Local reception is not available now", "4.3.0")
LOOP = Reply(554, "Too many hops, this is a mail loop", "5.4.6")


class LocalAgent:
    """An ``outbound.agents.Agent``: each recipient is accepted or refused as ``mx`` would, the accepted stored."""

    def __init__(self, runtime: Runtime, reception: Reception, places: Places, hostname: str) -> None:
        self._runtime = runtime
        self._reception = reception
        self._places = places
        self._hostname = hostname

    async def attempt(self, route: Route, parcel: Parcel) -> Attempt:
        """See ``Agent.attempt``. The same parcel again is one arrival."""
        host = f"{self._hostname} (local)"
        try:
            replies, known = await self._sort(parcel)
            if known:
                accepted = await self._store(parcel, known)
                replies |= {one.address: accepted for one in known}
        except Unreachable as error:
            log.warning("local: %s", error)
            return Attempt(dict.fromkeys(parcel.recipients, AWAY), host=host)
        return Attempt(replies, host=host, remote_ip=LOCAL_IP, source_ip=LOCAL_IP)

    async def _sort(self, parcel: Parcel) -> tuple[dict[str, Reply], list[Known]]:
        """Refusals, and who is here."""
        refused: dict[str, Reply] = {}
        known: list[Known] = []
        for recipient in parcel.recipients:
            meaning = await self._meaning(recipient)
            if isinstance(meaning, ReturnPath | Role):
                known.append(meaning)
            else:
                refused[recipient] = meaning.reply
        return refused, known

    async def _meaning(self, recipient: str) -> Meaning:
        return await self._runtime.db.read(lambda tx: resolve(tx, self._places, recipient))

    async def _store(self, parcel: Parcel, known: list[Known]) -> Reply:
        # Of message and recipients: the recipients that come later for the same message are another arrival.
        id = repeatable_id(parcel.message, *sorted(one.address for one in known))
        content = b"".join(parcel.pieces(LOCAL_IP))
        source = Source("local", LOCAL_IP, self._hostname, "ESMTP")
        try:
            await self._reception.receive(parcel.sender, known, content, source, id=id)
        except Rejected:
            return LOOP
        return Reply(250, f"OK {id}", "2.0.0")
