"""Voiding an invoice: a credit note over the whole of it, numbered, posted and used up at once."""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.errors import Conflict, Invalid
from portal.domain.invoices import (
    INVOICE_MOVES,
    InvoiceKind,
    InvoiceState,
    VoidFacts,
    VoidRefusal,
    find_void_refusal,
)
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.users import Actor
from portal.ids import new_id
from portal.queries.invoices import get_invoice
from portal.services.events import record_event, record_events
from portal.services.invoices._book import Draft, Priced, book_documents
from portal.services.invoices._check import is_readable
from portal.services.invoices._lock import lock_document
from portal.services.ledger import Account, LedgerBook
from portal.sql import execute, fetch_one, fetch_plain
from rules.types import InvoicePrice, TaxAmount

REASON_CHARACTERS_MAX: Final = 500


class VoidReasonInvalid(Invalid):
    """The reason for voiding {fault}. Nothing was changed; say in up to 500 characters why."""

    field = "reason"
    fault: str


class InvoiceNotVoidable(Conflict):
    """{named} cannot be voided: {reason}. Nothing was changed; {advice}."""

    named: str
    reason: str
    advice: str


def void_invoice(
    *, invoice_id: UUID, version: int, reason: str, on: date, actor: Actor, now: datetime
) -> UUID:
    """Void an issued invoice of which nothing is paid or on its way, and return its credit note.

    Shape: the credit note repeats the lines and taxes of the invoice as they were issued, whatever
    is agreed by now, and is dated on the day given; it settles the invoice and is used up by it.
    Raises: VoidReasonInvalid; InvoiceMissing; InvoiceChanged; InvoiceNotVoidable; IssuedBeforeLast.
    """
    words = _check_reason(reason)
    with transaction():
        invoice = lock_document(invoice_id, version)
        _check_voidable(invoice, on)
        note = _draft_note(invoice, on)
        book_documents(
            [Priced(note, _price_of(invoice, on))],
            business_on=on,
            version=invoice.rule_set_version,
            actor=actor,
            now=now,
        )
        _settle(invoice, note.id)
        if invoice.total_minor:
            _write_allocation(invoice, note.id, on)
            applied = (("invoice.credit_applied", note.id), ("invoice.credited", invoice_id))
            record_events(applied, actor=actor, now=now)
        record_event(
            INVOICE_MOVES.recorded("void"),
            invoice_id,
            actor=actor,
            now=now,
            reason=words,
            details={
                "amount_minor": invoice.total_minor,
                "credit_note_id": str(note.id),
                "credit_note": get_invoice(note.id).number,
            },
        )
        return note.id


def _check_reason(reason: str) -> str:
    words = reason.strip()
    if not words:
        raise VoidReasonInvalid(fault="is missing")
    if len(words) > REASON_CHARACTERS_MAX:
        raise VoidReasonInvalid(fault="is too long")
    if not is_readable(words):
        raise VoidReasonInvalid(fault="holds signs that cannot be printed")
    return words


def _check_voidable(invoice: Any, on: date) -> None:
    """Refuse what is paid or may still be: the lock on the invoice keeps new payments away."""
    payments = fetch_one(
        "SELECT count(*) FILTER (WHERE state IN ('processing', 'requires_action')) AS live,"
        " count(*) FILTER (WHERE state = 'scheduled') AS scheduled,"
        " count(*) FILTER (WHERE worklist = 'conflicting_outcome') AS contradicted"
        " FROM payments WHERE organisation_id = %s AND invoice_id = %s",
        (current_organisation_id(), invoice.id),
    )
    assert payments is not None
    refusal = find_void_refusal(
        VoidFacts(
            InvoiceKind(invoice.kind),
            InvoiceState(invoice.state),
            invoice.paid_minor,
            invoice.credited_minor,
            invoice.written_off_minor,
            invoice.in_payment_minor,
            payments.live,
            payments.scheduled,
            payments.contradicted,
        )
    )
    if refusal is None and on < invoice.issued_on:
        refusal = VoidRefusal(f"it is dated {invoice.issued_on}", "choose that day or a later one")
    if refusal is not None:
        named = f"The document {invoice.written_number or ''}".strip()
        raise InvoiceNotVoidable(named=named, reason=refusal.reason, advice=refusal.advice)


