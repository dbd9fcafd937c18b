"""Proofs over documents: their sums, numbers and allocations."""

from portal.queries.checks._proof import WITHDRAWN, Check, compare

_SIGNED = "CASE WHEN a.reverses_id IS NULL THEN a.amount_minor ELSE -a.amount_minor END"

DOCUMENT_CHECKS = (
    Check(
        "lines_of_documents",
        "The net amount of each document is the sum of its lines.",
        compare(
            ("invoice_id",),
            "SELECT id AS invoice_id, net_minor AS expected FROM invoices",
            "SELECT invoice_id, sum(net_minor) AS found FROM invoice_lines GROUP BY invoice_id",
        ),
    ),
    Check(
        "taxes_of_documents",
        "The total of each issued document is the sum of its taxes and of what they are due on.",
        compare(
            ("invoice_id",),
            "SELECT id AS invoice_id, total_minor AS expected FROM invoices"
            " WHERE number IS NOT NULL",
            "SELECT invoice_id, sum(net_minor + tax_minor) AS found FROM invoice_taxes"
            " GROUP BY invoice_id",
        ),
    ),
    Check(
        "charges_of_reminders",
        "The charge of each reminder comes to its fee and its interest.",
        "SELECT r.id::text, COALESCE(i.kind, 'no document') AS label,"
        " r.fee_minor + r.interest_minor AS expected, COALESCE(i.net_minor, 0) AS found"
        " FROM reminders r LEFT JOIN invoices i ON i.id = r.charge_invoice_id"
        " WHERE r.fee_minor + r.interest_minor <> COALESCE(i.net_minor, 0)"
        " OR i.kind <> 'charge' OR i.payer_id <> r.payer_id",
    ),
    Check(
        "numbers_without_gaps",
        "The documents of each series and year are numbered from one without a gap.",
        "SELECT series AS id, year::text AS label, expected, found FROM ("
        "SELECT series, year, max(number) AS expected, count(DISTINCT number) AS found,"
        " min(number) AS first, count(*) AS documents FROM invoices"
        " WHERE number IS NOT NULL GROUP BY series, year) AS numbered"
        " WHERE found <> expected OR first <> 1 OR documents <> found",
    ),
    Check(
        "numbers_given_out",
        "The last number of each series and year is the one that was given out last.",
        "SELECT series AS id, year::text AS label, n.last AS expected, i.found FROM number_series n"
        " FULL JOIN (SELECT series, year, max(number) AS found FROM invoices"
        " WHERE number IS NOT NULL GROUP BY series, year) AS i USING (series, year)"
        " WHERE COALESCE(n.last, 0) <> COALESCE(i.found, 0)",
    ),
    Check(
        "numbers_in_order_of_days",
        "No document is dated before the one with the number before it.",
        "SELECT id::text, series || ' ' || year || ' ' || number AS label,"
        " (earlier_on - DATE '1970-01-01')::bigint AS expected,"
        " (issued_on - DATE '1970-01-01')::bigint AS found FROM ("
        "SELECT id, series, year, number, issued_on,"
        " lag(issued_on) OVER (PARTITION BY series, year ORDER BY number) AS earlier_on"
        " FROM invoices WHERE number IS NOT NULL) AS dated WHERE issued_on < earlier_on",
    ),
    Check(
        "external_references",
        "No two living documents carry the same reference of the client.",
        "SELECT external_ref AS id, 'documents' AS label, 1::bigint AS expected,"
        " count(*) AS found FROM invoices WHERE state <> 'discarded' AND external_ref IS NOT NULL"
        " GROUP BY external_ref HAVING count(*) > 1",
    ),
    Check(
        "paid_amounts",
        "What each invoice counts as paid is what payments, deposits and credits were allocated.",
        compare(
            ("invoice_id",),
            "SELECT id AS invoice_id, paid_minor AS expected FROM invoices WHERE paid_minor <> 0",
            f"SELECT a.invoice_id, sum({_SIGNED}) AS found FROM allocations a"
            " WHERE a.credit_note_id IS NULL GROUP BY a.invoice_id",
        ),
    ),
    Check(
        "credited_amounts",
        "What each invoice counts as credited is what credit notes were allocated to it.",
        compare(
            ("invoice_id",),
            "SELECT id AS invoice_id, credited_minor AS expected FROM invoices"
            " WHERE credited_minor <> 0",
            f"SELECT a.invoice_id, sum({_SIGNED}) AS found FROM allocations a"
            " WHERE a.credit_note_id IS NOT NULL GROUP BY a.invoice_id",
        ),
    ),
    Check(
        "applied_sources",
        "What each credit note, payer credit and deposit counts as applied is what was allocated.",
        compare(
            ("source_id", "kind"),
            "SELECT id AS source_id, 'credit note' AS kind, applied_minor AS expected FROM invoices"
            " WHERE applied_minor <> 0"
            # The credits of one payment count together: a return takes them all back.
            " UNION ALL SELECT COALESCE(payment_id, id), 'payer credit', sum(applied_minor)"
            " FROM payer_credits GROUP BY COALESCE(payment_id, id)"
            " UNION ALL SELECT id, 'deposit', applied_minor FROM deposits",
            "SELECT source_id, kind, sum(amount) AS found FROM ("
            "SELECT COALESCE(a.credit_note_id, c.payment_id, c.id, a.deposit_id) AS source_id,"
            " CASE WHEN a.credit_note_id IS NOT NULL THEN 'credit note'"
            " WHEN a.payer_credit_id IS NOT NULL THEN 'payer credit' ELSE 'deposit' END AS kind,"
            f" {_SIGNED} AS amount FROM allocations a"
            " LEFT JOIN payer_credits c ON c.id = a.payer_credit_id WHERE a.payment_id IS NULL"
            " UNION ALL SELECT payment_id, 'payer credit', amount_minor"
            f" FROM ({WITHDRAWN}) AS withdrawn"
            # What was given back was credit of its payment first, and is used up.
            " UNION ALL SELECT payment_id, 'payer credit', amount_minor FROM refunds"
            " WHERE state = 'succeeded'"
            # So is what a dispute took, until it is won.
            " UNION ALL SELECT payment_id, 'payer credit', amount_minor FROM disputes"
            " WHERE state <> 'won'"
            ") AS applied GROUP BY source_id, kind",
        ),
    ),
    Check(
        "reversed_allocations",
        "Each reversal takes back the whole of one allocation of the same source and invoice.",
        "SELECT a.id::text, 'reversal' AS label, o.amount_minor AS expected,"
        " a.amount_minor AS found FROM allocations a LEFT JOIN allocations o"
        " ON o.id = a.reverses_id AND o.reverses_id IS NULL WHERE a.reverses_id IS NOT NULL"
        " AND (o.invoice_id, o.amount_minor, o.currency, COALESCE(o.payment_id, o.deposit_id,"
        " o.payer_credit_id, o.credit_note_id)) IS DISTINCT FROM (a.invoice_id, a.amount_minor,"
        " a.currency, COALESCE(a.payment_id, a.deposit_id, a.payer_credit_id, a.credit_note_id))",
    ),
)
