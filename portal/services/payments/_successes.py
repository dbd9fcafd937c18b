"""Booking payments that succeeded: allocation, invoice, excess as the payer's credit, ledger."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.payments import PAYMENT_MOVES, PaymentState
from portal.domain.users import Actor
from portal.ids import new_id
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.services.payments._writing import worklist_after
from portal.sql import execute, stage_rows

SUCCESS_COLUMNS = {
    "payment_id": "uuid",
    "invoice_id": "uuid",
    "payer_id": "uuid",
    "currency": "text",
    "allocation_id": "uuid",
    "allocated_minor": "bigint",
    "credit_id": "uuid",
    "excess_minor": "bigint",
    "reserved_minor": "bigint",
    "effective_on": "date",
}


def book_successes(succeeded: Sequence[tuple[Any, Any]], *, actor: Actor, now: datetime) -> None:
    """Book each success once: what is open of the invoice first, the rest as payer credit.

    Shape: (locked row, result) each; at most one per invoice, which has one open payment.
    """
    book = LedgerBook()
    book.open_accounts(_accounts(succeeded))
    rows: list[tuple[object, ...]] = []
    for row, result in succeeded:
        # The reservation of this payment is part of what is open.
        allocated = min(row.amount_minor, row.open_minor)
        excess = row.amount_minor - allocated
        effective_on = result.effective_on or row.business_on
        _post(book, row, allocated, excess, effective_on)
        rows.append(
            (
                row.payment_id,
                row.invoice_id,
                row.payer_id,
                row.currency,
                new_id() if allocated else None,
                allocated,
                new_id() if excess else None,
                excess,
                row.reserved_minor,
                effective_on,
            )
        )
    stage_rows("staged_successes", SUCCESS_COLUMNS, rows)
    _write()
    book.write()
    record_events(
        (("payment.succeeded", row.payment_id) for row, _ in succeeded), actor=actor, now=now
    )


def _accounts(succeeded: Sequence[tuple[Any, Any]]) -> set[Account]:
    accounts = set()
    for row, _ in succeeded:
        accounts |= {
            Account(AccountKind.GATEWAY_CLEARING, row.currency, row.account_code),
            Account(AccountKind.RECEIVABLE, row.currency),
        }
    return accounts


def _post(book: LedgerBook, row: Any, allocated: int, excess: int, effective_on: date) -> None:
    clearing = Account(AccountKind.GATEWAY_CLEARING, row.currency, row.account_code)
    entry_id: UUID = book.add_entry(
        EntryKind.PAYMENT_SUCCEEDED,
        source_type="payment_attempt",
        source_id=row.attempt_id,
        effective_on=effective_on,
    )
    book.post(
        entry_id,
        clearing,
        Account(AccountKind.RECEIVABLE, row.currency),
        allocated,
        payer_id=row.payer_id,
        invoice_id=row.invoice_id,
    )
    if excess:
        book.post(
            entry_id,
            clearing,
            Account(AccountKind.PAYER_CREDITS, row.currency),
            excess,
            payer_id=row.payer_id,
        )


def _write() -> None:
    scope = {
        "o": current_organisation_id(),
        "succeeded": PAYMENT_MOVES.next(PaymentState.PROCESSING, "succeed").value,
    }
    execute(
        "INSERT INTO allocations (organisation_id, id, invoice_id, payment_id, currency,"
        " amount_minor, applied_on) SELECT %(o)s, allocation_id, invoice_id, payment_id, currency,"
        " allocated_minor, effective_on FROM pg_temp.staged_successes WHERE allocated_minor > 0",
        scope,
    )
    execute(
        "INSERT INTO payer_credits (organisation_id, id, payer_id, payment_id, currency,"
        " amount_minor, since_on) SELECT %(o)s, credit_id, payer_id, payment_id, currency,"
        " excess_minor, effective_on FROM pg_temp.staged_successes WHERE excess_minor > 0",
        scope,
    )
    execute(
        "UPDATE invoices i SET in_payment_minor = i.in_payment_minor - s.reserved_minor,"
        " paid_minor = i.paid_minor + s.allocated_minor, version = i.version + 1"
        " FROM pg_temp.staged_successes s WHERE i.organisation_id = %(o)s AND i.id = s.invoice_id",
        scope,
    )
    execute(
        "UPDATE payments y SET state = %(succeeded)s, reserved_minor = 0, next_attempt_on = NULL,"
        f" worklist = {worklist_after('NULL')}, version = y.version + 1"
        " FROM pg_temp.staged_successes s"
        " WHERE y.organisation_id = %(o)s AND y.id = s.payment_id",
        scope,
    )
