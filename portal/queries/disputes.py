"""Reading disputes: one with its payment and payer, those of a payment, and what happened to it."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.disputes import OPEN_DISPUTE_STATES, DisputeState, say_dispute_reason
from portal.domain.errors import NotFound
from portal.queries.invoices import document_number
from portal.sql import fetch, fetch_one

_SELECT = (
    "SELECT d.id, d.version, d.state, d.payment_id, d.attempt_id, d.currency, d.amount_minor,"
    " d.fee_minor, d.reason_code, y.payer_id, p.name AS payer, y.invoice_id,"
    f" {document_number('i')} AS invoice_number, y.amount_minor AS payment_minor, d.opened_on,"
    " d.respond_by, d.closed_on, d.response, d.answered_at, d.answered_by,"
    " g.code AS account_code, a.merchant_ref, d.gateway_ref, d.next_query_at, d.queries_count,"
    " d.worklist, d.created_at FROM disputes d JOIN payments y ON y.id = d.payment_id"
    " JOIN payers p ON p.id = y.payer_id JOIN payment_attempts a ON a.id = d.attempt_id"
    " JOIN gateway_accounts g ON g.id = d.gateway_account_id"
    " LEFT JOIN invoices i ON i.id = y.invoice_id"
)


class DisputeMissing(NotFound):
    """There is no such dispute here, or it is another organisation's; nothing was changed. Choose
    one from the list of disputes."""


class DisputeRow(NamedTuple):
    """A dispute with its payment, its payer and its invoice."""

    id: UUID
    version: int
    state: DisputeState
    payment_id: UUID
    attempt_id: UUID
    currency: str
    amount_minor: int
    fee_minor: int
    reason_code: str | None
    payer_id: UUID
    payer: str
    invoice_id: UUID | None
    invoice_number: str | None
    payment_minor: int
    opened_on: date
    respond_by: date
    closed_on: date | None
    response: str | None
    answered_at: datetime | None
    answered_by: str | None
    account_code: str
    merchant_ref: str
    gateway_ref: str
    next_query_at: datetime | None
    queries_count: int
    worklist: str | None
    created_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether the money may still come back."""
        return self.state in OPEN_DISPUTE_STATES

    @property
    def reason(self) -> str:
        """Why the payment is disputed, in one sentence."""
        return say_dispute_reason(self.reason_code)


class DisputeEventRow(NamedTuple):
    """One thing that happened to a dispute."""

    happened_at: datetime
    kind: str
    actor: str
    reason: str | None


def get_dispute(dispute_id: UUID) -> DisputeRow:
    """Return one dispute.

    Raises: DisputeMissing.
    """
    row = fetch_one(f"{_SELECT} WHERE d.id = %s", (dispute_id,))
    if row is None:
        raise DisputeMissing
    return _dispute(row)


def list_disputes_of_payment(payment_id: UUID) -> list[DisputeRow]:
    """List the disputes of a payment, the last one first."""
    rows = fetch(f"{_SELECT} WHERE d.payment_id = %s ORDER BY d.id DESC", (payment_id,))
    return [_dispute(row) for row in rows]


def list_open_disputes_of_invoice(invoice_id: UUID) -> list[DisputeRow]:
    """List the open disputes about payments of an invoice, the last one first."""
    rows = fetch(
        f"{_SELECT} WHERE y.invoice_id = %s AND d.state = ANY(%s) ORDER BY d.id DESC",
        (invoice_id, [state.value for state in OPEN_DISPUTE_STATES]),
    )
    return [_dispute(row) for row in rows]


def list_answerable_disputes(*, limit: int) -> list[DisputeRow]:
    """List the disputes that wait for our answer, the most urgent first."""
    rows = fetch(
        f"{_SELECT} WHERE d.state = %s ORDER BY d.respond_by, d.id LIMIT %s",
        (DisputeState.NEEDS_RESPONSE.value, limit),
    )
    return [_dispute(row) for row in rows]


def list_dispute_history(dispute_id: UUID) -> list[DisputeEventRow]:
    """List what happened to a dispute, the newest first."""
    rows = fetch(
        "SELECT happened_at, kind, actor_name, reason FROM events WHERE subject_id = %s"
        " ORDER BY happened_at DESC, id DESC",
        (dispute_id,),
    )
    return [DisputeEventRow(*row) for row in rows]


def _dispute(row: Any) -> DisputeRow:
    return DisputeRow(*row)._replace(state=DisputeState(row.state))
