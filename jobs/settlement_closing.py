"""Asks gateways for the payouts of a business date and books those that have come."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from portal.domain.batches import ItemOutcome
from portal.domain.users import run_actor
from portal.queries.organisations import list_payment_accounts
from portal.services.batches import Lease
from portal.services.messages import request_payouts
from portal.services.outcomes import ItemResult
from portal.services.settlements import match_settlements


def work(lease: Lease, item_ids: Sequence[UUID], now: datetime) -> Sequence[ItemResult]:
    """Work a chunk of gateway accounts (ask for payouts) and settlements (match and close)."""
    accounts = {account.id for account in list_payment_accounts()} & set(item_ids)
    request_payouts(gateway_account_ids=sorted(accounts), business_on=lease.business_on)
    asked = [
        ItemResult(account, ItemOutcome.DONE, "asked", "The gateway is asked for its payouts.")
        for account in sorted(accounts)
    ]
    settlements = [item_id for item_id in item_ids if item_id not in accounts]
    if not settlements:
        return asked
    return [
        *asked,
        *match_settlements(
            settlement_ids=settlements,
            business_on=lease.business_on,
            actor=run_actor(lease.run_id),
            now=now,
        ),
    ]
