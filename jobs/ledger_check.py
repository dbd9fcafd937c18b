"""Proves the books of an organisation by the same queries as `portal check`."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.domain.batches import ItemOutcome
from portal.queries.checks import run_checks
from portal.services.batches import Lease
from portal.services.outcomes import ItemResult


def work(_lease: Lease, item_ids: Sequence[UUID], _now: datetime) -> Sequence[ItemResult]:
    """Run every proof; the organisation itself is the one item, failed when a proof found rows."""
    broken = [result for result in run_checks() if result.rows]
    if not broken:
        return [ItemResult(item_id, ItemOutcome.DONE) for item_id in item_ids]
    message = "; ".join(f"{result.check}: {result.rows} rows" for result in broken)
    return [
        ItemResult(item_id, ItemOutcome.FAILED, broken[0].check, message[:2000])
        for item_id in item_ids
    ]
