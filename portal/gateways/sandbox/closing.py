"""The end of a business date at the sandbox: returns that fall due, payouts and their items."""

import sqlite3
from typing import Any

from portal.gateways.sandbox.disputes import TAKING, move_disputes
from portal.gateways.sandbox.record import (
    RETURN_FEE_MINOR,
    charge_payload,
    plan_delivery,
    write_event,
)

# Items are the charges, refunds and disputes themselves; the keys of each kind lie behind those of
# the kind before.
RETURN_KEY_OFFSET = 1 << 52
REFUND_KEY_OFFSET = 1 << 53
DISPUTE_KEY_OFFSET = 3 << 52
REVERSAL_KEY_OFFSET = 1 << 54


def close_day(
    connection: sqlite3.Connection,
    account_code: str,
    business_date: str,
    *,
    late_seconds: float,
    is_pushed: bool,
    now: float,
) -> list[sqlite3.Row]:
    """Close a business date once and return its payouts; closing again returns the same."""
    closed = connection.execute(
        "INSERT OR IGNORE INTO closings(account_code, business_date, at) VALUES (?, ?, ?)",
        (account_code, business_date, now),
    )
    if closed.rowcount == 1:
        for row in _list_due_returns(connection, account_code, business_date):
            connection.execute("UPDATE charges SET state = 'returned' WHERE id = ?", (row["id"],))
            payload = charge_payload(row, "returned") | {"returned_on": business_date}
            seq = write_event(connection, account_code, "charge.returned", payload, now)
            if is_pushed:
                plan_delivery(connection, row, seq, late_seconds=late_seconds, now=now)
        move_disputes(
            connection,
            account_code,
            business_date,
            late_seconds=late_seconds,
            is_pushed=is_pushed,
            now=now,
        )
        for currency in _list_unpaid_currencies(connection, account_code, business_date):
            _pay_out(
                connection, account_code, business_date, currency, is_pushed=is_pushed, now=now
            )
    return list_payouts(connection, account_code, business_date)


def list_payouts(
    connection: sqlite3.Connection, account_code: str, business_date: str | None
) -> list[sqlite3.Row]:
    """List the payouts of an account, of one business date or of all."""
    return connection.execute(
        "SELECT * FROM payouts WHERE account_code = ?"
        " AND business_date = coalesce(?, business_date) ORDER BY business_date, currency",
        (account_code, business_date),
    ).fetchall()


def list_items(
    connection: sqlite3.Connection, account_code: str, payout_ref: str, after: int, limit: int
) -> list[dict[str, Any]] | None:
    """List the items of a payout behind a key, payments first; None for no such payout."""
    payout = connection.execute(
        "SELECT id FROM payouts WHERE account_code = ? AND gateway_ref = ?",
        (account_code, payout_ref),
    ).fetchone()
    if payout is None:
        return None
    rows = connection.execute(
        "SELECT id AS place, 'payment' AS kind, gateway_ref, merchant_ref,"
        " amount_minor AS gross_minor, fee_minor FROM charges WHERE payout_id = :payout"
        " AND id > :after UNION ALL"
        " SELECT id + :offset, 'return', gateway_ref, merchant_ref, -amount_minor, :return_fee"
        " FROM charges WHERE return_payout_id = :payout AND id + :offset > :after UNION ALL"
        " SELECT id + :refunds, 'refund', gateway_ref, merchant_ref, -amount_minor, 0"
        " FROM refunds WHERE payout_id = :payout AND id + :refunds > :after UNION ALL"
        " SELECT id + :disputes, 'chargeback', gateway_ref, merchant_ref, -amount_minor, fee_minor"
        " FROM disputes WHERE payout_id = :payout AND id + :disputes > :after UNION ALL"
        " SELECT id + :reversals, 'chargeback_reversed', gateway_ref, merchant_ref, amount_minor, 0"
        " FROM disputes WHERE reversal_payout_id = :payout AND id + :reversals > :after"
        " ORDER BY place LIMIT :limit",
        {
            "payout": payout["id"],
            "after": after,
            "offset": RETURN_KEY_OFFSET,
            "refunds": REFUND_KEY_OFFSET,
            "disputes": DISPUTE_KEY_OFFSET,
            "reversals": REVERSAL_KEY_OFFSET,
            "return_fee": RETURN_FEE_MINOR,
            "limit": limit,
        },
    ).fetchall()
    return [dict(row) | {"net_minor": row["gross_minor"] - row["fee_minor"]} for row in rows]


def _list_due_returns(
    connection: sqlite3.Connection, account_code: str, business_date: str
) -> list[sqlite3.Row]:
    return connection.execute(
        "SELECT * FROM charges c WHERE account_code = :account AND state = 'succeeded'"
        # What was given back already is not returned on top of it.
        " AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.charge_id = c.id"
        " AND r.state = 'succeeded')"
        # Nor what its bank has disputed.
        " AND NOT EXISTS (SELECT 1 FROM disputes d WHERE d.charge_id = c.id"
        f" AND d.state IN {TAKING})"
        " AND return_after IS NOT NULL AND return_after <= (SELECT count(*) FROM closings k"
        " WHERE k.account_code = :account AND k.business_date > c.business_date"
        " AND k.business_date <= :day) ORDER BY id",
        {"account": account_code, "day": business_date},
    ).fetchall()


