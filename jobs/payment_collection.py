"""Starts collecting open invoices that are due, through their payers' mandates."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.domain.users import run_actor
from portal.services.batches import Lease
from portal.services.outcomes import ItemResult
from portal.services.payments import start_payments


def work(lease: Lease, item_ids: Sequence[UUID], now: datetime) -> Sequence[ItemResult]:
    """Start the payments of a chunk of invoices."""
    return start_payments(
        invoice_ids=item_ids,
        business_on=lease.business_on,
        actor=run_actor(lease.run_id),
        now=now,
    )
