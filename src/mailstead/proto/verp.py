"""VERP: the reverse-path that names its message (SES: smtp §6.4): ``MessageId@provider-domain``.

No further mark tells ours from forged ones: a MessageId carries a UUID of 122 random bits, and a report counts only for
a message that we sent.  Whoever saw the mail knows its id; that is so with every return path.
"""

from __future__ import annotations

import re
from collections.abc import Container

from mailstead.base.address import ascii_domain
from mailstead.base.errors import Invalid

_MESSAGE_ID = re.compile(r"01[0-9a-f]{14}-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}-000000")


def return_path(message_id: str, domain: str) -> str:
    """The reverse-path of a message: the id at the provider's domain, or at the customer's MAIL FROM domain."""
    return f"{message_id}@{domain}"


def named(address: str) -> str | None:
    """The MessageId that the local part of an address has the form of, at whatever domain; else None."""
    message_id = address.rpartition("@")[0].lower()
    return message_id if _MESSAGE_ID.fullmatch(message_id) else None


def parse(address: str, domains: Container[str]) -> str | None:
    """The MessageId that a return path of ours names, or None if it is no such address.

    Args:
        address: a forward-path, without angle brackets; case does not matter: some senders change it.
        domains: our return-path domains in lower case and A-labels.
    """
    domain = address.rpartition("@")[2]
    message_id = named(address)
    if message_id is None:
        return None
    try:
        return message_id if ascii_domain(domain) in domains else None
    except Invalid:
        return None
