"""tables"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "organisations",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("zone", sa.Text(), server_default=sa.text("'Europe/London'"), nullable=False),
        sa.Column("locale", sa.Text(), server_default=sa.text("'en_GB'"), nullable=False),
        sa.Column("holiday_calendar", sa.Text(), server_default=sa.text("'ECB'"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "code ~ '^[a-z][a-z0-9_-]{1,31}$'", name=op.f("ck_organisations_code_plain")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_organisations_currency_code")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisations")),
        sa.UniqueConstraint("code", name=op.f("uq_organisations_code")),
    )
    op.create_table(
        "staged_lines",
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("line_number", sa.Integer(), nullable=False),
        sa.Column("document_ref", sa.Text(), nullable=False),
        sa.Column("fields", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("file_id", "line_number", name=op.f("pk_staged_lines")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "users",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "api_keys",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_api_keys_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )
    op.create_table(
        "bank_accounts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("iban", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_bank_accounts_currency_code")),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_bank_accounts_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_bank_accounts")),
        sa.UniqueConstraint(
            "organisation_id", "iban", name=op.f("uq_bank_accounts_organisation_id_iban")
        ),
        sa.UniqueConstraint(
            "organisation_id",
            "id",
            "currency",
            name=op.f("uq_bank_accounts_organisation_id_id_currency"),
        ),
    )
    op.create_table(
        "batch_runs",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("business_on", sa.Date(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("parameters_hash", sa.Text(), nullable=False),
        sa.Column("request_key", sa.Text(), nullable=True),
        sa.Column("repeats_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("exit_message", sa.Text(), nullable=True),
        sa.Column("items_count", sa.Integer(), nullable=False),
        sa.Column("chunks_count", sa.Integer(), nullable=False),
        sa.Column("sum_minor", sa.BigInteger(), nullable=False),
        sa.Column("population_hash", sa.LargeBinary(), nullable=False),
        sa.Column("skip_limit", sa.Integer(), nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state IN ('prepared', 'awaiting_approval', 'starting', 'started', 'stopping', 'stopped', 'completed', 'failed', 'abandoned')",
            name=op.f("ck_batch_runs_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "repeats_id"],
            ["batch_runs.organisation_id", "batch_runs.id"],
            name=op.f("fk_batch_runs_batch_runs_organisation_id_repeats_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_batch_runs_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_batch_runs")),
        sa.UniqueConstraint(
            "organisation_id", "number", name=op.f("uq_batch_runs_organisation_id_number")
        ),
        sa.UniqueConstraint(
            "organisation_id", "request_key", name=op.f("uq_batch_runs_organisation_id_request_key")
        ),
    )
    op.create_index(
        "ix_batch_runs_day", "batch_runs", ["organisation_id", "business_on"], unique=False
    )
    op.create_index(
        "ix_batch_runs_working",
        "batch_runs",
        ["organisation_id", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('started', 'stopping')"),
    )
    op.create_index(
        "uq_batch_runs_unfinished",
        "batch_runs",
        ["organisation_id", "job", "parameters_hash"],
        unique=True,
        postgresql_where=sa.text(
            "state IN ('prepared', 'awaiting_approval', 'starting', 'started', 'stopping', 'stopped')"
        ),
    )
    op.create_table(
        "events",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_type", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_events_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_subject", "events", ["organisation_id", "subject_id"], unique=False)
    op.create_table(
        "files",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mapping", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("detected", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("lines_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("documents_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("imported_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('invoices', 'payers', 'mandates')", name=op.f("ck_files_kind_known")
        ),
        sa.CheckConstraint(
            "state IN ('staging', 'staged', 'completed', 'failed')",
            name=op.f("ck_files_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_files_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_files")),
        sa.UniqueConstraint(
            "organisation_id",
            "kind",
            "content_hash",
            name=op.f("uq_files_organisation_id_kind_content_hash"),
        ),
    )
    op.create_table(
        "gateway_accounts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("troubles_in_a_row", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("events_cursor", sa.Text(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "currency ~ '^[A-Z]{3}$'", name=op.f("ck_gateway_accounts_currency_code")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_gateway_accounts_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_gateway_accounts")),
        sa.UniqueConstraint("code", name=op.f("uq_gateway_accounts_code")),
        sa.UniqueConstraint(
            "organisation_id",
            "id",
            "currency",
            name=op.f("uq_gateway_accounts_organisation_id_id_currency"),
        ),
    )
    op.create_table(
        "ledger_accounts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "currency ~ '^[A-Z]{3}$'", name=op.f("ck_ledger_accounts_currency_code")
        ),
        sa.CheckConstraint(
            "kind IN ('receivable', 'payer_credits', 'revenue', 'tax_payable', 'gateway_clearing', 'payouts_in_transit', 'bank', 'deposits_held', 'suspense', 'fees', 'return_fees', 'write_offs', 'interest', 'other_income', 'rounding')",
            name=op.f("ck_ledger_accounts_kind_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_ledger_accounts_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_ledger_accounts")),
        sa.UniqueConstraint(
            "organisation_id",
            "currency",
            "kind",
            "code",
            name=op.f("uq_ledger_accounts_organisation_id_currency_kind_code"),
        ),
        sa.UniqueConstraint(
            "organisation_id",
            "id",
            "currency",
            name=op.f("uq_ledger_accounts_organisation_id_id_currency"),
        ),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source_type", sa.Text(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("reverses_id", sa.Uuid(), nullable=True),
        sa.Column(
            "sealed_xid",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id())::text::bigint"),
            nullable=False,
        ),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('invoice_issued', 'credit_note_issued', 'payment_succeeded', 'payment_returned', 'payment_recorded', 'credit_applied', 'deposit_received', 'deposit_applied', 'payout_matched', 'payout_banked')",
            name=op.f("ck_ledger_entries_kind_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "reverses_id"],
            ["ledger_entries.organisation_id", "ledger_entries.id"],
            name=op.f("fk_ledger_entries_ledger_entries_organisation_id_reverses_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_ledger_entries_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint(
            "organisation_id",
            "reverses_id",
            name=op.f("uq_ledger_entries_organisation_id_reverses_id"),
        ),
        sa.UniqueConstraint(
            "organisation_id",
            "source_id",
            "kind",
            name=op.f("uq_ledger_entries_organisation_id_source_id_kind"),
        ),
    )
    op.create_index(
        "ix_ledger_entries_day", "ledger_entries", ["organisation_id", "effective_on"], unique=False
    )
    op.create_table(
        "memberships",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role IN ('clerk', 'manager', 'operator', 'auditor')",
            name=op.f("ck_memberships_role_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_memberships_organisations_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_memberships_users_user_id")
        ),
        sa.PrimaryKeyConstraint("organisation_id", "user_id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_user_id"), "memberships", ["user_id"], unique=False)
    op.create_table(
        "number_series",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("year", sa.SmallInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_issued_on", sa.Date(), nullable=False),
        sa.CheckConstraint("last >= 0", name=op.f("ck_number_series_last_not_negative")),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_number_series_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "series", "year", name=op.f("pk_number_series")),
    )
    op.create_table(
        "payers",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("external_ref", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_sort", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_on_hold", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('person', 'company', 'public_body')", name=op.f("ck_payers_kind_known")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_payers_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_payers")),
        sa.UniqueConstraint(
            "organisation_id", "external_ref", name=op.f("uq_payers_organisation_id_external_ref")
        ),
    )
    op.create_index(
        "ix_payers_name", "payers", ["organisation_id", "name_sort", "id"], unique=False
    )
    op.create_table(
        "rule_sets",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("definition_hash", sa.Text(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state IN ('draft', 'active', 'retired')", name=op.f("ck_rule_sets_state_known")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_rule_sets_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_rule_sets")),
        sa.UniqueConstraint(
            "organisation_id", "version", name=op.f("uq_rule_sets_organisation_id_version")
        ),
    )
    op.create_index(
        "uq_rule_sets_start",
        "rule_sets",
        ["organisation_id", "starts_on"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "user_sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_user_sessions_organisations_organisation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_user_sessions_users_user_id")
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_user_sessions")),
    )
    op.create_index(op.f("ix_user_sessions_user_id"), "user_sessions", ["user_id"], unique=False)
    op.create_table(
        "bank_lines",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("bank_account_id", sa.Uuid(), nullable=False),
        sa.Column("bank_ref", sa.Text(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("match_state", sa.Text(), server_default=sa.text("'unmatched'"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_bank_lines_currency_code")),
        sa.CheckConstraint(
            "match_state IN ('unmatched', 'suggested', 'matched', 'partially_matched', 'conflicting', 'excluded')",
            name=op.f("ck_bank_lines_match_state_known"),
        ),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_bank_lines_amount_minor_not_zero")),
        sa.ForeignKeyConstraint(
            ["organisation_id", "bank_account_id", "currency"],
            ["bank_accounts.organisation_id", "bank_accounts.id", "bank_accounts.currency"],
            name=op.f("fk_bank_lines_bank_accounts_organisation_id_bank_account_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_bank_lines_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_bank_lines")),
        sa.UniqueConstraint(
            "organisation_id",
            "bank_account_id",
            "bank_ref",
            name=op.f("uq_bank_lines_organisation_id_bank_account_id_bank_ref"),
        ),
    )
    op.create_index(
        "ix_bank_lines_reference", "bank_lines", ["organisation_id", "reference"], unique=False
    )
    op.create_table(
        "batch_chunks",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'ready'"), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("item_ids", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("items_count", sa.Integer(), nullable=False),
        sa.Column("sum_minor", sa.BigInteger(), nullable=False),
        sa.Column("population_hash", sa.LargeBinary(), nullable=False),
        sa.Column("done_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("filtered_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('ready', 'leased', 'done', 'failed')",
            name=op.f("ck_batch_chunks_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "run_id"],
            ["batch_runs.organisation_id", "batch_runs.id"],
            name=op.f("fk_batch_chunks_batch_runs_organisation_id_run_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "run_id", "number", name=op.f("pk_batch_chunks")
        ),
    )
    op.create_index(
        "ix_batch_chunks_open",
        "batch_chunks",
        ["organisation_id", "run_id", "number"],
        unique=False,
        postgresql_where=sa.text("state IN ('ready', 'leased')"),
    )
    op.create_table(
        "batch_items",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("chunk_number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('done', 'filtered', 'skipped', 'failed', 'unknown', 'parked')",
            name=op.f("ck_batch_items_outcome_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "run_id"],
            ["batch_runs.organisation_id", "batch_runs.id"],
            name=op.f("fk_batch_items_batch_runs_organisation_id_run_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "run_id", "item_id", name=op.f("pk_batch_items")
        ),
    )
    op.create_index(
        "ix_batch_items_trouble",
        "batch_items",
        ["organisation_id", "run_id", "outcome"],
        unique=False,
        postgresql_where=sa.text("outcome <> 'done'"),
    )
    op.create_table(
        "deposits",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("applied_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("released_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("forfeited_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "left_minor",
            sa.BigInteger(),
            sa.Computed(
                "CASE WHEN state = 'expected' THEN 0 ELSE amount_minor - applied_minor - released_minor - forfeited_minor END",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column("received_on", sa.Date(), nullable=True),
        sa.Column("due_back_on", sa.Date(), nullable=True),
        sa.Column("may_set_off", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("bank_line_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_deposits_currency_code")),
        sa.CheckConstraint(
            "state IN ('expected', 'received', 'held', 'partially_applied', 'applied', 'release_requested', 'released', 'forfeited')",
            name=op.f("ck_deposits_state_known"),
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_deposits_amount_minor_positive")),
        sa.CheckConstraint(
            "applied_minor >= 0 AND released_minor >= 0 AND forfeited_minor >= 0 AND applied_minor + released_minor + forfeited_minor <= amount_minor",
            name=op.f("ck_deposits_used_within_amount"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payer_id"],
            ["payers.organisation_id", "payers.id"],
            name=op.f("fk_deposits_payers_organisation_id_payer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_deposits_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_deposits")),
        sa.UniqueConstraint(
            "organisation_id",
            "id",
            "currency",
            name=op.f("uq_deposits_organisation_id_id_currency"),
        ),
    )
    op.create_index(
        "ix_deposits_usable",
        "deposits",
        ["organisation_id", "payer_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('held', 'partially_applied')"),
    )
    op.create_table(
        "file_refusals",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.Column("document_ref", sa.Text(), nullable=False),
        sa.Column("lines", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("amount", sa.Numeric(precision=24, scale=6), nullable=True),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id", "file_id"],
            ["files.organisation_id", "files.id"],
            name=op.f("fk_file_refusals_files_organisation_id_file_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "file_id", "document_ref", name=op.f("pk_file_refusals")
        ),
    )
    op.create_table(
        "inbox_messages",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=False),
        sa.Column("event_ref", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'ready'"), nullable=False),
        sa.Column(
            "next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('ready', 'done', 'parked', 'will_not_send')",
            name=op.f("ck_inbox_messages_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id"],
            ["gateway_accounts.organisation_id", "gateway_accounts.id"],
            name=op.f("fk_inbox_messages_gateway_accounts_organisation_id_gateway_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_inbox_messages_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "gateway_account_id", "event_ref", name=op.f("pk_inbox_messages")
        ),
    )
    op.create_index(
        "ix_inbox_messages_due",
        "inbox_messages",
        ["organisation_id", "gateway_account_id", "next_at"],
        unique=False,
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_table(
        "invoices",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False),
        sa.Column("series", sa.Text(), server_default=sa.text("'INV'"), nullable=False),
        sa.Column("year", sa.SmallInteger(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("external_ref", sa.Text(), nullable=True),
        sa.Column("purchase_order_ref", sa.Text(), nullable=True),
        sa.Column("document_on", sa.Date(), nullable=True),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("paid_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("credited_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "written_off_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("in_payment_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("applied_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "open_minor",
            sa.BigInteger(),
            sa.Computed(
                "CASE WHEN state = 'issued' AND kind <> 'credit_note' THEN total_minor - paid_minor - credited_minor - written_off_minor ELSE 0 END",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column(
            "credit_left_minor",
            sa.BigInteger(),
            sa.Computed(
                "CASE WHEN state = 'issued' AND kind = 'credit_note' THEN total_minor - applied_minor ELSE 0 END",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column(
            "payment_status",
            sa.Text(),
            sa.Computed(
                "CASE WHEN state <> 'issued' OR kind = 'credit_note' THEN NULL WHEN total_minor = paid_minor + credited_minor + written_off_minor THEN 'paid' WHEN in_payment_minor > 0 THEN 'in_payment' WHEN paid_minor + credited_minor + written_off_minor > 0 THEN 'partially_paid' ELSE 'unpaid' END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column("corrects_id", sa.Uuid(), nullable=True),
        sa.Column("rule_set_version", sa.Integer(), nullable=True),
        sa.Column("file_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(state IN ('issued', 'voided')) = (number IS NOT NULL)",
            name=op.f("ck_invoices_issued_is_numbered"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_invoices_currency_code")),
        sa.CheckConstraint(
            "kind <> 'credit_note' OR paid_minor + credited_minor + written_off_minor + in_payment_minor = 0",
            name=op.f("ck_invoices_credit_notes_are_not_paid"),
        ),
        sa.CheckConstraint(
            "kind = 'credit_note' OR applied_minor = 0",
            name=op.f("ck_invoices_only_credit_notes_apply"),
        ),
        sa.CheckConstraint(
            "kind IN ('invoice', 'credit_note', 'correction', 'charge')",
            name=op.f("ck_invoices_kind_known"),
        ),
        sa.CheckConstraint(
            "state <> 'draft' OR paid_minor + credited_minor + written_off_minor + in_payment_minor + applied_minor = 0",
            name=op.f("ck_invoices_draft_has_no_payments"),
        ),
        sa.CheckConstraint(
            "state IN ('draft', 'pending_approval', 'issued', 'voided', 'discarded')",
            name=op.f("ck_invoices_state_known"),
        ),
        sa.CheckConstraint(
            "applied_minor <= total_minor", name=op.f("ck_invoices_applied_within_total")
        ),
        sa.CheckConstraint(
            "net_minor >= 0 AND tax_minor >= 0", name=op.f("ck_invoices_parts_not_negative")
        ),
        sa.CheckConstraint(
            "number IS NULL OR (issued_on IS NOT NULL AND due_on IS NOT NULL AND year = EXTRACT(YEAR FROM issued_on))",
            name=op.f("ck_invoices_numbered_in_its_year"),
        ),
        sa.CheckConstraint(
            "paid_minor + credited_minor + written_off_minor + in_payment_minor <= total_minor",
            name=op.f("ck_invoices_amounts_within_total"),
        ),
        sa.CheckConstraint(
            "paid_minor >= 0 AND credited_minor >= 0 AND written_off_minor >= 0 AND in_payment_minor >= 0 AND applied_minor >= 0",
            name=op.f("ck_invoices_amounts_not_negative"),
        ),
        sa.CheckConstraint(
            "total_minor = net_minor + tax_minor", name=op.f("ck_invoices_total_adds_up")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "corrects_id", "currency"],
            ["invoices.organisation_id", "invoices.id", "invoices.currency"],
            name=op.f("fk_invoices_invoices_organisation_id_corrects_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payer_id"],
            ["payers.organisation_id", "payers.id"],
            name=op.f("fk_invoices_payers_organisation_id_payer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_invoices_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_invoices")),
        sa.UniqueConstraint(
            "organisation_id",
            "id",
            "currency",
            name=op.f("uq_invoices_organisation_id_id_currency"),
        ),
    )
    op.create_index(
        "ix_invoices_credit_left",
        "invoices",
        ["organisation_id", "payer_id"],
        unique=False,
        postgresql_where=sa.text(
            "state = 'issued' AND kind = 'credit_note' AND applied_minor < total_minor"
        ),
    )
    op.create_index(
        "ix_invoices_draft",
        "invoices",
        ["organisation_id", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'draft'"),
    )
    op.create_index(
        "ix_invoices_open",
        "invoices",
        ["organisation_id", "due_on", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'issued' AND payment_status <> 'paid'"),
    )
    op.create_index("ix_invoices_payer", "invoices", ["organisation_id", "payer_id"], unique=False)
    op.create_index(
        "uq_invoices_external_ref",
        "invoices",
        ["organisation_id", "external_ref"],
        unique=True,
        postgresql_where=sa.text("external_ref IS NOT NULL AND state <> 'discarded'"),
    )
    op.create_index(
        "uq_invoices_number",
        "invoices",
        ["organisation_id", "series", "year", "number"],
        unique=True,
        postgresql_where=sa.text("number IS NOT NULL"),
    )
    op.create_table(
        "mandates",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("signed_on", sa.Date(), nullable=False),
        sa.Column("last_used_on", sa.Date(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_mandates_currency_code")),
        sa.CheckConstraint(
            "state IN ('draft', 'requested', 'active', 'suspended', 'cancelled', 'expired')",
            name=op.f("ck_mandates_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id", "currency"],
            [
                "gateway_accounts.organisation_id",
                "gateway_accounts.id",
                "gateway_accounts.currency",
            ],
            name=op.f("fk_mandates_gateway_accounts_organisation_id_gateway_account_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payer_id"],
            ["payers.organisation_id", "payers.id"],
            name=op.f("fk_mandates_payers_organisation_id_payer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_mandates_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_mandates")),
        sa.UniqueConstraint(
            "organisation_id", "reference", name=op.f("uq_mandates_organisation_id_reference")
        ),
    )
    op.create_index(
        "uq_mandates_active",
        "mandates",
        ["organisation_id", "payer_id", "currency"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_table(
        "messages",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("aggregate_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "payload_version", sa.SmallInteger(), server_default=sa.text("1"), nullable=False
        ),
        sa.Column("state", sa.Text(), server_default=sa.text("'ready'"), nullable=False),
        sa.Column(
            "next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "kind IN ('gateway.charge', 'gateway.query', 'gateway.close_day', 'gateway.list_events')",
            name=op.f("ck_messages_kind_known"),
        ),
        sa.CheckConstraint(
            "state IN ('ready', 'done', 'parked', 'will_not_send')",
            name=op.f("ck_messages_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id"],
            ["gateway_accounts.organisation_id", "gateway_accounts.id"],
            name=op.f("fk_messages_gateway_accounts_organisation_id_gateway_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_messages_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_messages")),
        sa.UniqueConstraint(
            "organisation_id",
            "aggregate_id",
            "sequence",
            name=op.f("uq_messages_organisation_id_aggregate_id_sequence"),
        ),
    )
    op.create_index(
        "ix_messages_due",
        "messages",
        ["organisation_id", "gateway_account_id", "next_at"],
        unique=False,
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "ix_messages_errands",
        "messages",
        ["organisation_id", "gateway_account_id", "kind", "created_at"],
        unique=False,
        postgresql_where=sa.text("kind IN ('gateway.close_day', 'gateway.list_events')"),
    )
    op.create_table(
        "payouts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=False),
        sa.Column("gateway_ref", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("business_on", sa.Date(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("gross_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payouts_currency_code")),
        sa.CheckConstraint(
            "state IN ('pending', 'in_transit', 'paid', 'failed', 'cancelled', 'returned')",
            name=op.f("ck_payouts_state_known"),
        ),
        sa.CheckConstraint(
            "net_minor = gross_minor - fee_minor", name=op.f("ck_payouts_net_adds_up")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id", "currency"],
            [
                "gateway_accounts.organisation_id",
                "gateway_accounts.id",
                "gateway_accounts.currency",
            ],
            name=op.f("fk_payouts_gateway_accounts_organisation_id_gateway_account_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_payouts_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_payouts")),
        sa.UniqueConstraint(
            "organisation_id",
            "gateway_account_id",
            "gateway_ref",
            name=op.f("uq_payouts_organisation_id_gateway_account_id_gateway_ref"),
        ),
        sa.UniqueConstraint(
            "organisation_id", "id", "currency", name=op.f("uq_payouts_organisation_id_id_currency")
        ),
    )
    op.create_table(
        "postings",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("debit_account_id", sa.Uuid(), nullable=False),
        sa.Column("credit_account_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=True),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_postings_currency_code")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_postings_amount_minor_positive")),
        sa.CheckConstraint(
            "debit_account_id <> credit_account_id", name=op.f("ck_postings_accounts_differ")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "credit_account_id", "currency"],
            ["ledger_accounts.organisation_id", "ledger_accounts.id", "ledger_accounts.currency"],
            name=op.f("fk_postings_ledger_accounts_organisation_id_credit_account_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "debit_account_id", "currency"],
            ["ledger_accounts.organisation_id", "ledger_accounts.id", "ledger_accounts.currency"],
            name=op.f("fk_postings_ledger_accounts_organisation_id_debit_account_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "entry_id"],
            ["ledger_entries.organisation_id", "ledger_entries.id"],
            name=op.f("fk_postings_ledger_entries_organisation_id_entry_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payer_id"],
            ["payers.organisation_id", "payers.id"],
            name=op.f("fk_postings_payers_organisation_id_payer_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "entry_id", "line", name=op.f("pk_postings")),
    )
    op.create_index(
        "ix_postings_invoice",
        "postings",
        ["organisation_id", "invoice_id"],
        unique=False,
        postgresql_where=sa.text("invoice_id IS NOT NULL"),
    )
    op.create_index(
        "ix_postings_payer",
        "postings",
        ["organisation_id", "payer_id"],
        unique=False,
        postgresql_where=sa.text("payer_id IS NOT NULL"),
    )
    op.create_table(
        "invoice_lines",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Numeric(precision=18, scale=6), nullable=False),
        sa.Column("unit_price", sa.Numeric(precision=20, scale=6), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("revenue_code", sa.Text(), nullable=False),
        sa.Column("tax_code", sa.Text(), nullable=False),
        sa.Column("source_line", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id", "invoice_id"],
            ["invoices.organisation_id", "invoices.id"],
            name=op.f("fk_invoice_lines_invoices_organisation_id_invoice_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "invoice_id", "position", name=op.f("pk_invoice_lines")
        ),
    )
    op.create_table(
        "invoice_taxes",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("tax_code", sa.Text(), nullable=False),
        sa.Column("rate_bps", sa.Integer(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("tax_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "rate_bps BETWEEN 0 AND 10000", name=op.f("ck_invoice_taxes_rate_bps_in_range")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "invoice_id"],
            ["invoices.organisation_id", "invoices.id"],
            name=op.f("fk_invoice_taxes_invoices_organisation_id_invoice_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "invoice_id", "tax_code", name=op.f("pk_invoice_taxes")
        ),
    )
    op.create_table(
        "message_deliveries",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("http_status", sa.SmallInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id", "message_id"],
            ["messages.organisation_id", "messages.id"],
            name=op.f("fk_message_deliveries_messages_organisation_id_message_id"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "message_id", "try_number", name=op.f("pk_message_deliveries")
        ),
    )
    op.create_index(
        "ix_message_deliveries_day",
        "message_deliveries",
        ["organisation_id", "tried_at"],
        unique=False,
    )
    op.create_table(
        "payments",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reserved_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("mandate_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("started_on", sa.Date(), nullable=False),
        sa.Column("next_attempt_on", sa.Date(), nullable=True),
        sa.Column("worklist", sa.Text(), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payments_currency_code")),
        sa.CheckConstraint(
            "method IN ('mandate', 'transfer', 'by_hand')", name=op.f("ck_payments_method_known")
        ),
        sa.CheckConstraint(
            "state = 'scheduled' OR next_attempt_on IS NULL",
            name=op.f("ck_payments_next_attempt_when_scheduled"),
        ),
        sa.CheckConstraint(
            "state IN ('scheduled', 'processing', 'requires_action', 'succeeded', 'failed', 'cancelled', 'partially_refunded', 'refunded')",
            name=op.f("ck_payments_state_known"),
        ),
        sa.CheckConstraint(
            "amount_minor BETWEEN 1 AND 9000000000000000",
            name=op.f("ck_payments_amount_minor_in_range"),
        ),
        sa.CheckConstraint(
            "refunded_minor BETWEEN 0 AND amount_minor",
            name=op.f("ck_payments_refunded_within_amount"),
        ),
        sa.CheckConstraint(
            "reserved_minor >= 0 AND reserved_minor <= amount_minor",
            name=op.f("ck_payments_reserved_in_range"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "invoice_id", "currency"],
            ["invoices.organisation_id", "invoices.id", "invoices.currency"],
            name=op.f("fk_payments_invoices_organisation_id_invoice_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payer_id"],
            ["payers.organisation_id", "payers.id"],
            name=op.f("fk_payments_payers_organisation_id_payer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_payments_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_payments")),
        sa.UniqueConstraint(
            "organisation_id",
            "id",
            "currency",
            name=op.f("uq_payments_organisation_id_id_currency"),
        ),
    )
    op.create_index(
        "ix_payments_invoice", "payments", ["organisation_id", "invoice_id"], unique=False
    )
    op.create_index("ix_payments_payer", "payments", ["organisation_id", "payer_id"], unique=False)
    op.create_index(
        "ix_payments_scheduled",
        "payments",
        ["organisation_id", "next_attempt_on", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index(
        "ix_payments_worklist",
        "payments",
        ["organisation_id", "worklist", "id"],
        unique=False,
        postgresql_where=sa.text("worklist IS NOT NULL"),
    )
    op.create_index(
        "uq_payments_open_invoice",
        "payments",
        ["organisation_id", "invoice_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('scheduled', 'processing', 'requires_action')"),
    )
    op.create_table(
        "settlements",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("residual_minor", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "state IN ('open', 'matching', 'balanced', 'closed', 'closed_with_exceptions')",
            name=op.f("ck_settlements_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payout_id"],
            ["payouts.organisation_id", "payouts.id"],
            name=op.f("fk_settlements_payouts_organisation_id_payout_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_settlements_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_settlements")),
        sa.UniqueConstraint(
            "organisation_id", "payout_id", name=op.f("uq_settlements_organisation_id_payout_id")
        ),
    )
    op.create_index(
        "ix_settlements_unfinished",
        "settlements",
        ["organisation_id", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('open', 'matching', 'balanced')"),
    )
    op.create_table(
        "payer_credits",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("applied_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "left_minor",
            sa.BigInteger(),
            sa.Computed("amount_minor - applied_minor", persisted=True),
            nullable=False,
        ),
        sa.Column("since_on", sa.Date(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payer_credits_currency_code")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payer_credits_amount_minor_positive")),
        sa.CheckConstraint(
            "applied_minor >= 0 AND applied_minor <= amount_minor",
            name=op.f("ck_payer_credits_applied_within_amount"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payer_id"],
            ["payers.organisation_id", "payers.id"],
            name=op.f("fk_payer_credits_payers_organisation_id_payer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payment_id", "currency"],
            ["payments.organisation_id", "payments.id", "payments.currency"],
            name=op.f("fk_payer_credits_payments_organisation_id_payment_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_payer_credits_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_payer_credits")),
        sa.UniqueConstraint(
            "organisation_id",
            "id",
            "currency",
            name=op.f("uq_payer_credits_organisation_id_id_currency"),
        ),
    )
    op.create_index(
        "ix_payer_credits_left",
        "payer_credits",
        ["organisation_id", "payer_id"],
        unique=False,
        postgresql_where=sa.text("applied_minor < amount_minor"),
    )
    op.create_index(
        "ix_payer_credits_payment", "payer_credits", ["organisation_id", "payment_id"], unique=False
    )
    op.create_table(
        "payment_attempts",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("gateway_account_id", sa.Uuid(), nullable=False),
        sa.Column("merchant_ref", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("gateway_ref", sa.Text(), nullable=True),
        sa.Column("business_on", sa.Date(), nullable=False),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resend_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_query_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queries_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "not_found_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("not_found_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("return_fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "currency ~ '^[A-Z]{3}$'", name=op.f("ck_payment_attempts_currency_code")
        ),
        sa.CheckConstraint(
            "state IN ('created', 'sending', 'pending', 'unknown', 'succeeded', 'declined', 'errored', 'aborted', 'returned')",
            name=op.f("ck_payment_attempts_state_known"),
        ),
        sa.CheckConstraint(
            "amount_minor BETWEEN 1 AND 9000000000000000",
            name=op.f("ck_payment_attempts_amount_minor_in_range"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "gateway_account_id", "currency"],
            [
                "gateway_accounts.organisation_id",
                "gateway_accounts.id",
                "gateway_accounts.currency",
            ],
            name=op.f(
                "fk_payment_attempts_gateway_accounts_organisation_id_gateway_account_id_currency"
            ),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payment_id", "currency"],
            ["payments.organisation_id", "payments.id", "payments.currency"],
            name=op.f("fk_payment_attempts_payments_organisation_id_payment_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_payment_attempts_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_payment_attempts")),
        sa.UniqueConstraint(
            "organisation_id",
            "gateway_account_id",
            "idempotency_key",
            name=op.f("uq_payment_attempts_organisation_id_gateway_account_id_idempotency_key"),
        ),
        sa.UniqueConstraint(
            "organisation_id",
            "gateway_account_id",
            "merchant_ref",
            name=op.f("uq_payment_attempts_organisation_id_gateway_account_id_merchant_ref"),
        ),
        sa.UniqueConstraint(
            "organisation_id",
            "payment_id",
            "number",
            name=op.f("uq_payment_attempts_organisation_id_payment_id_number"),
        ),
    )
    op.create_index(
        "ix_payment_attempts_query",
        "payment_attempts",
        ["organisation_id", "next_query_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'unknown') AND next_query_at IS NOT NULL"),
    )
    op.create_index(
        "uq_payment_attempts_gateway_ref",
        "payment_attempts",
        ["organisation_id", "gateway_account_id", "gateway_ref"],
        unique=True,
        postgresql_where=sa.text("gateway_ref IS NOT NULL"),
    )
    op.create_index(
        "uq_payment_attempts_live",
        "payment_attempts",
        ["organisation_id", "payment_id"],
        unique=True,
        postgresql_where=sa.text(
            "state IN ('created', 'sending', 'pending', 'unknown', 'succeeded')"
        ),
    )
    op.create_table(
        "allocations",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("deposit_id", sa.Uuid(), nullable=True),
        sa.Column("payer_credit_id", sa.Uuid(), nullable=True),
        sa.Column("credit_note_id", sa.Uuid(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("applied_on", sa.Date(), nullable=False),
        sa.Column("reverses_id", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_allocations_currency_code")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_allocations_amount_minor_positive")),
        sa.CheckConstraint(
            "num_nonnulls(payment_id, deposit_id, payer_credit_id, credit_note_id) = 1",
            name=op.f("ck_allocations_one_source"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "credit_note_id", "currency"],
            ["invoices.organisation_id", "invoices.id", "invoices.currency"],
            name=op.f("fk_allocations_invoices_organisation_id_credit_note_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "deposit_id", "currency"],
            ["deposits.organisation_id", "deposits.id", "deposits.currency"],
            name=op.f("fk_allocations_deposits_organisation_id_deposit_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "invoice_id", "currency"],
            ["invoices.organisation_id", "invoices.id", "invoices.currency"],
            name=op.f("fk_allocations_invoices_organisation_id_invoice_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payer_credit_id", "currency"],
            ["payer_credits.organisation_id", "payer_credits.id", "payer_credits.currency"],
            name=op.f("fk_allocations_payer_credits_organisation_id_payer_credit_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payment_id", "currency"],
            ["payments.organisation_id", "payments.id", "payments.currency"],
            name=op.f("fk_allocations_payments_organisation_id_payment_id_currency"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "reverses_id"],
            ["allocations.organisation_id", "allocations.id"],
            name=op.f("fk_allocations_allocations_organisation_id_reverses_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_allocations_organisations_organisation_id"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_allocations")),
        sa.UniqueConstraint(
            "organisation_id",
            "reverses_id",
            name=op.f("uq_allocations_organisation_id_reverses_id"),
        ),
    )
    op.create_index(
        "ix_allocations_credit_note",
        "allocations",
        ["organisation_id", "credit_note_id"],
        unique=False,
        postgresql_where=sa.text("credit_note_id IS NOT NULL"),
    )
    op.create_index(
        "ix_allocations_deposit",
        "allocations",
        ["organisation_id", "deposit_id"],
        unique=False,
        postgresql_where=sa.text("deposit_id IS NOT NULL"),
    )
    op.create_index(
        "ix_allocations_invoice", "allocations", ["organisation_id", "invoice_id"], unique=False
    )
    op.create_index(
        "ix_allocations_payer_credit",
        "allocations",
        ["organisation_id", "payer_credit_id"],
        unique=False,
        postgresql_where=sa.text("payer_credit_id IS NOT NULL"),
    )
    op.create_index(
        "ix_allocations_payment",
        "allocations",
        ["organisation_id", "payment_id"],
        unique=False,
        postgresql_where=sa.text("payment_id IS NOT NULL"),
    )
    op.create_table(
        "payout_items",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("gateway_ref", sa.Text(), nullable=True),
        sa.Column("merchant_ref", sa.Text(), nullable=True),
        sa.Column("gross_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("net_minor", sa.BigInteger(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=True),
        sa.Column("match_state", sa.Text(), server_default=sa.text("'unmatched'"), nullable=False),
        sa.Column("discrepancy", sa.Text(), nullable=True),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payout_items_currency_code")),
        sa.CheckConstraint(
            "kind IN ('payment', 'refund', 'return', 'chargeback', 'fee', 'adjustment', 'reserve')",
            name=op.f("ck_payout_items_kind_known"),
        ),
        sa.CheckConstraint(
            "match_state IN ('unmatched', 'suggested', 'matched', 'partially_matched', 'conflicting', 'excluded')",
            name=op.f("ck_payout_items_match_state_known"),
        ),
        sa.CheckConstraint(
            "net_minor = gross_minor - fee_minor", name=op.f("ck_payout_items_net_adds_up")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "attempt_id"],
            ["payment_attempts.organisation_id", "payment_attempts.id"],
            name=op.f("fk_payout_items_payment_attempts_organisation_id_attempt_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payout_id", "currency"],
            ["payouts.organisation_id", "payouts.id", "payouts.currency"],
            name=op.f("fk_payout_items_payouts_organisation_id_payout_id_currency"),
        ),
        sa.PrimaryKeyConstraint(
            "organisation_id", "payout_id", "position", name=op.f("pk_payout_items")
        ),
    )
    op.create_index(
        "uq_payout_items_attempt",
        "payout_items",
        ["organisation_id", "attempt_id", "kind"],
        unique=True,
        postgresql_where=sa.text("attempt_id IS NOT NULL"),
    )


def downgrade() -> None:

    op.drop_index(
        "uq_payout_items_attempt",
        table_name="payout_items",
        postgresql_where=sa.text("attempt_id IS NOT NULL"),
    )
    op.drop_table("payout_items")
    op.drop_index(
        "ix_allocations_payment",
        table_name="allocations",
        postgresql_where=sa.text("payment_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_allocations_payer_credit",
        table_name="allocations",
        postgresql_where=sa.text("payer_credit_id IS NOT NULL"),
    )
    op.drop_index("ix_allocations_invoice", table_name="allocations")
    op.drop_index(
        "ix_allocations_deposit",
        table_name="allocations",
        postgresql_where=sa.text("deposit_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_allocations_credit_note",
        table_name="allocations",
        postgresql_where=sa.text("credit_note_id IS NOT NULL"),
    )
    op.drop_table("allocations")
    op.drop_index(
        "uq_payment_attempts_live",
        table_name="payment_attempts",
        postgresql_where=sa.text(
            "state IN ('created', 'sending', 'pending', 'unknown', 'succeeded')"
        ),
    )
    op.drop_index(
        "uq_payment_attempts_gateway_ref",
        table_name="payment_attempts",
        postgresql_where=sa.text("gateway_ref IS NOT NULL"),
    )
    op.drop_index(
        "ix_payment_attempts_query",
        table_name="payment_attempts",
        postgresql_where=sa.text("state IN ('pending', 'unknown') AND next_query_at IS NOT NULL"),
    )
    op.drop_table("payment_attempts")
    op.drop_index("ix_payer_credits_payment", table_name="payer_credits")
    op.drop_index(
        "ix_payer_credits_left",
        table_name="payer_credits",
        postgresql_where=sa.text("applied_minor < amount_minor"),
    )
    op.drop_table("payer_credits")
    op.drop_index(
        "ix_settlements_unfinished",
        table_name="settlements",
        postgresql_where=sa.text("state IN ('open', 'matching', 'balanced')"),
    )
    op.drop_table("settlements")
    op.drop_index(
        "uq_payments_open_invoice",
        table_name="payments",
        postgresql_where=sa.text("state IN ('scheduled', 'processing', 'requires_action')"),
    )
    op.drop_index(
        "ix_payments_worklist",
        table_name="payments",
        postgresql_where=sa.text("worklist IS NOT NULL"),
    )
    op.drop_index(
        "ix_payments_scheduled",
        table_name="payments",
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.drop_index("ix_payments_payer", table_name="payments")
    op.drop_index("ix_payments_invoice", table_name="payments")
    op.drop_table("payments")
    op.drop_index("ix_message_deliveries_day", table_name="message_deliveries")
    op.drop_table("message_deliveries")
    op.drop_table("invoice_taxes")
    op.drop_table("invoice_lines")
    op.drop_index(
        "ix_postings_payer", table_name="postings", postgresql_where=sa.text("payer_id IS NOT NULL")
    )
    op.drop_index(
        "ix_postings_invoice",
        table_name="postings",
        postgresql_where=sa.text("invoice_id IS NOT NULL"),
    )
    op.drop_table("postings")
    op.drop_table("payouts")
    op.drop_index(
        "ix_messages_errands",
        table_name="messages",
        postgresql_where=sa.text("kind IN ('gateway.close_day', 'gateway.list_events')"),
    )
    op.drop_index(
        "ix_messages_due", table_name="messages", postgresql_where=sa.text("state = 'ready'")
    )
    op.drop_table("messages")
    op.drop_index(
        "uq_mandates_active", table_name="mandates", postgresql_where=sa.text("state = 'active'")
    )
    op.drop_table("mandates")
    op.drop_index(
        "uq_invoices_number", table_name="invoices", postgresql_where=sa.text("number IS NOT NULL")
    )
    op.drop_index(
        "uq_invoices_external_ref",
        table_name="invoices",
        postgresql_where=sa.text("external_ref IS NOT NULL AND state <> 'discarded'"),
    )
    op.drop_index("ix_invoices_payer", table_name="invoices")
    op.drop_index(
        "ix_invoices_open",
        table_name="invoices",
        postgresql_where=sa.text("state = 'issued' AND payment_status <> 'paid'"),
    )
    op.drop_index(
        "ix_invoices_draft", table_name="invoices", postgresql_where=sa.text("state = 'draft'")
    )
    op.drop_index(
        "ix_invoices_credit_left",
        table_name="invoices",
        postgresql_where=sa.text(
            "state = 'issued' AND kind = 'credit_note' AND applied_minor < total_minor"
        ),
    )
    op.drop_table("invoices")
    op.drop_index(
        "ix_inbox_messages_due",
        table_name="inbox_messages",
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.drop_table("inbox_messages")
    op.drop_table("file_refusals")
    op.drop_index(
        "ix_deposits_usable",
        table_name="deposits",
        postgresql_where=sa.text("state IN ('held', 'partially_applied')"),
    )
    op.drop_table("deposits")
    op.drop_index(
        "ix_batch_items_trouble",
        table_name="batch_items",
        postgresql_where=sa.text("outcome <> 'done'"),
    )
    op.drop_table("batch_items")
    op.drop_index(
        "ix_batch_chunks_open",
        table_name="batch_chunks",
        postgresql_where=sa.text("state IN ('ready', 'leased')"),
    )
    op.drop_table("batch_chunks")
    op.drop_index("ix_bank_lines_reference", table_name="bank_lines")
    op.drop_table("bank_lines")
    op.drop_index(op.f("ix_user_sessions_user_id"), table_name="user_sessions")
    op.drop_table("user_sessions")
    op.drop_index(
        "uq_rule_sets_start", table_name="rule_sets", postgresql_where=sa.text("state = 'active'")
    )
    op.drop_table("rule_sets")
    op.drop_index("ix_payers_name", table_name="payers")
    op.drop_table("payers")
    op.drop_table("number_series")
    op.drop_index(op.f("ix_memberships_user_id"), table_name="memberships")
    op.drop_table("memberships")
    op.drop_index("ix_ledger_entries_day", table_name="ledger_entries")
    op.drop_table("ledger_entries")
    op.drop_table("ledger_accounts")
    op.drop_table("gateway_accounts")
    op.drop_table("files")
    op.drop_index("ix_events_subject", table_name="events")
    op.drop_table("events")
    op.drop_index(
        "uq_batch_runs_unfinished",
        table_name="batch_runs",
        postgresql_where=sa.text(
            "state IN ('prepared', 'awaiting_approval', 'starting', 'started', 'stopping', 'stopped')"
        ),
    )
    op.drop_index(
        "ix_batch_runs_working",
        table_name="batch_runs",
        postgresql_where=sa.text("state IN ('started', 'stopping')"),
    )
    op.drop_index("ix_batch_runs_day", table_name="batch_runs")
    op.drop_table("batch_runs")
    op.drop_table("bank_accounts")
    op.drop_table("api_keys")
    op.drop_table("users")
    op.drop_table("staged_lines")
    op.drop_table("organisations")
