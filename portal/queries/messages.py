"""Reading one message of the outbox or the inbox, with everything that was tried."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.domain.errors import NotFound
from portal.domain.messages import InboxState, MessageKind, MessageState
from portal.domain.payments import AttemptState
from portal.sql import fetch, fetch_one, fetch_plain

# A worker holds message m: it was leased, and what came of that try is not written yet.
UNDER_WAY = (
    "(m.state = 'ready' AND m.tries > 0 AND m.next_at > clock_timestamp()"
    " AND NOT EXISTS (SELECT FROM message_deliveries d WHERE d.message_id = m.id"
    " AND d.try_number = m.tries))"
)
_ABOUT = (
    " a.id AS attempt_id, a.number AS attempt_number, a.state AS attempt_state,"
    " y.id AS payment_id, p.name AS payer, a.amount_minor, a.currency, a.business_on"
)
_ABOUT_JOINS = (
    " LEFT JOIN payments y ON (y.organisation_id, y.id) = (a.organisation_id, a.payment_id)"
    " LEFT JOIN payers p ON (p.organisation_id, p.id) = (y.organisation_id, y.payer_id)"
)


class MessageMissing(NotFound):
    """There is no such message here, or it is another organisation's; nothing was changed. Choose
    one from the list of messages."""


class About(NamedTuple):
    """The attempt that a message speaks of, and its payment."""

    attempt_id: UUID
    attempt_number: int
    attempt_state: AttemptState
    payment_id: UUID
    payer: str
    amount_minor: int
    currency: str


class OutboxRow(NamedTuple):
    """A message to a gateway; `about` is None where it is about no single payment."""

    id: UUID
    sequence: int
    kind: MessageKind
    state: MessageState
    tries: int
    next_at: datetime
    created_at: datetime
    done_at: datetime | None
    last_error: str | None
    payload: dict[str, Any]
    payload_version: int
    account_code: str
    is_under_way: bool
    about: About | None
    aggregate_id: UUID

    @property
    def refund_id(self) -> UUID | None:
        """The refund it is about, if it is about one."""
        return self.aggregate_id if self.kind.startswith("refund.") else None

    @property
    def dispute_id(self) -> UUID | None:
        """The dispute it is about, if it is about one."""
        return self.aggregate_id if self.kind.startswith("dispute.") else None

    @property
    def reminder_id(self) -> UUID | None:
        """The reminder it tells a payer of, if it tells of one."""
        return self.aggregate_id if self.kind is MessageKind.PAYER_REMINDER else None


class DeliveryRow(NamedTuple):
    """One try to deliver a message."""

    try_number: int
    tried_at: datetime
    outcome: str
    http_status: int | None
    error: str | None


class InboxRow(NamedTuple):
    """A message from a gateway; `about` is None where no attempt of ours has its reference."""

    id: UUID
    event_ref: str
    kind: str
    content: dict[str, Any]
    raw_bytes: int
    received_at: datetime
    state: InboxState
    next_at: datetime
    tries: int
    last_error: str | None
    account_code: str
    about: About | None


class Lags(NamedTuple):
    """How long the oldest of each kind of work has been due; None where nothing is.

    Units: seconds.
    """

    message_seconds: float | None
    inbox_seconds: float | None
    unknown_seconds: float | None
    chunk_seconds: float | None


def get_message(message_id: UUID) -> OutboxRow:
    """Return one message to a gateway.

    Raises: MessageMissing.
    """
    row = fetch_one(
        "SELECT m.id, m.sequence, m.kind, m.state, m.tries, m.next_at, m.created_at, m.done_at,"
        f" m.last_error, m.payload, m.payload_version, g.code, {UNDER_WAY} AS is_under_way,"
        f"{_ABOUT}, m.aggregate_id FROM messages m"
        " JOIN gateway_accounts g ON g.id = m.gateway_account_id"
        " LEFT JOIN payment_attempts a"
        " ON (a.organisation_id, a.id) = (m.organisation_id, m.aggregate_id)"
        f"{_ABOUT_JOINS} WHERE m.id = %s",
        (message_id,),
    )
    if row is None:
        raise MessageMissing
    return OutboxRow._make([*row[:13], _about(row), row.aggregate_id])._replace(
        kind=MessageKind(row.kind), state=MessageState(row.state)
    )


def list_deliveries(message_id: UUID) -> list[DeliveryRow]:
    """List the tries to deliver a message, the last one first."""
    rows = fetch(
        "SELECT try_number, tried_at, outcome, http_status, error FROM message_deliveries"
        " WHERE message_id = %s ORDER BY try_number DESC",
        (message_id,),
    )
    return [DeliveryRow(*row) for row in rows]


def get_inbox_message(inbox_message_id: UUID) -> InboxRow:
    """Return one message from a gateway.

    Raises: MessageMissing.
    """
    row = fetch_one(
        "SELECT m.id, m.event_ref, m.kind, m.content, octet_length(m.raw), m.received_at, m.state,"
        f" m.next_at, m.tries, m.last_error, g.code,{_ABOUT} FROM inbox_messages m"
        " JOIN gateway_accounts g ON g.id = m.gateway_account_id"
        " LEFT JOIN payment_attempts a ON a.organisation_id = m.organisation_id"
        " AND a.gateway_account_id = m.gateway_account_id"
        f" AND a.merchant_ref = m.content->>'merchant_ref'{_ABOUT_JOINS} WHERE m.id = %s",
        (inbox_message_id,),
    )
    if row is None:
        raise MessageMissing
    return InboxRow._make([*row[:11], _about(row)])._replace(state=InboxState(row.state))


def measure_lags() -> Lags:
    """Measure how late work is, in one statement."""
    (row,) = fetch_plain(
        "SELECT (SELECT extract(epoch FROM clock_timestamp() - min(next_at))::float8 FROM messages"
        " WHERE state = 'ready' AND next_at <= clock_timestamp()),"
        " (SELECT extract(epoch FROM clock_timestamp() - min(next_at))::float8 FROM inbox_messages"
        " WHERE state = 'ready' AND next_at <= clock_timestamp()),"
        " (SELECT extract(epoch FROM clock_timestamp() - min(first_sent_at))::float8"
        " FROM payment_attempts WHERE state = 'unknown'),"
        " (SELECT extract(epoch FROM clock_timestamp() - min(COALESCE(c.lease_until,"
        " r.started_at)))::float8 FROM batch_chunks c JOIN batch_runs r"
        " ON (r.organisation_id, r.id) = (c.organisation_id, c.run_id) WHERE r.state = 'started'"
        " AND (c.state = 'ready'"
        " OR (c.state = 'leased' AND c.lease_until < clock_timestamp())))"
    )
    return Lags(*row)


def _about(row: Any) -> About | None:
    if row.attempt_id is None:
        return None
    return About(
        row.attempt_id,
        row.attempt_number,
        AttemptState(row.attempt_state),
        row.payment_id,
        row.payer,
        row.amount_minor,
        row.currency,
    )
