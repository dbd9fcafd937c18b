"""The judge's report over all accounts, from the gateway's own record and nothing else."""

import sqlite3
from typing import Any

OFFENDERS_MAX = 50
# What a dispute took of a charge, as `c`, while it is open or lost.
DISPUTED = (
    "(SELECT coalesce(sum(d.amount_minor), 0) FROM disputes d WHERE d.charge_id = c.id"
    " AND d.state IN ('needs_response', 'under_review', 'lost'))"
)
# More was given back than came in, or what the bank had taken back was given back as well.
REFUNDED_BEYOND = (
    "SELECT count(*) FROM charges c JOIN (SELECT charge_id, sum(amount_minor) AS minor"
    " FROM refunds WHERE state = 'succeeded' GROUP BY charge_id) r ON r.charge_id = c.id"
    f" WHERE r.minor + {DISPUTED}"
    " > CASE c.state WHEN 'succeeded' THEN c.amount_minor ELSE 0 END"
)


def build_report(connection: sqlite3.Connection) -> dict[str, Any]:
    """Count requests, charges and faults, and everything that was charged more than once."""
    payments = _list_payments_charged_twice(connection)
    invoices = _list_invoices_overcharged(connection)
    faults = connection.execute("SELECT kind, count(*) AS n FROM injected GROUP BY kind")
    states = connection.execute("SELECT state, count(*) AS n FROM charges GROUP BY state")
    return {
        "requests": _count(connection, "SELECT count(*) FROM requests"),
        "charges": _count(connection, "SELECT count(*) FROM charges"),
        "charges_by_state": {row["state"]: row["n"] for row in states},
        "refunds": _count(connection, "SELECT count(*) FROM refunds"),
        "disputes": _count(connection, "SELECT count(*) FROM disputes WHERE opened_on IS NOT NULL"),
        "notices": _count(connection, "SELECT count(*) FROM notices"),
        "refunded_beyond_charge": _count(connection, REFUNDED_BEYOND),
        "charged_twice": len(payments) + len(invoices),
        "payments_charged_twice": payments[:OFFENDERS_MAX],
        "invoices_overcharged": invoices[:OFFENDERS_MAX],
        "faults": {row["kind"]: row["n"] for row in faults},
        "events": _count(connection, "SELECT count(*) FROM events"),
        "deliveries_waiting": _count(
            connection, "SELECT count(*) FROM deliveries WHERE delivered_at IS NULL"
        ),
    }


def _list_payments_charged_twice(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT account_code, payment_ref FROM charges c WHERE state = 'succeeded'"
        f" AND {DISPUTED} < amount_minor"
        " GROUP BY account_code, payment_ref HAVING count(*) > 1 ORDER BY 1, 2"
    )
    return [f"{row['account_code']}/{row['payment_ref']}" for row in rows]


def _list_invoices_overcharged(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT account_code, invoice_ref FROM charges c WHERE state = 'succeeded'"
        " GROUP BY account_code, invoice_ref"
        " HAVING sum(amount_minor - (SELECT coalesce(sum(r.amount_minor), 0) FROM refunds r"
        f" WHERE r.charge_id = c.id AND r.state = 'succeeded') - {DISPUTED})"
        " > max(invoice_total_minor)"
        " ORDER BY 1, 2"
    )
    return [f"{row['account_code']}/{row['invoice_ref']}" for row in rows]


def _count(connection: sqlite3.Connection, counting: str) -> int:
    return int(connection.execute(counting).fetchone()[0])
