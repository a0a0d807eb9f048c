"""The tables that the kit keeps in every service's database, in the transactions of that service."""

import sqlalchemy as sa

from shared.kit.database import JSON, UtcTime

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("told_at", UtcTime, nullable=False),
    sa.Column("epoch", sa.Integer),
    sa.Column("seq", sa.BigInteger),
    sa.Column("hash", sa.LargeBinary),
    sa.Index("outbox_position", "stream", "epoch", "seq", unique=True),
    sa.Index("outbox_key", "stream", "key", "seq"),
    sa.Index(
        "outbox_waiting",
        "id",
        postgresql_where=sa.text("seq IS NULL"),
        sqlite_where=sa.text("seq IS NULL"),
    ),
)

# Entries whose content is gone from the log and has to go from Redis, too.
blanked = sa.Table(
    "blanked",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
)

stream_head = sa.Table(
    "stream_head",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)

cursor = sa.Table(
    "cursor",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("careful_epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("careful_seq", sa.BigInteger, nullable=False, server_default="0"),
)

parked = sa.Table(
    "parked",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("epoch", _BIG, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("type", sa.Text),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("parked_at", UtcTime, nullable=False),
    sa.Column("ended_at", UtcTime),
    sa.Column("ended_by", sa.Text),
    sa.Column("ended_why", sa.Text),
    sa.Index("parked_position", "stream", "epoch", "seq", unique=True),
    sa.Index("parked_key", "stream", "state", "key"),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("until", UtcTime, nullable=False),
)

institution = sa.Table(
    "institution_known",
    metadata,
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

api_key = sa.Table(
    "api_key_known",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("institution", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", JSON, nullable=False),
    sa.Column("revoked", sa.Boolean, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
)

# Neither the caller's key nor the address is kept as it is: an address may hold the token of a link.
answered = sa.Table(
    "answered",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("body_sha256", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("headers", JSON, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("at", UtcTime, nullable=False),
    sa.Index("answered_at", "at"),
)

partner_message = sa.Table(
    "partner_message",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Index("partner_message_at", "at"),
)

partner_thing = sa.Table(
    "partner_thing",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
)

COPIES = (institution, api_key)
