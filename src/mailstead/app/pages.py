"""Pages: the table of what the ``tracking`` listener shows, a row a page; and the beginning of every link to them."""

from __future__ import annotations

from mailstead.app.house import House
from mailstead.outbound import unsubscribe_links, verification_mail
from mailstead.servers.listener import shown
from mailstead.servers.tracking import Page
from mailstead.servers.unsubscribe import METHODS, Unsubscribe
from mailstead.servers.verify import Verify

ANYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 — compared with, not bound


def pages(house: House) -> tuple[Page, ...]:
    """Every page; whoever adds one adds a row."""
    return (
        Page(verification_mail.PATH, Verify(house.runtime).show),
        Page(unsubscribe_links.PATH, Unsubscribe(house.runtime).show, METHODS),
    )


def links(house: House) -> str:
    """What links in mail begin with; empty: there is no place they could lead to.

    ``tracking.public_url``, else the listener: as it is open here, or as another process that plays the role has it.
    """
    settings = house.settings
    if settings.tracking.public_url or not settings.listen.tracking:
        return settings.tracking.public_url
    listen, found = settings.listen.tracking[0], house.endpoints.get("tracking", "")
    port = int((found if isinstance(found, str) else found[0]).rpartition(":")[2] or listen.port)
    host = house.hostname if listen.host in ANYWHERE else listen.host
    return f"{'https' if listen.tls else 'http'}://{shown(host, port)}" if port else ""
