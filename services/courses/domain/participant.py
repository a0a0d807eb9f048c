"""The participant file without its delicate part: what is known of a person who learns, and how fresh it is."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from enum import StrEnum
from typing import Any

from services.courses.domain.periods import months_later
from services.courses.domain.refusal import Misfit, Refused
from shared.contract.courses import ParticipantContactRecorded
from shared.contract.words import Level

# ISO 639-2: undetermined.
NO_LANGUAGE = "und"


class FileState(StrEnum):
    """The life of a participant file."""

    INTAKE_DRAFT = "intake_draft"
    COMPLETE = "complete"
    CURRENT = "current"
    STALE = "stale"
    CLOSED = "closed"
    ERASED = "erased"


class DayTime(StrEnum):
    """When a participant has time."""

    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"


class Skill(StrEnum):
    """The four skills that are assessed one by one."""

    LISTENING = "listening"
    READING = "reading"
    SPEAKING = "speaking"
    WRITING = "writing"


@dataclass(frozen=True)
class Assessed:
    """A level in one skill and the day on which it was found."""

    level: Level
    on: date


@dataclass(frozen=True)
class Participant:
    """A person who learns; phone and mail are kept only with consent (DeuFöV § 6)."""

    id: str
    institution: str
    language: str
    state: FileState = FileState.INTAKE_DRAFT
    name: str | None = None
    contact_consent: bool = False
    mail: str | None = None
    phone: str | None = None
    skills: tuple[tuple[Skill, Assessed], ...] = ()
    schooling: str | None = None
    profession: str | None = None
    goal: str | None = None
    availability: tuple[DayTime, ...] = ()
    childcare: bool = False
    mobility: str | None = None
    languages: tuple[str, ...] = ()
    version: int = 0


_STAYS = frozenset({"id", "institution", "state", "version"})


def change(participant: Participant, values: Mapping[str, Any], months: int, today: date) -> Participant:
    """Give the file with other values; raises Misfit without consent for a contact, Refused once it is erased."""
    if participant.state is FileState.ERASED:
        raise Refused("participant_erased", "the participant is erased")
    changed = replace(participant, **values)
    if not changed.contact_consent:
        if values.get("mail") or values.get("phone"):
            raise Misfit("consent_missing", "phone and mail are kept only with consent (contact_consent)")
        changed = replace(changed, mail=None, phone=None)
    return assessed(changed, months, today)


def assessed(participant: Participant, months: int, today: date) -> Participant:
    """Give the file in the state that its content has today; closed and erased ones stay."""
    if participant.state in (FileState.CLOSED, FileState.ERASED):
        return participant
    return replace(participant, state=_state(participant, months, today))


def _state(participant: Participant, months: int, today: date) -> FileState:
    if not (participant.name and participant.goal and participant.availability):
        return FileState.INTAKE_DRAFT
    until = levels_until(participant, months)
    if until is None:
        return FileState.COMPLETE
    return FileState.CURRENT if today < until else FileState.STALE


def levels_until(participant: Participant, months: int) -> date | None:
    """Give the day on which the oldest of the four skills is too old; None where one is not assessed."""
    if {skill for skill, _ in participant.skills} != set(Skill):
        return None
    return months_later(min(found.on for _, found in participant.skills), months)


def close(participant: Participant) -> Participant:
    """Close a file; nobody works with it any more."""
    if participant.state is FileState.ERASED:
        raise Refused("participant_erased", "the participant is erased")
    return replace(participant, state=FileState.CLOSED)


def reopen(participant: Participant, months: int, today: date) -> Participant:
    """Work with a closed file again."""
    return assessed(replace(participant, state=FileState.INTAKE_DRAFT), months, today)


def erase(participant: Participant) -> Participant:
    """Delete every personal field; the id stays, so that the counts stay."""
    values = {each.name: each.default for each in fields(Participant) if each.name not in (*_STAYS, "language")}
    return replace(participant, **values, state=FileState.ERASED, language=NO_LANGUAGE)  # type: ignore[arg-type]  # defaults of the same fields


def contact_as_told(told: ParticipantContactRecorded, kept: Participant, months: int, today: date) -> Participant:
    """Give the file with the contact that was told; a mail goes with its consent, and the phone with it."""
    consent = told.mail is not None or (kept.contact_consent and kept.mail is None)
    contact = replace(
        kept,
        name=told.name,
        mail=told.mail,
        phone=kept.phone if consent else None,
        language=told.language,
        contact_consent=consent,
        version=told.version,
    )
    return assessed(contact, months, today)


def contact_changed(before: Participant | None, after: Participant) -> bool:
    """Tell whether name, mail or language are others than before."""
    if before is None:
        return after.name is not None
    return (before.name, before.mail, before.language) != (after.name, after.mail, after.language)
