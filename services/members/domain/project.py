"""The life of a project: planned > running > ended."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from services.members.domain.refusal import Misfit, Refused
from shared.contract.members import ProjectPicture
from shared.contract.words import ProjectState as State

_BEFORE: Mapping[State, State] = {State.RUNNING: State.PLANNED, State.ENDED: State.RUNNING}


@dataclass(frozen=True)
class Project:
    """What an institution does with others for a time: all of it is public; the version grows with each change."""

    institution: str
    picture: ProjectPicture
    version: int

    @property
    def id(self) -> str:
        """Give the word that names it."""
        return self.picture.project_id


def new(project_id: str, institution: str, plan: Mapping[str, Any]) -> Project:
    """Give a planned project; raises Misfit."""
    return Project(institution, _fitting({**plan, "project_id": project_id, "state": State.PLANNED}), 1)


def move(project: Project, to: State) -> Project:
    """Start or end a project; raises Refused."""
    now = project.picture.state
    if _BEFORE.get(to) is not now:
        raise Refused("wrong_state", f"the project is {now.value}; it cannot become {to.value}")
    return _with(project, {"state": to})


def change(project: Project, changes: Mapping[str, Any]) -> Project:
    """Change what is said of a project; raises Refused after its end, Misfit."""
    if project.picture.state is State.ENDED:
        raise Refused("wrong_state", "the project has ended; its record stays as it is")
    return _with(project, changes)


def _with(project: Project, changes: Mapping[str, Any]) -> Project:
    picture = _fitting({**project.picture.model_dump(), **changes})
    return replace(project, picture=picture, version=project.version + 1)


def _fitting(values: Mapping[str, Any]) -> ProjectPicture:
    try:
        picture = ProjectPicture.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise Misfit("invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if picture.ends_on is not None and picture.ends_on < picture.starts_on:
        raise Misfit("ends_before_start", "a project cannot end before it starts")
    return picture
