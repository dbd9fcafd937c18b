"""The list of what became of each item of a run."""

from uuid import UUID

from portal.domain.batches import ItemOutcome
from portal.domain.users import Permission
from portal.queries.invoices import document_number
from portal.queries.tables._shape import Choice, Column, Key, Kind, Table, Text, options_of

_ITEMS = "SELECT *, item_id AS id FROM batch_items"
# An item is an invoice, a payment, a payer, a settlement, a gateway account or the organisation.
_SUBJECT = (
    f"COALESCE({document_number('i')}, i.external_ref, o.gateway_ref, g.code, p.external_ref,"
    " CASE WHEN z.id = b.item_id THEN z.name END, 'Draft')"
)

ITEM_TABLE = Table(
    noun="item",
    words="Items",
    permission=Permission.VIEW_RUNS,
    source=f"({_ITEMS})",
    alias="b",
    joins=(
        "JOIN organisations z ON z.id = b.organisation_id"
        " LEFT JOIN payments y ON (y.organisation_id, y.id) = (b.organisation_id, b.item_id)"
        " LEFT JOIN settlements s ON (s.organisation_id, s.id) = (b.organisation_id, b.item_id)"
        " LEFT JOIN payouts o ON (o.organisation_id, o.id) = (s.organisation_id, s.payout_id)"
        " LEFT JOIN gateway_accounts g"
        " ON (g.organisation_id, g.id) = (b.organisation_id, b.item_id)"
        " LEFT JOIN invoices i ON (i.organisation_id, i.id)"
        " = (b.organisation_id, COALESCE(y.invoice_id, b.item_id))"
        " LEFT JOIN payers p ON (p.organisation_id, p.id)"
        " = (b.organisation_id, COALESCE(i.payer_id, y.payer_id, b.item_id))"
    ),
    columns=(
        Column("id", "Id", Kind.ID, "b.id", noun="item", is_shown=False),
        Column("invoice_id", "Invoice id", Kind.ID, "i.id", noun="invoice", is_shown=False),
        Column("payment_id", "Payment id", Kind.ID, "y.id", noun="payment", is_shown=False),
        Column("payer_id", "Payer id", Kind.ID, "p.id", noun="payer", is_shown=False),
        Column(
            "item", "Item", Kind.TEXT, _SUBJECT, keys=(Key("b.item_id", "uuid"),), noun="invoice"
        ),
        Column("payer", "Payer", Kind.TEXT, "p.name", noun="payer"),
        Column(
            "payment",
            "Payment",
            Kind.TEXT,
            "CASE WHEN y.id IS NOT NULL THEN 'of ' || y.started_on END",
            noun="payment",
            is_shown=False,
        ),
        Column(
            "outcome",
            "Outcome",
            Kind.STATE,
            "b.outcome",
            keys=(Key("b.outcome", "text"),),
            states=ItemOutcome,
        ),
        Column("message", "Reason", Kind.TEXT, "COALESCE(b.message, b.code)"),
        Column(
            "code",
            "Code",
            Kind.TEXT,
            "b.code",
            keys=(Key("COALESCE(b.code, chr(1114111))", "text"),),
            is_shown=False,
        ),
        Column(
            "amount",
            "Amount",
            Kind.MONEY,
            "b.amount_minor",
            keys=(Key("b.amount_minor", "bigint"),),
            is_descending_first=True,
        ),
        Column(
            "currency",
            "Currency",
            Kind.TEXT,
            "COALESCE(i.currency, y.currency, o.currency, z.currency)",
            is_shown=False,
        ),
    ),
    filters=(
        Choice("outcome", "Outcome", options_of(ItemOutcome), sql="b.outcome", is_facet=True),
        Text("code", "Code", "the code of the reason", "b.code"),
    ),
    default_sort="item",
    hint="They appear when a worker has finished a chunk.",
)


def items_of_run(run_id: UUID) -> Table:
    """Return the list of the items of one run."""
    return ITEM_TABLE._replace(source=f"({_ITEMS} WHERE run_id = '{run_id}')")
