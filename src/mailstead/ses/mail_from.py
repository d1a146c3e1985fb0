"""Custom MAIL FROM: the customer's own domain in the reverse-path, so that SPF is aligned too (SES: sending §1.4)."""

from __future__ import annotations

from mailstead.base.errors import Invalid, MailFromNotVerified
from mailstead.ses import identities
from mailstead.ses.identities import PENDING, SUCCESS, Identity
from mailstead.store.port import Transaction

USE_DEFAULT = "USE_DEFAULT_VALUE"
REJECT = "REJECT_MESSAGE"


def feedback_host(region: str, provider: str) -> str:
    """Where the MX record of a MAIL FROM domain points to."""
    return f"feedback-smtp.{region}.{provider}"


def check(identity: str, domain: str) -> str:
    """The domain as it is stored.

    Raises:
        Invalid: it is no domain below that of the identity.
    """
    name = identities.normalise(domain) if "@" not in domain else ""
    if not name.endswith("." + identity.rpartition("@")[2]):
        raise Invalid(
            f"Provided MAIL-FROM domain '{domain[:256]}' is not subdomain of the domain of the identity '{identity}'.",
            kind="identity",
        )
    return name


async def put(tx: Transaction, identity: Identity, domain: str, *, on_failure: str, verified: bool) -> None:
    """Send with this domain (as ``check`` gives it) once its records are there; empty: with ours.

    The same domain again keeps its state, or begins again if that was failure.

    Args:
        on_failure: ``USE_DEFAULT_VALUE`` or ``REJECT_MESSAGE``.
        verified: its records need not be looked for (``verification = auto``).
    """
    status = (SUCCESS if verified else PENDING) if domain else ""
    kept = identity.mail_from_domain == domain and identity.mail_from_status in identities.USABLE and bool(domain)
    await tx.run(
        "UPDATE identities SET mail_from_domain = $4, mail_from_on_failure = $5, mail_from_status = $6,"
        " mail_from_since = CASE WHEN $7 = 1 THEN mail_from_since ELSE $8 END"
        " WHERE account = $1 AND region = $2 AND name = $3",
        identity.account,
        identity.region,
        identity.name,
        domain,
        on_failure,
        identity.mail_from_status if kept else status,
        int(kept),
        tx.now(),
    )


def domain_of(identity: Identity) -> str:
    """The domain that mail of this identity has in its reverse-path; empty: ours.

    Raises:
        MailFromNotVerified: it is not verified, and the identity wants no other.
    """
    if not identity.mail_from_domain or identity.mail_from_status == SUCCESS:
        return identity.mail_from_domain
    if identity.mail_from_on_failure == REJECT:
        raise MailFromNotVerified(f"Mail FROM domain is not verified: {identity.mail_from_domain}")
    return ""
