"""The gateway's own record: charges, events and requests as it saw them, and the judge's report.

Closing a day and its payouts live in `closing.py`. Each function works in its caller's transaction.
"""

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portal.domain.money import Rounding, apply_rate
from portal.gateways.sandbox.orders import (
    Accepted,
    AskedOrder,
    accept_order,
    count_fault,
    get_order,
)
from portal.gateways.sandbox.profile import Fault

CHARGE_FEE_MINOR = 20
CHARGE_FEE_RATE_BPS = 20
RETURN_FEE_MINOR = 350
SETTLE_ROWS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCharge(AskedOrder):
    """A charge as it was asked for."""

    payment_ref: str
    invoice_ref: str
    invoice_total_minor: int | None


def record_request(
    connection: sqlite3.Connection,
    *,
    account_code: str,
    method: str,
    path: str,
    status: int,
    now: float,
    merchant_ref: str = "",
) -> None:
    """Note a request and the status it is going to be answered with."""
    connection.execute(
        "INSERT INTO requests(at, account_code, method, path, merchant_ref, status)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (now, account_code, method, path, merchant_ref, status),
    )


def accept_charge(connection: sqlite3.Connection, asked: AskedCharge, now: float) -> Accepted:
    """Record a charge once."""
    return accept_order(
        connection,
        "charges",
        asked,
        now,
        prefix="ch",
        insert=lambda gateway_ref: _insert_charge(connection, asked, gateway_ref, now),
    )


def settle_due(
    connection: sqlite3.Connection, *, late_seconds: float, is_pushed: bool, now: float
) -> int:
    """Give their results to charges whose delay is over, and write the events of that."""
    due = connection.execute(
        "SELECT * FROM charges WHERE state = 'pending' AND result_at <= ?"
        " ORDER BY result_at, id LIMIT ?",
        (now, SETTLE_ROWS_MAX),
    ).fetchall()
    for row in due:
        state = "declined" if row["declined_code"] else "succeeded"
        connection.execute("UPDATE charges SET state = ? WHERE id = ?", (state, row["id"]))
        payload = charge_payload(row, state)
        seq = write_event(connection, row["account_code"], f"charge.{state}", payload, now)
        if is_pushed:
            plan_delivery(connection, row, seq, late_seconds=late_seconds, now=now)
    return len(due)


def write_event(
    connection: sqlite3.Connection,
    account_code: str,
    kind: str,
    payload: dict[str, Any],
    now: float,
) -> int:
    """Write an event under an id that the same occurrence would get again."""
    name = f"{account_code}\x00{kind}\x00{payload['gateway_ref']}"
    event_id = "evt_" + hashlib.sha256(name.encode()).hexdigest()[:24]
    occurred_at = datetime.fromtimestamp(now, UTC).isoformat()
    body = {"id": event_id, "type": kind, "occurred_at": occurred_at, "data": payload}
    written = connection.execute(
        "INSERT INTO events(event_id, account_code, body) VALUES (?, ?, ?)",
        (event_id, account_code, json.dumps(body, separators=(",", ":"))),
    )
    assert written.lastrowid is not None
    return written.lastrowid


def plan_delivery(
    connection: sqlite3.Connection, row: sqlite3.Row, seq: int, *, late_seconds: float, now: float
) -> None:
    """Plan when an event is pushed: once and now, unless this charge has a fault of events."""
    fault = Fault(row["event_fault"]) if row["event_fault"] else None
    if fault is not None:
        count_fault(connection, fault, row["account_code"], row["merchant_ref"], now)
    due_ats = [now]
    if fault == Fault.EVENT_LOST:
        due_ats = []
    elif fault == Fault.EVENT_DUPLICATE:
        due_ats = [now, now]
    elif fault == Fault.EVENT_LATE:
        due_ats = [now + late_seconds]
    elif fault == Fault.EVENT_OUT_OF_ORDER:
        # Long enough for the events of other charges to overtake it.
        due_ats = [now + late_seconds / 5]
    for due_at in due_ats:
        connection.execute("INSERT INTO deliveries(event_seq, due_at) VALUES (?, ?)", (seq, due_at))


