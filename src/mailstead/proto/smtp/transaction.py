"""What an SMTP client sends for one message, and what became of each of its recipients (RFC 5321 §3.3)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mailstead.base.address import bare
from mailstead.base.errors import Invalid
from mailstead.proto.smtp.content import stuff
from mailstead.proto.smtp.reply import Reply

Command = Literal["mail", "rcpt", "data"]

# What may stand between angle brackets without becoming another command or parameter.
_SENDABLE = re.compile(r'(?:[^\x00-\x20\x7f<>"\\]|"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*+")*+')

NO_UTF8 = Reply(550, "the server does not take internationalised mail", "5.6.7")  # RFC 6531 §3.5
TOO_LARGE = Reply(552, "the message is larger than the server takes", "5.3.4")  # RFC 1870 §6.1
BAD_SENDER = Reply(553, "the sender's address cannot be sent", "5.1.7")
BAD_RECIPIENT = Reply(553, "the recipient's address cannot be sent", "5.1.3")


@dataclass(frozen=True, slots=True)
class Transaction:
    """A message and its envelope. ``utf8``: its header needs SMTPUTF8; ``eight_bit`` None: look."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes | Sequence[bytes] = field(repr=False)
    """The message, or its pieces in order; dots are not stuffed yet."""
    eight_bit: bool | None = None
    utf8: bool = False


@dataclass(frozen=True, slots=True)
class TransactionDone:
    """What became of each recipient. ``closing``: the server said 421 and hangs up.

    ``eight_bit_as_is``: 8-bit content went to a server that did not offer 8BITMIME.
    """

    transaction: Transaction
    replies: Mapping[str, Reply]
    accepted: tuple[str, ...]
    closing: bool = False
    eight_bit_as_is: bool = False


class Running:
    """A transaction on its way. ``commands`` are what is left to be written, with their stages."""

    __slots__ = (
        "accepted",
        "answered",
        "as_is",
        "commands",
        "content",
        "failure",
        "recipients",
        "replies",
        "transaction",
    )

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.content = b""
        self.recipients: list[str] = []
        self.answered = 0
        self.accepted: list[str] = []
        self.replies: dict[str, Reply] = {}
        self.failure: Reply | None = None
        self.as_is = False
        self.commands: deque[tuple[Command, bytes]] = deque()

    def settle(self, reply: Reply) -> None:
        """Everyone without a reply gets this one."""
        for recipient in self.transaction.recipients:
            self.replies.setdefault(recipient, reply)

    def done(self, *, closing: bool = False) -> TransactionDone:
        accepted = tuple(one for one in self.accepted if self.replies[one].positive)
        return TransactionDone(self.transaction, self.replies, accepted, closing, self.as_is)

    def prepare(self, extensions: Mapping[str, str]) -> None:
        """Decide what needs no network, and write down the commands; ``extensions`` are the server's."""
        transaction = self.transaction
        parts = transaction.content
        content = parts if isinstance(parts, bytes) else b"".join(parts)
        paths = _paths(transaction)
        refusal = _refusal(extensions, paths, len(content), utf8=transaction.utf8)
        if refusal is not None:
            self.settle(refusal)
            return
        self.content = stuff(content)
        eight_bit = transaction.eight_bit if transaction.eight_bit is not None else not content.isascii()
        self.as_is = eight_bit and "8BITMIME" not in extensions
        words = [f"MAIL FROM:<{paths[transaction.sender]}>"]
        if "SIZE" in extensions:
            words.append(f"SIZE={len(content)}")
        if eight_bit and "8BITMIME" in extensions:
            words.append("BODY=8BITMIME")
        if transaction.utf8 or _needs_utf8(paths):
            words.append("SMTPUTF8")
        self._list_commands(paths, " ".join(words))

    def _list_commands(self, paths: Mapping[str, str], mail: str) -> None:
        self.commands.append(("mail", f"{mail}\r\n".encode()))
        for recipient in dict.fromkeys(self.transaction.recipients):
            if recipient and _SENDABLE.fullmatch(paths[recipient]):
                self.recipients.append(recipient)
                self.commands.append(("rcpt", f"RCPT TO:<{paths[recipient]}>\r\n".encode()))
            else:
                self.replies[recipient] = BAD_RECIPIENT
        self.commands.append(("data", b"DATA\r\n"))


def _paths(transaction: Transaction) -> dict[str, str]:
    """Each address as it goes on the wire: with A-labels where that makes SMTPUTF8 needless."""
    paths = {address: address for address in (transaction.sender, *transaction.recipients)}
    if transaction.utf8 or not _needs_utf8(paths):
        return paths
    try:
        plain = {address: bare(address) for address in paths}
    except Invalid:
        return paths
    return paths if _needs_utf8(plain) else plain


def _refusal(extensions: Mapping[str, str], paths: Mapping[str, str], size: int, *, utf8: bool) -> Reply | None:
    if (utf8 or _needs_utf8(paths)) and "SMTPUTF8" not in extensions:
        return NO_UTF8
    limit = extensions.get("SIZE", "")
    if limit.isdecimal() and len(limit) <= 20 and 0 < int(limit) < size:
        return TOO_LARGE
    sender = next(iter(paths.values()))
    return None if _SENDABLE.fullmatch(sender) else BAD_SENDER


def _needs_utf8(paths: Mapping[str, str]) -> bool:
    return not all(path.isascii() for path in paths.values())
