"""What the gateway's own record of all orders has in common: each one is taken once."""

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from portal.gateways.sandbox.profile import BEFORE_FAULTS, Fault, Outcome

OrderTable = Literal["charges", "refunds", "notices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedOrder:
    """An order as it was given, checked and with its decided outcome."""

    account_code: str
    merchant_ref: str
    idempotency_key: str
    request_hash: bytes
    amount_minor: int
    currency: str
    business_date: str
    delay_seconds: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Accepted:
    """How the record took an order; `refused` is an error code and then nothing was recorded."""

    gateway_ref: str
    fault: Fault | None = None
    refused: str | None = None
    replayed: bool = False


def accept_order(
    connection: sqlite3.Connection,
    table: OrderTable,
    asked: AskedOrder,
    now: float,
    *,
    prefix: str,
    insert: Callable[[str], str | None],
) -> Accepted:
    """Record an order once: same key and body replays, another use of its names is refused.

    Shape: `insert` is given the gateway's own name; what it returns says why it recorded nothing.
    """
    gateway_ref = reference_of(prefix, asked.account_code, asked.merchant_ref)
    earlier = connection.execute(
        f"SELECT idempotency_key, request_hash FROM {table}"
        " WHERE account_code = ? AND (idempotency_key = ? OR merchant_ref = ?)"
        " ORDER BY idempotency_key = ? DESC LIMIT 1",
        (asked.account_code, asked.idempotency_key, asked.merchant_ref, asked.idempotency_key),
    ).fetchone()
    if earlier is not None:
        if earlier["idempotency_key"] != asked.idempotency_key:
            return Accepted(gateway_ref, refused="merchant_ref_used")
        if earlier["request_hash"] != asked.request_hash:
            return Accepted(gateway_ref, refused="idempotency_key_reused")
        return Accepted(gateway_ref, replayed=True)
    fault = asked.outcome.charge_fault
    if fault in BEFORE_FAULTS:
        assert fault is not None
        if count_fault(connection, fault, asked.account_code, asked.merchant_ref, now):
            return Accepted(gateway_ref, fault=fault)
        fault = None
    refused = insert(gateway_ref)
    if refused is not None:
        return Accepted(gateway_ref, refused=refused)
    if fault is not None:
        count_fault(connection, fault, asked.account_code, asked.merchant_ref, now)
    return Accepted(gateway_ref, fault=fault)


def get_order(
    connection: sqlite3.Connection, table: OrderTable, account_code: str, merchant_ref: str
) -> sqlite3.Row | None:
    """Return an order by the merchant's reference, whatever a fault hides."""
    found: sqlite3.Row | None = connection.execute(
        f"SELECT * FROM {table} WHERE account_code = ? AND merchant_ref = ?",
        (account_code, merchant_ref),
    ).fetchone()
    return found


def count_fault(
    connection: sqlite3.Connection, kind: Fault, account_code: str, merchant_ref: str, now: float
) -> bool:
    """Count an injected fault; false when this reference has met that kind before."""
    counted = connection.execute(
        "INSERT OR IGNORE INTO injected(kind, account_code, merchant_ref, at) VALUES (?, ?, ?, ?)",
        (kind.value, account_code, merchant_ref, now),
    )
    return counted.rowcount == 1


def reference_of(prefix: str, account_code: str, merchant_ref: str) -> str:
    """Make the gateway's own name of an order, the same whenever it is made."""
    digest = hashlib.sha256(f"{account_code}\x00{merchant_ref}".encode()).hexdigest()
    return f"{prefix}_{digest[:24]}"
