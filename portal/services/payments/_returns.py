"""Booking returns: the bank took the money back, so the invoice is open again."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from portal.domain.errors import Conflict
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.payments import OPEN_PAYMENT_STATES, PaymentState
from portal.domain.users import Actor
from portal.services.allocations import PaymentReversal, reverse_allocations
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.services.payments._refunds import end_refunds
from portal.services.payments._retries import Retries
from portal.services.payments._writing import PaymentChange, write_payments
from portal.sql import fetch
from rules.types import RetryDecision


class PaymentDisputed(Conflict):
    """The bank returned a payment of which a dispute has taken money already. Nothing was booked;
    settle with the gateway which of the two is true."""


# What is open again of the invoice waits for that payment's end and is then collected anew.
COLLECTED_OTHERWISE = RetryDecision(
    "fail", None, None, "Another payment of the invoice is under way; the rest is collected later."
)


def book_returns(returned: Sequence[tuple[Any, Any]], *, actor: Actor, now: datetime) -> None:
    """Reverse what the payments paid, post it with the fee, and decide what follows.

    Shape: (locked row, result) each.
    Raises: PaymentDisputed.
    """
    _refuse_disputed([row.payment_id for row, _ in returned])
    by_day: dict[date, list[tuple[Any, Any]]] = {}
    for row, result in returned:
        by_day.setdefault(result.effective_on or row.business_on, []).append((row, result))
    for day, members in sorted(by_day.items()):
        _book_day(members, day, actor=actor, now=now)
    end_refunds([row.payment_id for row, _ in returned], actor=actor, now=now)
    record_events(
        (("payment.returned", row.payment_id) for row, _ in returned), actor=actor, now=now
    )


def _book_day(
    members: Sequence[tuple[Any, Any]], day: date, *, actor: Actor, now: datetime
) -> None:
    reversals = reverse_allocations(
        payment_ids=[row.payment_id for row, _ in members], business_on=day, actor=actor, now=now
    )
    taken = _list_taken([row.payment_id for row, _ in members])
    book = LedgerBook()
    changes: list[PaymentChange] = []
    retries = Retries()
    for (row, result), reversal in zip(members, reversals, strict=True):
        _post(book, row, result.fee_minor, reversal, day)
        instead = COLLECTED_OTHERWISE if row.invoice_id in taken else None
        decision = retries.decide(row, result.reason_code, "return", on=day, instead=instead)
        if decision.action == "retry":
            taken.add(row.invoice_id)
        change = PaymentChange.after_decision(
            row, PaymentState(row.payment_state), decision, result.reason_code
        )
        changes.append(change)
    book.write()
    write_payments(changes)
    retries.write(now)


def _refuse_disputed(payment_ids: Sequence[UUID]) -> None:
    disputed = fetch(
        "SELECT id FROM payments WHERE id = ANY(%s) AND disputed_minor > 0 LIMIT 1",
        (list(payment_ids),),
    )
    if disputed:
        raise PaymentDisputed


def _list_taken(payment_ids: Sequence[UUID]) -> set[UUID]:
    """Name the invoices of returned payments that have an open payment: they can have one only."""
    rows = fetch(
        "SELECT o.invoice_id FROM payments y JOIN payments o ON o.invoice_id = y.invoice_id"
        " WHERE y.id = ANY(%s) AND o.state = ANY(%s)",
        (list(payment_ids), [state.value for state in OPEN_PAYMENT_STATES]),
    )
    return {row.invoice_id for row in rows}


def _post(book: LedgerBook, row: Any, fee_minor: int, reversal: PaymentReversal, day: date) -> None:
    clearing = Account(AccountKind.GATEWAY_CLEARING, row.currency, row.account_code)
    entry_id = book.add_entry(
        EntryKind.PAYMENT_RETURNED,
        source_type="payment_attempt",
        source_id=row.attempt_id,
        effective_on=day,
    )
    for part in reversal.invoices:
        book.post(
            entry_id,
            Account(AccountKind.RECEIVABLE, row.currency),
            clearing,
            part.amount_minor,
            payer_id=part.payer_id,
            invoice_id=part.invoice_id,
        )
    book.post(
        entry_id,
        Account(AccountKind.PAYER_CREDITS, row.currency),
        clearing,
        reversal.credit_withdrawn_minor,
        payer_id=row.payer_id,
    )
    book.post(entry_id, Account(AccountKind.RETURN_FEES, row.currency), clearing, fee_minor)
