"""What members hears: institutions and projects of the whole network, its own among them."""

from services.members.handlers import institutions, partners, projects
from services.members.store import Store
from shared.contract import members as told
from shared.contract.words import ProjectState
from shared.kit.hears import Hears
from shared.kit.inbox import Takes
from shared.kit.work import Work

hears = Hears()
takes = Takes(
    {
        told.ProjectPlanned: frozenset({ProjectState.PLANNED}),
        told.ProjectStarted: frozenset({ProjectState.RUNNING}),
        told.ProjectChanged: frozenset(ProjectState),
        told.ProjectEnded: frozenset({ProjectState.ENDED}),
    },
    partners.known_version,
)


@hears.newest(
    told.InstitutionApplied,
    told.InstitutionAdmitted,
    told.InstitutionActivated,
    told.InstitutionChanged,
    told.InstitutionSuspended,
    told.InstitutionLeft,
)
async def network_institutions(messages: list[told.InstitutionMessage], work: Work[Store]) -> None:
    """Keep who is in the network."""
    await institutions.hear_institutions(messages, work)


@hears.newest(told.ProjectPlanned, told.ProjectStarted, told.ProjectChanged, told.ProjectEnded)
async def network_projects(messages: list[told.ProjectMessage], work: Work[Store]) -> None:
    """Keep which projects there are."""
    await projects.hear_projects(messages, work)
