"""Refunds: money back to a payer, approved by a second person."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
SWEPT = "organisation_id, state, next_query_at"
STATES = "requested", "approved", "submitted", "succeeded", "failed", "declined", "returned"
MESSAGE_KINDS = (
    "gateway.charge",
    "gateway.query",
    "gateway.close_day",
    "gateway.list_events",
)
ENTRY_KINDS = (
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
)


def upgrade() -> None:
    """Create the refunds, and let payments, messages, entries and payouts know of them."""
    _create_refunds()
    _guard_refunds()
    op.add_column(
        "payments",
        sa.Column("refunding_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_payments_refunding_within_rest"),
        "payments",
        "refunding_minor >= 0 AND refunded_minor + refunding_minor <= amount_minor",
    )
    op.add_column("payout_items", sa.Column("refund_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_payout_items_refunds_organisation_id_refund_id"),
        "payout_items",
        "refunds",
        ["organisation_id", "refund_id"],
        ["organisation_id", "id"],
    )
    op.create_index(
        "uq_payout_items_refund",
        "payout_items",
        ["organisation_id", "refund_id"],
        unique=True,
        postgresql_where=sa.text("refund_id IS NOT NULL"),
    )
    _know_kinds("messages", (*MESSAGE_KINDS, "refund.create", "refund.query"))
    _know_kinds("ledger_entries", (*ENTRY_KINDS, "refund_succeeded"))


def downgrade() -> None:
    """Drop what was created; what was given back is known no more."""
    _know_kinds("ledger_entries", ENTRY_KINDS)
    _know_kinds("messages", MESSAGE_KINDS)
    op.drop_index("uq_payout_items_refund", "payout_items")
    op.drop_constraint(op.f("fk_payout_items_refunds_organisation_id_refund_id"), "payout_items")
    op.drop_column("payout_items", "refund_id")
    op.drop_constraint(op.f("ck_payments_refunding_within_rest"), "payments")
    op.drop_column("payments", "refunding_minor")
    op.drop_table("refunds")


def _know_kinds(table: str, kinds: tuple[str, ...]) -> None:
    name = op.f(f"ck_{table}_kind_known")
    op.drop_constraint(name, table)
    values = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(name, table, f"kind IN ({values})")


def _create_refunds() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "refunds",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("business_on", sa.Date(), nullable=False),
        sa.Column("needs_approval", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_by_id", sa.Uuid(), nullable=True),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_by_id", sa.Uuid(), nullable=True),
        sa.Column("approved_at", instant, nullable=True),
        sa.Column("request_key", sa.Text(), nullable=True),
        sa.Column("merchant_ref", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("gateway_ref", sa.Text(), nullable=True),
        sa.Column("first_sent_at", instant, nullable=True),
        sa.Column("resend_until", instant, nullable=True),
        sa.Column("next_query_at", instant, nullable=True),
        sa.Column("queries_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "not_found_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("not_found_at", instant, nullable=True),
        sa.Column("decided_at", instant, nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("worklist", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", instant, server_default=sa.text("now()"), nullable=False),
        *_checks(),
        *_keys(),
    )
    for name, columns, where in (
        ("uq_refunds_gateway_ref", ["gateway_account_id", "gateway_ref"],
         "gateway_ref IS NOT NULL"),
        ("ix_refunds_query", ["next_query_at"],
         "state = 'submitted' AND next_query_at IS NOT NULL"),
        ("ix_refunds_payment", ["payment_id"], None),
        ("ix_refunds_attempt", ["attempt_id"], None),
        ("ix_refunds_by_day", ["state", "business_on", "id"], None),
        ("ix_refunds_by_amount", ["state", "amount_minor", "id"], None),
    ):  # fmt: skip
        op.create_index(
            name,
            "refunds",
            ["organisation_id", *columns],
            unique=name.startswith("uq"),
            postgresql_where=sa.text(where) if where else None,
        )


def _checks() -> list[sa.CheckConstraint]:
    states = ", ".join(f"'{state}'" for state in STATES)
    return [
        sa.CheckConstraint(check, name=op.f(f"ck_refunds_{name}"))
        for name, check in (
            ("state_known", f"state IN ({states})"),
            ("currency_code", "currency ~ '^[A-Z]{3}$'"),
            ("amount_minor_in_range", "amount_minor BETWEEN 1 AND 9000000000000000"),
            ("reason_given", "length(reason) BETWEEN 1 AND 500"),
            ("approved_by_another", "approved_by_id <> requested_by_id"),
            (
                "approval_whole",
                "(approved_by IS NULL) = (approved_at IS NULL)"
                " AND (approved_by_id IS NULL) = (approved_at IS NULL)",
            ),
            (
                "approved_before_sent",
                "NOT needs_approval OR approved_at IS NOT NULL"
                " OR state IN ('requested', 'declined', 'failed')",
            ),
        )
    ]


def _keys() -> list[sa.Constraint]:
    return [
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"],
            name=op.f("fk_refunds_organisations_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payment_id", "currency"],
            ["payments.organisation_id", "payments.id", "payments.currency"],
            name=op.f("fk_refunds_payments_organisation_id_payment_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "attempt_id"],
            ["payment_attempts.organisation_id", "payment_attempts.id"],
            name=op.f("fk_refunds_payment_attempts_organisation_id_attempt_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id", "currency"],
            ["gateway_accounts.organisation_id", "gateway_accounts.id",
             "gateway_accounts.currency"],
            name=op.f("fk_refunds_gateway_accounts_organisation_id_gateway_account_id_currency"),
        ),
        sa.UniqueConstraint(
            "organisation_id", "request_key", name=op.f("uq_refunds_organisation_id_request_key")
        ),
        *(
            sa.UniqueConstraint(
                "organisation_id", "gateway_account_id", column,
                name=op.f(f"uq_refunds_organisation_id_gateway_account_id_{column}"),
            )
            for column in ("merchant_ref", "idempotency_key")
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_refunds")),
    ]  # fmt: skip


def _guard_refunds() -> None:
    op.execute("GRANT SELECT, INSERT, UPDATE ON refunds TO portal_app")
    op.execute("ALTER TABLE refunds ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE refunds FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organisation ON refunds"
        f" USING (organisation_id = {ORGANISATION})"
        f" WITH CHECK (organisation_id = {ORGANISATION})"
    )
    op.execute(f"GRANT SELECT ({SWEPT}) ON refunds TO portal_sweeper")
    op.execute("CREATE POLICY sweep ON refunds FOR SELECT TO portal_sweeper USING (true)")
