"""Proofs that the accounts hold what the documents say, and that each move has its entry."""

from portal.domain.ledger import LATENESS_ACCOUNTS, AccountKind, EntryKind
from portal.queries.checks._proof import LOST_WHOLE, Check, balance, match, moved

_ISSUED = "state IN ('issued', 'voided')"
_PAID_OUT = (
    "SELECT o.id, o.gateway_account_id, o.currency, o.net_minor, s.id AS settlement_id, s.state,"
    " s.tolerated_minor,"
    " (SELECT COALESCE(sum(fee_minor), 0) FROM payout_items i WHERE i.payout_id = o.id"
    " AND i.kind IN ('payment', 'fee')) AS fees_minor"
    " FROM settlements s JOIN payouts o ON o.id = s.payout_id"
    " WHERE s.state IN ('balanced', 'closed', 'closed_with_exceptions')"
)

_LATENESS = ", ".join(f"'{code}'" for code in LATENESS_ACCOUNTS)

_PER_PAYER = (
    Check(
        "receivable_per_invoice",
        "What is receivable for each invoice is what is open of it.",
        balance(
            AccountKind.RECEIVABLE,
            ("invoice_id", "currency"),
            "SELECT id AS invoice_id, currency, open_minor AS expected FROM invoices"
            " WHERE open_minor <> 0",
        ),
    ),
    Check(
        "receivable_per_payer",
        "What is receivable from each payer is what is open of their invoices.",
        balance(
            AccountKind.RECEIVABLE,
            ("payer_id", "currency"),
            "SELECT payer_id, currency, sum(open_minor) AS expected FROM invoices"
            " WHERE open_minor <> 0 GROUP BY payer_id, currency",
        ),
    ),
    Check(
        "payer_credits",
        "What is owed to each payer is what is left of credit notes and of money that came in.",
        balance(
            AccountKind.PAYER_CREDITS,
            ("payer_id", "currency"),
            "SELECT payer_id, currency, sum(left_minor) AS expected FROM ("
            "SELECT payer_id, currency, credit_left_minor AS left_minor FROM invoices"
            " WHERE credit_left_minor <> 0"
            " UNION ALL SELECT payer_id, currency, left_minor FROM payer_credits"
            ") AS credit GROUP BY payer_id, currency",
            is_credit=True,
        ),
    ),
    Check(
        "deposits_held",
        "The deposits held for each payer are what is left of them.",
        balance(
            AccountKind.DEPOSITS_HELD,
            ("payer_id", "currency"),
            "SELECT payer_id, currency, sum(left_minor) AS expected FROM deposits"
            " GROUP BY payer_id, currency",
            is_credit=True,
        ),
    ),
)

