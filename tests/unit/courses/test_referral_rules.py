"""The rules of a referral: every order of messages, late and doubled, ends with both sides knowing the same."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.courses.domain import consent as consents
from services.courses.domain import referral as rules
from services.courses.domain.consent import Consent
from services.courses.domain.referral import Ignored, Referral, ReferralState, Side, Stranger
from services.courses.domain.refusal import Misfit, Refused
from shared.contract.referrals import ReferralField, ReferralOutcome
from shared.contract.words import EnrolmentState, SeatCause

NOW = datetime(2027, 1, 11, 8, tzinfo=UTC)
LAST = date(2027, 2, 28)
State = ReferralState
FIELDS = (ReferralField.NAME, ReferralField.MAIL)


def _referral(side: Side, state: ReferralState) -> Referral:
    institution, other = ("awo", "vhs") if side is Side.SENT else ("vhs", "awo")
    return Referral("referral_1", institution, other, side, "run_1", FIELDS, "Kurs", LAST, state, NOW)


@dataclass
class Both:
    """Both sides by the rules alone, and what is on its way between them."""

    sender: Referral = _referral(Side.SENT, State.ASKED)  # noqa: RUF009 - it is frozen
    receiver: Referral | None = None
    to_receiver: list[tuple[str, Any]] = field(default_factory=lambda: [("asked", None)])
    to_sender: list[tuple[str, Any]] = field(default_factory=list)
    sealed: int = 0
    has_data: bool = False
    dedupes: bool = True

    def hear_at_receiver(self, word: str) -> None:
        """Do what the receiver does with a message."""
        if word == "asked":
            if self.receiver is None:
                self.receiver = _referral(Side.RECEIVED, State.OPENED)
                self.to_sender.append(("opened", None))
            return
        known = rules.of_theirs(self.receiver, "referral_1", "awo", Side.RECEIVED)
        if word == "sent":
            if self.dedupes:
                rules.check_waits_for_content(known)
            self.receiver = rules.placed(known, EnrolmentState.OFFERED, "participant_1", "enrolment_1")
            self.has_data = True
        else:
            self._end(rules.ended_here(known, State.RECALLED, NOW))

    def hear_at_sender(self, word: str, value: Any) -> None:
        """Do what the sender does with a message."""
        if word == "opened":
            if rules.wants_recalling(self.sender):
                self.to_receiver.append(("recalled", None))
                return
            self.sender = rules.sealed(self.sender, NOW) if self.dedupes else replace(self.sender, state=State.SENT)
            self.sealed += 1
            self.to_receiver.append(("sent", None))
        else:
            self.sender = rules.answered(self.sender, value, NOW)

    def person(self, state: EnrolmentState, cause: SeatCause) -> None:
        """Have the person's place become another one."""
        if self.receiver is not None and self.receiver.state in rules.PLACED:
            self._end(rules.followed(self.receiver, state, cause, NOW))

    def sender_gives_up(self, state: ReferralState) -> None:
        """Recall, or end with the consent."""
        self.sender = rules.given_up(self.sender, state, NOW, "recalled")
        self.to_receiver.append(("recalled", None))

    def receiver_expires(self) -> None:
        """End with the consent, by the receiver's clock."""
        if self.receiver is not None:
            self._end(rules.ended_here(self.receiver, State.EXPIRED, NOW))

    def _end(self, ended: Referral) -> None:
        self.receiver = replace(ended, forget=False)
        self.has_data = self.has_data and not ended.forget
        if ended.ended_at is not None and (outcome := rules.outcome_of(ended)):
            self.to_sender.append(("answered", outcome))

    def deliver(self, to_sender: bool, at: int, again: bool) -> None:
        """Deliver one message out of order, and keep a copy of it on its way where it comes twice."""
        queue = self.to_sender if to_sender else self.to_receiver
        if queue:
            word, value = queue[at % len(queue)] if again else queue.pop(at % len(queue))
            self.hear_at_sender(word, value) if to_sender else self.hear_at_receiver(word)


STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.booleans(), st.integers(0, 5), st.booleans()),
    st.just(("accept",)),
    st.just(("decline",)),
    st.just(("recall",)),
    st.just(("expire_sender",)),
    st.just(("expire_receiver",)),
)


def _step(both: Both, step: tuple[Any, ...]) -> None:
    what: dict[str, Any] = {
        "deliver": lambda: both.deliver(*step[1:]),
        "accept": lambda: both.person(EnrolmentState.ENROLLED, SeatCause.ACCEPTED),
        "decline": lambda: both.person(EnrolmentState.WITHDRAWN, SeatCause.DECLINED),
        "recall": lambda: both.sender_gives_up(State.RECALLED),
        "expire_sender": lambda: both.sender_gives_up(State.EXPIRED),
        "expire_receiver": both.receiver_expires,
    }
    try:
        what[step[0]]()
    except (Ignored, Refused):
        return


@given(st.lists(STEPS, max_size=40))
def test_whatever_order_messages_come_in_both_sides_end_with_the_same(steps: list[tuple[Any, ...]]) -> None:
    """Nothing is sealed twice, data is only where a seat is, and at the end acceptance is known to both or neither."""
    both = Both()
    for step in steps:
        _step(both, step)
        assert both.sealed <= 1
        assert not both.has_data or (both.receiver and both.receiver.state in {*rules.PLACED, State.ACCEPTED})
    for _ in range(8):
        while both.to_receiver or both.to_sender:
            _step(both, ("deliver", bool(both.to_sender), 0, False))
        _step(both, ("expire_sender",))
        _step(both, ("expire_receiver",))
    accepted = both.receiver is not None and both.receiver.state is State.ACCEPTED
    assert (both.sender.state is State.ACCEPTED) is accepted
    assert both.sender.ended_at is not None
    assert both.has_data is accepted


