"""Writes the letter of a delivery: its facts, the reader's contact, the institution's name, and signed links."""

from typing import Protocol

from services.notifications.domain.checking import Contact
from services.notifications.domain.delivery import Delivery
from services.notifications.domain.letter import Letter, Referral
from services.notifications.domain.rendering import render
from services.notifications.store import Store
from shared.kit.work import Work
from shared.pages.links import Links, Purpose

_PAGES_OF = {"run": "courses", "meeting": "events"}


class Sender(Protocol):
    """Who mails come from."""

    @property
    def mail_from(self) -> str:
        """Give the address that mails come from."""
        ...


async def written(delivery: Delivery, contact: Contact, sender: Sender, work: Work[Store]) -> bytes:
    """Give the bytes of a delivery's letter; raises ValueError, without personal data, if it may not leave."""
    shown = await work.store.picture(delivery.institution, delivery.picture)
    name = await work.store.institution_name(delivery.institution)
    letter = Letter(
        kind=delivery.kind,
        delivery_id=delivery.id,
        name=contact.name,
        address=contact.mail or "",
        language=contact.language,
        occasion=shown.occasion(name, delivery.occasion_version),
        place_in_queue=delivery.facts.place_in_queue,
        offered_until=delivery.facts.offered_until,
        reason=delivery.facts.reason,
        links=_links(delivery, contact, _PAGES_OF[shown.sort], work),
        sender_name=f"{name} über ALBuM",
        sender_address=sender.mail_from,
        written_at=work.now,
        seated=delivery.facts.seated,
        referral=await _referral(delivery, work),
    )
    return render(letter).mime


async def _referral(delivery: Delivery, work: Work[Store]) -> Referral | None:
    by = delivery.facts.referred_by
    return None if by is None else Referral(await work.store.institution_name(by), delivery.facts.referred_with)


def _links(delivery: Delivery, contact: Contact, pages_of: str, work: Work[Store]) -> dict[str, str]:
    links = Links(work.settings.secret.get_secret_value(), work.settings.link_url(pages_of))
    urls: dict[str, str] = {}
    for word, until in delivery.facts.links:
        purpose: Purpose = word  # type: ignore[assignment] # planned from the same words, kept as text
        urls[word] = links.url(purpose, delivery.subject_id, contact.language, until)
    return urls
