"""Proofs over payments, attempts, messages and what gateways paid out."""

from portal.queries.checks._proof import LOST_WHOLE, WITHDRAWN, Check, compare

_SETTLED = "('succeeded', 'partially_refunded', 'refunded')"
_OPEN = "('scheduled', 'processing', 'requires_action')"
_LIVE = "('created', 'sending', 'pending', 'unknown', 'succeeded')"

PAYMENT_CHECKS = (
    Check(
        "reserved_amounts",
        "What each invoice has in payment is what its open payments reserve.",
        compare(
            ("invoice_id",),
            "SELECT id AS invoice_id, in_payment_minor AS expected FROM invoices"
            " WHERE in_payment_minor <> 0",
            "SELECT invoice_id, sum(reserved_minor) AS found FROM payments"
            " WHERE reserved_minor <> 0 GROUP BY invoice_id",
        ),
    ),
    Check(
        "reserved_by_open_payments",
        "Only open payments reserve anything.",
        "SELECT id::text, state AS label, 0::bigint AS expected, reserved_minor AS found"
        f" FROM payments WHERE reserved_minor <> 0 AND state NOT IN {_OPEN}",
    ),
    Check(
        "allocated_payments",
        "Each succeeded payment is allocated whole or kept as credit, and no other payment is.",
        compare(
            ("payment_id",),
            "SELECT id AS payment_id, amount_minor AS expected FROM payments"
            f" WHERE state IN {_SETTLED}",
            "SELECT payment_id, sum(amount) AS found FROM ("
            "SELECT payment_id, CASE WHEN reverses_id IS NULL THEN amount_minor"
            " ELSE -amount_minor END AS amount FROM allocations WHERE payment_id IS NOT NULL"
            " UNION ALL SELECT payment_id, amount_minor FROM payer_credits"
            " WHERE payment_id IS NOT NULL"
            f" UNION ALL SELECT payment_id, -amount_minor FROM ({WITHDRAWN}) AS withdrawn"
            # A payment of which a dispute took everything and was lost has failed.
            f" UNION ALL SELECT payment_id, -amount_minor FROM ({LOST_WHOLE}) AS lost"
            ") AS used GROUP BY payment_id",
        ),
    ),
    Check(
        "states_of_payments",
        "Each payment's state is what its attempts say.",
        "SELECT id::text, state AS label, expected, found FROM ("
        "SELECT y.id, y.state, CASE WHEN y.method <> 'mandate' THEN 0"
        f" WHEN y.state IN {_SETTLED} THEN 10 WHEN y.state = 'processing' THEN 1"
        " WHEN y.state = 'requires_action' THEN LEAST(t.found, 1) ELSE 0 END::bigint AS expected,"
        " COALESCE(t.found, 0) AS found FROM payments y LEFT JOIN ("
        # A success counts ten, any other live attempt one.
        "SELECT payment_id, sum(CASE state WHEN 'succeeded' THEN 10 ELSE 1 END) AS found"
        f" FROM payment_attempts WHERE state IN {_LIVE} GROUP BY payment_id"
        ") AS t ON t.payment_id = y.id) AS lived WHERE COALESCE(expected, 0) <> found",
    ),
    Check(
        "counted_attempts",
        "The attempts of each payment are numbered from one to as many as it counts.",
        "SELECT y.id::text, y.state AS label, y.attempts_count::bigint AS expected,"
        " COALESCE(t.found, 0) AS found FROM payments y LEFT JOIN (SELECT payment_id,"
        " count(*) AS found, max(number) AS last FROM payment_attempts GROUP BY payment_id) AS t"
        " ON t.payment_id = y.id WHERE y.attempts_count <> COALESCE(t.found, 0)"
        " OR y.attempts_count <> COALESCE(t.last, 0)",
    ),
    Check(
        "attempts_of_payments",
        "Each attempt belongs to a payment, and a live one is over its amount.",
        "SELECT t.id::text, t.state AS label, y.amount_minor AS expected, t.amount_minor AS found"
        " FROM payment_attempts t LEFT JOIN payments y ON y.id = t.payment_id WHERE y.id IS NULL"
        f" OR t.state IN {_LIVE} AND t.amount_minor <> y.amount_minor",
    ),
    Check(
        "one_live_attempt",
        "No payment has two attempts that may charge the payer.",
        "SELECT payment_id::text AS id, 'live attempts' AS label, 1::bigint AS expected,"
        f" count(*) AS found FROM payment_attempts WHERE state IN {_LIVE}"
        " GROUP BY payment_id HAVING count(*) > 1",
    ),
    Check(
        "charged_within_total",
        "No invoice was charged, by all its payments less what went back, beyond its total.",
        "SELECT i.id::text, i.series || ' ' || i.number AS label, i.total_minor AS expected,"
        " sum(t.amount_minor - y.refunded_minor - y.disputed_minor)::bigint AS found"
        " FROM payment_attempts t JOIN payments y ON y.id = t.payment_id"
        " JOIN invoices i ON i.id = y.invoice_id"
        " WHERE t.state = 'succeeded' GROUP BY i.id, i.series, i.number, i.total_minor"
        " HAVING sum(t.amount_minor - y.refunded_minor - y.disputed_minor) > i.total_minor",
    ),
    Check(
        "gateway_references",
        "No reference of a gateway belongs to two attempts.",
        "SELECT gateway_ref AS id, 'attempts' AS label, 1::bigint AS expected, count(*) AS found"
        " FROM payment_attempts WHERE gateway_ref IS NOT NULL"
        " GROUP BY gateway_account_id, gateway_ref HAVING count(*) > 1",
    ),
    Check(
        "orders_of_attempts",
        "Each attempt has the one message that ordered it first; a resend comes behind it.",
        "SELECT t.id::text, t.state AS label, 1::bigint AS expected, count(m.id) AS found"
        " FROM payment_attempts t LEFT JOIN messages m ON m.aggregate_id = t.id"
        " AND m.kind = 'gateway.charge' AND m.sequence = 1 GROUP BY t.id, t.state"
        " HAVING count(m.id) <> 1",
    ),
    Check(
        "delivered_messages",
        "Each message that is done was delivered, and each delivery was a try of its message.",
        "SELECT m.id::text, m.kind AS label, 1::bigint AS expected, count(d.message_id) AS found"
        " FROM messages m LEFT JOIN message_deliveries d ON d.message_id = m.id"
        " WHERE m.state = 'done' GROUP BY m.id, m.kind HAVING count(d.message_id) = 0"
        " UNION ALL SELECT d.message_id::text, 'delivery', max(m.tries), max(d.try_number)"
        " FROM message_deliveries d LEFT JOIN messages m ON m.id = d.message_id"
        " GROUP BY d.message_id HAVING max(d.try_number) > COALESCE(max(m.tries), 0)",
    ),
    Check(
        "items_of_payouts",
        "The items of each payout add up to its net amount.",
        compare(
            ("payout_id",),
            "SELECT id AS payout_id, net_minor AS expected FROM payouts",
            "SELECT payout_id, sum(net_minor) AS found FROM payout_items GROUP BY payout_id",
        ),
    ),
    Check(
        "paid_out_attempts",
        "Each matched payment or return in a payout is over the amount of its attempt.",
        "SELECT t.id::text, i.kind AS label, t.amount_minor AS expected,"
        " abs(i.gross_minor) AS found FROM payout_items i"
        " LEFT JOIN payment_attempts t ON t.id = i.attempt_id"
        " WHERE i.match_state = 'matched' AND i.kind IN ('payment', 'return')"
        " AND t.amount_minor IS DISTINCT FROM abs(i.gross_minor)",
    ),
)
