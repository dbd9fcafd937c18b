"""What a stretch of billing came to: documents, payments, amounts and the steps that led there."""

from datetime import date
from typing import Any, NamedTuple

from portal.sql import fetch, fetch_dicts, fetch_one, fetch_plain


class StepRow(NamedTuple):
    """One run of a job, or the deliveries of one business date, in figures."""

    job: str
    business_date: date
    read: int
    done: int
    filtered: int
    skipped: int
    failed: int
    seconds: float


def count_documents() -> dict[str, int]:
    """Count documents read, issued and refused, of the organisation in scope."""
    row = fetch_one(
        "SELECT count(*) AS read, count(*) FILTER (WHERE state IN ('issued', 'voided')) AS issued,"
        " count(*) FILTER (WHERE state IN ('draft', 'discarded')) AS refused FROM invoices"
    )
    assert row is not None
    return {"read": row.read, "issued": row.issued, "refused": row.refused}


def count_payments() -> dict[str, Any]:
    """Count payments that succeeded and failed, and those in each worklist."""
    row = fetch_one(
        "SELECT count(*) FILTER (WHERE state = 'succeeded') AS succeeded,"
        " count(*) FILTER (WHERE state = 'failed') AS failed FROM payments"
    )
    assert row is not None
    worklists = fetch(
        "SELECT worklist, count(*) AS n FROM payments WHERE worklist IS NOT NULL"
        " GROUP BY worklist ORDER BY worklist"
    )
    return {
        "succeeded": row.succeeded,
        "failed": row.failed,
        "worklist": {each.worklist: each.n for each in worklists},
    }


def count_refunds() -> dict[str, int]:
    """Count the refunds by state, those states that there are."""
    rows = fetch("SELECT state, count(*)::int AS n FROM refunds GROUP BY state ORDER BY state")
    return {each.state: each.n for each in rows}


def count_disputes() -> dict[str, int]:
    """Count the disputes by state, those states that there are."""
    rows = fetch("SELECT state, count(*)::int AS n FROM disputes GROUP BY state ORDER BY state")
    return {each.state: each.n for each in rows}


def sum_amounts() -> list[dict[str, Any]]:
    """Sum what was issued, credited, collected, returned and is open, per currency."""
    return fetch_dicts(
        "SELECT i.currency,"
        " COALESCE(sum(total_minor) FILTER (WHERE kind <> 'credit_note'), 0)::bigint AS issued,"
        " COALESCE(sum(total_minor) FILTER (WHERE kind = 'credit_note'), 0)::bigint AS credited,"
        " COALESCE(max(a.collected), 0)::bigint AS collected,"
        " COALESCE(max(a.returned), 0)::bigint AS returned,"
        " COALESCE(sum(open_minor), 0)::bigint AS open FROM invoices i LEFT JOIN ("
        " SELECT currency, sum(amount_minor) AS collected,"
        " sum(amount_minor) FILTER (WHERE state = 'returned') AS returned FROM payment_attempts"
        " WHERE state IN ('succeeded', 'returned') GROUP BY currency) a USING (currency)"
        " WHERE state = 'issued' GROUP BY i.currency ORDER BY i.currency"
    )


def list_steps() -> list[StepRow]:
    """List the runs in their order, and after them the deliveries of each business date."""
    rows = fetch_plain(
        "SELECT r.job, r.business_on, r.items_count, COALESCE(sum(c.done_count), 0) AS done,"
        " COALESCE(sum(c.filtered_count), 0) AS filtered,"
        " COALESCE(sum(c.skipped_count), 0) AS skipped,"
        " COALESCE(sum(c.failed_count), 0) AS failed,"
        " EXTRACT(EPOCH FROM COALESCE(max(c.finished_at), r.started_at) - r.started_at)::float8"
        " FROM batch_runs r LEFT JOIN batch_chunks c ON c.run_id = r.id"
        " GROUP BY r.organisation_id, r.id ORDER BY r.number"
    )
    deliveries = fetch_plain(
        "SELECT 'message_delivery', a.business_on, count(*),"
        " count(*) FILTER (WHERE m.state = 'done'), count(*) FILTER (WHERE m.state ="
        " 'will_not_send'), count(*) FILTER (WHERE m.state = 'ready'),"
        " count(*) FILTER (WHERE m.state = 'parked'),"
        " EXTRACT(EPOCH FROM max(m.done_at) - min(m.created_at))::float8"
        " FROM messages m JOIN payment_attempts a ON a.id = m.aggregate_id"
        " GROUP BY a.business_on ORDER BY a.business_on"
    )
    return [StepRow._make(row) for row in [*rows, *deliveries]]


def count_unsettled() -> int:
    """Count what is still under way: messages, arrived events, live attempts nobody looks at."""
    row = fetch_one(
        "SELECT (SELECT count(*) FROM messages WHERE state = 'ready')"
        " + (SELECT count(*) FROM inbox_messages WHERE state = 'ready')"
        " + (SELECT count(*) FROM payments WHERE state = 'processing' AND worklist IS NULL)"
        " + (SELECT count(*) FROM refunds WHERE state IN ('approved', 'submitted')"
        " AND worklist IS NULL) AS n"
    )
    assert row is not None
    return int(row.n)
