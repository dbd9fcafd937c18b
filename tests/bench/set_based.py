"""The ceiling: the same rows written by INSERT … SELECT and UPDATE … FROM, a chunk per commit.

It knows nothing of rules beyond the rates, takes the same locks, and runs as the same role.
"""

from collections.abc import Sequence
from uuid import UUID

from portal.db import transaction
from portal.ids import new_id
from portal.sql import execute
from tests.bench.world import NOW, ON

ISSUE = (
    "CREATE TEMP TABLE IF NOT EXISTS ref_priced (invoice_id uuid PRIMARY KEY, entry_id uuid,"
    " payer_id uuid,"
    " net bigint, tax bigint, place bigint) ON COMMIT DELETE ROWS",
    "INSERT INTO invoice_taxes (organisation_id, invoice_id, tax_code, rate_bps, net_minor,"
    " tax_minor) SELECT %(o)s, l.invoice_id, l.tax_code, r.bps, sum(l.net_minor),"
    " round(sum(l.net_minor) * r.bps / 10000.0) FROM invoice_lines l"
    " JOIN (VALUES ('S', 1900), ('R', 700), ('E', 0)) r (code, bps) ON r.code = l.tax_code"
    " WHERE l.organisation_id = %(o)s AND l.invoice_id = ANY(%(ids)s)"
    " GROUP BY l.invoice_id, l.tax_code, r.bps",
    "INSERT INTO ref_priced SELECT i.id, uuidv7(), i.payer_id, sum(t.net_minor), sum(t.tax_minor),"
    " row_number() OVER (ORDER BY i.id) FROM (SELECT i.id, i.payer_id FROM invoices i"
    " WHERE i.organisation_id = %(o)s AND i.id = ANY(%(ids)s) AND i.state = 'draft'"
    " FOR UPDATE OF i) i JOIN invoice_taxes t ON t.invoice_id = i.id GROUP BY i.id, i.payer_id",
    "ANALYZE ref_priced",
    "INSERT INTO ledger_entries (organisation_id, id, kind, source_type, source_id, effective_on)"
    " SELECT %(o)s, entry_id, 'invoice_issued', 'invoice', invoice_id, %(on)s FROM ref_priced",
    "INSERT INTO postings (organisation_id, entry_id, line, debit_account_id, credit_account_id,"
    " currency, amount_minor, payer_id, invoice_id) SELECT %(o)s, p.entry_id,"
    " row_number() OVER (PARTITION BY p.entry_id), %(receivable)s, a.id, 'EUR', x.amount,"
    " p.payer_id, p.invoice_id FROM ref_priced p JOIN ("
    " SELECT l.invoice_id, 'revenue' AS kind, l.revenue_code AS code, sum(l.net_minor) AS amount"
    " FROM invoice_lines l WHERE l.organisation_id = %(o)s AND l.invoice_id = ANY(%(ids)s)"
    " GROUP BY l.invoice_id, l.revenue_code UNION ALL"
    " SELECT t.invoice_id, 'tax_payable', t.tax_code, t.tax_minor"
    " FROM invoice_taxes t WHERE t.organisation_id = %(o)s"
    " AND t.invoice_id = ANY(%(ids)s)) x ON x.invoice_id = p.invoice_id"
    " JOIN ledger_accounts a ON a.kind = x.kind AND a.code = x.code WHERE x.amount > 0",
    "INSERT INTO events (organisation_id, kind, subject_type, subject_id, actor_kind, actor_name,"
    " happened_at) SELECT %(o)s, 'invoice.issued', 'invoice', invoice_id, 'run', 'run', %(now)s"
    " FROM ref_priced",
    "INSERT INTO batch_items (organisation_id, run_id, item_id, chunk_number, outcome,"
    " amount_minor) SELECT %(o)s, %(run)s, invoice_id, 1, 'done', net + tax FROM ref_priced",
    "WITH counter AS (INSERT INTO number_series AS n (organisation_id, series, year, last,"
    " last_issued_on) VALUES (%(o)s, 'INV', 2026, %(count)s, %(on)s)"
    " ON CONFLICT (organisation_id, series, year) DO UPDATE SET last = n.last + excluded.last"
    " RETURNING last) UPDATE invoices i SET state = 'issued', series = 'INV', year = 2026,"
    " number = counter.last - %(count)s + p.place, issued_on = %(on)s, due_on = %(due)s,"
    " net_minor = p.net, tax_minor = p.tax, total_minor = p.net + p.tax, rule_set_version = 1,"
    " version = i.version + 1 FROM ref_priced p, counter"
    " WHERE i.organisation_id = %(o)s AND i.id = p.invoice_id",
)

