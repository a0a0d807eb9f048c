"""What a person agreed to before anything of theirs goes to another institution."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from services.courses.domain.refusal import Misfit, Refused
from shared.contract.referrals import ReferralField
from shared.contract.zone import BERLIN

# Without a name and a mail address nobody can be asked whether they want the seat.
NEEDED = (ReferralField.NAME, ReferralField.MAIL)


@dataclass(frozen=True)
class Consent:
    """Who may tell whom what, for which purpose and until which day; `text` in its `version` is what was read."""

    sender: str
    receiver: str
    fields: tuple[ReferralField, ...]
    purpose: str
    given_on: date
    expires_on: date
    text: str
    version: str


def check(consent: Consent, sender: str, receiver: str, today: date) -> None:
    """Raise Misfit where the consent is for others or lacks what is needed, Refused where it is not in force."""
    if (consent.sender, consent.receiver) != (sender, receiver):
        raise Misfit("consent_for_others", f"the consent is not for telling '{receiver}' what '{sender}' knows")
    lacking = [field for field in NEEDED if field not in consent.fields]
    if lacking:
        raise Misfit("consent_lacks_fields", f"nobody can be asked without: {', '.join(lacking)}")
    if consent.given_on > today:
        raise Misfit("consent_not_given_yet", "the consent is dated in the future")
    if consent.expires_on < today:
        raise Refused("consent_expired", "the consent has expired")


def ends_at(expires_on: date) -> datetime:
    """Give the moment from which on the consent is no more: the end of its last day in Hannover."""
    return datetime.combine(expires_on + timedelta(days=1), time(), BERLIN)