def _list_unpaid_currencies(
    connection: sqlite3.Connection, account_code: str, business_date: str
) -> list[str]:
    rows = connection.execute(
        "SELECT currency FROM charges WHERE account_code = :account AND business_date <= :day"
        " AND payout_id IS NULL AND state IN ('succeeded', 'returned')"
        " UNION SELECT currency FROM charges WHERE account_code = :account"
        " AND state = 'returned' AND return_payout_id IS NULL"
        " UNION SELECT currency FROM refunds WHERE account_code = :account"
        " AND state = 'succeeded' AND business_date <= :day AND payout_id IS NULL"
        " UNION SELECT currency FROM disputes WHERE account_code = :account"
        " AND (opened_on IS NOT NULL AND payout_id IS NULL"
        " OR state = 'won' AND reversal_payout_id IS NULL) ORDER BY currency",
        {"account": account_code, "day": business_date},
    )
    return [row["currency"] for row in rows]


def _pay_out(
    connection: sqlite3.Connection,
    account_code: str,
    business_date: str,
    currency: str,
    *,
    is_pushed: bool,
    now: float,
) -> None:
    payout_id = _next_payout_id(connection)
    _claim(connection, payout_id, account_code, business_date, currency)
    gross, fee = _sums(connection, payout_id)
    if gross - fee <= 0:
        # Nothing is transferred: the balance is carried to the next closing.
        _release(connection, payout_id)
        return
    gateway_ref = f"PO-{account_code}-{business_date.replace('-', '')}-{currency}"
    connection.execute(
        "INSERT INTO payouts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (payout_id, account_code, gateway_ref, business_date, currency, gross, fee, gross - fee),
    )
    payload = {
        "gateway_ref": gateway_ref,
        "business_date": business_date,
        "amount_minor": gross - fee,
        "currency": currency,
        "gross_minor": gross,
        "fee_minor": fee,
        "reason_code": None,
    }
    seq = write_event(connection, account_code, "payout.paid", payload, now)
    if is_pushed:
        connection.execute("INSERT INTO deliveries(event_seq, due_at) VALUES (?, ?)", (seq, now))


def _next_payout_id(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT coalesce(max(id), 0) + 1 AS id FROM payouts").fetchone()
    return int(row["id"])


def _claim(
    connection: sqlite3.Connection,
    payout_id: int,
    account_code: str,
    business_date: str,
    currency: str,
) -> None:
    connection.execute(
        "UPDATE charges SET payout_id = ? WHERE account_code = ? AND business_date <= ?"
        " AND currency = ? AND payout_id IS NULL AND state IN ('succeeded', 'returned')"
        " AND state <> 'declined'",
        (payout_id, account_code, business_date, currency),
    )
    # A return is set off only once its payment was paid out, here or earlier.
    connection.execute(
        "UPDATE charges SET return_payout_id = ? WHERE account_code = ? AND currency = ?"
        " AND state = 'returned' AND return_payout_id IS NULL AND payout_id IS NOT NULL",
        (payout_id, account_code, currency),
    )
    connection.execute(
        "UPDATE refunds SET payout_id = ? WHERE account_code = ? AND business_date <= ?"
        " AND currency = ? AND state = 'succeeded' AND payout_id IS NULL"
        " AND (SELECT c.payout_id FROM charges c WHERE c.id = refunds.charge_id) IS NOT NULL",
        (payout_id, account_code, business_date, currency),
    )
    connection.execute(
        "UPDATE disputes SET payout_id = ? WHERE account_code = ? AND currency = ?"
        " AND opened_on IS NOT NULL AND payout_id IS NULL"
        " AND (SELECT c.payout_id FROM charges c WHERE c.id = disputes.charge_id) IS NOT NULL",
        (payout_id, account_code, currency),
    )
    connection.execute(
        "UPDATE disputes SET reversal_payout_id = ? WHERE account_code = ? AND currency = ?"
        " AND state = 'won' AND reversal_payout_id IS NULL AND payout_id IS NOT NULL",
        (payout_id, account_code, currency),
    )


def _release(connection: sqlite3.Connection, payout_id: int) -> None:
    connection.execute("UPDATE charges SET payout_id = NULL WHERE payout_id = ?", (payout_id,))
    connection.execute(
        "UPDATE charges SET return_payout_id = NULL WHERE return_payout_id = ?", (payout_id,)
    )
    connection.execute("UPDATE refunds SET payout_id = NULL WHERE payout_id = ?", (payout_id,))
    for column in ("payout_id", "reversal_payout_id"):
        connection.execute(f"UPDATE disputes SET {column} = NULL WHERE {column} = ?", (payout_id,))


def _sums(connection: sqlite3.Connection, payout_id: int) -> tuple[int, int]:
    paid = connection.execute(
        "SELECT coalesce(sum(amount_minor), 0) AS gross, coalesce(sum(fee_minor), 0) AS fee"
        " FROM charges WHERE payout_id = ?",
        (payout_id,),
    ).fetchone()
    returned = connection.execute(
        "SELECT coalesce(sum(amount_minor), 0) AS gross, count(*) AS items"
        " FROM charges WHERE return_payout_id = ?",
        (payout_id,),
    ).fetchone()
    refunded = connection.execute(
        "SELECT coalesce(sum(amount_minor), 0) AS gross FROM refunds WHERE payout_id = ?",
        (payout_id,),
    ).fetchone()
    disputed = connection.execute(
        "SELECT coalesce(sum(CASE payout_id WHEN :payout THEN amount_minor ELSE 0 END), 0)"
        " - coalesce(sum(CASE reversal_payout_id WHEN :payout THEN amount_minor ELSE 0 END), 0)"
        " AS gross, coalesce(sum(CASE payout_id WHEN :payout THEN fee_minor ELSE 0 END), 0) AS fee"
        " FROM disputes WHERE payout_id = :payout OR reversal_payout_id = :payout",
        {"payout": payout_id},
    ).fetchone()
    gross = paid["gross"] - returned["gross"] - refunded["gross"] - disputed["gross"]
    return gross, paid["fee"] + returned["items"] * RETURN_FEE_MINOR + disputed["fee"]
