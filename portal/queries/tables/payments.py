"""The list of payments."""

from portal.domain.payments import OPEN_PAYMENT_STATES, PaymentState
from portal.domain.users import Permission
from portal.queries.tables._shape import (
    Choice,
    Column,
    Key,
    Kind,
    Option,
    Parts,
    Range,
    Reference,
    Table,
    Words,
)

METHODS = (
    Option("mandate", "Direct debit by mandate"),
    Option("transfer", "Bank transfer"),
    Option("by_hand", "At the desk"),
)
_FOUND = (
    "y.id IN (SELECT n.id FROM payers p JOIN payments n"
    " ON (n.organisation_id, n.payer_id) = (p.organisation_id, p.id)"
    " WHERE p.name_sort >= %(least)s AND p.name_sort < %(end)s)"
)

PAYMENT_TABLE = Table(
    noun="payment",
    words="Payments",
    permission=Permission.VIEW_PAYMENTS,
    source="payments",
    alias="y",
    joins=(
        "JOIN payers p ON (p.organisation_id, p.id) = (y.organisation_id, y.payer_id)"
        " LEFT JOIN invoices i ON (i.organisation_id, i.id) = (y.organisation_id, y.invoice_id)"
    ),
    columns=(
        Column("id", "Id", Kind.ID, "y.id", noun="payment", is_shown=False),
        Column(
            "started",
            "Started",
            Kind.DAY,
            "y.started_on",
            keys=(Key("y.started_on", "date"),),
            noun="payment",
            is_descending_first=True,
        ),
        Column("payer_id", "Payer id", Kind.ID, "y.payer_id", noun="payer", is_shown=False),
        Column("payer", "Payer", Kind.TEXT, "p.name", noun="payer"),
        Column("invoice_id", "Invoice id", Kind.ID, "y.invoice_id", noun="invoice", is_shown=False),
        Column(
            "invoice",
            "Invoice",
            Kind.TEXT,
            "i.series || '-' || i.year || '-'"
            " || lpad(i.number::text, greatest(6, length(i.number::text)), '0')",
            noun="invoice",
        ),
        Column("state", "State", Kind.STATE, "y.state", states=PaymentState),
        Column("attempts", "Attempts", Kind.COUNT, "y.attempts_count"),
        Column("reason", "Last reason", Kind.TEXT, "COALESCE(y.explanation, y.reason_code)"),
        Column("next", "Next try", Kind.DAY, "y.next_attempt_on"),
        Column(
            "amount",
            "Amount",
            Kind.MONEY,
            "y.amount_minor",
            keys=(Key("y.amount_minor", "bigint"),),
            is_descending_first=True,
        ),
        Column("refunded", "Refunded", Kind.MONEY, "y.refunded_minor", is_shown=False),
        Column("currency", "Currency", Kind.TEXT, "y.currency", is_shown=False),
        Column("method", "Method", Kind.TEXT, "y.method", is_shown=False),
        Column("reason_code", "Reason code", Kind.TEXT, "y.reason_code", is_shown=False),
        Column("worklist", "Worklist", Kind.TEXT, "y.worklist", is_shown=False),
        Column("version", "Version", Kind.COUNT, "y.version", is_shown=False),
    ),
    filters=(
        Choice(
            "state",
            "State",
            (
                Option("open", "Under way", tuple(one.value for one in OPEN_PAYMENT_STATES)),
                *(Option(one.value, one.label, (one.value,)) for one in PaymentState),
            ),
            is_facet=True,
        ),
        Choice(
            "worklist",
            "Worklist",
            (
                Option("needs_payer", "The payer must act"),
                Option("hard_decline", "Declined for good"),
                Option("retries_exhausted", "Retries used up"),
                Option("conflicting_outcome", "Contradicting outcomes"),
            ),
            sql="y.worklist",
        ),
        Choice("method", "Method", METHODS, sql="y.method"),
        Range("started", "Started", Kind.DAY, "y.started_on"),
        Range("next", "Next try", Kind.DAY, "y.next_attempt_on"),
        Range("amount", "Amount", Kind.MONEY, "y.amount_minor"),
        Range("attempts", "Attempts", Kind.COUNT, "y.attempts_count"),
        Reference(
            "payer",
            "Payer",
            "payer",
            "y.payer_id = %(value)s",
            "SELECT name FROM payers WHERE id = %(value)s",
        ),
        Reference(
            "invoice",
            "Invoice",
            "invoice",
            "y.invoice_id = %(value)s",
            "SELECT COALESCE(series || '-' || year || '-'"
            " || lpad(number::text, greatest(6, length(number::text)), '0'), 'draft')"
            " FROM invoices WHERE id = %(value)s",
        ),
        Words("text", "Search", "the beginning of a payer's name", _FOUND),
    ),
    default_sort="-started",
    sums=("amount",),
    parts=Parts("state", "y.state", tuple(one.value for one in PaymentState)),
)
