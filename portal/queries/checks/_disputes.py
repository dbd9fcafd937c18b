"""Proofs over disputes: what they hold of their payments, and what was paid out without it."""

from portal.queries.checks._proof import Check, compare

DISPUTE_CHECKS = (
    Check(
        "disputed_amounts",
        "What each payment counts as disputed is the sum of its disputes that are open or lost.",
        compare(
            ("payment_id",),
            "SELECT id AS payment_id, disputed_minor AS expected FROM payments"
            " WHERE disputed_minor <> 0",
            "SELECT d.payment_id, sum(d.amount_minor) AS found FROM disputes d"
            " JOIN payment_attempts t ON t.id = d.attempt_id AND t.state = 'succeeded'"
            " WHERE d.state <> 'won' GROUP BY d.payment_id",
        ),
    ),
    Check(
        "attempts_of_disputes",
        "Each dispute takes, in its currency, what an attempt of its own payment collected.",
        "SELECT d.id::text, d.state AS label, d.amount_minor AS expected,"
        " t.amount_minor AS found FROM disputes d LEFT JOIN payment_attempts t"
        " ON t.id = d.attempt_id AND t.payment_id = d.payment_id AND t.currency = d.currency"
        " AND t.gateway_account_id = d.gateway_account_id"
        " AND t.state IN ('succeeded', 'returned')"
        " WHERE t.id IS NULL OR t.amount_minor < d.amount_minor",
    ),
    Check(
        "paid_out_disputes",
        "Each matched chargeback in a payout is over the amount of our dispute.",
        "SELECT d.id::text, i.kind AS label, d.amount_minor AS expected,"
        " abs(i.gross_minor) AS found FROM payout_items i"
        " LEFT JOIN disputes d ON d.id = i.dispute_id"
        " WHERE i.match_state = 'matched' AND i.kind IN ('chargeback', 'chargeback_reversed')"
        " AND d.amount_minor IS DISTINCT FROM abs(i.gross_minor)",
    ),
)
