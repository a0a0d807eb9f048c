"""What institutions do together for a time; each speaks of its own projects."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.members.domain import project as domain
from services.members.domain.project import Project
from services.members.handlers.refusing import refusing
from services.members.store import Store
from shared.contract.members import ProjectChanged, ProjectEnded, ProjectMessage, ProjectPlanned, ProjectStarted
from shared.contract.words import ProjectState
from shared.kit.work import Work

_TOLD_AS: Mapping[ProjectState, type[ProjectMessage]] = {
    ProjectState.RUNNING: ProjectStarted,
    ProjectState.ENDED: ProjectEnded,
}


async def plan(institution: str, plan: Mapping[str, Any], work: Work[Store]) -> Project:
    """Plan a project."""
    with refusing():
        project = domain.new(work.ids.new("project"), institution, plan)
    return await _keep(project, ProjectPlanned, work)


async def change(institution: str, project_id: str, changes: Mapping[str, Any], work: Work[Store]) -> Project:
    """Change what is said of a project; tells nothing where nothing changes."""
    before = await work.store.locked_project(project_id, institution)
    with refusing():
        after = domain.change(before, changes)
    return before if after.picture == before.picture else await _keep(after, ProjectChanged, work)


async def move(institution: str, project_id: str, to: ProjectState, work: Work[Store]) -> Project:
    """Start or end a project."""
    before = await work.store.locked_project(project_id, institution)
    with refusing():
        after = domain.move(before, to)
    return await _keep(after, _TOLD_AS[to], work)


async def hear_projects(messages: Sequence[ProjectMessage], work: Work[Store]) -> None:
    """Keep copies of projects."""
    await work.store.keep_network_projects(messages)


async def _keep(project: Project, kind: type[ProjectMessage], work: Work[Store]) -> Project:
    await work.store.keep_project(project)
    # `type` has its only value as default in every message that can be spoken.
    work.tell(kind(institution=project.institution, version=project.version, picture=project.picture))  # type: ignore[call-arg]
    return project
