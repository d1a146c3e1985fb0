"""Suppressing: recipients whom the sender does not want to mail.  Their deliveries end where they begin.

The message is taken and counted, and told as sent; then, in the same transaction, as bounced or complained of
(SES: sending §7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mailstead.base.ids import message_id as new_id
from mailstead.outbound.notices import Failure
from mailstead.proto.addresses import Mailbox
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import events, suppression
from mailstead.ses.events import Failed

REPLY = Reply(550, suppression.DIAGNOSTIC, "5.1.1")
"""What a delivery that was kept back is said to have heard."""


def kept_back(suppressed: Mapping[str, str], recipients: Sequence[Mailbox], reason: str = "") -> list[Mailbox]:
    """Those of the recipients who are not to be mailed; for this reason, where one is given."""
    if not suppressed:
        return []
    found = [(mailbox, suppressed.get(suppression.normalise(mailbox.address))) for mailbox in recipients]
    return [mailbox for mailbox, why in found if why is not None and reason in ("", why)]


def facts(
    suppressed: Mapping[str, str], recipients: Sequence[Mailbox], *, region: str, provider: str, now: int
) -> list[tuple[str, events.Detail]]:
    """What is told of those who are kept back: one Bounce, one Complaint, where there is somebody in it.

    Recipients are named as the sender named them (SES: sending §7).
    """
    told: list[tuple[str, events.Detail]] = []
    if bounced := kept_back(suppressed, recipients, suppression.BOUNCE):
        detail = events.bounce(
            feedback_id=new_id(region, now),
            bounce_type="Permanent",
            sub_type=suppression.ON_ACCOUNT_LIST,
            recipients=[Failed(one.text, "failed", "5.1.1", suppression.DIAGNOSTIC) for one in bounced],
            at=now,
            reporting_mta=f"dns; {provider}",
        )
        told.append((events.BOUNCE, detail))
    if complained := kept_back(suppressed, recipients, suppression.COMPLAINT):
        detail = events.complaint(
            feedback_id=new_id(region, now),
            recipients=[one.text for one in complained],
            at=now,
            sub_type=suppression.ON_ACCOUNT_LIST,
        )
        told.append((events.COMPLAINT, detail))
    return told


def failures(suppressed: Mapping[str, str], recipients: Sequence[Mailbox]) -> list[Failure]:
    """Those the sender gets a notice of: a complaint is nobody's failure."""
    return [Failure(one.address, REPLY) for one in kept_back(suppressed, recipients, suppression.BOUNCE)]
