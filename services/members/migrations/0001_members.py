"""members: institutions, projects, keys, and copies of the network's"""

import sqlalchemy as sa
from alembic import op

from shared.kit.database import JSON, UtcTime

revision = "members_0001"
down_revision = None
branch_labels = ("members",)


def upgrade() -> None:
    """Make the tables of members."""
    op.create_table(
        "api_key",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("issued_at", UtcTime(), nullable=False),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_table(
        "institution",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("picture", JSON, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slug"),
    )
    op.create_table(
        "network_institution",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fields_of_action", sa.Text(), nullable=False),
        sa.Column("picture", JSON, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slug"),
    )
    op.create_table(
        "network_project",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("field_of_action", sa.Text(), nullable=False),
        sa.Column("picture", JSON, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "institution"),
    )
    op.create_index("network_project_institution", "network_project", ["institution", "project_id"], unique=False)
    op.create_table(
        "project",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("picture", JSON, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id"),
    )
    op.create_index("project_institution", "project", ["institution", "project_id"], unique=False)


def downgrade() -> None:
    """Drop the tables of members."""
    op.drop_table("project")
    op.drop_table("network_project")
    op.drop_table("network_institution")
    op.drop_table("institution")
    op.drop_table("api_key")
