"""Two releases of this very tree: the one that is here, and the next, which tells something new and keeps more."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from deploy.demo.platform import SERVICES, Embedded
from services.courses.app import service as courses
from shared.embedded.ports import free_port
from shared.kit import schema

ROOT = Path(__file__).parents[2]
NEW = "courses.run.recommended.v1"

# Only appended, so that the code it stands behind may change: a message, who tells it, who hears it, a column for it.
_NEXT = {
    "shared/contract/courses.py": '''

class RunRecommended(Message):
    """A run is recommended."""

    audience: ClassVar[Audience] = Audience.NETWORK
    key_field: ClassVar[str] = "recommendation_id"
    type: Literal["courses.run.recommended.v1"] = "courses.run.recommended.v1"
    recommendation_id: Id
    run_id: Id
''',
    "services/courses/handlers/telling.py": '''

_tell_new_state = tell_new_state


def tell_new_state(run: Run, work: Work[Store]) -> Run:
    """Tell the step, and recommend what is published."""
    from shared.contract.courses import RunRecommended

    run = _tell_new_state(run, work)
    if run.state is RunState.PUBLISHED:
        new = work.ids.new("recommendation")
        work.tell(RunRecommended(institution=run.institution, version=1, recommendation_id=new, run_id=run.id))
    return run
''',
    "services/courses/consume.py": '''

import sqlalchemy as sa  # noqa: E402
from services.courses.store.tables import network_run  # noqa: E402
from shared.contract.courses import RunRecommended  # noqa: E402


@hears.each(RunRecommended)
async def recommended(message: RunRecommended, work: Work[Store]) -> None:
    """Count it; a second time would be seen."""
    this = (network_run.c.run_id == message.run_id) & (network_run.c.institution == message.institution)
    more = {"recommended": network_run.c.recommended + 1}
    assert (await work.connection.execute(sa.update(network_run).where(this).values(more))).rowcount == 1
''',
    "services/courses/store/tables.py": """
network_run.append_column(sa.Column("recommended", sa.Integer, nullable=False, server_default="0"))
""",
}
_STEP = '''"""courses: how often runs are recommended"""

import sqlalchemy as sa
from alembic import op

revision = "courses_9999"
down_revision = "{before}"
branch_labels = None


def upgrade() -> None:
    """Add a column that the release before need not know."""
    op.add_column("network_run", sa.Column("recommended", sa.Integer(), nullable=False, server_default="0"))
'''


@dataclass
class Release:
    """A release: a tree of its own, and the ports of its copies of the services."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {service: free_port() for service in SERVICES})

    def url(self, service: str) -> str:
        """Give where its copy of a service listens."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def environment(self, platform: Embedded) -> dict[str, str]:
        """Give what its processes are told."""
        return {**platform.environment, "PYTHONPATH": str(self.folder), "ALBUM_PORTS": json.dumps(self.ports)}

    def start(self, platform: Embedded, service: str) -> None:
        """Start its copy of a service."""
        platform.within = ("env", "-C", str(self.folder))  # `-m` looks where it is first
        told = self.environment(platform)
        platform.start_service(service, f"-{self.folder.name}", **told)

    def stop(self, platform: Embedded, service: str) -> None:
        """Tell its copy of a service to stop, and wait for its end; it ends by itself."""
        process = platform.processes.pop(f"{service}-{self.folder.name}")
        process.terminate()
        assert process.wait(60) in {0, -signal.SIGTERM}, "uvicorn ends by the signal that it was told to stop with"

    def migrate(self, platform: Embedded, url: str) -> str:
        """Bring the database of courses to this release's schema, with this release's own code."""
        said = "from shared.kit.migrate import upgrade_now; from services.courses.app import service"
        words = f"{said}; print(upgrade_now(service, {url!r}))"
        command = [sys.executable, "-c", words]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(platform), capture_output=True, text=True, check=True
        )
        return done.stdout


def this_release(folder: Path) -> Release:
    """Copy the tree that is here."""
    for part in ("services", "shared"):
        shutil.copytree(ROOT / part, folder / part)  # with what is compiled: its times are kept
    return Release(folder)


def next_release(folder: Path) -> Release:
    """Copy it and add what is new."""
    made = this_release(folder)
    for path, more in _NEXT.items():
        with (folder / path).open("a", encoding="utf-8") as file:
            file.write(more)
    [before] = [one for one in schema.heads([courses.migrations]) if one.startswith("courses_")]
    step = folder / "services" / "courses" / "migrations" / "9999_recommended.py"
    step.write_text(_STEP.replace("{before}", before), "utf-8")
    return made
