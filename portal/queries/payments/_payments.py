"""One payment as people see it: its amounts, what it paid, what happened to it, what comes next."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.payments import (
    ASKABLE_ATTEMPT_STATES,
    CONTESTED_WORKLISTS,
    REFUNDABLE_PAYMENT_STATES,
    SETTLED_PAYMENT_STATES,
    UNDECIDED_ATTEMPT_STATES,
    AttemptState,
    PaymentMethod,
    PaymentState,
)
from portal.queries.payments._words import (
    CONTRADICTED_WORKLIST,
    INVOICE_NUMBER,
    MOVED_SQL,
    say_reason,
)
from portal.sql import fetch, fetch_one
from rules.reasons import NEVER_RETRIED, ReasonClass, find_reason

_COLUMNS = (
    "y.id, y.version, y.state, y.method, y.currency, y.amount_minor, y.reserved_minor,"
    " y.refunded_minor, y.refunding_minor, y.disputed_minor, EXISTS (SELECT FROM disputes d"
    " WHERE d.payment_id = y.id AND d.state IN ('needs_response', 'under_review')) AS is_disputed,"
    " COALESCE(u.allocated, 0)::bigint AS allocated_minor,"
    " COALESCE(c.kept, 0)::bigint AS credit_minor, y.payer_id, p.name AS payer,"
    f" y.invoice_id, {INVOICE_NUMBER} AS invoice_number, i.open_minor AS invoice_open_minor,"
    " m.reference AS mandate_reference, y.started_on, y.next_attempt_on, y.attempts_count,"
    " a.id AS attempt_id, a.state AS attempt_state, a.next_query_at, y.worklist, y.reason_code,"
    " y.explanation, e.reference, y.run_id, y.created_at, v.moved_by, v.moved_from"
)
_FROM = (
    " FROM payments y JOIN payers p ON p.id = y.payer_id"
    " LEFT JOIN invoices i ON i.id = y.invoice_id"
    " LEFT JOIN mandates m ON m.id = y.mandate_id"
    " LEFT JOIN LATERAL (SELECT id, state, next_query_at FROM payment_attempts"
    " WHERE payment_id = y.id ORDER BY number DESC LIMIT 1) a ON true"
    " LEFT JOIN LATERAL (SELECT sum(CASE WHEN reverses_id IS NULL THEN amount_minor"
    " ELSE -amount_minor END) AS allocated FROM allocations WHERE payment_id = y.id) u ON true"
    " LEFT JOIN LATERAL (SELECT sum(left_minor) AS kept FROM payer_credits"
    " WHERE payment_id = y.id) c ON true"
    " LEFT JOIN LATERAL (SELECT details->>'reference' AS reference FROM events"
    " WHERE subject_id = y.id AND kind = 'payment.recorded' LIMIT 1) e ON true"
    f" LEFT JOIN LATERAL ({MOVED_SQL}) v ON true"
)


class PaymentMissing(NotFound):
    """There is no such payment here, or it is another organisation's; nothing was changed. Choose
    one from the list of payments."""


class PaymentRow(NamedTuple):
    """A payment with its payer, its invoice and its last attempt.

    Shape: `credit_minor` is what is left of what it brought beyond the invoice; `reference` is that
    of money recorded by a person; `reason_code` is that of the last decline or return. `moved_by`
    is who chose the day that is planned, and `moved_from` the one it was planned for before.
    `is_disputed` says that a dispute is open.
    """

    id: UUID
    version: int
    state: PaymentState
    method: PaymentMethod
    currency: str
    amount_minor: int
    reserved_minor: int
    refunded_minor: int
    refunding_minor: int
    disputed_minor: int
    is_disputed: bool
    allocated_minor: int
    credit_minor: int
    payer_id: UUID
    payer: str
    invoice_id: UUID | None
    invoice_number: str | None
    invoice_open_minor: int | None
    mandate_reference: str | None
    started_on: date
    next_attempt_on: date | None
    attempts_count: int
    attempt_id: UUID | None
    attempt_state: AttemptState | None
    next_query_at: datetime | None
    worklist: str | None
    reason_code: str | None
    explanation: str | None
    reference: str | None
    run_id: UUID | None
    created_at: datetime
    moved_by: str | None
    moved_from: date | None

    @property
    def reason(self) -> str | None:
        """Why it failed or waits, in one sentence."""
        return say_reason(self.reason_code, self.worklist)

    @property
    def refundable_minor(self) -> int:
        """What can still be given back of it, if anything can."""
        gone_minor = self.refunded_minor + self.refunding_minor + self.disputed_minor
        return self.amount_minor - gone_minor

    @property
    def is_refundable(self) -> bool:
        """Whether a part of it can be given back through the gateway that collected it."""
        return (
            self.state in REFUNDABLE_PAYMENT_STATES
            and self.method is PaymentMethod.MANDATE
            and self.worklist not in CONTESTED_WORKLISTS
            and not self.is_disputed
            and self.refundable_minor > 0
        )

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt of it could still take money."""
        return self.attempt_state in UNDECIDED_ATTEMPT_STATES

    @property
    def is_askable(self) -> bool:
        """Whether the gateway can be asked now what became of it."""
        return self.attempt_state in ASKABLE_ATTEMPT_STATES

    @property
    def is_contradicted(self) -> bool:
        """Whether the gateway has said two things about it that nobody has settled yet."""
        return self.worklist == CONTRADICTED_WORKLIST

    @property
    def is_retryable(self) -> bool:
        """Whether a person may try it now, as far as it says itself; the payer may be on hold."""
        if self.is_under_way or self.is_contradicted:
            return False
        if self.state is PaymentState.SCHEDULED:
            return True
        return (
            self.state is PaymentState.FAILED
            and self.worklist is not None
            and not is_refused_for_good(self.reason_code, self.worklist)
        )

    @property
    def is_movable(self) -> bool:
        """Whether a person may choose another day for its next try."""
        return (
            self.state is PaymentState.SCHEDULED
            and self.next_attempt_on is not None
            and self.worklist is None
            and not self.is_under_way
        )

    @property
    def is_stoppable(self) -> bool:
        """Whether a person may stop it or take it off its worklist."""
        if self.is_under_way or self.state is PaymentState.PROCESSING:
            return False
        return self.state is PaymentState.SCHEDULED or self.worklist is not None


