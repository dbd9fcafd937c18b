"""Cases: what was expected and did not come."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
KINDS = (
    "acknowledgement_late",
    "unknown_outcome_late",
    "webhook_stuck",
    "run_stuck",
    "payout_late",
    "payout_not_on_bank",
    "clearing_aged",
    "missing_here",
    "missing_there",
    "amount_differs",
    "status_differs",
    "duplicate",
)
SUBJECTS = (
    "attempt",
    "inbox_message",
    "run",
    "payout",
    "collected_day",
    "ledger_account",
    "payment",
    "invoice",
    "gateway_record",
)
WATCHED = (
    ("organisations", "watched_at"),
    ("organisations", "books_watched_at"),
    ("gateway_accounts", "compared_at"),
)


def upgrade() -> None:
    """Create the cases, and note when each organisation was last looked after."""
    for table, column in WATCHED:
        op.add_column(table, sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    _create_cases()
    for name, columns in (
        ("ix_cases_by_opened", ["opened_at"]),
        ("ix_cases_by_since", ["since_at"]),
        (
            "ix_cases_by_amount",
            [sa.text("(CASE WHEN amount_minor IS NULL THEN 0::bigint ELSE amount_minor END)")],
        ),
    ):
        op.create_index(name, "cases", ["organisation_id", "state", *columns, "id"])
    op.create_index(
        "uq_cases_standing",
        "cases",
        ["organisation_id", "kind", "subject_id"],
        unique=True,
        postgresql_where=sa.text("gone_at IS NULL"),
    )
    op.create_index(
        "ix_cases_account",
        "cases",
        ["organisation_id", "gateway_account_id"],
        postgresql_where=sa.text("gateway_account_id IS NOT NULL AND gone_at IS NULL"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON cases TO portal_app")
    op.execute("ALTER TABLE cases ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE cases FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organisation ON cases"
        f" USING (organisation_id = {ORGANISATION})"
        f" WITH CHECK (organisation_id = {ORGANISATION})"
    )


def downgrade() -> None:
    """Drop what was created; what the cases said is lost."""
    op.drop_table("cases")
    for table, column in WATCHED:
        op.drop_column(table, column)


def _create_cases() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "cases",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("subject_type", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("subject_name", sa.Text(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=True),
        sa.Column("since_at", instant, nullable=False),
        sa.Column("opened_at", instant, nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column(
            "details", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("ended_at", instant, nullable=True),
        sa.Column("gone_at", instant, nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        *_checks(),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"],
            name=op.f("fk_cases_organisations_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id"],
            ["gateway_accounts.organisation_id", "gateway_accounts.id"],
            name=op.f("fk_cases_gateway_accounts_organisation_id_gateway_account_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_cases")),
    )  # fmt: skip


def _checks() -> list[sa.CheckConstraint]:
    kinds, subjects = (", ".join(f"'{one}'" for one in names) for names in (KINDS, SUBJECTS))
    return [
        sa.CheckConstraint(check, name=op.f(f"ck_cases_{name}"))
        for name, check in (
            ("kind_known", f"kind IN ({kinds})"),
            ("state_known", "state IN ('open', 'resolved', 'closed')"),
            ("subject_type_known", f"subject_type IN ({subjects})"),
            ("currency_code", "currency ~ '^[A-Z]{3}$'"),
            ("end_whole", "(state = 'open') = (ended_at IS NULL)"),
            (
                "closed_by_whom",
                "(state = 'closed') = (closed_by IS NOT NULL)"
                " AND (closed_by IS NULL) = (reason IS NULL)",
            ),
            ("reason_given", "length(reason) BETWEEN 1 AND 500"),
            (
                "stands_while_open",
                "CASE state WHEN 'open' THEN gone_at IS NULL"
                " WHEN 'resolved' THEN gone_at IS NOT NULL ELSE true END",
            ),
        )
    ]
