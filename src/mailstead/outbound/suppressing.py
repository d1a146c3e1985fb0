"""Suppressing: recipients whom the sender does not want to mail.  Their deliveries end where they begin.

The message is taken and counted, and told as sent; then, in the same transaction, as bounced or complained of
(SES: sending §7).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailstead.base.ids import message_id as new_id
from mailstead.outbound.admission import Grant
from mailstead.outbound.notices import Failure
from mailstead.proto.addresses import Mailbox
from mailstead.proto.smtp.reply import Reply
from mailstead.ses import events, list_management, suppression
from mailstead.ses.events import Failed
from mailstead.ses.suppression import Rule


@dataclass(frozen=True, slots=True)
class Word:
    """What is said of those who are kept back by a list."""

    sub_type: str
    diagnostic: str

    @property
    def reply(self) -> Reply:
        """What a delivery that was kept back is said to have heard."""
        return Reply(550, self.diagnostic, "5.1.1")


ACCOUNT = Word(suppression.ON_ACCOUNT_LIST, suppression.DIAGNOSTIC)
TENANT = Word(suppression.ON_TENANT_LIST, suppression.TENANT_DIAGNOSTIC)
UNSUBSCRIBED = Word(list_management.UNSUBSCRIBED, list_management.DIAGNOSTIC)


def word_of(rule: Rule) -> Word:
    """What is said by the list that counts."""
    return TENANT if rule.tenant else ACCOUNT


Held = tuple[Mapping[str, str], Word]
"""Bare addresses that are not to be mailed, each with the reason, and what is said of them."""


def held(grant: Grant) -> tuple[Held, ...]:
    """Everybody who is not to be mailed: by a suppression list, then those who do not want mail of a contact list."""
    listing = grant.listing
    if listing is None or not listing.unsubscribed:
        return ((grant.suppressed, word_of(grant.rule)),)
    others = dict.fromkeys(listing.unsubscribed - set(grant.suppressed), suppression.BOUNCE)
    return ((grant.suppressed, word_of(grant.rule)), (others, UNSUBSCRIBED))


def kept_back(suppressed: Mapping[str, str], recipients: Sequence[Mailbox], reason: str = "") -> list[Mailbox]:
    """Those of the recipients who are not to be mailed; for this reason, where one is given."""
    if not suppressed:
        return []
    found = [(mailbox, suppressed.get(suppression.normalise(mailbox.address))) for mailbox in recipients]
    return [mailbox for mailbox, why in found if why is not None and reason in ("", why)]


def facts(
    held: Sequence[Held], recipients: Sequence[Mailbox], *, region: str, provider: str, now: int
) -> list[tuple[str, events.Detail]]:
    """What is told of those who are kept back: for each list one Bounce, one Complaint, with somebody in it.

    Recipients are named as the sender named them (SES: sending §7).
    """
    told: list[tuple[str, events.Detail]] = []
    for suppressed, word in held:
        if bounced := kept_back(suppressed, recipients, suppression.BOUNCE):
            detail = events.bounce(
                feedback_id=new_id(region, now),
                bounce_type="Permanent",
                sub_type=word.sub_type,
                recipients=[Failed(one.text, "failed", "5.1.1", word.diagnostic) for one in bounced],
                at=now,
                reporting_mta=f"dns; {provider}",
            )
            told.append((events.BOUNCE, detail))
        if complained := kept_back(suppressed, recipients, suppression.COMPLAINT):
            detail = events.complaint(
                feedback_id=new_id(region, now),
                recipients=[one.text for one in complained],
                at=now,
                sub_type=word.sub_type,
            )
            told.append((events.COMPLAINT, detail))
    return told


def replies(held: Sequence[Held], recipients: Sequence[Mailbox]) -> dict[str, str]:
    """What the delivery of each address that is kept back is said to have heard."""
    return {one.address: str(word.reply) for suppressed, word in held for one in kept_back(suppressed, recipients)}


def failures(held: Sequence[Held], recipients: Sequence[Mailbox]) -> list[Failure]:
    """Those the sender gets a notice of: a complaint is nobody's failure."""
    return [
        Failure(one.address, word.reply)
        for suppressed, word in held
        for one in kept_back(suppressed, recipients, suppression.BOUNCE)
    ]
