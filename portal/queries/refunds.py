"""Reading refunds: one with its payment and payer, those of a payment, and what happened to it."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.refunds import OPEN_REFUND_STATES, REFUND_REASONS, RefundState
from portal.queries.invoices import document_number
from portal.sql import fetch, fetch_one

_COLUMNS = (
    "r.id, r.version, r.state, r.payment_id, r.attempt_id, r.currency, r.amount_minor, r.reason,"
    f" y.payer_id, p.name AS payer, y.invoice_id, {document_number('i')} AS invoice_number,"
    " y.amount_minor AS payment_minor, r.business_on, r.needs_approval, r.requested_by,"
    " r.requested_by_id, r.approved_by, r.approved_at, g.code AS account_code, r.merchant_ref,"
    " r.gateway_ref, r.first_sent_at, r.next_query_at, r.queries_count, r.decided_at,"
    " r.reason_code, r.worklist, r.created_at"
)
_FROM = (
    " FROM refunds r JOIN payments y ON y.id = r.payment_id JOIN payers p ON p.id = y.payer_id"
    " JOIN gateway_accounts g ON g.id = r.gateway_account_id"
    " LEFT JOIN invoices i ON i.id = y.invoice_id"
)


LISTED_MAX = 200


class RefundMissing(NotFound):
    """There is no such refund here, or it is another organisation's; nothing was changed. Choose
    one from the list of refunds."""


class RefundRow(NamedTuple):
    """A refund with its payment, its payer and its invoice.

    Shape: `reason` is the requester's, `reason_code` why it failed.
    """

    id: UUID
    version: int
    state: RefundState
    payment_id: UUID
    attempt_id: UUID
    currency: str
    amount_minor: int
    reason: str
    payer_id: UUID
    payer: str
    invoice_id: UUID | None
    invoice_number: str | None
    payment_minor: int
    business_on: date
    needs_approval: bool
    requested_by: str
    requested_by_id: UUID | None
    approved_by: str | None
    approved_at: datetime | None
    account_code: str
    merchant_ref: str
    gateway_ref: str | None
    first_sent_at: datetime | None
    next_query_at: datetime | None
    queries_count: int
    decided_at: datetime | None
    reason_code: str | None
    worklist: str | None
    created_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether it may still be given back."""
        return self.state in OPEN_REFUND_STATES

    @property
    def failure(self) -> str | None:
        """Why it failed, in one sentence."""
        if self.reason_code is None:
            return None
        unknown = f"The gateway refused it ({self.reason_code})."
        return REFUND_REASONS.get(self.reason_code, unknown)


class RefundEventRow(NamedTuple):
    """One thing that happened to a refund."""

    happened_at: datetime
    kind: str
    actor: str
    reason: str | None


def get_refund(refund_id: UUID) -> RefundRow:
    """Return one refund.

    Raises: RefundMissing.
    """
    row = fetch_one(f"SELECT {_COLUMNS}{_FROM} WHERE r.id = %s", (refund_id,))
    if row is None:
        raise RefundMissing
    return _refund(row)


def list_refunds_of_payment(payment_id: UUID) -> list[RefundRow]:
    """List the refunds of a payment, the last one first."""
    rows = fetch(
        f"SELECT {_COLUMNS}{_FROM} WHERE r.payment_id = %s ORDER BY r.id DESC", (payment_id,)
    )
    return [_refund(row) for row in rows]


def list_refunds() -> list[RefundRow]:
    """List the refunds, the last one first, as many as a screen of a terminal is good for."""
    rows = fetch(f"SELECT {_COLUMNS}{_FROM} ORDER BY r.id DESC LIMIT {LISTED_MAX}")
    return [_refund(row) for row in rows]


def list_refundable_payments(*, limit: int) -> list[tuple[UUID, int]]:
    """List payments of which nothing was given back yet, the latest first.

    Shape: (payment, amount in minor units).
    """
    rows = fetch(
        "SELECT id, amount_minor FROM payments WHERE state = 'succeeded' AND method = 'mandate'"
        " AND refunding_minor = 0 AND disputed_minor = 0 AND worklist IS NULL"
        " ORDER BY id DESC LIMIT %s",
        (limit,),
    )
    return [(row.id, row.amount_minor) for row in rows]


def list_refund_history(refund_id: UUID) -> list[RefundEventRow]:
    """List what happened to a refund, the newest first."""
    rows = fetch(
        "SELECT happened_at, kind, actor_name, reason FROM ("
        " SELECT happened_at, kind, actor_name, reason, id FROM events WHERE subject_id = %(id)s"
        " UNION ALL SELECT first_sent_at, 'refund.submitted', 'gateway', NULL, 0 FROM refunds"
        " WHERE id = %(id)s AND first_sent_at IS NOT NULL) e ORDER BY happened_at DESC, id DESC",
        {"id": refund_id},
    )
    return [RefundEventRow(*row) for row in rows]


def count_refunds_by_state() -> dict[RefundState, int]:
    """Count the refunds in each state; states that none is in count zero."""
    rows = fetch("SELECT state, count(*)::int AS n FROM refunds GROUP BY state")
    found = {row.state: row.n for row in rows}
    return {state: found.get(state.value, 0) for state in RefundState}


def _refund(row: Any) -> RefundRow:
    return RefundRow(*row)._replace(state=RefundState(row.state))
