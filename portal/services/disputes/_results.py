"""What a gateway says about disputes: the money comes back, or stays away."""

from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.disputes import DISPUTE_MOVES, LOST_WORKLIST, DisputeState
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.payments import (
    ATTEMPT_MOVES,
    CONTESTED_WORKLISTS,
    PAYMENT_MOVES,
    AttemptState,
    PaymentState,
)
from portal.domain.users import Actor
from portal.queries.payments import CONTRADICTED_WORKLIST
from portal.services.allocations import InvoiceReversal, give_money_back
from portal.services.disputes._asking import ASK_AGAIN
from portal.services.disputes._locking import lock_dispute
from portal.services.events import record_event
from portal.services.ledger import Account, LedgerBook
from portal.services.payments import Verdict, end_refunds
from portal.sql import execute, fetch

LOST_SENTENCE = "The payer's bank took the money back, and the dispute was lost."
REPEATS = {"win": DisputeState.WON, "lose": DisputeState.LOST}


class DisputeResult(NamedTuple):
    """One answer or event about one dispute.

    Shape: `wait` says that it is still open or that nobody knows; `on` is the day it was decided.
    """

    dispute_id: UUID
    event: Literal["win", "lose", "refuse_answer", "contradict", "wait"]
    amount_minor: int | None = None
    currency: str | None = None
    on: date | None = None
    reason: str | None = None


def apply_dispute_result(*, result: DisputeResult, actor: Actor, now: datetime) -> Verdict:
    """Move a dispute on by what was answered, with its payment, invoices and ledger.

    Shape: what cannot be leaves the dispute as it is, for a person to look at.
    Raises: DisputeMissing.
    """
    with transaction():
        row = lock_dispute(result.dispute_id)
        state = DisputeState(row.state)
        if result.event == "wait":
            if state not in DISPUTE_MOVES.final:
                _ask_at(row, now + ASK_AGAIN)
            return Verdict.REPEATED
        if REPEATS.get(result.event) is state:
            return Verdict.REPEATED
        told = (result.amount_minor or row.amount_minor, result.currency or row.currency)
        if told != (row.amount_minor, row.currency):
            return _contradict(row, "mismatch", actor=actor, now=now)
        if not DISPUTE_MOVES.may(state, result.event):
            return _contradict(row, CONTRADICTED_WORKLIST, actor=actor, now=now)
        target = DISPUTE_MOVES.next(state, result.event)
        on = max(result.on or now.date(), row.opened_on)
        _move(row, target, on, now)
        if target is DisputeState.WON:
            _win(row, on, actor=actor, now=now)
        elif target is DisputeState.LOST:
            lose_money(row, actor=actor, now=now)
        kind = DISPUTE_MOVES.recorded(result.event)
        record_event(kind, row.id, actor=actor, now=now, reason=result.reason)
    return Verdict.APPLIED


def lose_money(row: Any, *, actor: Actor, now: datetime) -> None:
    """Say on the payment that what was disputed stays away, inside the open transaction.

    Shape: a payment of which nothing is left has failed, and its attempt was returned; another
    keeps its state. Both wait for a person.
    """
    organisation_id = current_organisation_id()
    is_whole = row.amount_minor == row.payment_minor
    if is_whole:
        execute(
            "UPDATE payment_attempts SET state = %s, reason_code = %s, decided_at = %s,"
            " version = version + 1 WHERE organisation_id = %s AND id = %s",
            (
                ATTEMPT_MOVES.next(AttemptState(row.attempt_state), "return").value,
                LOST_WORKLIST,
                now,
                organisation_id,
                row.attempt_id,
            ),
        )
        end_refunds([row.payment_id], actor=actor, now=now)
    state = PaymentState(row.payment_state)
    execute(
        "UPDATE payments SET state = %(state)s, worklist = CASE WHEN worklist = ANY(%(contested)s)"
        " THEN worklist ELSE %(lost)s END, reason_code = CASE WHEN %(whole)s THEN %(lost)s"
        " ELSE reason_code END, explanation = %(sentence)s, disputed_minor = CASE WHEN %(whole)s"
        " THEN 0 ELSE disputed_minor END, version = version + 1"
        " WHERE organisation_id = %(o)s AND id = %(id)s",
        {
            "state": (PAYMENT_MOVES.next(state, "fail") if is_whole else state).value,
            "contested": list(CONTESTED_WORKLISTS),
            "lost": LOST_WORKLIST,
            "whole": is_whole,
            "sentence": LOST_SENTENCE,
            "o": organisation_id,
            "id": row.payment_id,
        },
    )
    record_event("payment.dispute_lost", row.payment_id, actor=actor, now=now)


def _move(row: Any, state: DisputeState, on: date, now: datetime) -> None:
    is_final = state in DISPUTE_MOVES.final
    execute(
        "UPDATE disputes SET state = %s, closed_on = %s, next_query_at = %s, worklist = NULL,"
        " version = version + 1 WHERE organisation_id = %s AND id = %s",
        (
            state.value,
            on if is_final else None,
            # An answer that was refused: the gateway may have decided before it came.
            None if is_final else now,
            current_organisation_id(),
            row.id,
        ),
    )


def _ask_at(row: Any, next_at: datetime) -> None:
    execute(
        "UPDATE disputes SET next_query_at = %s WHERE organisation_id = %s AND id = %s",
        (next_at, current_organisation_id(), row.id),
    )


def _contradict(row: Any, worklist: str, *, actor: Actor, now: datetime) -> Verdict:
    """Leave the dispute as it is, for a person to look at."""
    if row.worklist != worklist:
        execute(
            "UPDATE disputes SET worklist = %s, version = version + 1"
            " WHERE organisation_id = %s AND id = %s",
            (worklist, current_organisation_id(), row.id),
        )
        kind = "dispute.mismatched" if worklist == "mismatch" else "dispute.contradicted"
        record_event(kind, row.id, actor=actor, now=now)
    return Verdict.ILLEGAL


def _win(row: Any, on: date, *, actor: Actor, now: datetime) -> None:
    """Post that the money is back, and settle with it again what it had paid."""
    execute(
        "UPDATE payments SET disputed_minor = disputed_minor - %s, version = version + 1"
        " WHERE organisation_id = %s AND id = %s",
        (row.amount_minor, current_organisation_id(), row.payment_id),
    )
    book = LedgerBook()
    entry_id = book.add_entry(
        EntryKind.DISPUTE_WON, source_type="dispute", source_id=row.id, effective_on=on
    )
    book.post(
        entry_id,
        Account(AccountKind.GATEWAY_CLEARING, row.currency, row.account_code),
        Account(AccountKind.PAYER_CREDITS, row.currency),
        row.amount_minor,
        payer_id=row.payer_id,
    )
    book.write()
    give_money_back(
        payment_id=row.payment_id,
        amount_minor=row.amount_minor,
        invoices=_list_taken(row.id),
        business_on=on,
        actor=actor,
        now=now,
    )
    record_event("payment.dispute_won", row.payment_id, actor=actor, now=now)


def _list_taken(dispute_id: UUID) -> list[InvoiceReversal]:
    """List the invoices that the dispute had opened again, as its entry says."""
    rows = fetch(
        "SELECT p.invoice_id, p.payer_id, p.amount_minor FROM ledger_entries e"
        " JOIN postings p ON p.entry_id = e.id WHERE e.source_id = %s AND e.kind = %s"
        " AND p.invoice_id IS NOT NULL ORDER BY p.line",
        (dispute_id, EntryKind.DISPUTE_OPENED.value),
    )
    return [InvoiceReversal(*row) for row in rows]