_PER_ACCOUNT = (
    Check(
        "gateway_clearing",
        "Each gateway holds what succeeded, less what went back, its fees and what it paid out.",
        balance(
            AccountKind.GATEWAY_CLEARING,
            ("code", "currency"),
            "SELECT g.code, s.currency, sum(s.amount) AS expected FROM ("
            "SELECT gateway_account_id, currency, CASE WHEN state = 'succeeded'"
            " THEN amount_minor ELSE -return_fee_minor END AS amount FROM payment_attempts"
            " WHERE state IN ('succeeded', 'returned')"
            " UNION ALL SELECT gateway_account_id, currency, -amount_minor FROM refunds"
            " WHERE state = 'succeeded'"
            " UNION ALL SELECT d.gateway_account_id, d.currency, -d.fee_minor - CASE"
            " WHEN d.state <> 'won' AND t.state = 'succeeded' THEN d.amount_minor ELSE 0 END"
            " FROM disputes d JOIN payment_attempts t ON t.id = d.attempt_id"
            " UNION ALL SELECT gateway_account_id, currency, -net_minor - fees_minor"
            f" FROM ({_PAID_OUT}) AS paid_out"
            ") AS s JOIN gateway_accounts g ON g.id = s.gateway_account_id"
            " GROUP BY g.code, s.currency",
        ),
    ),
    Check(
        "revenue",
        "The revenue of each code is the sum of the issued lines with it.",
        balance(
            AccountKind.REVENUE,
            ("code", "currency"),
            "SELECT l.revenue_code AS code, i.currency, sum(CASE WHEN i.kind = 'credit_note'"
            " THEN -l.net_minor ELSE l.net_minor END) AS expected"
            f" FROM invoices i JOIN invoice_lines l ON l.invoice_id = i.id WHERE i.{_ISSUED}"
            f" AND l.revenue_code NOT IN ({_LATENESS})"
            " GROUP BY l.revenue_code, i.currency",
            is_credit=True,
        ),
    ),
    *(
        Check(
            f"income_of_{code}",
            f"What lateness brought as {code.replace('_', ' ')} is the sum of the issued lines"
            " with that code.",
            balance(
                kind,
                ("currency",),
                "SELECT i.currency, sum(CASE WHEN i.kind = 'credit_note' THEN -l.net_minor"
                " ELSE l.net_minor END) AS expected"
                f" FROM invoices i JOIN invoice_lines l ON l.invoice_id = i.id WHERE i.{_ISSUED}"
                f" AND l.revenue_code = '{code}' GROUP BY i.currency",
                is_credit=True,
            ),
        )
        for code, kind in LATENESS_ACCOUNTS.items()
    ),
    Check(
        "tax_payable",
        "The tax payable of each code is the sum of the issued taxes with it.",
        balance(
            AccountKind.TAX_PAYABLE,
            ("code", "currency"),
            "SELECT t.tax_code AS code, i.currency, sum(CASE WHEN i.kind = 'credit_note'"
            " THEN -t.tax_minor ELSE t.tax_minor END) AS expected"
            f" FROM invoices i JOIN invoice_taxes t ON t.invoice_id = i.id WHERE i.{_ISSUED}"
            " GROUP BY t.tax_code, i.currency",
            is_credit=True,
        ),
    ),
    Check(
        "bank",
        "The bank holds the matched lines of its statements and the payments recorded by hand.",
        balance(
            AccountKind.BANK,
            ("currency",),
            "SELECT currency, sum(amount) AS expected FROM ("
            "SELECT currency, amount_minor AS amount FROM bank_lines WHERE match_state = 'matched'"
            " UNION ALL SELECT currency, amount_minor FROM payments WHERE method <> 'mandate'"
            " AND state IN ('succeeded', 'partially_refunded', 'refunded')"
            ") AS arrived GROUP BY currency",
        ),
    ),
    Check(
        "payouts_in_transit",
        "What is in transit is the net of the payouts that wait for their bank line.",
        balance(
            AccountKind.PAYOUTS_IN_TRANSIT,
            ("currency",),
            f"SELECT currency, sum(net_minor) AS expected FROM ({_PAID_OUT}) AS paid_out"
            " WHERE state = 'balanced' GROUP BY currency",
        ),
    ),
    Check(
        "fees",
        "The fees are those of the payments in matched payouts.",
        balance(
            AccountKind.FEES,
            ("currency",),
            f"SELECT currency, sum(fees_minor) AS expected FROM ({_PAID_OUT}) AS paid_out"
            " GROUP BY currency",
        ),
    ),
    Check(
        "rounding",
        "What was rounded is what the bank showed beyond closed payouts, as agreed.",
        balance(
            AccountKind.ROUNDING,
            ("currency",),
            f"SELECT currency, sum(tolerated_minor) AS expected FROM ({_PAID_OUT}) AS paid_out"
            " WHERE tolerated_minor <> 0 GROUP BY currency",
            is_credit=True,
        ),
    ),
    Check(
        "return_fees",
        "The fees of returns are those of the returned attempts and of the disputes.",
        balance(
            AccountKind.RETURN_FEES,
            ("currency",),
            "SELECT currency, sum(fee_minor) AS expected FROM (SELECT currency,"
            " return_fee_minor AS fee_minor FROM payment_attempts WHERE state = 'returned'"
            " UNION ALL SELECT currency, fee_minor FROM disputes) AS kept GROUP BY currency",
        ),
    ),
    Check(
        "quiet_accounts",
        "Nothing lies on an account that no kind of entry posts to.",
        "SELECT kind AS id, currency AS label, 0::bigint AS expected, found::bigint FROM ("
        + " UNION ALL ".join(
            f"SELECT '{kind}' AS kind, m.* FROM ({moved(kind, ('currency',))}) AS m"
            for kind in (
                AccountKind.SUSPENSE,
                AccountKind.WRITE_OFFS,
            )
        )
        + ") AS quiet WHERE found <> 0",
    ),
    Check(
        "whole_postings",
        "Each posting belongs to an entry and to two accounts of its currency.",
        "SELECT p.entry_id::text AS id, 'posting ' || p.line AS label, 3::bigint AS expected,"
        " num_nonnulls(e.id, d.id, c.id)::bigint AS found FROM postings p"
        " LEFT JOIN ledger_entries e ON e.id = p.entry_id"
        " LEFT JOIN ledger_accounts d ON d.id = p.debit_account_id AND d.currency = p.currency"
        " LEFT JOIN ledger_accounts c ON c.id = p.credit_account_id AND c.currency = p.currency"
        " WHERE num_nonnulls(e.id, d.id, c.id) < 3",
    ),
)

