"""The messages that wait for a person, found without reading those that are done."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("messages", "inbox_messages")


def upgrade() -> None:
    """Index what is parked."""
    for table in TABLES:
        op.create_index(
            f"ix_{table}_parked",
            table,
            ["organisation_id", "next_at"],
            postgresql_where=sa.text("state = 'parked'"),
        )


def downgrade() -> None:
    """Drop the indexes."""
    for table in TABLES:
        op.drop_index(f"ix_{table}_parked", table)
