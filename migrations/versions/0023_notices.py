"""Notices: accounts through which payers are told, beside those that collect."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

KINDS = (
    "gateway.charge",
    "gateway.query",
    "refund.create",
    "refund.query",
    "dispute.respond",
    "dispute.accept",
    "dispute.query",
    "gateway.close_day",
    "gateway.list_events",
)


def upgrade() -> None:
    """Say what each account is for, all of them for payments so far, and let notices leave."""
    op.add_column(
        "gateway_accounts",
        sa.Column("purpose", sa.Text(), server_default=sa.text("'payments'"), nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_gateway_accounts_purpose_known"),
        "gateway_accounts",
        "purpose IN ('payments', 'notices')",
    )
    op.create_index(
        "uq_gateway_accounts_notices",
        "gateway_accounts",
        ["organisation_id"],
        unique=True,
        postgresql_where=sa.text("purpose = 'notices' AND is_active"),
    )
    # An event is taken before it is known whose it is: only from accounts for payments.
    op.execute("GRANT SELECT (purpose) ON gateway_accounts TO portal_sweeper")
    _know_kinds((*KINDS, "payer.reminder"))


def downgrade() -> None:
    """Forget what accounts are for; one for notices is put out of use, or it would collect."""
    _know_kinds(KINDS)
    op.execute("UPDATE gateway_accounts SET is_active = false WHERE purpose = 'notices'")
    op.drop_index("uq_gateway_accounts_notices", "gateway_accounts")
    op.drop_constraint(op.f("ck_gateway_accounts_purpose_known"), "gateway_accounts")
    op.drop_column("gateway_accounts", "purpose")


def _know_kinds(kinds: tuple[str, ...]) -> None:
    name = op.f("ck_messages_kind_known")
    op.drop_constraint(name, "messages")
    values = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(name, "messages", f"kind IN ({values})")
