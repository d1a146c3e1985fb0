"""VERP: the reverse-path that names its message (SES: smtp §6.4): ``MessageId@provider-domain``.

No further mark tells ours from forged ones: a MessageId carries a UUID of 122 random bits, and a report counts only for
a message that we sent.  Whoever saw the mail knows its id; that is so with every return path.
"""

from __future__ import annotations

import re

_MESSAGE_ID = re.compile(r"01[0-9a-f]{14}-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}-000000")


def return_path(message_id: str, domain: str) -> str:
    """The reverse-path of a message: the id at the provider's domain, or at the customer's MAIL FROM domain."""
    return f"{message_id}@{domain}"


def named(address: str) -> str | None:
    """The MessageId that a return path names, at whatever domain, or None if it has no such form.

    ``address``: a forward-path, without angle brackets; case does not matter: some senders change it.
    """
    message_id = address.rpartition("@")[0].lower()
    return message_id if _MESSAGE_ID.fullmatch(message_id) else None
