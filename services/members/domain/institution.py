"""The life of an institution in the network: applied > admitted > active <> suspended > left."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import ValidationError

from services.members.domain.refusal import Misfit, Refused
from shared.contract.members import InstitutionPicture
from shared.contract.words import RESERVED_SLUG, districts
from shared.contract.words import InstitutionState as State

_BEFORE: Mapping[State, frozenset[State]] = {
    State.ADMITTED: frozenset({State.APPLIED}),
    State.ACTIVE: frozenset({State.ADMITTED, State.SUSPENDED}),
    State.SUSPENDED: frozenset({State.ACTIVE}),
    State.LEFT: frozenset({State.APPLIED, State.ADMITTED, State.ACTIVE, State.SUSPENDED}),
}


@dataclass(frozen=True)
class Institution:
    """A member organisation: all that is known of it is public; the version grows with each change."""

    picture: InstitutionPicture
    version: int

    @property
    def id(self) -> str:
        """Give the word that names it."""
        return self.picture.slug


def is_reserved(slug: str) -> bool:
    """Tell whether a slug names no institution, for on the hub it is another user."""
    return re.fullmatch(RESERVED_SLUG, slug) is not None


def new(slug: str, profile: Mapping[str, Any], state: State = State.APPLIED) -> Institution:
    """Give an institution that is not known yet; raises Misfit."""
    if is_reserved(slug):
        raise Misfit(
            "reserved", f"slug: '{slug}' is reserved; 'default' and what begins with 'join-' name no institution"
        )
    return Institution(_fitting({**profile, "slug": slug, "state": state}), 1)


def move(institution: Institution, to: State) -> Institution:
    """Take an institution a step through its life; raises Refused."""
    now = institution.picture.state
    if now not in _BEFORE.get(to, frozenset()):
        raise Refused("wrong_state", f"'{institution.picture.slug}' is {now.value}; it cannot become {to.value}")
    return _with(institution, {"state": to})


def change_profile(institution: Institution, changes: Mapping[str, Any]) -> Institution:
    """Change what an institution says of itself; raises Refused after it left, Misfit."""
    _still_here(institution)
    return _with(institution, changes)


def accept_statute(institution: Institution, statute_version: str, on: date) -> Institution:
    """Note which version of the statute was accepted, and when; raises Refused after it left."""
    _still_here(institution)
    return _with(institution, {"statute_version": statute_version, "statute_accepted_on": on})


def _still_here(institution: Institution) -> None:
    if institution.picture.state is State.LEFT:
        raise Refused("wrong_state", f"'{institution.picture.slug}' has left the network")


def _with(institution: Institution, changes: Mapping[str, Any]) -> Institution:
    picture = _fitting({**institution.picture.model_dump(), **changes})
    return Institution(picture, institution.version + 1)


def _fitting(values: Mapping[str, Any]) -> InstitutionPicture:
    try:
        picture = InstitutionPicture.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Misfit("invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return _in_its_district(picture)


def _in_its_district(picture: InstitutionPicture) -> InstitutionPicture:
    """Fill in the district of a quarter; raises Misfit where another one is given."""
    if picture.quarter is None:
        return picture
    homes = [name for name, quarters in districts().items() if picture.quarter in quarters]
    if picture.district is None:
        return picture.model_copy(update={"district": homes[0]})
    if picture.district not in homes:
        sentence = f"'{picture.quarter}' does not lie in '{picture.district}' but in '{', '.join(homes)}'"
        raise Misfit("quarter_elsewhere", sentence)
    return picture
