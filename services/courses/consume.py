"""What the service hears."""

from services.courses.handlers import copies, erasing, partners, referred, referring
from services.courses.store import Store
from shared.contract.courses import (
    RunAvailabilityChanged,
    RunCancelled,
    RunChanged,
    RunCompleted,
    RunConfirmed,
    RunMessage,
    RunPublished,
    RunStarted,
)
from shared.contract.referrals import (
    ErasureAsked,
    ErasureReceipt,
    ReferralAnswered,
    ReferralAsked,
    ReferralDeclined,
    ReferralOpened,
    ReferralRecalled,
    ReferralSent,
)
from shared.contract.words import RunState
from shared.kit.hears import Hears
from shared.kit.inbox import Takes
from shared.kit.work import Work

hears = Hears()

_TO_COME = frozenset({RunState.PUBLISHED, RunState.CONFIRMED})
_PUBLIC = frozenset(RunState) - {RunState.DRAFT}
takes = Takes(
    {
        RunPublished: _TO_COME,
        RunChanged: _PUBLIC,
        RunConfirmed: frozenset({RunState.CONFIRMED}),
        RunStarted: frozenset({RunState.RUNNING}),
        RunCancelled: frozenset({RunState.CANCELLED}),
        RunCompleted: frozenset({RunState.COMPLETED}),
        RunAvailabilityChanged: _PUBLIC,
    },
    partners.known_version,
)


@hears.newest(RunPublished, RunChanged, RunConfirmed, RunStarted, RunCancelled, RunCompleted, RunAvailabilityChanged)
async def runs(messages: list[RunMessage], work: Work[Store]) -> None:
    """Keep what every institution tells of its runs, our own ones too."""
    await copies.keep_seen(messages, work)


@hears.each(ReferralAsked)
async def asked(message: ReferralAsked, work: Work[Store]) -> None:
    """Answer whether somebody may be referred to a run of ours."""
    await referred.open_referral(message, work)


@hears.each(ReferralSent)
async def sent(message: ReferralSent, work: Work[Store]) -> None:
    """Hold a seat for whom we were sent."""
    await referred.receive(message, work)


@hears.each(ReferralRecalled)
async def recalled(message: ReferralRecalled, work: Work[Store]) -> None:
    """Let somebody go whom the sender took back."""
    await referred.hear_recall(message, work)


@hears.each(ReferralOpened)
async def opened(message: ReferralOpened, work: Work[Store]) -> None:
    """Send whom we asked about."""
    await referring.send(message, work)


@hears.each(ReferralDeclined)
async def declined(message: ReferralDeclined, work: Work[Store]) -> None:
    """Note that nobody is taken."""
    await referring.hear_refusal(message, work)


@hears.each(ReferralAnswered)
async def answered(message: ReferralAnswered, work: Work[Store]) -> None:
    """Note what became of whom we sent."""
    await referring.hear_answer(message, work)


@hears.each(ErasureAsked)
async def erasure_asked(message: ErasureAsked, work: Work[Store]) -> None:
    """Delete whom we have through a referral."""
    await erasing.hear_erasure(message, work)


@hears.each(ErasureReceipt)
async def erasure_answered(message: ErasureReceipt, work: Work[Store]) -> None:
    """Keep what another institution says it deleted."""
    await erasing.hear_receipt(message, work)
