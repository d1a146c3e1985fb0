"""Editions: has anything been written but mail?  Who keeps what it read of accounts, identities and the like asks here.

Mail is most of what is written; all else makes a new edition of the database, and what was read before is read again.
Careful: it tells of this process alone; what another one wrote is not noticed.
"""

from __future__ import annotations

import re

# Tables of mail on its way and of what is told of it, in which nothing says who may send what: every message writes
# them.  A table that is not named here makes a new edition, which costs a little and can do no harm.
_MAIL = (
    "arrivals",
    "attempts",
    "blobs",
    "captures",
    "deliveries",
    "events",
    "lanes",
    "messages",
    "quota_slices",
    "statistics",
    "submitted",
    "suppressed",
    "workers",
)
_WRITES_MAIL = re.compile(
    rf"\b(?:INSERT INTO|UPDATE|DELETE FROM) (?:{'|'.join(_MAIL)})\b"
    r"|\bUPDATE account_regions SET used =[^,]* WHERE\b|\bDO UPDATE\b|\bFOR UPDATE\b"
)
_WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|TRUNCATE)\b", re.IGNORECASE)


def makes_new(sql: str) -> bool:
    """Does this statement write more than mail?  In doubt it does."""
    return _WRITES.search(_WRITES_MAIL.sub("", sql)) is not None
