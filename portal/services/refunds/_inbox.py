"""Handling what gateways reported about refunds, once each and only along allowed moves."""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from portal.db import current_organisation_id, transaction
from portal.domain.users import Actor
from portal.gateways.base import EventKind
from portal.services.messages import Trouble, settle_arrived
from portal.services.payments import QueryPolicy, ResultKind, Verdict
from portal.services.refunds._results import RefundResult, apply_refund_results
from portal.sql import execute, fetch

RESULT_KINDS = {
    EventKind.REFUND_SUCCEEDED.value: ResultKind.SUCCEED,
    EventKind.REFUND_FAILED.value: ResultKind.DECLINE,
}
NOBODYS = Trouble("no refund of ours has this reference", parks=True)
NOT_NOW = Trouble("the refund does not allow this now")


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
        chosen: dict[UUID | str, Any] = {}
        for row in sorted(rows, key=lambda row: row.content["occurred_at"]):
            chosen.setdefault(row.refund_id or row.event_ref, row)
        handle = partial(_handle, policy=policy, actor=actor, now=now)
        return settle_arrived(list(chosen.values()), handle, ask=_ask)


def _handle(row: Any, *, policy: QueryPolicy, actor: Actor, now: datetime) -> Trouble | None:
    if row.refund_id is None:
        return NOBODYS
    result = RefundResult(
        row.refund_id,
        RESULT_KINDS[row.kind],
        row.content["gateway_ref"],
        row.content["amount_minor"],
        row.content["currency"],
        row.content["reason_code"],
    )
    verdicts = apply_refund_results(results=[result], policy=policy, actor=actor, now=now)
    return NOT_NOW if verdicts.get(row.refund_id) is Verdict.ILLEGAL else None


def _ask(row: Any) -> None:
    """Have the gateway asked about the refund of a message that is in trouble."""
    execute(
        "UPDATE refunds SET next_query_at = clock_timestamp()"
        " WHERE organisation_id = %s AND id = %s AND state = 'submitted'",
        (current_organisation_id(), row.refund_id),
    )
