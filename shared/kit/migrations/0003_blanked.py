"""kit: entries whose content is gone"""

import sqlalchemy as sa
from alembic import op

revision = "kit_0003"
down_revision = "kit_0002"
branch_labels = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "blanked",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("stream", "epoch", "seq"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("blanked")
