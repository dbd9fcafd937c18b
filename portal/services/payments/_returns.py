"""Booking returns: the bank took the money back, so the invoice is open again."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.payments import PaymentState
from portal.domain.users import Actor
from portal.services.allocations import PaymentReversal, reverse_allocations
from portal.services.events import record_events
from portal.services.ledger import Account, LedgerBook
from portal.services.payments._writing import PaymentChange, decide_next, write_payments
from portal.services.rulesets import load_rule_set


def book_returns(returned: Sequence[tuple[Any, Any]], *, actor: Actor, now: datetime) -> None:
    """Reverse what the payments paid, post it with the fee, and decide what follows.

    Shape: (locked row, result) each.
    """
    by_day: dict[date, list[tuple[Any, Any]]] = {}
    for row, result in returned:
        by_day.setdefault(result.effective_on or row.business_on, []).append((row, result))
    for day, members in sorted(by_day.items()):
        _book_day(members, day, actor=actor, now=now)
    record_events(
        (("payment.returned", row.payment_id) for row, _ in returned), actor=actor, now=now
    )


def _book_day(
    members: Sequence[tuple[Any, Any]], day: date, *, actor: Actor, now: datetime
) -> None:
    reversals = reverse_allocations(
        payment_ids=[row.payment_id for row, _ in members], business_on=day, actor=actor, now=now
    )
    _, rule_set = load_rule_set(on=day)
    book = LedgerBook()
    changes: list[PaymentChange] = []
    for (row, result), reversal in zip(members, reversals, strict=True):
        _post(book, row, result.fee_minor, reversal, day)
        decision = decide_next(rule_set, row, result.reason_code or "MS03", "return", on=day)
        change = PaymentChange.after_decision(
            row, PaymentState(row.payment_state), decision, result.reason_code
        )
        changes.append(change)
    book.write()
    write_payments(changes)


def _post(
    book: LedgerBook, row: Any, fee_minor: int, reversal: PaymentReversal, day: date
) -> None:
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
    book.post(
        entry_id, Account(AccountKind.RETURN_FEES, row.currency), clearing, fee_minor
    )
