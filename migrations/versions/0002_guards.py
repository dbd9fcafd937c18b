"""Roles, row-level security, append-only tables and what else the shape of a table cannot say."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"
USER = "NULLIF(current_setting('app.user_id', true), '')::uuid"
KEY_HASH = "decode(NULLIF(current_setting('app.key_hash', true), ''), 'hex')"

GUARDED = (
    "allocations",
    "api_keys",
    "bank_accounts",
    "bank_lines",
    "batch_chunks",
    "batch_items",
    "batch_runs",
    "deposits",
    "events",
    "file_refusals",
    "files",
    "gateway_accounts",
    "inbox_messages",
    "invoice_lines",
    "invoice_taxes",
    "invoices",
    "ledger_accounts",
    "ledger_entries",
    "mandates",
    "memberships",
    "message_deliveries",
    "messages",
    "number_series",
    "payer_credits",
    "payers",
    "payment_attempts",
    "payments",
    "payout_items",
    "payouts",
    "postings",
    "rule_sets",
    "settlements",
)
APPEND_ONLY = (
    "allocations",
    "batch_items",
    "events",
    "file_refusals",
    "invoice_taxes",
    "ledger_entries",
    "message_deliveries",
    "postings",
)
DELETABLE = ("invoice_lines", "memberships", "staged_lines", "user_sessions")
ANALYSED = (
    "invoice_lines",
    "invoices",
    "mandates",
    "messages",
    "payers",
    "payment_attempts",
    "payments",
)
UNGUARDED = ("organisations", "staged_lines", "user_sessions", "users")
# What the sweeping role sees of every organisation: where work is due, never what it is about.
SWEPT = {
    "batch_chunks": "organisation_id, run_id, number, state, lease_until",
    "batch_runs": "organisation_id, id, state",
    "gateway_accounts": "organisation_id, id, code, kind, is_active, open_until",
    "inbox_messages": "organisation_id, gateway_account_id, state, next_at",
    "messages": "organisation_id, gateway_account_id, state, next_at",
    "payment_attempts": "organisation_id, state, next_query_at",
}
# What an issued document says for good; amounts paid and the state go on moving.
FIXED = (
    "kind",
    "currency",
    "payer_id",
    "series",
    "year",
    "number",
    "external_ref",
    "issued_on",
    "due_on",
    "net_minor",
    "tax_minor",
    "total_minor",
    "rule_set_version",
)


def upgrade() -> None:
    """Create the roles and grants, then the policies and triggers."""
    _create_roles()
    for table in (*GUARDED, *UNGUARDED):
        rights = "SELECT, INSERT" if table in APPEND_ONLY else "SELECT, INSERT, UPDATE"
        if table in DELETABLE:
            rights += ", DELETE"
        op.execute(f"GRANT {rights} ON {table} TO portal_app")
    op.execute("GRANT SELECT ON alembic_version TO portal_app")
    for table in GUARDED:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY organisation ON {table}"
            f" USING (organisation_id = {ORGANISATION})"
            f" WITH CHECK (organisation_id = {ORGANISATION})"
        )
    op.execute(f"CREATE POLICY own ON memberships FOR SELECT USING (user_id = {USER})")
    op.execute(f"CREATE POLICY holder ON api_keys FOR SELECT USING (key_hash = {KEY_HASH})")
    for table, columns in SWEPT.items():
        op.execute(f"GRANT SELECT ({columns}) ON {table} TO portal_sweeper")
        op.execute(f"CREATE POLICY sweep ON {table} FOR SELECT TO portal_sweeper USING (true)")
    _create_triggers()
    _create_statistics()


def _create_statistics() -> None:
    """Let the app role refresh the planner's statistics, for which one must own the tables.

    An organisation that is newer than the statistics is estimated at one row, and its joins are
    then planned as if a hundred thousand rows could be walked for each of a thousand.
    """
    commands = " ".join(f"ANALYZE {table};" for table in ANALYSED)
    op.execute(
        "CREATE FUNCTION refresh_statistics() RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
        f" SET search_path = public, pg_temp AS $$ BEGIN {commands}"
        " EXCEPTION WHEN lock_not_available THEN NULL; END $$"
    )
    op.execute("REVOKE ALL ON FUNCTION refresh_statistics() FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION refresh_statistics() TO portal_app")


def _create_roles() -> None:
    for role in ("portal_app", "portal_sweeper"):
        op.execute(
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN;"
            f" EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    # Without inheriting: a policy for the sweeper would otherwise open its tables to the app role,
    # which is to see them only after SET ROLE.
    op.execute(
        "DO $$ BEGIN"
        " IF current_setting('server_version_num')::int >= 160000 THEN"
        " EXECUTE 'GRANT portal_sweeper TO portal_app WITH INHERIT FALSE, SET TRUE';"
        " ELSE ALTER ROLE portal_app NOINHERIT; GRANT portal_sweeper TO portal_app; END IF; END $$"
    )
    # Lets one sign-in role serve both: the portal then steps down to portal_app by itself.
    op.execute(
        "DO $$ BEGIN"
        " IF NOT pg_has_role(current_user, 'portal_app', 'MEMBER') THEN"
        " EXECUTE format('GRANT portal_app TO %I', current_user); END IF;"
        " EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
    )


def _create_triggers() -> None:
    # A trigger's plan is kept by the session from when the table was small; its settings make it
    # a walk over an index from the first time.
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION '% rows are never changed or removed', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'append_only';
        END $$
        """
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute(
        """
        CREATE FUNCTION refuse_unsealed_posting() RETURNS trigger LANGUAGE plpgsql
        SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
        BEGIN
          IF EXISTS (
            SELECT FROM written w
            JOIN ledger_entries e ON (e.organisation_id, e.id) = (w.organisation_id, w.entry_id)
            WHERE e.sealed_xid <> (pg_current_xact_id())::text::bigint
          ) THEN
            RAISE EXCEPTION 'a ledger entry takes postings only in the transaction that wrote it'
              USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'sealed_entry';
          END IF;
          RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER sealed_entry AFTER INSERT ON postings REFERENCING NEW TABLE AS written"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_unsealed_posting()"
    )
    old = ", ".join(f"OLD.{column}" for column in FIXED)
    new = ", ".join(f"NEW.{column}" for column in FIXED)
    op.execute(
        """
        CREATE FUNCTION refuse_issued_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION 'an issued document is never changed: void it or credit it'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issued_is_immutable';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER issued_is_immutable BEFORE UPDATE ON invoices FOR EACH ROW"
        f" WHEN (OLD.number IS NOT NULL AND ({old}) IS DISTINCT FROM ({new}))"
        " EXECUTE FUNCTION refuse_issued_change()"
    )
    op.execute(
        """
        CREATE FUNCTION refuse_issued_lines() RETURNS trigger LANGUAGE plpgsql
        SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
        BEGIN
          IF EXISTS (
            SELECT FROM changed c
            JOIN invoices i ON (i.organisation_id, i.id) = (c.organisation_id, c.invoice_id)
            WHERE i.number IS NOT NULL
          ) THEN
            RAISE EXCEPTION 'the lines of an issued document are never changed'
              USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'issued_lines';
          END IF;
          RETURN NULL;
        END $$
        """
    )
    for happening, tables in (
        ("INSERT", "NEW TABLE AS changed"),
        ("UPDATE", "NEW TABLE AS changed"),
        ("DELETE", "OLD TABLE AS changed"),
    ):
        op.execute(
            f"CREATE TRIGGER issued_lines_{happening.lower()} AFTER {happening} ON invoice_lines"
            f" REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION refuse_issued_lines()"
        )


def downgrade() -> None:
    """Drop the triggers and policies; the roles stay, other databases may use them."""
    for happening in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER issued_lines_{happening} ON invoice_lines")
    op.execute("DROP TRIGGER issued_is_immutable ON invoices")
    op.execute("DROP TRIGGER sealed_entry ON postings")
    for table in APPEND_ONLY:
        op.execute(f"DROP TRIGGER append_only ON {table}")
    for function in (
        "refresh_statistics",
        "refuse_change",
        "refuse_unsealed_posting",
        "refuse_issued_change",
        "refuse_issued_lines",
    ):
        op.execute(f"DROP FUNCTION {function}()")
    for table in SWEPT:
        op.execute(f"DROP POLICY sweep ON {table}")
    op.execute("DROP POLICY own ON memberships")
    op.execute("DROP POLICY holder ON api_keys")
    for table in GUARDED:
        op.execute(f"DROP POLICY organisation ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