# The account by which an entry of each kind is measured, and the side it should grow on.
_MEASURED_BY = {
    EntryKind.INVOICE_ISSUED: (AccountKind.RECEIVABLE, ""),
    EntryKind.CREDIT_NOTE_ISSUED: (AccountKind.PAYER_CREDITS, "-"),
    EntryKind.PAYMENT_SUCCEEDED: (AccountKind.GATEWAY_CLEARING, ""),
    EntryKind.PAYMENT_RETURNED: (AccountKind.GATEWAY_CLEARING, "-"),
    EntryKind.PAYMENT_RECORDED: (AccountKind.BANK, ""),
    EntryKind.REFUND_SUCCEEDED: (AccountKind.GATEWAY_CLEARING, "-"),
    EntryKind.DISPUTE_OPENED: (AccountKind.GATEWAY_CLEARING, "-"),
    EntryKind.DISPUTE_WON: (AccountKind.GATEWAY_CLEARING, ""),
    EntryKind.CREDIT_APPLIED: (AccountKind.PAYER_CREDITS, ""),
    EntryKind.DEPOSIT_RECEIVED: (AccountKind.DEPOSITS_HELD, "-"),
    EntryKind.DEPOSIT_APPLIED: (AccountKind.DEPOSITS_HELD, ""),
    EntryKind.PAYOUT_MATCHED: (AccountKind.GATEWAY_CLEARING, "-"),
    EntryKind.PAYOUT_BANKED: (AccountKind.BANK, ""),
}


def _entries(name: str, sentence: str, kinds: tuple[EntryKind, ...], expected: str) -> Check:
    """Make the proof that each move has exactly one entry, over its amount, and each entry a move.

    Shape: `expected` yields source_id, kind and expected.
    """
    measures = " ".join(
        f"WHEN '{kind}' THEN {_MEASURED_BY[kind][1]}(CASE '{_MEASURED_BY[kind][0]}'"
        " WHEN d.kind THEN p.amount_minor WHEN c.kind THEN -p.amount_minor ELSE 0 END)"
        for kind in kinds
    )
    among = ", ".join(f"'{kind}'" for kind in kinds)
    found = (
        f"SELECT e.source_id, e.kind, COALESCE(sum(CASE e.kind {measures} END), 0)::bigint AS found"
        " FROM ledger_entries e LEFT JOIN postings p ON p.entry_id = e.id"
        " LEFT JOIN ledger_accounts d ON d.id = p.debit_account_id"
        " LEFT JOIN ledger_accounts c ON c.id = p.credit_account_id"
        f" WHERE e.kind IN ({among}) GROUP BY e.source_id, e.kind"
    )
    return Check(name, sentence, match(("source_id", "kind"), expected, found))


