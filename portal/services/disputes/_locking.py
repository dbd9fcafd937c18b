"""Locking a dispute behind its invoice, payment and attempt, as everybody locks them."""

from typing import Any
from uuid import UUID

from portal.db import current_organisation_id
from portal.queries.disputes import DisputeMissing
from portal.sql import execute, fetch_one

# The payment is `y`, its attempt `a`: what booking a dispute needs to know of them.
PAYMENT_COLUMNS = (
    "g.id AS gateway_account_id, g.code AS account_code, a.id AS attempt_id,"
    " a.state AS attempt_state, a.currency, a.business_on, y.id AS payment_id,"
    " y.state AS payment_state, y.amount_minor AS payment_minor, y.refunded_minor,"
    " y.disputed_minor, y.payer_id"
)


def lock_dispute(dispute_id: UUID) -> Any:
    """Lock a dispute and read it with its payment.

    Raises: DisputeMissing.
    """
    scope = (current_organisation_id(), dispute_id)
    execute(
        "SELECT 1 FROM disputes d JOIN payments y ON y.id = d.payment_id"
        " JOIN invoices i ON i.id = y.invoice_id WHERE d.organisation_id = %s AND d.id = %s"
        " FOR UPDATE OF i",
        scope,
    )
    # Only a statement behind the lock sees what was committed while this one waited for it.
    row = fetch_one(
        f"SELECT d.id, d.state, d.version, d.amount_minor, d.opened_on, d.worklist,"
        f" d.queries_count, {PAYMENT_COLUMNS} FROM disputes d"
        " JOIN payment_attempts a ON a.id = d.attempt_id"
        " JOIN payments y ON y.id = d.payment_id"
        " JOIN gateway_accounts g ON g.id = d.gateway_account_id"
        " WHERE d.organisation_id = %s AND d.id = %s FOR UPDATE OF y, a, d",
        scope,
    )
    if row is None:
        raise DisputeMissing
    return row
