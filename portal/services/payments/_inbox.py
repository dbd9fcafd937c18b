"""Handling what gateways reported by themselves, once each and only along allowed moves."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import structlog

from portal.db import current_organisation_id, is_transient, savepoint, transaction
from portal.domain.users import Actor
from portal.gateways.base import EventKind
from portal.services.payments._results import (
    AttemptResult,
    QueryPolicy,
    ResultKind,
    Verdict,
    apply_results,
)
from portal.sql import execute, fetch

log = structlog.stdlib.get_logger(__name__)

RESULT_KINDS = {
    EventKind.CHARGE_SUCCEEDED.value: ResultKind.SUCCEED,
    EventKind.CHARGE_DECLINED.value: ResultKind.DECLINE,
    EventKind.CHARGE_RETURNED.value: ResultKind.RETURN,
}
# These are about refunds and disputes, which come after payments.
OTHERS_KINDS = tuple(kind.value for kind in EventKind if kind.startswith(("refund.", "dispute.")))
RETRY_SECONDS = 2.0
TRIES_MAX = 8


def handle_inbox(*, limit: int, policy: QueryPolicy, actor: Actor, now: datetime) -> int:
    """Handle arrived messages of the organisation and return how many were settled.

    Shape: the oldest of one attempt first, at most one per attempt in one transaction; a message
    that breaks waits
    and is parked after a few tries, without holding up the others.
    """
    with transaction():
        rows = fetch(
            "SELECT m.gateway_account_id, m.event_ref, m.kind, m.content, m.tries,"
            " a.id AS attempt_id"
            " FROM inbox_messages m LEFT JOIN payment_attempts a"
            " ON a.gateway_account_id = m.gateway_account_id"
            " AND a.merchant_ref = m.content->>'merchant_ref'"
            " WHERE m.state = 'ready' AND m.next_at <= clock_timestamp()"
            " AND m.kind <> ALL(%s) ORDER BY m.next_at LIMIT %s FOR UPDATE OF m SKIP LOCKED",
            (list(OTHERS_KINDS), limit),
        )
        rows.sort(key=lambda row: row.content["occurred_at"])
        chosen: dict[UUID, Any] = {}
        done: list[Any] = []
        parked: list[tuple[Any, str]] = []
        for row in rows:
            if row.kind not in RESULT_KINDS:
                done.append(row)
            elif row.attempt_id is None:
                parked.append((row, "no attempt of ours has this reference"))
            elif row.attempt_id not in chosen:
                chosen[row.attempt_id] = row
        settled, waiting = _apply(list(chosen.values()), policy=policy, actor=actor, now=now)
        _mark(done + settled, "done")
        for row, error in [*waiting, *parked]:
            _mark_trouble(row, error, parks=row.attempt_id is None)
    return len(done) + len(settled) + len(parked)


def _apply(
    rows: Sequence[Any], *, policy: QueryPolicy, actor: Actor, now: datetime
) -> tuple[list[Any], list[tuple[Any, str]]]:
    """Apply events in halves down to the one that breaks; that one waits."""
    if not rows:
        return [], []
    try:
        with savepoint():
            verdicts = apply_results(
                results=[_result(row) for row in rows], policy=policy, actor=actor, now=now
            )
    except Exception as error:
        if is_transient(error):
            raise
        if len(rows) == 1:
            log.warning("inbox.broke", event_ref=rows[0].event_ref, error=repr(error))
            return [], [(rows[0], repr(error)[:500])]
        middle = len(rows) // 2
        first = _apply(rows[:middle], policy=policy, actor=actor, now=now)
        second = _apply(rows[middle:], policy=policy, actor=actor, now=now)
        return first[0] + second[0], first[1] + second[1]
    settled, waiting = [], []
    for row in rows:
        if verdicts.get(row.attempt_id) is Verdict.ILLEGAL:
            waiting.append((row, "the attempt does not allow this now"))
        else:
            settled.append(row)
    return settled, waiting


def _result(row: Any) -> AttemptResult:
    content = row.content
    returned_on = content.get("returned_on")
    return AttemptResult(
        row.attempt_id,
        RESULT_KINDS[row.kind],
        content["gateway_ref"],
        content["amount_minor"],
        content["currency"],
        content["reason_code"],
        None,
        content["fee_minor"],
        date.fromisoformat(returned_on) if returned_on else None,
    )


def _mark(rows: Sequence[Any], state: str) -> None:
    if rows:
        execute(
            "UPDATE inbox_messages m SET state = %s, tries = tries + 1"
            " FROM unnest(%s::uuid[], %s::text[]) AS s (account, ref)"
            " WHERE m.organisation_id = %s AND m.gateway_account_id = s.account"
            " AND m.event_ref = s.ref",
            (
                state,
                [row.gateway_account_id for row in rows],
                [row.event_ref for row in rows],
                current_organisation_id(),
            ),
        )


def _mark_trouble(row: Any, error: str, *, parks: bool) -> None:
    """Let a message wait, or park it and have the gateway asked."""
    parks = parks or row.tries + 1 >= TRIES_MAX
    execute(
        "UPDATE inbox_messages SET state = CASE WHEN %(parks)s THEN 'parked' ELSE 'ready' END,"
        " tries = tries + 1, last_error = %(error)s,"
        " next_at = clock_timestamp() + make_interval(secs => %(wait)s * (tries + 1))"
        " WHERE gateway_account_id = %(account)s AND event_ref = %(ref)s",
        {
            "parks": parks,
            "error": error,
            "wait": RETRY_SECONDS,
            "account": row.gateway_account_id,
            "ref": row.event_ref,
        },
    )
    if row.attempt_id is not None:
        execute(
            "UPDATE payment_attempts SET next_query_at = clock_timestamp()"
            " WHERE id = %s AND state IN ('pending', 'unknown')",
            (row.attempt_id,),
        )
