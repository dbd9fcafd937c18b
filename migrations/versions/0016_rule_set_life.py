"""Rule sets: asked for, approved by a second person, never changed after."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATES = "state IN ('draft', 'active', 'retired')"
CHECKS = {
    "start_known": "starts_on IS NOT NULL OR state IN ('draft', 'retired')",
    "approved_by_another": "approved_by_id <> requested_by_id",
    "request_whole": "(requested_by IS NULL) = (requested_at IS NULL)"
    " AND (requested_at IS NOT NULL OR state <> 'requested')",
    "approval_whole": "(approved_by IS NULL) = (approved_at IS NULL)"
    " AND (approved_by_id IS NULL) = (approved_at IS NULL)",
    "approved_before_active": "state <> 'active' OR requested_at IS NULL"
    " OR approved_at IS NOT NULL",
}
COLUMNS = (
    ("source", postgresql.JSONB()),
    ("based_on", sa.Integer()),
    ("note", sa.Text()),
    ("requested_by", sa.Text()),
    ("requested_by_id", sa.Uuid()),
    ("requested_at", sa.DateTime(timezone=True)),
    ("approved_by", sa.Text()),
    ("approved_by_id", sa.Uuid()),
    ("approved_at", sa.DateTime(timezone=True)),
)
# What a version says, and from when.
SAID = "version", "starts_on", "definition", "definition_hash", "source"


def upgrade() -> None:
    """Let versions be asked for and approved, keep them as they were, and bind runs to one."""
    for name, kind in COLUMNS:
        op.add_column("rule_sets", sa.Column(name, kind, nullable=True))
    op.alter_column("rule_sets", "starts_on", existing_type=sa.Date(), nullable=True)
    _know_states("state IN ('draft', 'requested', 'active', 'retired')")
    for name, check in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_rule_sets_{name}"), "rule_sets", check)
    old = ", ".join(f"OLD.{column}" for column in SAID)
    new = ", ".join(f"NEW.{column}" for column in SAID)
    op.execute(
        """
        CREATE FUNCTION refuse_rule_set_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION 'a version that is no draft any more is never changed: copy it'
            USING ERRCODE = 'integrity_constraint_violation',
              CONSTRAINT = 'rule_set_is_immutable';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER rule_set_is_immutable BEFORE UPDATE ON rule_sets FOR EACH ROW"
        f" WHEN (OLD.state <> 'draft' AND ({old}) IS DISTINCT FROM ({new}))"
        " EXECUTE FUNCTION refuse_rule_set_change()"
    )
    op.add_column("batch_runs", sa.Column("rule_set_version", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Drop what was added; what was never in force is known no more."""
    op.drop_column("batch_runs", "rule_set_version")
    op.execute("DROP TRIGGER rule_set_is_immutable ON rule_sets")
    op.execute("DROP FUNCTION refuse_rule_set_change()")
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_rule_sets_{name}"), "rule_sets")
    op.execute("ALTER TABLE rule_sets NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM rule_sets WHERE state = 'requested' OR starts_on IS NULL")
    op.execute("ALTER TABLE rule_sets FORCE ROW LEVEL SECURITY")
    _know_states(STATES)
    op.alter_column("rule_sets", "starts_on", existing_type=sa.Date(), nullable=False)
    for name, _ in reversed(COLUMNS):
        op.drop_column("rule_sets", name)


def _know_states(check: str) -> None:
    name = op.f("ck_rule_sets_state_known")
    op.drop_constraint(name, "rule_sets")
    op.create_check_constraint(name, "rule_sets", check)
