"""Reminders: the notices sent for what is overdue, level by level."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ORGANISATION = "NULLIF(current_setting('app.organisation_id', true), '')::uuid"


def upgrade() -> None:
    """Create the reminders, which are written once and never changed."""
    op.create_table(
        "reminders",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("payer_id", sa.Uuid(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("reminded_on", sa.Date(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("open_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("interest_minor", sa.BigInteger(), nullable=False),
        sa.Column("charge_invoice_id", sa.Uuid(), nullable=True),
        sa.Column("clause_codes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("rule_set_version", sa.Integer(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        *_checks(),
        *_keys(),
    )
    op.create_index(
        "uq_reminders_charge",
        "reminders",
        ["organisation_id", "charge_invoice_id"],
        unique=True,
        postgresql_where=sa.text("charge_invoice_id IS NOT NULL"),
    )
    op.create_index("ix_reminders_payer", "reminders", ["organisation_id", "payer_id"])
    _guard()


def downgrade() -> None:
    """Drop the reminders; their charge documents stay."""
    op.drop_table("reminders")


def _checks() -> list[sa.CheckConstraint]:
    return [
        sa.CheckConstraint(check, name=op.f(f"ck_reminders_{name}"))
        for name, check in (
            ("currency_code", "currency ~ '^[A-Z]{3}$'"),
            ("level_from_one", "level >= 1"),
            ("something_open", "open_minor > 0"),
            ("parts_not_negative", "fee_minor >= 0 AND interest_minor >= 0"),
            (
                "charged_by_document",
                "(charge_invoice_id IS NOT NULL) = (fee_minor + interest_minor > 0)",
            ),
        )
    ]


def _keys() -> list[sa.Constraint]:
    return [
        *(
            sa.ForeignKeyConstraint(
                ["organisation_id", column, "currency"],
                ["invoices.organisation_id", "invoices.id", "invoices.currency"],
                name=op.f(f"fk_reminders_invoices_organisation_id_{column}_currency"),
            )
            for column in ("invoice_id", "charge_invoice_id")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id", "payer_id"],
            ["payers.organisation_id", "payers.id"],
            name=op.f("fk_reminders_payers_organisation_id_payer_id"),
        ),
        *(
            sa.UniqueConstraint(
                "organisation_id",
                "invoice_id",
                column,
                name=op.f(f"uq_reminders_organisation_id_invoice_id_{column}"),
            )
            for column in ("level", "reminded_on")
        ),
        sa.PrimaryKeyConstraint("organisation_id", "id", name=op.f("pk_reminders")),
    ]


def _guard() -> None:
    op.execute("GRANT SELECT, INSERT ON reminders TO portal_app")
    op.execute("ALTER TABLE reminders ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE reminders FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY organisation ON reminders"
        f" USING (organisation_id = {ORGANISATION})"
        f" WITH CHECK (organisation_id = {ORGANISATION})"
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reminders"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
