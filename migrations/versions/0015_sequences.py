"""Sequences: jobs one after the other, on conditions."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
RIGHTS = {
    "sequences": "SELECT, INSERT, UPDATE",
    "sequence_steps": "SELECT, INSERT",
    "sequence_runs": "SELECT, INSERT, UPDATE",
}
STATES = "prepared", "awaiting_approval", "started", "stopping", "stopped"
ENDS = "completed", "failed", "abandoned"


def upgrade() -> None:
    """Create the sequences; let runs and schedules know of them; drop a state nobody reached."""
    _create_sequences()
    _create_executions()
    for table, rights in RIGHTS.items():
        op.execute(f"GRANT {rights} ON {table} TO portal_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY organisation ON {table}"
            f" USING (organisation_id = {ORGANISATION})"
            f" WITH CHECK (organisation_id = {ORGANISATION})"
        )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sequence_steps"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    _let_runs_know()
    _let_schedules_know()
    _know_states((*STATES, *ENDS), STATES)


def downgrade() -> None:
    """Drop what was created; schedules of sequences are gone with them."""
    waiting = "prepared", "awaiting_approval", "starting", *STATES[2:]
    _know_states((*waiting, *ENDS), waiting)
    op.execute(
        "DELETE FROM schedule_dues d USING schedules s WHERE s.sequence_id IS NOT NULL"
        " AND (s.organisation_id, s.id) = (d.organisation_id, d.schedule_id)"
    )
    op.execute("DELETE FROM schedules WHERE sequence_id IS NOT NULL")
    op.drop_index("ix_schedules_sequence", "schedules")
    op.drop_constraint(op.f("ck_schedules_job_or_sequence"), "schedules")
    op.drop_constraint(op.f("fk_schedules_sequences_organisation_id_sequence_id"), "schedules")
    op.drop_column("schedules", "sequence_id")
    op.alter_column("schedules", "job", nullable=False)
    op.drop_constraint(op.f("ck_batch_runs_step_of_a_sequence"), "batch_runs")
    op.drop_constraint(
        op.f("uq_batch_runs_organisation_id_sequence_run_id_step_number"), "batch_runs"
    )
    op.drop_constraint(
        op.f("fk_batch_runs_sequence_runs_organisation_id_sequence_run_id"), "batch_runs"
    )
    op.drop_column("batch_runs", "step_number")
    op.drop_column("batch_runs", "sequence_run_id")
    for table in reversed(RIGHTS):
        op.drop_table(table)


def _create_sequences() -> None:
    op.create_table(
        "sequences",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _created(),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_sequences_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_sequences")),
        sa.UniqueConstraint(
            "organisation_id", "name", name=op.f("uq_sequences_organisation_id_name")
        ),
    )
    op.create_table(
        "sequence_steps",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("sequence_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "condition IN ('completed', 'clean', 'anyway')",
            name=op.f("ck_sequence_steps_condition_known"),
        ),
        sa.CheckConstraint(
            "number BETWEEN 1 AND 12", name=op.f("ck_sequence_steps_number_in_range")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "sequence_id"],
            ["sequences.organisation_id", "sequences.id"],
            name=op.f("fk_sequence_steps_sequences_organisation_id_sequence_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "sequence_id", "version", "number", name=op.f("pk_sequence_steps")
        ),
    )


def _create_executions() -> None:
    op.create_table(
        "sequence_runs",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sequence_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("step_number", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("business_on", sa.Date(), nullable=False),
        sa.Column("request_key", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_by_id", sa.Uuid(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _created(),
        sa.CheckConstraint(
            "state IN ('running', 'stopped', 'completed', 'abandoned')",
            name=op.f("ck_sequence_runs_state_known"),
        ),
        sa.CheckConstraint(
            "(state IN ('completed', 'abandoned')) = (finished_at IS NOT NULL)",
            name=op.f("ck_sequence_runs_finished_when_over"),
        ),
        sa.CheckConstraint(
            "(state IN ('stopped', 'abandoned')) = (reason IS NOT NULL)",
            name=op.f("ck_sequence_runs_stopped_with_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_sequence_runs_organisations_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "sequence_id", "version", "step_number"],
            [
                "sequence_steps.organisation_id",
                "sequence_steps.sequence_id",
                "sequence_steps.version",
                "sequence_steps.number",
            ],
            name="fk_sequence_runs_sequence_steps_organisation_id_sequenc_eb2c",
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_sequence_runs")),
        sa.UniqueConstraint(
            "organisation_id",
            "request_key",
            name=op.f("uq_sequence_runs_organisation_id_request_key"),
        ),
    )
    op.create_index(
        "uq_sequence_runs_running",
        "sequence_runs",
        ["organisation_id", "sequence_id", "business_on"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_sequence_runs_step",
        "sequence_runs",
        ["organisation_id", "sequence_id", "version", "step_number"],
    )


def _let_runs_know() -> None:
    op.add_column("batch_runs", sa.Column("sequence_run_id", sa.Uuid(), nullable=True))
    op.add_column("batch_runs", sa.Column("step_number", sa.SmallInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_batch_runs_sequence_runs_organisation_id_sequence_run_id"),
        "batch_runs",
        "sequence_runs",
        ["organisation_id", "sequence_run_id"],
        ["organisation_id", "id"],
    )
    op.create_unique_constraint(
        op.f("uq_batch_runs_organisation_id_sequence_run_id_step_number"),
        "batch_runs",
        ["organisation_id", "sequence_run_id", "step_number"],
    )
    op.create_check_constraint(
        op.f("ck_batch_runs_step_of_a_sequence"),
        "batch_runs",
        "(sequence_run_id IS NULL) = (step_number IS NULL)",
    )


def _let_schedules_know() -> None:
    op.alter_column("schedules", "job", nullable=True)
    op.add_column("schedules", sa.Column("sequence_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_schedules_sequences_organisation_id_sequence_id"),
        "schedules",
        "sequences",
        ["organisation_id", "sequence_id"],
        ["organisation_id", "id"],
    )
    op.create_check_constraint(
        op.f("ck_schedules_job_or_sequence"), "schedules", "num_nonnulls(job, sequence_id) = 1"
    )
    op.create_index(
        "ix_schedules_sequence",
        "schedules",
        ["organisation_id", "sequence_id"],
        postgresql_where=sa.text("sequence_id IS NOT NULL"),
    )


def _know_states(states: tuple[str, ...], unfinished: tuple[str, ...]) -> None:
    """Let runs be in these states; a run of a job and day is in an unfinished one only once."""
    name = op.f("ck_batch_runs_state_known")
    op.drop_constraint(name, "batch_runs")
    op.create_check_constraint(name, "batch_runs", f"state IN ({_listed(states)})")
    op.drop_index("uq_batch_runs_unfinished", "batch_runs")
    op.create_index(
        "uq_batch_runs_unfinished",
        "batch_runs",
        ["organisation_id", "job", "parameters_hash"],
        unique=True,
        postgresql_where=sa.text(f"state IN ({_listed(unfinished)})"),
    )


def _listed(states: tuple[str, ...]) -> str:
    return ", ".join(f"'{state}'" for state in states)


def _created() -> sa.Column[object]:
    return sa.Column(
        "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )
