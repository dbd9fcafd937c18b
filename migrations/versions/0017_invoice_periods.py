"""Invoices: what tariffs and checks need to know."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TEXTS = "buyer_reference", "cost_centre", "payment_ref"
DAYS = "period_from", "period_to"


def upgrade() -> None:
    """Let documents say their period and references, and payers their VAT number."""
    for column in TEXTS:
        op.add_column("invoices", sa.Column(column, sa.Text(), nullable=True))
    for column in DAYS:
        op.add_column("invoices", sa.Column(column, sa.Date(), nullable=True))
    op.add_column("payers", sa.Column("vat_id", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the columns, with what they said."""
    op.drop_column("payers", "vat_id")
    for column in reversed((*TEXTS, *DAYS)):
        op.drop_column("invoices", column)
