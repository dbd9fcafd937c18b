"""What a person decides about a payment: try it now, stop it, or ask the gateway about it."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.batches import ItemOutcome
from portal.domain.errors import Conflict, Invalid
from portal.domain.messages import MessageKind
from portal.domain.payments import (
    ASKABLE_ATTEMPT_STATES,
    OPEN_PAYMENT_STATES,
    PAYMENT_MOVES,
    STOPPED_REASON,
    UNDECIDED_ATTEMPT_STATES,
    PaymentState,
)
from portal.domain.users import Actor
from portal.queries.payments import (
    CONTRADICTED_WORKLIST,
    PaymentMissing,
    is_refused_for_good,
)
from portal.queue import ring
from portal.services.events import record_event
from portal.services.messages import DELIVERY_BELL
from portal.services.payments._start import retry_payments
from portal.sql import execute, fetch_one
from rules.reasons import find_reason

REASON_CHARACTERS_MAX = 500
SETTLE_FIRST = (
    "The gateway has said two things about it, so the money may be taken already; settle with the"
    " gateway which is true, and then stop the payment."
)


class PaymentChanged(Conflict):
    """Somebody or something else has changed this payment meanwhile. Nothing was changed now; look
    at it again and decide then."""


class PaymentUnderWay(Conflict):
    """The gateway is being asked about this payment, so it cannot be {verb} now. Nothing was
    changed; wait for the outcome, or ask the gateway for it."""

    verb: str


class PaymentNotRetryable(Conflict):
    """The payment cannot be tried now. {reason} Nothing was changed."""

    reason: str


class PaymentNotStoppable(Conflict):
    """There is nothing to stop: {reason}. Nothing was changed; look at the payment again."""

    reason: str


class NothingToAsk(Conflict):
    """There is nothing to ask the gateway: {reason}. Nothing was changed; look at the payment
    again."""

    reason: str


class StopReasonInvalid(Invalid):
    """The payment was not stopped: say why in 1 to {characters_max} characters that can be
    shown."""

    characters_max: int


def retry_payment_now(
    *, payment_id: UUID, version: int, on: date, actor: Actor, now: datetime
) -> UUID:
    """Try a planned payment, or a failed one that waits for a person, at once.

    Shape: the id of the new attempt, made as the retrying job makes it, for what is still open.
    Reasons by which the payer must act first are no obstacle: who tries has spoken to the payer.
    What the gateway has contradicted itself about is one: the money may be taken already.
    Raises: PaymentMissing; PaymentChanged; PaymentUnderWay; PaymentNotRetryable, with the reason.
    """
    with transaction():
        row = lock_payment(payment_id)
        _check_retry(row)
        if row.version != version:
            raise PaymentChanged
        state = PaymentState(row.state)
        if state is PaymentState.FAILED:
            state = PAYMENT_MOVES.next(state, "retry_later")
        execute(
            "UPDATE payments SET state = %s, next_attempt_on = %s, worklist = NULL"
            " WHERE organisation_id = %s AND id = %s",
            (state.value, on, current_organisation_id(), payment_id),
        )
        record_event(
            "payment.retry_requested",
            payment_id,
            actor=actor,
            now=now,
            details={
                "worklist": row.worklist,
                "planned_on": row.next_attempt_on.isoformat() if row.next_attempt_on else None,
            },
        )
        (result,) = retry_payments(payment_ids=[payment_id], business_on=on, actor=actor, now=now)
        if result.outcome is not ItemOutcome.DONE:
            raise PaymentNotRetryable(reason=result.message)
        attempt = fetch_one(
            "SELECT id FROM payment_attempts WHERE payment_id = %s ORDER BY number DESC LIMIT 1",
            (payment_id,),
        )
    assert attempt is not None
    attempt_id: UUID = attempt.id
    return attempt_id


def stop_payment(
    *, payment_id: UUID, version: int, reason: str, actor: Actor, now: datetime
) -> None:
    """Try a payment no more, and take it off its worklist.

    Shape: a planned one is cancelled, a failed one counts as handled outside. What is open of the
    invoice is then collected by a run only through another mandate than the one it was tried by.
    Raises: StopReasonInvalid; PaymentMissing; PaymentChanged; PaymentUnderWay; PaymentNotStoppable.
    """
    reason = _checked_reason(reason)
    with transaction():
        row = lock_payment(payment_id)
        state = PaymentState(row.state)
        if row.is_live or state in (PaymentState.PROCESSING, PaymentState.REQUIRES_ACTION):
            raise PaymentUnderWay(verb="stopped")
        if state is not PaymentState.SCHEDULED and row.worklist is None:
            raise PaymentNotStoppable(reason=f"it is “{state.label}” and waits for nobody")
        if row.version != version:
            raise PaymentChanged
        is_ended = state in (PaymentState.SCHEDULED, PaymentState.FAILED, PaymentState.CANCELLED)
        if state is PaymentState.SCHEDULED:
            state = PAYMENT_MOVES.next(state, "cancel")
            _release(row)
        execute(
            "UPDATE payments SET state = %(state)s, next_attempt_on = NULL, worklist = NULL,"
            " reserved_minor = 0, version = version + 1,"
            " reason_code = CASE WHEN %(ended)s THEN %(stopped)s ELSE reason_code END,"
            " explanation = CASE WHEN %(ended)s THEN %(reason)s ELSE explanation END"
            " WHERE organisation_id = %(o)s AND id = %(id)s",
            {
                "state": state.value,
                "ended": is_ended,
                "stopped": STOPPED_REASON,
                "reason": reason,
                "o": current_organisation_id(),
                "id": payment_id,
            },
        )
        kind = "payment.stopped" if row.state == PaymentState.SCHEDULED else "payment.resolved"
        details = {"worklist": row.worklist, "reason_code": row.reason_code}
        record_event(kind, payment_id, actor=actor, now=now, reason=reason, details=details)


def ask_gateway_now(*, payment_id: UUID, actor: Actor, now: datetime) -> None:
    """Have the gateway asked at once what became of a payment.

    Shape: while a question waits to be sent, no second one is written.
    Raises: PaymentMissing; NothingToAsk.
    """
    with transaction():
        row = lock_payment(payment_id)
        if row.attempt_id is None or row.attempt_state not in ASKABLE_ATTEMPT_STATES:
            reason = "the order is just being sent" if row.is_live else "the outcome is known"
            raise NothingToAsk(reason=reason)
        execute(
            "UPDATE payment_attempts a SET next_query_at = clock_timestamp()"
            " WHERE a.organisation_id = %s AND a.id = %s AND a.state = ANY(%s)"
            " AND NOT EXISTS (SELECT FROM messages m WHERE m.aggregate_id = a.id"
            " AND m.kind = %s AND m.state = 'ready')",
            (
                current_organisation_id(),
                row.attempt_id,
                [state.value for state in ASKABLE_ATTEMPT_STATES],
                MessageKind.QUERY.value,
            ),
        )
        record_event("payment.query_requested", payment_id, actor=actor, now=now)
        ring(DELIVERY_BELL)


def lock_payment(payment_id: UUID) -> Any:
    """Lock a payment behind its invoice, and read it with its last attempt.

    Raises: PaymentMissing.
    """
    scope = {"o": current_organisation_id(), "id": payment_id}
    execute(
        "SELECT 1 FROM invoices WHERE organisation_id = %(o)s AND id ="
        " (SELECT invoice_id FROM payments WHERE id = %(id)s) FOR UPDATE",
        scope,
    )
    execute(
        "SELECT 1 FROM payments WHERE organisation_id = %(o)s AND id = %(id)s FOR UPDATE", scope
    )
    # Only a statement behind the locks sees what was committed while this one waited for them.
    row = fetch_one(
        "SELECT y.id, y.invoice_id, y.state, y.version, y.method, y.worklist, y.reason_code,"
        " y.next_attempt_on, y.reserved_minor, y.attempts_count, a.id AS attempt_id,"
        " a.state AS attempt_state,"
        " COALESCE(a.state = ANY(%(undecided)s), false) AS is_live, EXISTS (SELECT FROM payments o"
        " WHERE o.invoice_id = y.invoice_id AND o.id <> y.id AND o.state = ANY(%(open)s))"
        " AS has_rival FROM payments y LEFT JOIN LATERAL (SELECT id, state FROM payment_attempts"
        " WHERE payment_id = y.id ORDER BY number DESC LIMIT 1) a ON true"
        " WHERE y.organisation_id = %(o)s AND y.id = %(id)s",
        scope
        | {
            "undecided": [state.value for state in UNDECIDED_ATTEMPT_STATES],
            "open": [state.value for state in OPEN_PAYMENT_STATES],
        },
    )
    if row is None:
        raise PaymentMissing
    return row


def _check_retry(row: Any) -> None:
    """Refuse what is under way, what is over, and what another try would only make worse.

    Raises: PaymentUnderWay; PaymentNotRetryable.
    """
    state = PaymentState(row.state)
    if row.is_live or state in (PaymentState.PROCESSING, PaymentState.REQUIRES_ACTION):
        raise PaymentUnderWay(verb="tried again")
    if row.worklist == CONTRADICTED_WORKLIST:
        raise PaymentNotRetryable(reason=SETTLE_FIRST)
    if state is PaymentState.SCHEDULED:
        return
    if state is not PaymentState.FAILED or row.worklist is None:
        reason = f"It is “{state.label}” and waits for nobody."
        raise PaymentNotRetryable(reason=reason)
    if row.reason_code == STOPPED_REASON:
        raise PaymentNotRetryable(reason="A person has stopped it.")
    if is_refused_for_good(row.reason_code, row.worklist):
        sentence = find_reason(row.reason_code).sentence if row.reason_code else ""
        reason = f"{sentence} The bank refuses for good, so another try is not allowed.".strip()
        raise PaymentNotRetryable(reason=reason)
    if row.has_rival:
        reason = "Another payment of the invoice is planned or under way."
        raise PaymentNotRetryable(reason=reason)


def _checked_reason(reason: str) -> str:
    """Tidy the reason up.

    Raises: StopReasonInvalid.
    """
    tidy = " ".join(reason.split())
    if not 1 <= len(tidy) <= REASON_CHARACTERS_MAX or not tidy.isprintable():
        raise StopReasonInvalid(characters_max=REASON_CHARACTERS_MAX, field="reason")
    return tidy


def _release(row: Any) -> None:
    """Give back to the invoice what a payment has reserved of it."""
    if row.reserved_minor:
        execute(
            "UPDATE invoices SET in_payment_minor = in_payment_minor - %s, version = version + 1"
            " WHERE organisation_id = %s AND id = %s",
            (row.reserved_minor, current_organisation_id(), row.invoice_id),
        )
