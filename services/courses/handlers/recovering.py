"""After a backup was restored: runs, files and places become again what was told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.courses.domain import participant as files
from services.courses.domain.enrolment import SEATED, Enrolment, enrolment_as_told
from services.courses.domain.entitlement import best, priority_of
from services.courses.domain.participant import FileState, Participant
from services.courses.domain.periods import level_valid_months
from services.courses.domain.run import Offer, run_as_told
from services.courses.handlers import erasing, participants
from services.courses.handlers.following import follow
from services.courses.handlers.seats import today_of, use_entitlement
from services.courses.handlers.telling import tell_run
from services.courses.store import Store
from shared.contract.courses import (
    EnrolmentChanged,
    ParticipantContactRecorded,
    ParticipantErased,
    RunChanged,
    RunMessage,
    RunPicture,
)
from shared.contract.envelope import Message
from shared.kit import inbox
from shared.kit.errors import NotFound
from shared.kit.work import Work


async def take_back(messages: Sequence[Message], work: Work[Store]) -> None:
    """Bring our runs, files and enrolments to the newest told state; what was never told is what the backup holds."""
    enrolments = [message for message in messages if isinstance(message, EnrolmentChanged)]
    referred = {each.participant_id for each in enrolments if each.referred is not None}
    for message in messages:
        if isinstance(message, RunMessage):
            await _take_run_back(message.picture, message.institution, message.version, work)
        elif isinstance(message, ParticipantContactRecorded):
            await _take_contact_back(message, referred, work)
        elif isinstance(message, ParticipantErased):
            await _erase_again(message, work)
    # Behind the files: none of them is begun without its name where the name was told, too.
    for number, enrolment in enumerate(enrolments):
        await _take_enrolment_back(enrolment, work.now + timedelta(microseconds=number), work)
    for run_id in sorted({each.run.run_id for each in enrolments}):
        run = await work.store.locked_run(run_id)
        taken, held, waiting = await work.store.people_in(run_id)
        await work.store.keep_counts(replace(run, taken=taken, held=held, waiting=waiting))


async def tell_again(institution: str, told: Mapping[str, int], work: Work[Store]) -> None:
    """Tell the runs that are kept in a newer version than everybody was told of."""
    kept = await work.store.versions_told_to_people(institution)
    for run_id in sorted(run_id for run_id, version in kept.items() if told.get(run_id, 0) < version):
        run = await work.store.locked_run(run_id)
        await work.store.keep_counts(tell_run(RunChanged, run, work))


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
    version = max(version, await inbox.is_managed_here(institution, told.run_id, work))
    await work.store.add_run(run_as_told(told, institution, version, None))


async def _take_contact_back(told: ParticipantContactRecorded, referred: set[str], work: Work[Store]) -> None:
    kept = await _known(told.participant_id, work)
    if kept is None:
        # A referral brings its person once more, for its box is read again; a file of before would count as our own.
        if told.participant_id in referred:
            return
        kept = await _begun(told.participant_id, told.institution, work)
    if kept.version >= told.version or kept.state is FileState.ERASED:
        return
    today = today_of(work)
    await work.store.keep_participant(files.contact_as_told(told, kept, level_valid_months(today), today), today)


async def _erase_again(told: ParticipantErased, work: Work[Store]) -> None:
    """Erase whom the backup has brought back, here and elsewhere; their enrolments come back as they ended."""
    kept = await _known(told.participant_id, work) or await _begun(told.participant_id, told.institution, work)
    if kept.state is FileState.ERASED:
        return
    await erasing.ask_others(kept.id, kept.institution, work)
    erased = replace(files.erase(kept), version=max(told.version, kept.version))
    await participants.forget(erased, told, work)


async def _known(participant_id: str, work: Work[Store]) -> Participant | None:
    try:
        return await work.store.locked_participant(participant_id)
    except NotFound:
        return None


async def _begun(participant_id: str, institution: str, work: Work[Store]) -> Participant:
    """Begin a file that the backup does not know, without a name."""
    blank = Participant(participant_id, institution, files.NO_LANGUAGE)
    await work.store.add_participant(blank, today_of(work))
    return blank


async def _take_enrolment_back(told: EnrolmentChanged, asked: datetime, work: Work[Store]) -> None:
    # The run as it was then: of its own messages, the last ones may be lost.
    await _take_run_back(told.run, told.institution, told.run_version, work)
    file = await _known(told.participant_id, work)
    if file is None:
        if told.referred is not None:
            return
        # Whoever is told of was there: a seat of a person whose file is lost is not given to somebody else.
        file = await _begun(told.participant_id, told.institution, work)
    known = (await work.store.enrolments_in(told.run.run_id, [file.id])).get(file.id)
    if known is None:
        entitlement = best(await work.store.entitlements_of(file.id), today_of(work))
        place = (told.run.run_id, file.id, priority_of(entitlement))
        known = Enrolment(
            told.enrolment_id,
            told.institution,
            *place,
            since=asked,
            entitlement_id=entitlement.id if entitlement else None,
        )
    if known.version < told.version:
        after = enrolment_as_told(told, asked, known)
        await work.store.keep_enrolments(after)
        await follow(after, told.cause, work)
        if after.state in SEATED:
            await use_entitlement(after, work)
