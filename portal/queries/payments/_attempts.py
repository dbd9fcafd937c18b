"""Attempts at the gateway: what each came to, and the messages that were sent for it."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.messages import MessageKind, MessageState
from portal.domain.payments import AttemptState
from portal.queries.payments._words import INVOICE_NUMBER, say_reason
from portal.sql import fetch, fetch_one

_COLUMNS = (
    "a.id, a.version, a.payment_id, a.number, a.state, a.currency, a.amount_minor,"
    f" y.invoice_id, {INVOICE_NUMBER} AS invoice_number, y.payer_id, p.name AS payer,"
    " a.business_on, a.created_at, a.first_sent_at, a.resend_until, a.decided_at,"
    " a.next_query_at, a.queries_count, a.not_found_count, g.code AS account_code,"
    " a.merchant_ref, a.gateway_ref, a.reason_code, a.reason, a.return_fee_minor"
)
_FROM = (
    " FROM payment_attempts a JOIN payments y ON y.id = a.payment_id"
    " JOIN payers p ON p.id = y.payer_id JOIN gateway_accounts g ON g.id = a.gateway_account_id"
    " LEFT JOIN invoices i ON i.id = y.invoice_id"
)


class AttemptMissing(NotFound):
    """There is no such attempt here, or it is another organisation's; nothing was changed. Choose
    one from the list of attempts."""


class AttemptRow(NamedTuple):
    """One try at the gateway.

    Shape: `reason` is what the gateway said, `reason_text` what its code means.
    """

    id: UUID
    version: int
    payment_id: UUID
    number: int
    state: AttemptState
    currency: str
    amount_minor: int
    invoice_id: UUID | None
    invoice_number: str | None
    payer_id: UUID
    payer: str
    business_on: date
    created_at: datetime
    first_sent_at: datetime | None
    resend_until: datetime | None
    decided_at: datetime | None
    next_query_at: datetime | None
    queries_count: int
    not_found_count: int
    account_code: str
    merchant_ref: str
    gateway_ref: str | None
    reason_code: str | None
    reason: str | None
    return_fee_minor: int

    @property
    def reason_text(self) -> str | None:
        """What the reason code means, in one sentence."""
        return say_reason(self.reason_code)


class MessageRow(NamedTuple):
    """A message about an attempt, with what became of its last try."""

    id: UUID
    sequence: int
    kind: MessageKind
    state: MessageState
    tries: int
    next_at: datetime
    created_at: datetime
    done_at: datetime | None
    last_error: str | None
    last_tried_at: datetime | None
    last_outcome: str | None
    http_status: int | None


def get_attempt(attempt_id: UUID) -> AttemptRow:
    """Return one attempt.

    Raises: AttemptMissing.
    """
    row = fetch_one(f"SELECT {_COLUMNS}{_FROM} WHERE a.id = %s", (attempt_id,))
    if row is None:
        raise AttemptMissing
    return _attempt(row)


def list_attempts_of_payment(payment_id: UUID) -> list[AttemptRow]:
    """List the attempts of a payment, the last one first."""
    rows = fetch(
        f"SELECT {_COLUMNS}{_FROM} WHERE a.payment_id = %s ORDER BY a.number DESC", (payment_id,)
    )
    return [_attempt(row) for row in rows]


def list_messages_of_attempt(attempt_id: UUID) -> list[MessageRow]:
    """List the messages to the gateway about an attempt, in their order."""
    rows = fetch(
        "SELECT m.id, m.sequence, m.kind, m.state, m.tries, m.next_at, m.created_at, m.done_at,"
        " m.last_error, d.tried_at, d.outcome, d.http_status FROM messages m"
        " LEFT JOIN LATERAL (SELECT tried_at, outcome, http_status FROM message_deliveries"
        " WHERE message_id = m.id ORDER BY try_number DESC LIMIT 1) d ON true"
        " WHERE m.aggregate_id = %s ORDER BY m.sequence",
        (attempt_id,),
    )
    return [
        MessageRow(*row)._replace(kind=MessageKind(row.kind), state=MessageState(row.state))
        for row in rows
    ]


def count_attempts_by_state() -> dict[AttemptState, int]:
    """Count the attempts in each state; states that none is in count zero."""
    rows = fetch("SELECT state, count(*)::int AS n FROM payment_attempts GROUP BY state")
    found = {row.state: row.n for row in rows}
    return {state: found.get(state.value, 0) for state in AttemptState}


def _attempt(row: Any) -> AttemptRow:
    return AttemptRow(*row)._replace(state=AttemptState(row.state))
