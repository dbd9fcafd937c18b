"""The document itself: its header, lines and taxes, and its number as people write it."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.invoices import (
    NUMBER_DIGITS_MIN,
    InvoiceKind,
    InvoiceState,
    PaymentStatus,
    VoidFacts,
    VoidRefusal,
    find_void_refusal,
    parse_document_number,
)
from portal.domain.payers import Arrangement, PayerTerms
from portal.queries.organisations import FOR_PAYMENTS
from portal.sql import fetch_one, fetch_plain


def document_number(alias: str) -> str:
    """Write the SQL for the number of a document as people read it; NULL while it has none.

    Shape: `alias` names the invoices; the text is that of `format_document_number`.
    """
    digits = f"{alias}.number::text"
    # To fill up is to cut as well: a number with more digits is to keep them all.
    filled = f"lpad({digits}, greatest({NUMBER_DIGITS_MIN}, length({digits})), '0')"
    return f"({alias}.series || '-' || {alias}.year || '-' || {filled})"


# The credit note of a void is told by its event: nothing is allocated where nothing was owed.
_SELECT = f"""
SELECT i.id, {document_number("i")} AS number, i.kind, i.state, i.payment_status, i.currency,
  i.payer_id, p.number AS payer_number, p.name AS payer_name, p.external_ref AS payer_ref,
  p.kind AS payer_kind, p.is_on_hold AS payer_is_on_hold,
  p.arrangement AS payer_arrangement, p.arranged_until AS payer_arranged_until,
  i.external_ref, i.purchase_order_ref, i.document_on, i.issued_on, i.due_on,
  i.buyer_reference, i.cost_centre, i.payment_ref, i.period_from, i.period_to,
  i.net_minor, i.tax_minor, i.total_minor, i.paid_minor, i.credited_minor, i.written_off_minor,
  i.in_payment_minor, i.open_minor, i.applied_minor, i.credit_left_minor,
  i.corrects_id, {document_number("c")} AS corrects_number,
  n.id AS voided_by_id, n.number AS voided_by_number,
  i.rule_set_version, i.file_id, f.name AS file_name, i.created_at, i.version,
  (SELECT count(*) FROM invoice_lines l WHERE l.invoice_id = i.id)::int AS lines_count,
  y.live_count, y.scheduled_count, y.contradicted_count
