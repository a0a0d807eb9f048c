"""What the network keeps in the database of members: the link's streams and roster, and the office's decisions."""

import sqlalchemy as sa

from shared.kit.database import JSON, UtcTime

metadata = sa.MetaData()

# The exact bytes on the hub, boxes sealed: sealing is random, and a hub that was wiped must get the same bytes again.
signed = sa.Table(
    "link_signed",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("subject", sa.Text),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("kid", sa.Text, nullable=False),
    sa.Column("previous", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("local_hash", sa.LargeBinary),
    sa.Column("at", UtcTime, nullable=False),
    sa.Index("link_signed_subject", "stream", "subject", "epoch", "seq"),
)

# `floor` is where the unbroken end of the stream begins: what lies below is trimmed but for the newest of each key.
up = sa.Table(
    "link_up",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("local_hash", sa.LargeBinary),
    sa.Column("floor_epoch", sa.BigInteger, nullable=False),
    sa.Column("floor_seq", sa.BigInteger, nullable=False),
)

# The stream inside the node: a box is open there and has another chain, and ends earlier where its last entries could
# not be opened.
down = sa.Table(
    "link_down",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary),
    sa.Column("local_epoch", sa.BigInteger, nullable=False),
    sa.Column("local_seq", sa.BigInteger, nullable=False),
    sa.Column("local_hash", sa.LargeBinary),
)

# Where a stream stood at a moment: by these a foreign stream is trimmed by age, whatever its writer says of time.
mark = sa.Table(
    "link_mark",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("at", UtcTime, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

quarantine = sa.Table(
    "link_quarantine",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("kid", sa.Text, nullable=False),
    sa.Column("previous", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("last", UtcTime, nullable=False),
)

removal = sa.Table(
    "link_removal",
    metadata,
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("asked_at", UtcTime, nullable=False),
    sa.Column("done_at", UtcTime),
)

roster = sa.Table(
    "link_roster",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("roots", JSON, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("signatures", sa.LargeBinary, nullable=False),
)

invitation = sa.Table(
    "office_invitation",
    metadata,
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("secret_sha256", sa.LargeBinary, nullable=False),
    sa.Column("until", UtcTime, nullable=False),
)

# The password itself is known to the member's node alone.
account = sa.Table(
    "office_account",
    metadata,
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("password_sha256", sa.LargeBinary, nullable=False),
)

issued = sa.Table(
    "office_roster",
    metadata,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("signatures", sa.LargeBinary, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)
