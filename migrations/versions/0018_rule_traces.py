"""Rules: why each amount is what it is."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"


def upgrade() -> None:
    """Create the traces, to which rows are only added."""
    op.create_table(
        "rule_traces",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("subject_type", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("rule_set_version", sa.Integer(), nullable=False),
        sa.Column("decided_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entries", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "subject_type IN ('invoice', 'payment')",
            name=op.f("ck_rule_traces_subject_type_known"),
        ),
        sa.CheckConstraint(
            "jsonb_typeof(entries) = 'array'", name=op.f("ck_rule_traces_entries_listed")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_rule_traces_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "subject_id", "id", name=op.f("pk_rule_traces")),
    )
    op.execute("GRANT SELECT, INSERT ON rule_traces TO portal_app")
    op.execute("ALTER TABLE rule_traces ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE rule_traces FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organisation ON rule_traces"
        f" USING (organisation_id = {ORGANISATION})"
        f" WITH CHECK (organisation_id = {ORGANISATION})"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_traces"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def downgrade() -> None:
    """Drop the traces."""
    op.drop_table("rule_traces")
