"""Rehearses a version of the rules over documents that it does not change."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.services.batches import Lease
from portal.services.outcomes import ItemResult
from portal.services.rehearsals import rehearse_documents


def work(lease: Lease, item_ids: Sequence[UUID], _now: datetime) -> Sequence[ItemResult]:
    """Say of a chunk of documents what the version would make of them."""
    return rehearse_documents(invoice_ids=item_ids, lease=lease)
