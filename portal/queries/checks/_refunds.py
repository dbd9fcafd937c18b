"""Proofs over refunds: what they reserve, what they gave back, and how they were ordered."""

from portal.queries.checks._proof import Check, compare

REFUND_CHECKS = (
    Check(
        "refunded_amounts",
        "What each payment counts as given back is the sum of its refunds that succeeded.",
        compare(
            ("payment_id",),
            "SELECT id AS payment_id, refunded_minor AS expected FROM payments"
            " WHERE refunded_minor <> 0",
            "SELECT payment_id, sum(amount_minor) AS found FROM refunds"
            " WHERE state = 'succeeded' GROUP BY payment_id",
        ),
    ),
    Check(
        "refunding_amounts",
        "What each payment has on its way back is the sum of its refunds that are under way.",
        compare(
            ("payment_id",),
            "SELECT id AS payment_id, refunding_minor AS expected FROM payments"
            " WHERE refunding_minor <> 0",
            # A return leaves nothing to reserve for a refund that is with the gateway already.
            "SELECT r.payment_id, sum(r.amount_minor) AS found FROM refunds r"
            " JOIN payment_attempts t ON t.id = r.attempt_id AND t.state = 'succeeded'"
            " WHERE r.state IN ('requested', 'approved', 'submitted') GROUP BY r.payment_id",
        ),
    ),
    Check(
        "states_of_refunded_payments",
        "A payment counts as refunded when all of it was given back, and as partly so before.",
        "SELECT id::text, state AS label, amount_minor AS expected, refunded_minor AS found"
        " FROM payments WHERE CASE state WHEN 'refunded' THEN refunded_minor <> amount_minor"
        " WHEN 'partially_refunded' THEN refunded_minor = 0 OR refunded_minor = amount_minor"
        " WHEN 'succeeded' THEN refunded_minor <> 0 ELSE false END",
    ),
    Check(
        "attempts_of_refunds",
        "Each refund gives back, in its currency, what an attempt of its own payment collected.",
        "SELECT r.id::text, r.state AS label, r.amount_minor AS expected,"
        " t.amount_minor AS found FROM refunds r LEFT JOIN payment_attempts t"
        " ON t.id = r.attempt_id AND t.payment_id = r.payment_id AND t.currency = r.currency"
        " AND t.gateway_account_id = r.gateway_account_id"
        " AND t.state IN ('succeeded', 'returned')"
        " WHERE t.id IS NULL OR t.amount_minor < r.amount_minor",
    ),
    Check(
        "orders_of_refunds",
        "Each refund that may leave has the one message that ordered it first, and no other has.",
        "SELECT r.id::text, r.state AS label, expected, found FROM ("
        "SELECT r.id, r.state, (r.state IN ('approved', 'submitted', 'succeeded', 'returned')"
        " OR r.first_sent_at IS NOT NULL)::int::bigint AS expected, (SELECT count(*)"
        " FROM messages m WHERE m.aggregate_id = r.id AND m.kind = 'refund.create'"
        " AND m.sequence = 1) AS found FROM refunds r) AS r"
        # One that a return overtook was ordered, and never sent.
        " WHERE expected <> found AND NOT (r.state = 'failed' AND found = 1)",
    ),
    Check(
        "paid_out_refunds",
        "Each matched refund in a payout is over the amount of our refund.",
        "SELECT r.id::text, i.kind AS label, r.amount_minor AS expected,"
        " -i.gross_minor AS found FROM payout_items i LEFT JOIN refunds r ON r.id = i.refund_id"
        " WHERE i.match_state = 'matched' AND i.kind = 'refund'"
        " AND r.amount_minor IS DISTINCT FROM -i.gross_minor",
    ),
)
