"""When jobs start by themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
TABLES = ("schedules", "schedule_dues")
# Where work is due, for the role that looks at every organisation.
SWEPT = "organisation_id, id, wake_at"


def upgrade() -> None:
    """Create the tables with the guards of an organisation's rows."""
    op.create_table(
        "schedules",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("on_holiday", sa.Text(), nullable=False),
        sa.Column("misfire", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wake_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "on_holiday IN ('skip', 'next', 'anyway')", name=op.f("ck_schedules_on_holiday_known")
        ),
        sa.CheckConstraint(
            "misfire IN ('each_business_date', 'once')", name=op.f("ck_schedules_misfire_known")
        ),
        sa.CheckConstraint(
            "is_active = (next_at IS NOT NULL)", name=op.f("ck_schedules_next_when_active")
        ),
        sa.CheckConstraint(
            "is_active = (wake_at IS NOT NULL)", name=op.f("ck_schedules_wakes_when_active")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_schedules_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_schedules")),
        sa.UniqueConstraint(
            "organisation_id", "name", name=op.f("uq_schedules_organisation_id_name")
        ),
    )
    op.create_index(
        "ix_schedules_wake",
        "schedules",
        ["wake_at"],
        postgresql_where=sa.text("wake_at IS NOT NULL"),
    )
    op.create_table(
        "schedule_dues",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("business_on", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'started', 'missed', 'refused')",
            name=op.f("ck_schedule_dues_state_known"),
        ),
        sa.CheckConstraint(
            "(state = 'started') = (run_id IS NOT NULL)",
            name=op.f("ck_schedule_dues_run_when_started"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "schedule_id"],
            ["schedules.organisation_id", "schedules.id"],
            name=op.f("fk_schedule_dues_schedules_organisation_id_schedule_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "run_id"],
            ["batch_runs.organisation_id", "batch_runs.id"],
            name=op.f("fk_schedule_dues_batch_runs_organisation_id_run_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "schedule_id", "due_at", name=op.f("pk_schedule_dues")
        ),
        sa.UniqueConstraint(
            "organisation_id", "run_id", name=op.f("uq_schedule_dues_organisation_id_run_id")
        ),
    )
    for table in TABLES:
        op.execute(f"GRANT SELECT, INSERT, UPDATE ON {table} TO portal_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY organisation ON {table}"
            f" USING (organisation_id = {ORGANISATION})"
            f" WITH CHECK (organisation_id = {ORGANISATION})"
        )
    op.execute(f"GRANT SELECT ({SWEPT}) ON schedules TO portal_sweeper")
    op.execute("CREATE POLICY sweep ON schedules FOR SELECT TO portal_sweeper USING (true)")


def downgrade() -> None:
    """Drop the tables with everything that hangs on them."""
    for table in reversed(TABLES):
        op.drop_table(table)
