"""What a proof is, and the comparison that most of them are: what should be against what is."""

from collections.abc import Sequence
from typing import NamedTuple

from portal.domain.ledger import AccountKind

# What returns took out of the credits that their payments had left over; it counts as applied.
WITHDRAWN = (
    "SELECT t.payment_id, p.amount_minor FROM payment_attempts t"
    " JOIN ledger_entries e ON e.source_id = t.id AND e.kind = 'payment_returned'"
    " JOIN postings p ON p.entry_id = e.id"
    " JOIN ledger_accounts d ON d.id = p.debit_account_id AND d.kind = 'payer_credits'"
    " WHERE t.state = 'returned'"
)


# Lost disputes about the whole of what an attempt had brought: the attempt counts as returned.
LOST_WHOLE = (
    "SELECT d.id, d.payment_id, d.attempt_id, d.amount_minor FROM disputes d"
    " JOIN payment_attempts t ON t.id = d.attempt_id AND t.state = 'returned'"
    " WHERE d.state = 'lost'"
)


class Check(NamedTuple):
    """One proof over the books of the organisation in scope.

    Shape: the SQL yields the rows that break it as (id, label, expected, found), all of one unit;
    a side that is missing altogether is NULL.
    """

    name: str
    sentence: str
    sql: str


def compare(keys: Sequence[str], expected: str, found: str) -> str:
    """Write the SQL that lists the keys whose two amounts differ; an absent amount counts as zero.

    Shape: both queries yield the keys and a column `expected` or `found`; the first key is the id.
    """
    return (
        f"SELECT {keys[0]}::text AS id, {_label(keys)} AS label, e.expected::bigint AS expected,"
        f" f.found::bigint AS found FROM ({expected}) AS e FULL JOIN ({found}) AS f"
        f" USING ({', '.join(keys)})"
        " WHERE COALESCE(e.expected, 0) <> COALESCE(f.found, 0)"
    )


def match(keys: Sequence[str], expected: str, found: str) -> str:
    """Write the SQL that lists the keys which only one side has, or whose amounts differ."""
    return compare(keys, expected, found).replace(
        "COALESCE(e.expected, 0) <> COALESCE(f.found, 0)", "e.expected IS DISTINCT FROM f.found"
    )


def moved(kind: AccountKind, keys: Sequence[str]) -> str:
    """Write the SQL for what was debited less what was credited on the accounts of a kind.

    Shape: keys among code, currency, payer_id, invoice_id; yields them and `found`.
    """
    legs = " UNION ALL ".join(
        f"SELECT a.code, p.currency, p.payer_id, p.invoice_id, {sign}p.amount_minor AS amount"
        f" FROM postings p JOIN ledger_accounts a ON a.id = p.{side}_account_id"
        f" WHERE a.kind = '{kind}'"
        for side, sign in (("debit", ""), ("credit", "-"))
    )
    columns = ", ".join(keys)
    return f"SELECT {columns}, sum(amount) AS found FROM ({legs}) AS leg GROUP BY {columns}"


def balance(
    kind: AccountKind, keys: Sequence[str], expected: str, *, is_credit: bool = False
) -> str:
    """Write the SQL that compares the accounts of a kind with what the documents say.

    Shape: an account that grows on the credit side is turned to be positive.
    """
    found = moved(kind, keys)
    if is_credit:
        found = found.replace("sum(amount) AS found", "-sum(amount) AS found")
    return compare(keys, expected, found)


def _label(keys: Sequence[str]) -> str:
    return f"concat_ws(' ', {', '.join(keys[1:])})" if keys[1:] else "''"
