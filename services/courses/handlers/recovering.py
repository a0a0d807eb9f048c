"""After a backup was restored: runs, files and places become again what was told of them."""

from collections.abc import Sequence
from dataclasses import replace

from services.courses.domain import participant as files
from services.courses.domain.enrolment import Enrolment, enrolment_as_told
from services.courses.domain.entitlement import best, priority_of
from services.courses.domain.participant import FileState, Participant
from services.courses.domain.run import Offer, run_as_told
from services.courses.handlers import participants
from services.courses.handlers.seats import today_of
from services.courses.store import Store
from shared.contract.courses import (
    EnrolmentChanged,
    ParticipantContactRecorded,
    ParticipantErased,
    RunMessage,
    RunPicture,
)
from shared.contract.envelope import Message
from shared.kit.errors import NotFound
from shared.kit.work import Work


async def take_back(messages: Sequence[Message], work: Work[Store]) -> None:
    """Bring our runs, files and enrolments to the newest told state; what was never told is what the backup holds."""
    for message in messages:
        if isinstance(message, RunMessage):
            await _take_run_back(message.picture, message.institution, message.version, work)
        elif isinstance(message, ParticipantContactRecorded):
            await _take_contact_back(message, work)
        elif isinstance(message, ParticipantErased):
            await _erase_again(message, work)
    # Behind the files: none of them is begun without its name where the name was told, too.
    enrolments = [message for message in messages if isinstance(message, EnrolmentChanged)]
    for enrolment in enrolments:
        await _take_enrolment_back(enrolment, work)
    for run_id in sorted({each.run.run_id for each in enrolments}):
        run = await work.store.locked_run(run_id)
        taken, held, waiting = await work.store.people_in(run_id)
        await work.store.keep_counts(replace(run, taken=taken, held=held, waiting=waiting))


async def _take_run_back(told: RunPicture, institution: str, version: int, work: Work[Store]) -> None:
    if await work.store.has_run(told.run_id):
        run = await work.store.locked_run(told.run_id)
        if run.version < version:
            await work.store.keep_run(run_as_told(told, institution, version, run))
        return
    try:
        await work.store.offer(told.offer_id, institution)
    except NotFound:
        offer = Offer(told.offer_id, institution, told.title, told.kind, told.from_level, told.to_level, told.ue)
        await work.store.add_offer(replace(offer, description=told.description))
    await work.store.add_run(run_as_told(told, institution, version, None))


async def _take_contact_back(told: ParticipantContactRecorded, work: Work[Store]) -> None:
    kept = await _file(told.participant_id, told.institution, work)
    if kept.version >= told.version or kept.state is FileState.ERASED:
        return
    await work.store.keep_participant(files.contact_as_told(told, kept), today_of(work))


async def _erase_again(told: ParticipantErased, work: Work[Store]) -> None:
    """Erase whom the backup has brought back; their enrolments come back as they ended."""
    kept = await _file(told.participant_id, told.institution, work)
    if kept.state is FileState.ERASED:
        return
    erased = replace(files.erase(kept), version=max(told.version, kept.version))
    await participants.forget(erased, told, work)


async def _file(participant_id: str, institution: str, work: Work[Store]) -> Participant:
    """Give a participant file; one that the backup does not know begins without a name."""
    try:
        return await work.store.locked_participant(participant_id)
    except NotFound:
        blank = Participant(participant_id, institution, files.NO_LANGUAGE)
        await work.store.add_participant(blank, today_of(work))
        return blank


async def _take_enrolment_back(told: EnrolmentChanged, work: Work[Store]) -> None:
    # Whoever is told of was there: a seat of a person whose file is lost is not given to somebody else.
    file = await _file(told.participant_id, told.institution, work)
    if not await work.store.has_run(told.run.run_id):
        await _take_run_back(told.run, told.institution, told.run_version, work)
    await work.store.locked_run(told.run.run_id)
    known = (await work.store.enrolments_in(told.run.run_id, [file.id])).get(file.id)
    if known is None:
        entitlement = best(await work.store.entitlements_of(file.id), today_of(work))
        place = (told.run.run_id, file.id, priority_of(entitlement))
        known = Enrolment(told.enrolment_id, told.institution, *place, work.now)
    if known.version < told.version:
        await work.store.keep_enrolments(enrolment_as_told(told, known))