def _draft_note(invoice: Any, on: date) -> Draft:
    """Write the credit note with the lines of the invoice, not numbered yet."""
    note_id = new_id()
    scope = {
        "o": current_organisation_id(),
        "invoice": invoice.id,
        "note": note_id,
        "kind": InvoiceKind.CREDIT_NOTE.value,
        "state": InvoiceState.DRAFT.value,
        "on": on,
    }
    execute(
        "INSERT INTO invoices (organisation_id, id, kind, state, payer_id, currency,"
        " purchase_order_ref, buyer_reference, cost_centre, period_from, period_to, document_on,"
        " net_minor, total_minor, corrects_id)"
        " SELECT organisation_id, %(note)s, %(kind)s, %(state)s, payer_id, currency,"
        " purchase_order_ref, buyer_reference, cost_centre, period_from, period_to, %(on)s,"
        " net_minor, net_minor, id FROM invoices"
        " WHERE organisation_id = %(o)s AND id = %(invoice)s",
        scope,
    )
    execute(
        "INSERT INTO invoice_lines (organisation_id, invoice_id, position, description, quantity,"
        " unit_price, net_minor, revenue_code, tax_code, source_line)"
        " SELECT organisation_id, %(note)s, position, description, quantity, unit_price, net_minor,"
        " revenue_code, tax_code, source_line FROM invoice_lines"
        " WHERE organisation_id = %(o)s AND invoice_id = %(invoice)s",
        scope,
    )
    payer = fetch_one(
        "SELECT kind, external_ref, is_default FROM payers WHERE id = %s", (invoice.payer_id,)
    )
    assert payer is not None
    return Draft(
        note_id,
        InvoiceKind.CREDIT_NOTE.value,
        InvoiceState.DRAFT.value,
        invoice.currency,
        invoice.payer_id,
        payer.kind,
        payer.external_ref,
        payer.is_default,
        None,
        invoice.purchase_order_ref,
        on,
    )


def _price_of(invoice: Any, on: date) -> InvoicePrice:
    """Say again what the invoice came to when it was issued; the credit note is due at once."""
    key = (current_organisation_id(), invoice.id)
    taxes = fetch_plain(
        "SELECT tax_code, rate_bps, net_minor, tax_minor FROM invoice_taxes"
        " WHERE organisation_id = %s AND invoice_id = %s ORDER BY tax_code",
        key,
    )
    revenues = fetch_plain(
        "SELECT revenue_code, sum(net_minor)::bigint FROM invoice_lines"
        " WHERE organisation_id = %s AND invoice_id = %s GROUP BY 1 ORDER BY 1",
        key,
    )
    return InvoicePrice(
        invoice.net_minor,
        invoice.tax_minor,
        invoice.total_minor,
        tuple(TaxAmount._make(tax) for tax in taxes),
        tuple((code, amount) for code, amount in revenues),
        on,
    )


def _settle(invoice: Any, note_id: UUID) -> None:
    """Make the invoice void by the credit note, and the credit note used up."""
    state = INVOICE_MOVES.next(InvoiceState(invoice.state), "void")
    key = (current_organisation_id(), invoice.id)
    execute(
        "UPDATE invoices SET state = %s, credited_minor = total_minor, version = version + 1"
        " WHERE organisation_id = %s AND id = %s",
        (state.value, *key),
    )
    execute(
        "UPDATE invoices SET applied_minor = total_minor, version = version + 1"
        " WHERE organisation_id = %s AND id = %s",
        (current_organisation_id(), note_id),
    )


def _write_allocation(invoice: Any, note_id: UUID, on: date) -> None:
    """Apply the whole credit note to the invoice, with its entry."""
    allocation_id = new_id()
    execute(
        "INSERT INTO allocations (organisation_id, id, invoice_id, credit_note_id, currency,"
        " amount_minor, applied_on) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            current_organisation_id(),
            allocation_id,
            invoice.id,
            note_id,
            invoice.currency,
            invoice.total_minor,
            on,
        ),
    )
    book = LedgerBook()
    entry_id = book.add_entry(
        EntryKind.CREDIT_APPLIED,
        source_type="allocation",
        source_id=allocation_id,
        effective_on=on,
    )
    book.post(
        entry_id,
        Account(AccountKind.PAYER_CREDITS, invoice.currency),
        Account(AccountKind.RECEIVABLE, invoice.currency),
        invoice.total_minor,
        payer_id=invoice.payer_id,
        invoice_id=invoice.id,
    )
    book.write()
