"""network: what the office keeps: invitations, accounts on the hub, every roster it issued"""

import sqlalchemy as sa
from alembic import op

from shared.kit.database import UtcTime

revision = "network_0002"
down_revision = "network_0001"
branch_labels = None


def upgrade() -> None:
    """Make the tables of the office; on a member's node they stay empty."""
    op.create_table(
        "office_account",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("password_sha256", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("slug"),
    )
    op.create_table(
        "office_invitation",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("until", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("slug"),
    )
    op.create_table(
        "office_roster",
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("signatures", sa.LargeBinary(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
