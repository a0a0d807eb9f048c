"""courses: offers, runs, participants, entitlements, enrolments, imports, copies of the network"""

import sqlalchemy as sa
from alembic import op

from shared.kit.database import JSON, UtcTime

revision = "courses_0001"
down_revision = None
branch_labels = ("courses",)


def upgrade() -> None:
    """Make the tables of the service."""
    op.create_table(
        "network_run",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("from_level", sa.Text(), nullable=True),
        sa.Column("to_level", sa.Text(), nullable=True),
        sa.Column("quarter", sa.Text(), nullable=True),
        sa.Column("free", sa.Integer(), nullable=False),
        sa.Column("picture", JSON, nullable=False),
        sa.Column("seen_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "institution"),
    )
    op.create_index("network_run_institution", "network_run", ["institution", "run_id"], unique=False)
    op.create_table(
        "offer",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("from_level", sa.Text(), nullable=True),
        sa.Column("to_level", sa.Text(), nullable=True),
        sa.Column("ue", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("offer_title", "offer", ["institution", "title"], unique=False)
    op.create_table(
        "participant",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("contact_consent", sa.Boolean(), nullable=False),
        sa.Column("mail", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("skills", JSON, nullable=False),
        sa.Column("levels_until", sa.Date(), nullable=True),
        sa.Column("schooling", sa.Text(), nullable=True),
        sa.Column("profession", sa.Text(), nullable=True),
        sa.Column("goal", sa.Text(), nullable=True),
        sa.Column("availability", JSON, nullable=False),
        sa.Column("childcare", sa.Boolean(), nullable=False),
        sa.Column("mobility", sa.Text(), nullable=True),
        sa.Column("languages", JSON, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("participant_institution", "participant", ["institution", "id"], unique=False)
    op.create_index("participant_levels", "participant", ["state", "levels_until"], unique=False)
    op.create_table(
        "entitlement",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("issuing_office", sa.Text(), nullable=False),
        sa.Column("obliged", sa.Boolean(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant_id"],
            ["participant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("entitlement_from", "entitlement", ["state", "valid_from"], unique=False)
    op.create_index("entitlement_participant", "entitlement", ["participant_id"], unique=False)
    op.create_index("entitlement_until", "entitlement", ["state", "valid_until"], unique=False)
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("offer_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("from_level", sa.Text(), nullable=True),
        sa.Column("to_level", sa.Text(), nullable=True),
        sa.Column("ue", sa.Integer(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("starts_at", UtcTime(), nullable=True),
        sa.Column("ends_at", UtcTime(), nullable=True),
        sa.Column("sessions", JSON, nullable=False),
        sa.Column("place", JSON, nullable=False),
        sa.Column("part_time", sa.Boolean(), nullable=False),
        sa.Column("mornings", sa.Boolean(), nullable=False),
        sa.Column("childcare", sa.Boolean(), nullable=False),
        sa.Column("minimum", sa.Integer(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("registered_elsewhere", sa.Integer(), nullable=False),
        sa.Column("cancelled_reason", sa.Text(), nullable=True),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("counted_at", UtcTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["offer_id"],
            ["offer.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("run_ends", "run", ["state", "ends_at"], unique=False)
    op.create_index("run_institution", "run", ["institution", "id"], unique=False)
    op.create_index("run_number", "run", ["institution", "number"], unique=False)
    op.create_index("run_starts", "run", ["state", "starts_at"], unique=False)
    op.create_table(
        "enrolment",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("participant_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("since", UtcTime(), nullable=False),
        sa.Column("offered_until", UtcTime(), nullable=True),
        sa.Column("entitlement_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant_id"],
            ["participant.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["run.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run_id", "participant_id", name="enrolment_once"),
    )
    op.create_index(
        "enrolment_deadline",
        "enrolment",
        ["offered_until"],
        unique=False,
        postgresql_where=sa.text("state = 'offered'"),
        sqlite_where=sa.text("state = 'offered'"),
    )
    op.create_index("enrolment_participant", "enrolment", ["participant_id"], unique=False)
    op.create_index("enrolment_queue", "enrolment", ["run_id", "state", "priority", "since", "id"], unique=False)
    op.create_table(
        "imported",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("base", JSON, nullable=False),
        sa.Column("local", JSON, nullable=False),
        sa.Column("edited", JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["run.id"],
        ),
        sa.PrimaryKeyConstraint("institution", "source", "number"),
        sa.UniqueConstraint("run_id"),
    )


def downgrade() -> None:
    """Drop the tables of the service."""
    op.drop_table("imported")
    op.drop_table("enrolment")
    op.drop_table("run")
    op.drop_table("entitlement")
    op.drop_table("participant")
    op.drop_table("offer")
    op.drop_table("network_run")
