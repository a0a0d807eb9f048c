"""courses: referrals, their keys, and the enrolments that came of them"""

import sqlalchemy as sa
from alembic import op

from shared.kit.database import JSON, UtcTime

revision = "courses_0002"
down_revision = "courses_0001"
branch_labels = None


def upgrade() -> None:
    """Make the tables, and let an enrolment name the referral that brought it."""
    op.create_table(
        "referral",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("fields", JSON, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", UtcTime(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=True),
        sa.Column("enrolment_id", sa.Text(), nullable=True),
        sa.Column("consent", JSON, nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("sent_at", UtcTime(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("known_before", sa.Boolean(), nullable=False),
        sa.Column("forget", sa.Boolean(), nullable=False),
        sa.Column("erasure", sa.Text(), nullable=True),
        sa.Column("erasure_at", UtcTime(), nullable=True),
        sa.Column("receipt", JSON, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "id"),
    )
    op.create_index("referral_participant", "referral", ["participant_id"], unique=False)
    op.create_index("referral_due", "referral", ["state", "expires_on"], unique=False)
    op.create_index(
        "referral_forget",
        "referral",
        ["id"],
        unique=False,
        postgresql_where=sa.text("forget"),
        sqlite_where=sa.text("forget"),
    )
    op.create_index(
        "referral_unverified",
        "referral",
        ["id"],
        unique=False,
        postgresql_where=sa.text("erasure = 'unverified'"),
        sqlite_where=sa.text("erasure = 'unverified'"),
    )
    op.create_table(
        "referral_key",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("referral_id", sa.Text(), nullable=False),
        sa.Column("private", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "referral_id"),
    )
    op.add_column("enrolment", sa.Column("referral_id", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the tables and the column."""
    with op.batch_alter_table("enrolment") as enrolment:
        enrolment.drop_column("referral_id")
    op.drop_table("referral_key")
    op.drop_table("referral")
