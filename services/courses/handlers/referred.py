"""The receiver's side: a key for one referral, what was sealed for it, a seat held, and nothing left of a no."""

from base64 import b64decode
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from services.courses.domain import referral as rules
from services.courses.domain.participant import Assessed, DayTime, Participant, Skill
from services.courses.domain.referral import Ignored, Referral, ReferralState, Side
from services.courses.domain.refusal import Refused
from services.courses.domain.run import check_askable
from services.courses.handlers import asking, participants, seats
from services.courses.handlers.following import about, end_here, follow, say_ignored
from services.courses.handlers.referring import info_of
from services.courses.store import Queued, Store
from shared.contract.referrals import (
    ReferralAsked,
    ReferralDeclined,
    ReferralMessage,
    ReferralOpened,
    ReferralRecalled,
    ReferralSent,
    ReferredPerson,
)
from shared.contract.words import EnrolmentState, SeatCause
from shared.kit.errors import Conflict, Invalid, NotFound
from shared.kit.work import Work
from shared.network import boxes

_KEY_BYTES = 32


async def open_referral(message: ReferralAsked, work: Work[Store]) -> None:
    """Make a key for somebody who is to be referred, or say at once that nobody is taken."""
    known = await work.store.locked_referral(message.referral_id, message.to)
    if known is not None:
        rules.of_theirs(known, message.referral_id, message.institution, Side.RECEIVED)
        say_ignored(message.type, message.referral_id, Ignored("doubled"))
        return
    referral = _received(message, work)
    code = await _why_not(referral, work)
    if code is not None:
        await work.store.add_referral(replace(referral, state=ReferralState.REFUSED, code=code, ended_at=work.now))
        work.tell(about(ReferralDeclined, referral, code=code))
        return
    await work.store.add_referral(referral)
    private = work.ids.secret(_KEY_BYTES)
    await work.store.keep_key(referral, private)
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    work.tell(about(ReferralOpened, referral, public_key=public.hex()))


def _received(message: ReferralAsked, work: Work[Store]) -> Referral:
    return Referral(
        id=message.referral_id,
        institution=message.to,
        other=message.institution,
        side=Side.RECEIVED,
        run_id=message.run_id,
        fields=message.fields,
        purpose=message.purpose,
        expires_on=message.expires_on,
        state=ReferralState.OPENED,
        asked_at=work.now,
    )


async def _why_not(referral: Referral, work: Work[Store]) -> str | None:
    if rules.is_due(referral, work.now):
        return "consent_expired"
    try:
        check_askable(await work.store.run(referral.run_id, referral.institution), work.now)
    except NotFound:
        return "run_unknown"
    except Refused as refused:
        return refused.code
    return None


async def receive(message: ReferralSent, work: Work[Store]) -> None:
    """Read what was sealed, destroy the key, and hold a seat for the person."""
    found = await work.store.locked_referral(message.referral_id, message.to)
    referral = rules.of_theirs(found, message.referral_id, message.institution, Side.RECEIVED)
    try:
        rules.check_waits_for_content(referral)
    except Ignored as ignored:
        say_ignored(message.type, referral.id, ignored)
        return
    if rules.is_due(referral, work.now):
        await end_here(referral, ReferralState.EXPIRED, work)
        return
    person = await _opened(message, referral, work)
    # From here on what came can be read by nobody, from no copy of any stream or backup of the sender's.
    await work.store.destroy_key(referral)
    if person is None:
        await end_here(referral, ReferralState.REFUSED, work, "unreadable")
        work.tell(about(ReferralDeclined, referral, code="unreadable"))
    elif not await _place(person, replace(referral, sent_at=work.now), work):
        await end_here(replace(referral, sent_at=work.now), ReferralState.NO_SEAT, work)


async def _opened(message: ReferralSent, referral: Referral, work: Work[Store]) -> ReferredPerson | None:
    """Give who was sealed; None for what cannot be opened or is not exactly what the consent names."""
    private = await work.store.key_of(referral)
    info = info_of(referral.id, referral.other, referral.institution)
    try:
        plaintext = boxes.open_(private or b"", info, b64decode(message.sealed, validate=True))
        person = ReferredPerson.model_validate_json(plaintext)
    except ValueError:  # it may quote what was sealed, so nothing of it is told or logged
        return None
    complete = {str(field) for field in referral.fields} == person.model_fields_set
    return person if complete and person.name and person.mail else None


