"""courses: the field of action of runs; by what the network's runs are found"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

from shared.kit.database import JSON

revision = "courses_0003"
down_revision = "courses_0002"
branch_labels = None

_LANGUAGE = ("deufoev_basis", "deufoev_special", "deufoev_job_bsk", "deutsch_360")


def upgrade() -> None:
    """Make the columns and fill them from the pictures: no institution tells its runs again because of us."""
    op.add_column("run", sa.Column("field_of_action", sa.Text(), nullable=True))
    op.add_column("network_run", sa.Column("field_of_action", sa.Text(), nullable=True))
    op.add_column("network_run", sa.Column("starts_on", sa.Date(), nullable=True))
    _fill(op.get_bind())
    op.create_index("network_run_quarter", "network_run", ["quarter", "run_id", "institution"], unique=False)
    op.create_index("network_run_starts", "network_run", ["starts_on"], unique=False)


def _fill(connection: sa.Connection) -> None:
    columns = ("run_id", "institution", "kind", "field_of_action")
    t = sa.table("network_run", *map(sa.column, columns), sa.column("starts_on", sa.Date), sa.column("picture", JSON))
    rows = [
        {
            "the_run": row.run_id,
            "the_institution": row.institution,
            "day": _first_day(row.picture),
            "field": _field(row),
        }
        for row in connection.execute(sa.select(t.c.run_id, t.c.institution, t.c.kind, t.c.picture))
    ]
    if rows:
        which = (t.c.run_id == sa.bindparam("the_run")) & (t.c.institution == sa.bindparam("the_institution"))
        found: dict[str, Any] = {"starts_on": sa.bindparam("day"), "field_of_action": sa.bindparam("field")}
        connection.execute(sa.update(t).where(which).values(found), rows)


def _field(row: Any) -> str | None:
    told: str | None = row.picture.get("field_of_action")
    return told or ("Beratungs- und Deutschförderung" if row.kind in _LANGUAGE else None)


def _first_day(picture: Mapping[str, Any]) -> date | None:
    if picture.get("starts_on"):
        return date.fromisoformat(picture["starts_on"])
    starts = [datetime.fromisoformat(each["starts"]) for each in picture.get("sessions", ())]
    return min(starts).astimezone(ZoneInfo("Europe/Berlin")).date() if starts else None
