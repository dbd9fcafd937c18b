"""The frozen population with its totals, and the second person."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CHECKS = {
    "approved_by_another": "approved_by_id <> started_by_id",
    "approval_whole": (
        "(approved_by IS NULL) = (approved_at IS NULL)"
        " AND (approved_by_id IS NULL) = (approved_at IS NULL)"
    ),
    "approved_before_start": (
        "NOT needs_approval OR approved_at IS NOT NULL"
        " OR state IN ('prepared', 'awaiting_approval', 'abandoned')"
    ),
}


def upgrade() -> None:
    """Add the sheet, the approval and what each chunk is compared with."""
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_batch_runs_{name}"), "batch_runs", condition)
    op.create_index(
        "uq_batch_runs_repeat",
        "batch_runs",
        ["organisation_id", "repeats_id"],
        unique=True,
        postgresql_where=sa.text("repeats_id IS NOT NULL AND state <> 'abandoned'"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("uq_batch_runs_repeat", "batch_runs")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_batch_runs_{name}"), "batch_runs")
    for table, columns in _columns().items():
        for column in columns:
            op.drop_column(table, column.name)


def _columns() -> dict[str, list[sa.Column]]:
    return {
        "batch_runs": [
            sa.Column(
                "sheet",
                postgresql.JSONB(astext_type=sa.Text()),
                server_default=sa.text("'{}'"),
                nullable=False,
            ),
            sa.Column("tolerance_bps", sa.SmallInteger(), nullable=True),
            sa.Column(
                "needs_approval", sa.Boolean(), server_default=sa.text("false"), nullable=False
            ),
            sa.Column("started_by_id", sa.Uuid(), nullable=True),
            sa.Column("approved_by", sa.Text(), nullable=True),
            sa.Column("approved_by_id", sa.Uuid(), nullable=True),
            sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        ],
        "batch_chunks": [
            sa.Column(
                "item_versions",
                postgresql.ARRAY(sa.BigInteger()),
                server_default=sa.text("'{}'"),
                nullable=False,
            ),
            sa.Column("changed_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        ],
    }
