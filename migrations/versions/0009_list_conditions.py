"""The orders of invoices carry what the list can be narrowed by."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
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


def upgrade() -> None:
    """Write the indexes with the conditions behind the id."""
    _replace(CONDITIONS)


def downgrade() -> None:
    """Write the indexes without them."""
    _replace([])


def _replace(conditions: list[str]) -> None:
    for name, keys in ORDERS.items():
        index = f"ix_invoices_by_{name}"
        columns = ["status", *keys, "id", *(each for each in conditions if each not in keys)]
        op.drop_index(index, "invoices")
        op.create_index(index, "invoices", ["organisation_id", *map(sa.text, columns)])