async def _place(person: ReferredPerson, referral: Referral, work: Work[Store]) -> bool:
    """Give the person a seat that is held, or a turn in the queue; False, and nothing kept, where there is none."""
    mark = work.mark()
    try:
        async with work.store.attempt():
            participant_id, known = await _file_of(person, referral, work)
            queued = await asking.ask(referral.run_id, participant_id, referral.institution, work, referral.id)
            await _keep_place(replace(referral, known_before=known), queued, work)
    except (Conflict, NotFound, Invalid, Refused):
        work.take_back(mark)
        return False
    return True


async def _keep_place(referral: Referral, queued: Queued, work: Work[Store]) -> None:
    enrolment = queued.enrolment
    if enrolment.state not in (EnrolmentState.OFFERED, EnrolmentState.WAITING):
        # Whoever sits in the run already needs no seat: the sender is told that they have one.
        there = replace(referral, participant_id=enrolment.participant_id, enrolment_id=enrolment.id)
        there = replace(there, state=ReferralState.SEAT_HELD)
        await work.store.keep_referral(there)
        await work.store.keep_enrolments(replace(enrolment, referral_id=referral.id))
        await follow(replace(enrolment, referral_id=referral.id), SeatCause.ACCEPTED, work)
        return
    if queued.known:
        await work.store.keep_enrolments(replace(enrolment, referral_id=referral.id))
    await work.store.keep_referral(rules.placed(referral, enrolment.state, enrolment.participant_id, enrolment.id))


async def _file_of(person: ReferredPerson, referral: Referral, work: Work[Store]) -> tuple[str, bool]:
    """Give the person's file here, and whether it was there before; what is known here is not changed by others."""
    known = await work.store.file_like(referral.institution, person.name or "", person.mail or "")
    if known is not None:
        return known, True
    blank = Participant(
        id=work.ids.new("participant"), institution=referral.institution, language=person.language or "de"
    )
    values = {name: getattr(person, name) for name in person.model_fields_set if getattr(person, name) is not None}
    if person.skills is not None:
        skills = sorted(person.skills.items())
        values["skills"] = tuple((Skill(name), Assessed(found.level, found.on)) for name, found in skills)
    if person.availability is not None:
        values["availability"] = tuple(DayTime(each) for each in person.availability)
    participant = await participants.add_participant(blank, {**values, "contact_consent": True}, work)
    return participant.id, False


async def hear_recall(message: ReferralRecalled, work: Work[Store]) -> None:
    """Free the seat, tell the person, delete what came; who has accepted stays."""
    found = await work.store.referral_if_any(message.referral_id, message.to)
    known = rules.of_theirs(found, message.referral_id, message.institution, Side.RECEIVED)
    state = ReferralState.EXPIRED if message.code == "consent_ended" else ReferralState.RECALLED
    await _end(known, state, message, work)


async def expire(known: Referral, work: Work[Store]) -> None:
    """End a referral whose consent is over before the person answered."""
    await _end(known, ReferralState.EXPIRED, None, work)


async def _end(known: Referral, state: ReferralState, message: ReferralMessage | None, work: Work[Store]) -> None:
    # The order of locks is that of everybody: the person, the run, then what hangs on both.
    if known.participant_id is not None:
        await work.store.locked_participant(known.participant_id, known.institution)
        await work.store.locked_run(known.run_id, known.institution)
    referral = await work.store.locked_referral(known.id, known.institution)
    try:
        ended = await end_here(referral or known, state, work)
    except Ignored as ignored:
        say_ignored(message.type if message else "consent_ended", known.id, ignored)
        return
    if ended.enrolment_id is not None:
        await seats.leave(ended.enrolment_id, ended.institution, "withdraw", work)
    if ended.forget:
        await forget(ended.id, ended.institution, work)


async def forget(referral_id: str, institution: str, work: Work[Store]) -> None:
    """Delete what came with a referral that led to nothing; who is the receiver's own participant stays."""
    known = await work.store.referral(referral_id, institution)
    if known.participant_id is not None and not await is_their_own(known, work):
        farewell = rules.farewell_needed(known)
        await participants.erase_participant(known.participant_id, institution, work, farewell=farewell)
    referral = await work.store.locked_referral(referral_id, institution)
    await work.store.keep_referral(replace(referral or known, forget=False))


async def is_their_own(referral: Referral, work: Work[Store]) -> bool:
    """Tell whether the person is the receiver's participant beyond this referral."""
    if referral.known_before or referral.participant_id is None:
        return True
    enrolments = await work.store.open_enrolments_of(referral.participant_id)
    if any(each.id != referral.enrolment_id for each in enrolments):
        return True
    others = [each for each in await work.store.referrals_of(referral.participant_id) if each.id != referral.id]
    if any(each.state in rules.OPEN or each.state is ReferralState.ACCEPTED for each in others):
        return True
    return bool(await work.store.entitlements_of(referral.participant_id))
