"""What two institutions tell each other about one person: sealed to the addressee, and without a name on the way.

Personal data travels once, in `ReferralSent`, sealed for a key that the receiver made for this referral alone.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from shared.contract.envelope import SealedMessage
from shared.contract.words import Day, Frozen, Id, Language, Level, Line, Moment, Personal

SkillName = Literal["listening", "reading", "speaking", "writing"]
DayPart = Literal["morning", "afternoon", "evening"]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{1,39}$")]
Sealed = Annotated[str, StringConstraints(min_length=64, max_length=48_000, pattern=r"^[A-Za-z0-9+/]+={0,2}$")]
Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ReferralField(StrEnum):
    """A part of the participant file that a consent may name."""

    NAME = "name"
    MAIL = "mail"
    PHONE = "phone"
    LANGUAGE = "language"
    SKILLS = "skills"
    SCHOOLING = "schooling"
    PROFESSION = "profession"
    GOAL = "goal"
    AVAILABILITY = "availability"
    CHILDCARE = "childcare"
    MOBILITY = "mobility"
    LANGUAGES = "languages"


class ReferralOutcome(StrEnum):
    """What became of a referral at the institution that received it."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    NO_SEAT = "no_seat"
    WITHDRAWN = "withdrawn"


class Erased(StrEnum):
    """What is gone after an erasure; `file_kept` says that the person is the institution's own participant."""

    KEY = "key"
    SEAT = "seat"
    FILE = "file"
    MESSAGES = "messages"
    LINK = "link"
    FILE_KEPT = "file_kept"


class SkillFound(Frozen):
    """A level in one skill and the day on which it was found."""

    level: Level
    on: Day


class ReferredPerson(Frozen):
    """What is sealed: the consented fields and no others; it never travels in any other form."""

    name: Personal[Line] | None = None
    mail: Personal[Line] | None = None
    phone: Personal[Line] | None = None
    language: Personal[Language] | None = None
    skills: Personal[dict[SkillName, SkillFound]] | None = None
    schooling: Personal[Line] | None = None
    profession: Personal[Line] | None = None
    goal: Personal[Line] | None = None
    availability: Personal[tuple[DayPart, ...]] | None = None
    childcare: Personal[bool] | None = None
    mobility: Personal[Line] | None = None
    languages: Personal[tuple[Language, ...]] | None = None


class ReferralMessage(SealedMessage):
    """What every message about a referral carries: which one; the id is made by who refers."""

    key_field: ClassVar[str] = "referral_id"
    referral_id: Id


class ReferralAsked(ReferralMessage):
    """An institution would refer somebody to a run; the consent names the fields, none of which is told yet."""

    type: Literal["courses.referral.asked.v1"] = "courses.referral.asked.v1"
    run_id: Id
    fields: Annotated[tuple[ReferralField, ...], Field(min_length=1)]
    purpose: Line
    expires_on: Day


class ReferralOpened(ReferralMessage):
    """The receiver would take the person: a key for this referral alone, X25519, in hexadecimal."""

    type: Literal["courses.referral.opened.v1"] = "courses.referral.opened.v1"
    public_key: Key


class ReferralDeclined(ReferralMessage):
    """The receiver takes nobody, or could not read what came; nothing is kept."""

    type: Literal["courses.referral.declined.v1"] = "courses.referral.declined.v1"
    code: Code


class ReferralSent(ReferralMessage):
    """The consented fields (JSON of a ReferredPerson), sealed for the referral's key, in Base64."""

    type: Literal["courses.referral.sent.v1"] = "courses.referral.sent.v1"
    sealed: Personal[Sealed]


class ReferralAnswered(ReferralMessage):
    """What became of the referral; all that the sender ever learns."""

    type: Literal["courses.referral.answered.v1"] = "courses.referral.answered.v1"
    outcome: ReferralOutcome


class ReferralRecalled(ReferralMessage):
    """The sender takes the referral back: free the seat, delete what came, tell the person."""

    type: Literal["courses.referral.recalled.v1"] = "courses.referral.recalled.v1"
    code: Code


class ReferralBlanked(ReferralMessage):
    """Stands where an earlier message of the referral stood whose content is gone."""

    blanks: ClassVar[bool] = True
    type: Literal["courses.referral.blanked.v1"] = "courses.referral.blanked.v1"


class ErasureAsked(ReferralMessage):
    """The person wants to be erased: whoever has something through this referral deletes it and signs that."""

    type: Literal["courses.erasure.asked.v1"] = "courses.erasure.asked.v1"


# Ed25519 over packed("album/1 erasure", referral_id, institution, to, what joined by commas, at); `at` is ISO 8601 in
# UTC to the second, with `Z`. Signed by the institution's key `kid` in the roster, or by one that only a node on which
# both are hosted can make.
class ErasureReceipt(ReferralMessage):
    """What was deleted and when, signed: by the key `kid` of the roster, or by the node of both."""

    type: Literal["courses.erasure.receipt.v1"] = "courses.erasure.receipt.v1"
    what: tuple[Erased, ...]
    at: Moment
    signed_by: Literal["institution", "node"]
    kid: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
