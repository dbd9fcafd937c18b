"""Issues the drafts of an organisation."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.domain.users import run_actor
from portal.services.batches import Lease
from portal.services.invoices import issue_invoices
from portal.services.outcomes import ItemResult


def work(lease: Lease, item_ids: Sequence[UUID], now: datetime) -> Sequence[ItemResult]:
    """Issue a chunk of drafts on the run's business date."""
    return issue_invoices(
        invoice_ids=item_ids,
        business_on=lease.business_on,
        actor=run_actor(lease.run_id),
        now=now,
    )
