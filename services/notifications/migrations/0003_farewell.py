"""notifications: contacts that are forgotten when their last mails have left"""

import sqlalchemy as sa
from alembic import op

from shared.kit.database import UtcTime

revision = "notifications_0003"
down_revision = "notifications_0002"
branch_labels = None


def upgrade() -> None:
    """Add the moment, and an index over the few who have one."""
    op.add_column("contact", sa.Column("forget_at", UtcTime(), nullable=True))
    op.create_index(
        "contact_leaving",
        "contact",
        ["forget_at"],
        unique=False,
        postgresql_where=sa.text("forget_at IS NOT NULL"),
        sqlite_where=sa.text("forget_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_index("contact_leaving", table_name="contact")
    with op.batch_alter_table("contact") as contact:
        contact.drop_column("forget_at")
