"""An entry is sealed by the shape of its postings: they name the transaction that wrote it.

The trigger that looked each entry up was planned by what the planner knew of the organisation:
of a new one it walked all entries for each posting.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SEALED_XID = "(pg_current_xact_id())::text::bigint"
TO_ENTRY = "fk_postings_ledger_entries_organisation_id_entry_id"
TO_SEALED_ENTRY = f"{TO_ENTRY}_sealed_xid"
SEALED_ENTRY = "uq_ledger_entries_organisation_id_id_sealed_xid"
# Without `sealed_xid`: nobody but the database says which transaction it is.
WRITTEN = {
    "ledger_entries": (
        "organisation_id, id, kind, source_type, source_id, effective_on, reverses_id"
    ),
    "postings": (
        "organisation_id, entry_id, line, debit_account_id, credit_account_id, currency,"
        " amount_minor, payer_id, invoice_id"
    ),
}


def upgrade() -> None:
    """Let a posting carry the transaction, tie it to its entry's, and drop the trigger."""
    op.execute("DROP TRIGGER sealed_entry ON postings")
    op.execute("DROP FUNCTION refuse_unsealed_posting()")
    op.add_column("postings", sa.Column("sealed_xid", sa.BigInteger()))
    op.execute("ALTER TABLE postings DISABLE TRIGGER append_only")
    op.execute("ALTER TABLE postings NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE ledger_entries NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE postings p SET sealed_xid = e.sealed_xid FROM ledger_entries e"
        " WHERE (e.organisation_id, e.id) = (p.organisation_id, p.entry_id)"
    )
    op.execute("ALTER TABLE ledger_entries FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE postings FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE postings ENABLE TRIGGER append_only")
    op.alter_column("postings", "sealed_xid", nullable=False, server_default=sa.text(SEALED_XID))
    op.create_unique_constraint(
        SEALED_ENTRY, "ledger_entries", ["organisation_id", "id", "sealed_xid"]
    )
    op.drop_constraint(TO_ENTRY, "postings")
    op.create_foreign_key(
        TO_SEALED_ENTRY,
        "postings",
        "ledger_entries",
        ["organisation_id", "entry_id", "sealed_xid"],
        ["organisation_id", "id", "sealed_xid"],
    )
    for table, columns in WRITTEN.items():
        op.execute(f"REVOKE INSERT ON {table} FROM portal_app")
        op.execute(f"GRANT INSERT ({columns}) ON {table} TO portal_app")


def downgrade() -> None:
    """Seal by the trigger again."""
    for table, columns in WRITTEN.items():
        op.execute(f"REVOKE INSERT ({columns}) ON {table} FROM portal_app")
        op.execute(f"GRANT INSERT ON {table} TO portal_app")
    op.drop_constraint(TO_SEALED_ENTRY, "postings")
    op.drop_constraint(SEALED_ENTRY, "ledger_entries")
    op.drop_column("postings", "sealed_xid")
    op.create_foreign_key(
        TO_ENTRY,
        "postings",
        "ledger_entries",
        ["organisation_id", "entry_id"],
        ["organisation_id", "id"],
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
