"""The tables of the service."""

import sqlalchemy as sa

from shared.kit.database import JSON, UtcTime

metadata = sa.MetaData()

series = sa.Table(
    "series",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Index("series_institution", "institution", "id"),
)

meeting = sa.Table(
    "meeting",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("series_id", sa.Text, sa.ForeignKey("series.id")),
    sa.Column("series_title", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("starts", UtcTime, nullable=False),
    sa.Column("ends", UtcTime),
    sa.Column("ends_at", UtcTime, nullable=False),
    sa.Column("place", JSON, nullable=False),
    sa.Column("interests", JSON, nullable=False),
    sa.Column("languages", JSON, nullable=False),
    sa.Column("capacity", sa.Integer, nullable=False),
    sa.Column("limit", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("taken", sa.Integer, nullable=False),
    sa.Column("held", sa.Integer, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Column("counted_at", UtcTime),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("meeting_institution", "institution", "id"),
    sa.Index("meeting_ends", "state", "ends_at"),
)

participant = sa.Table(
    "participant",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("mail", sa.Text, nullable=False),
    sa.Column("mail_key", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("institution", "mail_key", name="participant_once"),
)

# What remains of an erased person is a row without a person, for the counts: so nothing here points at participant.
registration = sa.Table(
    "registration",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("meeting_id", sa.Text, sa.ForeignKey("meeting.id"), nullable=False),
    sa.Column("participant_id", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("asked_at", UtcTime, nullable=False),
    sa.Column("asked", sa.Integer, nullable=False),
    sa.Column("confirm_until", UtcTime, nullable=False),
    sa.Column("offered_until", UtcTime),
    sa.Column("company", sa.Text),
    sa.Column("version", sa.BigInteger, nullable=False),
    # The queue in its own order: whoever is next, and how many are before somebody, without sorting.
    sa.Index("registration_queue", "meeting_id", "state", "since", "id"),
    sa.Index("registration_participant", "participant_id", "meeting_id"),
    sa.Index(
        "registration_once",
        "meeting_id",
        "participant_id",
        unique=True,
        postgresql_where=sa.text("state NOT IN ('cancelled', 'expired')"),
        sqlite_where=sa.text("state NOT IN ('cancelled', 'expired')"),
    ),
    sa.Index(
        "registration_deadline",
        "offered_until",
        postgresql_where=sa.text("state = 'offered'"),
        sqlite_where=sa.text("state = 'offered'"),
    ),
    sa.Index(
        "registration_unconfirmed",
        "confirm_until",
        postgresql_where=sa.text("state = 'unconfirmed'"),
        sqlite_where=sa.text("state = 'unconfirmed'"),
    ),
)

network_meeting = sa.Table(
    "network_meeting",
    metadata,
    sa.Column("meeting_id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("quarter", sa.Text),
    sa.Column("starts", UtcTime, nullable=False),
    sa.Column("free", sa.Integer, nullable=False),
    sa.Column("picture", JSON, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
    sa.Index("network_meeting_starts", "starts", "meeting_id", "institution"),
)

COPIES = (network_meeting,)
