"""DNS as standards see it: a resolver that is handed in, and answers that say why they are empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mailstead.base.errors import MailsteadError


class DnsError(MailsteadError):
    """A look-up that could not be answered now (time-out, SERVFAIL, refused): temporary, never "does not exist"."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name has of one type.

    ``exists`` is False for NXDOMAIN; True with no ``records`` means the name exists without that type.
    """

    records: tuple[str, ...]
    """MX as ``"10 mx.example.com"``, A and AAAA as addresses, TXT joined, names without the last dot."""
    exists: bool = True
    authentic: bool = False
    """Was it validated by DNSSEC (the AD flag)?"""
    ttl: int = 0
    """Seconds it may be kept."""


class Resolver(Protocol):
    """Looks names up."""

    async def query(self, name: str, kind: str) -> Answer:
        """The records of ``kind`` (``MX``, ``A``, ``AAAA``, ``TXT``, ``PTR``…) at ``name``; CNAMEs are followed.

        Raises:
            DnsError: no answer can be had now.
        """
        ...
