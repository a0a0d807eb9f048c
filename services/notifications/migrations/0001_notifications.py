"""notifications: contacts, deliveries and their attempts, pictures, suppressed addresses, pauses"""

import sqlalchemy as sa
from alembic import op

from shared.kit.database import JSON, UtcTime

revision = "notifications_0001"
down_revision = None
branch_labels = ("notifications",)


def upgrade() -> None:
    """Make the tables of notifications."""
    op.create_table(
        "contact",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mail", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "participant_id"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("business_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("occasion_id", sa.Text(), nullable=False),
        sa.Column("occasion_version", sa.BigInteger(), nullable=False),
        sa.Column("picture", sa.Text(), nullable=False),
        sa.Column("starts", UtcTime(), nullable=True),
        sa.Column("facts", JSON, nullable=False),
        sa.Column("not_before", UtcTime(), nullable=False),
        sa.Column("useless_after", UtcTime(), nullable=False),
        sa.Column("planned_at", UtcTime(), nullable=False),
        sa.Column("changed_at", UtcTime(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_attempt_at", UtcTime(), nullable=True),
        sa.Column("sent_once_more", sa.Boolean(), nullable=False),
        sa.Column("stopped", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until", UtcTime(), nullable=True),
        sa.Column("forgotten", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("business_key"),
    )
    op.create_index(
        "delivery_due",
        "delivery",
        ["rank", "not_before", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
        sqlite_where=sa.text("state IN ('queued', 'deferred')"),
    )
    op.create_index("delivery_page", "delivery", ["institution", "id"], unique=False)
    op.create_index("delivery_participant", "delivery", ["institution", "participant_id"], unique=False)
    op.create_index("delivery_state", "delivery", ["state", "not_before"], unique=False)
    op.create_index("delivery_subject", "delivery", ["institution", "subject_id"], unique=False)
    op.create_table(
        "pause",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.Column("until", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_table(
        "picture",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("occasion_id", sa.Text(), nullable=False),
        sa.Column("shown", JSON, nullable=False),
        sa.Column("kept_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "digest"),
    )
    op.create_table(
        "subject",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "subject_id"),
    )
    op.create_table(
        "suppression",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.Column("until", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("fingerprint"),
    )
    op.create_table(
        "delivery_attempt",
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["delivery.id"],
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number"),
    )


def downgrade() -> None:
    """Drop the tables of notifications."""
    op.drop_table("delivery_attempt")
    op.drop_table("suppression")
    op.drop_table("subject")
    op.drop_table("picture")
    op.drop_table("pause")
    op.drop_table("delivery")
    op.drop_table("contact")