START = (
    "CREATE TEMP TABLE IF NOT EXISTS ref_starts (invoice_id uuid, payment_id uuid, attempt_id uuid,"
    " payer_id uuid, mandate_id uuid, account_id uuid, amount bigint) ON COMMIT DELETE ROWS",
    "INSERT INTO ref_starts SELECT i.id, uuidv7(), uuidv7(), i.payer_id, m.id,"
    " m.gateway_account_id, i.open_minor FROM invoices i"
    " JOIN mandates m ON m.payer_id = i.payer_id AND m.currency = i.currency"
    " AND m.state = 'active' WHERE i.organisation_id = %(o)s AND i.id = ANY(%(ids)s)"
    " AND i.in_payment_minor = 0"
    " AND NOT EXISTS (SELECT FROM payments y WHERE y.invoice_id = i.id"
    " AND y.state IN ('scheduled', 'processing', 'requires_action')) FOR UPDATE OF i",
    "ANALYZE ref_starts",
    "INSERT INTO payments (organisation_id, id, payer_id, invoice_id, currency, amount_minor,"
    " reserved_minor, method, mandate_id, state, attempts_count, started_on) SELECT %(o)s,"
    " payment_id, payer_id, invoice_id, 'EUR', amount, amount, 'mandate', mandate_id,"
    " 'processing', 1, %(on)s FROM ref_starts",
    "INSERT INTO payment_attempts (organisation_id, id, payment_id, number, currency,"
    " amount_minor, state, gateway_account_id, merchant_ref, idempotency_key, business_on)"
    " SELECT %(o)s, attempt_id, payment_id, 1, 'EUR', amount, 'created', account_id,"
    " 'att_' || attempt_id, 'charge-' || attempt_id, %(on)s FROM ref_starts",
    "INSERT INTO messages (organisation_id, id, aggregate_id, sequence, kind, gateway_account_id,"
    " payload) SELECT %(o)s, uuidv7(), attempt_id, 1, 'gateway.charge', account_id, '{}'"
    " FROM ref_starts",
    "UPDATE invoices i SET in_payment_minor = i.in_payment_minor + s.amount,"
    " version = i.version + 1 FROM ref_starts s WHERE i.organisation_id = %(o)s"
    " AND i.id = s.invoice_id",
    "UPDATE mandates m SET last_used_on = %(on)s FROM ref_starts s WHERE m.organisation_id = %(o)s"
    " AND m.id = s.mandate_id AND m.last_used_on IS DISTINCT FROM %(on)s",
    "INSERT INTO events (organisation_id, kind, subject_type, subject_id, actor_kind, actor_name,"
    " happened_at) SELECT %(o)s, 'payment.started', 'payment', payment_id, 'run', 'run', %(now)s"
    " FROM ref_starts",
    "INSERT INTO batch_items (organisation_id, run_id, item_id, chunk_number, outcome,"
    " amount_minor) SELECT %(o)s, %(run)s, invoice_id, 1, 'done', amount FROM ref_starts",
)

