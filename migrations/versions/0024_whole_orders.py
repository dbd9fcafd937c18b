"""Orders of all invoices at once; by status only those that are not paid."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def _or_else(column: str, absent: str) -> str:
    return f"(CASE WHEN {column} IS NULL THEN {absent} ELSE {column} END)"


ISSUED = _or_else("issued_on", "'infinity'::date")
DUE = _or_else("due_on", "'infinity'::date")
ORDERS = {
    "number": ["series", _or_else("year", "0::smallint"), _or_else("number", "0::bigint")],
    "issued": [ISSUED],
    "due": [DUE],
    "total": ["total_minor"],
    "open": ["open_minor"],
}
CONDITIONS = ["payer_id", ISSUED, DUE, "total_minor", "open_minor", "kind", "currency"]
NOT_PAID = "status <> 'paid'"


def upgrade() -> None:
    """Write each order twice: of all invoices, and of each status but the one most come to."""
    for name, keys in ORDERS.items():
        op.drop_index(f"ix_invoices_by_{name}", "invoices")
        _create(f"ix_invoices_by_{name}", [*keys, "id", "status"])
        _create(f"ix_invoices_by_status_{name}", ["status", *keys, "id"], where=NOT_PAID)


def downgrade() -> None:
    """Write each order once, by status."""
    for name, keys in ORDERS.items():
        op.drop_index(f"ix_invoices_by_status_{name}", "invoices")
        op.drop_index(f"ix_invoices_by_{name}", "invoices")
        _create(f"ix_invoices_by_{name}", ["status", *keys, "id"])


def _create(index: str, first: list[str], *, where: str | None = None) -> None:
    columns = [*first, *(each for each in CONDITIONS if each not in first)]
    op.create_index(
        index,
        "invoices",
        ["organisation_id", *map(sa.text, columns)],
        postgresql_where=sa.text(where) if where else None,
    )
