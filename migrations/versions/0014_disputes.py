"""Disputes: money the card network takes back, and what was answered."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
SWEPT = "organisation_id, state, next_query_at"
OPEN = "state IN ('needs_response', 'under_review')"
# What a column allowed before, and what it allows besides.
KINDS = {
    ("messages", "kind"): (
        (
            "gateway.charge",
            "gateway.query",
            "gateway.close_day",
            "gateway.list_events",
            "refund.create",
            "refund.query",
        ),
        ("dispute.respond", "dispute.accept", "dispute.query"),
    ),
    ("ledger_entries", "kind"): (
        (
            "invoice_issued",
            "credit_note_issued",
            "payment_succeeded",
            "payment_returned",
            "payment_recorded",
            "credit_applied",
            "deposit_received",
            "deposit_applied",
            "payout_matched",
            "payout_banked",
            "refund_succeeded",
        ),
        ("dispute_opened", "dispute_won"),
    ),
    ("payout_items", "kind"): (
        ("payment", "refund", "return", "chargeback", "fee", "adjustment", "reserve"),
        ("chargeback_reversed",),
    ),
    ("cases", "kind"): (
        (
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
        ),
        ("dispute_due", "refund_late"),
    ),
    ("cases", "subject_type"): (
        (
            "attempt",
            "inbox_message",
            "run",
            "payout",
            "collected_day",
            "ledger_account",
            "payment",
            "invoice",
            "gateway_record",
        ),
        ("dispute", "refund"),
    ),
}


def upgrade() -> None:
    """Create the disputes, and let payments, messages, entries, payouts and cases know of them."""
    _create_disputes()
    _guard_disputes()
    op.add_column(
        "payments",
        sa.Column("disputed_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_payments_rest_covers_disputed"),
        "payments",
        "disputed_minor >= 0 AND refunded_minor + disputed_minor <= amount_minor",
    )
    op.add_column("payout_items", sa.Column("dispute_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_payout_items_disputes_organisation_id_dispute_id"),
        "payout_items",
        "disputes",
        ["organisation_id", "dispute_id"],
        ["organisation_id", "id"],
    )
    op.create_index(
        "uq_payout_items_dispute",
        "payout_items",
        ["organisation_id", "dispute_id", "kind"],
        unique=True,
        postgresql_where=sa.text("dispute_id IS NOT NULL"),
    )
    for (table, column), (before, besides) in KINDS.items():
        _know(table, column, (*before, *besides))


def downgrade() -> None:
    """Drop what was created; what was disputed is known no more."""
    for (table, column), (before, _) in KINDS.items():
        _know(table, column, before)
    op.drop_index("uq_payout_items_dispute", "payout_items")
    op.drop_constraint(op.f("fk_payout_items_disputes_organisation_id_dispute_id"), "payout_items")
    op.drop_column("payout_items", "dispute_id")
    op.drop_constraint(op.f("ck_payments_rest_covers_disputed"), "payments")
    op.drop_column("payments", "disputed_minor")
    op.drop_table("disputes")


def _know(table: str, column: str, names: tuple[str, ...]) -> None:
    name = op.f(f"ck_{table}_{column}_known")
    op.drop_constraint(name, table)
    values = ", ".join(f"'{one}'" for one in names)
    op.create_check_constraint(name, table, f"{column} IN ({values})")


def _create_disputes() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "disputes",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("gateway_ref", sa.Text(), nullable=False),
        sa.Column("opened_on", sa.Date(), nullable=False),
        sa.Column("respond_by", sa.Date(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("answered_at", instant, nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("next_query_at", instant, nullable=True),
        sa.Column("queries_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("worklist", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", instant, server_default=sa.text("now()"), nullable=False),
        *_checks(),
        *_keys(),
    )
    for name, columns, where in (
        ("uq_disputes_open_payment", ["payment_id"], OPEN),
        ("ix_disputes_query", ["next_query_at"], f"{OPEN} AND next_query_at IS NOT NULL"),
        ("ix_disputes_payment", ["payment_id"], None),
        ("ix_disputes_attempt", ["attempt_id"], None),
        ("ix_disputes_by_day", ["state", "opened_on", "id"], None),
        ("ix_disputes_by_deadline", ["state", "respond_by", "id"], None),
        ("ix_disputes_by_amount", ["state", "amount_minor", "id"], None),
    ):
        op.create_index(
            name,
            "disputes",
            ["organisation_id", *columns],
            unique=name.startswith("uq"),
            postgresql_where=sa.text(where) if where else None,
        )


def _checks() -> list[sa.CheckConstraint]:
    return [
        sa.CheckConstraint(check, name=op.f(f"ck_disputes_{name}"))
        for name, check in (
            ("state_known", "state IN ('needs_response', 'under_review', 'won', 'lost')"),
            ("currency_code", "currency ~ '^[A-Z]{3}$'"),
            ("amount_minor_in_range", "amount_minor BETWEEN 1 AND 9000000000000000"),
            ("fee_minor_in_range", "fee_minor BETWEEN 0 AND 9000000000000000"),
            ("response_given", "length(response) BETWEEN 1 AND 5000"),
            (
                "answered_before_review",
                "(response IS NULL) = (answered_at IS NULL)"
                " AND (response IS NOT NULL OR state <> 'under_review')",
            ),
            ("closed_when_decided", "(closed_on IS NOT NULL) = (state IN ('won', 'lost'))"),
        )
    ]


def _keys() -> list[sa.Constraint]:
    return [
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"],
            name=op.f("fk_disputes_organisations_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payment_id", "currency"],
            ["payments.organisation_id", "payments.id", "payments.currency"],
            name=op.f("fk_disputes_payments_organisation_id_payment_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "attempt_id"],
            ["payment_attempts.organisation_id", "payment_attempts.id"],
            name=op.f("fk_disputes_payment_attempts_organisation_id_attempt_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id", "currency"],
            ["gateway_accounts.organisation_id", "gateway_accounts.id",
             "gateway_accounts.currency"],
            name=op.f("fk_disputes_gateway_accounts_organisation_id_gateway_account_id_currency"),
        ),
        sa.UniqueConstraint(
            "organisation_id", "gateway_account_id", "gateway_ref",
            name=op.f("uq_disputes_organisation_id_gateway_account_id_gateway_ref"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_disputes")),
    ]  # fmt: skip


def _guard_disputes() -> None:
    op.execute("GRANT SELECT, INSERT, UPDATE ON disputes TO portal_app")
    op.execute("ALTER TABLE disputes ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE disputes FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organisation ON disputes"
        f" USING (organisation_id = {ORGANISATION})"
        f" WITH CHECK (organisation_id = {ORGANISATION})"
    )
    op.execute(f"GRANT SELECT ({SWEPT}) ON disputes TO portal_sweeper")
    op.execute("CREATE POLICY sweep ON disputes FOR SELECT TO portal_sweeper USING (true)")
