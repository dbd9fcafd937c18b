"""What a return or dispute does to refunds of the same payment: the bank was first: they end."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.db import current_organisation_id
from portal.domain.refunds import (
    CHARGE_RETURNED,
    REFUND_MOVES,
    UNSENT_REFUND_STATES,
    RefundState,
)
from portal.domain.users import Actor
from portal.services.events import record_events
from portal.sql import execute, fetch


def end_refunds(
    payment_ids: Sequence[UUID],
    *,
    reason_code: str = CHARGE_RETURNED,
    keeps_sent: bool = False,
    actor: Actor,
    now: datetime,
) -> None:
    """Let refunds fail that were not sent yet, and reserve nothing more for the others.

    Shape: what is with the gateway ends by its answer; there is nothing left that it could be of,
    unless `keeps_sent` says that it may still be of the rest.
    """
    rows = fetch(
        "UPDATE refunds SET state = %(failed)s, reason_code = %(code)s, decided_at = %(now)s,"
        " version = version + 1 WHERE organisation_id = %(o)s AND payment_id = ANY(%(payments)s)"
        " AND state = ANY(%(unsent)s) RETURNING id",
        {
            "failed": REFUND_MOVES.next(RefundState.APPROVED, "fail").value,
            "code": reason_code,
            "now": now,
            "o": current_organisation_id(),
            "payments": list(payment_ids),
            "unsent": [state.value for state in UNSENT_REFUND_STATES],
        },
    )
    execute(
        "UPDATE payments y SET refunding_minor = CASE WHEN %(keeps)s THEN (SELECT"
        " COALESCE(sum(r.amount_minor), 0) FROM refunds r WHERE r.payment_id = y.id"
        " AND r.state = %(submitted)s) ELSE 0 END"
        " WHERE y.organisation_id = %(o)s AND y.id = ANY(%(payments)s) AND y.refunding_minor > 0",
        {
            "keeps": keeps_sent,
            "submitted": RefundState.SUBMITTED.value,
            "o": current_organisation_id(),
            "payments": list(payment_ids),
        },
    )
    kind = REFUND_MOVES.recorded("fail")
    record_events(((kind, row.id) for row in rows), actor=actor, now=now)
