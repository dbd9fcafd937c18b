"""What happened to a document and its payments, and what is planned next, as one line of time."""

from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from portal.queries.invoices._money import reason_text
from portal.sql import fetch_plain

# The order of the columns is that of HistoryRow.
_PLANNED = """
SELECT NULL::timestamptz AS happened_at, y.next_attempt_on AS planned_on,
  NULL::timestamptz AS planned_at, 'payment.planned' AS kind, 'payment' AS subject_type,
  y.id AS subject_id, NULL AS actor_kind, NULL AS actor_name, y.amount_minor, y.currency,
  y.attempts_count + 1 AS attempt_number, y.reason_code, NULL AS reason_text, NULL AS reason,
  NULL::jsonb AS details, 0 AS event_id
FROM paid y WHERE y.state = 'scheduled' AND y.next_attempt_on IS NOT NULL
UNION ALL
SELECT NULL, NULL, t.next_query_at, 'attempt.query_planned', 'attempt', t.id, NULL, NULL,
  t.amount_minor, t.currency, t.number, NULL, NULL, NULL, NULL, 0
FROM tried t WHERE t.state IN ('pending', 'unknown') AND t.next_query_at IS NOT NULL
UNION ALL
SELECT NULL, NULL, m.next_at, 'attempt.send_planned', 'attempt', t.id, NULL, NULL, t.amount_minor,
  t.currency, t.number, NULL, NULL, NULL,
  jsonb_build_object('tries', m.tries, 'last_error', m.last_error), 0
FROM tried t JOIN messages m ON m.aggregate_id = t.id
WHERE m.kind = 'gateway.charge' AND m.state = 'ready' AND t.state IN ('created', 'unknown')
"""
# An event says which payment it is about; its attempt is the last that was started before it. What
# was applied is known of the allocations alone, which come in the order of their events; where the
# two do not stand in pairs, no amount is said rather than a wrong one.
_HISTORY = f"""
WITH document AS (SELECT id, currency, total_minor FROM invoices WHERE id = %(invoice)s),
paid AS MATERIALIZED (SELECT * FROM payments WHERE invoice_id = %(invoice)s),
tried AS MATERIALIZED (
  SELECT * FROM payment_attempts WHERE payment_id = ANY(ARRAY(SELECT id FROM paid))
),
events_of AS (
  SELECT e.*, count(*) FILTER (WHERE kind = 'payment.started')
      OVER (PARTITION BY subject_id ORDER BY id) AS started,
    row_number() OVER (PARTITION BY kind ORDER BY id) AS place,
    count(*) OVER (PARTITION BY kind) AS places
  FROM events e WHERE subject_id = ANY(ARRAY(SELECT id FROM document
    UNION ALL SELECT id FROM paid UNION ALL SELECT id FROM tried))
),
applied AS (
  SELECT kind, amount_minor, row_number() OVER (PARTITION BY kind ORDER BY first_id) AS place,
    count(*) OVER (PARTITION BY kind) AS places
  FROM (SELECT CASE WHEN a.credit_note_id = %(invoice)s THEN 'invoice.credit_applied'
      WHEN a.reverses_id IS NOT NULL THEN 'invoice.reopened'
      WHEN a.credit_note_id IS NOT NULL THEN 'invoice.credited'
      WHEN a.payer_credit_id IS NOT NULL THEN 'invoice.paid_from_credit'
      WHEN a.deposit_id IS NOT NULL THEN 'invoice.paid_from_deposit' END AS kind,
      min(a.id::text) AS first_id, sum(a.amount_minor)::bigint AS amount_minor
    FROM allocations a WHERE a.invoice_id = %(invoice)s OR a.credit_note_id = %(invoice)s
    GROUP BY 1, a.created_at) AS together
),
happened AS (
  SELECT e.happened_at, NULL::date AS planned_on, NULL::timestamptz AS planned_at, e.kind,
    e.subject_type, e.subject_id, e.actor_kind, e.actor_name,
    COALESCE((e.details ->> 'amount_minor')::bigint, t.amount_minor, y.amount_minor,
      s.amount_minor, CASE e.kind WHEN 'invoice.issued' THEN d.total_minor END) AS amount_minor,
    d.currency, t.number AS attempt_number,
    CASE WHEN is_refusal THEN t.reason_code END AS reason_code,
    CASE WHEN is_refusal THEN t.reason END AS reason_text, e.reason, e.details, e.id AS event_id
  FROM document d CROSS JOIN events_of e
  CROSS JOIN LATERAL (
    SELECT split_part(e.kind, '.', 2) IN ('declined', 'errored', 'returned') AS is_refusal
  ) AS said
  LEFT JOIN tried t ON t.id = e.subject_id
    OR (t.payment_id, t.number) = (e.subject_id, e.started)
  LEFT JOIN paid y ON y.id = e.subject_id
  LEFT JOIN applied s ON (s.kind, s.place, s.places) = (e.kind, e.place, e.places)
)
SELECT happened_at, planned_on, planned_at, kind, subject_type, subject_id, actor_kind, actor_name,
  amount_minor, currency, attempt_number, reason_code, reason_text, reason, details
FROM (({_PLANNED}) UNION ALL SELECT * FROM happened) AS line_of_time
ORDER BY happened_at DESC NULLS FIRST, COALESCE(planned_at, planned_on) DESC, event_id DESC
LIMIT %(rows_max)s
"""


class HistoryRow(NamedTuple):
    """One thing that happened to a document or its payments, or is planned.

    Shape: `kind` is that of the event (`invoice.voided`); for what is planned it is
    `payment.planned` (with `planned_on`), `attempt.send_planned` or `attempt.query_planned` (with
    `planned_at`), and nobody is the actor. `reason` is what a person gave, `reason_code` and
    `reason_text` say why an attempt failed.
    """

    happened_at: datetime | None
    planned_on: date | None
    planned_at: datetime | None
    kind: str
    subject_type: str
    subject_id: UUID
    actor_kind: str | None
    actor_name: str | None
    amount_minor: int | None
    currency: str
    attempt_number: int | None
    reason_code: str | None
    reason_text: str | None
    reason: str | None
    details: dict[str, Any] | None


def list_history(invoice_id: UUID, rows_max: int) -> list[HistoryRow]:
    """List what is planned for a document and what happened to it, the newest first."""
    rows = fetch_plain(_HISTORY, {"invoice": invoice_id, "rows_max": rows_max})
    found = map(HistoryRow._make, rows)
    return [
        each._replace(reason_text=reason_text(each.reason_code, each.reason_text)) for each in found
    ]
