"""The tables of the service."""

import sqlalchemy as sa

from shared.kit.database import JSON, UtcTime

metadata = sa.MetaData()

offer = sa.Table(
    "offer",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("from_level", sa.Text),
    sa.Column("to_level", sa.Text),
    sa.Column("ue", sa.Integer, nullable=False),
    sa.Column("description", sa.Text),
    sa.Index("offer_title", "institution", "title"),
)

run = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("offer_id", sa.Text, sa.ForeignKey("offer.id"), nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("field_of_action", sa.Text),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("from_level", sa.Text),
    sa.Column("to_level", sa.Text),
    sa.Column("ue", sa.Integer, nullable=False),
    sa.Column("starts_on", sa.Date),
    sa.Column("ends_on", sa.Date),
    sa.Column("starts_at", UtcTime),
    sa.Column("ends_at", UtcTime),
    sa.Column("sessions", JSON, nullable=False),
    sa.Column("place", JSON, nullable=False),
    sa.Column("part_time", sa.Boolean, nullable=False),
    sa.Column("mornings", sa.Boolean, nullable=False),
    sa.Column("childcare", sa.Boolean, nullable=False),
    sa.Column("minimum", sa.Integer, nullable=False),
    sa.Column("capacity", sa.Integer, nullable=False),
    sa.Column("registered_elsewhere", sa.Integer, nullable=False),
    sa.Column("cancelled_reason", sa.Text),
    sa.Column("taken", sa.Integer, nullable=False),
    sa.Column("held", sa.Integer, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Column("counted_at", UtcTime),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("run_institution", "institution", "id"),
    sa.Index("run_number", "institution", "number"),
    sa.Index("run_starts", "state", "starts_at"),
    sa.Index("run_ends", "state", "ends_at"),
)

participant = sa.Table(
    "participant",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("contact_consent", sa.Boolean, nullable=False),
    sa.Column("mail", sa.Text),
    sa.Column("phone", sa.Text),
    sa.Column("skills", JSON, nullable=False),
    sa.Column("levels_until", sa.Date),
    sa.Column("schooling", sa.Text),
    sa.Column("profession", sa.Text),
    sa.Column("goal", sa.Text),
    sa.Column("availability", JSON, nullable=False),
    sa.Column("childcare", sa.Boolean, nullable=False),
    sa.Column("mobility", sa.Text),
    sa.Column("languages", JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("participant_institution", "institution", "id"),
    sa.Index("participant_levels", "state", "levels_until"),
)

entitlement = sa.Table(
    "entitlement",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("participant_id", sa.Text, sa.ForeignKey("participant.id"), nullable=False),
    sa.Column("issuing_office", sa.Text, nullable=False),
    sa.Column("obliged", sa.Boolean, nullable=False),
    sa.Column("valid_from", sa.Date, nullable=False),
    sa.Column("valid_until", sa.Date, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Index("entitlement_participant", "participant_id"),
    sa.Index("entitlement_from", "state", "valid_from"),
    sa.Index("entitlement_until", "state", "valid_until"),
)

enrolment = sa.Table(
    "enrolment",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, sa.ForeignKey("run.id"), nullable=False),
    sa.Column("participant_id", sa.Text, sa.ForeignKey("participant.id"), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("offered_until", UtcTime),
    sa.Column("entitlement_id", sa.Text),
    sa.Column("referral_id", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("run_id", "participant_id", name="enrolment_once"),
    # The queue in its own order: whoever is next, and how many are before somebody, without sorting.
    sa.Index("enrolment_queue", "run_id", "state", "priority", "since", "id"),
    sa.Index("enrolment_participant", "participant_id"),
    sa.Index(
        "enrolment_deadline",
        "offered_until",
        postgresql_where=sa.text("state = 'offered'"),
        sqlite_where=sa.text("state = 'offered'"),
    ),
)

# Both sides of a referral have a row each, also where both are hosted here.
referral = sa.Table(
    "referral",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("other", sa.Text, nullable=False),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("fields", JSON, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("expires_on", sa.Date, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("asked_at", UtcTime, nullable=False),
    sa.Column("participant_id", sa.Text),
    sa.Column("enrolment_id", sa.Text),
    sa.Column("consent", JSON),
    sa.Column("code", sa.Text),
    sa.Column("sent_at", UtcTime),
    sa.Column("ended_at", UtcTime),
    sa.Column("known_before", sa.Boolean, nullable=False),
    sa.Column("forget", sa.Boolean, nullable=False),
    sa.Column("erasure", sa.Text),
    sa.Column("erasure_at", UtcTime),
    sa.Column("receipt", JSON),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Index("referral_participant", "participant_id"),
    sa.Index("referral_due", "state", "expires_on"),
    sa.Index(
        "referral_unverified",
        "id",
        postgresql_where=sa.text("erasure = 'unverified'"),
        sqlite_where=sa.text("erasure = 'unverified'"),
    ),
    sa.Index("referral_forget", "id", postgresql_where=sa.text("forget"), sqlite_where=sa.text("forget")),
)

# The private half lives from the question until the answer is read, and in this place alone.
referral_key = sa.Table(
    "referral_key",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("referral_id", sa.Text, primary_key=True),
    sa.Column("private", sa.LargeBinary, nullable=False),
)

imported = sa.Table(
    "imported",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("number", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, sa.ForeignKey("run.id"), nullable=False, unique=True),
    sa.Column("base", JSON, nullable=False),
    sa.Column("local", JSON, nullable=False),
    sa.Column("edited", JSON, nullable=False),
)

network_run = sa.Table(
    "network_run",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("from_level", sa.Text),
    sa.Column("to_level", sa.Text),
    sa.Column("quarter", sa.Text),
    sa.Column("field_of_action", sa.Text),
    sa.Column("starts_on", sa.Date),
    sa.Column("free", sa.Integer, nullable=False),
    sa.Column("picture", JSON, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
    sa.Index("network_run_institution", "institution", "run_id"),
    sa.Index("network_run_quarter", "quarter", "run_id", "institution"),
    sa.Index("network_run_starts", "starts_on"),
)

COPIES = (network_run,)
