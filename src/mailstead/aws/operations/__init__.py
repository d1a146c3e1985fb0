"""Operations: one file a capability, v1 and v2 of an operation side by side.

``HANDLED`` names what is offered; ``build`` makes the handlers for ``aws.gateway``.
"""

from __future__ import annotations

from mailstead.aws.operations import account, identities, sending
from mailstead.aws.operations.services import Handlers, Services

__all__ = ["HANDLED", "Handlers", "Services", "build"]

HANDLED = account.HANDLED | identities.HANDLED | sending.HANDLED
"""(service, operation) of everything offered."""


def build(services: Services) -> Handlers:
    """The handlers of everything offered."""
    return account.handlers(services) | identities.handlers(services) | sending.handlers(services)
