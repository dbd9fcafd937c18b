"""Applies credit notes, payer credits and deposits to what their payers owe."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.domain.users import run_actor
from portal.services.allocations import apply_credits
from portal.services.batches import Lease
from portal.services.outcomes import ItemResult
from portal.services.rulesets import load_rule_set


def work(lease: Lease, item_ids: Sequence[UUID], now: datetime) -> Sequence[ItemResult]:
    """Apply what a chunk of payers has, in the order that the organisation agreed."""
    _, rule_set = load_rule_set(on=lease.business_on)
    return apply_credits(
        payer_ids=item_ids,
        business_on=lease.business_on,
        rule_set=rule_set,
        actor=run_actor(lease.run_id),
        now=now,
    )
