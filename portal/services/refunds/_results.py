"""What a gateway's answers and events do to refunds, their payments, invoices and the ledger."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.ledger import AccountKind, EntryKind
from portal.domain.payments import PAYMENT_MOVES, AttemptState, PaymentState
from portal.domain.refunds import NOT_REACHED, REFUND_MOVES, RefundState
from portal.domain.users import Actor
from portal.queries.payments import CONTRADICTED_WORKLIST
from portal.services.allocations import take_back_money
from portal.services.events import record_event
from portal.services.ledger import Account, LedgerBook
from portal.services.payments import QueryPolicy, ResultKind, Verdict
from portal.services.refunds._releasing import release_refund
from portal.sql import execute, fetch

QUERIES_BEFORE_WORKLIST = 3  # Beyond the planned delays; a person looks while we go on asking.
EVENTS = {
    ResultKind.SUCCEED: "succeed",
    ResultKind.DECLINE: "fail",
    ResultKind.ERROR: "fail",
    ResultKind.NOT_SENT: "not_sent",
}
ASKING = (ResultKind.ACCEPT, ResultKind.LOSE, ResultKind.NOT_FOUND)
# A result that says again what is known already.
REPEATS = {
    ResultKind.ACCEPT: (RefundState.SUCCEEDED, RefundState.FAILED, RefundState.RETURNED),
    ResultKind.LOSE: tuple(RefundState),
    ResultKind.NOT_FOUND: tuple(RefundState),
    ResultKind.SUCCEED: (RefundState.SUCCEEDED, RefundState.RETURNED),
    ResultKind.DECLINE: (RefundState.FAILED,),
    ResultKind.ERROR: (RefundState.FAILED,),
}


class RefundResult(NamedTuple):
    """One answer or event about one refund; a refund that failed is declined."""

    refund_id: UUID
    kind: ResultKind
    gateway_ref: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    reason_code: str | None = None


def apply_refund_results(
    *, results: Sequence[RefundResult], policy: QueryPolicy, actor: Actor, now: datetime
) -> dict[UUID, Verdict]:
    """Move refunds on by what was answered, with payments, invoices and ledger, all at once.

    Shape: at most one result per refund; a verdict per known refund.
    """
    if not results:
        return {}
    with transaction():
        by_refund = {result.refund_id: result for result in results}
        return {
            row.refund_id: _apply(
                row, _checked(row, by_refund[row.refund_id]), policy, actor=actor, now=now
            )
            for row in _lock(by_refund)
        }


def _lock(refund_ids: Iterable[UUID]) -> list[Any]:
    return fetch(
        "SELECT r.id AS refund_id, r.state, r.amount_minor, r.currency, r.business_on,"
        " r.gateway_ref, r.queries_count, r.worklist, g.code AS account_code,"
        " y.id AS payment_id, y.state AS payment_state, y.amount_minor AS payment_minor,"
        " y.refunded_minor, y.disputed_minor, y.payer_id, a.state AS attempt_state FROM refunds r"
        " JOIN payments y ON y.id = r.payment_id JOIN invoices i ON i.id = y.invoice_id"
        " JOIN payment_attempts a ON a.id = r.attempt_id"
        " JOIN gateway_accounts g ON g.id = r.gateway_account_id"
        " WHERE r.organisation_id = %s AND r.id = ANY(%s)"
        " ORDER BY i.id, a.id, r.id FOR UPDATE OF i, y, a, r",
        (current_organisation_id(), list(refund_ids)),
    )


def _checked(row: Any, result: RefundResult) -> RefundResult:
    """Turn an answer about another amount, currency or refund into a mismatch."""
    if (
        result.amount_minor not in (None, row.amount_minor)
        or result.currency not in (None, row.currency)
        or (None not in (result.gateway_ref, row.gateway_ref)
            and result.gateway_ref != row.gateway_ref)
    ):  # fmt: skip
        return result._replace(kind=ResultKind.MISMATCH)
    return result


def _apply(
    row: Any, result: RefundResult, policy: QueryPolicy, *, actor: Actor, now: datetime
) -> Verdict:
    state = RefundState(row.state)
    is_open = state is RefundState.SUBMITTED
    if result.kind in ASKING and is_open:
        _ask_later(row, result, policy, now)
        return Verdict.APPLIED
    if state in REPEATS.get(result.kind, ()):
        return Verdict.REPEATED
    is_returned = row.attempt_state == AttemptState.RETURNED
    is_gone = row.refunded_minor + row.disputed_minor + row.amount_minor > row.payment_minor
    if result.kind is ResultKind.SUCCEED and is_open and (is_returned or is_gone):
        # The bank took back what the gateway says it gave back: the payer may have it twice.
        return _contradict(row, CONTRADICTED_WORKLIST, actor=actor, now=now)
    event = EVENTS.get(result.kind)
    if event is None or not REFUND_MOVES.may(state, event) or not is_open:
        is_mismatch = result.kind is ResultKind.MISMATCH and is_open
        worklist = "mismatch" if is_mismatch else CONTRADICTED_WORKLIST
        _contradict(row, worklist, actor=actor, now=now)
        return Verdict.APPLIED if is_mismatch else Verdict.ILLEGAL
    target = REFUND_MOVES.next(state, event)
    is_decided = target in (RefundState.SUCCEEDED, RefundState.FAILED)
    _write(row, target, result, now if is_decided else None)
    if target is RefundState.SUCCEEDED:
        _book(row, actor=actor, now=now)
    elif target is RefundState.FAILED and not is_returned:
        release_refund(row.payment_id, row.amount_minor)
    if is_decided:
        record_event(REFUND_MOVES.recorded(event), row.refund_id, actor=actor, now=now)
    return Verdict.APPLIED


def _write(row: Any, state: RefundState, result: RefundResult, decided_at: datetime | None) -> None:
    code = NOT_REACHED if result.kind is ResultKind.ERROR else result.reason_code
    execute(
        "UPDATE refunds SET state = %(state)s, decided_at = %(decided)s, next_query_at = NULL,"
        " gateway_ref = COALESCE(%(ref)s, gateway_ref), reason_code = COALESCE(%(code)s,"
        " reason_code), worklist = CASE WHEN worklist = %(contradicted)s THEN worklist END,"
        " version = version + 1 WHERE organisation_id = %(o)s AND id = %(id)s",
        {
            "state": state.value,
            "decided": decided_at,
            "ref": result.gateway_ref,
            "code": code,
            "contradicted": CONTRADICTED_WORKLIST,
            "o": current_organisation_id(),
            "id": row.refund_id,
        },
    )


def _ask_later(row: Any, result: RefundResult, policy: QueryPolicy, now: datetime) -> None:
    """Note that the outcome is still open, and when it is asked for next."""
    delays = policy.delays_seconds
    is_accepted = result.kind is ResultKind.ACCEPT
    asked = row.queries_count - 1 if is_accepted else row.queries_count
    seconds = delays[min(max(asked, 0), len(delays) - 1)]
    if is_accepted:
        seconds = max(policy.pending_seconds, seconds)
    is_long = row.queries_count >= len(delays) + QUERIES_BEFORE_WORKLIST
    execute(
        "UPDATE refunds SET next_query_at = %(next)s, version = version + 1,"
        " gateway_ref = COALESCE(%(ref)s, gateway_ref),"
        " not_found_count = not_found_count + %(missed)s, not_found_at = CASE"
        " WHEN %(missed)s > 0 THEN COALESCE(not_found_at, %(now)s) ELSE not_found_at END,"
        " worklist = COALESCE(worklist, %(worklist)s)"
        " WHERE organisation_id = %(o)s AND id = %(id)s",
        {
            "next": now + timedelta(seconds=seconds),
            "ref": result.gateway_ref if is_accepted else None,
            "missed": int(result.kind is ResultKind.NOT_FOUND),
            "now": now,
            "worklist": "outcome_unknown" if is_long else None,
            "o": current_organisation_id(),
            "id": row.refund_id,
        },
    )


def _contradict(row: Any, worklist: str, *, actor: Actor, now: datetime) -> Verdict:
    """Leave the refund as it is, for a person to look at."""
    if row.worklist != worklist:
        execute(
            "UPDATE refunds SET worklist = %s, next_query_at = NULL, version = version + 1"
            " WHERE organisation_id = %s AND id = %s",
            (worklist, current_organisation_id(), row.refund_id),
        )
        kind = "refund.mismatched" if worklist == "mismatch" else "refund.contradicted"
        record_event(kind, row.refund_id, actor=actor, now=now)
    return Verdict.ILLEGAL


def _book(row: Any, *, actor: Actor, now: datetime) -> None:
    """Take the money back from what it paid, post that it left, and say so on the payment."""
    on: date = row.business_on
    taken = take_back_money(
        payment_id=row.payment_id,
        amount_minor=row.amount_minor,
        business_on=on,
        actor=actor,
        now=now,
    )
    credit = Account(AccountKind.PAYER_CREDITS, row.currency)
    book = LedgerBook()
    entry_id = book.add_entry(
        EntryKind.REFUND_SUCCEEDED,
        source_type="refund",
        source_id=row.refund_id,
        effective_on=on,
    )
    for part in taken.invoices:
        book.post(
            entry_id,
            Account(AccountKind.RECEIVABLE, row.currency),
            credit,
            part.amount_minor,
            payer_id=part.payer_id,
            invoice_id=part.invoice_id,
        )
    clearing = Account(AccountKind.GATEWAY_CLEARING, row.currency, row.account_code)
    book.post(entry_id, credit, clearing, row.amount_minor, payer_id=row.payer_id)
    book.write()
    is_whole = row.refunded_minor + row.amount_minor == row.payment_minor
    event = "refund" if is_whole else "refund_part"
    execute(
        "UPDATE payments SET state = %s, refunded_minor = refunded_minor + %s,"
        " refunding_minor = refunding_minor - %s, version = version + 1"
        " WHERE organisation_id = %s AND id = %s",
        (
            PAYMENT_MOVES.next(PaymentState(row.payment_state), event).value,
            row.amount_minor,
            row.amount_minor,
            current_organisation_id(),
            row.payment_id,
        ),
    )
    kind = "payment.refunded" if is_whole else "payment.partly_refunded"
    record_event(
        kind,
        row.payment_id,
        actor=actor,
        now=now,
        details={"amount_minor": row.amount_minor, "currency": row.currency},
    )
