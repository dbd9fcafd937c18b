"""Reminds of overdue invoices."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.domain.users import run_actor
from portal.services.batches import Lease
from portal.services.outcomes import ItemResult
from portal.services.reminders import remind_invoices


def work(lease: Lease, item_ids: Sequence[UUID], now: datetime) -> Sequence[ItemResult]:
    """Remind of a chunk of invoices on the run's business date."""
    return remind_invoices(
        invoice_ids=item_ids,
        business_on=lease.business_on,
        actor=run_actor(lease.run_id),
        now=now,
    )
