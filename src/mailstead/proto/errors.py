"""Errors of the wire: who broke the protocol, the other side or we ourselves."""

from __future__ import annotations


class RemoteProtocolError(Exception):
    """The peer sent what its protocol does not allow. It ends in a reply or a closed connection, never in a trace."""


class LocalProtocolError(Exception):
    """We used an engine out of order: a bug of ours, logged with its trace."""