def test_without_the_state_a_doubled_key_would_be_sealed_for_twice() -> None:
    """The control: whoever does not ask for the state tells a person's data twice."""
    both = Both(dedupes=False)
    both.deliver(to_sender=False, at=0, again=False)
    for _ in range(2):
        both.deliver(to_sender=True, at=0, again=True)
    assert both.sealed == 2


@pytest.mark.parametrize(
    ("known", "code"),
    [
        (None, "referral_unknown"),
        (_referral(Side.RECEIVED, State.OPENED), "referral_of_others"),
        (replace(_referral(Side.SENT, State.ASKED), other="adv"), "referral_of_others"),
    ],
)
def test_who_was_not_asked_is_a_stranger(known: Referral | None, code: str) -> None:
    """An unknown id, the wrong side, and another institution than the one that was asked."""
    with pytest.raises(Stranger) as stranger:
        rules.of_theirs(known, "referral_1", "vhs", Side.SENT)
    assert stranger.value.code == code


@pytest.mark.parametrize("given_up", [State.RECALLED, State.EXPIRED])
def test_an_acceptance_that_crossed_on_its_way_stands(given_up: ReferralState) -> None:
    """Only the owner gives seats: what the receiver accepted is true, whatever the sender did meanwhile."""
    sent = rules.sealed(_referral(Side.SENT, State.ASKED), NOW)
    crossed = rules.given_up(sent, given_up, NOW, "recalled")
    assert rules.answered(crossed, ReferralOutcome.ACCEPTED, NOW).state is State.ACCEPTED
    with pytest.raises(Ignored):
        rules.answered(crossed, ReferralOutcome.WITHDRAWN, NOW)


@pytest.mark.parametrize("state", [State.ASKED, State.RECALLED, State.DECLINED, State.REFUSED])
def test_nobody_is_accepted_who_was_never_sent(state: ReferralState) -> None:
    """An acceptance without anything sent, or after another end, changes nothing."""
    with pytest.raises(Ignored):
        rules.answered(_referral(Side.SENT, state), ReferralOutcome.ACCEPTED, NOW)


@pytest.mark.parametrize(
    ("cause", "state"),
    [
        (SeatCause.DECLINED, State.DECLINED),
        (SeatCause.WITHDRAWN, State.WITHDRAWN),
        (SeatCause.OFFER_EXPIRED, State.EXPIRED),
        (SeatCause.OCCASION_CANCELLED, State.NO_SEAT),
        (SeatCause.PROGRESSED, State.NO_SEAT),
    ],
)
def test_the_end_of_a_place_is_the_end_of_the_referral(cause: SeatCause, state: ReferralState) -> None:
    """Whatever ends the place ends the referral, and what came with it is to be deleted."""
    held = rules.placed(_referral(Side.RECEIVED, State.OPENED), EnrolmentState.OFFERED, "participant_1", "enrolment_1")
    ended = rules.followed(held, EnrolmentState.WITHDRAWN, cause, NOW)
    assert (ended.state, ended.forget, ended.ended_at) == (state, True, NOW)
    assert rules.outcome_of(ended) is ReferralOutcome(state.value)


def test_a_turn_in_the_queue_becomes_a_seat_that_is_held_and_back() -> None:
    """The referral follows the place without ending."""
    waits = rules.placed(_referral(Side.RECEIVED, State.OPENED), EnrolmentState.WAITING, "participant_1", "enrolment_1")
    held = rules.followed(waits, EnrolmentState.OFFERED, SeatCause.OFFERED, NOW)
    assert (waits.state, held.state) == (State.WAITING, State.SEAT_HELD)
    assert rules.followed(held, EnrolmentState.OFFERED, SeatCause.OCCASION_CHANGED, NOW) is held


def _consent(**changed: Any) -> Consent:
    whole = {
        "sender": "awo",
        "receiver": "vhs",
        "fields": FIELDS,
        "purpose": "Kurs",
        "given_on": NOW.date(),
        "expires_on": LAST,
        "text": "Ja",
        "version": "1",
    }
    return Consent(**{**whole, **changed})


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"sender": "adv"}, "consent_for_others"),
        ({"receiver": "adv"}, "consent_for_others"),
        ({"fields": (ReferralField.NAME,)}, "consent_lacks_fields"),
        ({"given_on": NOW.date() + timedelta(days=1)}, "consent_not_given_yet"),
        ({"expires_on": NOW.date() - timedelta(days=1)}, "consent_expired"),
    ],
)
def test_a_consent_must_be_the_right_one(changed: dict[str, Any], code: str) -> None:
    """For these two, with a way to reach the person, and in force on this day."""
    with pytest.raises(Refused) as refused:
        consents.check(_consent(**changed), "awo", "vhs", NOW.date())
    assert refused.value.code == code
    assert isinstance(refused.value, Misfit) is (code != "consent_expired")


def test_a_consent_ends_with_its_last_day_in_hannover() -> None:
    """The whole last day counts; midnight of Berlin is an hour before that of UTC in winter."""
    consents.check(_consent(expires_on=NOW.date()), "awo", "vhs", NOW.date())
    held = replace(_referral(Side.RECEIVED, State.SEAT_HELD), expires_on=date(2027, 1, 31))
    assert not rules.is_due(held, datetime(2027, 1, 31, 22, 59, tzinfo=UTC))
    assert rules.is_due(held, datetime(2027, 1, 31, 23, 0, tzinfo=UTC))
