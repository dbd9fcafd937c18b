"""From leased messages to calls of the gateway: which are sent, asked for, resent or let go."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.messages import MessageKind
from portal.domain.payments import ASKABLE_ATTEMPT_STATES, AttemptState
from portal.gateways.base import ChargeOrder
from portal.ids import public_id
from portal.services.messages import Claimed, write_followers, write_questions
from portal.sql import execute, fetch


class Sending(NamedTuple):
    """What a worker does with the charge messages it leased.

    Shape: `lost` were being sent when their worker died, so their outcome is unknown.
    """

    orders: list[tuple[Claimed, ChargeOrder]]
    lost: list[Claimed]
    needless: list[UUID]


def begin_sending(*, messages: Sequence[Claimed], resend_seconds: float, now: datetime) -> Sending:
    """Mark the attempts of charge messages as being sent, before any call is made.

    Shape: in the caller's transaction, which must be committed before the calls.
    Units: resend_seconds, how long after the first send the same key may be sent again.
    """
    by_attempt = {message.aggregate_id: message for message in messages}
    rows = fetch(
        "SELECT a.id, a.state, a.merchant_ref, a.idempotency_key, a.amount_minor, a.currency,"
        " a.business_on, a.payment_id, y.invoice_id, i.total_minor, m.token"
        " FROM payment_attempts a"
        " JOIN payments y ON y.id = a.payment_id JOIN invoices i ON i.id = y.invoice_id"
        " JOIN mandates m ON m.id = y.mandate_id"
        " WHERE a.organisation_id = %s AND a.id = ANY(%s) ORDER BY a.id FOR UPDATE OF a",
        (current_organisation_id(), list(by_attempt)),
    )
    sending = Sending([], [], [])
    for row in rows:
        message = by_attempt[row.id]
        state = AttemptState(row.state)
        is_resend = state is AttemptState.UNKNOWN and message.sequence > 1
        if state is AttemptState.CREATED or is_resend:
            sending.orders.append(
                (
                    message,
                    ChargeOrder(
                        merchant_ref=row.merchant_ref,
                        idempotency_key=row.idempotency_key,
                        amount_minor=row.amount_minor,
                        currency=row.currency,
                        mandate_token=row.token,
                        payment_ref=public_id("payment", row.payment_id),
                        invoice_ref=public_id("invoice", row.invoice_id),
                        business_date=row.business_on,
                        invoice_total_minor=row.total_minor,
                    ),
                )
            )
        elif state is AttemptState.SENDING:
            sending.lost.append(message)
        else:
            sending.needless.append(message.id)
    execute(
        "UPDATE payment_attempts SET state = 'sending', next_query_at = NULL,"
        " first_sent_at = COALESCE(first_sent_at, %(now)s),"
        " resend_until = COALESCE(resend_until, %(until)s), version = version + 1"
        " WHERE organisation_id = %(o)s AND id = ANY(%(ids)s)",
        {
            "now": now,
            "until": now + timedelta(seconds=resend_seconds),
            "o": current_organisation_id(),
            "ids": [message.aggregate_id for message, _ in sending.orders],
        },
    )
    return sending


def list_askable(messages: Sequence[Claimed]) -> tuple[list[tuple[Claimed, str]], list[UUID]]:
    """Split query messages into those still worth asking, with the reference, and the needless."""
    rows = fetch(
        "SELECT id, state, merchant_ref FROM payment_attempts WHERE id = ANY(%s)",
        ([message.aggregate_id for message in messages],),
    )
    askable = {row.id: row.merchant_ref for row in rows if row.state in ASKABLE_ATTEMPT_STATES}
    return (
        [
            (message, askable[message.aggregate_id])
            for message in messages
            if message.aggregate_id in askable
        ],
        [message.id for message in messages if message.aggregate_id not in askable],
    )


def request_queries(*, limit: int, lease_seconds: float) -> int:
    """Write a query message for each attempt whose outcome is to be asked for now.

    Shape: returns how many; the next time to ask is moved on, so that a second sweep finds none.
    """
    asked = fetch(
        "WITH due AS (SELECT id FROM payment_attempts WHERE state IN ('pending', 'unknown')"
        " AND next_query_at <= clock_timestamp() ORDER BY next_query_at LIMIT %(limit)s"
        " FOR UPDATE SKIP LOCKED)"
        " UPDATE payment_attempts a SET queries_count = LEAST(queries_count + 1, 30000),"
        " next_query_at = clock_timestamp() + make_interval(secs => %(lease)s)"
        " FROM due WHERE a.organisation_id = %(o)s AND a.id = due.id"
        " RETURNING a.id, a.gateway_account_id",
        {"limit": limit, "lease": lease_seconds, "o": current_organisation_id()},
    )
    write_questions(MessageKind.QUERY, [(row.id, row.gateway_account_id) for row in asked])
    return len(asked)


def request_resends(*, attempt_ids: Sequence[UUID], quiet_seconds: float, now: datetime) -> int:
    """Send again, with the same key, what the gateway said twice it never saw.

    Shape: only after the quiet time between the two answers and while the gateway still honours
    the key; beyond that the payment goes to the worklist of unknown outcomes.
    """
    scope = {
        "o": current_organisation_id(),
        "ids": list(attempt_ids),
        "now": now,
        "quiet": now - timedelta(seconds=quiet_seconds),
    }
    sure = (
        " a.organisation_id = %(o)s AND a.id = ANY(%(ids)s) AND a.state = 'unknown'"
        " AND a.not_found_count >= 2 AND a.not_found_at <= %(quiet)s"
    )
    rows = fetch(
        "UPDATE payment_attempts a SET next_query_at = NULL, not_found_count = 0,"
        f" not_found_at = NULL WHERE {sure} AND a.resend_until > %(now)s"
        " RETURNING a.id, a.gateway_account_id",
        scope,
    )
    execute(
        "UPDATE payments y SET worklist = 'outcome_unknown', version = y.version + 1"
        " FROM payment_attempts a WHERE y.id = a.payment_id AND y.worklist IS NULL"
        f" AND {sure} AND a.resend_until <= %(now)s",
        scope,
    )
    write_followers(MessageKind.CHARGE, [(row.id, row.gateway_account_id) for row in rows])
    return len(rows)
