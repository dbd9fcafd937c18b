"""Rules: what a version would change, tried on documents."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
TABLES = "rehearsal_differences", "rehearsal_totals", "rehearsal_findings"


def upgrade() -> None:
    """Create what rehearsals find, each table with the guards of an organisation's rows."""
    _create_differences()
    _create_sums()
    for table in TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO portal_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY organisation ON {table}"
            f" USING (organisation_id = {ORGANISATION})"
            f" WITH CHECK (organisation_id = {ORGANISATION})"
        )


def downgrade() -> None:
    """Drop what rehearsals have found."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_differences() -> None:
    name = "rehearsal_differences"
    op.create_table(
        name,
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("payer_kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        *_side("before"),
        *_side("after"),
        _minor("difference"),
        *(
            sa.Column(column, sa.ARRAY(sa.Text()), nullable=False)
            for column in ("appeared", "vanished", "clauses")
        ),
        sa.CheckConstraint(
            "change IN ('differs', 'newly_blocked', 'no_longer_blocked')",
            name=op.f(f"ck_{name}_change_known"),
        ),
        _currency(name),
        _run_key(name),
        sa.ForeignKeyConstraint(
            ["organisation_id", "invoice_id"],
            ["invoices.organisation_id", "invoices.id"],
            name=op.f(f"fk_{name}_invoices_organisation_id_invoice_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "run_id", "invoice_id", name=op.f(f"pk_{name}")),
    )


def _create_sums() -> None:
    keys = ("organisation_id", "run_id", "chunk_number")
    op.create_table(
        "rehearsal_totals",
        *_chunk(),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("payer_kind", sa.Text(), nullable=False),
        _count("documents"),
        _count("differing"),
        _count("priced_before"),
        *(_minor(f"{each}_before") for each in ("net", "tax", "total", "charges")),
        _count("priced_after"),
        *(_minor(f"{each}_after") for each in ("net", "tax", "total", "charges")),
        _currency("rehearsal_totals"),
        _run_key("rehearsal_totals"),
        sa.PrimaryKeyConstraint(*keys, "currency", "payer_kind", name=op.f("pk_rehearsal_totals")),
    )
    op.create_table(
        "rehearsal_findings",
        *_chunk(),
        sa.Column("code", sa.Text(), nullable=False),
        _count("before"),
        _count("after"),
        _run_key("rehearsal_findings"),
        sa.PrimaryKeyConstraint(*keys, "code", name=op.f("pk_rehearsal_findings")),
    )


def _side(side: str) -> list[sa.Column[object]]:
    return [
        *(
            sa.Column(f"{each}_{side}_minor", sa.BigInteger(), nullable=True)
            for each in ("net", "tax", "total")
        ),
        sa.Column(f"due_{side}_on", sa.Date(), nullable=True),
        sa.Column(
            f"charges_{side}_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    ]


def _chunk() -> list[sa.Column[object]]:
    return [
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("chunk_number", sa.Integer(), nullable=False),
    ]


def _count(name: str) -> sa.Column[object]:
    return sa.Column(f"{name}_count", sa.Integer(), nullable=False)


def _minor(name: str) -> sa.Column[object]:
    return sa.Column(f"{name}_minor", sa.BigInteger(), nullable=False)


def _currency(table: str) -> sa.CheckConstraint:
    return sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f(f"ck_{table}_currency_code"))


def _run_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organisation_id", "run_id"],
        ["batch_runs.organisation_id", "batch_runs.id"],
        name=op.f(f"fk_{table}_batch_runs_organisation_id_run_id"),
    )
