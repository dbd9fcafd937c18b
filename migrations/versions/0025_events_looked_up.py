"""Events: what people did, and what happened on a day, is found without reading all of it."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the few events of people, and the days of all."""
    op.create_index(
        "ix_events_people",
        "events",
        ["organisation_id", "id"],
        postgresql_where=sa.text("actor_kind IN ('person', 'operator')"),
    )
    op.create_index("ix_events_days", "events", ["happened_at"], postgresql_using="brin")


def downgrade() -> None:
    """Drop the indexes."""
    op.drop_index("ix_events_days", "events")
    op.drop_index("ix_events_people", "events")
