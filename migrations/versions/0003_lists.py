"""What the lists are read by: one status per invoice, and an index for each order of rows."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SETTLED = "paid_minor + credited_minor + written_off_minor"
STATUS = (
    "CASE WHEN state <> 'issued' THEN state"
    " WHEN kind = 'credit_note' AND applied_minor < total_minor THEN 'credit_left'"
    " WHEN kind = 'credit_note' THEN 'credit_used'"
    f" WHEN total_minor = {SETTLED} THEN 'paid'"
    " WHEN in_payment_minor > 0 THEN 'in_payment'"
    f" WHEN {SETTLED} > 0 THEN 'partially_paid'"
    " ELSE 'unpaid' END"
)


def _or_else(column: str, absent: str) -> str:
    return f"(CASE WHEN {column} IS NULL THEN {absent} ELSE {column} END)"


# index → (table, columns and expressions between the organisation and the id)
ORDERS = {
    "ix_invoices_by_number": (
        "invoices",
        ["status", "series", _or_else("year", "0::smallint"), _or_else("number", "0::bigint")],
    ),
    "ix_invoices_by_issued": ("invoices", ["status", _or_else("issued_on", "'infinity'::date")]),
    "ix_invoices_by_due": ("invoices", ["status", _or_else("due_on", "'infinity'::date")]),
    "ix_invoices_by_total": ("invoices", ["status", "total_minor"]),
    "ix_invoices_by_open": ("invoices", ["status", "open_minor"]),
    "ix_payers_number": ("payers", ["number"]),
    "ix_payments_by_start": ("payments", ["state", "started_on"]),
    "ix_payments_by_amount": ("payments", ["state", "amount_minor"]),
    "ix_payment_attempts_by_day": ("payment_attempts", ["state", "business_on"]),
    "ix_payment_attempts_by_amount": ("payment_attempts", ["state", "amount_minor"]),
}


def upgrade() -> None:
    """Add the status and the indexes; names are compared by code point from now on."""
    op.add_column(
        "invoices",
        sa.Column("status", sa.Text(), sa.Computed(STATUS, persisted=True), nullable=False),
    )
    op.alter_column("payers", "name_sort", type_=sa.Text(collation="C"))
    for name, (table, keys) in ORDERS.items():
        op.create_index(name, table, ["organisation_id", *map(sa.text, keys), "id"])
    op.create_index(
        "ix_invoices_rare_kind",
        "invoices",
        ["organisation_id", "kind"],
        postgresql_where=sa.text("kind IN ('correction', 'charge')"),
    )


def downgrade() -> None:
    """Drop them again."""
    op.drop_index("ix_invoices_rare_kind", "invoices")
    for name, (table, _) in ORDERS.items():
        op.drop_index(name, table)
    op.alter_column("payers", "name_sort", type_=sa.Text())
    op.drop_column("invoices", "status")