BOOK = (
    "CREATE TEMP TABLE IF NOT EXISTS ref_booked (attempt_id uuid, payment_id uuid,"
    " invoice_id uuid, payer_id uuid, amount bigint, entry_id uuid) ON COMMIT DELETE ROWS",
    "INSERT INTO ref_booked SELECT a.id, y.id, i.id, y.payer_id, a.amount_minor, uuidv7()"
    " FROM payment_attempts a JOIN payments y ON y.id = a.payment_id"
    " JOIN invoices i ON i.id = y.invoice_id WHERE a.organisation_id = %(o)s"
    " AND a.id = ANY(%(ids)s) AND a.state IN ('sending', 'pending') FOR UPDATE OF i, y, a",
    "ANALYZE ref_booked",
    "UPDATE payment_attempts a SET state = 'succeeded', decided_at = %(now)s,"
    " gateway_ref = 'ch_' || a.id, version = a.version + 1 FROM ref_booked b"
    " WHERE a.organisation_id = %(o)s AND a.id = b.attempt_id",
    "INSERT INTO allocations (organisation_id, id, invoice_id, payment_id, currency, amount_minor,"
    " applied_on) SELECT %(o)s, uuidv7(), invoice_id, payment_id, 'EUR', amount, %(on)s"
    " FROM ref_booked",
    "UPDATE invoices i SET in_payment_minor = i.in_payment_minor - b.amount,"
    " paid_minor = i.paid_minor + b.amount, version = i.version + 1 FROM ref_booked b"
    " WHERE i.organisation_id = %(o)s AND i.id = b.invoice_id",
    "UPDATE payments y SET state = 'succeeded', reserved_minor = 0, version = y.version + 1"
    " FROM ref_booked b WHERE y.organisation_id = %(o)s AND y.id = b.payment_id",
    "INSERT INTO ledger_entries (organisation_id, id, kind, source_type, source_id, effective_on)"
    " SELECT %(o)s, entry_id, 'payment_succeeded', 'payment_attempt', attempt_id, %(on)s"
    " FROM ref_booked",
    "INSERT INTO postings (organisation_id, entry_id, line, debit_account_id, credit_account_id,"
    " currency, amount_minor, payer_id, invoice_id) SELECT %(o)s, entry_id, 1, %(clearing)s,"
    " %(receivable)s, 'EUR', amount, payer_id, invoice_id FROM ref_booked",
    "INSERT INTO events (organisation_id, kind, subject_type, subject_id, actor_kind, actor_name,"
    " happened_at) SELECT %(o)s, 'payment.succeeded', 'payment', payment_id, 'gateway', 'gateway',"
    " %(now)s FROM ref_booked",
)


class SetBased:
    """Works chunks of one organisation by SQL alone."""

    def __init__(self, organisation_id: UUID, *, clearing_code: str) -> None:
        """Open the accounts and a run for the outcomes."""
        self.organisation_id = organisation_id
        self.runs = {id(statements): new_id() for statements in (ISSUE, START, BOOK)}
        wanted = [
            ("receivable", ""),
            ("gateway_clearing", clearing_code),
            ("revenue", "water"),
            ("revenue", "waste"),
            ("tax_payable", "S"),
            ("tax_payable", "R"),
        ]
        ids = {kind_code: new_id() for kind_code in wanted}
        self.accounts = {kind: ids[kind, code] for kind, code in wanted[:2]}
        with transaction(organisation_id):
            for (kind, code), account_id in ids.items():
                execute(
                    "INSERT INTO ledger_accounts (organisation_id, id, currency, kind, code)"
                    " VALUES (%s, %s, 'EUR', %s, %s)",
                    (organisation_id, account_id, kind, code),
                )
            for number, run_id in enumerate(self.runs.values()):
                execute(
                    "INSERT INTO batch_runs (organisation_id, id, number, job, business_on,"
                    " parameters, parameters_hash, state, items_count, chunks_count, sum_minor,"
                    " population_hash, skip_limit, started_by) VALUES (%s, %s, %s, 'reference',"
                    " %s, '{}', %s, 'completed', 0, 0, 0, '', 0, 'bench')",
                    (organisation_id, run_id, 100_000 + number, ON, str(run_id)),
                )

    def work(self, statements: Sequence[str], ids: Sequence[UUID]) -> None:
        """Run the statements over one chunk and commit."""
        run_id = self.runs[id(statements)]
        scope = {
            "o": self.organisation_id,
            "ids": list(ids),
            "count": len(ids),
            "on": ON,
            "due": ON.replace(day=16),
            "now": NOW,
            "run": run_id,
            "receivable": self.accounts["receivable"],
            "clearing": self.accounts["gateway_clearing"],
        }
        with transaction(self.organisation_id):
            for statement in statements:
                execute(statement, scope)
