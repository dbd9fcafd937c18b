"""What each kind of case looks for, as one SELECT over what there is.

Shape: columns subject_type, subject_id, subject_name, since_at, amount_minor, currency, details.
Limits in time stand in the parameters; %(currency)s is that of the organisation.
"""

from collections.abc import Mapping

from portal.domain.cases import CaseKind
from portal.queries.brakes import HOLDS

_SENT_AT = "COALESCE(a.first_sent_at, a.created_at)"
_ATTEMPT = (
    "SELECT 'attempt' AS subject_type, a.id AS subject_id, a.merchant_ref AS subject_name,"
    f" {_SENT_AT} AS since_at, a.amount_minor, a.currency, '{{}}'::jsonb AS details"
    " FROM payment_attempts a WHERE a.organisation_id = %(o)s"
)
_WEBHOOK = (
    "SELECT 'inbox_message', m.id, m.event_ref, m.received_at, a.amount_minor, g.currency,"
    " '{}'::jsonb FROM inbox_messages m"
    " JOIN gateway_accounts g"
    " ON (g.organisation_id, g.id) = (m.organisation_id, m.gateway_account_id)"
    " LEFT JOIN payment_attempts a ON a.organisation_id = m.organisation_id"
    " AND a.gateway_account_id = m.gateway_account_id"
    " AND a.merchant_ref = m.content->>'merchant_ref'"
    " WHERE m.organisation_id = %(o)s AND m.state IN ('ready', 'parked')"
    " AND m.received_at < %(webhook_at)s"
)
_REFUND = (
    "SELECT 'refund', r.id, r.merchant_ref, COALESCE(r.first_sent_at, r.created_at),"
    " r.amount_minor, r.currency, '{}'::jsonb FROM refunds r WHERE r.organisation_id = %(o)s"
    " AND r.state = 'submitted' AND COALESCE(r.first_sent_at, r.created_at) < %(refund_at)s"
)
_DISPUTE = (
    "SELECT 'dispute', d.id, d.gateway_ref, d.opened_on::timestamp AT TIME ZONE 'UTC',"
    " d.amount_minor, d.currency, jsonb_build_object('respond_by', d.respond_by)"
    " FROM disputes d WHERE d.organisation_id = %(o)s AND d.state = 'needs_response'"
    " AND d.respond_by <= %(dispute_on)s"
)
# A run that a brake holds back stands still because somebody wants it so.
_RUN = (
    "SELECT 'run', r.id, 'Run ' || r.number, p.at, NULL::bigint, %(currency)s,"
    " jsonb_build_object('job', r.job) FROM batch_runs r CROSS JOIN LATERAL ("
    "SELECT GREATEST(r.started_at, max(c.finished_at), max(c.started_at),"
    " max(c.lease_until) FILTER (WHERE c.lease_until <= %(now)s)) AS at,"
    " bool_or(c.state IN ('ready', 'leased') AND COALESCE(c.lease_until <= %(now)s, true))"
    " AS is_free FROM batch_chunks c"
    " WHERE (c.organisation_id, c.run_id) = (r.organisation_id, r.id)) p"
    " WHERE r.organisation_id = %(o)s AND r.state = 'started' AND p.is_free AND p.at < %(run_at)s"
    " AND NOT EXISTS (SELECT FROM brakes b WHERE b.organisation_id = r.organisation_id"
    f" AND {HOLDS} AND b.gateway_account_id IS NULL AND COALESCE(b.job, r.job) = r.job)"
)
# One case for each day of an account: a gateway that pays late would else open thousands.
_PAYOUT_LATE = (
    "SELECT 'collected_day', md5(g.id::text || a.business_on)::uuid,"
    " g.code || ', ' || a.business_on, a.business_on::timestamp AT TIME ZONE 'UTC',"
    " sum(a.amount_minor)::bigint, a.currency, jsonb_build_object('account', g.code,"
    " 'business_on', a.business_on, 'rows', count(*)) FROM payment_attempts a"
    " JOIN gateway_accounts g"
    " ON (g.organisation_id, g.id) = (a.organisation_id, a.gateway_account_id)"
    " WHERE a.organisation_id = %(o)s AND a.state = 'succeeded' AND a.business_on < %(payout_on)s"
    " AND NOT EXISTS (SELECT FROM payout_items i WHERE i.organisation_id = a.organisation_id"
    " AND i.attempt_id = a.id AND i.kind = 'payment')"
    " GROUP BY g.id, g.code, a.business_on, a.currency"
)
_PAYOUT_NOT_ON_BANK = (
    "SELECT 'payout', p.id, p.gateway_ref, p.business_on::timestamp AT TIME ZONE 'UTC',"
    " abs(p.net_minor), p.currency, jsonb_build_object('business_on', p.business_on)"
    " FROM settlements s JOIN payouts p"
    " ON (p.organisation_id, p.id) = (s.organisation_id, s.payout_id)"
    " WHERE s.organisation_id = %(o)s AND s.state IN ('open', 'matching', 'balanced')"
    " AND p.state IN ('in_transit', 'paid') AND p.net_minor <> 0 AND p.business_on < %(bank_on)s"
    " AND NOT EXISTS (SELECT FROM bank_lines b WHERE b.organisation_id = p.organisation_id"
    " AND b.reference = p.gateway_ref)"
)
# First in, first out: what left an account has used up its oldest days. `had` is what came in up to
# a day on the side of the balance, `out` all that ever left; the first day on which the one exceeds
# the other is that of the oldest open part. Postings are summed up once, by account and day.
_CLEARING_AGED = (
    "SELECT 'ledger_account', aged.id, aged.name, min(aged.on_day)::timestamp AT TIME ZONE 'UTC',"
    " max(aged.had - aged.out) FILTER (WHERE aged.on_day < %(clearing_on)s)::bigint,"
    " aged.currency, jsonb_build_object('balance_minor', max(aged.balance)) FROM ("
    "SELECT d.id, d.name, d.currency, d.on_day, abs(sum(d.moved) OVER whole) AS balance,"
    " sum(CASE WHEN d.is_debit THEN d.debit ELSE d.credit END) OVER upto AS had,"
    " sum(CASE WHEN d.is_debit THEN d.credit ELSE d.debit END) OVER whole AS out FROM ("
    "SELECT l.*, l.debit - l.credit AS moved,"
    " sum(l.debit - l.credit) OVER (PARTITION BY l.id) > 0 AS is_debit FROM ("
    "SELECT t.id, concat_ws(' ', t.label, NULLIF(t.code, '')) AS name, t.currency,"
    " e.effective_on AS on_day,"
    " COALESCE(sum(p.amount_minor) FILTER (WHERE p.debit_account_id = t.id), 0) AS debit,"
    " COALESCE(sum(p.amount_minor) FILTER (WHERE p.credit_account_id = t.id), 0) AS credit"
    " FROM (SELECT a.*, CASE a.kind WHEN 'gateway_clearing' THEN 'Gateway clearing'"
    " WHEN 'payouts_in_transit' THEN 'Payouts in transit' ELSE 'Suspense' END AS label"
    " FROM ledger_accounts a WHERE a.organisation_id = %(o)s"
    " AND a.kind IN ('gateway_clearing', 'payouts_in_transit', 'suspense')) t"
    " JOIN postings p ON p.organisation_id = t.organisation_id"
    " AND t.id IN (p.debit_account_id, p.credit_account_id)"
    " JOIN ledger_entries e ON (e.organisation_id, e.id) = (p.organisation_id, p.entry_id)"
    " GROUP BY t.id, t.label, t.code, t.currency, e.effective_on) l) d"
    " WINDOW whole AS (PARTITION BY d.id), upto AS (PARTITION BY d.id ORDER BY d.on_day)) aged"
    " WHERE aged.balance <> 0 AND aged.had > aged.out GROUP BY aged.id, aged.name, aged.currency"
    " HAVING min(aged.on_day) < %(clearing_on)s"
)

CAUSES: Mapping[CaseKind, str] = {
    CaseKind.ACKNOWLEDGEMENT_LATE: (
        f"{_ATTEMPT} AND a.state = 'pending' AND {_SENT_AT} < %(result_at)s"
    ),
    CaseKind.UNKNOWN_OUTCOME_LATE: (
        f"{_ATTEMPT} AND a.state = 'unknown' AND {_SENT_AT} < %(unknown_at)s"
    ),
    CaseKind.REFUND_LATE: _REFUND,
    CaseKind.DISPUTE_DUE: _DISPUTE,
    CaseKind.WEBHOOK_STUCK: _WEBHOOK,
    CaseKind.RUN_STUCK: _RUN,
    CaseKind.PAYOUT_LATE: _PAYOUT_LATE,
    CaseKind.PAYOUT_NOT_ON_BANK: _PAYOUT_NOT_ON_BANK,
    CaseKind.CLEARING_AGED: _CLEARING_AGED,
}
