"""Participant files and entitlements: recorded, changed, checked by the calendar, erased."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.courses.domain import entitlement as entitlements
from services.courses.domain import participant as files
from services.courses.domain.entitlement import Entitlement
from services.courses.domain.participant import FileState, Participant
from services.courses.domain.periods import level_valid_months
from services.courses.handlers import seats
from services.courses.handlers.refusing import refusing
from services.courses.handlers.seats import today_of
from services.courses.store import Store
from shared.contract.courses import ParticipantContactRecorded, ParticipantErased
from shared.kit import idempotency
from shared.kit.errors import Conflict
from shared.kit.work import Work


async def add_participant(blank: Participant, values: Mapping[str, Any], work: Work[Store]) -> Participant:
    """Begin a participant file."""
    today = today_of(work)
    with refusing():
        participant = files.change(blank, values, level_valid_months(today), today)
    participant = _told_contact(None, participant, work)
    await work.store.add_participant(participant, today)
    return participant


async def change_participant(
    participant_id: str, institution: str, values: Mapping[str, Any], closed: bool | None, work: Work[Store]
) -> Participant:
    """Change a participant file; `closed` closes it or opens it again."""
    before = await work.store.locked_participant(participant_id, institution)
    today = today_of(work)
    months = level_valid_months(today)
    with refusing():
        after = files.change(before, values, months, today)
        if closed is not None:
            after = files.close(after) if closed else files.reopen(after, months, today)
    if after == before:
        return before
    after = _told_contact(before, after, work)
    await work.store.keep_participant(after, today)
    return after


def _told_contact(before: Participant | None, after: Participant, work: Work[Store]) -> Participant:
    after = replace(after, version=after.version + 1)
    if after.name is not None and files.contact_changed(before, after):
        work.tell(
            ParticipantContactRecorded(
                institution=after.institution,
                version=after.version,
                participant_id=after.id,
                name=after.name,
                mail=after.mail,
                language=after.language,
            )
        )
    return after


async def erase_participant(
    participant_id: str, institution: str, work: Work[Store], *, farewell: bool = False
) -> None:
    """Delete what is personal and leave every open enrolment; the counts stay. Erasing twice does nothing more.

    With `farewell` mails that are planned already may still leave before the contact is forgotten.
    """
    participant = await work.store.locked_participant(participant_id, institution)
    if participant.state is FileState.ERASED:
        return
    for enrolment in await work.store.open_enrolments_of(participant_id):
        await seats.leave(enrolment.id, institution, "withdraw", work)
    erased = replace(files.erase(participant), version=participant.version + 1)
    told = ParticipantErased(
        institution=institution, version=erased.version, participant_id=participant_id, farewell=farewell
    )
    await forget(erased, told, work)
    work.tell(told)


async def forget(erased: Participant, told: ParticipantErased, work: Work[Store]) -> None:
    """Keep an erased file, and take its person out of all else that this service holds."""
    await _revoke_all(erased.id, work)
    await work.store.keep_participant(erased, today_of(work))
    await idempotency.forget(work.connection, erased.id)
    # The log and the stream hold the contact, too, until they are trimmed.
    await work.blank(told)


async def _revoke_all(participant_id: str, work: Work[Store]) -> None:
    for each in await work.store.entitlements_of(participant_id):
        if each.state in (entitlements.EntitlementState.RECORDED, entitlements.EntitlementState.VALID):
            await work.store.keep_entitlement(entitlements.revoke(each))


async def add_entitlement(entitlement: Entitlement, work: Work[Store]) -> Entitlement:
    """Record that somebody may or must take a course."""
    participant = await work.store.locked_participant(entitlement.participant_id, entitlement.institution)
    if participant.state is FileState.ERASED:
        raise Conflict("the participant is erased", code="participant_erased")
    with refusing():
        entitlement = entitlements.dated(entitlement, today_of(work))
    await work.store.add_entitlement(entitlement)
    return entitlement


async def revoke_entitlement(entitlement_id: str, institution: str, work: Work[Store]) -> Entitlement:
    """Take an entitlement back."""
    with refusing():
        revoked = entitlements.revoke(await work.store.locked_entitlement(entitlement_id, institution))
    await work.store.keep_entitlement(revoked)
    return revoked


async def outdate_levels(participant_id: str, work: Work[Store]) -> None:
    """Mark a file whose levels have become too old."""
    today = today_of(work)
    before = await work.store.locked_participant(participant_id)
    after = files.assessed(before, level_valid_months(today), today)
    if after != before:
        await work.store.keep_participant(replace(after, version=after.version + 1), today)


async def date_entitlement(entitlement_id: str, work: Work[Store]) -> None:
    """Have an entitlement begin or end by the calendar."""
    entitlement = await work.store.locked_entitlement(entitlement_id)
    await work.store.keep_entitlement(entitlements.dated(entitlement, today_of(work)))
