"""Says what a rule refused in the way every edge understands."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.members.domain.refusal import Misfit, Refused
from shared.kit.errors import Conflict, Invalid


@contextmanager
def refusing() -> Iterator[None]:
    """Turn a refusal of the rules into a problem with the same code."""
    try:
        yield
    except Misfit as refusal:
        raise Invalid(refusal.sentence, code=refusal.code) from refusal
    except Refused as refusal:
        raise Conflict(refusal.sentence, code=refusal.code) from refusal