FROM invoices i
JOIN payers p ON p.id = i.payer_id
LEFT JOIN invoices c ON c.id = i.corrects_id
LEFT JOIN files f ON f.id = i.file_id
LEFT JOIN LATERAL (
  SELECT m.id, {document_number("m")} AS number FROM events e
  JOIN invoices m ON m.id = (e.details ->> 'credit_note_id')::uuid
  WHERE e.subject_id = i.id AND e.kind = 'invoice.voided' AND i.state = 'voided' LIMIT 1
) n ON true
CROSS JOIN LATERAL (
  SELECT (count(*) FILTER (WHERE state IN ('processing', 'requires_action')))::int AS live_count,
    (count(*) FILTER (WHERE state = 'scheduled'))::int AS scheduled_count,
    (count(*) FILTER (WHERE worklist = 'conflicting_outcome'))::int AS contradicted_count
  FROM payments WHERE invoice_id = i.id
) y
"""


class InvoiceMissing(NotFound):
    """There is no such invoice here, or it is another organisation's; nothing was changed. Choose
    one from the list of invoices."""


class InvoiceRow(NamedTuple):
    """An invoice or credit note with all that its page says at the top.

    Shape: `corrects` is the invoice that a credit note takes back, `voided_by` the credit note that
    took a void invoice back; a draft has no number, no due date and no tax yet.
    """

    id: UUID
    number: str | None
    kind: InvoiceKind
    state: InvoiceState
    payment_status: PaymentStatus | None
    currency: str
    payer_id: UUID
    payer_number: int
    payer_name: str
    payer_ref: str
    payer_kind: str
    payer_is_on_hold: bool
    payer_arrangement: str | None
    payer_arranged_until: date | None
    external_ref: str | None
    purchase_order_ref: str | None
    document_on: date | None
    issued_on: date | None
    due_on: date | None
    buyer_reference: str | None
    cost_centre: str | None
    payment_ref: str | None
    period_from: date | None
    period_to: date | None
    net_minor: int
    tax_minor: int
    total_minor: int
    paid_minor: int
    credited_minor: int
    written_off_minor: int
    in_payment_minor: int
    open_minor: int
    applied_minor: int
    credit_left_minor: int
    corrects_id: UUID | None
    corrects_number: str | None
    voided_by_id: UUID | None
    voided_by_number: str | None
    rule_set_version: int | None
    file_id: UUID | None
    file_name: str | None
    created_at: datetime
    version: int
    lines_count: int
    live_count: int
    scheduled_count: int
    contradicted_count: int

    @property
    def payer_terms(self) -> PayerTerms:
        """How its payer is dealt with."""
        agreed = Arrangement(self.payer_arrangement) if self.payer_arrangement else None
        return PayerTerms(self.payer_is_on_hold, agreed, self.payer_arranged_until)

    @property
    def void_refusal(self) -> VoidRefusal | None:
        """Why the invoice may not be voided now; None when it may."""
        return find_void_refusal(VoidFacts._make(getattr(self, name) for name in VoidFacts._fields))


class LineRow(NamedTuple):
    """One line of a document; `source_line` is that of the file it came from."""

    position: int
    description: str
    quantity: Decimal
    unit_price: Decimal
    net_minor: int
    revenue_code: str
    tax_code: str
    source_line: int | None


class TaxRow(NamedTuple):
    """The tax of one category of an issued document."""

    tax_code: str
    rate_bps: int
    net_minor: int
    tax_minor: int


def get_invoice(invoice_id: UUID) -> InvoiceRow:
    """Return one invoice or credit note.

    Raises: InvoiceMissing.
    """
    row = fetch_one(_SELECT + "WHERE i.id = %s", (invoice_id,))
    if row is None:
        raise InvoiceMissing
    return _invoice(row)


def find_invoice_by_number(text: str) -> InvoiceRow | None:
    """Return the invoice or credit note with a number as people write it, or None."""
    wanted = parse_document_number(text)
    if wanted is None:
        return None
    row = fetch_one(_SELECT + "WHERE (i.series, i.year, i.number) = (%s, %s, %s)", wanted)
    return _invoice(row) if row else None


def list_lines(invoice_id: UUID) -> list[LineRow]:
    """List the lines of a document in their order."""
    rows = fetch_plain(
        "SELECT position, description, quantity, unit_price, net_minor, revenue_code, tax_code,"
        " source_line FROM invoice_lines WHERE invoice_id = %s ORDER BY position",
        (invoice_id,),
    )
    return [LineRow._make(row) for row in rows]


def list_taxes(invoice_id: UUID) -> list[TaxRow]:
    """List the taxes of an issued document, by code."""
    rows = fetch_plain(
        "SELECT tax_code, rate_bps, net_minor, tax_minor FROM invoice_taxes"
        " WHERE invoice_id = %s ORDER BY tax_code",
        (invoice_id,),
    )
    return [TaxRow._make(row) for row in rows]


def list_invoice_currencies() -> list[str]:
    """List the currencies in which the organisation may bill, its own first.

    Shape: what can reach it: its own currency, then those of its bank and gateway accounts.
    """
    rows = fetch_plain(
        "SELECT currency FROM ("
        " SELECT currency, 0 AS place FROM organisations WHERE id ="
        " NULLIF(current_setting('app.organisation_id', true), '')::uuid"
        " UNION ALL SELECT currency, 1 FROM bank_accounts"
        f" UNION ALL SELECT currency, 1 FROM gateway_accounts WHERE is_active AND {FOR_PAYMENTS}"
        ") AS used GROUP BY currency ORDER BY min(place), currency"
    )
    return [row[0] for row in rows]


def _invoice(row: Any) -> InvoiceRow:
    found = InvoiceRow(*row)
    return found._replace(
        kind=InvoiceKind(found.kind),
        state=InvoiceState(found.state),
        payment_status=PaymentStatus(found.payment_status) if found.payment_status else None,
    )
