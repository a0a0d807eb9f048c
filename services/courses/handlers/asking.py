"""People ask for seats: one, or all who ask for a run at the same moment under one lock."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from services.courses.domain.enrolment import COMES_BACK, Enrolment
from services.courses.domain.entitlement import Entitlement, best, priority_of
from services.courses.domain.participant import FileState, Participant
from services.courses.domain.run import check_askable
from services.courses.handlers.refusing import refusing
from services.courses.handlers.seats import desk_at, settle_seats, today_of
from services.courses.store import Queued, SeatBook, Store
from shared.kit.errors import Conflict, NotFound, Problem
from shared.kit.work import Work
from shared.seats.rule import Change


@dataclass(frozen=True)
class Ask:
    """Who asks for a seat; for whom a referral brings one is held, until they themselves say that they want it."""

    participant_id: str
    referral_id: str | None = None


Answer = Queued | Problem


async def ask(
    run_id: str, participant_id: str, institution: str, work: Work[Store], referral_id: str | None = None
) -> Queued:
    """Give a participant a seat or a turn in the queue; asking twice gives the same enrolment."""
    [answer] = await ask_all(run_id, institution, [Ask(participant_id, referral_id)], work)
    if isinstance(answer, Problem):
        raise answer
    return answer


async def ask_again(enrolment_id: str, institution: str | None, work: Work[Store]) -> Queued:
    """Come back after an offer expired or a seat was given back."""
    enrolment = await work.store.enrolment(enrolment_id, institution)
    return await ask(enrolment.run_id, enrolment.participant_id, enrolment.institution, work)


async def ask_all(run_id: str, institution: str, asks: Sequence[Ask], work: Work[Store]) -> list[Answer]:
    """Give people seats or turns in the queue, in the order in which they ask; each is answered or refused alone.

    Raises Problem where nobody can ask for this run.
    """
    ids = {each.participant_id for each in asks}
    # Files are locked first, so that nobody is erased while asking; runs are always locked after people.
    people = await work.store.locked_participants(ids, institution)
    refused = [_check_file(people.get(each.participant_id), each) for each in asks]
    if all(refused):
        return [each for each in refused if each is not None]
    answers: list[Answer | str | None] = [*refused]
    entitlements = defaultdict(list)
    for each in await work.store.entitlements_of(*ids):
        entitlements[each.participant_id].append(each)
    # From here on everybody else who asks for this run waits: what can be read before is read before.
    turn = await _Turn.begun(run_id, institution, ids, work)
    for at, asking in enumerate(asks):
        if answers[at] is None:
            answers[at] = await turn.take(asking, best(entitlements[asking.participant_id], today_of(work)))
    places = await turn.end()
    return [places[each] if isinstance(each, str) else each for each in answers if each is not None]


def _check_file(participant: Participant | None, ask: Ask) -> Problem | None:
    if participant is None:
        return NotFound(f"there is no participant '{ask.participant_id}'")
    if participant.state in (FileState.CLOSED, FileState.ERASED):
        state = participant.state
        return Conflict(f"the participant file is {state}; nobody can ask with it", code=f"participant_{state}")
    return None


class _Turn:
    """A run whose lock is held, while those who ask are taken in one after the other; they are named by enrolment."""

    def __init__(self, book: SeatBook, known: dict[str, Enrolment], last: datetime | None, work: Work[Store]) -> None:
        self._book = book
        self._before = book.run
        self._known = known
        self._last = last
        self._work = work
        self._changes: list[Change] = []

    @classmethod
    async def begun(cls, run_id: str, institution: str, ids: Collection[str], work: Work[Store]) -> Self:
        """Lock the run; raises Problem where nobody can ask for it."""
        book = await SeatBook.opened(work.store, run_id, work.now, institution)
        with refusing():
            check_askable(book.run, work.now)
        known = await work.store.enrolments_in(run_id, ids)
        # `now` was taken before the lock, and others may have joined the queue since.
        last = await work.store.last_in_queue(run_id) if book.run.waiting else None
        return cls(book, known, last, work)

    async def take(self, ask: Ask, entitlement: Entitlement | None) -> Answer | str:
        """Decide about one person; give the enrolment whose place is told at the end, or the answer."""
        known = self._known.get(ask.participant_id)
        if known is not None and known.state not in COMES_BACK:
            await self._book.write()
            return Queued(known, await self._work.store.place_in_queue(known), known=True)
        asking = self._asking(ask, known, entitlement)
        place, desk = self._book.admit(asking), desk_at(self._book, self._work)
        try:
            with refusing():
                self._changes += await (desk.hold if ask.referral_id else desk.ask)(asking.run_id, place)
        except Problem as problem:
            return problem
        self._known[ask.participant_id] = self._book.enrolments[asking.id]
        return asking.id

    async def end(self) -> dict[str, Queued]:
        """Keep and tell what was decided."""
        if not self._changes:
            return {}
        return await settle_seats(self._before, self._book, self._changes, self._work)

    def _asking(self, ask: Ask, known: Enrolment | None, entitlement: Entitlement | None) -> Enrolment:
        now = self._work.now
        self._last = now if self._last is None else max(now, self._last + timedelta(microseconds=1))
        return Enrolment(
            id=known.id if known else self._work.ids.new("enrolment"),
            institution=self._before.institution,
            run_id=self._before.id,
            participant_id=ask.participant_id,
            priority=priority_of(entitlement),
            since=self._last,
            entitlement_id=entitlement.id if entitlement else None,
            referral_id=ask.referral_id,
            version=known.version if known else 0,
        )
