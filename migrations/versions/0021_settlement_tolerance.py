"""Settlements: how much more or less than a payout the bank showed, where that is agreed."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

CHECK = "ck_settlements_tolerated_when_closed"


def upgrade() -> None:
    """Keep the difference that an agreement tolerates; none so far."""
    op.add_column(
        "settlements",
        sa.Column("tolerated_minor", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.create_check_constraint(
        op.f(CHECK), "settlements", "tolerated_minor = 0 OR state = 'closed'"
    )


def downgrade() -> None:
    """Drop the difference; what it was stays in the ledger."""
    op.drop_constraint(op.f(CHECK), "settlements")
    op.drop_column("settlements", "tolerated_minor")
