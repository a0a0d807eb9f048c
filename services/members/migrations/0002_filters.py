"""members: by what the network's institutions and projects are found"""

from datetime import date

import sqlalchemy as sa
from alembic import op

from shared.kit.database import JSON

revision = "members_0002"
down_revision = "members_0001"
branch_labels = None


def upgrade() -> None:
    """Make the columns and fill them from the pictures: nobody tells them again because of us."""
    op.add_column("network_institution", sa.Column("district", sa.Text(), nullable=True))
    op.add_column("network_project", sa.Column("starts_on", sa.Date(), nullable=True))
    _fill(op.get_bind())
    op.create_index("network_project_starts", "network_project", ["starts_on"], unique=False)


def _fill(connection: sa.Connection) -> None:
    i = sa.table("network_institution", sa.column("slug"), sa.column("district"), sa.column("picture", JSON))
    for row in connection.execute(sa.select(i.c.slug, i.c.picture)).all():
        connection.execute(sa.update(i).where(i.c.slug == row.slug).values(district=row.picture.get("district")))
    names = ("project_id", "institution")
    p = sa.table("network_project", *map(sa.column, names), sa.column("starts_on", sa.Date), sa.column("picture", JSON))
    for told in connection.execute(sa.select(p.c.project_id, p.c.institution, p.c.picture)).all():
        which = (p.c.project_id == told.project_id) & (p.c.institution == told.institution)
        day = date.fromisoformat(told.picture["starts_on"])
        connection.execute(sa.update(p).where(which).values(starts_on=day))