class AllocationRow(NamedTuple):
    """What a payment paid of an invoice, or took back of it."""

    id: UUID
    invoice_id: UUID
    invoice_number: str | None
    currency: str
    amount_minor: int
    applied_on: date
    is_reversal: bool
    is_reversed: bool


class HistoryRow(NamedTuple):
    """One thing that happened to a payment or to an attempt of it.

    Shape: `kind` is `payment.…` or `attempt.…` with a state; the number, amount and reason are
    those of the attempt.
    """

    happened_at: datetime
    kind: str
    actor: str | None
    reason: str | None
    details: Mapping[str, Any]
    attempt_id: UUID | None
    attempt_number: int | None
    amount_minor: int | None
    currency: str
    reason_code: str | None

    @property
    def reason_text(self) -> str | None:
        """What the reason code means, in one sentence."""
        return say_reason(self.reason_code)


def is_refused_for_good(reason_code: str | None, worklist: str | None) -> bool:
    """Say whether no agreement and no person can have a payment tried again."""
    if reason_code in NEVER_RETRIED or worklist == "hard_decline":
        return True
    return reason_code is not None and find_reason(reason_code).reason_class is ReasonClass.HARD


def get_payment(payment_id: UUID) -> PaymentRow:
    """Return one payment.

    Raises: PaymentMissing.
    """
    row = fetch_one(f"SELECT {_COLUMNS}{_FROM} WHERE y.id = %s", (payment_id,))
    if row is None:
        raise PaymentMissing
    return _payment(row)


def find_similar_payment(invoice_id: UUID, amount_minor: int, paid_on: date) -> PaymentRow | None:
    """Return a payment of the invoice's payer over the same amount on the same day, or None.

    Shape: the latest one that succeeded, of whatever invoice and method, in the invoice's currency.
    """
    row = fetch_one(
        f"SELECT {_COLUMNS}{_FROM} JOIN invoices w ON w.id = %(invoice)s"
        " WHERE y.payer_id = w.payer_id AND y.currency = w.currency AND y.state = ANY(%(settled)s)"
        " AND y.amount_minor = %(amount)s AND y.started_on = %(on)s"
        " ORDER BY y.id DESC LIMIT 1",
        {
            "invoice": invoice_id,
            "settled": [state.value for state in SETTLED_PAYMENT_STATES],
            "amount": amount_minor,
            "on": paid_on,
        },
    )
    return _payment(row) if row else None


def list_allocations_of_payment(payment_id: UUID) -> list[AllocationRow]:
    """List what a payment paid, and what a return took back, in the order it happened."""
    rows = fetch(
        f"SELECT l.id, l.invoice_id, {INVOICE_NUMBER} AS invoice_number, l.currency,"
        " l.amount_minor, l.applied_on, l.reverses_id IS NOT NULL AS is_reversal,"
        " EXISTS (SELECT FROM allocations r WHERE r.reverses_id = l.id) AS is_reversed"
        " FROM allocations l JOIN invoices i ON i.id = l.invoice_id"
        " WHERE l.payment_id = %s ORDER BY l.id",
        (payment_id,),
    )
    return [AllocationRow(*row) for row in rows]


def list_payment_history(payment_id: UUID, rows_max: int) -> list[HistoryRow]:
    """List what happened to a payment and its attempts, the newest first.

    Shape: an attempt is there when it was sent and when it was decided; what began it is the
    payment's own event.
    """
    rows = fetch(
        "SELECT h.happened_at, h.kind, h.actor, h.reason, h.details, h.attempt_id, h.number,"
        " h.amount_minor, y.currency, h.reason_code FROM payments y CROSS JOIN LATERAL ("
        " SELECT e.happened_at, e.kind, e.actor_name AS actor, e.reason,"
        " COALESCE(e.details, '{}'::jsonb) AS details, NULL::uuid AS attempt_id,"
        " NULL::smallint AS number, NULL::bigint AS amount_minor, NULL AS reason_code, 2 AS rank,"
        " e.id AS place FROM events e WHERE e.subject_id = y.id"
        " UNION ALL SELECT t.happened_at, t.kind, NULL, a.reason, '{}'::jsonb, a.id, a.number,"
        " a.amount_minor, t.reason_code, t.rank, a.number FROM payment_attempts a"
        " CROSS JOIN LATERAL (VALUES (a.first_sent_at, 'attempt.sent', NULL, 0),"
        " (a.decided_at, 'attempt.' || a.state, a.reason_code, 1))"
        " AS t (happened_at, kind, reason_code, rank)"
        " WHERE a.payment_id = y.id AND t.happened_at IS NOT NULL) h"
        " WHERE y.id = %s ORDER BY h.happened_at DESC, h.rank DESC, h.place DESC LIMIT %s",
        (payment_id, rows_max),
    )
    return [HistoryRow(*row) for row in rows]


def _payment(row: Any) -> PaymentRow:
    return PaymentRow(*row)._replace(
        state=PaymentState(row.state),
        method=PaymentMethod(row.method),
        attempt_state=AttemptState(row.attempt_state) if row.attempt_state else None,
    )
