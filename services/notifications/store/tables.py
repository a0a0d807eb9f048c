"""The tables of notifications; the row of a delivery with its attempts is the record of a mail."""

import sqlalchemy as sa

from shared.kit.database import JSON, UtcTime

metadata = sa.MetaData()

contact = sa.Table(
    "contact",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("participant_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("mail", sa.Text),
    sa.Column("language", sa.Text, nullable=False),
    # The row stays behind as an empty mark, so that a message that comes late cannot bring the contact back.
    sa.Column("erased", sa.Boolean, nullable=False),
    sa.Column("forget_at", UtcTime),
    sa.Index(
        "contact_leaving",
        "forget_at",
        postgresql_where=sa.text("forget_at IS NOT NULL"),
        sqlite_where=sa.text("forget_at IS NOT NULL"),
    ),
)

subject = sa.Table(
    "subject",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("subject_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)

picture = sa.Table(
    "picture",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("occasion_id", sa.Text, nullable=False),
    sa.Column("shown", JSON, nullable=False),
    sa.Column("kept_at", UtcTime, nullable=False),
)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("participant_id", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("business_key", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("class", sa.Text, nullable=False),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("occasion_id", sa.Text, nullable=False),
    sa.Column("occasion_version", sa.BigInteger, nullable=False),
    sa.Column("picture", sa.Text, nullable=False),
    sa.Column("starts", UtcTime),
    sa.Column("facts", JSON, nullable=False),
    sa.Column("not_before", UtcTime, nullable=False),
    sa.Column("useless_after", UtcTime, nullable=False),
    sa.Column("planned_at", UtcTime, nullable=False),
    sa.Column("changed_at", UtcTime, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("first_attempt_at", UtcTime),
    sa.Column("sent_once_more", sa.Boolean, nullable=False),
    sa.Column("stopped", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("body", sa.LargeBinary),
    sa.Column("claimed_by", sa.Text),
    sa.Column("claimed_until", UtcTime),
    sa.Column("forgotten", sa.Boolean, nullable=False),
    sa.Index(
        "delivery_due",
        "rank",
        "not_before",
        "id",
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
        sqlite_where=sa.text("state IN ('queued', 'deferred')"),
    ),
    sa.Index("delivery_state", "state", "not_before"),
    sa.Index("delivery_subject", "institution", "subject_id"),
    sa.Index("delivery_participant", "institution", "participant_id"),
    sa.Index("delivery_page", "institution", "id"),
)

attempt = sa.Table(
    "delivery_attempt",
    metadata,
    sa.Column("delivery_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("ended_at", UtcTime),
    sa.Column("outcome", sa.Text),
    sa.Column("phase", sa.Text),
    sa.Column("code", sa.Integer),
    sa.Column("answer", sa.Text),
    sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"]),
)

suppression = sa.Table(
    "suppression",
    metadata,
    sa.Column("fingerprint", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("participant_id", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("until", UtcTime),
)

pause = sa.Table(
    "pause",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("until", UtcTime, nullable=False),
)

webhook = sa.Table(
    "webhook",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("types", JSON, nullable=False),
    sa.Column("institutions", JSON, nullable=False),
    sa.Column("signing", sa.Text, nullable=False),
    sa.Column("begins", JSON, nullable=False),
    sa.Column("made_at", UtcTime, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since", UtcTime),
    sa.Column("open_until", UtcTime),
    sa.Index("webhook_institution", "institution", "id"),
)

webhook_secret = sa.Table(
    "webhook_secret",
    metadata,
    sa.Column("webhook_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("public_key", sa.Text),
    sa.Column("until", UtcTime),
    sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"]),
)

# The bytes of a message are kept once for all webhooks that get it.
pushed_message = sa.Table(
    "pushed_message",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("kept_at", UtcTime, nullable=False),
    sa.Index("pushed_message_kept", "kept_at"),
)

push = sa.Table(
    "push",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("webhook_id", sa.Text, nullable=False),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("made_at", UtcTime, nullable=False),
    sa.Column("changed_at", UtcTime, nullable=False),
    sa.Column("not_before", UtcTime, nullable=False),
    sa.Column("until", UtcTime, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_outcome", sa.Text),
    sa.Column("claimed_by", sa.Text),
    sa.Column("claimed_until", UtcTime),
    sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"]),
    sa.ForeignKeyConstraint(["message_id"], ["pushed_message.id"]),
    sa.UniqueConstraint("webhook_id", "message_id"),
    sa.Index(
        "push_due",
        "webhook_id",
        "not_before",
        "id",
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    ),
    sa.Index(
        "push_sending",
        "webhook_id",
        postgresql_where=sa.text("state = 'sending'"),
        sqlite_where=sa.text("state = 'sending'"),
    ),
    sa.Index("push_page", "webhook_id", "id"),
    sa.Index("push_state", "state", "changed_at"),
    sa.Index("push_message", "message_id"),
)

push_attempt = sa.Table(
    "push_attempt",
    metadata,
    sa.Column("push_id", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("ended_at", UtcTime),
    sa.Column("outcome", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("answer", sa.Text),
    sa.ForeignKeyConstraint(["push_id"], ["push.id"]),
)