def find_charge(
    connection: sqlite3.Connection,
    account_code: str,
    merchant_ref: str,
    *,
    late_seconds: float,
    now: float,
) -> sqlite3.Row | None:
    """Find a charge by the merchant's reference, unless it is still hidden by a fault."""
    found = get_charge(connection, account_code, merchant_ref)
    if found is None or found["charge_fault"] != Fault.STALE_QUERY:
        return found
    return found if now >= found["accepted_at"] + late_seconds else None


def get_charge(
    connection: sqlite3.Connection, account_code: str, merchant_ref: str
) -> sqlite3.Row | None:
    """Return a charge by the merchant's reference, whatever a fault hides."""
    return get_order(connection, "charges", account_code, merchant_ref)


def list_events(
    connection: sqlite3.Connection, account_code: str, after: int, limit: int
) -> list[sqlite3.Row]:
    """List the events behind a sequence number, oldest first."""
    return connection.execute(
        "SELECT seq, body FROM events WHERE account_code = ? AND seq > ? ORDER BY seq LIMIT ?",
        (account_code, after, limit),
    ).fetchall()


def list_effects(
    connection: sqlite3.Connection, account_code: str, after: int, limit: int
) -> list[sqlite3.Row]:
    """List the charges that moved money behind an id, oldest first.

    Shape: with what was given back of each, and what open and lost disputes took of it.
    """
    return connection.execute(
        "SELECT c.*, (SELECT coalesce(sum(r.amount_minor), 0) FROM refunds r"
        " WHERE r.charge_id = c.id AND r.state = 'succeeded') AS refunded_minor,"
        " (SELECT coalesce(sum(d.amount_minor), 0) FROM disputes d WHERE d.charge_id = c.id"
        " AND d.state IN ('needs_response', 'under_review', 'lost')) AS disputed_minor"
        " FROM charges c WHERE c.account_code = ? AND c.id > ?"
        " AND c.state IN ('succeeded', 'returned') ORDER BY c.id LIMIT ?",
        (account_code, after, limit),
    ).fetchall()


def charge_payload(row: sqlite3.Row, state: str) -> dict[str, Any]:
    """Say what is known of a charge in a state, as answers and events carry it."""
    return {
        "merchant_ref": row["merchant_ref"],
        "gateway_ref": row["gateway_ref"],
        "payment_ref": row["payment_ref"],
        "invoice_ref": row["invoice_ref"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "business_date": row["business_date"],
        "reason_code": reason_code_of(row, state),
        "fee_minor": fee_of(row, state),
    }


def reason_code_of(row: sqlite3.Row, state: str) -> str | None:
    """Return why a charge was declined or returned."""
    codes = {"declined": row["declined_code"], "returned": row["return_code"]}
    code: str | None = codes.get(state)
    return code


def fee_of(row: sqlite3.Row, state: str) -> int:
    """Return what the gateway takes for reaching a state."""
    fees = {"succeeded": row["fee_minor"], "returned": RETURN_FEE_MINOR}
    return int(fees.get(state, 0))


def _insert_charge(
    connection: sqlite3.Connection, asked: AskedCharge, gateway_ref: str, now: float
) -> None:
    rate = apply_rate(asked.amount_minor, CHARGE_FEE_RATE_BPS, Rounding.HALF_UP)
    outcome = asked.outcome
    connection.execute(
        "INSERT INTO charges(account_code, merchant_ref, idempotency_key, request_hash,"
        " gateway_ref, payment_ref, invoice_ref, invoice_total_minor, amount_minor, currency,"
        " business_date, accepted_at, result_at, declined_code, return_after, return_code,"
        " charge_fault, event_fault, fee_minor)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            asked.account_code,
            asked.merchant_ref,
            asked.idempotency_key,
            asked.request_hash,
            gateway_ref,
            asked.payment_ref,
            asked.invoice_ref,
            asked.invoice_total_minor,
            asked.amount_minor,
            asked.currency,
            asked.business_date,
            now,
            now + asked.delay_seconds,
            outcome.declined_code,
            outcome.return_after,
            outcome.return_code,
            outcome.charge_fault.value if outcome.charge_fault else None,
            outcome.event_fault.value if outcome.event_fault else None,
            # A fee above the charge itself would make its payout negative.
            min(CHARGE_FEE_MINOR + rate, asked.amount_minor),
        ),
    )
