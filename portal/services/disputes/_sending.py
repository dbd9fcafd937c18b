"""From leased messages to calls of the gateway: what is said to disputes, and what is asked."""

from collections.abc import Sequence
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.disputes import OPEN_DISPUTE_STATES, DisputeState
from portal.domain.messages import MessageKind
from portal.gateways.base import DisputeOrder
from portal.services.messages import Claimed, write_questions
from portal.sql import fetch

# In these states a message of the kind still has something to say.
SAYABLE = {
    MessageKind.DISPUTE_ANSWER: (DisputeState.UNDER_REVIEW,),
    MessageKind.DISPUTE_ACCEPT: (DisputeState.LOST,),
    MessageKind.DISPUTE_QUERY: OPEN_DISPUTE_STATES,
}


def plan_dispute_calls(
    messages: Sequence[Claimed],
) -> tuple[list[tuple[Claimed, DisputeOrder]], list[UUID]]:
    """Split messages about disputes into those worth a call, with its order, and the others.

    Shape: a message that is sent again has the same key, so the gateway takes it once.
    """
    if not messages:
        return [], []
    rows = fetch(
        "SELECT d.id, d.state, d.gateway_ref, d.amount_minor, d.currency, d.response,"
        " a.merchant_ref FROM disputes d JOIN payment_attempts a ON a.id = d.attempt_id"
        " WHERE d.organisation_id = %s AND d.id = ANY(%s)",
        (current_organisation_id(), [message.aggregate_id for message in messages]),
    )
    known = {row.id: row for row in rows}
    calls: list[tuple[Claimed, DisputeOrder]] = []
    needless: list[UUID] = []
    for message in messages:
        row = known.get(message.aggregate_id)
        kind = MessageKind(message.kind)
        if row is None or row.state not in SAYABLE[kind]:
            needless.append(message.id)
            continue
        order = DisputeOrder(
            merchant_ref=row.merchant_ref,
            gateway_ref=row.gateway_ref,
            idempotency_key=f"dispute-{row.id.hex}-{message.sequence}",
            amount_minor=row.amount_minor,
            currency=row.currency,
            text=row.response if kind is MessageKind.DISPUTE_ANSWER else "",
        )
        calls.append((message, order))
    return calls, needless


def request_dispute_queries(*, limit: int, lease_seconds: float) -> int:
    """Write a question for each dispute that is to be asked about now.

    Shape: returns how many; the next time to ask is moved on, so that a second sweep finds none.
    """
    asked = fetch(
        "WITH due AS (SELECT id FROM disputes WHERE state = ANY(%(open)s)"
        " AND next_query_at <= clock_timestamp() ORDER BY next_query_at LIMIT %(limit)s"
        " FOR UPDATE SKIP LOCKED)"
        " UPDATE disputes d SET queries_count = LEAST(queries_count + 1, 30000),"
        " next_query_at = clock_timestamp() + make_interval(secs => %(lease)s)"
        " FROM due WHERE d.organisation_id = %(o)s AND d.id = due.id"
        " RETURNING d.id, d.gateway_account_id",
        {
            "open": [state.value for state in OPEN_DISPUTE_STATES],
            "limit": limit,
            "lease": lease_seconds,
            "o": current_organisation_id(),
        },
    )
    write_questions(MessageKind.DISPUTE_QUERY, [(row.id, row.gateway_account_id) for row in asked])
    return len(asked)
