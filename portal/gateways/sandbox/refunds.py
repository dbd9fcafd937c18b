"""The gateway's own record of refunds: taken once, decided later, never beyond their charge."""

import sqlite3
from dataclasses import dataclass
from typing import Any

from portal.gateways.sandbox.orders import Accepted, AskedOrder, accept_order, get_order
from portal.gateways.sandbox.profile import Fault
from portal.gateways.sandbox.record import (
    SETTLE_ROWS_MAX,
    get_charge,
    plan_delivery,
    write_event,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRefund(AskedOrder):
    """A refund as it was asked for."""

    charge_ref: str


def accept_refund(connection: sqlite3.Connection, asked: AskedRefund, now: float) -> Accepted:
    """Record a refund once; what its charge cannot give is refused."""

    def insert(gateway_ref: str) -> str | None:
        charge = get_charge(connection, asked.account_code, asked.charge_ref)
        refused = _why_not(connection, asked, charge)
        if refused is None:
            assert charge is not None
            _insert(connection, asked, charge["id"], gateway_ref, now)
        return refused

    return accept_order(connection, "refunds", asked, now, prefix="re", insert=insert)


def settle_refunds(
    connection: sqlite3.Connection, *, late_seconds: float, is_pushed: bool, now: float
) -> int:
    """Give their results to refunds whose delay is over, and write the events of that.

    Shape: a charge that was returned meanwhile has nothing left to give.
    """
    due = connection.execute(
        "SELECT r.*, c.state AS charge_state FROM refunds r JOIN charges c ON c.id = r.charge_id"
        " WHERE r.state = 'pending' AND r.result_at <= ? ORDER BY r.result_at, r.id LIMIT ?",
        (now, SETTLE_ROWS_MAX),
    ).fetchall()
    for found in due:
        code = "charge_returned" if found["charge_state"] == "returned" else found["failed_code"]
        state = "failed" if code else "succeeded"
        connection.execute(
            "UPDATE refunds SET state = ?, failed_code = ? WHERE id = ?", (state, code, found["id"])
        )
        row = connection.execute("SELECT * FROM refunds WHERE id = ?", (found["id"],)).fetchone()
        payload = refund_payload(row)
        seq = write_event(connection, row["account_code"], f"refund.{state}", payload, now)
        if is_pushed:
            plan_delivery(connection, row, seq, late_seconds=late_seconds, now=now)
    return len(due)


def find_refund(
    connection: sqlite3.Connection,
    account_code: str,
    merchant_ref: str,
    *,
    late_seconds: float,
    now: float,
) -> sqlite3.Row | None:
    """Find a refund by the merchant's reference, unless it is still hidden by a fault."""
    found = get_order(connection, "refunds", account_code, merchant_ref)
    if found is None or found["fault"] != Fault.STALE_QUERY:
        return found
    return found if now >= found["accepted_at"] + late_seconds else None


def refund_payload(row: sqlite3.Row) -> dict[str, Any]:
    """Say what is known of a refund, as answers and events carry it."""
    return {
        "merchant_ref": row["merchant_ref"],
        "gateway_ref": row["gateway_ref"],
        "charge_ref": row["charge_ref"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "business_date": row["business_date"],
        "reason_code": row["failed_code"] if row["state"] == "failed" else None,
        "fee_minor": 0,
    }


def _why_not(
    connection: sqlite3.Connection, asked: AskedRefund, charge: sqlite3.Row | None
) -> str | None:
    if charge is None or charge["currency"] != asked.currency:
        return "charge_not_found"
    if charge["state"] == "returned":
        return "charge_returned"
    if charge["state"] != "succeeded":
        return "charge_not_refundable"
    given = connection.execute(
        "SELECT (SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE charge_id = :charge"
        " AND state <> 'failed') + (SELECT coalesce(sum(amount_minor), 0) FROM disputes"
        " WHERE charge_id = :charge AND state IN ('needs_response', 'under_review', 'lost'))"
        " AS minor",
        {"charge": charge["id"]},
    ).fetchone()
    if given["minor"] + asked.amount_minor > charge["amount_minor"]:
        return "refund_exceeds_charge"
    return None


def _insert(
    connection: sqlite3.Connection, asked: AskedRefund, charge_id: int, gateway_ref: str, now: float
) -> None:
    outcome = asked.outcome
    connection.execute(
        "INSERT INTO refunds(account_code, merchant_ref, idempotency_key, request_hash,"
        " gateway_ref, charge_id, charge_ref, amount_minor, currency, business_date, accepted_at,"
        " result_at, failed_code, fault, event_fault)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            asked.account_code,
            asked.merchant_ref,
            asked.idempotency_key,
            asked.request_hash,
            gateway_ref,
            charge_id,
            asked.charge_ref,
            asked.amount_minor,
            asked.currency,
            asked.business_date,
            now,
            now + asked.delay_seconds,
            outcome.declined_code,
            outcome.charge_fault.value if outcome.charge_fault else None,
            outcome.event_fault.value if outcome.event_fault else None,
        ),
    )
