"""Objects: what accounts name by bucket and key, wherever they lie, and whose buckets are whose.

A bucket belongs to an account: whoever could name any bucket could read what others keep there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mailstead.base.errors import NotFound

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")  # what S3 lets a bucket be called
MAX_KEY = 1024
"""Octets of a key in S3."""


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose buckets are whose."""

    named: Mapping[str, str]
    others: str
    """The account that has all that are not named; empty: everybody (``--dev``)."""

    def may(self, account: str, bucket: str) -> bool:
        """May the account use the bucket?"""
        owner = self.named.get(bucket, self.others)
        return owner in ("", account)


def is_bucket(bucket: str) -> bool:
    """Can a bucket be called so?  (S3's clients take other things for one, as ARNs that lead elsewhere.)"""
    return _BUCKET.fullmatch(bucket) is not None and ".." not in bucket


def missing(bucket: str, key: str) -> NotFound:
    """There is no such object, or it is not for whoever asks."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in f"s3://{bucket[:64]}/{key[:MAX_KEY]}")
    return NotFound(f"The object {shown} does not exist or cannot be read.", kind="object")
