"""From leased messages to calls of the gateway: which refunds are sent, asked for or sent again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.messages import MessageKind
from portal.domain.refunds import REFUND_MOVES, RefundState
from portal.gateways.base import RefundOrder
from portal.services.messages import Claimed, write_followers, write_questions
from portal.sql import execute, fetch


class RefundSending(NamedTuple):
    """What a worker does with the refund messages it leased.

    Shape: `lost` were being sent when their worker died, so their outcome is unknown.
    """

    orders: list[tuple[Claimed, RefundOrder]]
    lost: list[Claimed]
    needless: list[UUID]


def begin_refunds(
    *,
    messages: Sequence[Claimed],
    resend_seconds: float,
    ask_seconds: float,
    now: datetime,
) -> RefundSending:
    """Mark refunds as being with the gateway, before any call is made.

    Shape: in the caller's transaction, which must be committed before the calls.
    Units: resend_seconds, how long after the first send the same key may be sent again;
    ask_seconds, after which the gateway is asked even when no worker comes back with an answer.
    """
    by_refund = {message.aggregate_id: message for message in messages}
    sending = RefundSending([], [], [])
    if not by_refund:
        return sending
    rows = fetch(
        "SELECT r.id, r.state, r.merchant_ref, r.idempotency_key, r.amount_minor, r.currency,"
        " r.business_on, a.merchant_ref AS charge_ref FROM refunds r"
        " JOIN payment_attempts a ON a.id = r.attempt_id"
        " WHERE r.organisation_id = %s AND r.id = ANY(%s) ORDER BY r.id FOR UPDATE OF r",
        (current_organisation_id(), list(by_refund)),
    )
    for row in rows:
        message = by_refund[row.id]
        state = RefundState(row.state)
        # A further message is written only for what the gateway surely has not seen.
        is_resend = (
            state is RefundState.SUBMITTED and message.sequence > 1 and message.tries_counted == 1
        )
        if REFUND_MOVES.may(state, "submit") or is_resend:
            order = RefundOrder(
                merchant_ref=row.merchant_ref,
                idempotency_key=row.idempotency_key,
                charge_ref=row.charge_ref,
                amount_minor=row.amount_minor,
                currency=row.currency,
                business_date=row.business_on,
            )
            sending.orders.append((message, order))
        elif state is RefundState.SUBMITTED:
            sending.lost.append(message)
        else:
            sending.needless.append(message.id)
    execute(
        "UPDATE refunds SET state = %(submitted)s, next_query_at = %(ask)s,"
        " first_sent_at = COALESCE(first_sent_at, %(now)s),"
        " resend_until = COALESCE(resend_until, %(until)s), version = version + 1"
        " WHERE organisation_id = %(o)s AND id = ANY(%(ids)s)",
        {
            "submitted": REFUND_MOVES.next(RefundState.APPROVED, "submit").value,
            "ask": now + timedelta(seconds=ask_seconds),
            "now": now,
            "until": now + timedelta(seconds=resend_seconds),
            "o": current_organisation_id(),
            "ids": [message.aggregate_id for message, _ in sending.orders],
        },
    )
    return sending


def list_askable_refunds(
    messages: Sequence[Claimed],
) -> tuple[list[tuple[Claimed, str]], list[UUID]]:
    """Split questions about refunds into those worth asking, with the reference, and the others."""
    if not messages:
        return [], []
    rows = fetch(
        "SELECT id, merchant_ref FROM refunds WHERE id = ANY(%s) AND state = %s",
        ([message.aggregate_id for message in messages], RefundState.SUBMITTED.value),
    )
    askable = {row.id: row.merchant_ref for row in rows}
    return (
        [(each, askable[each.aggregate_id]) for each in messages if each.aggregate_id in askable],
        [each.id for each in messages if each.aggregate_id not in askable],
    )


def request_refund_queries(*, limit: int, lease_seconds: float) -> int:
    """Write a question for each refund whose outcome is to be asked for now.

    Shape: returns how many; the next time to ask is moved on, so that a second sweep finds none.
    """
    asked = fetch(
        "WITH due AS (SELECT id FROM refunds WHERE state = 'submitted'"
        " AND next_query_at <= clock_timestamp() ORDER BY next_query_at LIMIT %(limit)s"
        " FOR UPDATE SKIP LOCKED)"
        " UPDATE refunds r SET queries_count = LEAST(queries_count + 1, 30000),"
        " next_query_at = clock_timestamp() + make_interval(secs => %(lease)s)"
        " FROM due WHERE r.organisation_id = %(o)s AND r.id = due.id"
        " RETURNING r.id, r.gateway_account_id",
        {"limit": limit, "lease": lease_seconds, "o": current_organisation_id()},
    )
    write_questions(MessageKind.REFUND_QUERY, [(row.id, row.gateway_account_id) for row in asked])
    return len(asked)


def request_refund_resends(
    *, refund_ids: Sequence[UUID], quiet_seconds: float, now: datetime
) -> int:
    """Send again, with the same key, what the gateway said twice it never saw.

    Shape: only what it has never accepted, after the quiet time between the two answers and while
    it still honours the key; beyond that the refund waits for a person.
    """
    if not refund_ids:
        return 0
    scope = {
        "o": current_organisation_id(),
        "ids": list(refund_ids),
        "now": now,
        "quiet": now - timedelta(seconds=quiet_seconds),
    }
    sure = (
        " organisation_id = %(o)s AND id = ANY(%(ids)s) AND state = 'submitted'"
        " AND gateway_ref IS NULL AND not_found_count >= 2 AND not_found_at <= %(quiet)s"
    )
    rows = fetch(
        "UPDATE refunds SET next_query_at = NULL, not_found_count = 0, not_found_at = NULL"
        f" WHERE {sure} AND resend_until > %(now)s RETURNING id, gateway_account_id",
        scope,
    )
    execute(
        "UPDATE refunds SET worklist = 'outcome_unknown', version = version + 1"
        f" WHERE worklist IS NULL AND {sure} AND resend_until <= %(now)s",
        scope,
    )
    write_followers(MessageKind.REFUND, [(row.id, row.gateway_account_id) for row in rows])
    return len(rows)
