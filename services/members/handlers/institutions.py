"""Who is in the network: the office decides and speaks of every institution."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from services.members.domain import institution as domain
from services.members.domain.institution import Institution
from services.members.handlers.refusing import refusing
from services.members.store import Store
from shared.contract import members as told
from shared.contract.members import InstitutionMessage
from shared.contract.words import InstitutionState
from shared.kit.errors import Conflict
from shared.kit.work import Work

OFFICE_NAME = "Koordinierungsstelle des Netzwerks ALBuM"

_TOLD_AS: Mapping[InstitutionState, type[InstitutionMessage]] = {
    InstitutionState.APPLIED: told.InstitutionApplied,
    InstitutionState.ADMITTED: told.InstitutionAdmitted,
    InstitutionState.ACTIVE: told.InstitutionActivated,
    InstitutionState.SUSPENDED: told.InstitutionSuspended,
    InstitutionState.LEFT: told.InstitutionLeft,
}


async def apply(slug: str, profile: Mapping[str, Any], work: Work[Store]) -> Institution:
    """Take note that an institution asks to join; raises Conflict where the slug is taken."""
    return await _add(slug, profile, InstitutionState.APPLIED, work)


async def add_active(slug: str, profile: Mapping[str, Any], work: Work[Store]) -> Institution:
    """Take in an institution that is a member already; raises Conflict where the slug is taken."""
    return await _add(slug, profile, InstitutionState.ACTIVE, work)


async def _add(slug: str, profile: Mapping[str, Any], state: InstitutionState, work: Work[Store]) -> Institution:
    with refusing():
        new = domain.new(slug, profile, state)
    if not await work.store.add_institution(new):
        raise Conflict(f"there is an institution '{slug}' already", code="slug_taken")
    _tell(new, _TOLD_AS[state], work)
    return new


async def ensure_office(work: Work[Store]) -> None:
    """See to it that the office itself is an institution; told once, whoever comes first."""
    office = domain.new(work.settings.office, {"name": OFFICE_NAME}, InstitutionState.ACTIVE)
    if await work.store.add_institution(office):
        _tell(office, told.InstitutionActivated, work)


async def move(slug: str, to: InstitutionState, work: Work[Store]) -> Institution:
    """Admit, activate or suspend an institution, or let it leave."""
    if slug == work.settings.office:
        raise Conflict("the office itself stays active: without it nobody could be admitted", code="office_stays")
    before = await work.store.locked_institution(slug)
    with refusing():
        after = domain.move(before, to)
    await work.store.keep_institution(after)
    _tell(after, _TOLD_AS[to], work)
    return after


async def change_profile(slug: str, changes: Mapping[str, Any], work: Work[Store]) -> Institution:
    """Change what an institution says of itself; tells nothing where nothing changes."""
    before = await work.store.locked_institution(slug)
    with refusing():
        after = domain.change_profile(before, changes)
    return await _keep_changed(before, after, work)


async def accept_statute(slug: str, statute_version: str, on: date, work: Work[Store]) -> Institution:
    """Note that an institution accepted a version of the statute."""
    before = await work.store.locked_institution(slug)
    with refusing():
        after = domain.accept_statute(before, statute_version, on)
    return await _keep_changed(before, after, work)


async def hear_institutions(messages: Sequence[InstitutionMessage], work: Work[Store]) -> None:
    """Keep copies of institutions; only the office speaks of them."""
    await work.store.keep_network_institutions([m for m in messages if m.institution == work.settings.office])


async def _keep_changed(before: Institution, after: Institution, work: Work[Store]) -> Institution:
    if after.picture == before.picture:
        return before
    await work.store.keep_institution(after)
    _tell(after, told.InstitutionChanged, work)
    return after


def _tell(one: Institution, kind: type[InstitutionMessage], work: Work[Store]) -> None:
    # `type` has its only value as default in every message that can be spoken.
    work.tell(kind(institution=work.settings.office, version=one.version, picture=one.picture))  # type: ignore[call-arg]
