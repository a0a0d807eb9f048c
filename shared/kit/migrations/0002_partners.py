"""kit: kept answers, messages of partner systems"""

import sqlalchemy as sa
from alembic import op

from shared.kit.database import JSON, UtcTime

revision = "kit_0002"
down_revision = "kit_0001"
branch_labels = None


def upgrade() -> None:
    """Make the tables, and have room for the ids that Redis makes by itself."""
    op.create_table(
        "answered",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", JSON, nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("answered_at", "answered", ["at"], unique=False)
    op.create_table(
        "partner_message",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "source", "id"),
    )
    op.create_index("partner_message_at", "partner_message", ["at"], unique=False)
    op.create_table(
        "partner_thing",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "key"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # An id of Redis begins with milliseconds; an INTEGER of SQLite holds them as it is.
        op.alter_column("parked", "epoch", type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)


def downgrade() -> None:
    """Drop the tables."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("parked", "epoch", type_=sa.Integer(), existing_type=sa.BigInteger(), existing_nullable=False)
    op.drop_table("partner_thing")
    op.drop_table("partner_message")
    op.drop_table("answered")
