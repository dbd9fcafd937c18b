"""Tries payments again that were declined or returned, on the date their rules gave."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.domain.users import run_actor
from portal.services.batches import Lease
from portal.services.outcomes import ItemResult
from portal.services.payments import retry_payments


def work(lease: Lease, item_ids: Sequence[UUID], now: datetime) -> Sequence[ItemResult]:
    """Start the next attempt of a chunk of payments."""
    return retry_payments(
        payment_ids=item_ids,
        business_on=lease.business_on,
        actor=run_actor(lease.run_id),
        now=now,
    )
