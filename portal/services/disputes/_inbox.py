"""Handling what gateways reported about disputes, once each and only along allowed moves."""

from datetime import date, datetime
from functools import partial
from typing import Any, Literal

from portal.db import current_organisation_id, transaction
from portal.domain.users import Actor
from portal.gateways.base import EventKind
from portal.services.disputes._open import DisputeReport, open_dispute
from portal.services.disputes._results import DisputeResult, apply_dispute_result
from portal.services.messages import Trouble, settle_arrived
from portal.services.payments import Verdict
from portal.sql import execute, fetch, fetch_one

DECISIONS: dict[str, Literal["win", "lose"]] = {
    EventKind.DISPUTE_WON.value: "win",
    EventKind.DISPUTE_LOST.value: "lose",
}
NOBODYS = Trouble("no attempt of ours has this reference", parks=True)
NOT_OPENED = Trouble("the dispute was not reported as opened yet")
NOT_COLLECTED = Trouble("the attempt has not collected anything, or it was returned")
NOT_NOW = Trouble("the dispute does not allow this now")


def handle_dispute_events(*, limit: int, actor: Actor, now: datetime) -> int:
    """Handle arrived messages about disputes of the organisation; return how many were settled.

    Shape: the oldest first; what comes before its time waits, and is parked after a few tries.
    """
    with transaction():
        rows = fetch(
            "SELECT m.gateway_account_id, m.event_ref, m.kind, m.content, m.tries,"
            " a.id AS attempt_id FROM inbox_messages m LEFT JOIN payment_attempts a"
            " ON a.gateway_account_id = m.gateway_account_id"
            " AND a.merchant_ref = m.content->>'merchant_ref'"
            " WHERE m.state = 'ready' AND m.next_at <= clock_timestamp() AND m.kind = ANY(%s)"
            " ORDER BY m.next_at LIMIT %s FOR UPDATE OF m SKIP LOCKED",
            ([EventKind.DISPUTE_OPENED.value, *DECISIONS], limit),
        )
        rows.sort(key=lambda row: row.content["occurred_at"])
        return settle_arrived(rows, partial(_handle, actor=actor, now=now), ask=_ask)


def _handle(row: Any, *, actor: Actor, now: datetime) -> Trouble | None:
    content = row.content
    if row.attempt_id is None:
        return NOBODYS
    if row.kind not in DECISIONS:
        report = DisputeReport(
            row.attempt_id,
            content["gateway_ref"],
            content["amount_minor"],
            content["currency"],
            content["fee_minor"],
            content["reason_code"],
            _day(content.get("opened_on")),
            _day(content.get("respond_by")),
        )
        verdict = open_dispute(report=report, actor=actor, now=now)
        return NOT_COLLECTED if verdict is Verdict.ILLEGAL else None
    dispute = fetch_one(
        "SELECT id FROM disputes WHERE organisation_id = %s AND gateway_account_id = %s"
        " AND gateway_ref = %s",
        (current_organisation_id(), row.gateway_account_id, content["gateway_ref"]),
    )
    if dispute is None:
        return NOT_OPENED
    result = DisputeResult(
        dispute.id,
        DECISIONS[row.kind],
        content["amount_minor"],
        content["currency"],
        _day(content.get("closed_on")),
    )
    verdict = apply_dispute_result(result=result, actor=actor, now=now)
    return NOT_NOW if verdict is Verdict.ILLEGAL else None


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _ask(row: Any) -> None:
    """Have the gateway asked about the attempt of a message that came before its time."""
    execute(
        "UPDATE payment_attempts SET next_query_at = clock_timestamp()"
        " WHERE organisation_id = %s AND id = %s AND state IN ('pending', 'unknown')",
        (current_organisation_id(), row.attempt_id),
    )
