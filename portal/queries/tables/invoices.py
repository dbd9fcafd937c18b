"""The list of invoices and credit notes."""

from typing import Any

from portal.domain.invoices import (
    AWAITING_INVOICE_STATUSES,
    STORED_INVOICE_STATUSES,
    InvoiceKind,
    InvoiceStatus,
    parse_document_number,
)
from portal.domain.users import Permission
from portal.queries.invoices import document_number
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
    Text,
    Words,
)

OPEN = (InvoiceStatus.UNPAID, InvoiceStatus.PARTIALLY_PAID, InvoiceStatus.IN_PAYMENT)
# Where an invoice is a credit note, and where it is none.
CREDIT = (InvoiceStatus.CREDIT_LEFT, InvoiceStatus.CREDIT_USED)
OWED = (*OPEN, InvoiceStatus.PAID)
# A day that is not known yet stands behind all others, and a draft before all numbers. Not written
# with COALESCE: beneath row-level security the planner uses no index for that.
NEVER = "'infinity'::date"
ISSUED_SQL = f"CASE WHEN i.issued_on IS NULL THEN {NEVER} ELSE i.issued_on END"
DUE_SQL = f"CASE WHEN i.due_on IS NULL THEN {NEVER} ELSE i.due_on END"
YEAR_SQL = "CASE WHEN i.year IS NULL THEN 0::smallint ELSE i.year END"
NUMBER_SQL = "CASE WHEN i.number IS NULL THEN 0::bigint ELSE i.number END"
OVERDUE_SQL = f"{DUE_SQL} < %(today)s"
# A document is found by its whole number, its reference, or the beginning of its payer's name.
_FOUND = (
    "(i.series = %(series)s AND i.year = %(year)s::smallint AND i.number = %(number)s::bigint)"
    " OR (i.external_ref = %(text)s AND i.state <> 'discarded')"
    " OR i.payer_id = ANY(ARRAY(SELECT id FROM payers"
    " WHERE name_sort >= %(least)s AND name_sort < %(end)s))"
)


def _statuses() -> list[Option]:
    awaiting = tuple(one.value for one in AWAITING_INVOICE_STATUSES)
    overdue, is_open = InvoiceStatus.OVERDUE, tuple(one.value for one in OPEN)
    return [
        Option("open", "Open", is_open),
        Option(overdue.value, overdue.label, awaiting, OVERDUE_SQL),
        *(Option(one.value, one.label, (one.value,)) for one in STORED_INVOICE_STATUSES),
    ]


def _kinds() -> list[Option]:
    """Say of each kind in which statuses it cannot be."""
    options = []
    for kind in InvoiceKind:
        others = OWED if kind is InvoiceKind.CREDIT_NOTE else CREDIT
        parts = tuple(one.value for one in STORED_INVOICE_STATUSES if one not in others)
        is_rare = kind in (InvoiceKind.CORRECTION, InvoiceKind.CHARGE)
        options.append(Option(kind.value, kind.label, parts, is_rare=is_rare))
    return options


def _read_number(text: str) -> dict[str, Any]:
    series, year, number = parse_document_number(text) or (None, None, None)
    return {"series": series, "year": year, "number": number}


INVOICE_TABLE = Table(
    noun="invoice",
    words="Invoices",
    permission=Permission.VIEW_INVOICES,
    source="invoices",
    alias="i",
    joins="JOIN payers p ON (p.organisation_id, p.id) = (i.organisation_id, i.payer_id)",
    columns=(
        Column("id", "Id", Kind.ID, "i.id", noun="invoice", is_shown=False),
        Column(
            "number",
            "Number",
            Kind.TEXT,
            document_number("i"),
            keys=(
                Key("i.series", "text"),
                Key(YEAR_SQL, "smallint"),
                Key(NUMBER_SQL, "bigint"),
            ),
            noun="invoice",
            is_descending_first=True,
        ),
        Column("payer_id", "Payer id", Kind.ID, "i.payer_id", noun="payer", is_shown=False),
        Column("payer", "Payer", Kind.TEXT, "p.name", noun="payer"),
        Column(
            "status",
            "Status",
            Kind.STATE,
            f"CASE WHEN i.status IN ('unpaid', 'partially_paid') AND {OVERDUE_SQL}"
            " THEN 'overdue' ELSE i.status END",
            states=InvoiceStatus,
        ),
        Column("kind", "Kind", Kind.STATE, "i.kind", states=InvoiceKind, is_shown=False),
        Column(
            "issued",
            "Issued",
            Kind.DAY,
            "i.issued_on",
            keys=(Key(ISSUED_SQL, "date"),),
            is_descending_first=True,
        ),
        Column(
            "due",
            "Due",
            Kind.DAY,
            "i.due_on",
            keys=(Key(DUE_SQL, "date"),),
        ),
        Column(
            "total",
            "Total",
            Kind.MONEY,
            "i.total_minor",
            keys=(Key("i.total_minor", "bigint"),),
            is_descending_first=True,
            is_scattered=True,
        ),
        Column("paid", "Paid", Kind.MONEY, "i.paid_minor", is_shown=False),
        Column("credited", "Credited", Kind.MONEY, "i.credited_minor", is_shown=False),
        Column(
            "open",
            "Open",
            Kind.MONEY,
            "i.open_minor",
            keys=(Key("i.open_minor", "bigint"),),
            is_descending_first=True,
        ),
        Column("currency", "Currency", Kind.TEXT, "i.currency", is_shown=False),
        Column("reference", "Reference", Kind.TEXT, "i.external_ref", is_shown=False),
        Column("order", "Order", Kind.TEXT, "i.purchase_order_ref", is_shown=False),
        Column("version", "Version", Kind.COUNT, "i.version", is_shown=False),
    ),
    filters=(
        Choice("status", "Status", _statuses(), is_facet=True),
        Choice("kind", "Kind", _kinds(), sql="i.kind"),
        Text("currency", "Currency", "three letters", "i.currency"),
        Range(
            "issued",
            "Issued",
            Kind.DAY,
            ISSUED_SQL,
            present=f"{ISSUED_SQL} < {NEVER}",
            year_sql=YEAR_SQL,
        ),
        Range("due", "Due", Kind.DAY, DUE_SQL, present=f"{DUE_SQL} < {NEVER}"),
        Range("total", "Total", Kind.MONEY, "i.total_minor"),
        Range(
            "open",
            "Open amount",
            Kind.MONEY,
            "i.open_minor",
            parts=tuple(one.value for one in OPEN),
        ),
        Reference(
            "payer",
            "Payer",
            "payer",
            "i.payer_id = %(value)s",
            "SELECT name FROM payers WHERE id = %(value)s",
        ),
        Words(
            "text",
            "Search",
            "number, reference or the beginning of a payer's name",
            _FOUND,
            read=_read_number,
        ),
    ),
    default_sort="-issued",
    sums=("total", "open"),
    parts=Parts(
        "status",
        "i.status",
        tuple(one.value for one in STORED_INVOICE_STATUSES),
        InvoiceStatus.PAID.value,
    ),
)
