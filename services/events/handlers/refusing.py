"""Says what a rule refused in the way every edge understands."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.events.domain.refusal import Misfit, Refused
from shared.kit.errors import Conflict, Invalid
from shared.seats.rule import SeatRefused

_SENTENCES = {
    "already_done": "this has been done already",
    "too_late": "it is too late for this, or the seat was never offered",
    "full": "there is no free seat",
}


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a refusal of the rules into a problem with the same code."""
    try:
        yield
    except Misfit as misfit:
        raise Invalid(misfit.sentence, code=misfit.code) from misfit
    except Refused as refused:
        raise Conflict(refused.sentence, code=refused.code) from refused
    except SeatRefused as refused:
        raise Conflict(_SENTENCES[refused.outcome], code=refused.outcome) from refused
