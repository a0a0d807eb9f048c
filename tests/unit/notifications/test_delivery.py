"""The states of a delivery: no step leads off the map, and an end stays an end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.notifications.domain.delivery import (
    BY_HAND,
    CLASS_OF,
    MOVES,
    OPEN,
    SENT_ONCE_MORE,
    Class,
    Delivery,
    Facts,
    IllegalMove,
    State,
    claim,
    end,
    lose,
    move,
    release,
)
from services.notifications.domain.letter import Kind

NOW = datetime(2026, 11, 18, 8, tzinfo=UTC)

# Written down a second time on purpose: what is a dead end for good, whatever the code's own table says.
DEAD_ENDS = {State.suppressed, State.cancelled, State.superseded, State.merged, State.expired, State.bounced}
SENT = {State.handed_over, State.delivered, State.assumed_delivered, State.bounced, State.complained}


def a_delivery(kind: Kind = Kind.enrolled, state: State = State.planned) -> Delivery:
    """Give a delivery."""
    return Delivery(
        id="dlv_1",
        institution="vhs-hannover",
        participant_id="par_1",
        subject_id="enr_1",
        business_key="k",
        kind=kind,
        version=1,
        occasion_id="run_1",
        occasion_version=1,
        picture="p",
        starts=None,
        facts=Facts(),
        not_before=NOW,
        useless_after=NOW + timedelta(days=3),
        planned_at=NOW,
        changed_at=NOW,
        state=state,
    )


class DeliveryLife(RuleBasedStateMachine):
    """Everything that can happen to a delivery, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.delivery = a_delivery()
        self.path = [self.delivery.state]

    def _took(self, after: Delivery) -> None:
        self.delivery = after
        self.path.append(after.state)

    def _tried(self, target: State) -> None:
        before = self.delivery
        try:
            self._took(move(before, target, NOW))
        except IllegalMove:
            assert target not in MOVES[before.state]

    @rule(state=st.sampled_from(State))
    def go(self, state: State) -> None:
        """Ask for any state at all."""
        self._tried(state)

    @rule()
    def attempt(self) -> None:
        """Claim it."""
        if State.sending in MOVES[self.delivery.state]:
            attempts = self.delivery.attempts
            self._took(claim(self.delivery, "one", NOW + timedelta(minutes=1), NOW))
            assert self.delivery.attempts == attempts + 1
            assert self.delivery.claimed_by == "one"

    @rule(state=st.sampled_from([State.cancelled, State.superseded, State.expired]))
    def no_longer_true(self, state: State) -> None:
        """End it: at once, or after the attempt that is under way."""
        if self.delivery.state in OPEN:
            on_its_way = self.delivery.state is State.sending
            self._took(end(self.delivery, state, NOW, "withdrawn"))
            assert self.delivery.state is (State.sending if on_its_way else state)

    @rule()
    def sender_dies(self) -> None:
        """Lose the answer."""
        if self.delivery.state is State.sending:
            self._took(lose(self.delivery, NOW, "sender_died"))

    @rule()
    def staff_tries_again(self) -> None:
        """Release it by hand."""
        if self.delivery.state in BY_HAND:
            self._took(release(self.delivery, NOW))

    @invariant()
    def ends_stay_ends(self) -> None:
        """Nothing leaves a dead end, and what was sent is never sent again."""
        for earlier, later in zip(self.path, self.path[1:], strict=False):
            assert earlier not in DEAD_ENDS or later is earlier
            assert earlier not in SENT or later in SENT

    @invariant()
    def only_sending_is_claimed(self) -> None:
        """A lease exists only while a mail is on its way."""
        assert self.delivery.claimed_by is None or self.delivery.state is State.sending


DeliveryLife.TestCase.settings = settings(max_examples=200, stateful_step_count=30)
TestDeliveryLife = DeliveryLife.TestCase


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("target", list(State))
def test_a_step_off_the_map_is_refused(state: State, target: State) -> None:
    """Every pair of states is either on the map or raises."""
    delivery = a_delivery(state=state)
    if target in MOVES[state]:
        assert move(delivery, target, NOW).state is target
    else:
        with pytest.raises(IllegalMove):
            move(delivery, target, NOW)


def test_every_kind_has_a_class_and_the_classes_have_their_order() -> None:
    """Security before cancellation before change before reminder before info."""
    assert set(CLASS_OF) == set(Kind)
    order = [Class.security, Class.cancellation, Class.change, Class.reminder, Class.info]
    assert [one.rank for one in order] == sorted(one.rank for one in order)


@pytest.mark.parametrize("kind", list(Kind))
def test_only_cancellation_and_change_are_sent_once_more(kind: Kind) -> None:
    """A lost answer leaves all other kinds uncertain."""
    lost = lose(a_delivery(kind, State.sending), NOW, "sender_died")
    again = CLASS_OF[kind] in SENT_ONCE_MORE
    assert lost.state is (State.deferred if again else State.uncertain)
    assert lost.sent_once_more is again


def test_once_more_is_once() -> None:
    """A second lost answer ends in uncertain, and so does the first of a mail that is not true any more."""
    sending = a_delivery(Kind.run_cancelled, State.sending)
    assert lose(replace(sending, sent_once_more=True), NOW, "x").state is State.uncertain
    assert lose(replace(sending, stopped=State.superseded), NOW, "x").state is State.uncertain


def test_staff_give_a_mail_its_full_time_again() -> None:
    """The hours of attempts count anew after a human has looked."""
    undeliverable = replace(a_delivery(state=State.undeliverable), first_attempt_at=NOW - timedelta(days=9))
    assert release(undeliverable, NOW).first_attempt_at is None
    with pytest.raises(IllegalMove):
        release(a_delivery(state=State.cancelled), NOW)