_ENTRIES = (
    _entries(
        "entries_of_documents",
        "Each issued document has exactly one entry, over its total, and each such entry one.",
        (EntryKind.INVOICE_ISSUED, EntryKind.CREDIT_NOTE_ISSUED),
        "SELECT id AS source_id, CASE kind WHEN 'credit_note' THEN 'credit_note_issued'"
        " ELSE 'invoice_issued' END AS kind, total_minor AS expected FROM invoices"
        f" WHERE {_ISSUED}",
    ),
    _entries(
        "entries_of_attempts",
        "Each succeeded or returned attempt has its one entry, over its amount, and the reverse.",
        (EntryKind.PAYMENT_SUCCEEDED, EntryKind.PAYMENT_RETURNED),
        "SELECT id AS source_id, 'payment_succeeded' AS kind, amount_minor AS expected"
        " FROM payment_attempts WHERE state IN ('succeeded', 'returned')"
        " UNION ALL SELECT id, 'payment_returned', amount_minor + return_fee_minor"
        " FROM payment_attempts WHERE state = 'returned'"
        f" AND id NOT IN (SELECT attempt_id FROM ({LOST_WHOLE}) AS lost)",
    ),
    _entries(
        "entries_of_disputes",
        "Each dispute has one entry over what it took with its fee, and one when it was won.",
        (EntryKind.DISPUTE_OPENED, EntryKind.DISPUTE_WON),
        "SELECT id AS source_id, 'dispute_opened' AS kind, amount_minor + fee_minor AS expected"
        " FROM disputes UNION ALL SELECT id, 'dispute_won', amount_minor FROM disputes"
        " WHERE state = 'won'",
    ),
    _entries(
        "entries_of_refunds",
        "Each refund that succeeded has exactly one entry, over its amount, and the reverse.",
        (EntryKind.REFUND_SUCCEEDED,),
        "SELECT id AS source_id, 'refund_succeeded' AS kind, amount_minor AS expected"
        " FROM refunds WHERE state = 'succeeded'",
    ),
    _entries(
        "entries_of_recorded_payments",
        "Each payment recorded by hand has exactly one entry, over its amount, and the reverse.",
        (EntryKind.PAYMENT_RECORDED,),
        "SELECT id AS source_id, 'payment_recorded' AS kind, amount_minor AS expected"
        " FROM payments WHERE method <> 'mandate'"
        " AND state IN ('succeeded', 'partially_refunded', 'refunded')",
    ),
    _entries(
        "entries_of_allocations",
        "Each credit or deposit applied to an invoice has exactly one entry, and the reverse.",
        (EntryKind.CREDIT_APPLIED, EntryKind.DEPOSIT_APPLIED),
        "SELECT id AS source_id, CASE WHEN deposit_id IS NULL THEN 'credit_applied'"
        " ELSE 'deposit_applied' END AS kind, CASE WHEN reverses_id IS NULL THEN amount_minor"
        " ELSE -amount_minor END AS expected FROM allocations WHERE payment_id IS NULL",
    ),
    _entries(
        "entries_of_deposits",
        "Each deposit that arrived has exactly one entry, over its amount, and the reverse.",
        (EntryKind.DEPOSIT_RECEIVED,),
        "SELECT id AS source_id, 'deposit_received' AS kind, amount_minor AS expected"
        " FROM deposits WHERE state <> 'expected'",
    ),
    _entries(
        "entries_of_settlements",
        "Each settlement has one entry when it is matched and one when the money arrives.",
        (EntryKind.PAYOUT_MATCHED, EntryKind.PAYOUT_BANKED),
        "SELECT settlement_id AS source_id, 'payout_matched' AS kind,"
        f" (net_minor + fees_minor)::bigint AS expected FROM ({_PAID_OUT}) AS paid_out"
        " UNION ALL SELECT settlement_id, 'payout_banked', net_minor + tolerated_minor"
        f" FROM ({_PAID_OUT}) AS banked WHERE state <> 'balanced' AND net_minor <> 0",
    ),
)

LEDGER_CHECKS = (*_PER_PAYER, *_PER_ACCOUNT, *_ENTRIES)
