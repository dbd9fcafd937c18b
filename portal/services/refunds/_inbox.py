"""Handling what gateways reported about refunds, once each and only along allowed moves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from portal.db import current_organisation_id, is_transient, savepoint, transaction
from portal.domain.users import Actor
from portal.gateways.base import EventKind
from portal.services.payments import QueryPolicy, ResultKind, Verdict
from portal.services.refunds._results import RefundResult, apply_refund_results
from portal.sql import execute, fetch

log = structlog.stdlib.get_logger(__name__)

RESULT_KINDS = {
    EventKind.REFUND_SUCCEEDED.value: ResultKind.SUCCEED,
    EventKind.REFUND_FAILED.value: ResultKind.DECLINE,
}
RETRY_SECONDS = 2.0
TRIES_MAX = 8
NOBODYS = "no refund of ours has this reference"
NOT_NOW = "the refund does not allow this now"


def handle_refund_events(*, limit: int, policy: QueryPolicy, actor: Actor, now: datetime) -> int:
    """Handle arrived messages about refunds of the organisation and return how many were settled.

    Shape: at most one per refund in one transaction; a message that breaks waits and is parked
    after a few tries, without holding up the others.
    """
    with transaction():
        rows = fetch(
            "SELECT m.gateway_account_id, m.event_ref, m.kind, m.content, m.tries,"
            " r.id AS refund_id FROM inbox_messages m LEFT JOIN refunds r"
            " ON r.gateway_account_id = m.gateway_account_id"
            " AND r.merchant_ref = m.content->>'merchant_ref'"
            " WHERE m.state = 'ready' AND m.next_at <= clock_timestamp() AND m.kind = ANY(%s)"
            " ORDER BY m.next_at LIMIT %s FOR UPDATE OF m SKIP LOCKED",
            (list(RESULT_KINDS), limit),
        )
        chosen: dict[UUID, Any] = {}
        settled = 0
        for row in sorted(rows, key=lambda row: row.content["occurred_at"]):
            if row.refund_id is None:
                _mark_trouble(row, NOBODYS, parks=True)
                settled += 1
            else:
                chosen.setdefault(row.refund_id, row)
        return settled + _settle(list(chosen.values()), policy, actor=actor, now=now)


def _settle(rows: Sequence[Any], policy: QueryPolicy, *, actor: Actor, now: datetime) -> int:
    settled = 0
    for row in rows:
        error = _apply(row, policy, actor=actor, now=now)
        if error is None:
            _mark_done(row)
            settled += 1
        else:
            _mark_trouble(row, error, parks=False)
    return settled


def _apply(row: Any, policy: QueryPolicy, *, actor: Actor, now: datetime) -> str | None:
    """Apply one event and return what is wrong with it; None when it is settled."""
    result = RefundResult(
        row.refund_id,
        RESULT_KINDS[row.kind],
        row.content["gateway_ref"],
        row.content["amount_minor"],
        row.content["currency"],
        row.content["reason_code"],
    )
    try:
        with savepoint():
            verdicts = apply_refund_results(results=[result], policy=policy, actor=actor, now=now)
    except Exception as error:
        if is_transient(error):
            raise
        log.warning("inbox.broke", event_ref=row.event_ref, error=repr(error))
        return repr(error)[:500]
    return NOT_NOW if verdicts.get(row.refund_id) is Verdict.ILLEGAL else None


def _mark_done(row: Any) -> None:
    execute(
        "UPDATE inbox_messages SET state = 'done', tries = tries + 1"
        " WHERE organisation_id = %s AND gateway_account_id = %s AND event_ref = %s",
        (current_organisation_id(), row.gateway_account_id, row.event_ref),
    )


def _mark_trouble(row: Any, error: str, *, parks: bool) -> None:
    """Let a message wait, or park it, and have the gateway asked."""
    execute(
        "UPDATE inbox_messages SET state = CASE WHEN %(parks)s THEN 'parked' ELSE 'ready' END,"
        " tries = tries + 1, last_error = %(error)s,"
        " next_at = clock_timestamp() + make_interval(secs => %(wait)s * (tries + 1))"
        " WHERE organisation_id = %(o)s AND gateway_account_id = %(account)s"
        " AND event_ref = %(ref)s",
        {
            "parks": parks or row.tries + 1 >= TRIES_MAX,
            "error": error,
            "wait": RETRY_SECONDS,
            "o": current_organisation_id(),
            "account": row.gateway_account_id,
            "ref": row.event_ref,
        },
    )
    if row.refund_id is not None:
        execute(
            "UPDATE refunds SET next_query_at = clock_timestamp()"
            " WHERE organisation_id = %s AND id = %s AND state = 'submitted'",
            (current_organisation_id(), row.refund_id),
        )
