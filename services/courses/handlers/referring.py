"""The sender's side: somebody is referred to a run of another institution, with consent, and only the fact stays."""

from base64 import b64encode
from dataclasses import dataclass

from services.courses.domain import consent as consents
from services.courses.domain import referral as rules
from services.courses.domain.consent import Consent
from services.courses.domain.participant import FileState, Participant
from services.courses.domain.referral import Ignored, Referral, ReferralState, Side
from services.courses.domain.refusal import Misfit
from services.courses.domain.run import ASKABLE
from services.courses.handlers.following import about, say_ignored
from services.courses.handlers.refusing import refusing
from services.courses.handlers.seats import today_of
from services.courses.store import Seen, Store
from shared.contract.courses import RunPicture
from shared.contract.referrals import (
    ReferralAnswered,
    ReferralAsked,
    ReferralBlanked,
    ReferralDeclined,
    ReferralField,
    ReferralMessage,
    ReferralOpened,
    ReferralRecalled,
    ReferralSent,
    ReferredPerson,
)
from shared.contract.words import InstitutionState
from shared.kit.errors import Conflict, NotFound
from shared.kit.work import Work
from shared.network import boxes
from shared.network.packed import packed


@dataclass(frozen=True)
class Asking:
    """What staff asks for: whom to refer, to which run of whom, with which consent."""

    institution: str
    participant_id: str
    to: str
    run_id: str
    consent: Consent


def info_of(referral_id: str, sender: str, receiver: str) -> bytes:
    """Give what a sealed referral is bound to: moved to another one it cannot be opened."""
    return packed("album/1 referral", referral_id, sender, receiver)


async def ask(asking: Asking, work: Work[Store]) -> Referral:
    """Ask another institution to take somebody; nothing of the person is told yet."""
    participant = await work.store.locked_participant(asking.participant_id, asking.institution)
    _check_file(participant)
    with refusing():
        consents.check(asking.consent, asking.institution, asking.to, today_of(work))
    await _check_receiver(asking, work)
    await _check_run(asking, work)
    for known in await work.store.referrals_of(asking.participant_id):
        if (known.run_id, known.side) == (asking.run_id, Side.SENT) and known.state in rules.OPEN:
            raise Conflict(f"the referral '{known.id}' to this run is open", code="referral_open")
    referral = _drafted(asking, work)
    await work.store.add_referral(referral)
    told = {name: getattr(referral, name) for name in ("run_id", "fields", "purpose", "expires_on")}
    work.tell(about(ReferralAsked, referral, **told))
    return referral


def _drafted(asking: Asking, work: Work[Store]) -> Referral:
    return Referral(
        id=work.ids.new("referral"),
        institution=asking.institution,
        other=asking.to,
        side=Side.SENT,
        run_id=asking.run_id,
        fields=asking.consent.fields,
        purpose=asking.consent.purpose,
        expires_on=asking.consent.expires_on,
        state=ReferralState.ASKED,
        asked_at=work.now,
        participant_id=asking.participant_id,
        consent=asking.consent,
    )


def _check_file(participant: Participant) -> None:
    if participant.state in (FileState.CLOSED, FileState.ERASED):
        state = participant.state
        raise Conflict(f"the participant file is {state}; nobody is referred with it", code=f"participant_{state}")
    if not (participant.name and participant.mail):
        raise Conflict("without a name and a mail address nobody can be asked", code="participant_lacks_mail")


async def _check_receiver(asking: Asking, work: Work[Store]) -> None:
    if asking.to == asking.institution:
        with refusing():
            raise Misfit("referral_to_oneself", "for a run of one's own, ask for a seat")
    state = await work.store.state_of_institution(asking.to)
    if state is None:
        raise NotFound(f"nobody heard of an institution '{asking.to}'", code="institution_unknown")
    if state is not InstitutionState.ACTIVE:
        raise Conflict(f"'{asking.to}' is {state}", code="institution_not_active")


async def _check_run(asking: Asking, work: Work[Store]) -> None:
    seen = {one.institution: one for one in await work.store.seen_run(asking.run_id)}
    if not seen:
        raise NotFound(f"nobody told of a run '{asking.run_id}'", code="run_unknown")
    if asking.to not in seen:
        raise Conflict(f"the run '{asking.run_id}' is not one of '{asking.to}'", code="run_of_others")
    _check_open(seen[asking.to], work)


