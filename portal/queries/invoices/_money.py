"""What paid or credited a document, and the payments and attempts that were made for it."""

from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from portal.domain.payments import AttemptState, PaymentState
from portal.queries.invoices._document import document_number
from portal.sql import fetch_plain
from rules.reasons import REASONS

_PAID_BY = {
    "mandate": "Payment by mandate",
    "transfer": "Payment by transfer",
    "by_hand": "Payment by hand",
}


class AllocationRow(NamedTuple):
    """A part of one source that settled a part of one invoice.

    Shape: the source is a `payment`, `credit_note`, `payer_credit` or `deposit`; `reversed_on` is
    set when it was taken back, and the amount then counts no more.
    """

    id: UUID
    source_kind: str
    source_id: UUID
    source_words: str
    invoice_id: UUID
    invoice_number: str | None
    amount_minor: int
    currency: str
    applied_on: date
    reversed_on: date | None


class InvoicePaymentRow(NamedTuple):
    """A payment of an invoice; the reason is that of its last attempt that did not succeed."""

    id: UUID
    state: PaymentState
    method: str
    amount_minor: int
    reserved_minor: int
    currency: str
    attempts_count: int
    started_on: date
    next_attempt_on: date | None
    worklist: str | None
    reason_code: str | None
    reason_text: str | None
    explanation: str | None
    version: int


class InvoiceAttemptRow(NamedTuple):
    """One try at the gateway for a payment of an invoice.

    Shape: `next_query_at` is when the gateway is asked for an outcome that is still open,
    `next_attempt_on` when its payment is tried again, on the last attempt only.
    """

    id: UUID
    payment_id: UUID
    number: int
    state: AttemptState
    amount_minor: int
    currency: str
    business_on: date
    first_sent_at: datetime | None
    decided_at: datetime | None
    merchant_ref: str
    gateway_ref: str | None
    reason_code: str | None
    reason_text: str | None
    next_query_at: datetime | None
    next_attempt_on: date | None


_ALLOCATIONS = f"""
SELECT a.id, CASE WHEN a.payment_id IS NOT NULL THEN 'payment'
    WHEN a.credit_note_id IS NOT NULL THEN 'credit_note'
    WHEN a.payer_credit_id IS NOT NULL THEN 'payer_credit' ELSE 'deposit' END,
  COALESCE(a.payment_id, a.credit_note_id, a.payer_credit_id, a.deposit_id),
  COALESCE(y.method, {document_number("n")}, c.since_on::text, d.purpose),
  a.invoice_id, {document_number("i")}, a.amount_minor, a.currency, a.applied_on, r.applied_on
FROM allocations a
JOIN invoices i ON i.id = a.invoice_id
LEFT JOIN allocations r ON r.reverses_id = a.id
LEFT JOIN payments y ON y.id = a.payment_id
LEFT JOIN invoices n ON n.id = a.credit_note_id
LEFT JOIN payer_credits c ON c.id = a.payer_credit_id
LEFT JOIN deposits d ON d.id = a.deposit_id
WHERE a.reverses_id IS NULL
"""


def list_allocations_of(invoice_id: UUID) -> list[AllocationRow]:
    """List what paid or credited an invoice, the newest first."""
    return _list_allocations("a.invoice_id = %s", invoice_id)


def list_uses_of(credit_note_id: UUID) -> list[AllocationRow]:
    """List which invoices a credit note was applied to, the newest first."""
    return _list_allocations("a.credit_note_id = %s", credit_note_id)


def _list_allocations(condition: str, document_id: UUID) -> list[AllocationRow]:
    rows = fetch_plain(
        f"{_ALLOCATIONS} AND {condition} ORDER BY a.applied_on DESC, a.id DESC", (document_id,)
    )
    found = map(AllocationRow._make, rows)
    return [
        each._replace(source_words=_source_words(each.source_kind, each.source_words))
        for each in found
    ]


def _source_words(source_kind: str, name: str) -> str:
    """Name a source in words: `Credit note CN-2026-000003`."""
    if source_kind == "payment":
        return _PAID_BY[name]
    if source_kind == "credit_note":
        return f"Credit note {name}"
    if source_kind == "payer_credit":
        return f"Credit of the payer since {name}"
    return f"Deposit: {name}"


def list_payments_of(invoice_id: UUID) -> list[InvoicePaymentRow]:
    """List the payments of an invoice, the newest first."""
    rows = fetch_plain(
        "SELECT y.id, y.state, y.method, y.amount_minor, y.reserved_minor, y.currency,"
        " y.attempts_count, y.started_on, y.next_attempt_on, y.worklist, y.reason_code, t.reason,"
        " y.explanation, y.version FROM payments y LEFT JOIN LATERAL ("
        " SELECT reason FROM payment_attempts WHERE payment_id = y.id"
        " AND reason_code = y.reason_code ORDER BY number DESC LIMIT 1) t ON true"
        " WHERE y.invoice_id = %s ORDER BY y.id DESC",
        (invoice_id,),
    )
    found = map(InvoicePaymentRow._make, rows)
    return [
        each._replace(
            state=PaymentState(each.state),
            reason_text=reason_text(each.reason_code, each.reason_text),
        )
        for each in found
    ]


def list_attempts_of(invoice_id: UUID) -> list[InvoiceAttemptRow]:
    """List the attempts of all payments of an invoice, the newest first."""
    rows = fetch_plain(
        "SELECT t.id, t.payment_id, t.number, t.state, t.amount_minor, t.currency, t.business_on,"
        " t.first_sent_at, t.decided_at, t.merchant_ref, t.gateway_ref, t.reason_code, t.reason,"
        " t.next_query_at, CASE WHEN t.number = y.attempts_count THEN y.next_attempt_on END"
        " FROM payments y JOIN payment_attempts t ON t.payment_id = y.id"
        " WHERE y.invoice_id = %s ORDER BY t.payment_id DESC, t.number DESC",
        (invoice_id,),
    )
    found = map(InvoiceAttemptRow._make, rows)
    return [
        each._replace(
            state=AttemptState(each.state),
            reason_text=reason_text(each.reason_code, each.reason_text),
        )
        for each in found
    ]


def reason_text(reason_code: str | None, said: str | None) -> str | None:
    """Say in words why something failed: what the catalogue knows, or what the gateway said."""
    known = REASONS.get(reason_code or "")
    return known.sentence if known else said
