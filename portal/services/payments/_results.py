"""What a gateway's answers and events do to attempts, payments, invoices and the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.payments import ATTEMPT_MOVES, AttemptState, PaymentState
from portal.domain.users import Actor
from portal.queries.payments import CONTRADICTED_WORKLIST
from portal.services.events import record_events
from portal.services.payments._retries import Retries
from portal.services.payments._returns import book_returns
from portal.services.payments._successes import book_successes
from portal.services.payments._writing import (
    AttemptChange,
    PaymentChange,
    write_attempts,
    write_payments,
    write_releases,
)
from portal.sql import fetch
from rules.types import RetryDecision

QUERIES_BEFORE_WORKLIST = 3  # Beyond the planned delays; a person looks while we go on asking.


class ResultKind(StrEnum):
    """What is known about an attempt after an answer or event."""

    ACCEPT = "accept"
    SUCCEED = "succeed"
    DECLINE = "decline"
    ERROR = "error"
    LOSE = "lose"
    NOT_SENT = "not_sent"
    NOT_FOUND = "not_found"
    MISMATCH = "mismatch"
    RETURN = "return"


class Verdict(StrEnum):
    """What became of a result."""

    APPLIED = "applied"
    REPEATED = "repeated"
    ILLEGAL = "illegal"


class AttemptResult(NamedTuple):
    """One answer or event about one attempt."""

    attempt_id: UUID
    kind: ResultKind
    gateway_ref: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    fee_minor: int = 0
    effective_on: date | None = None


class QueryPolicy(NamedTuple):
    """When an outcome that is not known is asked for.

    Units: seconds.
    """

    pending_seconds: float
    delays_seconds: Sequence[float]
    not_found_quiet_seconds: float


# A result that says again what is known already.
REPEATS = {
    ResultKind.ACCEPT: {
        AttemptState.PENDING,
        AttemptState.SUCCEEDED,
        AttemptState.DECLINED,
        AttemptState.RETURNED,
    },
    ResultKind.SUCCEED: {AttemptState.SUCCEEDED, AttemptState.RETURNED},
    ResultKind.DECLINE: {AttemptState.DECLINED},
    ResultKind.ERROR: {AttemptState.ERRORED},
    ResultKind.RETURN: {AttemptState.RETURNED},
}
ASKING = {ResultKind.LOSE, ResultKind.NOT_FOUND, ResultKind.ACCEPT}


def apply_results(
    *, results: Sequence[AttemptResult], policy: QueryPolicy, actor: Actor, now: datetime
) -> dict[UUID, Verdict]:
    """Move attempts on by what was answered, with payments, invoices and ledger, all at once.

    Shape: at most one result per attempt; a verdict per known attempt. A return of an attempt whose
    success has not been told yet books the success first.
    """
    with transaction():
        by_attempt = {result.attempt_id: result for result in results}
        rows = _lock(by_attempt)
        first = {
            row.attempt_id: _as_success(by_attempt[row.attempt_id])
            if by_attempt[row.attempt_id].kind is ResultKind.RETURN
            and row.state != AttemptState.SUCCEEDED
            else by_attempt[row.attempt_id]
            for row in rows
        }
        verdicts = _apply(rows, first, policy=policy, actor=actor, now=now)
        late = [
            row.attempt_id
            for row in rows
            if by_attempt[row.attempt_id].kind is ResultKind.RETURN
            and first[row.attempt_id].kind is ResultKind.SUCCEED
            and verdicts[row.attempt_id] is Verdict.APPLIED
        ]
        if late:
            again = {attempt_id: by_attempt[attempt_id] for attempt_id in late}
            verdicts |= _apply(_lock(again), again, policy=policy, actor=actor, now=now)
        return verdicts


def _as_success(result: AttemptResult) -> AttemptResult:
    """Take from a return what it says of the success before it, which was on an earlier day."""
    return result._replace(
        kind=ResultKind.SUCCEED, reason_code=None, reason=None, fee_minor=0, effective_on=None
    )


def _lock(attempt_ids: Iterable[UUID]) -> list[Any]:
    return fetch(
        "SELECT a.id AS attempt_id, a.state, a.number, a.amount_minor, a.currency, a.business_on,"
        " a.gateway_ref, a.queries_count, a.not_found_count, a.not_found_at, a.resend_until,"
        " g.code AS account_code, y.id AS payment_id, y.state AS payment_state, y.reserved_minor,"
        " y.started_on, y.payer_id, y.worklist, i.id AS invoice_id, i.open_minor"
        " FROM payment_attempts a"
        " JOIN payments y ON y.id = a.payment_id JOIN invoices i ON i.id = y.invoice_id"
        " JOIN gateway_accounts g ON g.id = a.gateway_account_id"
        " WHERE a.organisation_id = %s AND a.id = ANY(%s)"
        " ORDER BY i.id, a.id FOR UPDATE OF i, y, a",
        (current_organisation_id(), list(attempt_ids)),
    )


def _apply(  # noqa: PLR0912 - one branch per kind of result
    rows: Sequence[Any],
    results: Mapping[UUID, AttemptResult],
    *,
    policy: QueryPolicy,
    actor: Actor,
    now: datetime,
) -> dict[UUID, Verdict]:
    verdicts: dict[UUID, Verdict] = {}
    attempts: list[AttemptChange] = []
    payments: list[PaymentChange] = []
    events: list[tuple[str, UUID]] = []
    succeeded: list[tuple[Any, AttemptResult]] = []
    returned: list[tuple[Any, AttemptResult]] = []
    retries = Retries()
    checked = {row.attempt_id: _checked(row, results[row.attempt_id]) for row in rows}
    for row in rows:
        verdicts[row.attempt_id] = _judge(AttemptState(row.state), checked[row.attempt_id])
    contradicted = [
        row
        for row in rows
        if verdicts[row.attempt_id] is Verdict.ILLEGAL
        and checked[row.attempt_id].kind in (ResultKind.SUCCEED, ResultKind.MISMATCH)
    ]
    for row in _contradict(rows, contradicted, actor=actor, now=now):
        result = checked[row.attempt_id]
        state = AttemptState(row.state)
        verdict = verdicts[row.attempt_id]
        if verdict is Verdict.ILLEGAL:
            continue
        if verdict is Verdict.REPEATED and not _is_still_open(state, result):
            continue
        if result.kind is ResultKind.MISMATCH:
            payments.append(PaymentChange.to_worklist(row, "mismatch"))
            attempts.append(AttemptChange.asking(row, AttemptState.UNKNOWN, None))
            events.append(("payment.mismatched", row.payment_id))
        elif result.kind in ASKING:
            attempts.append(_ask_later(row, state, result, policy, now))
            if row.queries_count >= len(policy.delays_seconds) + QUERIES_BEFORE_WORKLIST:
                payments.append(PaymentChange.to_worklist(row, "outcome_unknown"))
        else:
            target = ATTEMPT_MOVES.next(state, result.kind.value)
            attempts.append(AttemptChange.decided(row, target, result, now))
            if result.kind is ResultKind.SUCCEED:
                succeeded.append((row, result))
            elif result.kind is ResultKind.RETURN:
                returned.append((row, result))
            elif result.kind in (ResultKind.DECLINE, ResultKind.ERROR):
                payments.append(_decline(row, result, retries))
                events.append((f"payment.{target.value}", row.payment_id))
    write_attempts(attempts)
    if succeeded:
        book_successes(succeeded, actor=actor, now=now)
    if returned:
        book_returns(returned, actor=actor, now=now)
    write_releases(payments)
    write_payments(payments)
    retries.write(now)
    record_events(events, actor=actor, now=now)
    return verdicts


def _contradict(
    rows: Sequence[Any], contradicted: Sequence[Any], *, actor: Actor, now: datetime
) -> Sequence[Any]:
    """Mark payments of which the gateway says what cannot be, and return all rows as they are then.

    Shape: written before any outcome, as another attempt of the payment may have one at once.
    """
    marked = {row.payment_id: row for row in contradicted if row.worklist != CONTRADICTED_WORKLIST}
    if not marked:
        return rows
    write_payments(
        [PaymentChange.to_worklist(row, CONTRADICTED_WORKLIST) for row in marked.values()]
    )
    happened = (("payment.contradicted", payment_id) for payment_id in marked)
    record_events(happened, actor=actor, now=now)
    return [
        row._replace(worklist=CONTRADICTED_WORKLIST) if row.payment_id in marked else row
        for row in rows
    ]


def _checked(row: Any, result: AttemptResult) -> AttemptResult:
    """Turn an answer about another amount or currency into a mismatch."""
    amount_differs = result.amount_minor not in (None, row.amount_minor)
    currency_differs = result.currency not in (None, row.currency)
    reference_differs = None not in (result.gateway_ref, row.gateway_ref) and (
        result.gateway_ref != row.gateway_ref
    )
    if amount_differs or currency_differs or reference_differs:
        return result._replace(kind=ResultKind.MISMATCH)
    return result


def _judge(state: AttemptState, result: AttemptResult) -> Verdict:
    kind = result.kind
    if state in REPEATS.get(kind, ()):
        return Verdict.REPEATED
    if kind in (ResultKind.LOSE, ResultKind.NOT_FOUND):
        may = state in (AttemptState.SENDING, AttemptState.UNKNOWN, AttemptState.PENDING)
        return Verdict.APPLIED if may else Verdict.REPEATED
    if kind is ResultKind.MISMATCH:
        may = state in (AttemptState.SENDING, AttemptState.UNKNOWN, AttemptState.PENDING)
        return Verdict.APPLIED if may else Verdict.ILLEGAL
    return Verdict.APPLIED if ATTEMPT_MOVES.may(state, kind.value) else Verdict.ILLEGAL


def _is_still_open(state: AttemptState, result: AttemptResult) -> bool:
    """Say whether a repeat tells that the outcome is still open, so that it is asked for later."""
    return result.kind is ResultKind.ACCEPT and state is AttemptState.PENDING


def _ask_later(
    row: Any, state: AttemptState, result: AttemptResult, policy: QueryPolicy, now: datetime
) -> AttemptChange:
    """Note that the outcome is still open, and when it is asked for next."""
    if result.kind is ResultKind.ACCEPT:
        seconds = max(policy.pending_seconds, _delay(policy, row.queries_count - 1))
        return AttemptChange.asking(
            row,
            AttemptState.PENDING,
            now + timedelta(seconds=seconds),
            gateway_ref=result.gateway_ref,
        )
    target = AttemptState.UNKNOWN if state is AttemptState.SENDING else state
    change = AttemptChange.asking(
        row, target, now + timedelta(seconds=_delay(policy, row.queries_count))
    )
    if result.kind is ResultKind.NOT_FOUND:
        change = change._replace(
            not_found_count=row.not_found_count + 1, not_found_at=row.not_found_at or now
        )
    return change


def _delay(policy: QueryPolicy, asked: int) -> float:
    delays = policy.delays_seconds
    return delays[min(max(asked, 0), len(delays) - 1)]


def _decline(row: Any, result: AttemptResult, retries: Retries) -> PaymentChange:
    """Ask the rules whether a payment that did not happen is tried again."""
    if result.kind is ResultKind.ERROR:
        decision = RetryDecision(
            "fail", None, "gateway_trouble", "The gateway could not be reached; nothing was sent."
        )
    else:
        decision = retries.decide(row, result.reason_code, "decline", on=row.business_on)
    return PaymentChange.after_decision(
        row, PaymentState(row.payment_state), decision, result.reason_code
    )
