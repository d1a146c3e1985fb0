"""Operations: one file a capability, v1 and v2 of an operation side by side.

``HANDLED`` names what is offered; ``build`` makes the handlers for ``aws.gateway``.
"""

from __future__ import annotations

from mailstead.aws.operations import (
    account,
    configuration_sets,
    contacts,
    custom_verification,
    dedicated_ips,
    deliverability,
    event_destinations,
    identities,
    identity_settings,
    insights,
    jobs,
    multi_region,
    recommendations,
    reputation,
    sending,
    suppression,
    tags,
    templated_sending,
    templates,
    tenants,
    topics,
)
from mailstead.aws.operations.services import Handlers, Services

__all__ = ["HANDLED", "Handlers", "Services", "build"]

_PARTS = (
    account,
    configuration_sets,
    contacts,
    custom_verification,
    dedicated_ips,
    deliverability,
    event_destinations,
    identities,
    identity_settings,
    jobs,
    insights,
    multi_region,
    recommendations,
    reputation,
    sending,
    suppression,
    tags,
    templated_sending,
    tenants,
    templates,
    topics,
)

HANDLED = frozenset[tuple[str, str]]().union(*(part.HANDLED for part in _PARTS))
"""(service, operation) of everything offered."""


def build(services: Services) -> Handlers:
    """The handlers of everything offered."""
    return {key: handler for part in _PARTS for key, handler in part.handlers(services).items()}
