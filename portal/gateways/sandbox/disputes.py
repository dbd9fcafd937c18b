"""The gateway's own record of disputes: planned with their charge, opened and decided at closings.

While one is open or lost its amount is out of the account; its fee stays out however it ends.
"""

import sqlite3
from datetime import date, timedelta
from typing import Any

from portal.gateways.sandbox.orders import reference_of
from portal.gateways.sandbox.profile import Contest
from portal.gateways.sandbox.record import plan_delivery, write_event

DISPUTE_FEE_MINOR = 1_500
RESPOND_DAYS = 3
TAKING = "('needs_response', 'under_review', 'lost')"


def plan_dispute(connection: sqlite3.Connection, charge: sqlite3.Row, contest: Contest) -> None:
    """Note that a charge is going to be disputed."""
    connection.execute(
        "INSERT INTO disputes(account_code, gateway_ref, charge_id, merchant_ref, currency,"
        " charged_on, open_after, reason_code, is_winnable, event_fault)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            charge["account_code"],
            reference_of("dp", charge["account_code"], charge["merchant_ref"]),
            charge["id"],
            charge["merchant_ref"],
            charge["currency"],
            charge["business_date"],
            contest.after,
            contest.reason_code,
            contest.is_winnable,
            charge["event_fault"],
        ),
    )


def move_disputes(
    connection: sqlite3.Connection,
    account_code: str,
    business_date: str,
    *,
    late_seconds: float,
    is_pushed: bool,
    now: float,
) -> None:
    """Decide, at the end of a business date, what was answered or is overdue, and open what is due.

    Shape: of a charge that has nothing left to take the plan is dropped.
    """
    news = _decide(connection, account_code, business_date)
    news += _open(connection, account_code, business_date)
    for dispute_id, kind in news:
        row = _get(connection, dispute_id)
        seq = write_event(connection, account_code, kind, dispute_payload(row), now)
        if is_pushed:
            plan_delivery(connection, row, seq, late_seconds=late_seconds, now=now)


def find_dispute(
    connection: sqlite3.Connection, account_code: str, gateway_ref: str
) -> sqlite3.Row | None:
    """Find a dispute that was opened."""
    found: sqlite3.Row | None = connection.execute(
        "SELECT * FROM disputes WHERE account_code = ? AND gateway_ref = ?"
        " AND state NOT IN ('planned', 'dropped')",
        (account_code, gateway_ref),
    ).fetchone()
    return found


def take_order(
    connection: sqlite3.Connection,
    row: sqlite3.Row,
    idempotency_key: str,
    request_hash: bytes,
    *,
    accepts: bool,
    late_seconds: float,
    is_pushed: bool,
    now: float,
) -> str | None:
    """Take an answer, or that the loss is accepted, once; a code says why it was refused."""
    earlier = connection.execute(
        "SELECT request_hash, dispute_id FROM dispute_orders"
        " WHERE account_code = ? AND idempotency_key = ?",
        (row["account_code"], idempotency_key),
    ).fetchone()
    if earlier is not None:
        known = (earlier["request_hash"], earlier["dispute_id"])
        return None if known == (request_hash, row["id"]) else "idempotency_key_reused"
    if row["state"] != "needs_response":
        return "dispute_not_answerable"
    connection.execute(
        "INSERT INTO dispute_orders VALUES (?, ?, ?, ?)",
        (row["account_code"], idempotency_key, request_hash, row["id"]),
    )
    if not accepts:
        connection.execute(
            "UPDATE disputes SET state = 'under_review', is_answered = 1 WHERE id = ?",
            (row["id"],),
        )
        return None
    connection.execute(
        "UPDATE disputes SET state = 'lost', closed_on = (SELECT max(business_date)"
        " FROM closings WHERE account_code = ?) WHERE id = ?",
        (row["account_code"], row["id"]),
    )
    lost = _get(connection, row["id"])
    seq = write_event(connection, row["account_code"], "dispute.lost", dispute_payload(lost), now)
    if is_pushed:
        plan_delivery(connection, lost, seq, late_seconds=late_seconds, now=now)
    return None


def dispute_payload(row: sqlite3.Row) -> dict[str, Any]:
    """Say what is known of a dispute, as answers and events carry it."""
    names = (
        "merchant_ref",
        "gateway_ref",
        "amount_minor",
        "currency",
        "reason_code",
        "fee_minor",
        "opened_on",
        "respond_by",
        "closed_on",
    )
    return {name: row[name] for name in names}


def _get(connection: sqlite3.Connection, dispute_id: int) -> sqlite3.Row:
    row: sqlite3.Row = connection.execute(
        "SELECT * FROM disputes WHERE id = ?", (dispute_id,)
    ).fetchone()
    return row


def _decide(
    connection: sqlite3.Connection, account_code: str, business_date: str
) -> list[tuple[int, str]]:
    due = connection.execute(
        "SELECT id, state, is_winnable FROM disputes WHERE account_code = ? AND opened_on < ?"
        " AND (state = 'under_review' OR state = 'needs_response' AND respond_by < ?) ORDER BY id",
        (account_code, business_date, business_date),
    ).fetchall()
    decided = []
    for row in due:
        is_won = row["state"] == "under_review" and row["is_winnable"]
        state = "won" if is_won else "lost"
        connection.execute(
            "UPDATE disputes SET state = ?, closed_on = ? WHERE id = ?",
            (state, business_date, row["id"]),
        )
        decided.append((int(row["id"]), f"dispute.{state}"))
    return decided


def _open(
    connection: sqlite3.Connection, account_code: str, business_date: str
) -> list[tuple[int, str]]:
    due = connection.execute(
        "SELECT d.id, c.state, c.amount_minor - (SELECT coalesce(sum(r.amount_minor), 0)"
        " FROM refunds r WHERE r.charge_id = c.id AND r.state <> 'failed') AS rest_minor"
        " FROM disputes d JOIN charges c ON c.id = d.charge_id"
        " WHERE d.account_code = :account AND d.state = 'planned' AND c.state <> 'pending'"
        " AND d.open_after <= (SELECT count(*) FROM closings k WHERE k.account_code = :account"
        " AND k.business_date > d.charged_on AND k.business_date <= :day) ORDER BY d.id",
        {"account": account_code, "day": business_date},
    ).fetchall()
    respond_by = date.fromisoformat(business_date) + timedelta(days=RESPOND_DAYS)
    opened = []
    for row in due:
        if row["state"] != "succeeded" or row["rest_minor"] <= 0:
            connection.execute("UPDATE disputes SET state = 'dropped' WHERE id = ?", (row["id"],))
            continue
        connection.execute(
            "UPDATE disputes SET state = 'needs_response', amount_minor = ?, fee_minor = ?,"
            " opened_on = ?, respond_by = ? WHERE id = ?",
            (
                row["rest_minor"],
                DISPUTE_FEE_MINOR,
                business_date,
                respond_by.isoformat(),
                row["id"],
            ),
        )
        opened.append((int(row["id"]), "dispute.opened"))
    return opened
