"""Payers: what was agreed with one who cannot pay as usual, and until when."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

CHECKS = {
    "ck_payers_arrangement_known": "arrangement IN ('hardship', 'instalments')",
    "ck_payers_arranged_with_an_end": "(arrangement IS NULL) = (arranged_until IS NULL)",
}


def upgrade() -> None:
    """Keep arrangements; there is none so far."""
    op.add_column("payers", sa.Column("arrangement", sa.Text(), nullable=True))
    op.add_column("payers", sa.Column("arranged_until", sa.Date(), nullable=True))
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(name), "payers", condition)


def downgrade() -> None:
    """Drop what was agreed; that it was stays among the events."""
    for name in CHECKS:
        op.drop_constraint(op.f(name), "payers")
    op.drop_column("payers", "arranged_until")
    op.drop_column("payers", "arrangement")
