"""The mailbox simulator: addresses that behave in a known way, whatever the mode (SES: sending §8)."""

from __future__ import annotations

from mailstead.outbound.agents import Attempt, Parcel, Route
from mailstead.proto.smtp.reply import Reply

DOMAIN = "simulator.amazonses.com"

ACCEPTED = Reply(250, "OK")

# What the address without its +label answers. Complaint and ooto take the mail first, like everybody's mailbox.
REPLIES = {
    "success": ACCEPTED,
    "bounce": Reply(550, "user unknown", "5.1.1"),
    "complaint": ACCEPTED,
    "ooto": ACCEPTED,
}
UNKNOWN = Reply(550, "mailbox unavailable", "5.1.1")


def is_simulator(address: str) -> bool:
    """Does this address belong to the simulator?"""
    return address.rpartition("@")[2].lower() == DOMAIN


def reply_of(address: str) -> Reply:
    """What the simulator says to a recipient."""
    local = address.rpartition("@")[0].partition("+")[0].lower()
    return REPLIES.get(local, UNKNOWN)


class SimulatorAgent:
    """Takes simulator mail nowhere."""

    async def attempt(self, route: Route, parcel: Parcel) -> Attempt:
        """A reply at once."""
        replies = {recipient: reply_of(recipient) for recipient in parcel.recipients}
        return Attempt(replies, host=DOMAIN)
