"""The list of invoices and credit notes."""

import re
from typing import Any

from portal.domain.invoices import (
    AWAITING_INVOICE_STATUSES,
    STORED_INVOICE_STATUSES,
    InvoiceKind,
    InvoiceStatus,
)
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
    options_of,
)

OPEN = (InvoiceStatus.UNPAID, InvoiceStatus.PARTIALLY_PAID, InvoiceStatus.IN_PAYMENT)
OVERDUE_SQL = "i.due_on < %(today)s"
# A document is found by its whole number, its reference, or the beginning of its payer's name.
_FOUND = (
    "i.id IN (SELECT id FROM invoices WHERE (series, year, number) ="
    " (%(series)s, %(year)s::smallint, %(number)s::bigint) AND number IS NOT NULL"
    " UNION SELECT id FROM invoices"
    " WHERE external_ref = %(text)s AND external_ref IS NOT NULL AND state <> 'discarded'"
    " UNION SELECT n.id FROM payers p JOIN invoices n"
    " ON (n.organisation_id, n.payer_id) = (p.organisation_id, p.id)"
    " WHERE p.name_sort >= %(least)s AND p.name_sort < %(end)s)"
)
_NUMBER = re.compile(r"([A-Z]{1,10})-([0-9]{4})-([0-9]{1,15})")


def _statuses() -> list[Option]:
    awaiting = tuple(one.value for one in AWAITING_INVOICE_STATUSES)
    overdue, is_open = InvoiceStatus.OVERDUE, tuple(one.value for one in OPEN)
    return [
        Option("open", "Open", is_open),
        Option(overdue.value, overdue.label, awaiting, OVERDUE_SQL),
        *(Option(one.value, one.label, (one.value,)) for one in STORED_INVOICE_STATUSES),
    ]


def _read_number(text: str) -> dict[str, Any]:
    found = _NUMBER.fullmatch(text.upper())
    series, year, number = found.groups() if found else (None, None, None)
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
            "i.series || '-' || i.year || '-'"
            " || lpad(i.number::text, greatest(6, length(i.number::text)), '0')",
            keys=(
                Key("i.series", "text"),
                Key("COALESCE(i.year, 0)", "integer"),
                Key("COALESCE(i.number, 0)", "bigint"),
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
            keys=(Key("COALESCE(i.issued_on, 'infinity'::date)", "date"),),
            is_descending_first=True,
        ),
        Column(
            "due",
            "Due",
            Kind.DAY,
            "i.due_on",
            keys=(Key("COALESCE(i.due_on, 'infinity'::date)", "date"),),
        ),
        Column(
            "total",
            "Total",
            Kind.MONEY,
            "i.total_minor",
            keys=(Key("i.total_minor", "bigint"),),
            is_descending_first=True,
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
        Choice("kind", "Kind", options_of(InvoiceKind), sql="i.kind"),
        Range("issued", "Issued", Kind.DAY, "i.issued_on"),
        Range("due", "Due", Kind.DAY, "i.due_on"),
        Range("total", "Total", Kind.MONEY, "i.total_minor"),
        Range("open", "Open amount", Kind.MONEY, "i.open_minor"),
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
    parts=Parts("status", "i.status", tuple(one.value for one in STORED_INVOICE_STATUSES)),
)
