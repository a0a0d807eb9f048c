"""events: series, meetings, people, registrations, and copies of the network's meetings"""

import sqlalchemy as sa
from alembic import op

from shared.kit.database import JSON, UtcTime

revision = "events_0001"
down_revision = None
branch_labels = ("events",)


def upgrade() -> None:
    """Make the tables of events."""
    op.create_table(
        "network_meeting",
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("quarter", sa.Text(), nullable=True),
        sa.Column("starts", UtcTime(), nullable=False),
        sa.Column("free", sa.Integer(), nullable=False),
        sa.Column("picture", JSON, nullable=False),
        sa.Column("seen_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("meeting_id", "institution"),
    )
    op.create_index("network_meeting_starts", "network_meeting", ["starts", "meeting_id", "institution"], unique=False)
    op.create_table(
        "participant",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mail", sa.Text(), nullable=False),
        sa.Column("mail_key", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("institution", "mail_key", name="participant_once"),
    )
    op.create_table(
        "series",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("series_institution", "series", ["institution", "id"], unique=False)
    op.create_table(
        "meeting",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("series_id", sa.Text(), nullable=True),
        sa.Column("series_title", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("starts", UtcTime(), nullable=False),
        sa.Column("ends", UtcTime(), nullable=True),
        sa.Column("ends_at", UtcTime(), nullable=False),
        sa.Column("place", JSON, nullable=False),
        sa.Column("interests", JSON, nullable=False),
        sa.Column("languages", JSON, nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("limit", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("counted_at", UtcTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_id"],
            ["series.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("meeting_ends", "meeting", ["state", "ends_at"], unique=False)
    op.create_index("meeting_institution", "meeting", ["institution", "id"], unique=False)
    op.create_table(
        "registration",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Text(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.Column("asked_at", UtcTime(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column("confirm_until", UtcTime(), nullable=False),
        sa.Column("offered_until", UtcTime(), nullable=True),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["meeting_id"],
            ["meeting.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "registration_deadline",
        "registration",
        ["offered_until"],
        unique=False,
        postgresql_where=sa.text("state = 'offered'"),
        sqlite_where=sa.text("state = 'offered'"),
    )
    op.create_index(
        "registration_once",
        "registration",
        ["meeting_id", "participant_id"],
        unique=True,
        postgresql_where=sa.text("state NOT IN ('cancelled', 'expired')"),
        sqlite_where=sa.text("state NOT IN ('cancelled', 'expired')"),
    )
    op.create_index("registration_participant", "registration", ["participant_id", "meeting_id"], unique=False)
    op.create_index("registration_queue", "registration", ["meeting_id", "state", "since", "id"], unique=False)
    op.create_index(
        "registration_unconfirmed",
        "registration",
        ["confirm_until"],
        unique=False,
        postgresql_where=sa.text("state = 'unconfirmed'"),
        sqlite_where=sa.text("state = 'unconfirmed'"),
    )


def downgrade() -> None:
    """Drop the tables of events."""
    op.drop_table("registration")
    op.drop_table("meeting")
    op.drop_table("series")
    op.drop_table("participant")
    op.drop_table("network_meeting")