def _check_open(seen: Seen, work: Work[Store]) -> None:
    run = RunPicture.model_validate(seen.picture)
    if run.state not in ASKABLE:
        raise Conflict(f"the run is {run.state}; nobody can ask for a seat", code=f"run_is_{run.state}")
    if run.ends_on is not None and run.ends_on < today_of(work):
        raise Conflict("the last session of the run is over", code="run_is_over")


async def send(message: ReferralOpened, work: Work[Store]) -> None:
    """Seal what was consented for the key that came, once; tell again that it was taken back, where it was."""
    known = await work.store.referral_if_any(message.referral_id, message.to)
    known = rules.of_theirs(known, message.referral_id, message.institution, Side.SENT)
    # People are locked before what hangs on them: nobody is erased while they are sealed.
    person = known.participant_id if known.state is ReferralState.ASKED else None
    participant = await work.store.locked_participant(person, known.institution) if person else None
    referral = await _locked(message, work)
    if rules.wants_recalling(referral):
        _tell_recalled(referral, work)
        return
    try:
        sealed = rules.sealed(referral, work.now)
    except Ignored as ignored:
        say_ignored(message.type, referral.id, ignored)
        return
    if participant is None or participant.state is FileState.ERASED or rules.is_due(referral, work.now):
        await _give_up(referral, ReferralState.EXPIRED, "consent_ended", work)
        return
    await work.store.keep_referral(sealed)
    content = _sealed(sealed, participant, bytes.fromhex(message.public_key))
    work.tell(about(ReferralSent, sealed, sealed=content))


def _sealed(referral: Referral, participant: Participant, public: bytes) -> str:
    plaintext = person_of(participant, referral.fields)
    info = info_of(referral.id, referral.institution, referral.other)
    return b64encode(boxes.seal(public, info, plaintext)).decode()


def person_of(participant: Participant, fields: tuple[ReferralField, ...]) -> bytes:
    """Give the consented fields of a file as JSON, and no others."""
    values = {name: getattr(participant, name) for name in ReferredPerson.model_fields}
    values["skills"] = {skill.value: vars(found) for skill, found in participant.skills}
    values["availability"] = [each.value for each in participant.availability]
    person = ReferredPerson.model_validate(values)
    return person.model_dump_json(include=set(map(str, fields))).encode()


async def hear_refusal(message: ReferralDeclined, work: Work[Store]) -> None:
    """Note that the other institution takes nobody."""
    referral = await _locked(message, work)
    try:
        await _ended(rules.refused(referral, message.code, work.now), work)
    except Ignored as ignored:
        say_ignored(message.type, referral.id, ignored)


async def hear_answer(message: ReferralAnswered, work: Work[Store]) -> None:
    """Note what became of the referral: the fact, and no more."""
    referral = await _locked(message, work)
    try:
        await _ended(rules.answered(referral, message.outcome, work.now), work)
    except Ignored as ignored:
        say_ignored(message.type, referral.id, ignored)
        if referral.ended_at is not None:
            await blank(referral, work)


async def _ended(referral: Referral, work: Work[Store]) -> None:
    await work.store.keep_referral(referral)
    await blank(referral, work)


async def blank(referral: Referral, work: Work[Store]) -> None:
    """Take back what was told of a referral, sealed as it is: whoever it was for has read it and answered."""
    await work.blank(about(ReferralBlanked, referral))


async def recall(referral_id: str, institution: str, work: Work[Store], code: str = "recalled") -> Referral:
    """Take a referral back that nobody has accepted yet; doing it twice does nothing more."""
    found = await work.store.locked_referral(referral_id, institution)
    if found is None or found.side is not Side.SENT:
        raise NotFound(f"there is no sent referral '{referral_id}'")
    if found.state is ReferralState.RECALLED:
        return found
    with refusing():
        referral = rules.recalled(found, work.now, code)
    await work.store.keep_referral(referral)
    _tell_recalled(referral, work)
    return referral


async def expire(referral: Referral, work: Work[Store]) -> None:
    """Give up a referral whose consent has ended without an answer."""
    await _give_up(referral, ReferralState.EXPIRED, "consent_ended", work)


async def _give_up(referral: Referral, state: ReferralState, code: str, work: Work[Store]) -> None:
    ended = rules.given_up(referral, state, work.now, code)
    await work.store.keep_referral(ended)
    _tell_recalled(ended, work)


def _tell_recalled(referral: Referral, work: Work[Store]) -> None:
    work.tell(about(ReferralRecalled, referral, code=referral.code or "recalled"))


async def _locked(message: ReferralMessage, work: Work[Store]) -> Referral:
    found = await work.store.locked_referral(message.referral_id, message.to)
    return rules.of_theirs(found, message.referral_id, message.institution, Side.SENT)
