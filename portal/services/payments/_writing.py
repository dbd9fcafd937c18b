"""Writing changes of many attempts, payments and reservations with one statement each."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.payments import PAYMENT_MOVES, AttemptState, PaymentState
from portal.queries.payments import CONTRADICTED_WORKLIST
from portal.sql import execute, stage_rows
from rules.types import RetryDecision

ATTEMPT_COLUMNS = {
    "id": "uuid",
    "state": "text",
    "gateway_ref": "text",
    "reason_code": "text",
    "reason": "text",
    "return_fee_minor": "bigint",
    "decided_at": "timestamptz",
    "next_query_at": "timestamptz",
    "not_found_count": "smallint",
    "not_found_at": "timestamptz",
}
PAYMENT_COLUMNS = {
    "id": "uuid",
    "state": "text",
    "next_attempt_on": "date",
    "worklist": "text",
    "reason_code": "text",
    "explanation": "text",
    "keeps_reservation": "boolean",
}


class AttemptChange(NamedTuple):
    """The new values of an attempt, in the order of ATTEMPT_COLUMNS."""

    id: UUID
    state: str
    gateway_ref: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    return_fee_minor: int = 0
    decided_at: datetime | None = None
    next_query_at: datetime | None = None
    not_found_count: int = 0
    not_found_at: datetime | None = None

    @classmethod
    def decided(cls, row: Any, state: AttemptState, result: Any, now: datetime) -> Self:
        """Take the outcome over; there is nothing left to ask."""
        is_return = state is AttemptState.RETURNED
        # What was surely not sent waits for its next try.
        is_open = state is AttemptState.CREATED
        return cls(
            row.attempt_id,
            state.value,
            result.gateway_ref,
            result.reason_code,
            result.reason,
            result.fee_minor if is_return else 0,
            None if is_open else now,
            None,
            row.not_found_count,
            row.not_found_at,
        )

    @classmethod
    def asking(
        cls,
        row: Any,
        state: AttemptState,
        next_query_at: datetime | None,
        *,
        gateway_ref: str | None = None,
    ) -> Self:
        """Leave the outcome open and say when it is asked for."""
        return cls(
            row.attempt_id,
            state.value,
            gateway_ref,
            next_query_at=next_query_at,
            not_found_count=row.not_found_count,
            not_found_at=row.not_found_at,
        )


class PaymentChange(NamedTuple):
    """The new values of a payment, in the order of PAYMENT_COLUMNS, and what it gives back."""

    id: UUID
    state: str
    next_attempt_on: date | None
    worklist: str | None
    reason_code: str | None
    explanation: str | None
    keeps_reservation: bool
    invoice_id: UUID
    released_minor: int

    @classmethod
    def to_worklist(cls, row: Any, worklist: str) -> Self:
        """Leave the payment as it is, for a person to look at."""
        return cls(
            row.payment_id,
            row.payment_state,
            None,
            worklist,
            None,
            None,
            True,
            row.invoice_id,
            0,
        )

    @classmethod
    def after_decision(
        cls, row: Any, state: PaymentState, decision: RetryDecision, reason_code: str | None
    ) -> Self:
        """Try again on a later date, or hand the payment to a worklist; nothing stays reserved."""
        event = "retry_later" if decision.action == "retry" else "fail"
        return cls(
            row.payment_id,
            PAYMENT_MOVES.next(state, event).value,
            decision.next_on,
            decision.worklist,
            reason_code,
            decision.explanation,
            False,
            row.invoice_id,
            row.reserved_minor,
        )


def worklist_after(outcome: str) -> str:
    """Write the SQL of a payment's worklist after an outcome that would put it on another.

    Shape: the payment is `y`; what the gateway contradicted itself about is a person's to settle.
    """
    kept = f"y.worklist = '{CONTRADICTED_WORKLIST}'"
    return f"CASE WHEN {kept} THEN y.worklist ELSE {outcome} END"


def write_attempts(changes: Sequence[AttemptChange]) -> None:
    """Write the new values; a gateway reference once known stays."""
    if not changes:
        return
    stage_rows("staged_attempts", ATTEMPT_COLUMNS, changes)
    execute(
        "UPDATE payment_attempts a SET state = s.state,"
        " gateway_ref = COALESCE(s.gateway_ref, a.gateway_ref),"
        " reason_code = COALESCE(s.reason_code, a.reason_code),"
        " reason = COALESCE(s.reason, a.reason),"
        " return_fee_minor = s.return_fee_minor,"
        " decided_at = COALESCE(s.decided_at, a.decided_at), next_query_at = s.next_query_at,"
        " not_found_count = s.not_found_count, not_found_at = s.not_found_at,"
        " version = a.version + 1 FROM pg_temp.staged_attempts s"
        " WHERE a.organisation_id = %s AND a.id = s.id",
        (current_organisation_id(),),
    )


def write_payments(changes: Sequence[PaymentChange]) -> None:
    """Write the new values of payments."""
    if not changes:
        return
    stage_rows("staged_payments", PAYMENT_COLUMNS, (change[:7] for change in changes))
    execute(
        "UPDATE payments y SET state = s.state, next_attempt_on = s.next_attempt_on,"
        f" worklist = {worklist_after('s.worklist')},"
        " reason_code = COALESCE(s.reason_code, y.reason_code),"
        " explanation = COALESCE(s.explanation, y.explanation),"
        " reserved_minor = CASE WHEN s.keeps_reservation THEN y.reserved_minor ELSE 0 END,"
        " version = y.version + 1 FROM pg_temp.staged_payments s"
        " WHERE y.organisation_id = %s AND y.id = s.id",
        (current_organisation_id(),),
    )


def write_releases(changes: Sequence[PaymentChange]) -> None:
    """Give back to the invoices what payments that ended had reserved."""
    amounts: dict[UUID, int] = {}
    for change in changes:
        if change.released_minor:
            amounts[change.invoice_id] = amounts.get(change.invoice_id, 0) + change.released_minor
    if amounts:
        execute(
            "UPDATE invoices i SET in_payment_minor = i.in_payment_minor - s.amount,"
            " version = i.version + 1"
            " FROM unnest(%s::uuid[], %s::bigint[]) AS s (id, amount)"
            " WHERE i.organisation_id = %s AND i.id = s.id",
            (list(amounts), list(amounts.values()), current_organisation_id()),
        )
