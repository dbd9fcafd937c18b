"""Emergency brakes and the rate of a gateway account."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
SWEPT = "organisation_id, gateway_account_id, job, state, expires_at"


def upgrade() -> None:
    """Create the brakes, give accounts their rate and messages what people need to handle them."""
    _create_brakes()
    op.add_column(
        "gateway_accounts",
        sa.Column("rate_per_second", sa.Double(), server_default=sa.text("1000"), nullable=False),
    )
    op.add_column(
        "gateway_accounts",
        sa.Column("burst", sa.Integer(), server_default=sa.text("2000"), nullable=False),
    )
    op.add_column(
        "gateway_accounts",
        sa.Column("tokens", sa.Double(), server_default=sa.text("2000"), nullable=False),
    )
    op.add_column(
        "gateway_accounts",
        sa.Column(
            "refilled_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.create_check_constraint(
        op.f("ck_gateway_accounts_rate_positive"),
        "gateway_accounts",
        "rate_per_second > 0 AND burst > 0 AND tokens >= 0",
    )
    op.add_column(
        "messages",
        sa.Column("tries_before", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "inbox_messages",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
    )
    op.create_unique_constraint(
        op.f("uq_inbox_messages_organisation_id_id"), "inbox_messages", ["organisation_id", "id"]
    )
    op.create_index(
        "ix_inbox_messages_received", "inbox_messages", ["organisation_id", "received_at", "id"]
    )
    _know_inbox_states("state IN ('ready', 'done', 'parked')")
    # The sweep leaves out the runs whose job is braked.
    op.execute("GRANT SELECT (job) ON batch_runs TO portal_sweeper")


def _know_inbox_states(states: str) -> None:
    """What arrived is handled or waits; only what leaves can be withdrawn."""
    name = op.f("ck_inbox_messages_state_known")
    op.drop_constraint(name, "inbox_messages")
    op.create_check_constraint(name, "inbox_messages", states)


def _create_brakes() -> None:
    op.create_table(
        "brakes",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=True),
        sa.Column("job", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("pulled_by", sa.Text(), nullable=False),
        sa.Column("pulled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "gateway_account_id IS NULL OR job IS NULL", name=op.f("ck_brakes_one_scope")
        ),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 500", name=op.f("ck_brakes_reason_given")),
        sa.CheckConstraint("expires_at > pulled_at", name=op.f("ck_brakes_expires_later")),
        sa.CheckConstraint(
            "(state = 'active') = (released_at IS NULL)"
            " AND (released_at IS NULL) = (released_by IS NULL)",
            name=op.f("ck_brakes_end_whole"),
        ),
        sa.CheckConstraint(
            "state IN ('active', 'released', 'expired')", name=op.f("ck_brakes_state_known")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"],
            name=op.f("fk_brakes_organisations_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id"],
            ["gateway_accounts.organisation_id", "gateway_accounts.id"],
            name=op.f("fk_brakes_gateway_accounts_organisation_id_gateway_account_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_brakes")),
    )  # fmt: skip
    op.create_index(
        "uq_brakes_active",
        "brakes",
        ["organisation_id", "gateway_account_id", "job"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
        postgresql_nulls_not_distinct=True,
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON brakes TO portal_app")
    op.execute("ALTER TABLE brakes ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE brakes FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organisation ON brakes"
        f" USING (organisation_id = {ORGANISATION})"
        f" WITH CHECK (organisation_id = {ORGANISATION})"
    )
    op.execute(f"GRANT SELECT ({SWEPT}) ON brakes TO portal_sweeper")
    op.execute("CREATE POLICY sweep ON brakes FOR SELECT TO portal_sweeper USING (true)")


def downgrade() -> None:
    """Drop what was created; what the rates and the brakes said is lost."""
    op.execute("REVOKE SELECT (job) ON batch_runs FROM portal_sweeper")
    _know_inbox_states("state IN ('ready', 'done', 'parked', 'will_not_send')")
    op.drop_index("ix_inbox_messages_received", "inbox_messages")
    op.drop_constraint(op.f("uq_inbox_messages_organisation_id_id"), "inbox_messages")
    op.drop_column("inbox_messages", "id")
    op.drop_column("messages", "tries_before")
    op.drop_constraint(op.f("ck_gateway_accounts_rate_positive"), "gateway_accounts")
    for column in ("refilled_at", "tokens", "burst", "rate_per_second"):
        op.drop_column("gateway_accounts", column)
    op.drop_table("brakes")
